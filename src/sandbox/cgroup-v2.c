/* cgroup v2: one hierarchy with all controllers (Linux Documentation/admin-guide/cgroup-v2.rst). */
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
#include "sandbox/device-filter.h"
#include "sandbox/device-rules.h"
#include "spec/resources.h"

enum {
    VALUE_MAX = 4096,
    FREEZE_TIMEOUT_MS = 5000,
    PERIOD_DEFAULT = 100000, /* microseconds, the kernel's own */
    SHARES_MIN = 2,
    SHARES_MAX = 262144,
    WEIGHT_MAX = 10000,
    BLKIO_WEIGHT_MIN = 10,
    BLKIO_WEIGHT_MAX = 1000,
};

/* Passes each controller that `parent` has on to its children. One that cannot be passed on (a
 * group above with processes of its own) is missed only by a limit that needs it. */
static int prepare_level(const struct cgroup_hierarchy *hierarchy, const char *parent,
                         const char *directory)
{
    CLEANUP(buffer_release) struct buffer available = BUFFER_INIT(VALUE_MAX);
    CLEANUP(buffer_release) struct buffer enabled = BUFFER_INIT(VALUE_MAX);
    CLEANUP_FREE char *list = path_join(parent, "cgroup.controllers");
    CLEANUP_FREE char *control = path_join(parent, "cgroup.subtree_control");
    CLEANUP_STRV char **on = NULL;
    char *rest;
    char *word;

    (void)hierarchy;
    (void)directory;
    if (!list || !control)
        return -ENOMEM;
    if (file_read(AT_FDCWD, list, &available, NULL) < 0 ||
        file_read(AT_FDCWD, control, &enabled, NULL) < 0)
        return 0;
    if (enabled.length > 0 && enabled.data[enabled.length - 1] == '\n')
        enabled.data[enabled.length - 1] = '\0';
    if (strv_split(buffer_string(&enabled), ' ', &on) < 0)
        return -ENOMEM;
    rest = available.data;
    while ((word = strsep(&rest, " \n"))) {
        char text[80];

        if (!*word || strv_contains(on, word) || strlen(word) > sizeof(text) - 2)
            continue;
        snprintf(text, sizeof(text), "+%s", word);
        (void)file_write(AT_FDCWD, control, text, NULL);
    }
    return 0;
}

static int v2_create(struct cgroup *cgroup, struct error *err)
{
    struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[0];
    int r = cgroup_make_directory(hierarchy, prepare_level);

    if (r == -EROFS || r == -EACCES || r == -EPERM) {
        hierarchy->problem = r;
        return 0;
    }
    if (r >= 0) {
        cgroup->directory_fd = fd_close(cgroup->directory_fd);
        cgroup->directory_fd = open(hierarchy->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = cgroup->directory_fd < 0 ? -errno : 0;
    }
    if (r >= 0) {
        hierarchy->procs_fd = openat(cgroup->directory_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        r = hierarchy->procs_fd < 0 ? -errno : 0;
    }
    return r < 0 ? error_set_errno(err, r, "cannot make cgroup %s", hierarchy->directory) : 0;
}

/* -1 is "max" in v2. */
static int write_limit(struct cgroup *cgroup, const char *controller, const char *file,
                       int64_t value, bool optional, struct error *err)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, value);
    return cgroup_write(cgroup, controller, file, value < 0 ? "max" : text, optional || value < 0,
                        err);
}

/* Version 2 does not refuse a limit that is below what is in use: it kills. What can be thrown
 * away, the page cache, does not count. */
