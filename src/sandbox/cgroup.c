#include "sandbox/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

enum {
    MOUNTINFO_MAX = 16 * 1024 * 1024,
    MAKE_ROUNDS_MAX = 100,
    KILL_ROUNDS_MAX = 64,        /* a frozen group cannot fork, so few are needed */
    EXIT_TIMEOUT_MS = 10 * 1000, /* a process in uninterruptible sleep may take that long to die */
    DEPTH_MAX = 32,
    SMALL_FILE_MAX = 64 * 1024,
};

static int add_hierarchy(struct cgroup *cgroup, const char *mount_point, char **controllers_take)
{
    struct cgroup_hierarchy *hierarchy;

    if (cgroup->n_hierarchies >= CGROUP_HIERARCHIES_MAX) {
        strv_free(controllers_take);
        return 0;
    }
    hierarchy = &cgroup->hierarchies[cgroup->n_hierarchies++];
    hierarchy->procs_fd = -EBADF;
    hierarchy->controllers = controllers_take;
    hierarchy->mount_point = strdup(mount_point);
    hierarchy->directory = path_join(mount_point, cgroup->path);
    return hierarchy->mount_point && hierarchy->directory ? 0 : -ENOMEM;
}

/* Options of the super block that are not controllers. */
static bool is_mount_option(const char *word)
{
    static const char *const options[] = {
        "rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode"};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (string_equal(word, options[i]))
            return true;
    return string_starts_with(word, "release_agent=");
}

static bool is_known(const struct cgroup *cgroup, const char *controller)
{
    for (size_t i = 0; i < cgroup->n_hierarchies; i++)
        if (strv_contains(cgroup->hierarchies[i].controllers, controller))
            return true;
    return false;
}

/* One line of mountinfo, proc(5): "36 35 98:0 /root /mount/point opts... - type source superopts".
 */
static int read_v1_line(struct cgroup *cgroup, const char *line)
{
    CLEANUP_STRV char **fields = NULL;
    CLEANUP_STRV char **words = NULL;
    CLEANUP_STRV char **controllers = NULL;
    const char *tail = strstr(line, " - cgroup ");
    const char *options;
    int r;

    if (!tail)
        return 0;
    options = strrchr(tail, ' ') + 1;
    if ((r = strv_split(line, ' ', &fields)) < 0 || (r = strv_split(options, ',', &words)) < 0)
        return r;
    if (strv_length(fields) < 5 || !string_starts_with(fields[4], CGROUP_ROOT "/"))
        return 0;
    for (char **word = words; *word; word++) {
        if (is_mount_option(*word))
            continue;
        if (is_known(cgroup, *word))
            return 0; /* mounted twice */
        if (strv_append(&controllers, *word) < 0)
            return -ENOMEM;
    }
    return controllers ? add_hierarchy(cgroup, fields[4], TAKE_PTR(controllers)) : 0;
}

static int find_v1(struct cgroup *cgroup, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MOUNTINFO_MAX);
    int r = file_read(AT_FDCWD, "/proc/self/mountinfo", &text, err);
    char *line;
    char *rest;

    if (r < 0)
        return r;
    rest = text.data;
    while ((line = strsep(&rest, "\n"))) {
        r = read_v1_line(cgroup, line);
        if (r < 0)
            return error_set_errno(err, r, "cannot read /proc/self/mountinfo");
    }
    return 0;
}

