#include "engine/resources.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "spec/resources.h"
#include "vm/vm.h"

enum {
    MEMORY_MIN_MIB = 6,          /* as dockerd */
    CPU_PERIOD_DEFAULT = 100000, /* microseconds */
    CPUSET_NUMBER_MAX = 8191,
    BLKIO_WEIGHT_MIN = 10,
    BLKIO_WEIGHT_MAX = 1000,
};

/* --- checks --- */

static int check_memory(json_t *host, bool update, struct error *err)
{
    int64_t memory = 0;
    int64_t swap = 0;
    int64_t reservation = 0;
    int r;
    if ((r = json_get_i64(host, "Memory", &memory, err)) < 0 ||
        (r = json_get_i64(host, "MemorySwap", &swap, err)) < 0 ||
        (r = json_get_i64(host, "MemoryReservation", &reservation, err)) < 0)
        return r;
    if (memory < 0 || (memory > 0 && memory < (int64_t)MEMORY_MIN_MIB * 1024 * 1024))
        return error_set_class(err, ERROR_INVALID, "Minimum memory limit allowed is %dMB",
                               MEMORY_MIN_MIB);
    if (memory > 0 && swap > 0 && swap < memory)
        return error_set_class(err, ERROR_INVALID,
                               "Minimum memoryswap limit should be larger than memory limit, see "
                               "usage");
    if (memory == 0 && swap > 0 && !update)
        return error_set_class(err, ERROR_INVALID,
                               "You should always set the Memory limit when using Memoryswap "
                               "limit, see usage");
    if (reservation < 0 || (reservation > 0 && reservation < (int64_t)MEMORY_MIN_MIB * 1024 * 1024))
        return error_set_class(err, ERROR_INVALID, "Minimum memory reservation allowed is %dMB",
                               MEMORY_MIN_MIB);
    if (memory > 0 && reservation > memory)
        return error_set_class(err, ERROR_INVALID,
                               "Minimum memory limit can not be less than memory reservation "
                               "limit, see usage");
    if (memory > 0 && swap == 0 && !update) /* docker: as much swap again */
        r = json_put_i64(host, "MemorySwap", memory > INT64_MAX / 2 ? INT64_MAX : memory * 2);
    return r < 0 ? error_oom(err) : 0;
}

static int check_cpu(const json_t *host, struct error *err)
{
    int64_t nano = 0;
    int64_t period = 0;
    int64_t quota = 0;
    int64_t shares = 0;
    int r;
    if ((r = json_get_i64(host, "NanoCpus", &nano, err)) < 0 ||
        (r = json_get_i64(host, "CpuPeriod", &period, err)) < 0 ||
        (r = json_get_i64(host, "CpuQuota", &quota, err)) < 0 ||
        (r = json_get_i64(host, "CpuShares", &shares, err)) < 0)
        return r;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    if (nano < 0 || nano > (int64_t)cpus * 1000000000)
        return error_set_class(err, ERROR_INVALID,
                               "range of CPUs is from 0.01 to %ld.00, as there are only %ld CPUs "
                               "available",
                               cpus, cpus);
    if (nano > 0 && (period > 0 || quota > 0))
        return error_set_class(err, ERROR_INVALID,
                               "Conflicting options: Nano CPUs and CPU %s cannot both be set.",
                               period > 0 ? "Period" : "Quota");
    if (period && (period < 1000 || period > 1000000))
        return error_set_class(err, ERROR_INVALID,
                               "CPU cfs period can not be less than 1ms (i.e. 1000) or larger "
                               "than 1s (i.e. 1000000)");
    if (quota > 0 && quota < 1000)
        return error_set_class(err, ERROR_INVALID,
                               "CPU cfs quota can not be less than 1ms (i.e. 1000)");
    return 0;
}

