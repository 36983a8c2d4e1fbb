#include "vm/cgroup.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "base/timestamp.h"

enum {
    CGROUP_FILE_MAX = 1024 * 1024,
    CPU_PERIOD_US = 100000,
    CPU_QUOTA_MIN_US = 1000,
    MAKE_ROUNDS_MAX = 100
};

static const char *const v1_controllers[] = {"memory", "cpu", "pids"};
static_assert(sizeof(v1_controllers) / sizeof(v1_controllers[0]) <= VM_CGROUP_TREES_MAX,
              "a directory for each");

/* --- making --- */

static bool exists(const char *directory, const char *name)
{
    CLEANUP_FREE char *path = path_join(directory, name);

    return path && access(path, F_OK) == 0;
}

/* Writes one limit; a file that this kernel lacks (`optional`) is no failure. */
static int write_limit(const char *directory, const char *name, const char *text, bool optional,
                       struct error *err)
{
    CLEANUP_FREE char *path = path_join(directory, name);

    if (!path)
        return error_oom(err);
    if (optional && access(path, F_OK) < 0)
        return 0;
    return file_write(AT_FDCWD, path, text, err);
}

static int write_number(const char *directory, const char *name, uint64_t number, bool optional,
                        struct error *err)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64, number);
    return write_limit(directory, name, text, optional, err);
}

static long long quota(double cpus)
{
    double quota_us = cpus * CPU_PERIOD_US;

    return quota_us < CPU_QUOTA_MIN_US ? CPU_QUOTA_MIN_US : (long long)quota_us;
}

static int limit_v1(const char *controller, const char *directory,
                    const struct vm_cgroup_limits *limits, struct error *err)
{
    char text[32];
    int r;

    if (string_equal(controller, "memory")) {
        r = write_number(directory, "memory.limit_in_bytes", limits->memory, false, err);
        /* memory + swap; absent without swap accounting */
        return r < 0 ? r
                     : write_number(directory, "memory.memsw.limit_in_bytes", limits->memory, true,
                                    err);
    }
    if (string_equal(controller, "pids"))
        return write_number(directory, "pids.max", limits->processes, false, err);
    if (limits->cpus <= 0)
        return 0;
    r = write_number(directory, "cpu.cfs_period_us", CPU_PERIOD_US, false, err);
    if (r < 0)
        return r;
    snprintf(text, sizeof(text), "%lld", quota(limits->cpus));
    return write_limit(directory, "cpu.cfs_quota_us", text, false, err);
}

static int limit_v2(const char *directory, const struct vm_cgroup_limits *limits, struct error *err)
{
    char text[64];
    int r = write_number(directory, "memory.max", limits->memory, true, err);

    if (r == 0)
        r = write_number(directory, "memory.swap.max", 0, true, err);
    if (r == 0)
        r = write_number(directory, "pids.max", limits->processes, true, err);
    if (r == 0 && limits->cpus > 0) {
        snprintf(text, sizeof(text), "%lld %d", quota(limits->cpus), CPU_PERIOD_US);
        /* Nothing else limits it; memory is limited by the VM's size, too, processes by rlimit. */
        if (!exists(directory, "cpu.max"))
            return error_set(err, -EOPNOTSUPP,
                             "cannot limit CPUs: cgroup controller 'cpu' is not available");
        r = write_limit(directory, "cpu.max", text, false, err);
    }
    return r;
}

/* Version 2 hands controllers down one level at a time. A parent that has processes of its own
 * refuses (-EBUSY); then that controller is missing below, which is seen there. */
static void delegate_v2(const char *parent)
{
    for (size_t i = 0; i < sizeof(v1_controllers) / sizeof(v1_controllers[0]); i++) {
        CLEANUP_FREE char *text = string_format("+%s", v1_controllers[i]);

        if (text)
            (void)write_limit(parent, "cgroup.subtree_control", text, true, NULL);
    }
}

/* Makes what is below the first `end` characters of `walk`, the mount. A level must exist before it
 * can hand anything down. */
