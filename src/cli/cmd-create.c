#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/container-config.h"
#include "cli/container-options.h"
#include "cli/create.h"
#include "cli/options.h"

static const struct cli_option options_table[] = {
    CONTAINER_OPTIONS_A_TO_C, CONTAINER_OPTIONS_D_TO_L, CONTAINER_OPTIONS_M_TO_R,
    CONTAINER_OPTIONS_S_TO_Z, {.name = NULL},
};

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *config = NULL;
    CLEANUP_FREE char *id = NULL;
    int r = container_config_build(options, false, &config, err);

    if (r < 0)
        return command_report(cli, err, EXIT_DAEMON);
    r = create_container(cli, options, config, &id, err);
    if (r < 0)
        return r;
    fprintf(cli->out, "%s\n", id);
    return 0;
}

const struct command command_create = {
    .name = "create",
    .aliases = "container create",
    .usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    .summary = "Create a new container",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .flags = COMMAND_OPTIONS_FIRST,
    .run = run,
};
