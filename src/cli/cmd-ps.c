#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/filters.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/ports.h"
#include "cli/query.h"
#include "cli/table.h"
#include "cli/text.h"

#include <string.h>

enum { COMMAND_WIDTH = 20, MOUNT_WIDTH = 15 };

static const struct cli_option options_table[] = {
    {.name = "all",
     .letter = 'a',
     .type = OPTION_BOOL,
     .help = "Show all containers (default shows just running)"},
    {.name = "filter",
     .letter = 'f',
     .type = OPTION_LIST,
     .value = "filter",
     .help = "Filter output based on conditions provided"},
    {.name = "format",
     .type = OPTION_STRING,
     .help =
         "'table' (default), 'json', 'table TEMPLATE' or 'TEMPLATE' (text with {{.Names}} and the "
         "like)"},
    {.name = "last",
     .letter = 'n',
     .type = OPTION_INT,
     .fallback = "-1",
     .help = "Show n last created containers (includes all states)"},
    {.name = "latest",
     .letter = 'l',
     .type = OPTION_BOOL,
     .help = "Show the latest created container (includes all states)"},
    {.name = "no-trunc", .type = OPTION_BOOL, .help = "Don't truncate output"},
    {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .help = "Only display container IDs"},
    {.name = "size", .letter = 's', .type = OPTION_BOOL, .help = "Display total file sizes"},
    {.name = NULL},
};

/* The first seven are the table, the eighth comes with --size, the rest is for templates. */
static const struct table_column all_columns[] = {
    {"CONTAINER ID", "ID"},
    {"IMAGE", "Image"},
    {"COMMAND", "Command"},
    {"CREATED", "RunningFor"},
    {"STATUS", "Status"},
    {"PORTS", "Ports"},
    {"NAMES", "Names"},
    {"SIZE", "Size"},
    {"CREATED AT", "CreatedAt"},
    {"LABELS", "Labels"},
    {"LOCAL VOLUMES", "LocalVolumes"},
    {"MOUNTS", "Mounts"},
    {"NETWORKS", "Networks"},
    {"STATE", "State"},
    {NULL, NULL},
};
enum { N_TABLE = 7 };

static const char *text_of(const json_t *object, const char *name)
{
    return string_or(json_string_value(json_object_get(object, name)), "");
}

/* "a,b" from the names of an object, or "a=b,c=d" with the values. */
static char *join_object(json_t *object, bool with_values)
{
    CLEANUP_STRV char **parts = NULL;
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach (object, name, value) {
        int r = with_values
                    ? strv_appendf(&parts, "%s=%s", name, string_or(json_string_value(value), ""))
                    : strv_append(&parts, name);
        if (r < 0)
            return NULL;
    }
    return parts ? strv_join(parts, ",") : strdup("");
}

static char *join_mounts(const json_t *mounts, bool truncate, size_t *ret_local)
{
    CLEANUP_STRV char **parts = NULL;
    json_t *mount = NULL;
    size_t i = 0;

    json_array_foreach (mounts, i, mount) {
        const char *name = text_of(mount, "Name");
        CLEANUP_FREE char *text = NULL;

        *ret_local += string_equal(text_of(mount, "Driver"), "local");
        name = *name ? name : text_of(mount, "Source");
        text = truncate ? text_ellipsis(name, MOUNT_WIDTH) : strdup(name);
        if (!text || strv_append(&parts, text) < 0)
            return NULL;
    }
    return parts ? strv_join(parts, ",") : strdup("");
}

/* "/name" without the slash; names of links ("/a/b") are not shown when cut. */
static char *join_names(const json_t *names, bool truncate)
{
    CLEANUP_STRV char **parts = NULL;
    json_t *item = NULL;
    size_t i = 0;

    json_array_foreach (names, i, item) {
        const char *name = string_or(json_string_value(item), "");

        name += *name == '/';
        if ((!truncate || !strchr(name, '/')) && strv_append(&parts, name) < 0)
            return NULL;
    }
    return parts ? strv_join(parts, ",") : strdup("");
}

static char *quote_command(const json_t *item, bool truncate)
{
    CLEANUP_FREE char *cut =
        truncate ? text_ellipsis(text_of(item, "Command"), COMMAND_WIDTH) : NULL;

    return text_quote(cut ? cut : text_of(item, "Command"));
}