static int find_hierarchies(struct cgroup *cgroup, const char *v2_root, struct error *err)
{
    struct statfs fs;

    cgroup->ops = &cgroup_v2_ops;
    if (!v2_root && statfs(CGROUP_ROOT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
        v2_root = CGROUP_ROOT;
    if (v2_root)
        return add_hierarchy(cgroup, v2_root, NULL) < 0 ? error_oom(err) : 0;
    cgroup->ops = &cgroup_v1_ops;
    return find_v1(cgroup, err);
}

static bool is_good_path(const char *path)
{
    CLEANUP_FREE char *normal = NULL;

    if (!path_is_absolute(path))
        return false;
    normal = path_normalize(path);
    return normal && string_equal(normal, path) && path[1];
}

int cgroup_open(const char *path, const char *v2_root, bool is_guest, struct cgroup **ret,
                struct error *err)
{
    struct cgroup *cgroup;
    int r;

    if (!is_good_path(path))
        return error_set_class(err, ERROR_INVALID, "cgroup path '%s' is not absolute or not normal",
                               path);
    cgroup = calloc(1, sizeof(*cgroup));
    if (!cgroup)
        return error_oom(err);
    cgroup->directory_fd = -EBADF;
    cgroup->is_guest = is_guest;
    cgroup->path = strdup(path);
    r = cgroup->path ? find_hierarchies(cgroup, v2_root, err) : error_oom(err);
    if (r < 0) {
        cgroup_free(cgroup);
        return r;
    }
    *ret = cgroup;
    return 0;
}

struct cgroup *cgroup_free(struct cgroup *cgroup)
{
    if (!cgroup)
        return NULL;
    for (size_t i = 0; i < cgroup->n_hierarchies; i++) {
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];

        fd_close(hierarchy->procs_fd);
        free(hierarchy->mount_point);
        free(hierarchy->directory);
        strv_free(hierarchy->controllers);
    }
    fd_close(cgroup->directory_fd);
    free(cgroup->path);
    free(cgroup);
    return NULL;
}

bool cgroup_is_v2(const struct cgroup *cgroup)
{
    return cgroup->ops == &cgroup_v2_ops;
}

typedef int level_preparer(const struct cgroup_hierarchy *hierarchy, const char *parent,
                           const char *directory);

static int make_levels(const struct cgroup_hierarchy *hierarchy, level_preparer *prepare)
{
    CLEANUP_FREE char *path = strdup(hierarchy->directory);
    size_t end = strlen(hierarchy->mount_point);

    if (!path)
        return -ENOMEM;
    while (path[end]) {
        CLEANUP_FREE char *parent = strndup(path, end);
        char separator;
        int r = 0;

        end++;
        end += strcspn(path + end, "/");
        separator = path[end];
        path[end] = '\0';
        if (!parent)
            return -ENOMEM;
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return -errno;
        if (prepare)
            r = prepare(hierarchy, parent, path);
        if (r < 0)
            return r;
        path[end] = separator;
    }
    return 0;
}

int cgroup_make_directory(struct cgroup_hierarchy *hierarchy, level_preparer *prepare)
{
    int r = -ENOENT;

    /* "/hull" may go with another container's end between its mkdir and that of what is below. */
    for (int i = 0; r == -ENOENT && i < MAKE_ROUNDS_MAX; i++)
        r = make_levels(hierarchy, prepare);
    return r;
}

/* Somebody else's processes in the group would be killed with the container. */
static int check_empty(struct cgroup *cgroup, struct error *err)
{
    CLEANUP_FREE pid_t *pids = NULL;
    size_t n = 0;

    if (cgroup_pids(cgroup, &pids, &n, NULL) >= 0 && n > 0)
        return error_set_class(err, ERROR_CONFLICT, "cgroup %s is in use by process %d",
                               cgroup->path, (int)pids[0]);
    return 0;
}

int cgroup_create(struct cgroup *cgroup, struct error *err)
{
    int r = cgroup->ops->create(cgroup, err);

    return r < 0 ? r : check_empty(cgroup, err);
}

int cgroup_adopt(struct cgroup *cgroup, struct error *err)
{
    for (size_t i = 0; i < cgroup->n_hierarchies; i++) {
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        CLEANUP_FREE char *procs = path_join(hierarchy->directory, "cgroup.procs");

        if (!procs)
            return error_oom(err);
        hierarchy->procs_fd = open(procs, O_WRONLY | O_CLOEXEC);
        if (hierarchy->procs_fd < 0) {
            hierarchy->problem = -errno;
            hierarchy->procs_fd = -EBADF;
        } else if (cgroup_is_v2(cgroup)) {
            cgroup->directory_fd = open(hierarchy->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (cgroup->directory_fd < 0)
                return error_set_errno(err, -errno, "cannot open %s", hierarchy->directory);
        }
    }
    return 0;
}

int cgroup_apply(struct cgroup *cgroup, const struct spec_resources *resources, struct error *err)
{
    return cgroup->ops->apply(cgroup, resources, err);
}

int cgroup_directory_fd(const struct cgroup *cgroup)
{
    return cgroup->directory_fd;
}

int cgroup_enter(struct cgroup *cgroup, pid_t pid, struct error *err)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%d", (int)pid);

    for (size_t i = 0; i < cgroup->n_hierarchies; i++) {
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        ssize_t n;

        if (hierarchy->procs_fd < 0)
            continue;
        do
            n = write(hierarchy->procs_fd, text, (size_t)length);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return error_set_errno(err, -errno, "cannot enter cgroup %s", hierarchy->directory);
    }
    return 0;
}

struct cgroup_hierarchy *cgroup_find(struct cgroup *cgroup, const char *controller)
{
    for (size_t i = 0; i < cgroup->n_hierarchies; i++)
        if (cgroup_is_v2(cgroup) || strv_contains(cgroup->hierarchies[i].controllers, controller))
            return &cgroup->hierarchies[i];
    return NULL;
}

int cgroup_write(struct cgroup *cgroup, const char *controller, const char *file, const char *value,
                 bool optional, struct error *err)
{
    struct cgroup_hierarchy *hierarchy = cgroup_find(cgroup, controller);
    CLEANUP_FREE char *path = NULL;
    int r;

    if (!hierarchy)
        return optional ? 0
                        : error_set(err, -EOPNOTSUPP,
                                    "cannot set %s: cgroup controller '%s' is not available", file,
                                    controller);
    if (hierarchy->problem)
        return optional
                   ? 0
                   : error_set_errno(err, hierarchy->problem, "cannot set %s: cannot use cgroup %s",
                                     file, hierarchy->directory);
    path = path_join(hierarchy->directory, file);
    if (!path)
        return error_oom(err);
    r = file_write(AT_FDCWD, path, value, err);
    if (r != -ENOENT)
        return r;
    error_clear(err);
    if (optional)
        return 0;
    return error_set(err, -EOPNOTSUPP, "cannot set %s: cgroup controller '%s' is not available",
                     file, controller);
}

int cgroup_read_key(const char *directory, const char *file, const char *key, uint64_t *ret)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(SMALL_FILE_MAX);
    CLEANUP_FREE char *path = path_join(directory, file);
    size_t length = strlen(key);
    char *line;
    char *rest;
    int r;

    if (!path)
        return -ENOMEM;
    r = file_read(AT_FDCWD, path, &text, NULL);
    rest = text.data;
    if (r < 0)
        return r;
    while ((line = strsep(&rest, "\n")))
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return string_to_u64(line + length + 1, ret);
    return -ENOENT;
}

