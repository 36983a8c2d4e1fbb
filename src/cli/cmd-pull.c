#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "cli/options.h"
#include "cli/pull.h"
#include "cli/reference.h"

#include <stdlib.h>
#include <string.h>

static const struct cli_option options_table[] = {
    {.name = "platform",
     .type = OPTION_STRING,
     .help = "Set platform if server is multi-platform capable"},
    {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .help = "Suppress verbose output"},
    {.name = NULL},
};

static bool name_has_no_tag(const char *name)
{
    const char *slash = strrchr(name, '/');

    return !strchr(slash ? slash : name, ':');
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP_FREE char *full = NULL;
    const char *name = options->arguments[0];
    bool quiet = options_flag(options, "quiet");
    int r = reference_parse(name, &reference, err);

    if (r < 0)
        return r;
    if (!quiet && !reference.digest && name_has_no_tag(name))
        fprintf(cli->out, "Using default tag: latest\n");
    fflush(cli->out);
    full = reference_full(&reference);
    r = full ? pull_image(cli->client, name, options_text(options, "platform"),
                          quiet ? NULL : cli->out, err)
             : error_oom(err);
    if (r < 0)
        return r;
    fprintf(cli->out, "%s\n", full);
    return 0;
}

const struct command command_pull = {
    .name = "pull",
    .aliases = "image pull",
    .usage = "[OPTIONS] NAME[:TAG|@DIGEST]",
    .summary = "Download an image from a registry",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