static int put_size(json_t *row, const json_t *item)
{
    double writable = json_number_value(json_object_get(item, "SizeRw"));
    double whole = json_number_value(json_object_get(item, "SizeRootFs"));
    char text[2 * FORMAT_MAX + 16];
    char one[FORMAT_MAX];
    char two[FORMAT_MAX];

    if (whole > 0)
        snprintf(text, sizeof(text), "%s (virtual %s)", format_size(writable, 3, one),
                 format_size(whole, 3, two));
    else
        snprintf(text, sizeof(text), "%s", format_size(writable, 3, one));
    return json_put_string(row, "Size", text);
}

static int append_row(json_t *rows, const json_t *item, bool truncate, struct error *err)
{
    CLEANUP_JSON json_t *row = json_object();
    CLEANUP_FREE char *command = quote_command(item, truncate);
    CLEANUP_FREE char *labels = join_object(json_object_get(item, "Labels"), true);
    size_t n_local = 0;
    CLEANUP_FREE char *mounts = join_mounts(json_object_get(item, "Mounts"), truncate, &n_local);
    CLEANUP_FREE char *local = string_format("%zu", n_local);
    CLEANUP_FREE char *names = join_names(json_object_get(item, "Names"), truncate);
    CLEANUP_FREE char *networks =
        join_object(json_object_get(json_object_get(item, "NetworkSettings"), "Networks"), false);
    CLEANUP_FREE char *ports = ports_text(json_object_get(item, "Ports"));
    int64_t created = json_integer_value(json_object_get(item, "Created"));
    const char *image = text_of(item, "Image");
    char id[FORMAT_MAX];
    char at[FORMAT_MAX];
    char ago[FORMAT_MAX];

    if (!command || !labels || !mounts || !local || !names || !networks || !ports ||
        json_put_string(row, "Command", command) < 0 ||
        json_put_string(row, "CreatedAt", format_time(created, at)) < 0 ||
        json_put_string(row, "ID",
                        truncate ? format_short_id(text_of(item, "Id"), id) : text_of(item, "Id")) <
            0 ||
        json_put_string(row, "Image", *image ? image : "<no image>") < 0 ||
        json_put_string(row, "Labels", labels) < 0 ||
        json_put_string(row, "LocalVolumes", local) < 0 ||
        json_put_string(row, "Mounts", mounts) < 0 || json_put_string(row, "Names", names) < 0 ||
        json_put_string(row, "Networks", networks) < 0 ||
        json_put_string(row, "Ports", ports) < 0 ||
        json_put_string(row, "RunningFor", format_ago(created, ago)) < 0 ||
        put_size(row, item) < 0 || json_put_string(row, "State", text_of(item, "State")) < 0 ||
        json_put_string(row, "Status", text_of(item, "Status")) < 0 ||
        json_array_append(rows, row) < 0)
        return error_oom(err);
    return 0;
}

static int get(struct cli *cli, const struct options *options, json_t **ret, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *filters = json_object();
    const char *format = options_text(options, "format");
    int64_t last = options_flag(options, "latest") ? 1 : options_number(options, "last");
    bool size = options_flag(options, "size") || (format && strstr(format, ".Size"));
    int r = filters_add_list(filters, options_list(options, "filter"), err);

    query_path(&query, "/containers/json");
    query_add_flag(&query, "all", options_flag(options, "all"));
    if (last > 0)
        query_add_number(&query, "limit", last);
    query_add_flag(&query, "size", size);
    if (r == 0)
        r = filters_to_query(filters, &query, err);
    return r < 0 ? r : client_get(cli->client, query_text(&query), ret, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_JSON json_t *rows = json_array();
    struct table_column columns[N_TABLE + 2];
    size_t n = N_TABLE + (options_flag(options, "size") ? 1 : 0);
    json_t *item = NULL;
    size_t i = 0;
    int r = get(cli, options, &answer, err);

    json_array_foreach (answer, i, item)
        if (r >= 0)
            r = append_row(rows, item, !options_flag(options, "no-trunc"), err);
    if (r < 0)
        return r;
    memcpy(columns, all_columns, n * sizeof(columns[0]));
    columns[n] = (struct table_column){NULL, NULL};
    if (options_flag(options, "quiet") && !options_given(options, "format")) {
        list_print_field(cli->out, rows, "ID");
        return 0;
    }
    return list_print(cli->out, options_text(options, "format"), columns, all_columns, rows, err);
}

const struct command command_ps = {
    .name = "ps",
    .aliases = "container ls, container list, container ps",
    .usage = "[OPTIONS]",
    .summary = "List containers",
    .options = options_table,
    .max_arguments = 0,
    .run = run,
};
