/* What the child that moves a layer can still reach on the host: see agent_layer.h.
 *
 * Theory of operation. The one that receives reads an archive that a guest wrote, as root and with
 * CAP_SYS_ADMIN. So before its first byte it gets a mount namespace with nothing in it but the
 * layer's directory and a read-only /proc, whose links it needs to name what it has open. Devices
 * that it makes cannot be opened there, and of system calls it has those for files: none that
 * mounts, opens by handle, or makes a process. What else it needs, it has open. */
#include "sandbox/agent_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"
#include "sandbox/seccomp-filter.h"
#include "spec/seccomp.h"

enum { FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC };

static const char *const calls[] = {
    "brk",
    "chdir",
    "chmod",
    "chown",
    "clock_gettime",
    "close",
    "close_range",
    "copy_file_range",
    "dup",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fallocate",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "fcntl",
    "fgetxattr",
    "flistxattr",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "futex",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getpid",
    "getrandom",
    "gettid",
    "getuid",
    "getxattr",
    "lchown",
    "lgetxattr",
    "linkat",
    "listxattr",
    "llistxattr",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "madvise",
    "mkdirat",
    "mknodat",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "newfstatat",
    "openat",
    "openat2",
    "pread64",
    "prlimit64",
    "pwrite64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "removexattr",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "sendfile",
    "setxattr",
    "sigaltstack",
    "stat",
    "statx",
    "symlinkat",
    "sync_file_range",
    "syncfs",
    "sysinfo",
    "umask",
    "unlinkat",
    "utimensat",
    "write",
    "writev",
};

static int mount_proc(void)
{
    /* Before Linux 5.8 there is no `subset`. */
    if (mount("proc", "proc", "proc", FLAGS | MS_RDONLY, "subset=pid") < 0 &&
        (errno != EINVAL || mount("proc", "proc", "proc", FLAGS | MS_RDONLY, NULL) < 0))
        return -errno;
    return 0;
}

/* The new root lies on the directory that it shows. */
static int make_root(const char *directory)
{
    CLEANUP_CLOSE int layer = open(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char source[64];

    if (layer < 0)
        return -errno;
    (void)snprintf(source, sizeof(source), "/proc/self/fd/%d", layer);
    if (mount("tmpfs", directory, "tmpfs", FLAGS, "size=64k,nr_inodes=8,mode=0755") < 0 ||
        chdir(directory) < 0 || mkdir("proc", 0755) < 0 || mkdir("layer", 0755) < 0 ||
        mount(source, "layer", NULL, MS_BIND, NULL) < 0 ||
        mount(NULL, "layer", NULL, MS_REMOUNT | MS_BIND | FLAGS, NULL) < 0)
        return -errno;
    return mount_proc();
}

int agent_layer_enter(const char *directory, struct error *err)
{
    int r;
    int fd;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
        return error_set_errno(err, -errno, "cannot make a mount namespace");
    r = make_root(directory);
    if (r < 0)
        return error_set_errno(err, r, "cannot make a root with %s alone", directory);
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0 ||
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | FLAGS, NULL) < 0)
        return error_set_errno(err, -errno, "cannot leave the host's root");
    fd = open("/layer", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set_errno(err, -errno, "cannot open %s", directory) : fd;
}

static void profile_free(struct spec_seccomp **profile)
{
    *profile = spec_seccomp_free(*profile);
}

int agent_layer_filter(struct error *err)
{
    CLEANUP(profile_free) struct spec_seccomp *profile = spec_seccomp_new();
    CLEANUP(seccomp_filter_release) struct seccomp_filter filter = {.code = NULL};
    struct spec_seccomp_rule *rule =
        profile ? spec_seccomp_add_rule(profile, SPEC_SECCOMP_ALLOW) : NULL;
    int r;

    if (!rule)
        return error_oom(err);
    profile->default_action = SPEC_SECCOMP_ERRNO;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strv_append(&rule->names, calls[i]) < 0)
            return error_oom(err);
    r = seccomp_filter_build(profile, &filter, err);
    return r < 0 ? r : seccomp_filter_install(&filter, err);
}
