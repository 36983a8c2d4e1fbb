#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "escape.h"

enum { PIDS = 65536, FORKS = 200, ALL_MEMORY = 256 * 1024 };

static int signal_process(long pid)
{
    return escape_result(kill((pid_t)pid, 0));
}

static int signal_victim(const struct outside *outside)
{
    return signal_process(outside->victim);
}

static int signal_worker(const struct outside *outside)
{
    return signal_process(outside->worker);
}

static int signal_other(const struct outside *outside)
{
    return signal_process(outside->other);
}

static int signal_anybody(const struct outside *outside)
{
    (void)outside;
    for (pid_t pid = 1; pid < PIDS; pid++)
        if (pid != getpid() && kill(pid, 0) == 0)
            return 0;
    return ESRCH;
}

static int hold_victim(const struct outside *outside)
{
    return escape_result(syscall(SYS_pidfd_open, outside->victim, 0));
}

static int signal_by_descriptor(const struct outside *outside)
{
    long pidfd = syscall(SYS_pidfd_open, outside->victim, 0);

    return pidfd < 0 ? errno : escape_result(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
}

static int take_descriptor(const struct outside *outside)
{
    long pidfd = syscall(SYS_pidfd_open, outside->victim, 0);

    return pidfd < 0 ? errno : escape_result(syscall(SYS_pidfd_getfd, pidfd, 1, 0));
}

static int trace(long pid)
{
    int result = escape_result(ptrace(PTRACE_SEIZE, (pid_t)pid, NULL, NULL));

    if (result == 0)
        ptrace(PTRACE_DETACH, (pid_t)pid, NULL, NULL);
    return result;
}

static int trace_victim(const struct outside *outside)
{
    return trace(outside->victim);
}

static int trace_other(const struct outside *outside)
{
    return trace(outside->other);
}

static int attach_victim(const struct outside *outside)
{
    int result = escape_result(ptrace(PTRACE_ATTACH, (pid_t)outside->victim, NULL, NULL));

    if (result == 0) {
        (void)waitpid((pid_t)outside->victim, NULL, __WALL);
        ptrace(PTRACE_DETACH, (pid_t)outside->victim, NULL, NULL);
    }
    return result;
}

static int copy_memory(const struct outside *outside, bool writing)
{
    char bytes[8] = "";
    struct iovec here = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct iovec there = {.iov_base = NULL, .iov_len = sizeof(bytes)};

    memcpy(&there.iov_base, &outside->address, sizeof(there.iov_base));
    return escape_result(syscall(writing ? SYS_process_vm_writev : SYS_process_vm_readv,
                                 outside->victim, &here, 1, &there, 1, 0));
}

static int read_memory(const struct outside *outside)
{
    return copy_memory(outside, false);
}

static int write_memory(const struct outside *outside)
{
    return copy_memory(outside, true);
}

static int advise_memory(const struct outside *outside)
{
    struct iovec there = {.iov_base = NULL, .iov_len = 4096};
    long pidfd = syscall(SYS_pidfd_open, outside->victim, 0);

    return pidfd < 0
               ? errno
               : escape_reached(syscall(SYS_process_madvise, pidfd, &there, 1, 20, 0), ENOMEM);
}

static int compare(const struct outside *outside)
{
    return escape_result(syscall(SYS_kcmp, getpid(), outside->victim, 2 /* KCMP_FILES */, 0, 0));
}

static int set_limits_of_victim(const struct outside *outside)
{
    struct rlimit limits;

    return escape_result(prlimit((pid_t)outside->victim, RLIMIT_CPU, NULL, &limits));
}

/* --- namespaces --- */

static int leave(int flags)
{
    return escape_result(unshare(flags));
}

static int new_user_namespace(const struct outside *outside)
{
    (void)outside;
    return leave(CLONE_NEWUSER);
}

static int new_mount_namespace(const struct outside *outside)
{
    (void)outside;
    return leave(CLONE_NEWNS);
}

static int new_network(const struct outside *outside)
{
    (void)outside;
    return leave(CLONE_NEWNET);
}

static int clone_with(const struct outside *outside, unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

    (void)outside;
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        (void)waitpid((pid_t)pid, NULL, 0);
    return escape_result(pid);
}

static int clone_user_namespace(const struct outside *outside)
{
    return clone_with(outside, CLONE_NEWUSER);
}

static int clone_pid_namespace(const struct outside *outside)
{
    return clone_with(outside, CLONE_NEWPID);
}

static int clone3_user_namespace(const struct outside *outside)
{
    struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));

    (void)outside;
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        (void)waitpid((pid_t)pid, NULL, 0);
    return escape_result(pid);
}

static int enter_namespace(const struct outside *outside)
{
    int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

    (void)outside;
    return escape_reached(setns(fd, CLONE_NEWUTS), EBADF);
}

static int set_host_name(const struct outside *outside)
{
    (void)outside;
    return escape_result(sethostname("escaped", 7));
}

static int set_domain_name(const struct outside *outside)
{
    (void)outside;
    return escape_result(setdomainname("escaped", 7));
}

/* --- identity --- */

