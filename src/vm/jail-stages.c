/* Theory of operation: what the child does between fork() and exec, by system calls only, as a
 * table of stages that says where it stopped. The order matters:
 *
 *   cgroup        first, so that whatever follows is accounted; needs root
 *   namespaces    needs CAP_SYS_ADMIN; the old file system is still there for
 *   root          which builds the new one and lets go of the old
 *   limits        raising a hard limit needs root, lowering none; before the uid, whose processes
 *                 RLIMIT_NPROC counts
 *   identity      supplementary groups while they mean something, then the user namespace, whose
 *                 root this process becomes: that brings all capabilities *there* back, and a full
 *                 bounding set, so only then
 *   capabilities  all go, or all but those for files; then no_new_privs
 *   parent        a change of identity would have cleared the death signal
 *   system calls  last, since what went before needs calls that the list has not
 *
 * PR_SET_DUMPABLE 0 is not among them: execve() sets it back to 1 for a program its user can read,
 * and with a 0 the /proc/self of QEMU would belong to root. The other processes of its user, which
 * are all in its pid namespace, are its own anyway. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vm/jail-internal.h"

/* Should: put this process into each of its cgroups.
 * Mustn't: start anything before. */
static int stage_cgroup(const struct vm_jail *jail)
{
    for (size_t i = 0; i < jail->spec.n_cgroup_procs; i++)
        if (write(jail->cgroup_procs[i], "0\n", 2) < 0) /* 0: the writer */
            return -errno;
    return 0;
}

/* Should: leave the host's mounts, network, System V IPC, host name and cgroup tree (its processes
 * were left by the fork).
 * Mustn't: let a mount made here be seen on the host, or the other way round. */
static int stage_namespaces(const struct vm_jail *jail)
{
    (void)jail;
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
        return -errno;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    if (sethostname("hull-vm", sizeof("hull-vm") - 1) < 0 || setdomainname("", 0) < 0)
        return -errno;
    /* No keys of root's session; kernels without key rings have none to give. */
    if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0 && errno != ENOSYS)
        return -errno;
    return 0;
}

/* Binds a file or directory of the host, read-only. Attributes take a second call: mount(2). */
static int bind_read_only(const char *from, const char *to, unsigned long flags)
{
    if (mount(from, to, NULL, MS_BIND, NULL) < 0)
        return -errno;
    if (mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | flags, NULL) < 0)
        return -errno;
    return 0;
}

static int make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, 0444);

    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* A device node directly below /dev. Not by mknod(): the tmpfs forbids devices. */
static int bind_device(const char *path)
{
    const char *relative = path + 1;
    int r = make_file(relative);

    if (r == 0 && mount(path, relative, NULL, MS_BIND, NULL) < 0)
        r = -errno;
    return r;
}

/* A directory of the root's that stays writable for the host's root, who alone may write there: so
 * that shares can come later (vm_share_attach()). */
static int make_mount_points(const char *path)
{
    return mkdir(path, 0755) < 0 || mount(path, path, NULL, MS_BIND, NULL) < 0 ||
                   mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                         NULL) < 0
               ? -errno
               : 0;
}

static int attach_shares(const struct vm_jail *jail)
{
    int r = make_mount_points(&VM_JAIL_DISKS[1]);

    if (r == 0 && jail->spec.files)
        r = make_mount_points(&VM_JAIL_SHARES[1]);
    for (size_t i = 0; i < jail->n_shares && r == 0; i++) {
        const struct jail_share *share = &jail->shares[i];

        if (mkdir(share->path, 0755) < 0)
            return -errno;
        if (strcmp(share->path, share->target) != 0)
            r = make_file(share->target);
        if (r == 0 && syscall(SYS_move_mount, share->mount, "", AT_FDCWD, share->target,
                              MOVE_MOUNT_F_EMPTY_PATH) < 0)
            r = -errno;
    }
    return r;
}

