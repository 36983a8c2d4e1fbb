#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/text.h"

static const struct cli_option options_table[] = {
    {.name = "force", .letter = 'f', .type = OPTION_BOOL, .help = "Force removal of the image"},
    {.name = "no-prune", .type = OPTION_BOOL, .help = "Do not delete untagged parents"},
    {.name = NULL},
};

static void print_removed(struct cli *cli, const json_t *answer)
{
    json_t *item = NULL;
    size_t i = 0;

    json_array_foreach (answer, i, item) {
        const char *deleted = json_string_value(json_object_get(item, "Deleted"));
        const char *untagged = json_string_value(json_object_get(item, "Untagged"));

        fputs(deleted ? "Deleted: " : "Untagged: ", cli->out);
        text_print(cli->out, string_or(deleted ? deleted : untagged, ""));
        fputc('\n', cli->out);
    }
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    int status = 0;

    (void)err;
    for (char *const *name = options->arguments; *name; name++) {
        CLEANUP(query_release) struct query query = QUERY_INIT;
        CLEANUP_JSON json_t *answer = NULL;
        struct client_request request = {.method = "DELETE"};
        struct error problem = ERROR_INIT;

        query_path(&query, "/images/%s", *name);
        query_add_flag(&query, "force", options_flag(options, "force"));
        query_add_flag(&query, "noprune", options_flag(options, "no-prune"));
        request.target = query_text(&query);
        if (client_perform(cli->client, &request, &answer, &problem) >= 0) {
            print_removed(cli, answer);
            continue;
        }
        text_print_lines(cli->err, problem.message);
        fputc('\n', cli->err);
        if (!options_flag(options, "force") || problem.class != ERROR_NOT_FOUND)
            status = 1;
    }
    return status;
}

const struct command command_rmi = {
    .name = "rmi",
    .aliases = "image rm, image remove",
    .usage = "[OPTIONS] IMAGE [IMAGE...]",
    .summary = "Remove one or more images",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run,
};
