/* Theory of operation.
 *
 * The child of fork() may only do system calls, so everything with a name is prepared in the parent
 * (struct vm_jail), and the child walks a table of stages. How far it got is written to a page that
 * both share: process_spawn() reports an errno value only.
 *
 * The order matters:
 *   cgroup       first, so that whatever follows is accounted; needs root
 *   namespaces   needs CAP_SYS_ADMIN; the old file system is still there for
 *   root         which builds the new one and lets go of the old
 *   limits       raising a hard limit needs root, lowering none; before the uid, whose processes
 *                RLIMIT_NPROC counts
 *   identity     bounding set first (needs CAP_SETPCAP), then groups, gid, uid
 *   capabilities nothing is left after the uid change, but say so; then no_new_privs
 *
 * PR_SET_DUMPABLE 0 is not among them: execve() sets it back to 1 for a program its user can read,
 * and with a 0 the /proc/self of QEMU would belong to root. PR_SET_PDEATHSIG is set by
 * process_spawn() after prepare(), because a change of user clears it.
 *
 * Left to the full jail: user and pid namespaces, and a seccomp allow-list as a stage of its own
 * between capabilities and exec (QEMU brings a filter of its own, -sandbox). */
#include "vm/jail.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"

enum { RUN_OPTIONS_MAX = 128, PHDRS_MAX = 128 };

struct shared {
    volatile int stage; /* index + 1 of the stage being done; 0 before and after */
};

struct vm_jail {
    struct vm_jail_spec spec; /* strings are this object's */
    char *program;
    char *root;
    char *device;
    int cgroup_procs[VM_JAIL_CGROUPS_MAX];
    bool usr;           /* the program needs shared libraries */
    gid_t device_group; /* 0: none */
    char run_options[RUN_OPTIONS_MAX];
    struct shared *shared;
};

/* --- in the parent --- */

/* True if the ELF program names an interpreter, the dynamic linker, or is no ELF file at all. */
static int needs_libraries(const char *path, bool *ret, struct error *err)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf64_Ehdr header;
    Elf64_Phdr program;

    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open %s", path);
    *ret = true;
    if (fd_read_full(fd, &header, sizeof(header)) != sizeof(header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_phentsize != sizeof(program) || header.e_phnum > PHDRS_MAX)
        return 0;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        off_t at = (off_t)(header.e_phoff + i * sizeof(program));

        if (pread(fd, &program, sizeof(program), at) != sizeof(program) ||
            program.p_type == PT_INTERP)
            return 0;
    }
    *ret = false;
    return 0;
}

/* A device node that its group may use (0660 root:kvm) is used by way of that group. */
static int find_device_group(struct vm_jail *jail, struct error *err)
{
    struct stat st;

    if (!jail->device)
        return 0;
    if (stat(jail->device, &st) < 0)
        return error_set_errno(err, -errno, "cannot look at %s", jail->device);
    if (!S_ISCHR(st.st_mode))
        return error_set(err, -ENODEV, "%s is not a device", jail->device);
    if ((st.st_mode & S_IRWXG) && !(st.st_mode & S_IWOTH))
        jail->device_group = st.st_gid;
    return 0;
}

static int copy_spec(struct vm_jail *jail, const struct vm_jail_spec *spec, struct error *err)
{
    jail->spec = *spec;
    jail->program = strdup(spec->program);
    jail->root = strdup(spec->root);
    jail->device = spec->device ? strdup(spec->device) : NULL;
    if (!jail->program || !jail->root || (spec->device && !jail->device))
        return error_oom(err);
    jail->spec.program = jail->program;
    jail->spec.root = jail->root;
    jail->spec.device = jail->device;
    for (size_t i = 0; i < spec->n_cgroup_procs; i++)
        jail->cgroup_procs[i] = spec->cgroup_procs[i];
    jail->spec.cgroup_procs = jail->cgroup_procs;
    snprintf(jail->run_options, sizeof(jail->run_options),
             "size=64k,nr_inodes=32,mode=0700,uid=%u,gid=%u", spec->uid, spec->gid);
    return 0;
}

DEFINE_CLEANUP(struct vm_jail *, cleanup_jail, vm_jail_free)

