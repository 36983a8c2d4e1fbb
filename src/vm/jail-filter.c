/* Theory of operation.
 *
 * Written as classic BPF by hand and not by libseccomp, whose compiler takes milliseconds for a
 * list of this length: the numbers are sorted, neighbours joined to ranges, and searched as a tree:
 *
 *     arch?             another architecture: kill
 *     nr >= middle?     ... 7 steps
 *     in the range?     no: ENOSYS
 *     range's rule      allow, or a look at one argument: allow or EPERM
 *
 * The numbers of x32 have bit 30 set, are in no range and so do not exist. The kernel remembers
 * which calls are allowed whatever their arguments and does not run the program for those.
 *
 * Where the lists are from: User-Mode Linux's from its sources (arch/um/os-Linux, arch/um/drivers/
 * *_user.c, fs/hostfs/hostfs_user.c), since it is linked with hull's own build of a known C
 * library; QEMU's from what the C library, glib and QEMU 7.2 to 10 do with the devices of qemu.c.
 * The file server's from what virtiofsd does, the one in C and the one in Rust, each of which has a
 * filter of its own besides. All hold what process_spawn() does between the filter and exec. */
#include "vm/jail-filter.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stdint.h>
#include <sys/personality.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "unknown architecture"
#endif

enum { CALLS_MAX = 300, MATCHES_MAX = 24 };

/* The low half of the argument, masked, has this value. All arguments looked at are 32 bits wide to
 * the kernel. A mask of 0 ends a list. */
struct match {
    uint32_t mask;
    uint32_t value;
};

struct rule {
    unsigned argument;
    struct match matches[MATCHES_MAX]; /* any of them */
};

#define EXACTLY(n)                     \
    {                                  \
        .mask = UINT32_MAX, .value = n \
    }

/* TCGETS2, which the C library's headers cannot spell. */
enum { TERMIOS2 = (int)0x802c542a };

/* CLONE_NEWTIME shares its bit with the exit signal, so that clone(2) cannot ask for it. */
#define NAMESPACES                                                                                \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)

static const struct rule no_namespaces = {0, {{.mask = NAMESPACES | CLONE_PARENT, .value = 0}}};
static const struct rule only_threads = {
    0, {{.mask = NAMESPACES | CLONE_PARENT | CLONE_THREAD, .value = CLONE_THREAD}}};
static const struct rule only_unix = {0, {EXACTLY(1 /* AF_UNIX */)}};
static const struct rule only_no_randomize = {
    0, {EXACTLY(ADDR_NO_RANDOMIZE), EXACTLY(UINT32_MAX /* ask */)}};

/* Its own children: not to attach to what is not. */
static const struct rule uml_ptrace = {
    0,
    {EXACTLY(PTRACE_TRACEME), EXACTLY(PTRACE_PEEKUSR), EXACTLY(PTRACE_POKEUSR),
     EXACTLY(PTRACE_CONT), EXACTLY(PTRACE_KILL), EXACTLY(PTRACE_GETREGS), EXACTLY(PTRACE_SETREGS),
     EXACTLY(PTRACE_SYSCALL), EXACTLY(31 /* PTRACE_SYSEMU */),
     EXACTLY(32 /* PTRACE_SYSEMU_SINGLESTEP */), EXACTLY(PTRACE_SETOPTIONS),
     EXACTLY(PTRACE_GETSIGINFO), EXACTLY(PTRACE_GETREGSET), EXACTLY(PTRACE_SETREGSET)},
};

static const struct rule uml_prctl = {
    0, {EXACTLY(PR_SET_PDEATHSIG), EXACTLY(PR_SET_NAME), EXACTLY(PR_SET_NO_NEW_PRIVS)}};
static const struct rule qemu_prctl = {
    0,
    {EXACTLY(PR_SET_PDEATHSIG), EXACTLY(PR_SET_NAME), EXACTLY(PR_GET_NAME),
     EXACTLY(PR_SET_NO_NEW_PRIVS), EXACTLY(PR_SET_SECCOMP), EXACTLY(PR_SET_TIMERSLACK),
     EXACTLY(PR_MCE_KILL)},
};

