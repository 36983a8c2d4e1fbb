/* pause and unpause: the same request with another last word. */
#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/container.h"
#include "cli/options.h"
#include "cli/query.h"

static int post(struct cli *cli, const char *format, const char *name, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;

    query_path(&query, format, name);
    return client_post(cli->client, query_text(&query), NULL, NULL, err);
}

static int pause_one(struct cli *cli, const struct options *options, const char *name,
                     struct error *err)
{
    (void)options;
    return post(cli, "/containers/%s/pause", name, err);
}

static int unpause_one(struct cli *cli, const struct options *options, const char *name,
                       struct error *err)
{
    (void)options;
    return post(cli, "/containers/%s/unpause", name, err);
}

static int run_pause(struct cli *cli, const struct options *options, struct error *err)
{
    (void)err;
    return container_each(cli, options, pause_one);
}

static int run_unpause(struct cli *cli, const struct options *options, struct error *err)
{
    (void)err;
    return container_each(cli, options, unpause_one);
}

const struct command command_pause = {
    .name = "pause",
    .aliases = "container pause",
    .usage = "CONTAINER [CONTAINER...]",
    .summary = "Pause all processes within one or more containers",
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_pause,
};

const struct command command_unpause = {
    .name = "unpause",
    .aliases = "container unpause",
    .usage = "CONTAINER [CONTAINER...]",
    .summary = "Unpause all processes within one or more containers",
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_unpause,
};
