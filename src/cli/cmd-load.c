#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/query.h"

#include <fcntl.h>
#include <unistd.h>

static const struct cli_option options_table[] = {
    {.name = "input",
     .letter = 'i',
     .type = OPTION_STRING,
     .help = "Read from tar archive file, instead of STDIN"},
    {.name = "platform",
     .type = OPTION_STRING,
     .help = "Load only the given platform variant (e.g., \"linux/amd64\")"},
    {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .help = "Suppress the load output"},
    {.name = NULL},
};

DEFINE_CLEANUP(struct progress *, progress_cleanup, progress_free)

static int load(struct cli *cli, const struct options *options, int input, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP(progress_cleanup) struct progress *progress = NULL;
    bool terminal = isatty(fileno(cli->out));
    bool quiet = options_flag(options, "quiet") || !terminal;
    struct client_request request = {
        .method = "POST",
        .upload = input,
        .content_type = "application/x-tar",
        .receive = progress_receive,
    };
    int r = progress_new(cli->out, terminal, &progress, err);

    if (r < 0)
        return r;
    query_path(&query, "/images/load");
    query_add(&query, "quiet", quiet ? "1" : "0");
    query_add(&query, "platform", options_text(options, "platform"));
    request.target = query_text(&query);
    request.data = progress;
    r = client_perform(cli->client, &request, NULL, err);
    return r < 0 ? r : progress_finish(progress, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_CLOSE int file = -EBADF;
    const char *path = options_text(options, "input");

    if (!path && isatty(cli->in))
        return error_set_class(err, ERROR_INVALID, "requested load from stdin, but stdin is empty");
    if (path) {
        file = open(path, O_RDONLY | O_CLOEXEC);
        if (file < 0)
            return error_set_errno(err, -errno, "open %s", path);
    }
    return load(cli, options, path ? file : cli->in, err);
}

const struct command command_load = {
    .name = "load",
    .aliases = "image load",
    .usage = "[OPTIONS]",
    .summary = "Load an image from a tar archive or STDIN",
    .options = options_table,
    .max_arguments = 0,
    .run = run,
};
