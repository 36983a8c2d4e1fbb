#include "vm/share.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "vm/jail.h"

enum { MOUNTINFO_MAX = 16 * 1024 * 1024, TYPE_MAX = 64 };

/* --- which file system --- */

/* Text of field `index` of a line whose fields are separated by single spaces. */
static const char *field(const char *line, unsigned index)
{
    while (index-- > 0) {
        line = strchr(line, ' ');
        if (!line)
            return NULL;
        line++;
    }
    return line;
}

/* The type of the file system that `fd` is on, from /proc/self/mountinfo (proc(5)): the field after
 * the lone "-" of the line of its mount. "unknown" where it cannot be told. */
static void file_system_type(int fd, char ret[TYPE_MAX])
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MOUNTINFO_MAX);
    CLEANUP_STRV char **lines = NULL;
    struct statx status;

    string_copy(ret, TYPE_MAX, "unknown");
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0 ||
        !(status.stx_mask & STATX_MNT_ID) ||
        file_read(AT_FDCWD, "/proc/self/mountinfo", &text, NULL) < 0 ||
        strv_split(buffer_string(&text), '\n', &lines) < 0)
        return;
    for (size_t i = 0; i < strv_length(lines); i++) {
        const char *dash = strstr(lines[i], " - ");

        if (!dash || strtoull(lines[i], NULL, 10) != status.stx_mnt_id)
            continue;
        snprintf(ret, TYPE_MAX, "%.*s", (int)strcspn(dash + 3, " "), field(dash, 2));
        return;
    }
}

/* --- the mount --- */

static int find_kind(const struct vm_share *share, enum vm_share_kind *ret, struct error *err)
{
    struct stat st;

    if (fstat(share->fd, &st) < 0)
        return error_set_errno(err, -errno, "cannot look at %s", share->name);
    if (S_ISLNK(st.st_mode))
        return error_set(err, -EINVAL, "%s is a symbolic link, which cannot be shared",
                         share->name);
    *ret = S_ISDIR(st.st_mode) ? VM_SHARE_DIRECTORY : VM_SHARE_FILE;
    return 0;
}

static int explain(const struct vm_share *share, int code, struct error *err)
{
    char type[TYPE_MAX];

    if (code != -EINVAL && code != -EOPNOTSUPP)
        return error_set_errno(err, code, "cannot share %s with a utility VM", share->name);
    file_system_type(share->fd, type);
    (void)error_set_class(err, ERROR_INVALID,
                          "cannot share %s with a utility VM: its file system, %s, has no "
                          "id-mapped mounts on this kernel",
                          share->name, type);
    if (err)
        err->code = -EOPNOTSUPP;
    return -EOPNOTSUPP;
}

/* No noexec: hostfs asks access(2) about it, and programs of a share may be run in the guest. What
 * the set-user-id bit does on the host is not the VM's matter, it can be seen and set; nosuid means
 * that it does nothing by way of this mount. nosymfollow: the guest's kernel resolves its links
 * itself and then names files; that a program in the guest puts a link there in between must not
 * lead the VMM, which is root of all shares, anywhere else. */
static int restrict_mount(int mount, const struct vm_share *share, int user_namespace,
                          struct error *err)
{
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                    MOUNT_ATTR_NOSYMFOLLOW | (share->read_only ? MOUNT_ATTR_RDONLY : 0),
        .propagation = 0,
        .userns_fd = (uint64_t)user_namespace,
    };

    if (syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
        return explain(share, -errno, err);
    return 0;
}

int vm_share_mount(const struct vm_share *share, int user_namespace, enum vm_share_kind *ret_kind,
                   struct error *err)
{
    enum vm_share_kind kind = VM_SHARE_FILE;
    int r = find_kind(share, &kind, err);

