#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/container-config.h"
#include "cli/container.h"
#include "cli/options.h"

static const struct cli_option update_options[] = {
    {.name = "blkio-weight",
     .type = OPTION_INT,
     .help = "Block IO (relative weight), between 10 and 1000, or 0 to disable"},
    {.name = "cpu-period",
     .type = OPTION_INT,
     .help = "Limit CPU CFS (Completely Fair Scheduler) period"},
    {.name = "cpu-quota",
     .type = OPTION_INT,
     .help = "Limit CPU CFS (Completely Fair Scheduler) quota"},
    {.name = "cpu-rt-period",
     .type = OPTION_INT,
     .help = "Limit the CPU real-time period in microseconds"},
    {.name = "cpu-rt-runtime",
     .type = OPTION_INT,
     .help = "Limit the CPU real-time runtime in microseconds"},
    {.name = "cpu-shares",
     .letter = 'c',
     .type = OPTION_INT,
     .help = "CPU shares (relative weight)"},
    {.name = "cpus", .type = OPTION_DECIMAL, .help = "Number of CPUs"},
    {.name = "cpuset-cpus",
     .type = OPTION_STRING,
     .help = "CPUs in which to allow execution (0-3, 0,1)"},
    {.name = "cpuset-mems",
     .type = OPTION_STRING,
     .help = "MEMs in which to allow execution (0-3, 0,1)"},
    {.name = "memory", .letter = 'm', .type = OPTION_BYTES, .help = "Memory limit"},
    {.name = "memory-reservation", .type = OPTION_BYTES, .help = "Memory soft limit"},
    {.name = "memory-swap",
     .type = OPTION_BYTES,
     .help = "Swap limit equal to memory plus swap: -1 to enable unlimited swap"},
    {.name = "pids-limit",
     .type = OPTION_INT,
     .help = "Tune container pids limit (set -1 for unlimited)"},
    {.name = "restart",
     .type = OPTION_STRING,
     .help = "Restart policy to apply when a container exits"},
    {.name = NULL},
};

static const struct {
    const char *option;
    const char *member;
} members[] = {
    {"blkio-weight", "BlkioWeight"},
    {"cpu-period", "CpuPeriod"},
    {"cpu-quota", "CpuQuota"},
    {"cpu-rt-period", "CpuRealtimePeriod"},
    {"cpu-rt-runtime", "CpuRealtimeRuntime"},
    {"cpu-shares", "CpuShares"},
    {"cpus", "NanoCpus"},
    {"cpuset-cpus", "CpusetCpus"},
    {"cpuset-mems", "CpusetMems"},
    {"memory", "Memory"},
    {"memory-reservation", "MemoryReservation"},
    {"memory-swap", "MemorySwap"},
    {"pids-limit", "PidsLimit"},
};

static int make_body(const struct options *options, json_t **ret, struct error *err)
{
    CLEANUP_JSON json_t *body = json_object();

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const char *name = members[i].option;
        int r;

        if (!options_given(options, name))
            continue;
        r = string_starts_with(name, "cpuset-")
                ? json_put_string(body, members[i].member, options_text(options, name))
                : json_put_i64(body, members[i].member, options_number(options, name));
        if (r < 0)
            return error_oom(err);
    }
    if (options_given(options, "restart")) {
        int r = container_config_restart(options_text(options, "restart"), body, err);

        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(body);
    return 0;
}

static int update_one(struct cli *cli, const struct options *options, const char *name,
                      struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    int r = make_body(options, &body, err);

    return r < 0 ? r : container_update(cli, name, body, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    int r = make_body(options, &body, err);

    if (r < 0)
        return r;
    if (json_object_size(body) == 0)
        return error_set_class(err, ERROR_INVALID,
                               "you must provide one or more flags when using this command");
    return container_each(cli, options, update_one);
}

const struct command command_update = {
    .name = "update",
    .aliases = "container update",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .summary = "Update configuration of one or more containers",
    .options = update_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run,
};
