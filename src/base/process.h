/* Starting, naming and waiting for processes.
 *
 * All programs are started through process_spawn(): signals reset, stdio set, every descriptor but
 * those listed closed, and a parent-death signal with its race closed. Processes are held by pidfd
 * (pidfd_open(2)), because a bare pid can be somebody else's by the time it is used. The program
 * must not ignore SIGCHLD nor wait for any child but by these functions. Needs Linux 5.9
 * (close_range). */
#ifndef HULL_BASE_PROCESS_H
#define HULL_BASE_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buffer;
struct error;

/* pid <= 0: no process. Wherever pid is set pidfd is too. */
struct process {
    pid_t pid;
    int pidfd;
};

enum { PROCESS_FDS_MAX = 256 }; /* descriptors handed to one child */

#define PROCESS_INIT              \
    {                             \
        .pid = 0, .pidfd = -EBADF \
    }

enum process_flags {
    PROCESS_SETSID = 1 << 0, /* new session */
    /* PR_SET_PDEATHSIG SIGKILL, getppid() race closed. It goes off when the *thread* that called
     * process_spawn() ends, so not from a short-lived thread. */
    PROCESS_DIE_WITH_PARENT = 1 << 1,
    PROCESS_SEARCH_PATH = 1 << 2, /* look the program up in our PATH */
};

/* One descriptor for the child: `fd` in this process appears as `as`. */
struct process_fd {
    int fd;
    int as;
};

struct process_spec {
    const char *path;      /* program; NULL: argv[0] */
    char *const *argv;     /* NULL-terminated */
    char *const *env;      /* NULL: this process's */
    const char *directory; /* working directory or NULL */
    /* 0, 1 and 2 default to /dev/null; an `as` only once; any overlap of both sides is fine. */
    const struct process_fd *fds;
    size_t n_fds;
    unsigned flags; /* enum process_flags */
    /* Runs in the child between fork and exec, after signals and session and before descriptors and
     * directory: it sees all descriptors under the numbers they have in this process, stdio
     * included. May only do async-signal-safe work and not block. Returns 0 or a negative errno
     * value, which process_spawn() then reports. */
    int (*prepare)(void *data);
    void *prepare_data;
};

/* Starts a program; waits until exec has succeeded or failed, and reports a failure. 0 or -errno.
 */
int process_spawn(const struct process_spec *spec, struct process *ret, struct error *err);

/* Between its start and its exec a child has every descriptor of this process, for as long as
 * prepare() takes. Where that does harm (a tap device that only one may hold), make, use and close
 * the descriptor between these two; while they are held no child is started. Hold them shortly and
 * start no process meanwhile: they do not nest. Whoever starts a child by other means than
 * process_spawn() holds them, too, while he does. */
void process_hold_forks(void);
void process_allow_forks(void);

/* Gives every signal its default action, as a program expects to find it: execve(2) resets handlers
 * but keeps what is ignored, and a handler must be gone before the mask is lifted.
 * Async-signal-safe. */
void process_reset_signals(void);

/* waitid(P_PIDFD): blocks. *ret_status (may be NULL): exit code, or 128 + signal. Afterwards pid is
 * 0 and the pidfd still open, until process_release(). 0 or -errno (-ECHILD: no process). */
int process_wait(struct process *process, int *ret_status);
/* Same, for at most timeout_ms; -ETIMEDOUT. */
int process_wait_timeout(struct process *process, int timeout_ms, int *ret_status);

/* pidfd_send_signal(2). 0 or -errno (-ESRCH: it has been waited for, or no process). */
int process_signal(const struct process *process, int signal);

/* Closes the pidfd and forgets the process (does not end it). */
void process_release(struct process *process);

/* Refers to a process that is not our child: opens a pidfd for `pid`. 0 or -errno (-ESRCH). */
int process_open(pid_t pid, struct process *ret);

/* True while the process is alive; a zombie counts as ended. */
bool process_is_alive(const struct process *process);

/* Waits for the end of a process that need not be a child of ours, at most patience_ms; then kills
 * it and waits at most kill_ms. 0, also when there is no process; -ETIMEDOUT: it goes on. A child
 * is still to be waited for. */
int process_end(const struct process *process, int patience_ms, int kill_ms);

/* Field 22 of /proc/PID/stat: start time in clock ticks since boot; together with the pid it names
 * a process across a restart of ours. 0 when it does not exist. */
uint64_t process_start_time(pid_t pid);

/* Runs argv, looked up in PATH, to its end: `input` (NULL: /dev/null) on stdin, stdout and stderr
 * appended to `output` (may be NULL; its maximum bounds it, more is thrown away). A non-zero exit
 * is an error that names the program and quotes the end of what it printed (-EIO). timeout_ms 0:
 * none; else the program is killed then (-ETIMEDOUT). What it leaves running in the background is
 * not waited for. */
int process_run(char *const *argv, const char *input, struct buffer *output, int timeout_ms,
                struct error *err);

#endif
