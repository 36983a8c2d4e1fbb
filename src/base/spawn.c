/* Theory of operation: process_spawn().
 *
 * The parent may have many threads, and fork() copies only the calling one: any lock another held
 * stays locked in the child for ever. Hence everything that allocates, formats or searches happens
 * before fork() (struct plan), and the child does nothing but system calls:
 *
 *   all signals blocked by the parent, so that none of its handlers runs in the child
 *   dispositions to default, setsid, the caller's prepare(), descriptors, directory,
 *   death signal and the test that the parent is still there, signal mask, exec
 *
 * A failure on the way is written to a CLOEXEC pipe as (stage, errno); a successful exec closes it,
 * which the parent reads as end of file.
 *
 * fork() and pidfd_open() rather than clone3(CLONE_PIDFD): a raw clone leaves the C library's idea
 * of its own threads wrong in the child, where prepare() may call setuid() and the like. The pid
 * cannot be recycled between the two calls, because the child, even if killed at once, stays a
 * zombie until it is waited for, and only the owner of the pidfd does that. (So the program must
 * not ignore SIGCHLD, which would have the kernel reap for us, nor wait for "any child".)
 *
 * Descriptors: sources and targets overlap in any way (1 -> 2 and 2 -> 1). All sources are first
 * duplicated above every target, then put in place with dup2(), then everything else is closed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/strings.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum stage {
    STAGE_PREPARE,
    STAGE_DESCRIPTORS,
    STAGE_DIRECTORY,
    STAGE_SESSION,
    STAGE_PARENT_GONE,
    STAGE_EXEC,
};

struct report {
    int stage; /* enum stage */
    int code;  /* negative errno value */
};

/* What the child needs, complete before fork(). */
struct plan {
    const struct process_spec *spec;
    char *path;
    char *const *env;
    struct process_fd *fds; /* sorted by `as`, no two the same; stdio always there */
    int *moved;             /* room for the duplicates, one for each of fds */
    size_t n_fds;
    int null_fd;
    int floor; /* the first descriptor above all targets */
    int report_fd;
    pid_t parent;
};

static void plan_release(struct plan *plan)
{
    free(plan->path);
    free(plan->fds);
    free(plan->moved);
    plan->null_fd = fd_close(plan->null_fd);
    plan->report_fd = fd_close(plan->report_fd);
}

static int compare_targets(const void *a, const void *b)
{
    const struct process_fd *x = a;
    const struct process_fd *y = b;

    return (x->as > y->as) - (x->as < y->as);
}

static bool is_listed(const struct process_spec *spec, int as)
{
    for (size_t i = 0; i < spec->n_fds; i++)
        if (spec->fds[i].as == as)
            return true;
    return false;
}

