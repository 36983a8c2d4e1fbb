/* cgroup v1: one hierarchy for each controller or group of them (Linux
 * Documentation/admin-guide/cgroup-v1). */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/cgroup.h"
#include "sandbox/device-rules.h"
#include "spec/resources.h"

enum { VALUE_MAX = 4096, FREEZE_ROUNDS_MAX = 5000 };

/* A new cpuset has no CPUs and no memory, and nothing may enter it until it has: they come from
 * the level above. */
static int inherit(const char *parent, const char *directory, const char *file)
{
    CLEANUP(buffer_release) struct buffer own = BUFFER_INIT(VALUE_MAX);
    CLEANUP(buffer_release) struct buffer above = BUFFER_INIT(VALUE_MAX);
    CLEANUP_FREE char *own_path = path_join(directory, file);
    CLEANUP_FREE char *above_path = path_join(parent, file);
    int r;

    if (!own_path || !above_path)
        return -ENOMEM;
    r = file_read(AT_FDCWD, own_path, &own, NULL);
    if (r < 0 || own.length > 1)
        return r;
    r = file_read(AT_FDCWD, above_path, &above, NULL);
    return r < 0 ? r : file_write(AT_FDCWD, own_path, buffer_string(&above), NULL);
}

static int prepare_cpuset(const struct cgroup_hierarchy *hierarchy, const char *parent,
                          const char *directory)
{
    int r;

    if (!strv_contains(hierarchy->controllers, "cpuset"))
        return 0;
    r = inherit(parent, directory, "cpuset.cpus");
    return r < 0 ? r : inherit(parent, directory, "cpuset.mems");
}

static int v1_create(struct cgroup *cgroup, struct error *err)
{
    for (size_t i = 0; i < cgroup->n_hierarchies; i++) {
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        CLEANUP_FREE char *procs = path_join(hierarchy->directory, "cgroup.procs");
        int r;

        if (!procs)
            return error_oom(err);
        r = cgroup_make_directory(hierarchy, prepare_cpuset);
        if (r >= 0) {
            hierarchy->procs_fd = open(procs, O_WRONLY | O_CLOEXEC);
            r = hierarchy->procs_fd < 0 ? -errno : 0;
        }
        hierarchy->problem = r;
        if (r == -ENOSPC || r == -ENOMEM || r == -ENAMETOOLONG)
            return error_set_errno(err, r, "cannot make cgroup %s", hierarchy->directory);
    }
    return 0;
}

static int write_number(struct cgroup *cgroup, const char *controller, const char *file,
                        int64_t value, bool optional, struct error *err)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, value);
    return cgroup_write(cgroup, controller, file, text, optional, err);
}