/* Gives up what it was started with, and sets a filter of its own. */
static const struct rule server_prctl = {
    0,
    {EXACTLY(PR_SET_PDEATHSIG), EXACTLY(PR_SET_NAME), EXACTLY(PR_GET_NAME),
     EXACTLY(PR_SET_NO_NEW_PRIVS), EXACTLY(PR_SET_SECCOMP), EXACTLY(PR_GET_SECCOMP),
     EXACTLY(PR_CAPBSET_READ), EXACTLY(PR_CAPBSET_DROP), EXACTLY(PR_CAP_AMBIENT)},
};
/* Each thread has a working directory and a umask of its own, and nothing else. */
static const struct rule only_fs = {0, {EXACTLY(CLONE_FS)}};
static const struct rule server_ioctl = {1, {EXACTLY(TCGETS), EXACTLY(TERMIOS2)}};

/* Lines' settings are asked for (isatty(3)); nothing that types into one (TIOCSTI). */
static const struct rule uml_ioctl = {
    1,
    {EXACTLY(TCGETS), EXACTLY(TERMIOS2), EXACTLY(TCSETS), EXACTLY(TCSETSW), EXACTLY(TCSETSF),
     EXACTLY(TIOCGWINSZ), EXACTLY(FIONREAD), EXACTLY(FIONBIO), EXACTLY(BLKGETSIZE),
     EXACTLY(BLKGETSIZE64)},
};
static const struct rule qemu_ioctl = {
    1,
    {EXACTLY(TCGETS),
     EXACTLY(TERMIOS2),
     EXACTLY(TCSETS),
     EXACTLY(TCSETSW),
     EXACTLY(TCSETSF),
     EXACTLY(TIOCGWINSZ),
     EXACTLY(FIONREAD),
     EXACTLY(FIONBIO),
     /* disks: sizes, discard */
     {.mask = 0xff00, .value = 0x1200},
     /* the tap device's open queue */
     EXACTLY(TUNGETFEATURES),
     EXACTLY(TUNGETIFF),
     EXACTLY(TUNSETOFFLOAD),
     EXACTLY(TUNSETVNETHDRSZ),
     EXACTLY(TUNGETVNETHDRSZ),
     EXACTLY(TUNSETVNETLE),
     EXACTLY(TUNSETVNETBE),
     EXACTLY(TUNSETSNDBUF),
     EXACTLY(TUNSETQUEUE),
     /* all of /dev/kvm */
     {.mask = 0xff00, .value = 0xae00}},
};

struct call {
    uint32_t number;
    const struct rule *rule; /* NULL: any arguments */
};

/* What any program does: starts, has memory, files that are open, time, signals of its own, ends.
 */