static int check_usage(struct cgroup *cgroup, int64_t limit, struct error *err)
{
    static const char *const reclaimable[] = {"active_file", "inactive_file", "slab_reclaimable"};
    const struct cgroup_hierarchy *hierarchy = cgroup_find(cgroup, "memory");
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(VALUE_MAX);
    CLEANUP_FREE char *path = hierarchy ? path_join(hierarchy->directory, "memory.current") : NULL;
    uint64_t usage;
    uint64_t used;

    if (limit <= 0 || !path || file_read(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    usage = used = strtoull(buffer_string(&text), NULL, 10);
    for (size_t i = 0; i < sizeof(reclaimable) / sizeof(reclaimable[0]); i++) {
        uint64_t part = 0;

        if (cgroup_read_key(hierarchy->directory, "memory.stat", reclaimable[i], &part) >= 0)
            used -= part < used ? part : used;
    }
    if (used <= (uint64_t)limit)
        return 0;
    return error_set_class(err, ERROR_CONFLICT,
                           "unable to set memory limit to %" PRId64 " (current usage: %" PRIu64 ")",
                           limit, usage);
}

/* v1 and docker count memory and swap together, v2 counts swap alone. */
static int apply_memory(struct cgroup *cgroup, const struct spec_resources *resources,
                        struct error *err)
{
    int64_t swap = resources->memory_swap;
    int r = 0;

    if (swap > 0 && resources->memory_limit > 0) {
        if (swap < resources->memory_limit)
            return error_set_class(err, ERROR_INVALID,
                                   "memory+swap limit is below the memory limit");
        swap -= resources->memory_limit;
    } else if (swap > 0) {
        return error_set_class(err, ERROR_INVALID,
                               "a memory+swap limit needs a memory limit beside it");
    }
    if ((r = check_usage(cgroup, resources->memory_limit, err)) < 0)
        return r;
    /* Swap first: a lower memory limit may need to push pages out. Kernels without swap have no
     * such file. */
    if (resources->memory_swap)
        r = write_limit(cgroup, "memory", "memory.swap.max", swap, true, err);
    if (r >= 0 && resources->memory_limit)
        r = write_limit(cgroup, "memory", "memory.max", resources->memory_limit, false, err);
    if (r >= 0 && resources->memory_reservation)
        r = write_limit(cgroup, "memory", "memory.low", resources->memory_reservation, false, err);
    return r;
}

/* OCI's conversion: shares [2, 262144] to weight [1, 10000]. */
static uint64_t shares_to_weight(uint64_t shares)
{
    if (shares < SHARES_MIN)
        shares = SHARES_MIN;
    if (shares > SHARES_MAX)
        shares = SHARES_MAX;
    return 1 + (shares - SHARES_MIN) * (WEIGHT_MAX - 1) / (SHARES_MAX - SHARES_MIN);
}

static int apply_cpu(struct cgroup *cgroup, const struct spec_resources *resources,
                     struct error *err)
{
    char text[64];
    int r = 0;

    if (resources->cpu_shares)
        r = write_limit(cgroup, "cpu", "cpu.weight",
                        (int64_t)shares_to_weight(resources->cpu_shares), false, err);
    if (r >= 0 && (resources->cpu_quota || resources->cpu_period)) {
        uint64_t period = resources->cpu_period ? resources->cpu_period : PERIOD_DEFAULT;

        if (resources->cpu_quota > 0)
            snprintf(text, sizeof(text), "%" PRId64 " %" PRIu64, resources->cpu_quota, period);
        else
            snprintf(text, sizeof(text), "max %" PRIu64, period);
        r = cgroup_write(cgroup, "cpu", "cpu.max", text, resources->cpu_quota < 0, err);
    }
    if (r >= 0 && resources->cpus)
        r = cgroup_write(cgroup, "cpuset", "cpuset.cpus", resources->cpus, false, err);
    if (r >= 0 && resources->mems)
        r = cgroup_write(cgroup, "cpuset", "cpuset.mems", resources->mems, false, err);
    if (r >= 0 && (resources->cpu_rt_runtime || resources->cpu_rt_period))
        return error_set_class(err, ERROR_INVALID, "cgroup v2 has no realtime limits");
    return r;
}

static int apply_block(struct cgroup *cgroup, const struct spec_resources *resources,
                       struct error *err)
{
    static const char *const keys[] = {
        [SPEC_THROTTLE_READ_BPS] = "rbps",
        [SPEC_THROTTLE_WRITE_BPS] = "wbps",
        [SPEC_THROTTLE_READ_IOPS] = "riops",
        [SPEC_THROTTLE_WRITE_IOPS] = "wiops",
    };
    int r = 0;

    if (resources->blkio_weight >= BLKIO_WEIGHT_MIN) {
        int64_t weight = 1 + (int64_t)(resources->blkio_weight - BLKIO_WEIGHT_MIN) *
                                 (WEIGHT_MAX - 1) / (BLKIO_WEIGHT_MAX - BLKIO_WEIGHT_MIN);

        r = write_limit(cgroup, "io", "io.bfq.weight", resources->blkio_weight, true, err);
        if (r >= 0)
            r = write_limit(cgroup, "io", "io.weight", weight, true, err);
    }
    for (int i = 0; i < SPEC_THROTTLE_MAX; i++) {
        for (size_t k = 0; r >= 0 && k < resources->throttles[i].n_throttles; k++) {
            const struct spec_throttle *throttle = &resources->throttles[i].throttles[k];
            char text[96];

            snprintf(text, sizeof(text), "%" PRId64 ":%" PRId64 " %s=%" PRIu64, throttle->major,
                     throttle->minor, keys[i], throttle->rate);
            r = cgroup_write(cgroup, "io", "io.max", text, false, err);
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

        snprintf(file, sizeof(file), "hugetlb.%s.max", resources->hugepages[i].page_size);
        snprintf(text, sizeof(text), "%" PRIu64, resources->hugepages[i].limit);
        r = cgroup_write(cgroup, "hugetlb", file, text, false, err);
    }
    return r;
}

static int apply_unified(struct cgroup *cgroup, char *const *unified, struct error *err)
{
    int r = 0;

    for (; r >= 0 && unified && *unified; unified++) {
        const char *equals = strchr(*unified, '=');
        CLEANUP_FREE char *file = equals ? strndup(*unified, (size_t)(equals - *unified)) : NULL;

        if (!file)
            return error_oom(err);
        r = cgroup_write(cgroup, file, file, equals + 1, false, err);
    }
    return r;
}

/* Where the VM is the boundary its kernel may have been built without bpf(2); on the host a list
 * that cannot be enforced is an error. */
static int apply_devices(struct cgroup *cgroup, const struct spec_resources *resources,
                         struct error *err)
{
    CLEANUP_FREE struct spec_device_rule *rules = NULL;
    struct error problem = ERROR_INIT;
    size_t n = 0;
    int r;

    if (resources->n_devices == 0 && cgroup->has_device_rules)
        return 0; /* an update of other things */
    r = device_rules_effective(resources->devices, resources->n_devices, &rules, &n, err);
    if (r < 0)
        return r;
    if (cgroup->directory_fd < 0)
        return cgroup->is_guest
                   ? 0
                   : error_set(err, -EOPNOTSUPP, "device rules need a cgroup, and %s is not usable",
                               cgroup->path);
    r = device_filter_attach(cgroup->directory_fd, rules, n, &problem);
    if (r < 0 && !cgroup->is_guest)
        return error_copy(err, &problem);
    cgroup->has_device_rules = true;
    return 0;
}

static int v2_apply(struct cgroup *cgroup, const struct spec_resources *resources,
                    struct error *err)
{
    int r;

    if ((r = apply_devices(cgroup, resources, err)) < 0 ||
        (r = apply_memory(cgroup, resources, err)) < 0 ||
        (r = apply_cpu(cgroup, resources, err)) < 0 ||
        (r = resources->pids_limit
                 ? write_limit(cgroup, "pids", "pids.max", resources->pids_limit, false, err)
                 : 0) < 0 ||
        (r = apply_block(cgroup, resources, err)) < 0 ||
        (r = apply_hugepages(cgroup, resources, err)) < 0)
        return r;
    return apply_unified(cgroup, resources->unified, err);
}

/* cgroup.events raises POLLPRI when "frozen" changes. */
static int v2_freeze(struct cgroup *cgroup, bool frozen, struct error *err)
{
    const char *directory = cgroup->hierarchies[0].directory;
    CLEANUP_CLOSE int events = -EBADF;
    uint64_t state = 0;
    char text[VALUE_MAX];
    int r = cgroup_write(cgroup, "freezer", "cgroup.freeze", frozen ? "1" : "0", false, err);

    if (r < 0)
        return r;
    events = openat(cgroup->directory_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (events < 0)
        return error_set_errno(err, -errno, "cannot open cgroup.events of %s", cgroup->path);
    for (;;) {
        struct pollfd poll_fd = {.fd = events, .events = POLLPRI};

        /* Reading arms the next notification, so the state is read after it. */
        if (pread(events, text, sizeof(text), 0) < 0)
            return error_set_errno(err, -errno, "cannot read cgroup.events of %s", cgroup->path);
        r = cgroup_read_key(directory, "cgroup.events", "frozen", &state);
        if (r < 0)
            return error_set_errno(err, r, "cannot read cgroup.events of %s", cgroup->path);
        if (state == (uint64_t)frozen)
            return 0;
        if (poll(&poll_fd, 1, FREEZE_TIMEOUT_MS) == 0)
            break;
    }
    if (frozen)
        (void)cgroup_write(cgroup, "freezer", "cgroup.freeze", "0", true, NULL);
    return error_set(err, -ETIMEDOUT, "the processes of cgroup %s do not freeze", cgroup->path);
}

/* cgroup.kill is of Linux 5.14. */
static int v2_kill(struct cgroup *cgroup)
{
    if (cgroup->directory_fd < 0)
        return -EBADF;
    return file_write(cgroup->directory_fd, "cgroup.kill", "1", NULL);
}

static int v2_oom_kills(struct cgroup *cgroup, uint64_t *ret)
{
    return cgroup_read_key(cgroup->hierarchies[0].directory, "memory.events", "oom_kill", ret);
}

const struct cgroup_ops cgroup_v2_ops = {
    .name = "cgroup v2",
    .create = v2_create,
    .apply = v2_apply,
    .freeze = v2_freeze,
    .kill = v2_kill,
    .oom_kills = v2_oom_kills,
};
