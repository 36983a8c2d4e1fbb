/* sandbox_exec(): a further program in a running container.
 *
 * Theory of operation. A helper, born in the container's cgroup, joins all namespaces at once by
 * the pidfd of pid 1 and clones the program as its own sibling (CLONE_PARENT), because a process
 * that joins a pid namespace is not itself in it. Both are not dumpable, so that a process in the
 * container cannot look at them, trace them or reach the host through /proc/PID while they are
 * still copies of the caller. exec makes the program an ordinary one. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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
#include "sandbox/capabilities.h"
#include "sandbox/cgroup.h"
#include "sandbox/console.h"
#include "sandbox/exec.h"
#include "sandbox/launch.h"
#include "sandbox/program.h"
#include "sandbox/stage.h"
#include "sandbox/state.h"
#include "spec/runtime.h"

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

static int join(const struct launch *launch, struct error *err)
{
    struct sandbox *sandbox = launch->sandbox;
    unsigned flags = sandbox->new_namespaces | sandbox->join_namespaces;
    int r;

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_set_errno(err, -errno, "cannot hide the process");
    if (cgroup_directory_fd(sandbox->cgroup) < 0 && (r = cgroup_enter(sandbox->cgroup, 0, err)) < 0)
        return r;
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

/* PID of the helper and READY of the program come in either order; FAILED or the end is last. */
static int receive_all(int channel, struct process *process, int *ret_terminal, struct error *err)
{
    int result = 0;

    for (;;) {
        struct stage_message message;
        int fd = -EBADF;
        int r = stage_receive(channel, &message, &fd);

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
        if (program.pid > 0) {
            (void)process_signal(&program, SIGKILL);
            (void)process_wait(&program, NULL);
        }
        process_release(&program);
        return r;
    }
    *ret_process = program;
    *ret_terminal = TAKE_FD(terminal);
    return 0;
}