int cgroup_freeze(struct cgroup *cgroup, bool frozen, struct error *err)
{
    return cgroup->ops->freeze(cgroup, frozen, err);
}

int cgroup_oom_kills(struct cgroup *cgroup, uint64_t *ret)
{
    return cgroup->ops->oom_kills(cgroup, ret);
}

/* --- processes --- */

struct pid_list {
    pid_t *pids;
    size_t n;
};

static int add_pid(struct pid_list *list, const char *text)
{
    pid_t *grown;
    int pid;

    if (string_to_int(text, 1, INT32_MAX, &pid) < 0)
        return 0; /* 0: a process outside of the caller's pid namespace */
    if (list->n >= CGROUP_PIDS_MAX)
        return -E2BIG;
    if (list->n % 64 == 0) {
        grown = realloc(list->pids, (list->n + 64) * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        list->pids = grown;
    }
    list->pids[list->n++] = pid;
    return 0;
}

static int list_directory(struct pid_list *list, int directory_fd)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CGROUP_FILE_MAX);
    int r = file_read(directory_fd, "cgroup.procs", &text, NULL);
    char *line;
    char *rest = text.data;

    while (r >= 0 && (line = strsep(&rest, "\n")))
        r = *line ? add_pid(list, line) : 0;
    return r;
}

/* The container may have made groups of its own below (docker in docker). */
static int list_tree(struct pid_list *list, int parent_fd, const char *name, int depth)
{
    CLEANUP_CLOSE int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_DIR DIR *dir = NULL;
    struct dirent *entry;
    int copy;
    int r;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    r = list_directory(list, fd);
    if (r < 0 && r != -ENODEV)
        return r;
    copy = fd_dup(fd);
    dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        fd_close(copy);
        return -ENOMEM;
    }
    while (depth < DEPTH_MAX && (entry = readdir(dir))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        r = list_tree(list, fd, entry->d_name, depth + 1);
        if (r < 0)
            return r;
    }
    return 0;
}