static int make_levels(char *walk, size_t end, bool v2)
{
    while (walk[end]) {
        char separator;
        int r;

        walk[end] = '\0';
        if (v2)
            delegate_v2(walk);
        walk[end] = '/';
        end += 1 + strcspn(walk + end + 1, "/");
        separator = walk[end];
        walk[end] = '\0';
        r = mkdir(walk, 0755) < 0 && errno != EEXIST ? -errno : 0;
        walk[end] = separator;
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_tree(struct vm_cgroup *cgroup, const char *mount, const char *path, bool v2,
                     struct error *err)
{
    CLEANUP_FREE char *directory = path_join(mount, path);
    int r = -ENOENT;

    if (!directory)
        return error_oom(err);
    /* "/hull" may go with another container's end between its mkdir and that of what is below. */
    for (int i = 0; r == -ENOENT && i < MAKE_ROUNDS_MAX; i++)
        r = make_levels(directory, strlen(mount), v2);
    if (r < 0)
        return error_set_errno(err, r, "cannot make %s", directory);
    cgroup->directories[cgroup->n++] = TAKE_PTR(directory);
    return 0;
}

static int create_v1(const char *mount, const char *path, const struct vm_cgroup_limits *limits,
                     struct vm_cgroup *cgroup, struct error *err)
{
    for (size_t i = 0; i < sizeof(v1_controllers) / sizeof(v1_controllers[0]); i++) {
        CLEANUP_FREE char *tree = path_join(mount, v1_controllers[i]);
        int r;

        if (!tree)
            return error_oom(err);
        if (!exists(tree, "cgroup.procs")) {
            if (limits->cpus > 0 && string_equal(v1_controllers[i], "cpu"))
                return error_set(err, -EOPNOTSUPP,
                                 "cannot limit CPUs: cgroup controller 'cpu' is not available");
            continue;
        }
        r = make_tree(cgroup, tree, path, false, err);
        if (r == 0)
            r = limit_v1(v1_controllers[i], cgroup->directories[cgroup->n - 1], limits, err);
        if (r < 0)
            return r;
    }
    if (cgroup->n == 0)
        return error_set(err, -ENOENT, "no cgroup controllers are mounted at %s", mount);
    return 0;
}

static void destroy(struct vm_cgroup *cgroup)
{
    (void)vm_cgroup_destroy(cgroup);
}

int vm_cgroup_create(const char *mount, const char *path, const struct vm_cgroup_limits *limits,
                     struct vm_cgroup *ret, struct error *err)
{
    CLEANUP(destroy) struct vm_cgroup cgroup = {.n = 0};
    CLEANUP_FREE char *normal = string_format("/%s", path);
    CLEANUP_FREE char *lexical = normal ? path_normalize(normal) : NULL;
    int r;

    if (!lexical)
        return error_oom(err);
    while (*path == '/')
        path++;
    if (!*path || !string_ends_with(lexical, path))
        return error_set(err, -EINVAL, "'%s' is not a cgroup path", path);
    if (exists(mount, "cgroup.controllers")) {
        r = make_tree(&cgroup, mount, path, true, err);
        if (r == 0)
            r = limit_v2(cgroup.directories[0], limits, err);
    } else {
        r = create_v1(mount, path, limits, &cgroup, err);
    }
    if (r < 0)
        return error_wrap(err, r, "cgroup %s", path);
    *ret = cgroup;
    cgroup = (struct vm_cgroup){.n = 0};
    return 0;
}

/* --- changing --- */

static int read_number(const char *directory, const char *name, uint64_t *ret)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CGROUP_FILE_MAX);
    CLEANUP_FREE char *path = path_join(directory, name);
    int r = path ? file_read(AT_FDCWD, path, &text, NULL) : -ENOMEM;

    if (r == 0)
        *ret = strtoull(buffer_string(&text), NULL, 10);
    return r;
}