static const struct call common[] = {
    {.number = SYS_brk},
    {.number = SYS_mmap},
    {.number = SYS_mprotect},
    {.number = SYS_munmap},
    {.number = SYS_mremap},
    {.number = SYS_madvise},
    {.number = SYS_memfd_create},
    {.number = SYS_read},
    {.number = SYS_write},
    {.number = SYS_readv},
    {.number = SYS_writev},
    {.number = SYS_pread64},
    {.number = SYS_pwrite64},
    {.number = SYS_preadv},
    {.number = SYS_pwritev},
    {.number = SYS_lseek},
    {.number = SYS_close},
    {.number = SYS_close_range},
    {.number = SYS_dup},
    {.number = SYS_dup3},
    {.number = SYS_fcntl},
    {.number = SYS_pipe2},
    {.number = SYS_fstat},
    {.number = SYS_newfstatat},
    {.number = SYS_statx},
    {.number = SYS_statfs},
    {.number = SYS_fstatfs},
    {.number = SYS_openat},
    {.number = SYS_getdents64},
    {.number = SYS_readlinkat},
    {.number = SYS_faccessat},
    {.number = SYS_faccessat2},
    {.number = SYS_getcwd},
    {.number = SYS_chdir},
    {.number = SYS_umask},
    {.number = SYS_unlinkat},
    {.number = SYS_mkdirat},
    {.number = SYS_ftruncate},
    {.number = SYS_fallocate},
    {.number = SYS_fsync},
    {.number = SYS_fdatasync},
    {.number = SYS_ppoll},
    {.number = SYS_epoll_create1},
    {.number = SYS_epoll_ctl},
    {.number = SYS_epoll_pwait},
    {.number = SYS_eventfd2},
    {.number = SYS_signalfd4},
    {.number = SYS_futex},
    {.number = SYS_sched_yield},
    {.number = SYS_sched_getaffinity},
    {.number = SYS_sched_setaffinity},
    {.number = SYS_sched_getparam},
    {.number = SYS_sched_getscheduler},
    {.number = SYS_sched_get_priority_max},
    {.number = SYS_sched_get_priority_min},
    {.number = SYS_clock_gettime},
    {.number = SYS_clock_getres},
    {.number = SYS_clock_nanosleep},
    {.number = SYS_nanosleep},
    {.number = SYS_gettimeofday},
    {.number = SYS_timer_create},
    {.number = SYS_timer_settime},
    {.number = SYS_timer_gettime},
    {.number = SYS_timer_getoverrun},
    {.number = SYS_timer_delete},
    {.number = SYS_rt_sigaction},
    {.number = SYS_rt_sigprocmask},
    {.number = SYS_rt_sigreturn},
    {.number = SYS_rt_sigpending},
    {.number = SYS_rt_sigsuspend},
    {.number = SYS_rt_sigtimedwait},
    {.number = SYS_sigaltstack},
    {.number = SYS_restart_syscall},
    {.number = SYS_tgkill},
    {.number = SYS_getpid},
    {.number = SYS_getppid},
    {.number = SYS_gettid},
    {.number = SYS_getuid},
    {.number = SYS_geteuid},
    {.number = SYS_getgid},
    {.number = SYS_getegid},
    {.number = SYS_getsid},
    {.number = SYS_setsid},
    {.number = SYS_uname},
    {.number = SYS_sysinfo},
    {.number = SYS_getrusage},
    {.number = SYS_times},
    {.number = SYS_getrandom},
    {.number = SYS_prlimit64}, /* has nothing left to raise */
    {.number = SYS_set_tid_address},
    {.number = SYS_set_robust_list},
    {.number = SYS_rseq},
    {.number = SYS_execve}, /* the program itself; there is no other */
    {.number = SYS_exit},
    {.number = SYS_exit_group},
    {.number = SYS_wait4},
    {.number = SYS_seccomp}, /* only ever takes away */
    /* Sockets that it was given, and those it makes in its own file system. */
    {.number = SYS_socket, .rule = &only_unix},
    {.number = SYS_socketpair, .rule = &only_unix},
    {.number = SYS_bind},
    {.number = SYS_listen},
    {.number = SYS_accept4},
    {.number = SYS_connect},
    {.number = SYS_shutdown},
    {.number = SYS_getsockname},
    {.number = SYS_getpeername},
    {.number = SYS_getsockopt},
    {.number = SYS_setsockopt},
    {.number = SYS_sendto},
    {.number = SYS_recvfrom},
    {.number = SYS_sendmsg},
    {.number = SYS_recvmsg},
    {.number = SYS_sendmmsg},
    {.number = SYS_recvmmsg},
#ifdef SYS_open /* forms that newer architectures have not */
    {.number = SYS_open},
    {.number = SYS_stat},
    {.number = SYS_lstat},
    {.number = SYS_access},
    {.number = SYS_readlink},
    {.number = SYS_unlink},
    {.number = SYS_mkdir},
    {.number = SYS_rmdir},
    {.number = SYS_dup2},
    {.number = SYS_pipe},
    {.number = SYS_poll},
    {.number = SYS_epoll_create},
    {.number = SYS_epoll_wait},
    {.number = SYS_getrlimit},
    {.number = SYS_arch_prctl},
    {.number = SYS_pause},
    {.number = SYS_time},
#endif
};

static const struct call uml_calls[] = {
    /* A process for each address space of the guest: made, traced, ended. */
    {.number = SYS_clone, .rule = &no_namespaces},
    {.number = SYS_execveat},
    {.number = SYS_ptrace, .rule = &uml_ptrace},
    {.number = SYS_waitid},
    {.number = SYS_kill},
    {.number = SYS_prctl, .rule = &uml_prctl},
    {.number = SYS_personality, .rule = &only_no_randomize},
    {.number = SYS_ioctl, .rule = &uml_ioctl},
    {.number = SYS_preadv2}, /* of a disk, only what needs no waiting */
#ifdef SYS_open
    {.number = SYS_fork},
    {.number = SYS_vfork},
#endif
};

