#include "sandbox/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "sandbox/capabilities.h"
#include "sandbox/cgroup.h"
#include "sandbox/devices.h"
#include "sandbox/hooks.h"
#include "sandbox/interface.h"
#include "sandbox/state.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum { MAP_TEXT_MAX = 64 * 1024, PATH_TEXT_MAX = 64, KILL_TIMEOUT_MS = 1000 };

unsigned launch_namespace_flag(enum spec_namespace_type type)
{
    static const unsigned flags[] = {
        [SPEC_NAMESPACE_PID] = CLONE_NEWPID,       [SPEC_NAMESPACE_NETWORK] = CLONE_NEWNET,
        [SPEC_NAMESPACE_MOUNT] = CLONE_NEWNS,      [SPEC_NAMESPACE_IPC] = CLONE_NEWIPC,
        [SPEC_NAMESPACE_UTS] = CLONE_NEWUTS,       [SPEC_NAMESPACE_USER] = CLONE_NEWUSER,
        [SPEC_NAMESPACE_CGROUP] = CLONE_NEWCGROUP, [SPEC_NAMESPACE_TIME] = CLONE_NEWTIME,
    };
    _Static_assert(sizeof(flags) / sizeof(flags[0]) == SPEC_NAMESPACE_MAX, "a flag is missing");

    return flags[type];
}

/* The last resort for a container without a /dev/null of its own. */
static int open_null(void)
{
    CLEANUP_CLOSE int clone = devices_clone_null();
    char path[PATH_TEXT_MAX];
    int fd;

    if (clone < 0)
        return clone;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", clone);
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? -errno : fd;
}

void launch_own_null(const struct launch *launch, int root_fd, int stdio[3])
{
    int fd = -EBADF;

    for (int i = 0; i < 3; i++) {
        if (launch->stdio[i] != launch->null_fd)
            continue;
        if (fd < 0)
            fd = devices_open_null(root_fd);
        if (fd >= 0)
            stdio[i] = fd;
    }
}

int launch_prepare(struct launch *launch, struct sandbox *sandbox,
                   const struct spec_process *process, const struct sandbox_io *io,
                   struct error *err)
{
    int ends[2];
    int fds[3] = {io ? io->in : -EBADF, io ? io->out : -EBADF, io ? io->err : -EBADF};
    int r;

    *launch = (struct launch){.sandbox = sandbox, .process = process, .channel = -EBADF};
    for (int i = 0; i < SPEC_NAMESPACE_MAX; i++)
        launch->namespaces[i] = -EBADF;
    launch->null_fd = open_null();
    if (launch->null_fd < 0)
        return error_set_errno(err, launch->null_fd, "cannot open /dev/null");
    for (int i = 0; i < 3; i++)
        launch->stdio[i] = fds[i] >= 0 ? fds[i] : launch->null_fd;
    r = fd_socketpair(SOCK_SEQPACKET, ends);
    if (r < 0)
        return error_set_errno(err, r, "cannot make a socket pair");
    launch->channel = ends[1];
    return ends[0];
}

void launch_end(const struct process *process)
{
    struct process held = *process;

    if (held.pid <= 0)
        return;
    (void)process_signal(&held, SIGKILL);
    (void)process_wait_timeout(&held, KILL_TIMEOUT_MS, NULL);
}

void launch_release(struct launch *launch)
{
    launch->null_fd = fd_close(launch->null_fd);
    launch->channel = fd_close(launch->channel);
    for (int i = 0; i < SPEC_NAMESPACE_MAX; i++)
        launch->namespaces[i] = fd_close(launch->namespaces[i]);
}

static int compare_fds(const void *left, const void *right)
{
    return *(const int *)left - *(const int *)right;
}