/* virtiofsd looks into /proc/sys before it begins. */
static int mount_proc(const struct vm_jail *jail)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    int r = mkdir("proc", 0555);

    if (r == 0 && jail->spec.server)
        r = mount("proc", "proc", "proc", flags | MS_RDONLY, "hidepid=invisible");
    else if (r == 0)
        r = mount("proc", "proc", "proc", flags, "hidepid=invisible,subset=pid");
    return r < 0 ? -errno : 0;
}

/* Relative to the new root, which is the working directory. */
static int fill_root(const struct vm_jail *jail)
{
    int r = make_file("hull-vm");

    if (r == 0)
        r = bind_read_only(jail->program, "hull-vm", MS_NODEV);
    if (r < 0)
        return r;
    if (mkdir("run", 0755) < 0 ||
        mount("tmpfs", "run", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, jail->run_options) < 0)
        return -errno;
    if (jail->spec.proc && (r = mount_proc(jail)) < 0)
        return r;
    if (jail->usr) {
        if (mkdir("usr", 0755) < 0 || symlink("usr/lib", "lib") < 0 ||
            symlink("usr/lib64", "lib64") < 0)
            return -errno;
        r = bind_read_only("/usr", "usr", MS_NODEV);
    }
    if (r == 0 && mkdir("dev", 0755) < 0)
        r = -errno;
    if (r == 0)
        r = bind_device("/dev/null");
    if (r == 0 && jail->device)
        r = bind_device(jail->device);
    if (r == 0 && (jail->spec.files || jail->spec.disks))
        r = attach_shares(jail);
    return r;
}

/* Should: make a root directory with only what the program needs, and lose every way back.
 * Mustn't: leave anything of it writable but /run, whose size is bounded, and the shares; or any
 * descriptor or working directory outside (process_spawn() closes what is not listed). */
static int stage_root(const struct vm_jail *jail)
{
    int r;

    umask(0);
    if (mount("tmpfs", jail->root, "tmpfs", MS_NOSUID | MS_NODEV,
              jail->spec.files || jail->spec.disks ? "size=1m,nr_inodes=1024,mode=0755"
                                                   : "size=64k,nr_inodes=32,mode=0755") < 0 ||
        chdir(jail->root) < 0)
        return -errno;
    r = fill_root(jail);
    if (r < 0)
        return r;
    /* pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one, from
     * where it is unmounted. */
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return -errno;
    /* The guest's own umask is the one that counts for files in shares. */
    umask(jail->spec.files ? 0 : 077);
    return 0;
}

static int limit(int resource, rlim_t value)
{
    struct rlimit limits = {.rlim_cur = value, .rlim_max = value};

    return setrlimit((__rlimit_resource_t)resource, &limits) < 0 ? -errno : 0;
}

/* A file server's is high: as high as this process may make it. */
static int limit_descriptors(rlim_t value)
{
    struct rlimit now;
    int r = limit(RLIMIT_NOFILE, value);

    if (r != -EPERM || getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_max >= value)
        return r;
    return limit(RLIMIT_NOFILE, now.rlim_max);
}

/* Should: bound what a VMM turned hostile can take where no cgroup would notice.
 * Mustn't: bound file sizes (disks are large) or memory (the cgroup does). */
static int stage_limits(const struct vm_jail *jail)
{
    int r = limit(RLIMIT_CORE, 0); /* a core file would hold guest memory */

    if (r == 0)
        r = limit_descriptors(jail->spec.descriptors_max);
    if (r == 0)
        r = limit(RLIMIT_NPROC, jail->spec.processes_max);
    if (r == 0)
        r = limit(RLIMIT_MSGQUEUE, 0);
    if (r == 0)
        r = limit(RLIMIT_MEMLOCK, 64 * 1024);
    if (r == 0 && jail->spec.personality && personality(jail->spec.personality) < 0)
        r = -errno;
    return r;
}

/* Should: become root of the VM's user namespace, which to the host is an ordinary user that nobody
 * else is.
 * Mustn't: keep a supplementary group but the device's. Raw calls: the C library's would signal
 * threads that exist in the parent only. */