static uint64_t read_memory(struct cgroup *cgroup, const char *file)
{
    const struct cgroup_hierarchy *hierarchy = cgroup_find(cgroup, "memory");
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(VALUE_MAX);
    CLEANUP_FREE char *path = hierarchy ? path_join(hierarchy->directory, file) : NULL;

    if (!path || file_read(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    return strtoull(buffer_string(&text), NULL, 10);
}

static int write_memory_limit(struct cgroup *cgroup, const char *file, int64_t value, bool optional,
                              struct error *err)
{
    struct error failure = ERROR_INIT;
    int r = write_number(cgroup, "memory", file, value, optional, &failure);

    if (r != -EBUSY)
        return r < 0 ? error_copy(err, &failure) : 0;
    return error_set_class(err, ERROR_CONFLICT,
                           "unable to set memory limit to %" PRId64 " (current usage: %" PRIu64
                           ", peak usage: %" PRIu64 ")",
                           value, read_memory(cgroup, "memory.usage_in_bytes"),
                           read_memory(cgroup, "memory.max_usage_in_bytes"));
}

/* Memory alone must not be above memory + swap at any moment: which is written first depends on
 * whether limits rise or fall (as runc). What is in use may be above either, then neither changes.
 */
static int apply_memory_limits(struct cgroup *cgroup, const struct spec_resources *resources,
                               struct error *err)
{
    const char *files[] = {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"};
    const int64_t limits[] = {resources->memory_limit, resources->memory_swap};
    uint64_t old;
    int first = 0;
    int r;

    if (!limits[0] && !limits[1])
        return 0;
    if (!limits[0])
        return write_memory_limit(cgroup, files[1], limits[1], true, err);
    if (!limits[1])
        return write_memory_limit(cgroup, files[0], limits[0], false, err);
    if (limits[1] < 0 || read_memory(cgroup, files[0]) < (uint64_t)limits[1])
        first = 1;
    old = read_memory(cgroup, files[first]);
    r = write_memory_limit(cgroup, files[first], limits[first], first == 1, err);
    if (r < 0)
        return r;
    r = write_memory_limit(cgroup, files[!first], limits[!first], first == 0, err);
    if (r < 0 && old > 0 && old <= INT64_MAX)
        (void)write_number(cgroup, "memory", files[first], (int64_t)old, true, NULL);
    return r;
}

static int apply_memory(struct cgroup *cgroup, const struct spec_resources *resources,
                        struct error *err)
{
    int r = apply_memory_limits(cgroup, resources, err);

    if (r >= 0 && resources->memory_reservation)
        r = write_number(cgroup, "memory", "memory.soft_limit_in_bytes",
                         resources->memory_reservation, false, err);
    if (r >= 0 && resources->has_swappiness)
        r = write_number(cgroup, "memory", "memory.swappiness", (int64_t)resources->swappiness,
                         false, err);
    if (r >= 0 && resources->disable_oom_killer)
        r = cgroup_write(cgroup, "memory", "memory.oom_control", "1", false, err);
    return r;
}

static int apply_cpu(struct cgroup *cgroup, const struct spec_resources *resources,
                     struct error *err)
{
    int r = 0;

    if (resources->cpu_shares)
        r = write_number(cgroup, "cpu", "cpu.shares", (int64_t)resources->cpu_shares, false, err);
    if (r >= 0 && resources->cpu_period)
        r = write_number(cgroup, "cpu", "cpu.cfs_period_us", (int64_t)resources->cpu_period, false,
                         err);
    if (r >= 0 && resources->cpu_quota)
        r = write_number(cgroup, "cpu", "cpu.cfs_quota_us", resources->cpu_quota, false, err);
    if (r >= 0 && resources->cpu_rt_period)
        r = write_number(cgroup, "cpu", "cpu.rt_period_us", (int64_t)resources->cpu_rt_period,
                         false, err);
    if (r >= 0 && resources->cpu_rt_runtime)
        r = write_number(cgroup, "cpu", "cpu.rt_runtime_us", resources->cpu_rt_runtime, false, err);
    if (r >= 0 && resources->cpus)
        r = cgroup_write(cgroup, "cpuset", "cpuset.cpus", resources->cpus, false, err);
    if (r >= 0 && resources->mems)
        r = cgroup_write(cgroup, "cpuset", "cpuset.mems", resources->mems, false, err);
    return r;
}

static int apply_pids(struct cgroup *cgroup, const struct spec_resources *resources,
                      struct error *err)
{
    if (resources->pids_limit > 0)
        return write_number(cgroup, "pids", "pids.max", resources->pids_limit, false, err);
    if (resources->pids_limit < 0)
        return cgroup_write(cgroup, "pids", "pids.max", "max", true, err);
    return 0;
}

static int apply_block(struct cgroup *cgroup, const struct spec_resources *resources,
                       struct error *err)
{
    static const char *const files[] = {
        [SPEC_THROTTLE_READ_BPS] = "blkio.throttle.read_bps_device",
        [SPEC_THROTTLE_WRITE_BPS] = "blkio.throttle.write_bps_device",
        [SPEC_THROTTLE_READ_IOPS] = "blkio.throttle.read_iops_device",
        [SPEC_THROTTLE_WRITE_IOPS] = "blkio.throttle.write_iops_device",
    };
    int r = 0;

    /* Whether weights exist depends on the scheduler of the disks (only BFQ has them). */
    if (resources->blkio_weight) {
        r = write_number(cgroup, "blkio", "blkio.weight", resources->blkio_weight, true, err);
        if (r >= 0)
            r = write_number(cgroup, "blkio", "blkio.bfq.weight", resources->blkio_weight, true,
                             err);
    }
    for (int i = 0; i < SPEC_THROTTLE_MAX; i++) {
        for (size_t k = 0; r >= 0 && k < resources->throttles[i].n_throttles; k++) {
            const struct spec_throttle *throttle = &resources->throttles[i].throttles[k];
            char text[80];

            snprintf(text, sizeof(text), "%" PRId64 ":%" PRId64 " %" PRIu64, throttle->major,
                     throttle->minor, throttle->rate);
            r = cgroup_write(cgroup, "blkio", files[i], text, false, err);
        }
    }
    return r;
}

static int apply_hugepages(struct cgroup *cgroup, const struct spec_resources *resources,
                           struct error *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < resources->n_hugepages; i++) {
        char file[80];
        char text[32];

        snprintf(file, sizeof(file), "hugetlb.%s.limit_in_bytes",
                 resources->hugepages[i].page_size);
        snprintf(text, sizeof(text), "%" PRIu64, resources->hugepages[i].limit);
        r = cgroup_write(cgroup, "hugetlb", file, text, false, err);
    }
    return r;
}

static int apply_device(struct cgroup *cgroup, const struct spec_device_rule *rule,
                        struct error *err)
{
    char text[80];
    char major_text[24] = "*";
    char minor_text[24] = "*";
    const char *file = rule->allow ? "devices.allow" : "devices.deny";

    if (rule->type == 'a')
        return cgroup_write(cgroup, "devices", file, "a", false, err);
    if (rule->major >= 0)
        snprintf(major_text, sizeof(major_text), "%" PRId64, rule->major);
    if (rule->minor >= 0)
        snprintf(minor_text, sizeof(minor_text), "%" PRId64, rule->minor);
    snprintf(text, sizeof(text), "%c %s:%s %s%s%s", rule->type, major_text, minor_text,
             rule->read ? "r" : "", rule->write ? "w" : "", rule->make ? "m" : "");
    return cgroup_write(cgroup, "devices", file, text, false, err);
}

/* In the utility VM the devices are the VM's own: there the list need not be enforced. */
static int apply_devices(struct cgroup *cgroup, const struct spec_resources *resources,
                         struct error *err)
{
    CLEANUP_FREE struct spec_device_rule *rules = NULL;
    const struct spec_device_rule *hole;
    size_t n = 0;
    int r;

    if (cgroup->is_guest && !cgroup_find(cgroup, "devices"))
        return 0;
    if (resources->n_devices == 0 && cgroup->has_device_rules)
        return 0; /* an update of other things */
    r = device_rules_effective(resources->devices, resources->n_devices, &rules, &n, err);
    if (r < 0)
        return r;
    hole = device_rules_find_hole(rules, n);
    if (hole)
        return error_set_class(err, ERROR_INVALID,
                               "cgroup v1 cannot deny a part (type %c, major %lld, minor %lld) of "
                               "what a wider device rule allows",
                               hole->type, (long long)hole->major, (long long)hole->minor);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = apply_device(cgroup, &rules[i], err);
    cgroup->has_device_rules = r >= 0;
    return r;
}

static int v1_apply(struct cgroup *cgroup, const struct spec_resources *resources,
                    struct error *err)
{
    int r;

    if ((r = apply_devices(cgroup, resources, err)) < 0 ||
        (r = apply_memory(cgroup, resources, err)) < 0 ||
        (r = apply_cpu(cgroup, resources, err)) < 0 ||
        (r = apply_pids(cgroup, resources, err)) < 0 ||
        (r = apply_block(cgroup, resources, err)) < 0 ||
        (r = apply_hugepages(cgroup, resources, err)) < 0)
        return r;
    if (resources->unified && *resources->unified)
        return error_set_class(err, ERROR_INVALID,
                               "'%s' is a setting of cgroup v2, which this host does not use",
                               *resources->unified);
    return 0;
}

static int v1_freeze(struct cgroup *cgroup, bool frozen, struct error *err)
{
    struct cgroup_hierarchy *hierarchy = cgroup_find(cgroup, "freezer");
    const char *wanted = frozen ? "FROZEN\n" : "THAWED\n";
    CLEANUP_FREE char *path = NULL;
    int r;

    if (!hierarchy || hierarchy->problem)
        return error_set(err, -EOPNOTSUPP, "cgroup controller 'freezer' is not available");
    path = path_join(hierarchy->directory, "freezer.state");
    if (!path)
        return error_oom(err);
    /* v1 has no event for "frozen"; the state is FREEZING until the last process has stopped, and
     * one that forked in between is caught by writing again. */
    for (int i = 0; i < FREEZE_ROUNDS_MAX; i++) {
        CLEANUP(buffer_release) struct buffer state = BUFFER_INIT(VALUE_MAX);

        r = file_write(AT_FDCWD, path, frozen ? "FROZEN" : "THAWED", err);
        if (r < 0)
            return r;
        r = file_read(AT_FDCWD, path, &state, err);
        if (r < 0 || string_equal(buffer_string(&state), wanted))
            return r;
        (void)poll(NULL, 0, 1);
    }
    (void)file_write(AT_FDCWD, path, "THAWED", NULL);
    return error_set(err, -ETIMEDOUT, "the processes of cgroup %s do not freeze", cgroup->path);
}

static int v1_kill(struct cgroup *cgroup)
{
    (void)cgroup;
    return -EOPNOTSUPP;
}

static int v1_oom_kills(struct cgroup *cgroup, uint64_t *ret)
{
    struct cgroup_hierarchy *hierarchy = cgroup_find(cgroup, "memory");

    if (!hierarchy || hierarchy->problem)
        return -EOPNOTSUPP;
    return cgroup_read_key(hierarchy->directory, "memory.oom_control", "oom_kill", ret);
}

const struct cgroup_ops cgroup_v1_ops = {
    .name = "cgroup v1",
    .create = v1_create,
    .apply = v1_apply,
    .freeze = v1_freeze,
    .kill = v1_kill,
    .oom_kills = v1_oom_kills,
};
