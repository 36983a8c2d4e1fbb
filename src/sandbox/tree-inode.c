#include "sandbox/tree-inode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "sandbox/archive-entry.h"

#define OVERLAY "trusted.overlay."
#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define CAPABILITY "security.capability"

enum {
    FD_NAME_SIZE = 32,
    SMALL_LIST = 1024,
    LIST_MAX = 65536, /* XATTR_LIST_MAX of the kernel */
};

static const char *fd_name(int fd, char name[FD_NAME_SIZE])
{
    snprintf(name, FD_NAME_SIZE, "/proc/self/fd/%d", fd);
    return name;
}

/* The link in /proc leads to the very inode, be it a symbolic link. */
static ssize_t list_xattrs(int fd, enum tree_fd kind, char *list, size_t size)
{
    char name[FD_NAME_SIZE];
    ssize_t n = kind == TREE_FD_OPEN ? flistxattr(fd, list, size)
                                     : listxattr(fd_name(fd, name), list, size);

    return n < 0 ? -errno : n;
}

static ssize_t get_xattr(int fd, enum tree_fd kind, const char *xattr, void *value, size_t size)
{
    char name[FD_NAME_SIZE];
    ssize_t n = kind == TREE_FD_OPEN ? fgetxattr(fd, xattr, value, size)
                                     : getxattr(fd_name(fd, name), xattr, value, size);

    return n < 0 ? -errno : n;
}

static int set_xattr(int fd, enum tree_fd kind, const struct tar_xattr *xattr)
{
    char name[FD_NAME_SIZE];
    int r = kind == TREE_FD_OPEN
                ? fsetxattr(fd, xattr->name, xattr->value, xattr->size, 0)
                : setxattr(fd_name(fd, name), xattr->name, xattr->value, xattr->size, 0);

    return r < 0 ? -errno : 0;
}

static int remove_xattr(int fd, enum tree_fd kind, const char *xattr)
{
    char name[FD_NAME_SIZE];
    int r = kind == TREE_FD_OPEN ? fremovexattr(fd, xattr) : removexattr(fd_name(fd, name), xattr);

    return r < 0 && errno != ENODATA && errno != EOPNOTSUPP ? -errno : 0;
}

bool tree_inode_is_opaque(int fd, enum tree_fd kind)
{
    char value[1];

    return get_xattr(fd, kind, OVERLAY "opaque", value, sizeof(value)) == 1 && value[0] == 'y';
}

bool tree_inode_has_default_acl(int path_fd)
{
    return get_xattr(path_fd, TREE_FD_PATH, ACL_DEFAULT, NULL, 0) > 0;
}

bool tree_inode_hands_down(const struct tar_entry *entry)
{
    return tar_entry_find_xattr(entry, ACL_DEFAULT) != NULL;
}

static bool is_acl(const char *name)
{
    return string_equal(name, ACL_ACCESS) || string_equal(name, ACL_DEFAULT);
}

/* Overlay's own, without its prefix: 1 wanted, 0 not, -EXDEV. What is not known may steer overlay
 * to anywhere. */
static int judge_overlay(const char *name)
{
    static const char *const wanted[] = {"opaque", "whiteout", "protattr"};
    static const char *const left_out[] = {"origin", "impure", "nlink", "index", "upper", "uuid"};

    /* Of an overlay inside the container, whose names the kernel writes so. */
    if (string_starts_with(name, "overlay."))
        return 1;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (string_equal(name, wanted[i]))
            return 1;
    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
        if (string_equal(name, left_out[i]))
            return 0;
    return -EXDEV;
}

static int judge_raw(const char *name)
{
    if (string_starts_with(name, OVERLAY))
        return judge_overlay(name + strlen(OVERLAY));
    if (string_starts_with(name, "system."))
        return is_acl(name);
    return !string_equal(name, "security.evm");
}

static int judge(const char *name, enum tree_xattrs which)
{
    if (which == TREE_XATTRS_RAW)
        return judge_raw(name);
    return is_acl(name) || string_equal(name, CAPABILITY) || string_starts_with(name, "user.");
}

static int read_one(int fd, enum tree_fd kind, const char *name, void *value, struct tar_entry *ret,
                    struct error *err)
{
    ssize_t n = get_xattr(fd, kind, name, value, TAR_XATTR_SIZE_MAX);
    int r;

    if (n == -ENODATA)
        return 0; /* removed since it was listed */
    if (n < 0)
        return error_set_errno(err, (int)n, "cannot read attribute %s", name);
    r = tar_entry_add_xattr(ret, name, value, (size_t)n);
    if (r == -E2BIG)
        return error_set(err, r, "has more than %d attributes", (int)TAR_XATTRS_MAX);
    return r < 0 ? error_oom(err) : 0;
}

