/* sandbox_exec(): a further program in a running container.
 *
 * Theory of operation. A helper, born in the container's cgroup, joins all namespaces at once by
 * the pidfd of pid 1 and clones the program as its own sibling (CLONE_PARENT), because a process
 * that joins a pid namespace is not itself in it. Both are not dumpable, so that a process in the
 * container cannot look at them, trace them or reach the host through /proc/PID while they are
 * still copies of the caller. exec makes the program an ordinary one.
 *
 * The container's root can stop the program as soon as it is in the pid namespace (SIGSTOP), and
 * whoever may write to his cgroup can freeze both. The caller serves the whole container, its end
 * included, so it wakes the program now and then and waits for a limited time. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "sandbox/capabilities.h"
#include "sandbox/cgroup.h"
#include "sandbox/console.h"
#include "sandbox/exec.h"
#include "sandbox/launch.h"
#include "sandbox/program.h"
#include "sandbox/stage.h"
#include "sandbox/state.h"
#include "spec/runtime.h"

enum { START_TIMEOUT_MS = 5000, WAKE_MS = 50, KILL_TIMEOUT_MS = 1000 };

static int open_terminal(const struct launch *launch, struct program *program, int root_fd,
                         struct error *err)
{
    CLEANUP_CLOSE int master = -EBADF;
    int r;

    launch_own_null(launch, root_fd, program->stdio);
    if (!program->process->terminal)
        return 0;
    r = console_open(root_fd, program->process, &master, &program->terminal, err);
    if (r < 0)
        return r;
    for (int i = 0; i < 3; i++)
        program->stdio[i] = program->terminal;
    r = stage_send(program->channel, STAGE_READY, 0, NULL, master);
    return r < 0 ? error_set_errno(err, r, "cannot pass the terminal on") : 0;
}

static int set_up(const struct launch *launch, struct program *program, struct error *err)
{
    CLEANUP_CLOSE int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (root_fd < 0)
        return error_set_errno(err, -errno, "cannot open the root file system");
    r = program_resolve_root(program, root_fd, true, err);
    return r < 0 ? r : open_terminal(launch, program, root_fd, err);
}

static _Noreturn void run_program(struct launch *launch)
{
    struct error error = ERROR_INIT;
    struct program program = {
        .process = launch->process,
        .filter = &launch->sandbox->filter,
        .capabilities = launch->capabilities,
        .host_capabilities = launch->sandbox->host_capabilities,
        .stdio = {launch->stdio[0], launch->stdio[1], launch->stdio[2]},
        .terminal = -EBADF,
        .channel = launch->channel,
        .parent_pidfd = launch->parent_pidfd,
    };

    stage_die_with_parent(launch->parent_pidfd);
    (void)setsid();
    (void)umask(0);
    if (set_up(launch, &program, &error) < 0)
        stage_fail(launch->channel, &error);
    program_run(&program);
}

static int compare_fds(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

/* With CAP_SYS_PTRACE the container sees descriptors through /proc/PID/fd also of a process that is
 * not dumpable: log, link and sockets of the caller are closed before there is anybody to look. */
static int close_others(const struct launch *launch)
{
    int kept[] = {
        launch->stdio[0],     launch->stdio[1], launch->stdio[2],           launch->null_fd,
        launch->parent_pidfd, launch->channel,  launch->sandbox->init.pidfd};
    unsigned next = 0;

    qsort(kept, sizeof(kept) / sizeof(kept[0]), sizeof(kept[0]), compare_fds);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        unsigned fd = (unsigned)kept[i];

        if (kept[i] < 0 || fd < next)
            continue;
        if (fd > next && syscall(SYS_close_range, next, fd - 1, 0) < 0)
            return -errno;
        next = fd + 1;
    }
    return syscall(SYS_close_range, next, ~0U, 0) < 0 ? -errno : 0;
}

static int join(const struct launch *launch, struct error *err)
{
    struct sandbox *sandbox = launch->sandbox;
    unsigned flags = sandbox->new_namespaces | sandbox->join_namespaces;
    int r;

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_set_errno(err, -errno, "cannot hide the process");
    if (cgroup_directory_fd(sandbox->cgroup) < 0 && (r = cgroup_enter(sandbox->cgroup, 0, err)) < 0)
        return r;
    if ((r = close_others(launch)) < 0)
        return error_set_errno(err, r, "cannot close descriptors");
    if (setns(sandbox->init.pidfd, (int)flags) < 0)
        return error_set_errno(err, -errno, "cannot join the container's namespaces");
    if ((flags & CLONE_NEWUSER) &&
        (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 ||
         syscall(SYS_setresuid, 0, 0, 0) < 0))
        return error_set_errno(err, -errno, "cannot become root of the user namespace");
    return 0;
}

