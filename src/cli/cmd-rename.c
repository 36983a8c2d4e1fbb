#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    int r = 0;

    if (!*options->arguments[0] || !*options->arguments[1])
        return error_set_class(err, ERROR_INVALID, "Error: Neither old nor new names may be empty");
    query_path(&query, "/containers/%s/rename", options->arguments[0]);
    query_add(&query, "name", options->arguments[1]);
    r = client_post(cli->client, query_text(&query), NULL, NULL, err);
    return r < 0 ? r : 0;
}

const struct command command_rename = {
    .name = "rename",
    .aliases = "container rename",
    .usage = "CONTAINER NEW_NAME",
    .summary = "Rename a container",
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run,
};