int launch_close_others(const struct launch *launch, int extra)
{
    int kept[6 + SPEC_NAMESPACE_MAX] = {launch->stdio[0], launch->stdio[1], launch->stdio[2],
                                        launch->null_fd,  launch->channel,  extra};
    const size_t n = sizeof(kept) / sizeof(kept[0]);
    unsigned next = 0;

    memcpy(kept + 6, launch->namespaces, sizeof(launch->namespaces));
    qsort(kept, n, sizeof(kept[0]), compare_fds);
    for (size_t i = 0; i < n; i++) {
        unsigned fd = (unsigned)kept[i];

        if (kept[i] < 0 || fd < next)
            continue;
        if (fd > next && syscall(SYS_close_range, next, fd - 1, 0) < 0)
            return -errno;
        next = fd + 1;
    }
    return syscall(SYS_close_range, next, ~0U, 0) < 0 ? -errno : 0;
}

static int open_namespaces(struct launch *launch, struct error *err)
{
    const struct spec_namespace *namespaces = launch->sandbox->config->linux_.namespaces;

    for (int i = 0; i < SPEC_NAMESPACE_MAX; i++) {
        if (!(launch->sandbox->join_namespaces & launch_namespace_flag(i)))
            continue;
        launch->namespaces[i] = open(namespaces[i].path, O_RDONLY | O_CLOEXEC);
        if (launch->namespaces[i] < 0)
            return error_set_errno(err, -errno, "cannot open the %s namespace %s",
                                   spec_namespace_to_string(i), namespaces[i].path);
    }
    return 0;
}

/* Joining a pid or user namespace shows in children only: a helper joins and clones pid 1 as its
 * sibling. */
static _Noreturn void run_helper(struct launch *launch, uint64_t flags)
{
    struct error error = ERROR_INIT;
    int r = launch_close_others(launch, -EBADF);
    pid_t pid;

    if (r >= 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        r = -errno;
    if (r < 0) {
        error_set_errno(&error, r, "cannot hide the first process");
        stage_fail(launch->channel, &error);
    }
    if (launch->namespaces[SPEC_NAMESPACE_PID] >= 0 &&
        setns(launch->namespaces[SPEC_NAMESPACE_PID], CLONE_NEWPID) < 0) {
        error_set_errno(&error, -errno, "cannot join the pid namespace");
        stage_fail(launch->channel, &error);
    }
    pid = stage_clone(flags | CLONE_PARENT, -EBADF, NULL);
    if (pid == 0)
        launch_init_child(launch);
    if (pid < 0) {
        error_set_errno(&error, pid, "cannot clone pid 1");
        stage_fail(launch->channel, &error);
    }
    (void)stage_send(launch->channel, STAGE_PID, pid, NULL, -EBADF);
    _exit(EXIT_SUCCESS);
}

int launch_receive(const struct sandbox *sandbox, int channel, const struct spec_hooks *hooks,
                   struct stage_message *ret, int *ret_fd, struct error *err)
{
    int timeout_ms = hooks && hooks->n_hooks > 0 ? -1 : sandbox->stage_timeout_ms;
    int r = stage_await(channel, timeout_ms);

    if (r == -ETIMEDOUT)
        return error_set(
            err, r,
            "the container's first process did not answer within %d ms: a mount hangs, "
            "or somebody in a namespace that it shares has stopped it",
            timeout_ms);
    if (r >= 0)
        r = stage_receive(channel, ret, ret_fd);
    return r < 0 ? error_set_errno(err, r, "cannot hear from the container's first process") : 0;
}

static int receive_pid(const struct sandbox *sandbox, int channel, struct process *ret,
                       struct error *err)
{
    struct stage_message message;
    int r = launch_receive(sandbox, channel, NULL, &message, NULL, err);

    if (r < 0)
        return r;
    if (message.kind == STAGE_FAILED)
        return error_copy(err, &message.error);
    if (message.kind != STAGE_PID)
        return error_set(err, -EPIPE, "the helper of pid 1 vanished");
    r = process_open(message.pid, ret);
    if (r < 0)
        return error_set_errno(err, r, "cannot hold pid 1");
    if (!stage_is_child(ret)) {
        process_release(ret);
        return error_set(err, -EPROTO, "the helper of pid 1 named another process");
    }
    return 0;
}

static int clone_through_helper(struct launch *launch, uint64_t flags, int channel,
                                struct process *ret, struct error *err)
{
    int cgroup_fd = cgroup_directory_fd(launch->sandbox->cgroup);
    struct process helper = PROCESS_INIT;
    pid_t pid = stage_clone(0, cgroup_fd, &helper.pidfd);
    int r;

    if (pid == 0) {
        fd_close(channel);
        run_helper(launch, flags);
    }
    if (pid < 0)
        return error_set_errno(err, pid, "cannot clone a helper");
    helper.pid = pid;
    r = receive_pid(launch->sandbox, channel, ret, err);
    launch_end(&helper);
    process_release(&helper);
    return r;
}

static int clone_init(struct launch *launch, int channel, struct process *ret, struct error *err)
{
    struct sandbox *sandbox = launch->sandbox;
    /* The cgroup namespace starts at the group that its first process is in when it is made: the
     * child makes it once it is there. */
    uint64_t flags = sandbox->new_namespaces & ~(unsigned)CLONE_NEWCGROUP;
    int cgroup_fd = cgroup_directory_fd(sandbox->cgroup);
    pid_t pid;

    if (sandbox->join_namespaces & CLONE_NEWPID)
        return clone_through_helper(launch, flags, channel, ret, err);
    pid = stage_clone(flags, cgroup_fd, &ret->pidfd);
    if (pid == 0) {
        fd_close(channel);
        launch_init_child(launch);
    }
    if (pid < 0)
        return error_set_errno(err, pid, "cannot clone the container's first process");
    ret->pid = pid;
    return 0;
}

/* --- the caller, while the child mounts --- */

static int write_map(pid_t pid, const char *file, const struct spec_id_mapping *mappings, size_t n,
                     struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MAP_TEXT_MAX);
    char path[PATH_TEXT_MAX];

    for (size_t i = 0; i < n; i++)
        if (buffer_printf(&text, "%u %u %u\n", mappings[i].container_id, mappings[i].host_id,
                          mappings[i].size) < 0)
            return error_oom(err);
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    return file_write(AT_FDCWD, path, buffer_string(&text), err);
}

