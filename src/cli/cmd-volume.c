/* volume create, ls and rm; inspect is cmd-inspect.c's, prune cmd-prune.c's. */
#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/filters.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/table.h"
#include "cli/text.h"

#include <string.h>

static const struct cli_option create_options[] = {
    {.name = "driver",
     .letter = 'd',
     .type = OPTION_STRING,
     .fallback = "local",
     .help = "Specify volume driver name"},
    {.name = "label", .type = OPTION_LIST, .help = "Set metadata for a volume"},
    {.name = "name", .type = OPTION_STRING},
    {.name = "opt", .letter = 'o', .type = OPTION_LIST, .help = "Set driver specific options"},
    {.name = NULL},
};

static const struct cli_option list_options[] = {
    {.name = "filter",
     .letter = 'f',
     .type = OPTION_LIST,
     .value = "filter",
     .help = "Provide filter values (e.g. \"dangling=true\")"},
    {.name = "format",
     .type = OPTION_STRING,
     .help =
         "'table' (default), 'json', 'table TEMPLATE' or 'TEMPLATE' (text with {{.Name}} and the "
         "like)"},
    {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .help = "Only display volume names"},
    {.name = NULL},
};

static const struct cli_option remove_options[] = {
    {.name = "force",
     .letter = 'f',
     .type = OPTION_BOOL,
     .help = "Force the removal of one or more volumes"},
    {.name = NULL},
};

static const struct table_column columns[] = {
    {"DRIVER", "Driver"}, {"VOLUME NAME", "Name"}, {NULL, NULL}};

static int put_pairs(json_t *body, const char *member, char *const *list, struct error *err)
{
    CLEANUP_JSON json_t *map = json_object();

    for (; list && *list; list++) {
        const char *equals = strchr(*list, '=');
        CLEANUP_FREE char *name = strndup(*list, strcspn(*list, "="));

        if (!name || json_put_string(map, name, equals ? equals + 1 : "") < 0)
            return error_oom(err);
    }
    return json_put(body, member, json_incref(map)) < 0 ? error_oom(err) : 0;
}

static int run_create(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *body = json_object();
    CLEANUP_JSON json_t *answer = NULL;
    const char *name = options->arguments[0];
    int r = 0;

    if (name && options_given(options, "name"))
        return error_set_class(err, ERROR_INVALID,
                               "conflicting options: cannot specify a volume name through both "
                               "--name and as a positional arg");
    name = name ? name : string_or(options_text(options, "name"), "");
    if (json_put_string(body, "Name", name) < 0 ||
        json_put_string(body, "Driver", options_text(options, "driver")) < 0)
        return error_oom(err);
    r = put_pairs(body, "DriverOpts", options_list(options, "opt"), err);
    if (r == 0)
        r = put_pairs(body, "Labels", options_list(options, "label"), err);
    if (r == 0)
        r = client_post(cli->client, "/volumes/create", body, &answer, err);
    if (r < 0)
        return r;
    text_print(cli->out, string_or(json_string_value(json_object_get(answer, "Name")), ""));
    fputc('\n', cli->out);
    return 0;
}

static const char *text_of(const json_t *object, const char *name)
{
    return string_or(json_string_value(json_object_get(object, name)), "");
}

static char *join_labels(json_t *labels)
{
    CLEANUP_STRV char **parts = NULL;
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach (labels, name, value)
        if (strv_appendf(&parts, "%s=%s", name, string_or(json_string_value(value), "")) < 0)
            return NULL;
    return parts ? strv_join(parts, ",") : strdup("");
}

static int append_row(json_t *rows, const json_t *volume, struct error *err)
{
    CLEANUP_FREE char *labels = join_labels(json_object_get(volume, "Labels"));
    json_t *row =
        labels ? json_pack("{s:s, s:s, s:s, s:s, s:s}", "Driver", text_of(volume, "Driver"), "Name",
                           text_of(volume, "Name"), "Mountpoint", text_of(volume, "Mountpoint"),
                           "Scope", text_of(volume, "Scope"), "Labels", labels)
               : NULL;

    return !row || json_array_append_new(rows, row) < 0 ? error_oom(err) : 0;
}

static int run_list(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *filters = json_object();
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_JSON json_t *rows = json_array();
    json_t *item = NULL;
    size_t i = 0;
    int r = filters_add_list(filters, options_list(options, "filter"), err);

    query_path(&query, "/volumes");
    if (r == 0)
        r = filters_to_query(filters, &query, err);
    if (r == 0)
        r = client_get(cli->client, query_text(&query), &answer, err);
    json_array_foreach (json_object_get(answer, "Volumes"), i, item)
        if (r >= 0)
            r = append_row(rows, item, err);
    if (r < 0)
        return r;
    if (options_flag(options, "quiet") && !options_given(options, "format")) {
        list_print_field(cli->out, rows, "Name");
        return 0;
    }
    return list_print(cli->out, options_text(options, "format"), columns, columns, rows, err);
}

static int remove_one(struct cli *cli, const char *name, bool force, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    struct client_request request = {.method = "DELETE"};

    query_path(&query, "/volumes/%s", name);
    query_add_flag(&query, "force", force);
    request.target = query_text(&query);
    return client_perform(cli->client, &request, NULL, err);
}

static int run_remove(struct cli *cli, const struct options *options, struct error *err)
{
    int status = 0;

    (void)err;
    for (char *const *name = options->arguments; *name; name++) {
        struct error problem = ERROR_INIT;

        if (remove_one(cli, *name, options_flag(options, "force"), &problem) >= 0) {
            text_print(cli->out, *name);
            fputc('\n', cli->out);
            continue;
        }
        (void)command_report(cli, &problem, 1);
        status = 1;
    }
    return status;
}

const struct command command_volume_create = {
    .name = "volume create",
    .usage = "[OPTIONS] [VOLUME]",
    .summary = "Create a volume",
    .options = create_options,
    .max_arguments = 1,
    .run = run_create,
};

const struct command command_volume_ls = {
    .name = "volume ls",
    .aliases = "volume list",
    .usage = "[OPTIONS]",
    .summary = "List volumes",
    .options = list_options,
    .max_arguments = 0,
    .run = run_list,
};

const struct command command_volume_rm = {
    .name = "volume rm",
    .aliases = "volume remove",
    .usage = "[OPTIONS] VOLUME [VOLUME...]",
    .summary = "Remove one or more volumes",
    .options = remove_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_remove,
};