static _Noreturn void run_helper(struct launch *launch)
{
    struct error error = ERROR_INIT;
    pid_t pid;

    stage_die_with_parent(launch->parent_pidfd);
    if (program_prepare_process(launch->process, &error) < 0 || join(launch, &error) < 0)
        stage_fail(launch->channel, &error);
    pid = stage_clone(CLONE_PARENT, -EBADF, NULL);
    if (pid == 0)
        run_program(launch);
    if (pid < 0) {
        error_set_errno(&error, pid, "cannot clone the program");
        stage_fail(launch->channel, &error);
    }
    if (stage_send(launch->channel, STAGE_PID, pid, NULL, -EBADF) < 0)
        _exit(EXIT_FAILURE);
    _exit(EXIT_SUCCESS);
}

/* 0 when there is something to receive. */
static int await(int channel, const struct process *program, int64_t deadline)
{
    struct pollfd poll_fd = {.fd = channel, .events = POLLIN};

    while (timestamp_monotonic() < deadline) {
        int n = poll(&poll_fd, 1, WAKE_MS);

        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && program->pid > 0)
            (void)process_signal(program, SIGCONT);
    }
    return -ETIMEDOUT;
}

/* PID of the helper and READY of the program come in either order; FAILED or the end is last. */
static int receive_all(int channel, struct process *process, int *ret_terminal, struct error *err)
{
    int64_t deadline = timestamp_monotonic() + START_TIMEOUT_MS * INT64_C(1000000);
    int result = 0;

    for (;;) {
        struct stage_message message;
        int fd = -EBADF;
        int r = await(channel, process, deadline);

        if (r == -ETIMEDOUT)
            return error_set(err, r,
                             "the program did not start in %d seconds: the container may "
                             "have stopped it",
                             START_TIMEOUT_MS / 1000);
        if (r >= 0)
            r = stage_receive(channel, &message, &fd);
        if (r < 0)
            return error_set_errno(err, r, "cannot hear from the program");
        if (message.kind == STAGE_READY && *ret_terminal < 0)
            *ret_terminal = TAKE_FD(fd);
        fd_close(fd);
        if (message.kind == STAGE_PID)
            (void)process_open(message.pid, process);
        if (message.kind == STAGE_FAILED)
            result = error_copy(err, &message.error);
        if (message.kind == STAGE_END)
            break;
    }
    if (result == 0 && process->pid <= 0)
        return error_set(err, -EPIPE, "the program vanished before it ran");
    return result;
}

/* What is frozen does not even die; it does when the container ends. */
static void end(struct process *process)
{
    if (process->pid <= 0)
        return;
    (void)process_signal(process, SIGKILL);
    (void)process_wait_timeout(process, KILL_TIMEOUT_MS, NULL);
}

static int spawn(struct launch *launch, int channel, struct process *process, int *ret_terminal,
                 struct error *err)
{
    struct sandbox *sandbox = launch->sandbox;
    int cgroup_fd = cgroup_directory_fd(sandbox->cgroup);
    struct process helper = PROCESS_INIT;
    int r;

    helper.pid = stage_clone(0, cgroup_fd, &helper.pidfd);
    if (helper.pid == 0) {
        fd_close(channel);
        run_helper(launch);
    }
    if (helper.pid < 0)
        return error_set_errno(err, helper.pid, "cannot clone a helper");
    launch->channel = fd_close(launch->channel);
    r = receive_all(channel, process, ret_terminal, err);
    if (r < 0)
        end(&helper);
    else
        (void)process_wait(&helper, NULL);
    process_release(&helper);
    return r;
}

int exec_run(struct sandbox *sandbox, const struct spec_process *process,
             const struct sandbox_io *io, struct process *ret_process, int *ret_terminal,
             struct error *err)
{
    CLEANUP(launch_release) struct launch launch = {0};
    CLEANUP_CLOSE int channel = launch_prepare(&launch, sandbox, process, io, err);
    CLEANUP_CLOSE int terminal = -EBADF;
    struct process program = PROCESS_INIT;
    int r;

    if (channel < 0)
        return channel;
    r = capabilities_check(
        process, sandbox->host_capabilities,
        spec_runtime_annotation_is_true(sandbox->config, SPEC_ANNOTATION_PRIVILEGED),
        &launch.capabilities, NULL, err);
    if (r >= 0)
        r = spawn(&launch, channel, &program, &terminal, err);
    if (r < 0) {
        end(&program);
        process_release(&program);
        return r;
    }
    *ret_process = program;
    *ret_terminal = TAKE_FD(terminal);
    return 0;
}