int cgroup_pids(struct cgroup *cgroup, pid_t **ret, size_t *ret_n, struct error *err)
{
    /* "memory", "pids", "freezer": whichever can be used; all hold the same processes. */
    for (size_t i = 0; i < cgroup->n_hierarchies; i++) {
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        struct pid_list list = {0};
        int r;

        if (hierarchy->procs_fd < 0)
            continue;
        r = list_tree(&list, AT_FDCWD, hierarchy->directory, 0);
        if (r < 0) {
            free(list.pids);
            return error_set_errno(err, r, "cannot list the processes of cgroup %s", cgroup->path);
        }
        *ret = list.pids;
        *ret_n = list.n;
        return 0;
    }
    return error_set(err, -EOPNOTSUPP, "no cgroup hierarchy can be used");
}

/* They have been killed. A pid may be another process's by now, which is only waited for, in vain;
 * then the error is wrong and nothing worse. */
static int wait_for_end(const pid_t *pids, size_t n)
{
    int r = 0;

    for (size_t i = 0; i < n; i++) {
        CLEANUP_CLOSE int pidfd = (int)syscall(SYS_pidfd_open, pids[i], 0);
        struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};

        if (pidfd >= 0 && poll(&poll_fd, 1, EXIT_TIMEOUT_MS) <= 0)
            r = -ETIMEDOUT;
    }
    return r;
}

static int signal_all(struct cgroup *cgroup, pid_t **ret, size_t *ret_n)
{
    int r = cgroup_pids(cgroup, ret, ret_n, NULL);

    for (size_t i = 0; r >= 0 && i < *ret_n; i++)
        (void)kill((*ret)[i], SIGKILL);
    return r;
}

int cgroup_kill(struct cgroup *cgroup, struct error *err)
{
    /* v2 kills a group as a whole. Otherwise it is frozen first: then nothing in it can fork or
     * end, and each pid is still the process's that was read. A group that cannot be frozen (a host
     * without that controller) is killed by pid all the same, in rounds until it is empty. */
    for (int i = 0; i < KILL_ROUNDS_MAX; i++) {
        CLEANUP_FREE pid_t *pids = NULL;
        size_t n = 0;
        bool frozen = false;
        int r = 0;

        if (cgroup_pids(cgroup, &pids, &n, NULL) < 0 || n == 0)
            return 0;
        if (cgroup->ops->kill(cgroup) < 0) {
            frozen = cgroup_freeze(cgroup, true, NULL) >= 0;
            free(TAKE_PTR(pids));
            n = 0;
            r = signal_all(cgroup, &pids, &n);
        }
        if (frozen)
            (void)cgroup_freeze(cgroup, false, NULL);
        if (r >= 0)
            r = wait_for_end(pids, n);
        if (r < 0)
            return error_set_errno(err, r, "cannot end the processes of cgroup %s", cgroup->path);
    }
    return error_set(err, -EBUSY, "processes of cgroup %s keep appearing", cgroup->path);
}

/* --- removal --- */

static int remove_tree(int parent_fd, const char *name, int depth)
{
    CLEANUP_CLOSE int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_DIR DIR *dir = NULL;
    struct dirent *entry;
    int copy;

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    copy = fd_dup(fd);
    dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        fd_close(copy);
        return -ENOMEM;
    }
    while (depth < DEPTH_MAX && (entry = readdir(dir)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)remove_tree(fd, entry->d_name, depth + 1);
    return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* "/hull" above "/hull/<id>" goes with the last container; in use by another it stays. */
static void remove_parents(const struct cgroup_hierarchy *hierarchy)
{
    CLEANUP_FREE char *path = strdup(hierarchy->directory);
    size_t stop = strlen(hierarchy->mount_point);
    char *slash;

    while (path && (slash = strrchr(path, '/')) && (size_t)(slash - path) > stop) {
        *slash = '\0';
        if (rmdir(path) < 0)
            return;
    }
}

int cgroup_remove(struct cgroup *cgroup, struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < cgroup->n_hierarchies; i++) {
        struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];
        int r;

        if (hierarchy->procs_fd < 0)
            continue;
        r = remove_tree(AT_FDCWD, hierarchy->directory, 0);
        if (r < 0) {
            result = r;
            error_set_errno(err, r, "cannot remove cgroup %s", hierarchy->directory);
            continue;
        }
        hierarchy->procs_fd = fd_close(hierarchy->procs_fd);
        remove_parents(hierarchy);
    }
    return result;
}