/* Memory alone must not be above memory + swap at any moment. */
static int change_memory_v1(const char *directory, uint64_t memory, struct error *err)
{
    static const char *const names[] = {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"};
    uint64_t old = 0;
    int first = 0;
    int r = read_number(directory, names[0], &old);

    if (r < 0)
        return error_set_errno(err, r, "cannot read %s of %s", names[0], directory);
    if (memory > old)
        first = 1;
    r = write_number(directory, names[first], memory, first == 1, err);
    if (r < 0)
        return r;
    r = write_number(directory, names[!first], memory, first == 0, err);
    if (r < 0)
        (void)write_number(directory, names[first], old, true, NULL);
    return r;
}

static int change_memory_v2(const char *directory, uint64_t memory, struct error *err)
{
    uint64_t used = 0;

    /* The kernel would not refuse but kill. */
    if (read_number(directory, "memory.current", &used) == 0 && used > memory)
        return error_set(err, -EBUSY, "%" PRIu64 " bytes are in use", used);
    return write_number(directory, "memory.max", memory, true, err);
}

static int change_cpus_v1(const char *directory, double cpus, struct error *err)
{
    char text[32] = "-1";
    int r = write_number(directory, "cpu.cfs_period_us", CPU_PERIOD_US, false, err);

    if (cpus > 0)
        snprintf(text, sizeof(text), "%lld", quota(cpus));
    return r < 0 ? r : write_limit(directory, "cpu.cfs_quota_us", text, false, err);
}

static int change_cpus_v2(const char *directory, double cpus, struct error *err)
{
    char text[64];

    if (cpus > 0)
        snprintf(text, sizeof(text), "%lld %d", quota(cpus), CPU_PERIOD_US);
    else
        snprintf(text, sizeof(text), "max %d", CPU_PERIOD_US);
    return write_limit(directory, "cpu.max", text, !(cpus > 0), err);
}

int vm_cgroup_change(const struct vm_cgroup *cgroup, const struct vm_cgroup_limits *limits,
                     struct error *err)
{
    int r = 0;

    for (size_t i = 0; i < cgroup->n && r == 0; i++) {
        const char *directory = cgroup->directories[i];

        if (exists(directory, "cgroup.controllers")) {
            r = change_memory_v2(directory, limits->memory, err);
            if (r == 0)
                r = change_cpus_v2(directory, limits->cpus, err);
            continue;
        }
        /* A tree may have more than one controller. */
        if (exists(directory, "memory.limit_in_bytes"))
            r = change_memory_v1(directory, limits->memory, err);
        if (r == 0 && exists(directory, "cpu.cfs_quota_us"))
            r = change_cpus_v1(directory, limits->cpus, err);
    }
    return r;
}

void vm_cgroup_set_background(const struct vm_cgroup *cgroup, bool background)
{
    for (size_t i = 0; i < cgroup->n; i++) {
        (void)write_limit(cgroup->directories[i], "cpu.weight", background ? "10" : "100", true,
                          NULL);
        (void)write_limit(cgroup->directories[i], "cpu.shares", background ? "102" : "1024", true,
                          NULL);
    }
}

int vm_cgroup_open_procs(const struct vm_cgroup *cgroup, int *ret, struct error *err)
{
    for (size_t i = 0; i < cgroup->n; i++) {
        CLEANUP_FREE char *path = path_join(cgroup->directories[i], "cgroup.procs");
        int r;

        ret[i] = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
        if (ret[i] >= 0)
            continue;
        r = path ? -errno : -ENOMEM;
        while (i-- > 0)
            ret[i] = fd_close(ret[i]);
        return error_set_errno(err, r, "cannot open %s", string_or(path, "cgroup.procs"));
    }
    return (int)cgroup->n;
}

/* --- another name --- */

static int rename_v1(struct vm_cgroup *cgroup, const char *name, struct error *err)
{
    for (size_t i = 0; i < cgroup->n; i++) {
        char *old = cgroup->directories[i];
        const char *slash = strrchr(old, '/');
        CLEANUP_FREE char *new = string_format("%.*s/%s", (int)(slash - old), old, name);

        if (!new)
            return error_oom(err);
        if (rename(old, new) < 0)
            return error_set_errno(err, -errno, "cannot rename %s to %s", old, name);
        free(old);
        cgroup->directories[i] = TAKE_PTR(new);
    }
    return 0;
}

/* Until none is left: a process may start another meanwhile. */
static int move_processes(const char *from, const char *to, struct error *err)
{
    CLEANUP_FREE char *source = path_join(from, "cgroup.procs");
    CLEANUP_FREE char *target = path_join(to, "cgroup.procs");

    if (!source || !target)
        return error_oom(err);
    for (int i = 0; i < MAKE_ROUNDS_MAX; i++) {
        CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CGROUP_FILE_MAX);
        CLEANUP_STRV char **pids = NULL;
        int r = file_read(AT_FDCWD, source, &text, err);

        if (r < 0 || text.length == 0)
            return r;
        if (strv_split(buffer_string(&text), '\n', &pids) < 0)
            return error_oom(err);
        for (size_t j = 0; pids[j]; j++) {
            r = *pids[j] ? file_write(AT_FDCWD, target, pids[j], NULL) : 0;
            if (r < 0 && r != -ESRCH) /* it may have ended */
                return error_set_errno(err, r, "cannot move process %s to %s", pids[j], to);
        }
    }
    return error_set(err, -EBUSY, "processes keep coming in %s", from);
}

