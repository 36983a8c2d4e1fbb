#include "sandbox/stage.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/timestamp.h"

enum { ERRNO_MAX = 4095 }; /* the kernel's MAX_ERRNO */

int stage_send(int channel, enum stage_kind kind, pid_t pid, const struct error *error, int fd)
{
    struct stage_message message = {.kind = kind, .pid = pid};
    size_t length = offsetof(struct stage_message, error);
    ssize_t n;

    if (error) {
        message.error = *error;
        length = offsetof(struct stage_message, error.message) + strlen(error->message) + 1;
    }
    if (fd >= 0)
        n = fd_send_with_fds(channel, &message, length, &fd, 1);
    else
        n = write(channel, &message, length);
    if (n < 0)
        return fd >= 0 ? (int)n : -errno;
    return 0;
}

int stage_receive(int channel, struct stage_message *ret, int *ret_fd)
{
    int fds[FD_PASS_MAX];
    size_t n_fds = FD_PASS_MAX;
    ssize_t n;

    memset(ret, 0, sizeof(*ret));
    /* A peer that ends with a message of ours unread (GO) resets the connection, once; what it sent
     * before comes after that. */
    do {
        n_fds = FD_PASS_MAX;
        n = fd_receive_with_fds(channel, ret, sizeof(*ret), fds, &n_fds);
    } while (n == -EINTR || n == -ECONNRESET);
    if (ret_fd)
        *ret_fd = -EBADF;
    for (size_t i = 0; n >= 0 && i < n_fds; i++) {
        if (i == 0 && ret_fd)
            *ret_fd = fds[i];
        else
            fd_close(fds[i]);
    }
    ret->error.message[ERROR_MESSAGE_MAX - 1] = '\0';
    if (ret->kind == STAGE_FAILED && (ret->error.code >= 0 || ret->error.code < -ERRNO_MAX))
        ret->error.code = -EIO;
    if ((unsigned)ret->error.class >= ERROR_CLASS_MAX)
        ret->error.class = ERROR_SYSTEM;
    if (n == 0)
        ret->kind = STAGE_END;
    return n < 0 ? (int)n : 0;
}

int stage_await(int channel, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = channel, .events = POLLIN};
    int64_t deadline = timestamp_monotonic() + timeout_ms * INT64_C(1000000);

    for (;;) {
        int64_t left = (deadline - timestamp_monotonic() + 999999) / 1000000;
        int n = poll(&poll_fd, 1, timeout_ms < 0 ? -1 : left > 0 ? (int)left : 0);

        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -ETIMEDOUT;
    }
}

void stage_expect(int channel, enum stage_kind kind)
{
    struct stage_message message;

    if (stage_receive(channel, &message, NULL) < 0 || message.kind != (uint32_t)kind)
        _exit(EXIT_FAILURE);
}

void stage_fail(int channel, const struct error *error)
{
    (void)stage_send(channel, STAGE_FAILED, 0, error, -EBADF);
    _exit(EXIT_FAILURE);
}

pid_t stage_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd)
{
    int pidfd = -EBADF;
    struct clone_args args = {
        .flags = flags,
        /* With CLONE_PARENT the child has the signal of the cloner. */
        .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
    };
    long pid;

    if (ret_pidfd) {
        args.flags |= CLONE_PIDFD;
        args.pidfd = (uint64_t)(uintptr_t)&pidfd;
    }
    if (cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup_fd;
    }
    pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid < 0)
        return -errno;
    if (pid > 0 && ret_pidfd)
        *ret_pidfd = pidfd;
    return (pid_t)pid;
}

bool stage_is_child(const struct process *process)
{
    siginfo_t info;

    return waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void stage_die_with_parent(int channel)
{
    struct pollfd poll_fd = {.fd = channel};

    /* In a pid namespace of its own getppid() is 0 with and without parent. A process that ends
     * closes its descriptors before it sends the signal, so one of the two is seen. A pidfd of the
     * caller would do as well, but whoever may trace this process could take the caller's
     * descriptors through it (pidfd_getfd(2)). */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || poll(&poll_fd, 1, 0) < 0 ||
        (poll_fd.revents & (POLLHUP | POLLERR | POLLNVAL)))
        _exit(EXIT_FAILURE);
}
