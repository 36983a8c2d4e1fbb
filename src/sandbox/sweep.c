#include "sandbox/sandbox.h"

#include <errno.h>
#include <sys/mount.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sandbox/cgroup.h"

static void cgroup_cleanup(struct cgroup **cgroup)
{
    cgroup_free(*cgroup);
}

static int sweep_cgroup(const char *path, struct error *err)
{
    CLEANUP(cgroup_cleanup) struct cgroup *cgroup = NULL;
    int r = cgroup_open(path, NULL, false, &cgroup, err);
    if (r == 0)
        r = cgroup_kill(cgroup, err);
    return r < 0 ? r : cgroup_remove(cgroup, err);
}

int sandbox_sweep(const char *cgroups_path, const char *target, struct error *err)
{
    int r = cgroups_path ? sweep_cgroup(cgroups_path, err) : 0;
    /* Processes first: they may hold the mount. */
    if (target && umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
        errno != ENOENT && r == 0)
        r = error_set_errno(err, -errno, "cannot unmount '%s'", target);
    return r;
}