int vm_cgroup_rename(struct vm_cgroup *cgroup, const char *mount, const char *path,
                     const struct vm_cgroup_limits *limits, struct error *err)
{
    CLEANUP(destroy) struct vm_cgroup new = {.n = 0};
    const char *slash = strrchr(path, '/');
    int r;

    if (cgroup->n == 0)
        return 0;
    if (!exists(cgroup->directories[0], "cgroup.controllers"))
        return rename_v1(cgroup, slash ? slash + 1 : path, err);
    r = vm_cgroup_create(mount, path, limits, &new, err);
    if (r == 0)
        r = move_processes(cgroup->directories[0], new.directories[0], err);
    if (r < 0)
        return r;
    (void)rmdir(cgroup->directories[0]);
    vm_cgroup_release(cgroup);
    *cgroup = new;
    new = (struct vm_cgroup){.n = 0};
    return 0;
}

/* --- looking --- */

uint64_t vm_cgroup_oom_kills(const struct vm_cgroup *cgroup)
{
    static const char *const files[] = {"memory.oom_control", "memory.events"};
    static const char key[] = "\noom_kill ";

    for (size_t i = 0; i < cgroup->n; i++)
        for (size_t j = 0; j < sizeof(files) / sizeof(files[0]); j++) {
            CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CGROUP_FILE_MAX);
            CLEANUP_FREE char *path = path_join(cgroup->directories[i], files[j]);
            const char *found;

            if (!path || access(path, R_OK) < 0 || file_read(AT_FDCWD, path, &text, NULL) < 0)
                continue;
            found = strstr(buffer_string(&text), key);
            if (found)
                return strtoull(found + sizeof(key) - 1, NULL, 10);
        }
    return 0;
}

/* --- ending --- */

/* Kills one process and waits for its end. It is held before it is looked at again, so that a
 * recycled pid is seen (`still_ours`). */
static void kill_process(pid_t pid, bool (*still_ours)(pid_t pid, const void *data),
                         const void *data)
{
    CLEANUP(process_release) struct process process = PROCESS_INIT;
    struct pollfd wait = {.events = POLLIN};

    if (process_open(pid, &process) < 0 || !still_ours(pid, data))
        return;
    if (process_signal(&process, SIGKILL) < 0)
        return;
    wait.fd = process.pidfd;
    (void)poll(&wait, 1, VM_KILL_TIMEOUT_MS);
}

static bool is_in_directory(pid_t pid, const void *data)
{
    const char *directory = data;
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CGROUP_FILE_MAX);
    CLEANUP_FREE char *path = path_join(directory, "cgroup.procs");
    CLEANUP_FREE char *line = string_format("\n%d\n", (int)pid);

    if (!path || !line || buffer_append_char(&text, '\n') < 0 ||
        file_read(AT_FDCWD, path, &text, NULL) < 0)
        return false;
    return strstr(buffer_string(&text), line);
}

