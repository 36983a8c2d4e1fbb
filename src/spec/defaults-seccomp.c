/* Docker's default seccomp profile (moby 28, profiles/seccomp/default_linux.go), equal in effect:
 * an allow-list with EPERM for the rest, some calls only with the capability that guards them, and
 * filters on the arguments of personality, socket and clone. Names that a machine lacks are passed
 * over when the filter is built, so that one list serves all architectures. */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/strings.h"
#include "spec/capability.h"
#include "spec/defaults.h"
#include "spec/seccomp.h"

/* CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET */
#define CLONE_NAMESPACES UINT64_C(0x7e020000)

static const char *const always[] = {
    "accept",
    "accept4",
    "access",
    "adjtimex",
    "alarm",
    "bind",
    "brk",
    "cachestat",
    "capget",
    "capset",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "close",
    "close_range",
    "connect",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "eventfd",
    "eventfd2",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_mark",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fork",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futex",
    "futex_requeue",
    "futex_time64",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "futimesat",
    "getcpu",
    "getcwd",
    "getdents",
    "getdents64",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getitimer",
    "getpeername",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getrlimit",
    "get_robust_list",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "get_thread_area",
    "gettid",
    "gettimeofday",
    "getuid",
    "getuid32",
    "getxattr",
    "getxattrat",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "io_cancel",
    "ioctl",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_pgetevents_time64",
    "ioprio_get",
    "ioprio_set",
    "io_setup",
    "io_submit",
    "ipc",
    "kill",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listen",
    "listmount",
    "listxattr",
    "listxattrat",
    "llistxattr",
    "_llseek",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "lstat64",
    "madvise",
    "map_shadow_stack",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "mincore",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "mprotect",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "mremap",
    "mseal",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "name_to_handle_at",
    "nanosleep",
    "newfstatat",
    "_newselect",
    "open",
    "openat",
    "openat2",
    "pause",
    "pidfd_open",
    "pidfd_send_signal",
    "pipe",
    "pipe2",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "poll",
    "ppoll",
    "ppoll_time64",
    "prctl",
    "pread64",
    "preadv",
    "preadv2",
    "prlimit64",
    "process_mrelease",
    "pselect6",
    "pselect6_time64",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "remap_file_pages",
    "removexattr",
    "removexattrat",
    "rename",
    "renameat",
    "renameat2",
    "restart_syscall",
    "riscv_hwprobe",
    "rmdir",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "select",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "send",
    "sendfile",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setitimer",
    "setpgid",
    "setpriority",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setrlimit",
    "set_robust_list",
    "setsid",
    "setsockopt",
    "set_thread_area",
    "set_tid_address",
    "setuid",
    "setuid32",
    "setxattr",
    "setxattrat",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "shutdown",
    "sigaltstack",
    "signalfd",
    "signalfd4",
    "sigprocmask",
    "sigreturn",
    "socketcall",
    "socketpair",
    "splice",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statmount",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "sysinfo",
    "tee",
    "tgkill",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "times",
    "tkill",
    "truncate",
    "truncate64",
    "ugetrlimit",
    "umask",
    "uname",
    "unlink",
    "unlinkat",
    "uretprobe",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
    "vfork",
    "vmsplice",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
    /* Linux 4.8 checks tracees with seccomp after ptrace, so that ptrace is no way around it; hull
     * needs a later kernel in any case. */
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
#if defined(__x86_64__) || defined(__i386__)
    "arch_prctl",
    "modify_ldt",
#elif defined(__aarch64__) || defined(__arm__)
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "sync_file_range2",
    "breakpoint",
    "cacheflush",
    "set_tls",
#elif defined(__riscv)
    "riscv_flush_icache",
#elif defined(__s390x__)
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "s390_runtime_instr",
#elif defined(__powerpc64__)
    "sync_file_range2",
    "swapcontext",
#endif
    NULL,
};

static const char *const architectures[] = {
#if defined(__x86_64__)
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
#elif defined(__aarch64__)
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
#elif defined(__s390x__)
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_S390",
#endif
    NULL,
};

enum { GUARDED_MAX = 24 };

/* Calls that one capability opens. */
static const struct {
    int capability;
    const char *names[GUARDED_MAX];
} guarded[] = {
    {CAP_DAC_READ_SEARCH, {"open_by_handle_at"}},
    {CAP_SYS_ADMIN, {"bpf",           "clone",         "clone3",      "fanotify_init",   "fsconfig",
                     "fsmount",       "fsopen",        "fspick",      "lookup_dcookie",  "mount",
                     "mount_setattr", "move_mount",    "open_tree",   "perf_event_open", "quotactl",
                     "quotactl_fd",   "setdomainname", "sethostname", "setns",           "syslog",
                     "umount",        "umount2",       "unshare"}},
    {CAP_SYS_BOOT, {"reboot"}},
    {CAP_SYS_CHROOT, {"chroot"}},
    {CAP_SYS_MODULE, {"delete_module", "init_module", "finit_module"}},
    {CAP_SYS_PACCT, {"acct"}},
    {CAP_SYS_PTRACE, {"kcmp", "pidfd_getfd", "process_madvise"}},
    {CAP_SYS_RAWIO, {"iopl", "ioperm"}},
    {CAP_SYS_TIME, {"settimeofday", "stime", "clock_settime", "clock_settime64"}},
    {CAP_SYS_TTY_CONFIG, {"vhangup"}},
    {CAP_SYS_NICE, {"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"}},
    {CAP_SYSLOG, {"syslog"}},
    {CAP_BPF, {"bpf"}},
    {CAP_PERFMON, {"perf_event_open"}},
};

