#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/query.h"

#include <fcntl.h>
#include <unistd.h>

static const struct cli_option options_table[] = {
    {.name = "change",
     .letter = 'c',
     .type = OPTION_LIST,
     .help = "Apply Dockerfile instruction to the created image"},
    {.name = "message",
     .letter = 'm',
     .type = OPTION_STRING,
     .help = "Set commit message for imported image"},
    {.name = "platform",
     .type = OPTION_STRING,
     .help = "Set platform if server is multi-platform capable"},
    {.name = NULL},
};

DEFINE_CLEANUP(struct progress *, progress_cleanup, progress_free)

static bool is_url(const char *source)
{
    return string_starts_with(source, "http://") || string_starts_with(source, "https://");
}

static int import(struct cli *cli, const struct options *options, int input, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP(progress_cleanup) struct progress *progress = NULL;
    char *const *changes = options_list(options, "change");
    const char *source = options->arguments[0];
    struct client_request request = {
        .method = "POST",
        .upload = input,
        .content_type = input >= 0 ? "application/x-tar" : NULL,
        .receive = progress_receive,
    };
    int r = progress_new(cli->out, isatty(fileno(cli->out)), &progress, err);

    if (r < 0)
        return r;
    query_path(&query, "/images/create");
    query_add(&query, "fromSrc", input >= 0 ? "-" : source);
    query_add(&query, "repo", options->arguments[1]);
    query_add(&query, "message", options_text(options, "message"));
    query_add(&query, "platform", options_text(options, "platform"));
    for (size_t i = 0; changes && changes[i]; i++)
        query_add(&query, "changes", changes[i]);
    request.target = query_text(&query);
    request.data = progress;
    r = client_perform(cli->client, &request, NULL, err);
    return r < 0 ? r : progress_finish(progress, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_CLOSE int file = -EBADF;
    const char *source = options->arguments[0];

    if (string_equal(source, "-"))
        return import(cli, options, cli->in, err);
    if (is_url(source))
        return import(cli, options, -EBADF, err);
    file = open(source, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return error_set_errno(err, -errno, "open %s", source);
    return import(cli, options, file, err);
}

const struct command command_import = {
    .name = "import",
    .aliases = "image import",
    .usage = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    .summary = "Import the contents from a tarball to create a filesystem image",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