/* A list like "0-2,7". *ret_highest: the highest number in it. */
static bool read_cpuset(const char *text, int *ret_highest)
{
    CLEANUP_STRV char **ranges = NULL;
    int highest = -1;

    if (strv_split(text, ',', &ranges) < 0)
        return false;
    for (char **range = ranges; range && *range; range++) {
        char *dash = strchr(*range, '-');
        int first;
        int last;

        if (dash)
            *dash = '\0';
        if (string_to_int(*range, 0, CPUSET_NUMBER_MAX, &first) < 0)
            return false;
        last = first;
        if (dash && string_to_int(dash + 1, first, CPUSET_NUMBER_MAX, &last) < 0)
            return false;
        if (last > highest)
            highest = last;
    }
    *ret_highest = highest;
    return highest >= 0;
}

static int check_cpusets(const json_t *host, struct error *err)
{
    const char *cpus = "";
    const char *mems = "";
    long present = sysconf(_SC_NPROCESSORS_CONF);
    int highest = 0;
    int r;
    if ((r = json_get_string(host, "CpusetCpus", &cpus, err)) < 0 ||
        (r = json_get_string(host, "CpusetMems", &mems, err)) < 0)
        return r;
    if (!string_is_empty(mems) && !read_cpuset(mems, &highest))
        return error_set_class(err, ERROR_INVALID, "Invalid value %s for cpuset mems", mems);
    if (string_is_empty(cpus))
        return 0;
    if (!read_cpuset(cpus, &highest))
        return error_set_class(err, ERROR_INVALID, "Invalid value %s for cpuset cpus", cpus);
    if (highest >= present)
        return error_set_class(err, ERROR_INVALID,
                               "Requested CPUs are not available - requested %s, available: 0-%ld",
                               cpus, present - 1);
    return 0;
}

/* Version 1 has weights only with some schedulers of disks; version 2's are seen below its root
 * only. */
