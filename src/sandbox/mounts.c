#include "sandbox/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/cgroup-mount.h"
#include "sandbox/devices.h"
#include "sandbox/mount-options.h"
#include "sandbox/root.h"
#include "spec/runtime.h"

enum { FD_PATH_MAX = 40 };

static void options_release(struct mount_options *options)
{
    free(options->data);
}

int mounts_onto(int fd, const char *source, const char *type, unsigned long flags, const char *data)
{
    char path[FD_PATH_MAX];

    /* The host's /proc, which is still the one that "/" names. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return mount(source, path, type, flags, data) < 0 ? -errno : 0;
}

static int set_attributes(int fd, uint64_t set, uint64_t clear, uint64_t propagation,
                          bool recursive)
{
    struct mount_attr attributes = {.attr_set = set, .attr_clr = clear, .propagation = propagation};

    if (!set && !clear && !propagation)
        return 0;
    return syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0),
                   &attributes, sizeof(attributes)) < 0
               ? -errno
               : 0;
}

static int attach(int tree, int fd)
{
    return syscall(SYS_move_mount, tree, "", fd, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0
               ? -errno
               : 0;
}

static int apply_options(int tree, const struct mount_options *options)
{
    unsigned long propagation = options->propagation & ~(unsigned long)MS_REC;
    int r = set_attributes(tree, options->set, options->clear, 0, false);

    if (r == 0)
        r = set_attributes(tree, options->set_recursive, options->clear_recursive, 0, true);
    if (r == 0)
        r = set_attributes(tree, 0, 0, propagation, options->propagation & MS_REC);
    return r;
}

static int mount_bind(const struct spec_mount *mount, const struct mount_options *options,
                      int root_fd, struct error *err)
{
    CLEANUP_CLOSE int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, string_or(mount->source, ""),
                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (options->recursive ? AT_RECURSIVE : 0));
    CLEANUP_CLOSE int destination = -EBADF;
    struct stat st;
    int r;

    if (tree < 0 || fstat(tree, &st) < 0)
        return error_set_errno(err, -errno, "cannot bind %s", string_or(mount->source, ""));
    destination = S_ISDIR(st.st_mode) ? root_make_directory(root_fd, mount->destination)
                                      : root_make_file(root_fd, mount->destination);
    if (destination < 0)
        return error_set_errno(err, destination, "cannot make the mount point %s",
                               mount->destination);
    r = apply_options(tree, options);
    if (r == 0)
        r = attach(tree, destination);
    return r < 0
               ? error_set_errno(err, r, "cannot bind %s to %s", mount->source, mount->destination)
               : 0;
}

/* A link in place of /proc or /sys would send what is later read there to a place of the image's
 * choice; runc refuses it in these words. */
static int make_plain_directory(int root_fd, const struct spec_mount *mount, struct error *err)
{
    const uint64_t plain = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
    int fd = path_openat2(root_fd, mount->destination, O_PATH | O_DIRECTORY, 0, plain);

    if (fd == -ENOENT) {
        /* Made by following links, which another container could put there in a shared volume: so
         * it is looked for again (CVE-2019-19921). */
        fd = root_make_directory(root_fd, mount->destination);
        fd_close(fd);
        if (fd >= 0)
            fd = path_openat2(root_fd, mount->destination, O_PATH | O_DIRECTORY, 0, plain);
    }
    if (fd == -ELOOP || fd == -ENOTDIR)
        return error_set_class(err, ERROR_INVALID,
                               "filesystem \"%s\" must be mounted on ordinary directory: %s is not",
                               mount->type, mount->destination);
    return fd < 0 ? error_set_errno(err, fd, "cannot make the mount point %s", mount->destination)
                  : fd;
}

static bool is_kernel_view(const char *type)
{
    return string_equal(type, "proc") || string_equal(type, "sysfs");
}

static int make_mount_point(int root_fd, const struct spec_mount *mount, struct error *err)
{
    int fd;

    if (is_kernel_view(mount->type))
        return make_plain_directory(root_fd, mount, err);
    fd = root_make_directory(root_fd, mount->destination);
    return fd < 0 ? error_set_errno(err, fd, "cannot make the mount point %s", mount->destination)
                  : fd;
}

/* What is to be mounted in a tmpfs needs it writable until the end. */
static bool is_late_readonly(const struct spec_mount *mount, const struct mount_options *options)
{
    return string_equal(mount->type, "tmpfs") && (options->flags & MS_RDONLY);
}

static int mount_file_system(const struct spec_mount *mount, const struct mount_options *options,
                             int root_fd, struct error *err)
{
    CLEANUP_CLOSE int destination = make_mount_point(root_fd, mount, err);
    CLEANUP_CLOSE int mounted = -EBADF;
    unsigned long flags = options->flags;
    int r;

    if (destination < 0)
        return destination;
    if (is_late_readonly(mount, options))
        flags &= ~(unsigned long)MS_RDONLY;
    r = mounts_onto(destination, string_or(mount->source, mount->type), mount->type, flags,
                    *options->data ? options->data : NULL);
    if (r == 0 && options->propagation) {
        mounted = path_open_in_root(root_fd, mount->destination, O_PATH | O_DIRECTORY, 0);
        r = mounted < 0 ? mounted
                        : set_attributes(mounted, 0, 0,
                                         options->propagation & ~(unsigned long)MS_REC, false);
    }
    return r < 0 ? error_set_errno(err, r, "cannot mount %s on %s", mount->type, mount->destination)
                 : 0;
}

static int apply_one(const struct spec_mount *mount, struct cgroup *cgroup, bool cgroup_namespace,
                     int root_fd, struct error *err)
{
    CLEANUP(options_release) struct mount_options options = {0};
    int r = mount_options_parse(mount, &options, err);

    if (r < 0)
        return r;
    if (options.bind)
        return mount_bind(mount, &options, root_fd, err);
    if (string_is_empty(mount->type))
        return error_set_class(err, ERROR_INVALID, "the mount on %s has no type",
                               mount->destination);
    if (string_equal(mount->type, "cgroup") || string_equal(mount->type, "cgroup2"))
        return cgroup ? cgroup_mount(cgroup, cgroup_namespace, mount->destination, &options,
                                     root_fd, err)
                      : 0;
    return mount_file_system(mount, &options, root_fd, err);
}

int mounts_apply(const struct spec_runtime *config, struct cgroup *cgroup, bool cgroup_namespace,
                 int root_fd, struct error *err)
{
    for (size_t i = 0; i < config->n_mounts; i++) {
        int r = apply_one(&config->mounts[i], cgroup, cgroup_namespace, root_fd, err);

        if (r < 0)
            return r;
    }
    return 0;
}

/* --- restrictions --- */

/* Absent in this kernel, or hidden behind something that is no directory. */
static bool is_absent(int r)
{
    return r == -ENOENT || r == -ENOTDIR;
}

/* Read-only, because whoever may chmod the mask would chmod the node that it is. */
static int mask_file(int root_fd, int fd)
{
    CLEANUP_CLOSE int null = devices_open_null(root_fd);
    CLEANUP_CLOSE int tree = -EBADF;
    int r;

    if (null < 0)
        tree = devices_clone_null();
    else
        tree = (int)syscall(SYS_open_tree, null, "",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0)
        return null < 0 ? tree : -errno;
    r = set_attributes(tree, MOUNT_ATTR_RDONLY, 0, 0, false);
    return r < 0 ? r : attach(tree, fd);
}

static int mask(int root_fd, const char *path, struct error *err)
{
    CLEANUP_CLOSE int fd = path_open_in_root(root_fd, path, O_PATH, 0);
    struct stat st;
    int r;

    if (is_absent(fd))
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(err, fd < 0 ? fd : -errno, "cannot mask %s", path);
    if (S_ISDIR(st.st_mode))
        r = mounts_onto(fd, "tmpfs", "tmpfs", MS_RDONLY, NULL);
    else
        r = mask_file(root_fd, fd);
    return r < 0 ? error_set_errno(err, r, "cannot mask %s", path) : 0;
}

static int make_readonly(int root_fd, const char *path, struct error *err)
{
    CLEANUP_CLOSE int fd = path_open_in_root(root_fd, path, O_PATH, 0);
    CLEANUP_CLOSE int tree = -EBADF;
    int r = 0;

    if (is_absent(fd))
        return 0;
    if (fd >= 0)
        tree = (int)syscall(SYS_open_tree, fd, "",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (tree < 0)
        r = fd < 0 ? fd : -errno;
    if (r == 0)
        r = set_attributes(tree, MOUNT_ATTR_RDONLY, 0, 0, true);
    if (r == 0)
        r = attach(tree, fd);
    return r < 0 ? error_set_errno(err, r, "cannot make %s read-only", path) : 0;
}

static int finish_tmpfs(const struct spec_mount *mount, int root_fd, struct error *err)
{
    CLEANUP(options_release) struct mount_options options = {0};
    CLEANUP_CLOSE int fd = -EBADF;
    int r;

    if (!string_equal(mount->type, "tmpfs"))
        return 0;
    r = mount_options_parse(mount, &options, err);
    if (r < 0 || !is_late_readonly(mount, &options))
        return r;
    fd = path_open_in_root(root_fd, mount->destination, O_PATH | O_DIRECTORY, 0);
    r = fd < 0 ? fd : set_attributes(fd, MOUNT_ATTR_RDONLY, 0, 0, false);
    return r < 0 ? error_set_errno(err, r, "cannot make %s read-only", mount->destination) : 0;
}

int mounts_restrict(const struct spec_runtime *config, int root_fd, struct error *err)
{
    char *const *path;
    int r = 0;

    for (path = config->linux_.readonly_paths; r >= 0 && path && *path; path++)
        r = make_readonly(root_fd, *path, err);
    for (path = config->linux_.masked_paths; r >= 0 && path && *path; path++)
        r = mask(root_fd, *path, err);
    for (size_t i = 0; r >= 0 && i < config->n_mounts; i++)
        r = finish_tmpfs(&config->mounts[i], root_fd, err);
    if (r < 0 || !config->root_readonly)
        return r;
    r = set_attributes(root_fd, MOUNT_ATTR_RDONLY, 0, 0, false);
    return r < 0 ? error_set_errno(err, r, "cannot make the root file system read-only") : 0;
}
