/* stop, restart and kill: a request each, with a signal and a time. */
#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/client.h"
#include "cli/container.h"
#include "cli/options.h"
#include "cli/query.h"

static const struct cli_option stop_options[] = {
    {.name = "signal",
     .letter = 's',
     .type = OPTION_STRING,
     .help = "Signal to send to the container"},
    {.name = "time", .type = OPTION_INT, .same_as = "timeout"},
    {.name = "timeout",
     .letter = 't',
     .type = OPTION_INT,
     .help = "Seconds to wait before killing the container"},
    {.name = NULL},
};

static const struct cli_option kill_options[] = {
    {.name = "signal",
     .letter = 's',
     .type = OPTION_STRING,
     .help = "Signal to send to the container"},
    {.name = NULL},
};

static int post(struct cli *cli, struct query *query, struct error *err)
{
    return client_post(cli->client, query_text(query), NULL, NULL, err);
}

static void add_stop_options(struct query *query, const struct options *options)
{
    query_add(query, "signal", options_text(options, "signal"));
    if (options_given(options, "timeout"))
        query_add_number(query, "t", options_number(options, "timeout"));
}

static int stop_one(struct cli *cli, const struct options *options, const char *name,
                    struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;

    query_path(&query, "/containers/%s/stop", name);
    add_stop_options(&query, options);
    return post(cli, &query, err);
}

static int restart_one(struct cli *cli, const struct options *options, const char *name,
                       struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;

    query_path(&query, "/containers/%s/restart", name);
    add_stop_options(&query, options);
    return post(cli, &query, err);
}

static int kill_one(struct cli *cli, const struct options *options, const char *name,
                    struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;

    query_path(&query, "/containers/%s/kill", name);
    query_add(&query, "signal", options_text(options, "signal"));
    return post(cli, &query, err);
}

static int run_stop(struct cli *cli, const struct options *options, struct error *err)
{
    (void)err;
    return container_each(cli, options, stop_one);
}

static int run_restart(struct cli *cli, const struct options *options, struct error *err)
{
    (void)err;
    return container_each(cli, options, restart_one);
}

static int run_kill(struct cli *cli, const struct options *options, struct error *err)
{
    (void)err;
    return container_each(cli, options, kill_one);
}

const struct command command_stop = {
    .name = "stop",
    .aliases = "container stop",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .summary = "Stop one or more running containers",
    .options = stop_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_stop,
};

const struct command command_restart = {
    .name = "restart",
    .aliases = "container restart",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .summary = "Restart one or more containers",
    .options = stop_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_restart,
};

const struct command command_kill = {
    .name = "kill",
    .aliases = "container kill",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .summary = "Kill one or more running containers",
    .options = kill_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_kill,
};
