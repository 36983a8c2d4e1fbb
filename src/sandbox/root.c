#include "sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "sandbox/sandbox.h"
#include "sandbox/stage.h"

enum {
    OPTIONS_MAX = 4095, /* what mount(2) takes: a page with its NUL */
    OPTIONS_BUFFER_MAX = 4 * 1024 * 1024,
    LINKS_MAX = 40,
    MESSAGE_MAX = 1024,
};

/* --- overlay --- */

/* A layer is whole in itself: what others make of it (docker diff, conversion) must not depend on
 * what this kernel's overlay module does by default (/sys/module/overlay/parameters). */
#define OVERLAY_FEATURES ",redirect_dir=nofollow,metacopy=off,index=off"
static const char *const overlay_features[][2] = {
    {"redirect_dir", "nofollow"}, {"metacopy", "off"}, {"index", "off"}};

static int append_escaped(struct buffer *text, const char *path)
{
    int r = 0;

    for (; r == 0 && *path; path++) {
        if (*path == ',' || *path == ':' || *path == '\\')
            r = buffer_append_char(text, '\\');
        if (r == 0)
            r = buffer_append_char(text, *path);
    }
    return r;
}

char *root_overlay_options(char *const *lower, const char *upper, const char *work)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(OPTIONS_BUFFER_MAX);
    const char *separator = "";
    int r = buffer_append_string(&text, "lowerdir=");

    for (; r == 0 && *lower; lower++) {
        r = buffer_append_string(&text, separator);
        if (r == 0)
            r = append_escaped(&text, *lower);
        separator = ":";
    }
    if (r == 0 && upper) {
        r = buffer_append_string(&text, ",upperdir=");
        if (r == 0)
            r = append_escaped(&text, upper);
        if (r == 0)
            r = buffer_append_string(&text, ",workdir=");
        if (r == 0)
            r = append_escaped(&text, work);
    }
    if (r == 0)
        r = buffer_append_string(&text, OVERLAY_FEATURES);
    return r == 0 ? buffer_take(&text) : NULL;
}

/* Length of the longest directory, with its '/', that all paths are in. */
static size_t common_directory(char *const *paths)
{
    const char *first = paths[0];
    const char *slash = strrchr(first, '/');
    size_t length = slash ? (size_t)(slash - first) + 1 : 0;

    for (; length > 0 && *++paths;) {
        while (length > 0 && strncmp(first, *paths, length) != 0)
            do
                length--;
            while (length > 0 && first[length - 1] != '/');
    }
    return length;
}

/* mount(2) takes one page of options, which 127 absolute paths would not fit into: the lower ones
 * are written relative to the directory that they share, which is entered for the call. */
static int mount_by_text(const struct sandbox_root *root, const char *text, const char *directory)
{
    CLEANUP_CLOSE int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = 0;

    if (here < 0 || chdir(directory) < 0)
        return -errno;
    if (mount("overlay", root->target, "overlay", 0, text) < 0)
        r = -errno;
    if (fchdir(here) < 0 && r == 0)
        r = -errno;
    return r;
}

static int configure(int context, const char *key, const char *value)
{
    return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0) < 0 ? -errno : 0;
}