static int stage_identity(const struct vm_jail *jail)
{
    gid_t groups[] = {jail->device_group};

    if (syscall(SYS_setgroups, jail->device_group ? 1 : 0, groups) < 0 ||
        syscall(SYS_setns, jail->user_namespace, CLONE_NEWUSER) < 0)
        return -errno;
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

/* What makes the VM's root the root of its shares: files of others can be opened, given away and
 * have their mode set. Worth something on a file only whose owner and group the user namespace has,
 * and in the jail those are the shares' (by their mapping) and the VMM's own. */
#define BIT(capability) (UINT32_C(1) << (capability))
#define FILE_CAPABILITIES \
    (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID))
/* A file server makes files as the user who makes them in the guest, and checks that user's rights
 * by being it. The other two are what virtiofsd jails itself with: a root directory, and a smaller
 * bounding set. */
#define SERVER_CAPABILITIES \
    (BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_SETPCAP) | BIT(CAP_SYS_CHROOT))

static uint32_t kept_capabilities(const struct vm_jail *jail)
{
    if (!jail->spec.files)
        return 0;
    return FILE_CAPABILITIES | (jail->spec.server ? SERVER_CAPABILITIES : 0);
}

static int set_capabilities(uint32_t permitted, uint32_t inheritable, bool all)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    uint32_t second = all ? UINT32_MAX : 0;
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = permitted, .permitted = permitted, .inheritable = inheritable},
        {.effective = second, .permitted = second},
    };

    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

/* Ambient, because uid 0 is to mean nothing at exec (SECBIT_NOROOT). */
static int keep_over_exec(uint32_t kept)
{
    int r = kept ? set_capabilities(UINT32_MAX, kept, true) : 0;

    for (unsigned long cap = 0; cap < 32 && r == 0; cap++)
        if ((kept & BIT(cap)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            r = -errno;
    return r;
}

/* Should: have no capability in any set, in its own user namespace either, and no way to one: empty
 * bounding set, securebits that keep uid 0 from meaning anything and cannot be changed back,
 * no_new_privs. With shares, four capabilities are left in place of none, eight to a file server.
 * Mustn't: be followed by anything that needs one. */
static int stage_capabilities(const struct vm_jail *jail)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    uint32_t kept = kept_capabilities(jail);
    int r;

    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!(cap < 32 && (kept & BIT(cap))) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    r = keep_over_exec(kept);
    if (r < 0)
        return r;
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
        return -errno;
    r = set_capabilities(kept, kept, false);
    if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = -errno;
    return r;
}

/* Should: die with the thread that made it.
 * Mustn't: ask getppid(), which in a pid namespace is 0 for a parent outside, alive or not: a
 * parent that died before the signal was asked for is seen on its pidfd. */
static int stage_parent(const struct vm_jail *jail)
{
    struct pollfd poll_fd = {.fd = jail->parent, .events = POLLIN};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    return poll(&poll_fd, 1, 0) == 0 ? 0 : -ESRCH;
}

/* Should: have the kernel refuse every system call that a VMM has no use for.
 * Mustn't: be without no_new_privs, which the kernel demands too. */
static int stage_system_calls(const struct vm_jail *jail)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &jail->filter_program) < 0 ? -errno : 0;
}

static const struct {
    const char *name;
    int (*run)(const struct vm_jail *jail);
} stages[] = {
    {"enter its cgroup", stage_cgroup},      {"make its namespaces", stage_namespaces},
    {"make its root directory", stage_root}, {"set its limits", stage_limits},
    {"become its user", stage_identity},     {"drop capabilities", stage_capabilities},
    {"be tied to its parent", stage_parent}, {"limit its system calls", stage_system_calls},
};

int jail_enter(void *data)
{
    struct vm_jail *jail = data;

    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        int r;

        jail->shared->stage = (int)i + 1;
        r = stages[i].run(jail);
        if (r < 0)
            return r;
    }
    jail->shared->stage = 0;
    return 0;
}

const char *jail_failure(const struct vm_jail *jail)
{
    int stage = jail->shared->stage;

    /* Written by the child before it ran anything foreign, so it is ours to trust. */
    if (stage < 1 || (size_t)stage > sizeof(stages) / sizeof(stages[0]))
        return NULL;
    return stages[stage - 1].name;
}