static int plan_descriptors(struct plan *plan, struct error *err)
{
    const struct process_spec *spec = plan->spec;

    if (spec->n_fds > PROCESS_FDS_MAX)
        return error_set(err, -E2BIG, "cannot start %s: more than %d descriptors", plan->path,
                         PROCESS_FDS_MAX);
    plan->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (plan->null_fd < 0)
        return error_set_errno(err, -errno, "cannot open /dev/null");
    plan->fds = calloc(spec->n_fds + 3, sizeof(*plan->fds));
    plan->moved = calloc(spec->n_fds + 3, sizeof(*plan->moved));
    if (!plan->fds || !plan->moved)
        return error_oom(err);
    for (size_t i = 0; i < spec->n_fds; i++)
        plan->fds[plan->n_fds++] = spec->fds[i];
    for (int i = 0; i < 3; i++)
        if (!is_listed(spec, i))
            plan->fds[plan->n_fds++] = (struct process_fd){.fd = plan->null_fd, .as = i};
    qsort(plan->fds, plan->n_fds, sizeof(*plan->fds), compare_targets);
    for (size_t i = 0; i < plan->n_fds; i++)
        if (plan->fds[i].as < 0 || plan->fds[i].fd < 0 ||
            (i > 0 && plan->fds[i].as == plan->fds[i - 1].as))
            return error_set(err, -EINVAL, "cannot start %s: bad descriptor list", plan->path);
    plan->floor = plan->fds[plan->n_fds - 1].as + 1;
    return 0;
}

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* execvp()'s search, done here because it allocates. The text is docker's. */
static int search_program(const char *name, char **ret, struct error *err)
{
    const char *path = getenv("PATH");

    if (string_is_empty(path))
        path = DEFAULT_PATH;
    for (;;) {
        const char *end = strchrnul(path, ':');
        CLEANUP_FREE char *candidate = NULL;

        /* An empty part means the working directory to execvp(); a program is not taken from
         * wherever a daemon happens to stand. */
        if (end > path) {
            candidate = string_format("%.*s/%s", (int)(end - path), path, name);
            if (!candidate)
                return error_oom(err);
            if (is_program(candidate)) {
                *ret = TAKE_PTR(candidate);
                return 0;
            }
        }
        if (!*end)
            break;
        path = end + 1;
    }
    return error_set(err, -ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

static int plan_program(struct plan *plan, struct error *err)
{
    const struct process_spec *spec = plan->spec;
    const char *path = spec->path;

    if (!spec->argv || !spec->argv[0])
        return error_set(err, -EINVAL, "no program to start");
    if (!path)
        path = spec->argv[0];
    if ((spec->flags & PROCESS_SEARCH_PATH) && !strchr(path, '/') && *path)
        return search_program(path, &plan->path, err);
    plan->path = strdup(path);
    return plan->path ? 0 : error_oom(err);
}

/* --- in the child: async-signal-safe only --- */

void process_reset_signals(void)
{
    /* The kernel's struct sigaction, which differs between architectures; all zero is SIG_DFL. The
     * C library keeps signals 32 and 33 to itself, but who started us may have ignored them. */
    static const unsigned long action[8];

    for (int signal = 1; signal < NSIG; signal++)
        (void)syscall(SYS_rt_sigaction, signal, action, NULL, (NSIG - 1) / CHAR_BIT);
}

static int child_close_range(unsigned first, unsigned last)
{
    if (first > last)
        return 0;
    return syscall(SYS_close_range, first, last, 0) < 0 ? -errno : 0;
}

/* Closes everything but the targets and the pipe, which is above all of them. */
static int child_close_others(const struct plan *plan, unsigned report_fd)
{
    unsigned next = 0;
    int r;

    for (size_t i = 0; i < plan->n_fds; i++) {
        unsigned target = (unsigned)plan->fds[i].as;

        if (target > next) {
            r = child_close_range(next, target - 1);
            if (r < 0)
                return r;
        }
        next = target + 1;
    }
    if (report_fd > next) {
        r = child_close_range(next, report_fd - 1);
        if (r < 0)
            return r;
    }
    return child_close_range(report_fd + 1, UINT_MAX);
}

static int child_place_descriptors(struct plan *plan)
{
    int report_fd = fcntl(plan->report_fd, F_DUPFD_CLOEXEC, plan->floor);

    if (report_fd < 0)
        return -errno;
    plan->report_fd = report_fd; /* the old number may be a target */
    for (size_t i = 0; i < plan->n_fds; i++) {
        plan->moved[i] = fcntl(plan->fds[i].fd, F_DUPFD_CLOEXEC, plan->floor);
        if (plan->moved[i] < 0)
            return -errno;
    }
    for (size_t i = 0; i < plan->n_fds; i++)
        if (dup2(plan->moved[i], plan->fds[i].as) < 0) /* without CLOEXEC, as wanted here */
            return -errno;
    return child_close_others(plan, (unsigned)report_fd);
}

/* The signal is bound to the parent thread. It is set last, because a change of credentials by
 * prepare() would clear it again; a parent that died before does not count any more, so look. */
static int child_die_with_parent(const struct plan *plan)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    return getppid() == plan->parent ? 0 : -ESRCH;
}

static struct report child_start(struct plan *plan)
{
    const struct process_spec *spec = plan->spec;
    sigset_t none;
    int r;

    process_reset_signals();
    if ((spec->flags & PROCESS_SETSID) && setsid() < 0)
        return (struct report){STAGE_SESSION, -errno};
    r = spec->prepare ? spec->prepare(spec->prepare_data) : 0;
    if (r < 0)
        return (struct report){STAGE_PREPARE, r};
    r = child_place_descriptors(plan);
    if (r < 0)
        return (struct report){STAGE_DESCRIPTORS, r};
    if (spec->directory && chdir(spec->directory) < 0)
        return (struct report){STAGE_DIRECTORY, -errno};
    r = spec->flags & PROCESS_DIE_WITH_PARENT ? child_die_with_parent(plan) : 0;
    if (r < 0)
        return (struct report){STAGE_PARENT_GONE, r};
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(plan->path, spec->argv, plan->env);
    return (struct report){STAGE_EXEC, -errno};
}

static void __attribute__((noreturn)) child_run(struct plan *plan)
{
    struct report report = child_start(plan);

    /* Fits a pipe's atomic size; if it fails there is no one left to tell. */
    while (write(plan->report_fd, &report, sizeof(report)) < 0 && errno == EINTR)
        ;
    _exit(127);
}

/* --- in the parent --- */

static int report_to_error(const struct plan *plan, const struct report *report, struct error *err)
{
    const char *program = plan->path;

    switch ((enum stage)report->stage) {
    case STAGE_PREPARE:
        return error_set_errno(err, report->code, "cannot prepare the process for %s", program);
    case STAGE_DESCRIPTORS:
        return error_set_errno(err, report->code, "cannot pass descriptors to %s", program);
    case STAGE_DIRECTORY:
        return error_set_errno(err, report->code, "cannot start %s in directory %s", program,
                               string_or(plan->spec->directory, "."));
    case STAGE_SESSION:
        return error_set_errno(err, report->code, "cannot make a session for %s", program);
    case STAGE_PARENT_GONE:
        return error_set_errno(err, report->code, "cannot tie %s to its parent", program);
    case STAGE_EXEC:
        break;
    }
    return error_set_errno(err, report->code, "cannot execute %s", program);
}

static pthread_mutex_t forks = PTHREAD_MUTEX_INITIALIZER;

void process_hold_forks(void)
{
    (void)pthread_mutex_lock(&forks);
}

void process_allow_forks(void)
{
    (void)pthread_mutex_unlock(&forks);
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* fork() with all signals blocked in the child. pid or -errno. */
static pid_t fork_child(struct plan *plan)
{
    sigset_t all;
    sigset_t before;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    process_hold_forks();
    pid = fork();
    if (pid == 0)
        child_run(plan);
    if (pid < 0)
        pid = -errno;
    process_allow_forks();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

int process_spawn(const struct process_spec *spec, struct process *ret, struct error *err)
{
    CLEANUP(plan_release)
    struct plan plan = {
        .spec = spec,
        .env = spec->env ? spec->env : environ,
        .null_fd = -EBADF,
        .report_fd = -EBADF,
        .parent = getpid(),
    };
    CLEANUP_CLOSE int report_read = -EBADF;
    CLEANUP(process_release) struct process process = PROCESS_INIT;
    struct report report;
    int ends[2];
    ssize_t n;
    pid_t pid;
    int r;

    r = plan_program(&plan, err);
    if (r == 0)
        r = plan_descriptors(&plan, err);
    if (r < 0)
        return r;
    r = fd_pipe(0, ends);
    if (r < 0)
        return error_set_errno(err, r, "cannot start %s", plan.path);
    report_read = ends[0];
    plan.report_fd = ends[1];
    pid = fork_child(&plan);
    if (pid < 0)
        return error_set_errno(err, pid, "cannot start %s", plan.path);
    r = process_open(pid, &process);
    if (r < 0) {
        kill(pid, SIGKILL); /* ours and not yet reaped, so the number is still its own */
        reap(pid);
        return error_set_errno(err, r, "cannot hold the process of %s", plan.path);
    }
    plan.report_fd = fd_close(plan.report_fd);
    n = fd_read_full(report_read, &report, sizeof(report));
    if (n != 0) {
        reap(pid);
        if (n != sizeof(report))
            return error_set(err, -EIO, "cannot start %s: it ended too early", plan.path);
        return report_to_error(&plan, &report, err);
    }
    *ret = process;
    process = (struct process)PROCESS_INIT;
    return 0;
}
