#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/text.h"

static const struct cli_option options_table[] = {
    {.name = "force",
     .letter = 'f',
     .type = OPTION_BOOL,
     .help = "Force the removal of a running container (uses SIGKILL)"},
    {.name = "link", .letter = 'l', .type = OPTION_BOOL, .help = "Remove the specified link"},
    {.name = "volumes",
     .letter = 'v',
     .type = OPTION_BOOL,
     .help = "Remove anonymous volumes associated with the container"},
    {.name = NULL},
};

static int remove_one(struct cli *cli, const struct options *options, const char *name,
                      struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    struct client_request request = {.method = "DELETE"};

    query_path(&query, "/containers/%s", name + (name[0] == '/'));
    query_add_flag(&query, "force", options_flag(options, "force"));
    query_add_flag(&query, "link", options_flag(options, "link"));
    query_add_flag(&query, "v", options_flag(options, "volumes"));
    request.target = query_text(&query);
    return client_perform(cli->client, &request, NULL, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    int status = 0;

    (void)err;
    for (char *const *name = options->arguments; *name; name++) {
        struct error problem = ERROR_INIT;

        if (remove_one(cli, options, *name, &problem) >= 0) {
            text_print(cli->out, *name);
            fputc('\n', cli->out);
            continue;
        }
        text_print_lines(cli->err, problem.message);
        fputc('\n', cli->err);
        /* with --force it is enough that the container does not exist */
        if (!options_flag(options, "force") || problem.class != ERROR_NOT_FOUND)
            status = 1;
    }
    return status;
}

const struct command command_rm = {
    .name = "rm",
    .aliases = "container rm, container remove",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .summary = "Remove one or more containers",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run,
};
