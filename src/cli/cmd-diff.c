#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    static const char kinds[] = "CAD";
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *changes = NULL;
    json_t *change = NULL;
    size_t i = 0;
    int r;

    query_path(&query, "/containers/%s/changes", options->arguments[0]);
    r = client_get(cli->client, query_text(&query), &changes, err);
    if (r < 0)
        return r;
    json_array_foreach (changes, i, change) {
        json_int_t kind = json_integer_value(json_object_get(change, "Kind"));
        const char *path = json_string_value(json_object_get(change, "Path"));

        if (kind >= 0 && kind < (json_int_t)(sizeof(kinds) - 1))
            fprintf(cli->out, "%c %s\n", kinds[kind], string_or(path, ""));
    }
    return 0;
}

static const struct cli_option options_table[] = {{.name = NULL}};

const struct command command_diff = {
    .name = "diff",
    .aliases = "container diff",
    .usage = "CONTAINER",
    .summary = "Inspect changes to files or directories on a container's filesystem",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
