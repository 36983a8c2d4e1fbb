#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/attachment.h"
#include "cli/client.h"
#include "cli/container.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/text.h"

static const struct cli_option options_table[] = {
    {.name = "attach",
     .letter = 'a',
     .type = OPTION_BOOL,
     .help = "Attach STDOUT/STDERR and forward signals"},
    {.name = "detach-keys",
     .type = OPTION_STRING,
     .help = "Override the key sequence for detaching a container"},
    {.name = "interactive", .letter = 'i', .type = OPTION_BOOL, .help = "Attach container's STDIN"},
    {.name = NULL},
};

static int start(struct cli *cli, const char *name, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;

    query_path(&query, "/containers/%s/start", name);
    return client_post(cli->client, query_text(&query), NULL, NULL, err);
}

static int start_attached(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(attachment_release) struct attachment attachment = ATTACHMENT_INIT;
    CLEANUP_JSON json_t *document = NULL;
    struct container_view view;
    struct attachment_spec spec = {.out = true, .err = true};
    bool detached = false;
    int r = container_inspect(cli, options->arguments[0], &document, &view, err);

    if (r < 0)
        return r;
    spec.id = view.id;
    spec.tty = view.tty;
    spec.in = view.open_stdin && options_flag(options, "interactive");
    spec.sig_proxy = !view.tty;
    spec.detach_keys = options_text(options, "detach-keys");
    r = attachment_check_tty(cli, spec.in, view.tty, err);
    if (r == 0)
        r = attachment_open(cli, &spec, &attachment, err);
    if (r == 0)
        r = attachment_wait(&attachment, view.id, view.auto_remove ? "removed" : "next-exit", err);
    if (r == 0)
        r = attachment_prepare(&attachment, err);
    if (r == 0)
        r = start(cli, view.id, err);
    if (r < 0)
        return r;
    return attachment_run(&attachment, &detached, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_STRV char **failed = NULL;
    CLEANUP_FREE char *names = NULL;

    if (options_flag(options, "attach") || options_flag(options, "interactive")) {
        if (options_n_arguments(options) > 1)
            return error_set_class(err, ERROR_INVALID,
                                   "you cannot start and attach multiple containers at once");
        return start_attached(cli, options, err);
    }
    for (char *const *name = options->arguments; *name; name++) {
        struct error problem = ERROR_INIT;

        if (start(cli, *name, &problem) < 0) {
            text_print_lines(cli->err, problem.message);
            fputc('\n', cli->err);
            if (strv_append(&failed, *name) < 0)
                return error_oom(err);
        } else {
            fprintf(cli->out, "%s\n", *name);
        }
    }
    if (!failed)
        return 0;
    names = strv_join(failed, ", ");
    return error_set(err, -EIO, "Error: failed to start containers: %s", string_or(names, ""));
}

const struct command command_start = {
    .name = "start",
    .aliases = "container start",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .summary = "Start one or more stopped containers",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run,
};
