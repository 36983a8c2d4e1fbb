#include "cli/command.h"
#include "cli/commands.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"

static int write_bytes(void *data, const char *bytes, size_t length, struct error *err)
{
    const int *fd = data;
    int r = fd_write_full(*fd, bytes, length);

    return r < 0 ? error_set_errno(err, r, "cannot write the archive") : 0;
}

static int export(struct cli *cli, const char *container, int fd, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    struct client_request request = {.method = "GET", .receive = write_bytes, .data = &fd};
    int r;

    query_path(&query, "/containers/%s/export", container);
    request.target = query_text(&query);
    r = client_perform(cli->client, &request, NULL, err);
    return r < 0 ? r : 0;
}

/* The file appears whole or not at all. */
static int export_to_file(struct cli *cli, const char *container, const char *path,
                          struct error *err)
{
    CLEANUP_FREE char *part = string_format("%s.%d.part", path, (int)getpid());
    int r;

    if (!part)
        return error_oom(err);
    CLEANUP_CLOSE int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, -errno, "failed to export container: open %s", path);
    r = export(cli, container, fd, err);
    if (r >= 0 && rename(part, path) < 0)
        r = error_set_errno(err, -errno, "failed to export container: rename %s", path);
    if (r < 0)
        (void)unlink(part);
    return r;
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    const char *path = options_text(options, "output");
    int fd = fileno(cli->out);

    if (!string_is_empty(path))
        return export_to_file(cli, options->arguments[0], path, err);
    if (isatty(fd))
        return error_set_class(err, ERROR_INVALID,
                               "cowardly refusing to save to a terminal. Use the -o flag or "
                               "redirect");
    (void)fflush(cli->out);
    return export(cli, options->arguments[0], fd, err);
}

static const struct cli_option options_table[] = {
    {.name = "output",
     .letter = 'o',
     .type = OPTION_STRING,
     .help = "Write to a file, instead of STDOUT"},
    {.name = NULL},
};

const struct command command_export = {
    .name = "export",
    .aliases = "container export",
    .usage = "[OPTIONS] CONTAINER",
    .summary = "Export a container's filesystem as a tar archive",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
