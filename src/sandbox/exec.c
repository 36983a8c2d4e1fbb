/* sandbox_exec(): a further program in a running container.
 *
 * Theory of operation. Whoever holds CAP_SYS_PTRACE in the container can trace whatever he sees in
 * his pid namespace, dumpable or not, and use what he finds there: rights, descriptors, memory. So
 * nothing is to be seen there but the program. A helper, born in the container's cgroup, closes all
 * descriptors but those it needs, joins all namespaces at once by the pidfd of pid 1, and only then
 * opens what is in the container and gives up what the program is not to have (program_confine():
 * limits, user, capabilities, seccomp). A process that joins a pid namespace is not itself in it,
 * so all of this happens out of sight. Last it clones the program as its own sibling
 * (CLONE_PARENT).
 *
 * What the clone has from its first instruction: the rights and descriptors of the program, and a
 * socket to the caller, who believes nothing that comes over it (stage.h). Without CAP_SYS_PTRACE
 * in the container neither can be traced nor looked into through /proc/PID, because both are not
 * dumpable until the exec makes the program an ordinary one. /proc/PID/exe is then still the
 * caller's program file: it is on a read-only mount (compute/client_spawn.c), so that it cannot be
 * written to through that link (CVE-2019-5736), and the working directory is checked to be inside
 * (CVE-2024-21626). What remains readable with CAP_SYS_PTRACE is the caller's memory as of the
 * clone, which holds the container's configuration and no secrets of others.
 *
 * Two exceptions. A profile of seccomp that refuses clone, setsid, ... is installed by the clone,
 * which keeps CAP_SYS_ADMIN until then; in a container with CAP_SYS_PTRACE such an exec is refused.
 * And where a container's configuration joins somebody else's pid namespace (launch.c; no docker
 * option leads there), its first process mounts in that namespace's sight: those who hold
 * CAP_SYS_PTRACE there are trusted.
 *
 * The container's root can stop the program as soon as it is in the pid namespace (SIGSTOP), and
 * whoever may write to his cgroup can freeze both. The caller serves the whole container, its end
 * included, so it wakes the program now and then and waits for a limited time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
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
#include "spec/capability.h"
#include "spec/runtime.h"

enum { START_TIMEOUT_MS = 5000, WAKE_MS = 50 };

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

static bool may_trace(const struct launch *launch)
{
    const struct spec_process *first = launch->sandbox->config->process;
    uint64_t sets = launch->capabilities.bounding;

    if (first->has_capabilities)
        sets |= first->capabilities.bounding | first->capabilities.permitted;
    return sets & CAPABILITY_BIT(CAP_SYS_PTRACE);
}

static int confine(const struct launch *launch, struct program *program, struct error *err)
{
    int r = program_confine(program, err);

    if (r >= 0 && program->late_filter && !program->process->no_new_privileges && may_trace(launch))
        return error_set_class(err, ERROR_INVALID,
                               "the seccomp profile refuses what exec needs (clone, setsid, ioctl, "
                               "prctl, poll, prlimit64, write) in a container with CAP_SYS_PTRACE");
    return r;
}

static _Noreturn void run_program(struct program *program)
{
    struct error error = ERROR_INIT;

    stage_die_with_parent(program->channel);
    (void)setsid();
    if (program->terminal >= 0 && console_control(program->terminal, &error) < 0)
        stage_fail(program->channel, &error);
    program_become(program);
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
    if ((r = launch_close_others(launch, sandbox->init.pidfd)) < 0)
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
    struct program program = {
        .process = launch->process,
        .filter = &launch->sandbox->filter,
        .capabilities = launch->capabilities,
        .host_capabilities = launch->sandbox->host_capabilities,
        .stdio = {launch->stdio[0], launch->stdio[1], launch->stdio[2]},
        .terminal = -EBADF,
        .channel = launch->channel,
        .forks = true,
    };
    pid_t pid;

    stage_die_with_parent(launch->channel);
    (void)umask(0);
    if (program_prepare_process(launch->process, &error) < 0 || join(launch, &error) < 0 ||
        set_up(launch, &program, &error) < 0 || confine(launch, &program, &error) < 0)
        stage_fail(program.channel, &error);
    /* And not clone3(2), which the container's seccomp filter refuses. */
    pid = (pid_t)syscall(SYS_clone, CLONE_PARENT, NULL, NULL, NULL, NULL);
    if (pid == 0)
        run_program(&program);
    if (pid < 0) {
        error_set_errno(&error, -errno, "cannot clone the program");
        stage_fail(program.channel, &error);
    }
    if (stage_send(program.channel, STAGE_PID, pid, NULL, -EBADF) < 0)
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

/* Only a child that nobody has seen yet: the program may be in the hands of a hostile process,
 * which would like to see another one killed in its place. */
static int hold_program(const struct sandbox *sandbox, pid_t pid, pid_t helper,
                        struct process *process, struct error *err)
{
    bool known = pid <= 0 || pid == helper || pid == sandbox->init.pid || process->pid > 0;
    int r;

    for (size_t i = 0; i < sandbox->n_execs; i++)
        known = known || pid == sandbox->execs[i].pid;
    r = known ? -EPROTO : process_open(pid, process);
    if (r >= 0 && !stage_is_child(process)) {
        process_release(process);
        *process = (struct process)PROCESS_INIT;
        r = -EPROTO;
    }
    return r < 0 ? error_set_errno(err, r, "cannot hold the program") : 0;
}

/* READY of the helper, then its PID; FAILED or the end is last. */
static int receive_all(const struct launch *launch, int channel, pid_t helper,
                       struct process *process, int *ret_terminal, struct error *err)
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
        if (message.kind == STAGE_READY && launch->process->terminal && *ret_terminal < 0)
            *ret_terminal = TAKE_FD(fd);
        fd_close(fd);
        if (message.kind == STAGE_PID &&
            (r = hold_program(launch->sandbox, message.pid, helper, process, err)) < 0)
            return r;
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
    r = receive_all(launch, channel, helper.pid, process, ret_terminal, err);
    launch_end(&helper);
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
        launch_end(&program);
        process_release(&program);
        return r;
    }
    *ret_process = program;
    *ret_terminal = TAKE_FD(terminal);
    return 0;
}