static const uint64_t personalities[] = {
    0x0,        /* PER_LINUX */
    0x0008,     /* PER_LINUX32 */
    0x20000,    /* UNAME26 */
    0x20008,    /* PER_LINUX32 | UNAME26 */
    0xffffffff, /* query */
};

static int add_names(struct spec_seccomp *seccomp, enum spec_seccomp_action action,
                     const char *const *names)
{
    struct spec_seccomp_rule *rule = spec_seccomp_add_rule(seccomp, action);
    int r = rule ? 0 : -ENOMEM;

    for (; r == 0 && *names; names++)
        r = strv_append(&rule->names, *names);
    return r;
}

static int add_argument_rule(struct spec_seccomp *seccomp, const char *name,
                             const struct spec_seccomp_argument *argument)
{
    struct spec_seccomp_rule *rule = spec_seccomp_add_rule(seccomp, SPEC_SECCOMP_ALLOW);

    if (!rule || strv_append(&rule->names, name) < 0)
        return -ENOMEM;
    rule->arguments = malloc(sizeof(*argument));
    if (!rule->arguments)
        return -ENOMEM;
    rule->arguments[0] = *argument;
    rule->n_arguments = 1;
    return 0;
}

static int add_personalities(struct spec_seccomp *seccomp)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(personalities) / sizeof(personalities[0]); i++) {
        struct spec_seccomp_argument argument = {
            .index = 0,
            .value = personalities[i],
            .operator= SPEC_SECCOMP_EQ,
        };

        r = add_argument_rule(seccomp, "personality", &argument);
    }
    return r;
}

/* Without CAP_SYS_ADMIN no new namespaces: clone by its flags; clone3, whose flags are behind a
 * pointer that a filter cannot read, as if it did not exist, which makes the C library use clone.
 */
static int add_clone_rules(struct spec_seccomp *seccomp)
{
    struct spec_seccomp_argument flags = {
#if defined(__s390x__)
        .index = 1,
#else
        .index = 0,
#endif
        .value = CLONE_NAMESPACES,
        .value_two = 0,
        .operator= SPEC_SECCOMP_MASKED_EQ,
    };
    static const char *const clone3[] = {"clone3", NULL};
    int r = add_argument_rule(seccomp, "clone", &flags);

    if (r == 0)
        r = add_names(seccomp, SPEC_SECCOMP_ERRNO, clone3);
    if (r < 0)
        return r;
    seccomp->rules[seccomp->n_rules - 1].has_errno = true;
    seccomp->rules[seccomp->n_rules - 1].errno_value = ENOSYS;
    return 0;
}

/* A VM socket reaches the hypervisor, which no container has business with. */
static int add_socket_rule(struct spec_seccomp *seccomp)
{
    struct spec_seccomp_argument family = {
        .index = 0,
        .value = AF_VSOCK,
        .operator= SPEC_SECCOMP_NE,
    };

    return add_argument_rule(seccomp, "socket", &family);
}

static int fill(struct spec_seccomp *seccomp, uint64_t capabilities)
{
    int r = add_names(seccomp, SPEC_SECCOMP_ALLOW, always);

    for (size_t i = 0; r == 0 && i < sizeof(guarded) / sizeof(guarded[0]); i++)
        if (capabilities & CAPABILITY_BIT(guarded[i].capability))
            r = add_names(seccomp, SPEC_SECCOMP_ALLOW, guarded[i].names);
    if (r == 0 && !(capabilities & CAPABILITY_BIT(CAP_SYS_ADMIN)))
        r = add_clone_rules(seccomp);
    if (r == 0)
        r = add_personalities(seccomp);
    if (r == 0)
        r = add_socket_rule(seccomp);
    for (const char *const *name = architectures; r == 0 && *name; name++)
        r = strv_append(&seccomp->architectures, *name);
    return r;
}

struct spec_seccomp *spec_default_seccomp(uint64_t capabilities)
{
    struct spec_seccomp *seccomp = spec_seccomp_new();

    if (!seccomp)
        return NULL;
    seccomp->default_action = SPEC_SECCOMP_ERRNO;
    seccomp->has_default_errno = true;
    seccomp->default_errno = EPERM;
    if (fill(seccomp, capabilities) < 0)
        return spec_seccomp_free(seccomp);
    return seccomp;
}
