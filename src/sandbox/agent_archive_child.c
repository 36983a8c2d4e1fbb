/* A child of the agent that reads or writes a container's files.
 *
 * Theory of operation. It joins nothing of the container: it has a mount namespace of its own, in
 * which the volumes are mounted below the container's root a second time, and reaches the files by
 * descriptor. So what it sees is the same whether the container runs or not, the container can
 * neither see nor signal it, and a file system of the container's making (FUSE) can hang this
 * process only. Before it looks at the first file it gives up every capability that it does not
 * need for them. */
#include "sandbox/agent_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "sandbox/agent.h"
#include "sandbox/archive-entry.h"
#include "sandbox/capabilities.h"
#include "sandbox/root.h"
#include "sandbox/sandbox.h"
#include "sandbox/stage.h"
#include "sandbox/tree-diff.h"
#include "sandbox/tree-extract.h"
#include "sandbox/tree-path.h"
#include "sandbox/tree-stat.h"
#include "sandbox/tree-write.h"
#include "sandbox/user.h"
#include "spec/runtime.h"

enum { FD_REPORT = 3, FD_DATA = 4, FD_FIRST_FREE = 5, FD_ASIDE = 64, DIFF_BUFFER = 64 * 1024 };

/* --- what it tells --- */

static int send_report(int fd, const struct archive_report *report, size_t length)
{
    return write(fd, report, offsetof(struct archive_report, text) + length) < 0 ? -errno : 0;
}

static _Noreturn void fail(int fd, const struct error *error)
{
    struct archive_report report = {.kind = ARCHIVE_REPORT_FAILED};

    report.error = *error;
    (void)send_report(fd, &report, sizeof(report.error));
    _exit(EXIT_FAILURE);
}

/* Consumes `result`. */
static int tell(int fd, json_t *result, struct error *err)
{
    CLEANUP_JSON json_t *owned = result;
    CLEANUP_FREE char *text = owned ? json_format(owned) : NULL;
    struct archive_report report = {.kind = ARCHIVE_REPORT_RESULT};
    size_t length = text ? strlen(text) : 0;
    int r;

    if (!text)
        return error_oom(err);
    if (length > sizeof(report.text))
        return error_set(err, -ENAMETOOLONG, "the path is too long");
    memcpy(report.text, text, length);
    r = send_report(fd, &report, length);
    return r < 0 ? error_set_errno(err, r, "reporting") : 0;
}

/* --- the view --- */

static bool has_option(const struct spec_mount *mount, const char *option)
{
    return mount->options && strv_contains(mount->options, option);
}

/* hosts, hostname and resolv.conf are not there before a container's first start. */
static bool may_be_missing(const struct spec_mount *mount)
{
    return string_equal(mount->destination, "/etc/hosts") ||
           string_equal(mount->destination, "/etc/hostname") ||
           string_equal(mount->destination, "/etc/resolv.conf");
}

