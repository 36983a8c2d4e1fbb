#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/attachment.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/text.h"

static int wait_one(struct cli *cli, const char *name, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *answer = NULL;
    int r = 0;

    query_path(&query, "/containers/%s/wait", name);
    r = client_post(cli->client, query_text(&query), NULL, &answer, err);
    return r < 0 ? r : attachment_status(answer, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    int status = 0;

    (void)err;
    for (char *const *name = options->arguments; *name; name++) {
        struct error problem = ERROR_INIT;
        int r = wait_one(cli, *name, &problem);

        if (r < 0) {
            status = 1;
            text_print_lines(cli->err, problem.message);
            fputc('\n', cli->err);
        } else {
            fprintf(cli->out, "%d\n", r);
            fflush(cli->out);
        }
    }
    return status;
}

const struct command command_wait = {
    .name = "wait",
    .aliases = "container wait",
    .usage = "CONTAINER [CONTAINER...]",
    .summary = "Block until one or more containers stop, then print their exit codes",
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run,
};
