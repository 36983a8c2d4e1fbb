#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "cli/client.h"
#include "cli/filters.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/table.h"

static const struct cli_option options_table[] = {
    {.name = "filter",
     .letter = 'f',
     .type = OPTION_LIST,
     .value = "filter",
     .help = "Provide filter values (e.g. \"driver=bridge\")"},
    {.name = "format",
     .type = OPTION_STRING,
     .help =
         "'table' (default), 'json', 'table TEMPLATE' or 'TEMPLATE' (text with {{.Name}} and the "
         "like)"},
    {.name = "no-trunc", .type = OPTION_BOOL, .help = "Do not truncate the output"},
    {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .help = "Only display network IDs"},
    {.name = NULL},
};

static const struct table_column columns[] = {
    {"NETWORK ID", "ID"}, {"NAME", "Name"}, {"DRIVER", "Driver"}, {"SCOPE", "Scope"}, {NULL, NULL},
};

static const char *text_of(const json_t *object, const char *name)
{
    return string_or(json_string_value(json_object_get(object, name)), "");
}

static const char *bool_of(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name)) ? "true" : "false";
}

static char *join_labels(json_t *labels)
{
    CLEANUP_STRV char **parts = NULL;
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach (labels, name, value)
        if (strv_appendf(&parts, "%s=%s", name, string_or(json_string_value(value), "")) < 0)
            return NULL;
    return parts ? strv_join(parts, ",") : string_format("%s", "");
}

static int append_row(json_t *rows, const json_t *item, bool truncate, struct error *err)
{
    CLEANUP_JSON json_t *row = json_object();
    CLEANUP_FREE char *labels = join_labels(json_object_get(item, "Labels"));
    char id[FORMAT_MAX];

    if (!labels || json_put_string(row, "CreatedAt", text_of(item, "Created")) < 0 ||
        json_put_string(row, "Driver", text_of(item, "Driver")) < 0 ||
        json_put_string(row, "ID",
                        truncate ? format_short_id(text_of(item, "Id"), id) : text_of(item, "Id")) <
            0 ||
        json_put_string(row, "IPv4", bool_of(item, "EnableIPv4")) < 0 ||
        json_put_string(row, "IPv6", bool_of(item, "EnableIPv6")) < 0 ||
        json_put_string(row, "Internal", bool_of(item, "Internal")) < 0 ||
        json_put_string(row, "Labels", labels) < 0 ||
        json_put_string(row, "Name", text_of(item, "Name")) < 0 ||
        json_put_string(row, "Scope", text_of(item, "Scope")) < 0 ||
        json_array_append(rows, row) < 0)
        return error_oom(err);
    return 0;
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *filters = json_object();
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_JSON json_t *rows = json_array();
    json_t *item = NULL;
    size_t i = 0;
    int r = filters_add_list(filters, options_list(options, "filter"), err);

    query_path(&query, "/networks");
    if (r == 0)
        r = filters_to_query(filters, &query, err);
    if (r == 0)
        r = client_get(cli->client, query_text(&query), &answer, err);
    json_array_foreach (answer, i, item)
        if (r >= 0)
            r = append_row(rows, item, !options_flag(options, "no-trunc"), err);
    if (r < 0)
        return r;
    if (options_flag(options, "quiet") && !options_given(options, "format")) {
        list_print_field(cli->out, rows, "ID");
        return 0;
    }
    return list_print(cli->out, options_text(options, "format"), columns, columns, rows, err);
}

const struct command command_network_ls = {
    .name = "network ls",
    .aliases = "network list",
    .usage = "[OPTIONS]",
    .summary = "List networks",
    .options = options_table,
    .max_arguments = 0,
    .run = run,
};