    if (r < 0)
        return r;
    CLEANUP_CLOSE int mount = (int)syscall(SYS_open_tree, share->fd, "",
                                           OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (mount < 0)
        return error_set_errno(err, -errno, "cannot share %s with a utility VM", share->name);
    r = restrict_mount(mount, share, user_namespace, err);
    if (r < 0)
        return r;
    *ret_kind = kind;
    return TAKE_FD(mount);
}

void vm_share_path(enum vm_share_kind kind, unsigned index, char *path, char *target, size_t size)
{
    const char *directory = kind == VM_SHARE_DISK ? VM_JAIL_DISKS : VM_JAIL_SHARES;

    snprintf(path, size, "%s/%u", directory + 1, index);
    snprintf(target, size, "%s/%u%s", directory + 1, index, kind == VM_SHARE_FILE ? "/file" : "");
}

/* --- into a living jail --- */

static int make_target(enum vm_share_kind kind, const char *path, const char *target)
{
    int fd;

    if (kind != VM_SHARE_DISK && mkdir(path, 0755) < 0)
        return -errno;
    if (kind == VM_SHARE_DIRECTORY)
        return 0;
    fd = open(target, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* What is to be done in a jail. */
struct attachment {
    int pidfd;
    int mount; /* -EBADF: an empty one is made there */
    bool make; /* the target, first */
    enum vm_share_kind kind;
    const char *path;
    const char *target;
    uid_t owner;             /* of an empty one */
    const char *file_system; /* options of its tmpfs */
};

#define EMPTY_FILE "shares/empty"
enum { EMPTY_FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC };

/* The target is a directory, or else a file, over which goes one that nobody can name any more. */
static int cover(const struct attachment *job)
{
    const char *target = job->target;
    int r = 0;

    if (mount("tmpfs", target, "tmpfs", EMPTY_FLAGS, job->file_system) == 0)
        return 0;
    if (errno != ENOTDIR)
        return -errno;
    CLEANUP_CLOSE int file =
        open(EMPTY_FILE, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (file < 0)
        return -errno;
    if (fchown(file, job->owner, job->owner) < 0 ||
        mount(EMPTY_FILE, target, NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | EMPTY_FLAGS, NULL) < 0)
        r = -errno;
    (void)unlink(EMPTY_FILE);
    return r;
}

/* In the child, whose root becomes the jail's. That belongs to the host's root and the VMM cannot
 * write there, so that there is nothing in it to be fooled by. */
static int attach_inside(const struct attachment *job)
{
    int r;

    if (setns(job->pidfd, CLONE_NEWNS) < 0 || chdir("/") < 0)
        return -errno;
    umask(0);
    if (job->mount < 0)
        return cover(job);
    r = job->make ? make_target(job->kind, job->path, job->target) : 0;
    if (r == 0 &&
        syscall(SYS_move_mount, job->mount, "", AT_FDCWD, job->target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        r = -errno;
    return r;
}

static int attach(const struct attachment *job, struct error *err)
{
    int status = 0;
    pid_t pid;
    int r;

    /* Not fork(): setns(2) wants a process that shares nothing and the child does system calls
     * only; handlers of the C library have no business there. */
    pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(-attach_inside(job));
    if (pid < 0)
        return error_set_errno(err, -errno, "cannot enter a utility VM's jail");
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_set_errno(err, -errno, "cannot enter a utility VM's jail");
    r = WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
    return r < 0 ? error_set_errno(err, r, "cannot attach %s in a utility VM's jail", job->target)
                 : 0;
}

int vm_share_attach(int pidfd, int mount, enum vm_share_kind kind, unsigned index,
                    struct error *err)
{
    char path[64];
    char target[64];
    const struct attachment job = {
        .pidfd = pidfd, .mount = mount, .make = true, .kind = kind, .path = path, .target = target};

    vm_share_path(kind, index, path, target, sizeof(path));
    return attach(&job, err);
}

/* The share's own mount follows no links (nosymfollow), so the path leads nowhere else. */
static int attach_below(struct attachment *job, unsigned index, const char *path, struct error *err)
{
    char top[64];
    char file[64];
    char target[PATH_MAX];

    vm_share_path(VM_SHARE_DIRECTORY, index, top, file, sizeof(top));
    if (snprintf(target, sizeof(target), "%s/%s", top, path) >= (int)sizeof(target))
        return error_set(err, -ENAMETOOLONG, "cannot share %s: its path is too long", path);
    job->target = target;
    return attach(job, err);
}

int vm_share_attach_below(int pidfd, int mount, unsigned index, const char *path, struct error *err)
{
    struct attachment job = {.pidfd = pidfd, .mount = mount, .kind = VM_SHARE_DIRECTORY};

    return attach_below(&job, index, path, err);
}

int vm_share_cover_below(int pidfd, unsigned index, const char *path, uid_t owner,
                         struct error *err)
{
    char options[64];
    struct attachment job = {
        .pidfd = pidfd, .mount = -EBADF, .owner = owner, .file_system = options};

    (void)snprintf(options, sizeof(options), "mode=0555,size=4k,uid=%u,gid=%u", owner, owner);
    return attach_below(&job, index, path, err);
}