static bool has_block_weights(void)
{
    static const char *const files[] = {"/sys/fs/cgroup/blkio/blkio.weight",
                                        "/sys/fs/cgroup/blkio/blkio.bfq.weight",
                                        "/sys/fs/cgroup/cgroup.controllers"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (access(files[i], F_OK) == 0)
            return true;
    return false;
}

static int check_block(json_t *host, enum compute_isolation isolation, char ***warnings,
                       struct error *err)
{
    int64_t weight = 0;
    int r = json_get_i64(host, "BlkioWeight", &weight, err);
    if (r < 0)
        return r;
    if (weight != 0 && (weight < BLKIO_WEIGHT_MIN || weight > BLKIO_WEIGHT_MAX))
        return error_set_class(err, ERROR_INVALID, "Range of blkio weight is from 10 to 1000");
    if (weight == 0 || (isolation == COMPUTE_PROCESS && has_block_weights()))
        return 0;
    if (json_put_i64(host, "BlkioWeight", 0) < 0 ||
        strv_append(warnings, "Your kernel does not support Block I/O weight or the cgroup is not "
                              "mounted. Weight discarded.") < 0)
        return error_oom(err);
    return 0;
}

int engine_resources_check(json_t *host, enum compute_isolation isolation, bool update,
                           char ***warnings, struct error *err)
{
    int r;
    if ((r = check_memory(host, update, err)) < 0 || (r = check_cpu(host, err)) < 0 ||
        (r = check_cpusets(host, err)) < 0)
        return r;
    return check_block(host, isolation, warnings, err);
}

int engine_resources_check_vm(uint64_t memory, struct error *err)
{
    if (memory < VM_MEMORY_MIN)
        return error_set_class(
            err, ERROR_INVALID,
            "Minimum memory limit allowed with isolation 'hyperv' is %lldMB: the "
            "VM's own kernel needs some of it",
            (long long)(VM_MEMORY_MIN >> 20));
    return 0;
}

int engine_restart_policy_check(const json_t *host, bool auto_remove, struct error *err)
{
    json_t *policy = NULL;
    const char *name = "no";
    int64_t count = 0;
    int r = json_get_object(host, "RestartPolicy", &policy, err);
    if (r < 1)
        return r;
    if ((r = json_get_string(policy, "Name", &name, err)) < 0 ||
        (r = json_get_i64(policy, "MaximumRetryCount", &count, err)) < 0)
        return r;
    bool none = string_is_empty(name) || string_equal(name, "no");
    bool on_failure = string_equal(name, "on-failure");
    if (!none && !on_failure && !string_equal(name, "always") &&
        !string_equal(name, "unless-stopped"))
        return error_set_class(err, ERROR_INVALID,
                               "invalid restart policy: unknown policy '%s'; "
                               "use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
                               name);
    if (count != 0 && !on_failure)
        return error_set_class(err, ERROR_INVALID,
                               "invalid restart policy: maximum retry count can only be used with "
                               "'on-failure'");
    if (count < 0)
        return error_set_class(err, ERROR_INVALID,
                               "invalid restart policy: maximum retry count cannot be negative");
    if (auto_remove && !none)
        return error_set_class(err, ERROR_INVALID,
                               "can't create 'AutoRemove' container with restart policy");
    return 0;
}

/* --- the OCI form --- */

int engine_resources_build(const json_t *host, struct spec_resources *resources, struct error *err)
{
    int64_t shares = 0;
    int64_t nano = 0;
    int64_t period = 0;
    int weight = 0;
    int r;
    if ((r = json_get_i64(host, "Memory", &resources->memory_limit, err)) < 0 ||
        (r = json_get_i64(host, "MemoryReservation", &resources->memory_reservation, err)) < 0 ||
        (r = json_get_i64(host, "MemorySwap", &resources->memory_swap, err)) < 0 ||
        (r = json_get_i64(host, "CpuShares", &shares, err)) < 0 ||
        (r = json_get_i64(host, "CpuQuota", &resources->cpu_quota, err)) < 0 ||
        (r = json_get_i64(host, "CpuPeriod", &period, err)) < 0 ||
        (r = json_get_i64(host, "NanoCpus", &nano, err)) < 0 ||
        (r = json_get_i64(host, "PidsLimit", &resources->pids_limit, err)) < 0 ||
        (r = json_get_int(host, "BlkioWeight", 0, BLKIO_WEIGHT_MAX, &weight, err)) < 0)
        return r;
    resources->blkio_weight = (unsigned)weight;
    resources->cpu_shares = shares > 0 ? (uint64_t)shares : 0;
    resources->cpu_period = period > 0 ? (uint64_t)period : 0;
    if (nano > 0) {
        resources->cpu_period = CPU_PERIOD_DEFAULT;
        resources->cpu_quota = nano / 10000;
    }
    const char *cpus = "";
    const char *mems = "";
    if ((r = json_get_string(host, "CpusetCpus", &cpus, err)) < 0 ||
        (r = json_get_string(host, "CpusetMems", &mems, err)) < 0)
        return r;
    if ((!string_is_empty(cpus) && string_replace(&resources->cpus, cpus) < 0) ||
        (!string_is_empty(mems) && string_replace(&resources->mems, mems) < 0))
        return error_oom(err);
    return 0;
}

void engine_resources_trim(struct spec_resources *resources)
{
    free(TAKE_PTR(resources->cpus));
    free(TAKE_PTR(resources->mems));
    resources->memory_swap = 0;
    resources->blkio_weight = 0;
}

int64_t engine_resources_nano_cpus(const json_t *host)
{
    int64_t nano = 0;
    int64_t quota = 0;
    int64_t period = 0;
    (void)json_get_i64(host, "NanoCpus", &nano, NULL);
    (void)json_get_i64(host, "CpuQuota", &quota, NULL);
    (void)json_get_i64(host, "CpuPeriod", &period, NULL);
    if (nano > 0 || quota <= 0)
        return nano > 0 ? nano : 0;
    return (int64_t)((double)quota * 1e9 / (double)(period > 0 ? period : CPU_PERIOD_DEFAULT));
}
