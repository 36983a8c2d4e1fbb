#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/attachment.h"
#include "cli/container.h"
#include "cli/options.h"

static const struct cli_option options_table[] = {
    {.name = "detach-keys",
     .type = OPTION_STRING,
     .help = "Override the key sequence for detaching a container"},
    {.name = "no-stdin", .type = OPTION_BOOL, .help = "Do not attach STDIN"},
    {.name = "sig-proxy",
     .type = OPTION_BOOL,
     .fallback = "true",
     .help = "Proxy all received signals to the process"},
    {.name = NULL},
};

static int check_state(const struct container_view *view, struct error *err)
{
    if (!view->is_running)
        return error_set_class(err, ERROR_CONFLICT,
                               "You cannot attach to a stopped container, start it first");
    if (view->is_paused)
        return error_set_class(err, ERROR_CONFLICT,
                               "You cannot attach to a paused container, unpause it first");
    if (view->is_restarting)
        return error_set_class(
            err, ERROR_CONFLICT,
            "You cannot attach to a restarting container, wait until it is running");
    return 0;
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(attachment_release) struct attachment attachment = ATTACHMENT_INIT;
    CLEANUP_JSON json_t *document = NULL;
    struct container_view view;
    struct attachment_spec spec = {.out = true, .err = true};
    bool detached = false;
    int r = container_inspect(cli, options->arguments[0], &document, &view, err);

    if (r == 0)
        r = check_state(&view, err);
    if (r < 0)
        return r;
    spec.id = view.id;
    spec.tty = view.tty;
    spec.in = view.open_stdin && !options_flag(options, "no-stdin");
    spec.sig_proxy = options_flag(options, "sig-proxy") && !view.tty;
    spec.detach_keys = options_text(options, "detach-keys");
    r = attachment_check_tty(cli, spec.in, view.tty, err);
    if (r == 0)
        r = attachment_open(cli, &spec, &attachment, err);
    if (r == 0)
        r = attachment_wait(&attachment, view.id, "", err);
    if (r == 0)
        r = attachment_prepare(&attachment, err);
    if (r == 0)
        r = attachment_run(&attachment, &detached, err);
    if (r >= 0 && detached)
        return error_set(err, -EINTR, "read escape sequence");
    return r;
}

const struct command command_attach = {
    .name = "attach",
    .aliases = "container attach",
    .usage = "[OPTIONS] CONTAINER",
    .summary = "Attach local standard input, output, and error streams to a running container",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
