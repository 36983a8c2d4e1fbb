#include "sandbox/cgroup-mount.h"

#include <errno.h>
#include <fcntl.h>
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
#include "sandbox/cgroup.h"
#include "sandbox/mount-options.h"
#include "sandbox/mounts.h"
#include "sandbox/root.h"

static int set_attributes(int fd, uint64_t set)
{
    struct mount_attr attributes = {.attr_set = set};

    if (!set)
        return 0;
    return syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0
               ? -errno
               : 0;
}

static int bind_directory(const char *directory, int destination,
                          const struct mount_options *options)
{
    CLEANUP_CLOSE int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    int r = tree < 0 ? -errno : set_attributes(tree, options->set);

    if (r == 0 && syscall(SYS_move_mount, tree, "", destination, "",
                          MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        r = -errno;
    return r;
}

static int mount_v2(struct cgroup *cgroup, bool has_namespace, int destination,
                    const struct mount_options *options)
{
    if (has_namespace)
        return mounts_onto(destination, "cgroup", "cgroup2", options->flags, NULL);
    return bind_directory(cgroup->hierarchies[0].directory, destination, options);
}

static int mount_hierarchy(const struct cgroup_hierarchy *hierarchy, bool has_namespace, int tmpfs,
                           const struct mount_options *options)
{
    CLEANUP_CLOSE int directory = -EBADF;
    CLEANUP_FREE char *data = NULL;
    const char *name = strrchr(hierarchy->mount_point, '/') + 1;

    if (mkdirat(tmpfs, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    directory = openat(tmpfs, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0)
        return -errno;
    /* "cpu" of a hierarchy that is mounted as "cpu,cpuacct" */
    for (char **controller = hierarchy->controllers; *controller; controller++)
        if (!string_equal(*controller, name) && !strchr(*controller, '='))
            (void)symlinkat(name, tmpfs, *controller);
    if (!has_namespace)
        return bind_directory(hierarchy->directory, directory, options);
    data = strv_join(hierarchy->controllers, ",");
    if (!data)
        return -ENOMEM;
    return mounts_onto(directory, "cgroup", "cgroup", options->flags, data);
}

static int mount_v1(struct cgroup *cgroup, bool has_namespace, const char *destination, int fd,
                    const struct mount_options *options, int root_fd)
{
    CLEANUP_CLOSE int tmpfs = -EBADF;
    int r = mounts_onto(fd, "cgroup", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755");

    if (r < 0)
        return r;
    tmpfs = path_open_in_root(root_fd, destination, O_PATH | O_DIRECTORY, 0);
    if (tmpfs < 0)
        return tmpfs;
    for (size_t i = 0; r >= 0 && i < cgroup->n_hierarchies; i++)
        if (!cgroup->hierarchies[i].problem)
            r = mount_hierarchy(&cgroup->hierarchies[i], has_namespace, tmpfs, options);
    if (r < 0)
        return r;
    return set_attributes(tmpfs, options->set & MOUNT_ATTR_RDONLY);
}

int cgroup_mount(struct cgroup *cgroup, bool has_namespace, const char *destination,
                 const struct mount_options *options, int root_fd, struct error *err)
{
    CLEANUP_CLOSE int fd = root_make_directory(root_fd, destination);
    int r = fd < 0 ? fd : 0;

    if (r == 0 && cgroup_is_v2(cgroup))
        r = cgroup->hierarchies[0].problem && !has_namespace
                ? 0
                : mount_v2(cgroup, has_namespace, fd, options);
    else if (r == 0)
        r = mount_v1(cgroup, has_namespace, destination, fd, options, root_fd);
    return r < 0 ? error_set_errno(err, r, "cannot mount cgroup on %s", destination) : 0;
}