static int read_listed(int fd, enum tree_fd kind, enum tree_xattrs which, const char *list,
                       size_t length, struct tar_entry *ret, struct error *err)
{
    CLEANUP_FREE void *value = malloc(TAR_XATTR_SIZE_MAX);

    if (!value)
        return error_oom(err);
    for (const char *name = list; name < list + length; name += strlen(name) + 1) {
        int r = judge(name, which);

        if (r == -EXDEV)
            return error_set(err, r, "the layer is not whole: it has %s", name);
        if (r > 0)
            r = read_one(fd, kind, name, value, ret, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int tree_inode_read_xattrs(int fd, enum tree_fd kind, enum tree_xattrs which, struct tar_entry *ret,
                           struct error *err)
{
    char small[SMALL_LIST];
    CLEANUP_FREE char *large = NULL;
    ssize_t n = list_xattrs(fd, kind, small, sizeof(small));

    if (n == -ERANGE) {
        large = malloc(LIST_MAX);
        if (!large)
            return error_oom(err);
        n = list_xattrs(fd, kind, large, LIST_MAX);
    }
    if (n == 0 || n == -EOPNOTSUPP)
        return 0;
    if (n < 0)
        return error_set_errno(err, (int)n, "cannot list attributes");
    return read_listed(fd, kind, which, large ? large : small, (size_t)n, ret, err);
}

int tree_inode_open_content(int proc_fd, int path_fd)
{
    char name[FD_NAME_SIZE];
    const char *path = fd_name(path_fd, name);
    int fd;

    if (proc_fd >= 0)
        path += strlen("/proc/self/fd/");
    fd = openat(proc_fd, path, O_RDONLY | O_NOATIME | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == EPERM)
        fd = openat(proc_fd, path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int set_mode(int fd, enum tree_fd kind, mode_t mode)
{
    char name[FD_NAME_SIZE];
    int r = kind == TREE_FD_OPEN ? fchmod(fd, mode) : chmod(fd_name(fd, name), mode);

    return r < 0 ? -errno : 0;
}

static bool may_be_lost(const char *name, int code, enum tree_xattrs which)
{
    return which == TREE_XATTRS_PUBLIC && !string_equal(name, CAPABILITY) &&
           (code == -EOPNOTSUPP || code == -EPERM || code == -EINVAL);
}

static int apply_xattrs(int fd, enum tree_fd kind, const struct tar_entry *entry,
                        enum tree_xattrs which, struct error *err)
{
    for (size_t i = 0; i < entry->n_xattrs; i++) {
        const struct tar_xattr *xattr = &entry->xattrs[i];
        int r = judge(xattr->name, which);

        if (r > 0)
            r = set_xattr(fd, kind, xattr);
        if (r < 0 && !may_be_lost(xattr->name, r, which))
            return error_set_errno(err, r, "cannot set attribute %s", xattr->name);
    }
    return 0;
}

/* A new inode got them from its directory's default ACL. */
static int drop_inherited(int fd, enum tree_fd kind, const struct tar_entry *entry)
{
    int r = 0;

    if (!tar_entry_find_xattr(entry, ACL_ACCESS))
        r = remove_xattr(fd, kind, ACL_ACCESS);
    if (r == 0 && entry->type == TAR_DIRECTORY && !tar_entry_find_xattr(entry, ACL_DEFAULT))
        r = remove_xattr(fd, kind, ACL_DEFAULT);
    return r;
}

int tree_inode_apply(int fd, enum tree_fd kind, const struct tar_entry *entry,
                     enum tree_xattrs which, bool drop_acls, struct error *err)
{
    bool is_link = entry->type == TAR_SYMLINK;
    int r = 0;

    if (fchownat(fd, "", entry->uid, entry->gid, AT_EMPTY_PATH) < 0)
        return error_set_errno(err, -errno, "cannot set owner %u:%u", entry->uid, entry->gid);
    if (!is_link && drop_acls && which == TREE_XATTRS_RAW)
        r = drop_inherited(fd, kind, entry);
    if (r == 0 && !is_link)
        r = set_mode(fd, kind, entry->mode & 07777);
    if (r < 0)
        return error_set_errno(err, r, "cannot set mode %o", (unsigned)entry->mode);
    return apply_xattrs(fd, kind, entry, which, err);
}

int tree_inode_set_times(int fd, const struct tar_entry *entry)
{
    const struct timespec times[2] = {entry->has_atime ? entry->atime : entry->mtime, entry->mtime};

    return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}