static int bind_volume(const struct spec_mount *mount, int root_fd, struct error *err)
{
    struct mount_attr attributes = {.propagation = MS_PRIVATE};
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    struct stat status;

    flags |= has_option(mount, "rbind") ? AT_RECURSIVE : 0;
    CLEANUP_CLOSE int tree = (int)syscall(SYS_open_tree, AT_FDCWD, mount->source, flags);
    if (tree < 0 && errno == ENOENT && may_be_missing(mount))
        return 0;
    attributes.attr_set = has_option(mount, "ro") ? MOUNT_ATTR_RDONLY : 0;
    if (tree < 0 || fstat(tree, &status) < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                sizeof(attributes)) < 0)
        return error_set_errno(err, -errno, "cannot reach the volume on %s", mount->destination);
    CLEANUP_CLOSE int point = S_ISDIR(status.st_mode)
                                  ? root_make_directory(root_fd, mount->destination)
                                  : root_make_file(root_fd, mount->destination);
    if (point < 0)
        return error_set_errno(err, point, "cannot make %s", mount->destination);
    if (syscall(SYS_move_mount, tree, "", point, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return error_set_errno(err, -errno, "cannot mount the volume on %s", mount->destination);
    return 0;
}

static int bind_volumes(const struct spec_runtime *config, int root_fd, char ***ret_mounts,
                        struct error *err)
{
    for (size_t i = 0; i < config->n_mounts; i++) {
        const struct spec_mount *mount = &config->mounts[i];
        CLEANUP_FREE char *place = NULL;
        int r;

        if (!mount->source || !(string_equal(mount->type, "bind") || has_option(mount, "bind") ||
                                has_option(mount, "rbind")))
            continue;
        r = bind_volume(mount, root_fd, err);
        if (r < 0)
            return r;
        r = tree_path_follow(root_fd, mount->destination, &place);
        if (r < 0 || strv_append(ret_mounts, place) < 0)
            return error_set_errno(err, r < 0 ? r : -ENOMEM, "cannot resolve %s",
                                   mount->destination);
    }
    return 0;
}

static int open_view(const struct archive_task *task, char ***ret_mounts, struct error *err)
{
    int r = 0;

    if (!task->layers &&
        (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0))
        return error_set_errno(err, -errno, "cannot make a mount namespace");
    CLEANUP_CLOSE int fd = open(task->root->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open %s", task->root->target);
    if (!task->layers)
        r = bind_volumes(task->config, fd, ret_mounts, err);
    return r < 0 ? r : TAKE_FD(fd);
}

/* trusted.overlay.*, which tells what a layer deletes, is for CAP_SYS_ADMIN. */
int agent_archive_confine(bool admin, struct error *err)
{
    uint64_t keep = CAPABILITY_BIT(CAP_CHOWN) | CAPABILITY_BIT(CAP_DAC_OVERRIDE) |
                    CAPABILITY_BIT(CAP_DAC_READ_SEARCH) | CAPABILITY_BIT(CAP_FOWNER) |
                    CAPABILITY_BIT(CAP_FSETID) | CAPABILITY_BIT(CAP_MKNOD) |
                    CAPABILITY_BIT(CAP_SETFCAP);
    int r;

    if (admin)
        keep |= CAPABILITY_BIT(CAP_SYS_ADMIN);
    keep &= capabilities_host();
    const struct spec_capabilities sets = {.bounding = keep, .effective = keep, .permitted = keep};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(err, -errno, "cannot set no_new_privs");
    r = capabilities_limit(&sets, err);
    return r < 0 ? r : capabilities_set(&sets, err);
}

/* --- what it does --- */

static int tell_stat(const struct archive_task *task, int root_fd, struct error *err)
{
    CLEANUP(tree_stat_release) struct tree_stat stat = {.name = NULL};
    CLEANUP_FREE char *resolved = NULL;
    int r = tree_stat(root_fd, task->path, &stat, err);

    if (r < 0)
        return r;
    r = tree_path_follow(root_fd, task->path, &resolved);
    if (r < 0)
        return error_set_errno(err, r, "cannot follow %s", task->path);
    json_t *result = tree_stat_to_json(&stat);
    if (!result || json_put_string(result, "resolved", resolved) < 0) {
        json_decref(result);
        return error_oom(err);
    }
    return tell(FD_REPORT, result, err);
}

static int read_files(const struct archive_task *task, int root_fd, char **mounts,
                      struct error *err)
{
    const struct tree_write_options options = {
        .flags = task->follow ? TREE_WRITE_FOLLOW : 0,
        .name = task->name,
        .mounts = mounts,
    };
    int data = FD_DATA;
    const struct tar_sink sink = tar_sink_fd(&data);
    int r = tell_stat(task, root_fd, err);

    return r < 0 ? r : tree_write(root_fd, task->path, &options, &sink, err);
}

static int find_owner(const struct archive_task *task, int root_fd, struct tree_extract_owner *ret,
                      struct error *err)
{
    struct user user = {.uid = 0};
    int r = user_resolve(root_fd, &task->config->process->user, &user, err);

    if (r < 0)
        return r;
    *ret = (struct tree_extract_owner){.uid = user.uid, .gid = user.gid};
    user_release(&user);
    return 0;
}

static int write_files(const struct archive_task *task, int root_fd, struct error *err)
{
    struct tree_extract_owner owner;
    struct tree_extract_options options = {.flags = task->extract_flags};
    struct tree_extract_result result = {0};
    int data = FD_DATA;
    const struct tar_source source = tar_source_fd(&data);
    int r = task->own ? find_owner(task, root_fd, &owner, err) : 0;

    options.owner = task->own ? &owner : NULL;
    if (r >= 0)
        r = tree_extract(root_fd, task->path, &options, &source, &result, err);
    if (r < 0)
        return r;
    return tell(FD_REPORT,
                json_pack("{s:I,s:I}", "entries", (json_int_t)result.entries, "bytes",
                          (json_int_t)result.bytes),
                err);
}

/* Records `KIND PATH NUL`. */
static int write_changes(const struct tree_changes *changes, struct error *err)
{
    char bytes[DIFF_BUFFER];
    size_t used = 0;
    int r = 0;

    for (size_t i = 0; i < changes->n && r >= 0; i++) {
        const struct tree_change *change = &changes->items[i];
        size_t length = strlen(change->path) + 1;

        if (used + 1 + length > sizeof(bytes)) {
            r = fd_write_full(FD_DATA, bytes, used);
            used = 0;
        }
        bytes[used++] = (char)('0' + change->kind);
        if (length > sizeof(bytes) - used) {
            r = r ?: fd_write_full(FD_DATA, bytes, used);
            r = r ?: fd_write_full(FD_DATA, change->path, length);
            used = 0;
            continue;
        }
        memcpy(bytes + used, change->path, length);
        used += length;
    }
    if (r >= 0)
        r = fd_write_full(FD_DATA, bytes, used);
    return r < 0 ? error_set_errno(err, r, "sending changes") : 0;
}

static int open_layers(char *const *lower, int *fds, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        fds[i] = open(lower[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fds[i] < 0)
            return error_set_errno(err, -errno, "cannot open %s", lower[i]);
    }
    return 0;
}

static int list_changes(const struct archive_task *task, struct error *err)
{
    CLEANUP(tree_changes_release) struct tree_changes changes = {.n = 0};
    int lower[AGENT_LAYERS_MAX];
    size_t n = strv_length(task->root->lower);

    if (!task->root->upper || n > AGENT_LAYERS_MAX)
        return error_set_class(err, ERROR_INVALID, "the container has no layers to compare");
    CLEANUP_CLOSE int upper = open(task->root->upper, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (upper < 0)
        return error_set_errno(err, -errno, "cannot open %s", task->root->upper);
    int r = open_layers(task->root->lower, lower, n, err);
    if (r >= 0)
        r = tree_diff(upper, lower, n, task->hidden, &changes, err);
    if (r >= 0)
        r = write_changes(&changes, err);
    return r < 0 ? r : tell(FD_REPORT, json_object(), err);
}

static int run(const struct archive_task *task, struct error *err)
{
    CLEANUP_STRV char **mounts = NULL;
    CLEANUP_CLOSE int root_fd = -EBADF;
    int r;

    if (task->kind != ARCHIVE_CHANGES) {
        root_fd = open_view(task, &mounts, err);
        if (root_fd < 0)
            return root_fd;
    }
    r = agent_archive_confine(task->kind == ARCHIVE_CHANGES, err);
    if (r < 0)
        return r;
    switch (task->kind) {
    case ARCHIVE_STAT:
        return tell_stat(task, root_fd, err);
    case ARCHIVE_READ:
        return read_files(task, root_fd, mounts, err);
    case ARCHIVE_WRITE:
        return write_files(task, root_fd, err);
    case ARCHIVE_CHANGES:
        return list_changes(task, err);
    }
    return error_set(err, -EINVAL, "unknown task");
}

/* Of all that the agent has open only these two are for it, at numbers of their own. */
static int take_descriptors(int data, int report)
{
    int aside[] = {fcntl(report, F_DUPFD_CLOEXEC, FD_ASIDE),
                   data < 0 ? -EBADF : fcntl(data, F_DUPFD_CLOEXEC, FD_ASIDE)};

    if (aside[0] < 0 || dup2(aside[0], FD_REPORT) < 0)
        return -errno;
    if (data >= 0 && (aside[1] < 0 || dup2(aside[1], FD_DATA) < 0))
        return -errno;
    if (syscall(SYS_close_range, data < 0 ? FD_DATA : FD_FIRST_FREE, ~0U, 0U) < 0)
        return -errno;
    return 0;
}

_Noreturn void agent_archive_child(const struct archive_task *task, int data, int report)
{
    struct error error = ERROR_INIT;

    stage_die_with_parent(report);
    if (take_descriptors(data, report) < 0)
        _exit(EXIT_FAILURE);
    umask(0);
    if (run(task, &error) < 0)
        fail(FD_REPORT, &error);
    _exit(EXIT_SUCCESS);
}
