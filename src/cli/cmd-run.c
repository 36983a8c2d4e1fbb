#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/attachment.h"
#include "cli/client.h"
#include "cli/container-config.h"
#include "cli/container-options.h"
#include "cli/create.h"
#include "cli/options.h"
#include "cli/query.h"

#include <string.h>

static const struct cli_option options_table[] = {
    CONTAINER_OPTIONS_A_TO_C,
    {.name = "detach",
     .letter = 'd',
     .type = OPTION_BOOL,
     .help = "Run container in background and print container ID"},
    {.name = "detach-keys",
     .type = OPTION_STRING,
     .help = "Override the key sequence for detaching a container"},
    CONTAINER_OPTIONS_D_TO_L,
    CONTAINER_OPTIONS_M_TO_R,
    {.name = "sig-proxy",
     .type = OPTION_BOOL,
     .fallback = "true",
     .help = "Proxy received signals to the process"},
    CONTAINER_OPTIONS_S_TO_Z,
    {.name = NULL},
};

/* Docker's exit status for a container that could not be started, from the engine's words. */
static int status_of_failure(const struct error *err)
{
    static const char *const not_found[] = {"executable file not found",
                                            "no such file or directory",
                                            "system cannot find the file specified"};
    static const char *const denied[] = {"permission denied", "is a directory"};

    for (size_t i = 0; i < sizeof(not_found) / sizeof(not_found[0]); i++)
        if (strstr(err->message, not_found[i]))
            return EXIT_NOT_FOUND;
    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
        if (strstr(err->message, denied[i]))
            return EXIT_CANNOT_EXECUTE;
    return EXIT_DAEMON;
}

static int attach(struct cli *cli, const struct options *options, const json_t *config,
                  const char *id, struct attachment *attachment, struct error *err)
{
    const struct attachment_spec spec = {
        .id = id,
        .tty = options_flag(options, "tty"),
        .in = json_is_true(json_object_get(config, "AttachStdin")),
        .out = json_is_true(json_object_get(config, "AttachStdout")),
        .err = json_is_true(json_object_get(config, "AttachStderr")),
        .sig_proxy = options_flag(options, "sig-proxy"),
        .detach_keys = options_text(options, "detach-keys"),
    };
    int r = attachment_open(cli, &spec, attachment, err);

    if (r == 0)
        r = attachment_wait(attachment, id, options_flag(options, "rm") ? "removed" : "next-exit",
                            err);
    return r < 0 ? r : attachment_prepare(attachment, err);
}

static int start(struct cli *cli, const char *id, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;

    query_path(&query, "/containers/%s/start", id);
    return client_post(cli->client, query_text(&query), NULL, NULL, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(attachment_release) struct attachment attachment = ATTACHMENT_INIT;
    CLEANUP_JSON json_t *config = NULL;
    CLEANUP_FREE char *id = NULL;
    bool detach = options_flag(options, "detach");
    bool detached = false;
    int r = container_config_build(options, detach, &config, err);

    if (r < 0)
        return r;
    if (attachment_check_tty(cli, json_is_true(json_object_get(config, "AttachStdin")),
                             options_flag(options, "tty"), err) < 0) {
        fprintf(cli->err, "%s\n", err->message);
        return 1;
    }
    r = create_container(cli, options, config, &id, err);
    if (r == 0 && !detach)
        r = attach(cli, options, config, id, &attachment, err);
    if (r < 0)
        return r;
    r = start(cli, id, err);
    if (r < 0) {
        /* With --rm the container goes away now; wait, so that its name is free on return. */
        if (options_flag(options, "rm"))
            attachment_drain_wait(&attachment);
        attachment_release(&attachment);
        return command_report(cli, err, status_of_failure(err));
    }
    if (detach) {
        fprintf(cli->out, "%s\n", id);
        return 0;
    }
    return attachment_run(&attachment, &detached, err);
}

const struct command command_run = {
    .name = "run",
    .aliases = "container run",
    .usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    .summary = "Create and run a new container from an image",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .flags = COMMAND_OPTIONS_FIRST | COMMAND_NAMED_ERRORS,
    .run = run,
};