/* Linux 6.6's, newer than the headers. */
#ifdef SYS_fchmodat2
enum { FCHMODAT2 = SYS_fchmodat2 };
#else
enum { FCHMODAT2 = 452 };
#endif

/* hostfs: what the guest does in its shares. */
static const struct call file_calls[] = {
    {.number = SYS_truncate},        {.number = SYS_renameat2},    {.number = SYS_renameat},
    {.number = SYS_linkat},          {.number = SYS_symlinkat},    {.number = SYS_mknodat},
    {.number = SYS_fchmod},          {.number = SYS_fchmodat},     {.number = SYS_fchown},
    {.number = SYS_fchownat},        {.number = SYS_utimensat},    {.number = SYS_setxattr},
    {.number = SYS_lsetxattr},       {.number = SYS_fsetxattr},    {.number = SYS_getxattr},
    {.number = SYS_lgetxattr},       {.number = SYS_fgetxattr},    {.number = SYS_listxattr},
    {.number = SYS_llistxattr},      {.number = SYS_flistxattr},   {.number = SYS_removexattr},
    {.number = SYS_lremovexattr},    {.number = SYS_fremovexattr}, {.number = SYS_copy_file_range},
    {.number = SYS_sync_file_range}, {.number = SYS_syncfs},       {.number = SYS_flock},
    {.number = SYS_pwritev2},        {.number = FCHMODAT2},
#ifdef SYS_open
    {.number = SYS_creat},           {.number = SYS_rename},       {.number = SYS_link},
    {.number = SYS_symlink},         {.number = SYS_mknod},        {.number = SYS_chmod},
    {.number = SYS_chown},           {.number = SYS_lchown},       {.number = SYS_utime},
    {.number = SYS_utimes},          {.number = SYS_futimesat},
#endif
};

static const struct call qemu_calls[] = {
    {.number = SYS_clone, .rule = &only_threads},
    {.number = SYS_prctl, .rule = &qemu_prctl},
    {.number = SYS_ioctl, .rule = &qemu_ioctl},
    {.number = SYS_timerfd_create},
    {.number = SYS_timerfd_settime},
    {.number = SYS_timerfd_gettime},
    {.number = SYS_membarrier},
    {.number = SYS_getcpu},
    {.number = SYS_mincore},
    {.number = SYS_msync},
    {.number = SYS_preadv2},
    {.number = SYS_pwritev2},
    {.number = SYS_copy_file_range},
    {.number = SYS_sync_file_range},
    {.number = SYS_get_mempolicy},
    {.number = SYS_fchdir},
    {.number = SYS_mlock},
    {.number = SYS_munlock},
};

static const struct call server_calls[] = {
    {.number = SYS_clone, .rule = &only_threads},
    {.number = SYS_prctl, .rule = &server_prctl},
    {.number = SYS_ioctl, .rule = &server_ioctl},
    {.number = SYS_unshare, .rule = &only_fs},
    /* Acts as the guest's user of the moment, among the ids of its user namespace. */
    {.number = SYS_setresuid},
    {.number = SYS_setresgid},
    {.number = SYS_setgroups},
    {.number = SYS_getgroups},
    {.number = SYS_capget},
    {.number = SYS_capset},
    {.number = SYS_chroot},
    {.number = SYS_accept},
    {.number = SYS_fchdir},
    {.number = SYS_openat2},
    {.number = SYS_preadv2},
    {.number = SYS_fadvise64},
    {.number = SYS_membarrier},
    {.number = SYS_getcpu},
};

/* --- the list in order --- */

struct range {
    uint32_t first;
    uint32_t last;
    const struct rule *rule;
};

struct list {
    struct range ranges[CALLS_MAX];
    size_t n;
};

/* Insertion keeps it sorted; a number that is there already stays as it is. */
static void add(struct list *list, const struct call *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = list->n;

        while (at > 0 && list->ranges[at - 1].first > calls[i].number)
            at--;
        if (at > 0 && list->ranges[at - 1].first == calls[i].number)
            continue;
        for (size_t j = list->n; j > at; j--)
            list->ranges[j] = list->ranges[j - 1];
        list->ranges[at] = (struct range){calls[i].number, calls[i].number, calls[i].rule};
        list->n++;
    }
}

