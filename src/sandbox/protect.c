#include "sandbox/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"

int sandbox_protect_self(char *const *argv, struct error *err)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    CLEANUP_CLOSE int here = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    CLEANUP_CLOSE int tree = -EBADF;
    struct statvfs fs;

    if (here < 0 || fstatvfs(here, &fs) < 0)
        return error_set_errno(err, -errno, "cannot open the program's own file");
    if (fs.f_flag & ST_RDONLY)
        return 0;
    tree = (int)syscall(SYS_open_tree, here, "",
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0 ||
        syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
        return error_set_errno(err, -errno, "cannot clone the mount of the program's own file");
    (void)syscall(SYS_execveat, tree, "", argv, environ, AT_EMPTY_PATH);
    return error_set_errno(err, -errno, "cannot execute the program again");
}