int vm_jail_new(const struct vm_jail_spec *spec, struct vm_jail **ret, struct error *err)
{
    CLEANUP(cleanup_jail) struct vm_jail *jail = NULL;
    int r;

    if (spec->uid == 0 || spec->gid == 0 || spec->uid == (uid_t)-1 || spec->gid == (gid_t)-1)
        return error_set(err, -EINVAL, "a utility VM cannot run as user %d, group %d",
                         (int)spec->uid, (int)spec->gid);
    if (spec->n_cgroup_procs > VM_JAIL_CGROUPS_MAX)
        return error_set(err, -E2BIG, "more than %d cgroups", VM_JAIL_CGROUPS_MAX);
    jail = calloc(1, sizeof(*jail));
    if (!jail)
        return error_oom(err);
    r = copy_spec(jail, spec, err);
    if (r == 0)
        r = needs_libraries(spec->program, &jail->usr, err);
    if (r == 0)
        r = find_device_group(jail, err);
    if (r < 0)
        return r;
    jail->shared = mmap(NULL, sizeof(*jail->shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (jail->shared == MAP_FAILED) {
        jail->shared = NULL;
        return error_oom(err);
    }
    *ret = TAKE_PTR(jail);
    return 0;
}

struct vm_jail *vm_jail_free(struct vm_jail *jail)
{
    if (!jail)
        return NULL;
    if (jail->shared)
        munmap(jail->shared, sizeof(*jail->shared));
    free(jail->program);
    free(jail->root);
    free(jail->device);
    free(jail);
    return NULL;
}

/* --- in the child: system calls only --- */

/* Should: put this process into each of its cgroups.
 * Mustn't: start anything before. */
static int stage_cgroup(const struct vm_jail *jail)
{
    for (size_t i = 0; i < jail->spec.n_cgroup_procs; i++)
        if (write(jail->cgroup_procs[i], "0\n", 2) < 0) /* 0: the writer */
            return -errno;
    return 0;
}

/* Should: leave the host's mounts, network, System V IPC, host name and cgroup tree.
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
    if (jail->spec.proc &&
        (mkdir("proc", 0555) < 0 || mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                                          "hidepid=invisible,subset=pid") < 0))
        return -errno;
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
    return r;
}

/* Should: make a root directory with only what the program needs, and lose every way back.
 * Mustn't: leave anything of it writable but /run, or any descriptor or working directory outside
 * (process_spawn() closes what is not listed). */
static int stage_root(const struct vm_jail *jail)
{
    int r;

    umask(0);
    if (mount("tmpfs", jail->root, "tmpfs", MS_NOSUID | MS_NODEV,
              "size=64k,nr_inodes=32,mode=0755") < 0 ||
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
    umask(077);
    return 0;
}

static int limit(int resource, rlim_t value)
{
    struct rlimit limits = {.rlim_cur = value, .rlim_max = value};

    return setrlimit((__rlimit_resource_t)resource, &limits) < 0 ? -errno : 0;
}

/* Should: bound what a VMM turned hostile can take where no cgroup would notice.
 * Mustn't: bound file sizes (disks are large) or memory (the cgroup does). */
static int stage_limits(const struct vm_jail *jail)
{
    int r = limit(RLIMIT_CORE, 0); /* a core file would hold guest memory */

    if (r == 0)
        r = limit(RLIMIT_NOFILE, jail->spec.descriptors_max);
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

/* Should: become the VM's user, with no way to root: empty bounding set, and securebits that keep
 * uid 0 from meaning anything and cannot be changed back.
 * Mustn't: keep a supplementary group but the device's. Raw calls: the C library's would signal
 * threads that exist in the parent only. */
static int stage_identity(const struct vm_jail *jail)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    gid_t groups[] = {jail->device_group};

    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return -errno;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
        return -errno;
    if (syscall(SYS_setgroups, jail->device_group ? 1 : 0, groups) < 0 ||
        syscall(SYS_setresgid, jail->spec.gid, jail->spec.gid, jail->spec.gid) < 0 ||
        syscall(SYS_setresuid, jail->spec.uid, jail->spec.uid, jail->spec.uid) < 0)
        return -errno;
    return 0;
}

/* Should: have no capability in any set, and never gain one by exec.
 * Mustn't: be followed by anything that needs one. */
static int stage_capabilities(const struct vm_jail *jail)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    (void)jail;
    if (syscall(SYS_capset, &header, none) < 0)
        return -errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const struct vm_jail *jail);
} stages[] = {
    {"enter its cgroup", stage_cgroup},      {"make its namespaces", stage_namespaces},
    {"make its root directory", stage_root}, {"set its limits", stage_limits},
    {"become its user", stage_identity},     {"drop capabilities", stage_capabilities},
};

int vm_jail_enter(void *data)
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

const char *vm_jail_failure(const struct vm_jail *jail)
{
    int stage = jail->shared->stage;

    /* Written by the child before it ran anything foreign, so it is ours to trust. */
    if (stage < 1 || (size_t)stage > sizeof(stages) / sizeof(stages[0]))
        return NULL;
    return stages[stage - 1].name;
}