static void join(struct list *list)
{
    size_t n = 0;

    for (size_t i = 0; i < list->n; i++) {
        struct range *before = n > 0 ? &list->ranges[n - 1] : NULL;

        if (before && !before->rule && !list->ranges[i].rule &&
            before->last + 1 == list->ranges[i].first)
            before->last = list->ranges[i].last;
        else
            list->ranges[n++] = list->ranges[i];
    }
    list->n = n;
}

/* --- the program --- */

#define SAY(code_, k_) ((struct sock_filter)BPF_STMT(code_, k_))
#define TEST(code_, k_, yes, no) \
    ((struct sock_filter)BPF_JUMP(BPF_JMP | (code_) | BPF_K, k_, yes, no))
#define LOAD(offset) SAY(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offset))
#define RETURN(action) SAY(BPF_RET | BPF_K, action)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the low half of an argument is its first"
#endif

static size_t put_rule(struct sock_filter *program, size_t at, const struct rule *rule)
{
    if (!rule) {
        program[at++] = RETURN(SECCOMP_RET_ALLOW);
        return at;
    }
    for (const struct match *match = rule->matches; match->mask; match++) {
        program[at++] = LOAD(offsetof(struct seccomp_data, args) + 8 * rule->argument);
        if (match->mask != UINT32_MAX)
            program[at++] = SAY(BPF_ALU | BPF_AND | BPF_K, match->mask);
        program[at++] = TEST(BPF_JEQ, match->value, 0, 1);
        program[at++] = RETURN(SECCOMP_RET_ALLOW);
    }
    program[at++] = RETURN(SECCOMP_RET_ERRNO | EPERM);
    return at;
}

/* The search among `n` ranges of a number that is not below the first. A conditional jump reaches
 * 255 instructions, one without a condition any number: so the right half is jumped to by the
 * latter. At most 9 deep. */
static size_t put_tree(struct sock_filter *program, size_t at, const struct range *ranges, size_t n)
{
    size_t middle = n / 2;
    size_t jump;

    if (n == 1) {
        program[at++] = TEST(BPF_JGT, ranges->last, 0, 1);
        program[at++] = RETURN(SECCOMP_RET_ERRNO | ENOSYS);
        return put_rule(program, at, ranges->rule);
    }
    program[at++] = TEST(BPF_JGE, ranges[middle].first, 0, 1);
    jump = at++;
    at = put_tree(program, at, ranges, middle);
    program[jump] = SAY(BPF_JMP | BPF_JA, (uint32_t)(at - jump - 1));
    return put_tree(program, at, ranges + middle, n - middle);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
_Static_assert(COUNT(common) + COUNT(uml_calls) + COUNT(file_calls) + COUNT(qemu_calls) +
                       COUNT(server_calls) <=
                   CALLS_MAX,
               "a list has room for all");

size_t vm_jail_filter_build(enum vm_jail_filter kind, bool files, struct sock_filter *ret)
{
    struct list list = {.n = 0};
    size_t at = 0;

    add(&list, common, COUNT(common));
    if (kind == VM_JAIL_FILTER_UML)
        add(&list, uml_calls, COUNT(uml_calls));
    else if (kind == VM_JAIL_FILTER_QEMU)
        add(&list, qemu_calls, COUNT(qemu_calls));
    else
        add(&list, server_calls, COUNT(server_calls));
    if (files)
        add(&list, file_calls, COUNT(file_calls));
    join(&list);
    ret[at++] = LOAD(offsetof(struct seccomp_data, arch));
    ret[at++] = TEST(BPF_JEQ, ARCHITECTURE, 1, 0);
    ret[at++] = RETURN(SECCOMP_RET_KILL_PROCESS);
    ret[at++] = LOAD(offsetof(struct seccomp_data, nr));
    ret[at++] = TEST(BPF_JGE, list.ranges[0].first, 1, 0);
    ret[at++] = RETURN(SECCOMP_RET_ERRNO | ENOSYS);
    return put_tree(ret, at, list.ranges, list.n);
}