static int write_maps(const struct sandbox *sandbox, pid_t pid, struct error *err)
{
    const struct spec_linux *part = &sandbox->config->linux_;
    int r;

    if (!(sandbox->new_namespaces & CLONE_NEWUSER))
        return 0;
    r = write_map(pid, "uid_map", part->uid_mappings, part->n_uid_mappings, err);
    return r < 0 ? r : write_map(pid, "gid_map", part->gid_mappings, part->n_gid_mappings, err);
}

static int configure_network(const struct sandbox *sandbox, const struct launch *launch, pid_t pid,
                             struct error *err)
{
    CLEANUP_CLOSE int made = -EBADF;
    int netns = launch->namespaces[SPEC_NAMESPACE_NETWORK];
    char path[PATH_TEXT_MAX];

    if (sandbox->new_namespaces & CLONE_NEWNET) {
        snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
        made = open(path, O_RDONLY | O_CLOEXEC);
        if (made < 0)
            return error_set_errno(err, -errno, "cannot open the network namespace");
        netns = made;
    }
    if (netns < 0 && !sandbox->is_guest)
        return 0; /* the host's, in which nothing is configured for a container */
    if (netns >= 0 && made < 0 && sandbox->n_interfaces == 0)
        return 0; /* somebody else's */
    return sandbox_interfaces_configure(sandbox->interfaces, sandbox->n_interfaces, netns, err);
}

static int receive_ready(const struct sandbox *sandbox, int channel, int *ret_terminal,
                         struct error *err)
{
    struct stage_message message;
    int r = launch_receive(sandbox, channel, &sandbox->config->hooks[SPEC_HOOK_CREATE_CONTAINER],
                           &message, ret_terminal, err);

    if (r < 0)
        return r;
    if (message.kind == STAGE_FAILED)
        return error_copy(err, &message.error);
    if (message.kind != STAGE_READY)
        return error_set(err, -EPIPE, "the container's first process ended while it was set up");
    return 0;
}

/* v1: the move into the cgroup waits for a grace period of RCU, in a helper, while the child mounts
 * and this process configures the network. v2: the child was born there. */
static int start_mover(const struct sandbox *sandbox, pid_t pid, struct process *mover,
                       struct error *err)
{
    pid_t mover_pid;