/* One pass over cgroup.procs; the number of processes seen or -errno. */
static int kill_all_inside(const char *directory)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CGROUP_FILE_MAX);
    CLEANUP_FREE char *path = path_join(directory, "cgroup.procs");
    CLEANUP_STRV char **pids = NULL;
    int seen = 0;
    int r;

    if (!path)
        return -ENOMEM;
    r = file_read(AT_FDCWD, path, &text, NULL);
    if (r == 0)
        r = strv_split(buffer_string(&text), '\n', &pids);
    if (r < 0)
        return r;
    for (size_t i = 0; i < strv_length(pids); i++) {
        int pid;

        if (string_to_int(pids[i], 1, INT32_MAX, &pid) < 0)
            continue;
        kill_process(pid, is_in_directory, directory);
        seen++;
    }
    return seen;
}

/* The directory above goes with its last group; while others are in it the kernel refuses. */
static void remove_parent(const char *directory)
{
    const char *slash = strrchr(directory, '/');
    CLEANUP_FREE char *parent = slash ? strndup(directory, (size_t)(slash - directory)) : NULL;

    if (parent && string_ends_with(parent, "/hull"))
        (void)rmdir(parent);
}

/* The kernel lets go of a directory a moment after its last process was seen to end (cgroup
 * membership goes with the final schedule), and version 1 tells nobody: so try again, shortly. */
static int remove_directory(const char *directory)
{
    int64_t deadline = timestamp_monotonic() + VM_KILL_TIMEOUT_MS * INT64_C(1000000);

    for (;;) {
        int seen;

        if (rmdir(directory) == 0 || errno == ENOENT)
            return 0;
        if (errno != EBUSY)
            return -errno;
        seen = kill_all_inside(directory);
        if (seen < 0 && seen != -ENOENT)
            return seen;
        if (timestamp_monotonic() > deadline)
            return -EBUSY;
        if (seen <= 0)
            (void)poll(NULL, 0, 1);
    }
}

int vm_cgroup_destroy(struct vm_cgroup *cgroup)
{
    int first = 0;

    for (size_t i = 0; i < cgroup->n; i++) {
        int r = remove_directory(cgroup->directories[i]);

        if (r < 0 && first == 0)
            first = r;
        else if (r == 0)
            remove_parent(cgroup->directories[i]);
    }
    vm_cgroup_release(cgroup);
    return first;
}

void vm_cgroup_release(struct vm_cgroup *cgroup)
{
    for (size_t i = 0; i < cgroup->n; i++)
        free(cgroup->directories[i]);
    cgroup->n = 0;
}

static bool belongs_to(pid_t pid, const void *data)
{
    const uid_t *uid = data;
    CLEANUP_FREE char *path = string_format("/proc/%d/status", (int)pid);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CGROUP_FILE_MAX);
    CLEANUP_FREE char *line = string_format("\nUid:\t%u\t", (unsigned)*uid);
    const char *status;

    /* /proc/PID is root's while a process is not dumpable, so its owner does not tell. */
    if (!path || !line || file_read(AT_FDCWD, path, &text, NULL) < 0)
        return false;
    status = buffer_string(&text);
    return strstr(status, line) && !strstr(status, "\nState:\tZ") && !strstr(status, "\nState:\tX");
}

int vm_kill_user(uid_t uid)
{
    int64_t deadline = timestamp_monotonic() + VM_KILL_TIMEOUT_MS * INT64_C(1000000);

    if (uid == 0)
        return -EINVAL;
    for (;;) {
        CLEANUP_DIR DIR *proc = opendir("/proc");
        struct dirent *entry;
        int seen = 0;

        if (!proc)
            return -errno;
        while ((entry = readdir(proc))) {
            int pid;

            if (string_to_int(entry->d_name, 1, INT32_MAX, &pid) < 0 || !belongs_to(pid, &uid))
                continue;
            kill_process(pid, belongs_to, &uid);
            seen++;
        }
        if (seen == 0)
            return 0;
        if (timestamp_monotonic() > deadline)
            return -EBUSY;
    }
}