/* What the kernel says about its refusal; "" when it says nothing. */
static void read_messages(int context, char text[MESSAGE_MAX])
{
    ssize_t n = read(context, text, MESSAGE_MAX - 1);

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

/* For more layers than a page holds: one at a time, Linux 6.8. */
static int mount_by_layers(const struct sandbox_root *root, struct error *err)
{
    CLEANUP_CLOSE int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
    CLEANUP_CLOSE int tree = -EBADF;
    char message[MESSAGE_MAX];
    int r = context < 0 ? -errno : 0;

    for (char *const *lower = root->lower; r == 0 && *lower; lower++)
        r = configure(context, "lowerdir+", *lower);
    if (r == 0 && root->upper)
        r = configure(context, "upperdir", root->upper);
    if (r == 0 && root->upper)
        r = configure(context, "workdir", root->work);
    for (size_t i = 0; r == 0 && i < sizeof(overlay_features) / sizeof(overlay_features[0]); i++)
        r = configure(context, overlay_features[i][0], overlay_features[i][1]);
    if (r == 0 && syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        r = -errno;
    if (r == 0) {
        tree = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
        r = tree < 0 ? -errno : 0;
    }
    if (r == 0 &&
        syscall(SYS_move_mount, tree, "", AT_FDCWD, root->target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        r = -errno;
    if (r == 0)
        return 0;
    if (context >= 0)
        read_messages(context, message);
    else
        message[0] = '\0';
    return error_set_errno(err, r, "cannot mount an overlay of %zu layers on %s%s%s",
                           strv_length(root->lower), root->target, *message ? ": " : "", message);
}

static int mount_overlay(const struct sandbox_root *root, struct error *err)
{
    size_t prefix = common_directory(root->lower);
    CLEANUP_FREE char *directory = prefix ? strndup(root->lower[0], prefix) : strdup(".");
    CLEANUP_STRV char **lower = NULL;
    CLEANUP_FREE char *text = NULL;
    int r;

    for (char *const *path = root->lower; *path; path++)
        if (strv_append(&lower, *path + prefix) < 0)
            return error_oom(err);
    text = root_overlay_options(lower, root->upper, root->work);
    if (!directory || !text)
        return error_oom(err);
    if (strlen(text) > OPTIONS_MAX)
        return mount_by_layers(root, err);
    r = mount_by_text(root, text, directory);
    return r < 0 ? error_set_errno(err, r, "cannot mount the overlay on %s", root->target) : 0;
}

static int mount_single(const struct sandbox_root *root, struct error *err)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    CLEANUP_CLOSE int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, root->lower[0], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, root->target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return error_set_errno(err, -errno, "cannot mount %s on %s", root->lower[0], root->target);
    return 0;
}

int root_mount(const struct sandbox_root *root, struct error *err)
{
    size_t n = strv_length(root->lower);
    int r;

    if (n == 0)
        return 0;
    if (n > ROOT_LOWER_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d layers", ROOT_LOWER_MAX);
    if (n == 1 && !root->upper)
        r = mount_single(root, err);
    else
        r = mount_overlay(root, err);
    if (r < 0)
        return r;
    /* Below a shared mount a new one is shared, too, and pivot_root(2) refuses that. */
    if (mount(NULL, root->target, NULL, MS_PRIVATE, NULL) < 0) {
        r = error_set_errno(err, -errno, "cannot make %s private", root->target);
        (void)umount2(root->target, MNT_DETACH | UMOUNT_NOFOLLOW);
        return r;
    }
    return 0;
}

/* In a process that belongs to nobody and has nothing of the caller's open. */
static _Noreturn void hold_until_closed(int mount_fd, int pipe_fd)
{
    char byte;

    if (dup2(mount_fd, 0) < 0 || dup2(pipe_fd, 1) < 0 || chdir("/") < 0)
        _exit(EXIT_FAILURE);
    (void)syscall(SYS_close_range, 2U, ~0U, 0U);
    (void)setsid();
    _exit(read(1, &byte, 1) < 0);
}

/* A process that holds the mount until the returned descriptor is closed: the last one to leave a
 * mount does the writing. -errno when there can be none; then the caller is the last one. */
static int hold(const char *target)
{
    CLEANUP_CLOSE int fd = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct process middle = PROCESS_INIT;
    int ends[2];
    int r = fd < 0 ? -errno : fd_pipe(0, ends);

    if (r < 0)
        return r;
    middle.pid = stage_clone(0, -EBADF, &middle.pidfd);
    if (middle.pid == 0) {
        if (stage_clone(0, -EBADF, NULL) != 0)
            _exit(EXIT_SUCCESS);
        hold_until_closed(fd, ends[0]);
    }
    if (middle.pid > 0)
        (void)process_wait(&middle, NULL);
    process_release(&middle);
    fd_close(ends[0]);
    return ends[1];
}

int root_unmount(const struct sandbox_root *root, bool background, struct error *err)
{
    CLEANUP_CLOSE int holder = -EBADF;

    if (strv_length(root->lower) == 0)
        return 0;
    if (background && root->upper)
        holder = hold(root->target);
    /* Held, or with somebody's working directory or open file in it, it is busy: gone from sight
     * now, and for good when they leave. */
    if (umount2(root->target, (holder >= 0 ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW) == 0 ||
        errno == EINVAL || errno == ENOENT)
        return 0;
    if (errno == EBUSY && umount2(root->target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        return 0;
    return error_set_errno(err, -errno, "cannot unmount %s", root->target);
}

/* --- in the child --- */

unsigned long root_propagation_flags(const char *name)
{
    static const struct {
        const char *name;
        unsigned long flags;
    } rows[] = {
        {"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
        {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
        {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
        {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC},
    };

    for (size_t i = 0; name && i < sizeof(rows) / sizeof(rows[0]); i++)
        if (string_equal(name, rows[i].name))
            return rows[i].flags;
    return 0;
}

/* pivot_root(2) refuses a new root whose parent mount is shared. */
static int make_parent_private(const char *target)
{
    CLEANUP_FREE char *path = strdup(target);

    if (!path)
        return -ENOMEM;
    for (;;) {
        char *slash = strrchr(path, '/');

        if (!slash)
            return -EINVAL;
        slash[slash == path] = '\0';
        if (mount(NULL, path, NULL, MS_PRIVATE, NULL) == 0)
            return 0;
        if (errno != EINVAL || path[1] == '\0')
            return -errno;
    }
}

/* A directory that is no mount yet becomes one by binding it onto itself. */
static int bind_target(const char *target, struct error *err)
{
    struct mount_attr attributes = {.propagation = MS_PRIVATE};
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, target,
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

    if (tree < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                sizeof(attributes)) < 0 ||
        syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        int r = -errno;

        fd_close(tree);
        return error_set_errno(err, r, "cannot bind the root file system %s", target);
    }
    return tree;
}

int root_open(const struct sandbox_root *root, const char *propagation, bool inherited,
              struct error *err)
{
    unsigned long flags = root_propagation_flags(propagation);
    int fd;
    int r;

    /* A slave sees the host's mounts and unmounts come and go and gives nothing back. */
    if (!(flags & (MS_SHARED | MS_SLAVE | MS_PRIVATE)))
        flags = MS_SLAVE;
    if (mount(NULL, "/", NULL, flags | MS_REC, NULL) < 0)
        return error_set_errno(err, -errno, "cannot set the propagation of mounts");
    r = make_parent_private(root->target);
    if (r < 0)
        return error_set_errno(err, r, "cannot make the parent mount of %s private", root->target);
    if (inherited || strv_length(root->lower) == 0)
        return bind_target(root->target, err);
    if (mount(NULL, root->target, NULL, MS_PRIVATE, NULL) < 0)
        return error_set_errno(err, -errno, "cannot make %s private", root->target);
    fd = open(root->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set_errno(err, -errno, "cannot open %s", root->target) : fd;
}

int root_make_directory(int root_fd, const char *path)
{
    int fd = path_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0);

    return fd != -ENOENT ? fd : path_make_dirs_in_root(root_fd, path, 0755);
}

/* The text of the link at parent/base as a path in the root; *path is replaced. */
static int follow_link(int parent, const char *base, char **path)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(parent, base, target, sizeof(target) - 1);
    char *next;

    if (n < 0)
        return -errno;
    target[n] = '\0';
    if (target[0] == '/')
        next = strdup(target);
    else
        next = string_format("%.*s/%s", (int)(base - *path), *path, target);
    if (!next)
        return -ENOMEM;
    free(*path);
    *path = next;
    return 0;
}

int root_make_file(int root_fd, const char *path)
{
    CLEANUP_FREE char *name = strdup(path);

    for (int i = 0; name && i < LINKS_MAX; i++) {
        CLEANUP_CLOSE int parent = -EBADF;
        CLEANUP_CLOSE int made = -EBADF;
        const char *base;
        int fd = path_open_in_root(root_fd, name, O_PATH, 0);
        int r;

        if (fd != -ENOENT)
            return fd;
        parent = path_open_parent_in_root(root_fd, name, true, &base);
        if (parent < 0)
            return parent;
        made = openat(parent, base, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (made >= 0)
            continue; /* opened by the next round, inside the root */
        if (errno != EEXIST)
            return -errno;
        r = follow_link(parent, base, &name); /* a link to nothing, as images have resolv.conf */
        if (r < 0)
            return r;
    }
    return name ? -ELOOP : -ENOMEM;
}

int root_pivot(int root_fd, const char *propagation, struct error *err)
{
    CLEANUP_CLOSE int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    unsigned long flags = root_propagation_flags(propagation);

    /* pivot_root(2), "pivot_root(".", ".")": the old root then lies on top of the new one. Where
     * its mounts are shared with the host (propagation "shared"), unmounting them here must not
     * unmount them there. */
    if (old < 0 || fchdir(root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return error_set_errno(err, -errno, "cannot change the root file system");
    if (fchdir(old) < 0 || mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 ||
        umount2(".", MNT_DETACH) < 0)
        return error_set_errno(err, -errno, "cannot unmount the host's file systems");
    if (chdir("/") < 0)
        return error_set_errno(err, -errno, "cannot enter the root file system");
    if (flags && mount(NULL, "/", NULL, flags, NULL) < 0)
        return error_set_errno(err, -errno, "cannot set the propagation of the root");
    return 0;
}