    if (cgroup_directory_fd(sandbox->cgroup) >= 0)
        return 0;
    mover_pid = stage_clone(0, -EBADF, &mover->pidfd);
    if (mover_pid == 0)
        _exit(-cgroup_enter(sandbox->cgroup, pid, NULL));
    if (mover_pid < 0)
        return error_set_errno(err, mover_pid, "cannot clone a helper");
    mover->pid = mover_pid;
    return 0;
}

/* Its exit status is an errno value, which all fit into 7 bits. */
static int finish_mover(struct sandbox *sandbox, struct process *mover, struct error *err)
{
    int status = 0;
    int r;

    if (mover->pid <= 0)
        return 0;
    r = process_wait(mover, &status);
    process_release(mover);
    if (r < 0)
        return error_set_errno(err, r, "cannot wait for a helper");
    /* ESRCH: the child is gone, and has said why. */
    if (status != 0 && status != ESRCH)
        return error_set_errno(err, -status, "cannot enter cgroup %s", sandbox->cgroup->path);
    return 0;
}

static void abandon_mover(struct process *mover)
{
    (void)process_wait(mover, NULL);
    process_release(mover);
}

/* When the caller's half fails that may be because the child has, which knows better why. */
static int child_error(int channel, int code, struct error *err)
{
    struct pollfd poll_fd = {.fd = channel, .events = POLLIN};
    struct stage_message message;

    if (poll(&poll_fd, 1, 0) <= 0 || stage_receive(channel, &message, NULL) < 0 ||
        message.kind != STAGE_FAILED)
        return code;
    return error_copy(err, &message.error);
}

static int finish(struct sandbox *sandbox, struct launch *launch, int channel,
                  struct process *process, int *ret_terminal, struct error *err)
{
    CLEANUP(abandon_mover) struct process mover = PROCESS_INIT;
    int r;

    if ((r = start_mover(sandbox, process->pid, &mover, err)) < 0 ||
        (r = write_maps(sandbox, process->pid, err)) < 0 ||
        (r = configure_network(sandbox, launch, process->pid, err)) < 0 ||
        (r = finish_mover(sandbox, &mover, err)) < 0 ||
        (r = hooks_run(sandbox, SPEC_HOOK_PRESTART, "creating", process->pid, err)) < 0 ||
        (r = hooks_run(sandbox, SPEC_HOOK_CREATE_RUNTIME, "creating", process->pid, err)) < 0)
        return child_error(channel, r, err);
    /* A child that failed is gone: its report, and not EPIPE, is the error. */
    (void)stage_send(channel, STAGE_GO, 0, NULL, -EBADF);
    return receive_ready(sandbox, channel, ret_terminal, err);
}

static int launch_with(struct sandbox *sandbox, struct launch *launch, int channel,
                       struct process *ret_process, int *ret_terminal, struct error *err)
{
    struct process process = PROCESS_INIT;
    int r = capabilities_check(
        launch->process, sandbox->host_capabilities,
        spec_runtime_annotation_is_true(sandbox->config, SPEC_ANNOTATION_PRIVILEGED),
        &launch->capabilities, NULL, err);

    if (r >= 0)
        r = open_namespaces(launch, err);
    if (r >= 0)
        r = clone_init(launch, channel, &process, err);
    if (r < 0)
        return r;
    launch->channel = fd_close(launch->channel);
    r = finish(sandbox, launch, channel, &process, ret_terminal, err);
    if (r < 0) {
        launch_end(&process);
        process_release(&process);
        return r;
    }
    *ret_process = process;
    return 0;
}

int launch_init(struct sandbox *sandbox, const struct sandbox_io *io, struct process *ret_process,
                int *ret_terminal, struct error *err)
{
    CLEANUP(launch_release) struct launch launch = {0};
    int channel = launch_prepare(&launch, sandbox, sandbox->config->process, io, err);
    int r;

    if (channel < 0)
        return channel;
    r = launch_with(sandbox, &launch, channel, ret_process, ret_terminal, err);
    if (r < 0)
        fd_close(channel);
    else
        sandbox->channel = channel;
    return r;
}
