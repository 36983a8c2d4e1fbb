#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/container.h"
#include "cli/options.h"

static const struct cli_option convert_options[] = {
    {.name = "isolation",
     .type = OPTION_STRING,
     .help = "Isolation that the containers are to have: process or hyperv"},
    {.name = "restart",
     .type = OPTION_BOOL,
     .help = "Stop a running container, convert it, and start it again"},
    {.name = NULL},
};

static int convert_one(struct cli *cli, const struct options *options, const char *name,
                       struct error *err)
{
    CLEANUP_JSON json_t *body =
        json_pack("{s:s, s:b}", "Isolation", options_text(options, "isolation"), "Restart",
                  (int)options_flag(options, "restart"));

    return body ? container_update(cli, name, body, err) : error_oom(err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    if (string_is_empty(options_text(options, "isolation")))
        return error_set_class(err, ERROR_INVALID,
                               "--isolation=process or --isolation=hyperv must "
                               "be given");
    return container_each(cli, options, convert_one);
}

const struct command command_convert = {
    .name = "convert",
    .aliases = "container convert",
    .usage = "--isolation=process|hyperv [OPTIONS] CONTAINER [CONTAINER...]",
    .summary = "Convert containers to the other isolation, with all that they hold",
    .options = convert_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run,
};
