/* Holding, waiting for and signalling processes; they are started in spawn.c. */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/timestamp.h"

/* glibc 2.36 brought wrappers for the pidfd calls; older ones still lack them. */
static int pidfd_open_call(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0); /* CLOEXEC by definition */

    return fd < 0 ? -errno : (int)fd;
}

int process_open(pid_t pid, struct process *ret)
{
    int fd;

    if (pid <= 0)
        return -ESRCH;
    fd = pidfd_open_call(pid);
    if (fd < 0)
        return fd;
    *ret = (struct process){.pid = pid, .pidfd = fd};
    return 0;
}

int process_wait(struct process *process, int *ret_status)
{
    siginfo_t info = {.si_pid = 0};

    if (process->pid <= 0)
        return -ECHILD;
    while (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED) < 0)
        if (errno != EINTR)
            return -errno;
    process->pid = 0; /* free for somebody else from now on */
    if (ret_status)
        *ret_status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return 0;
}

int process_wait_timeout(struct process *process, int timeout_ms, int *ret_status)
{
    int64_t deadline = timestamp_monotonic() + (int64_t)timeout_ms * 1000000;
    struct pollfd poll_fd = {.fd = process->pidfd, .events = POLLIN};

    if (process->pid <= 0)
        return -ECHILD;
    for (;;) {
        int64_t left = (deadline - timestamp_monotonic() + 999999) / 1000000;
        int n = poll(&poll_fd, 1, left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            return process_wait(process, ret_status);
        if (n == 0 && left <= 0)
            return -ETIMEDOUT;
    }
}

int process_signal(const struct process *process, int signal)
{
    if (process->pidfd < 0)
        return -ESRCH;
    return syscall(SYS_pidfd_send_signal, process->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

void process_release(struct process *process)
{
    process->pidfd = fd_close(process->pidfd);
    process->pid = 0;
}

/* A signal begins the wait anew. */
static bool is_alive_after(const struct process *process, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = process->pidfd, .events = POLLIN};
    int n;

    if (process->pid <= 0 || process->pidfd < 0)
        return false;
    do
        n = poll(&poll_fd, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n == 0;
}

bool process_is_alive(const struct process *process)
{
    return is_alive_after(process, 0);
}

int process_end(const struct process *process, int patience_ms, int kill_ms)
{
    if (!is_alive_after(process, patience_ms))
        return 0;
    (void)process_signal(process, SIGKILL);
    return is_alive_after(process, kill_ms) ? -ETIMEDOUT : 0;
}

uint64_t process_start_time(pid_t pid)
{
    enum { STAT_MAX = 4096, FIELD_AFTER_NAME = 3, FIELD_START_TIME = 22 };
    char path[64];
    char text[STAT_MAX];
    const char *field;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (pid <= 0 || fd < 0)
        return 0;
    n = fd_read_full(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    /* proc_pid_stat(5): field 2 is the name in parentheses, which may itself hold anything. */
    field = strrchr(text, ')');
    for (int i = FIELD_AFTER_NAME; field && i <= FIELD_START_TIME; i++) {
        field = strchr(field, ' ');
        if (field)
            field++;
    }
    return field ? strtoull(field, NULL, 10) : 0;
}
