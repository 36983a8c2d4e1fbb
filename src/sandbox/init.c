#include "sandbox/init.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reaps all that ended. True, with its wait status, once the program itself was among them. */
static bool reap(pid_t program, int *ret_status)
{
    bool ended = false;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != program)
            continue;
        *ret_status = status;
        ended = true;
    }
    return ended;
}

static _Noreturn void serve(pid_t program, const sigset_t *signals)
{
    int status = 0;

    /* Its image is a copy of the process that made the container: nobody inside may look at it. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)prctl(PR_SET_NAME, "init", 0, 0, 0);
    (void)syscall(SYS_close_range, 0U, ~0U, 0U);
    for (;;) {
        siginfo_t info;
        int signal = sigwaitinfo(signals, &info);

        if (signal == SIGCHLD || signal < 0) {
            if (reap(program, &status))
                break;
        } else if (signal > 0) {
            (void)kill(program, signal);
        }
    }
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

int init_fork(int terminal)
{
    sigset_t all;
    sigset_t before;
    pid_t pid;

    /* Blocked before there is anything to wait for, so that no SIGCHLD is lost; and pid 1 of a
     * namespace is not sent what it neither blocks nor handles. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid = fork(); /* and not clone3(2), which the container's seccomp filter refuses */
    if (pid < 0)
        return -errno;
    if (pid > 0)
        serve(pid, &all);
    (void)setpgid(0, 0);
    if (terminal >= 0)
        (void)tcsetpgrp(terminal, getpgrp()); /* SIGTTOU is blocked */
    sigprocmask(SIG_SETMASK, &before, NULL);
    return 0;
}