static int take_capabilities(const struct outside *outside)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = 1U << CAP_SYS_ADMIN, .permitted = 1U << CAP_SYS_ADMIN}};

    (void)outside;
    return escape_result(syscall(SYS_capset, &header, sets));
}

static int raise_ambient(const struct outside *outside)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (outside->control) {
        (void)syscall(SYS_capget, &header, sets);
        sets[0].inheritable = sets[0].permitted;
        (void)syscall(SYS_capset, &header, sets);
    }
    return escape_result(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0));
}

static int unlock_securebits(const struct outside *outside)
{
    (void)outside;
    return escape_result(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
}

static int become_user(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_setresuid, 1000, 1000, 1000));
}

static int become_group(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_setresgid, 1000, 1000, 1000));
}

static int join_groups(const struct outside *outside)
{
    gid_t groups[] = {0, 1, 2};

    (void)outside;
    return escape_result(syscall(SYS_setgroups, 3, groups));
}

/* Exits with 1 where it became the owner of the file. */
static int run_set_user_id(const struct outside *outside)
{
    char *argv[] = {(char *)(uintptr_t)outside->setuid, NULL};
    char *env[] = {NULL};
    int status;
    pid_t pid;

    if (!outside->setuid[0])
        return ENOENT;
    pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        execve(outside->setuid, argv, env);
        _exit(100);
    }
    if (pid < 0)
        return errno;
    (void)waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 100)
        return EACCES;
    return WIFEXITED(status) && WEXITSTATUS(status) == 1 ? 0 : EPERM;
}

/* --- limits --- */

static int raise_limit(const struct outside *outside)
{
    struct rlimit limits;

    (void)outside;
    if (getrlimit(RLIMIT_NOFILE, &limits) < 0)
        return errno;
    limits.rlim_max++;
    return escape_result(setrlimit(RLIMIT_NOFILE, &limits));
}

static int raise_core_limit(const struct outside *outside)
{
    struct rlimit limits = {.rlim_cur = 4096, .rlim_max = 4096};

    (void)outside;
    return escape_result(setrlimit(RLIMIT_CORE, &limits));
}

static int many_processes(const struct outside *outside)
{
    pid_t pids[FORKS];
    int result = 0;
    int n = 0;

    (void)outside;
    while (n < FORKS && result == 0) {
        pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

        if (pid == 0)
            for (;;)
                pause();
        if (pid < 0)
            result = errno;
        else
            pids[n++] = pid;
    }
    while (n-- > 0) {
        kill(pids[n], SIGKILL);
        (void)waitpid(pids[n], NULL, 0);
    }
    return result;
}

static int lock_memory(const struct outside *outside)
{
    void *memory =
        mmap(NULL, ALL_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)outside;
    return memory == MAP_FAILED ? errno : escape_result(mlock(memory, ALL_MEMORY));
}

static int be_real_time(const struct outside *outside)
{
    struct sched_param parameter = {.sched_priority = 1};

    (void)outside;
    return escape_result(sched_setscheduler(0, SCHED_FIFO, &parameter));
}

static int be_first(const struct outside *outside)
{
    (void)outside;
    return escape_result(setpriority(PRIO_PROCESS, 0, -10));
}

const struct escape escapes_processes[] = {
    {"signal a process", signal_victim, false},
    {"signal the worker", signal_worker, false},
    {"signal another VM", signal_other, false},
    {"signal anybody at all", signal_anybody, false},
    {"pidfd_open", hold_victim, false},
    {"pidfd_send_signal", signal_by_descriptor, false},
    {"pidfd_getfd", take_descriptor, false},
    {"ptrace a process (SEIZE)", trace_victim, false},
    {"ptrace a process (ATTACH)", attach_victim, false},
    {"ptrace another VM", trace_other, false},
    {"process_vm_readv", read_memory, false},
    {"process_vm_writev", write_memory, false},
    {"process_madvise", advise_memory, true},
    {"kcmp", compare, true},
    {"prlimit of a process", set_limits_of_victim, false},
    {"unshare a user namespace", new_user_namespace, false},
    {"unshare a mount namespace", new_mount_namespace, false},
    {"unshare a network namespace", new_network, false},
    {"clone into a user namespace", clone_user_namespace, false},
    {"clone3 into a user namespace", clone3_user_namespace, false},
    {"clone into a pid namespace", clone_pid_namespace, false},
    {"setns", enter_namespace, false},
    {"sethostname", set_host_name, false},
    {"setdomainname", set_domain_name, false},
    {"take a capability", take_capabilities, false},
    {"raise an ambient capability", raise_ambient, false},
    {"unlock the securebits", unlock_securebits, false},
    {"become another user", become_user, false},
    {"become another group", become_group, false},
    {"join groups", join_groups, false},
    {"run a set-user-id program", run_set_user_id, false},
    {"raise RLIMIT_NOFILE", raise_limit, true},
    {"raise RLIMIT_CORE", raise_core_limit, true},
    {"have 200 processes", many_processes, false},
    {"lock memory", lock_memory, false},
    {"be scheduled in real time", be_real_time, true},
    {"raise its priority", be_first, false},
    {NULL, NULL, false},
};
