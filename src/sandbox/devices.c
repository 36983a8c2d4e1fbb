#include "sandbox/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/mounts.h"
#include "sandbox/root.h"
#include "spec/runtime.h"

enum { DEVICE_MODE = 0666, FD_PATH_MAX = 40 };

static const struct {
    const char *path;
    int major;
    int minor;
} defaults[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

static const struct {
    const char *target;
    const char *path;
} links[] = {
    {"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
    {"/proc/kcore", "/dev/core"},
};

bool devices_wanted(const struct spec_runtime *config)
{
    for (size_t i = 0; i < config->n_mounts; i++) {
        const struct spec_mount *mount = &config->mounts[i];

        if (string_equal(mount->destination, "/dev") || string_equal(mount->destination, "/dev/"))
            return !string_equal(mount->type, "bind") && !strv_contains(mount->options, "bind") &&
                   !strv_contains(mount->options, "rbind");
    }
    return true;
}

static mode_t type_bits(char type)
{
    return type == 'b' ? S_IFBLK : type == 'p' ? S_IFIFO : S_IFCHR;
}

/* The host's node, by name, where mknod is not permitted. */
static int bind_node(int root_fd, const char *path)
{
    CLEANUP_CLOSE int fd = root_make_file(root_fd, path);

    return fd < 0 ? fd : mounts_onto(fd, path, NULL, MS_BIND, NULL);
}

/* In a root without a /dev of its own the image may have put something else there. */
static int replace_node(int parent, const char *base, mode_t mode, dev_t device)
{
    struct stat st;

    if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (st.st_mode & S_IFMT) == (mode & S_IFMT) && st.st_rdev == device)
        return 0;
    if (unlinkat(parent, base, 0) < 0 || mknodat(parent, base, mode, device) < 0)
        return -errno;
    return 0;
}

static int make_node(int root_fd, const struct spec_device *device, struct error *err)
{
    CLEANUP_CLOSE int parent = -EBADF;
    const char *base = NULL;
    mode_t permissions = device->has_file_mode ? device->file_mode & 07777 : DEVICE_MODE;
    mode_t mode = type_bits(device->type) | permissions;
    dev_t number = makedev((unsigned)device->major, (unsigned)device->minor);
    int r;

    parent = path_open_parent_in_root(root_fd, device->path, true, &base);
    if (parent < 0)
        return error_set_errno(err, parent, "cannot make the directory of %s", device->path);
    r = mknodat(parent, base, mode, number) < 0 ? -errno : 0;
    if (r == -EEXIST)
        r = replace_node(parent, base, mode, number);
    if (r == -EPERM && device->type != 'p')
        r = bind_node(root_fd, device->path);
    else if (r == 0 && (device->uid || device->gid) &&
             fchownat(parent, base, device->uid, device->gid, AT_SYMLINK_NOFOLLOW) < 0)
        r = -errno;
    return r < 0 ? error_set_errno(err, r, "cannot make the device %s", device->path) : 0;
}

static int make_default(int root_fd, size_t i, struct error *err)
{
    char path[32];
    struct spec_device device = {
        .type = 'c', .path = path, .major = defaults[i].major, .minor = defaults[i].minor};

    snprintf(path, sizeof(path), "%s", defaults[i].path);
    return make_node(root_fd, &device, err);
}

static bool is_configured(const struct spec_runtime *config, const char *path)
{
    for (size_t i = 0; i < config->linux_.n_devices; i++)
        if (string_equal(config->linux_.devices[i].path, path))
            return true;
    return false;
}

static int make_link(int root_fd, const char *target, const char *path, bool replace,
                     struct error *err)
{
    CLEANUP_CLOSE int parent = -EBADF;
    const char *base = NULL;

    parent = path_open_parent_in_root(root_fd, path, true, &base);
    if (parent < 0)
        return error_set_errno(err, parent, "cannot make the link %s", path);
    if (replace)
        (void)unlinkat(parent, base, 0);
    if (symlinkat(target, parent, base) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "cannot make the link %s", path);
    return 0;
}

int devices_make(const struct spec_runtime *config, int root_fd, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (!is_configured(config, defaults[i].path))
            r = make_default(root_fd, i, err);
    for (size_t i = 0; r >= 0 && i < config->linux_.n_devices; i++)
        r = make_node(root_fd, &config->linux_.devices[i], err);
    for (size_t i = 0; r >= 0 && i < sizeof(links) / sizeof(links[0]); i++)
        r = make_link(root_fd, links[i].target, links[i].path, false, err);
    return r < 0 ? r : make_link(root_fd, "pts/ptmx", "/dev/ptmx", true, err);
}

static bool is_null(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

int devices_open_null(int root_fd)
{
    CLEANUP_CLOSE int peek = path_open_in_root(root_fd, "dev/null", O_PATH, 0);
    CLEANUP_CLOSE int fd = -EBADF;

    if (peek < 0)
        return peek;
    if (!is_null(peek)) /* opening it could block or act */
        return -ENODEV;
    fd = path_open_in_root(root_fd, "dev/null", O_RDWR | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    return is_null(fd) ? TAKE_FD(fd) : -ENODEV;
}

int devices_clone_null(void)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    CLEANUP_CLOSE int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (tree < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
        return -errno;
    return TAKE_FD(tree);
}

int devices_bind_console(int root_fd, int terminal, struct error *err)
{
    CLEANUP_CLOSE int fd = root_make_file(root_fd, "/dev/console");
    char source[FD_PATH_MAX];
    int r;

    snprintf(source, sizeof(source), "/proc/self/fd/%d", terminal);
    r = fd < 0 ? fd : mounts_onto(fd, source, NULL, MS_BIND, NULL);
    return r < 0 ? error_set_errno(err, r, "cannot bind the terminal to /dev/console") : 0;
}
