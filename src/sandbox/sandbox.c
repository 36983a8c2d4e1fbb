/* The life of a container, from its parts. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "sandbox/capabilities.h"
#include "sandbox/cgroup.h"
#include "sandbox/exec.h"
#include "sandbox/hooks.h"
#include "sandbox/interface.h"
#include "sandbox/launch.h"
#include "sandbox/root.h"
#include "sandbox/state.h"
#include "sandbox/sysctl.h"
#include "spec/runtime.h"

enum {
    EXIT_TIMEOUT_MS = 10 * 1000,
    UNMOUNTS_MAX = 64, /* stacked on one target by callers that died */
};

DEFINE_CLEANUP(struct cgroup *, cgroup_cleanup, cgroup_free)

/* --- checks --- */

static void find_namespaces(struct sandbox *sandbox)
{
    for (int i = 0; i < SPEC_NAMESPACE_MAX; i++) {
        const struct spec_namespace *namespace = &sandbox->config->linux_.namespaces[i];
        unsigned flag = launch_namespace_flag((enum spec_namespace_type)i);

        /* The utility VM has one network stack, which is the container's. */
        if (!namespace->wanted || (sandbox->is_guest && i == SPEC_NAMESPACE_NETWORK))
            continue;
        if (namespace->path)
            sandbox->join_namespaces |= flag;
        else
            sandbox->new_namespaces |= flag;
    }
}

static int check_namespaces(const struct sandbox *sandbox, struct error *err)
{
    const struct spec_runtime *config = sandbox->config;
    unsigned own = sandbox->new_namespaces | sandbox->join_namespaces;

    if (!(sandbox->new_namespaces & CLONE_NEWNS))
        return error_set_class(err, ERROR_INVALID,
                               "a container needs a new mount namespace of its own");
    if ((config->hostname || config->domainname) && !(own & CLONE_NEWUTS))
        return error_set_class(err, ERROR_INVALID,
                               "unable to set hostname without a private UTS namespace");
    if ((sandbox->new_namespaces & CLONE_NEWUSER) &&
        (!config->linux_.n_uid_mappings || !config->linux_.n_gid_mappings))
        return error_set_class(err, ERROR_INVALID,
                               "a new user namespace needs uid and gid mappings");
    if (sandbox->n_interfaces > 0 && !sandbox->is_guest && !(own & CLONE_NEWNET))
        return error_set_class(err, ERROR_INVALID,
                               "network interfaces need a network namespace of the container");
    return sysctl_check(config->linux_.sysctl, own | (sandbox->is_guest ? CLONE_NEWNET : 0), err);
}

static int check_process(const struct spec_process *process, struct error *err)
{
    if (!process->args || string_is_empty(process->args[0]))
        return error_set_class(err, ERROR_INVALID, "no command specified");
    if (process->cwd && !path_is_absolute(process->cwd))
        return error_set_class(err, ERROR_INVALID, "cwd '%s' must be an absolute path",
                               process->cwd);
    return 0;
}

static int check_root(const struct sandbox *sandbox, struct error *err)
{
    const char *propagation = sandbox->config->linux_.rootfs_propagation;

    if (!path_is_absolute(sandbox->root.target))
        return error_set_class(err, ERROR_INVALID, "the root file system has no absolute path");
    if (sandbox->root.upper && !sandbox->root.work)
        return error_set_class(err, ERROR_INVALID, "an upper layer needs a work directory");
    if (!string_is_empty(propagation) && !root_propagation_flags(propagation))
        return error_set_class(err, ERROR_INVALID, "unknown rootfsPropagation '%s'", propagation);
    return 0;
}

static int open_cgroup(struct sandbox *sandbox, struct error *err)
{
    CLEANUP_FREE char *fallback = NULL;
    const char *path = sandbox->config->linux_.cgroups_path;

    if (string_is_empty(path)) {
        fallback = string_format("/hull/%s", sandbox->id);
        if (!fallback)
            return error_oom(err);
        path = fallback;
    }
    return cgroup_open(path, NULL, sandbox->is_guest, &sandbox->cgroup, err);
}

static int check(struct sandbox *sandbox, struct error *err)
{
    const struct spec_runtime *config = sandbox->config;
    struct spec_capabilities unused;
    int r;

    if ((r = check_process(config->process, err)) < 0 || (r = check_root(sandbox, err)) < 0 ||
        (r = check_namespaces(sandbox, err)) < 0 ||
        (r = capabilities_check(config->process, sandbox->host_capabilities,
                                spec_runtime_annotation_is_true(config, SPEC_ANNOTATION_PRIVILEGED),
                                &unused, &sandbox->warnings, err)) < 0 ||
        (r = seccomp_filter_build(config->linux_.seccomp, &sandbox->filter, err)) < 0)
        return r;
    return open_cgroup(sandbox, err);
}

int sandbox_new(const struct sandbox_spec *spec, struct sandbox **ret, struct error *err)
{
    struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
    int r;

    if (!sandbox)
        return error_oom(err);
    sandbox->init.pidfd = -EBADF;
    sandbox->channel = -EBADF;
    sandbox->config = spec->config;
    sandbox->root = spec->root;
    sandbox->interfaces = spec->interfaces;
    sandbox->n_interfaces = spec->n_interfaces;
    sandbox->is_guest = spec->is_guest;
    sandbox->stage_timeout_ms =
        spec->stage_timeout_ms > 0 ? spec->stage_timeout_ms : SANDBOX_STAGE_TIMEOUT_MS;
    sandbox->host_capabilities = capabilities_host();
    sandbox->id = strdup(spec->id);
    find_namespaces(sandbox);
    r = sandbox->id ? check(sandbox, err) : error_oom(err);
    if (r < 0) {
        sandbox_free(sandbox);
        return r;
    }
    *ret = sandbox;
    return 0;
}

char *const *sandbox_warnings(const struct sandbox *sandbox)
{
    static char *const none[] = {NULL};

    return sandbox->warnings ? sandbox->warnings : none;
}

/* --- create and start --- */

static int create(struct sandbox *sandbox, const struct sandbox_io *io, struct process *ret_process,
                  int *ret_terminal, struct error *err)
{
    int r;

    if ((r = cgroup_create(sandbox->cgroup, err)) < 0 ||
        (r = cgroup_apply(sandbox->cgroup, &sandbox->config->linux_.resources, err)) < 0 ||
        (r = root_mount(&sandbox->root, err)) < 0)
        return r;
    sandbox->root_mounted = true;
    return launch_init(sandbox, io, ret_process, ret_terminal, err);
}

int sandbox_create(struct sandbox *sandbox, const struct sandbox_io *io,
                   struct process *ret_process, int *ret_terminal, struct error *err)
{
    struct process process = PROCESS_INIT;
    int terminal = -EBADF;
    int r;

    if (sandbox->phase != SANDBOX_NEW)
        return error_set_class(err, ERROR_CONFLICT, "container %s exists already", sandbox->id);
    r = create(sandbox, io, &process, &terminal, err);
    if (r >= 0) {
        sandbox->init = (struct process){.pid = process.pid, .pidfd = fd_dup(process.pidfd)};
        r = sandbox->init.pidfd < 0 ? error_set_errno(err, sandbox->init.pidfd, "cannot hold pid 1")
                                    : 0;
    }
    if (r < 0) {
        launch_end(&process);
        process_release(&process);
        fd_close(terminal);
        (void)sandbox_destroy(sandbox, NULL);
        return r;
    }
    sandbox->interfaces = NULL;
    sandbox->n_interfaces = 0;
    sandbox->phase = SANDBOX_CREATED;
    *ret_process = process;
    *ret_terminal = terminal;
    return 0;
}

int sandbox_start(struct sandbox *sandbox, struct error *err)
{
    struct stage_message message;
    int r;

    if (sandbox->phase != SANDBOX_CREATED)
        return error_set_class(err, ERROR_CONFLICT, "container %s is not waiting to be started",
                               sandbox->id);
    sandbox->phase = SANDBOX_STARTED;
    (void)stage_send(sandbox->channel, STAGE_START, 0, NULL, -EBADF);
    r = launch_receive(sandbox, sandbox->channel,
                       &sandbox->config->hooks[SPEC_HOOK_START_CONTAINER], &message, NULL, err);
    sandbox->channel = fd_close(sandbox->channel);
    if (r < 0)
        return r;
    if (message.kind == STAGE_FAILED)
        return error_copy(err, &message.error);
    r = hooks_run(sandbox, SPEC_HOOK_POSTSTART, "running", sandbox->init.pid, err);
    return r;
}

/* --- exec --- */

static bool is_reaped(const struct process *process)
{
    siginfo_t info;

    return waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 &&
           errno == ECHILD;
}

static void forget_reaped(struct sandbox *sandbox)
{
    size_t kept = 0;

    for (size_t i = 0; i < sandbox->n_execs; i++) {
        if (is_reaped(&sandbox->execs[i]))
            process_release(&sandbox->execs[i]);
        else
            sandbox->execs[kept++] = sandbox->execs[i];
    }
    sandbox->n_execs = kept;
}

static int remember(struct sandbox *sandbox, const struct process *process)
{
    struct process *grown;
    int fd;

    forget_reaped(sandbox);
    grown = realloc(sandbox->execs, (sandbox->n_execs + 1) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    sandbox->execs = grown;
    fd = fd_dup(process->pidfd);
    if (fd < 0)
        return fd;
    grown[sandbox->n_execs++] = (struct process){.pid = process->pid, .pidfd = fd};
    return 0;
}

int sandbox_exec(struct sandbox *sandbox, const struct spec_process *process,
                 const struct sandbox_io *io, struct process *ret_process, int *ret_terminal,
                 struct error *err)
{
    struct process program = PROCESS_INIT;
    struct error failure = ERROR_INIT;
    int terminal = -EBADF;
    int r = check_process(process, err);

    if (r < 0)
        return r;
    if (sandbox->phase != SANDBOX_STARTED || !process_is_alive(&sandbox->init))
        return error_set_class(err, ERROR_CONFLICT, "container %s is not running", sandbox->id);
    if (sandbox->frozen) /* whoever enters a frozen cgroup freezes, and we would wait for it */
        return error_set_class(err, ERROR_CONFLICT,
                               "Container %s is paused, unpause the container before exec",
                               sandbox->id);
    forget_reaped(sandbox);
    if (sandbox->n_execs >= SANDBOX_EXECS_MAX)
        return error_set_class(err, ERROR_CONFLICT, "container %s has %d programs already",
                               sandbox->id, SANDBOX_EXECS_MAX);
    r = exec_run(sandbox, process, io, &program, &terminal, &failure);
    /* It ended meanwhile; one that is about to has no namespaces to join any more. */
    if (r < 0 && failure.class == ERROR_SYSTEM &&
        (r == -ESRCH || !process_is_alive(&sandbox->init)))
        return error_set(err, r, "cannot exec in a stopped container");
    if (r < 0)
        return error_copy(err, &failure);
    r = remember(sandbox, &program);
    if (r < 0) {
        launch_end(&program);
        process_release(&program);
        fd_close(terminal);
        return error_set_errno(err, r, "cannot hold the program");
    }
    *ret_process = program;
    *ret_terminal = terminal;
    return 0;
}

/* --- while it runs --- */

/* On v1 a frozen process does not even die, and the container may have been frozen by others. */
static void thaw_for(struct sandbox *sandbox, int signal)
{
    if (signal == SIGKILL && !cgroup_is_v2(sandbox->cgroup))
        (void)sandbox_freeze(sandbox, false, NULL);
}

int sandbox_signal(struct sandbox *sandbox, int signal, bool all, struct error *err)
{
    CLEANUP_FREE pid_t *pids = NULL;
    size_t n = 0;
    int r;

    if (!all) {
        r = process_signal(&sandbox->init, signal);
        if (r == -ESRCH)
            return error_set_class(err, ERROR_CONFLICT, "container %s is not running", sandbox->id);
        thaw_for(sandbox, signal);
        return r < 0 ? error_set_errno(err, r, "cannot signal container %s", sandbox->id) : 0;
    }
    r = sandbox_pids(sandbox, &pids, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++)
        (void)kill(pids[i], signal);
    thaw_for(sandbox, signal);
    return r;
}

int sandbox_pids(struct sandbox *sandbox, pid_t **ret, size_t *ret_n, struct error *err)
{
    return cgroup_pids(sandbox->cgroup, ret, ret_n, err);
}

int sandbox_update(struct sandbox *sandbox, const struct spec_resources *resources,
                   struct error *err)
{
    return cgroup_apply(sandbox->cgroup, resources, err);
}

int sandbox_freeze(struct sandbox *sandbox, bool frozen, struct error *err)
{
    int r = cgroup_freeze(sandbox->cgroup, frozen, err);

    if (r >= 0)
        sandbox->frozen = frozen;
    return r;
}

int sandbox_oom_kills(struct sandbox *sandbox, uint64_t *ret)
{
    return cgroup_oom_kills(sandbox->cgroup, ret);
}

/* --- the end --- */

static int wait_for_exit(const struct process *process)
{
    struct pollfd poll_fd = {.fd = process->pidfd, .events = POLLIN};
    int n;

    do
        n = poll(&poll_fd, 1, EXIT_TIMEOUT_MS);
    while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : -ETIMEDOUT;
}

/* pid 1 of a namespace does not end before the pids of all others in it are free, and those of
 * exec'd programs become so only when this process, their parent, reaps them. Who asked for their
 * status after that finds no child, and takes it as killed. */
static int end_own_namespace(struct sandbox *sandbox)
{
    int r = 0;

    (void)process_signal(&sandbox->init, SIGKILL);
    for (size_t i = 0; i < sandbox->n_execs; i++) {
        siginfo_t info;

        if (is_reaped(&sandbox->execs[i]))
            continue;
        (void)process_signal(&sandbox->execs[i], SIGKILL);
        if (wait_for_exit(&sandbox->execs[i]) == 0)
            (void)waitid(P_PIDFD, (id_t)sandbox->execs[i].pidfd, &info, WEXITED | WNOHANG);
        else
            r = -ETIMEDOUT;
    }
    return r < 0 ? r : wait_for_exit(&sandbox->init);
}

static int end_processes(struct sandbox *sandbox, struct error *err)
{
    int r = 0;

    if (sandbox->init.pidfd < 0)
        return cgroup_kill(sandbox->cgroup, err);
    /* On v1 a frozen process does not even die. */
    (void)cgroup_freeze(sandbox->cgroup, false, NULL);
    if (sandbox->new_namespaces & CLONE_NEWPID)
        r = end_own_namespace(sandbox);
    else
        (void)process_signal(&sandbox->init, SIGKILL);
    if (r < 0)
        return error_set_errno(err, r, "processes of container %s do not end", sandbox->id);
    return cgroup_kill(sandbox->cgroup, err);
}

int sandbox_destroy(struct sandbox *sandbox, struct error *err)
{
    struct error later = ERROR_INIT;
    bool existed = sandbox->phase == SANDBOX_CREATED || sandbox->phase == SANDBOX_STARTED;
    int result = end_processes(sandbox, err);
    int r;

    sandbox->channel = fd_close(sandbox->channel);
    if (sandbox->root_mounted) {
        r = root_unmount(&sandbox->root, !sandbox->is_guest, result < 0 ? &later : err);
        if (r < 0)
            result = result < 0 ? result : r;
        else
            sandbox->root_mounted = false;
    }
    r = cgroup_remove(sandbox->cgroup, result < 0 ? &later : err);
    if (r < 0)
        result = result < 0 ? result : r;
    if (result < 0)
        return result;
    sandbox->phase = SANDBOX_DEAD;
    if (existed)
        return hooks_run(sandbox, SPEC_HOOK_POSTSTOP, "stopped", 0, err);
    return 0;
}

static int unmount_all(const char *target, struct error *err)
{
    for (int i = 0; i < UNMOUNTS_MAX; i++) {
        if (umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            continue;
        if (errno == EINVAL || errno == ENOENT)
            return 0;
        return error_set_errno(err, -errno, "cannot unmount %s", target);
    }
    return error_set(err, -EBUSY, "%s is mounted more than %d times", target, UNMOUNTS_MAX);
}

int sandbox_clean(const char *cgroups_path, const char *target, struct error *err)
{
    CLEANUP(cgroup_cleanup) struct cgroup *cgroup = NULL;
    int r = cgroup_open(cgroups_path, NULL, false, &cgroup, err);

    if (r >= 0)
        r = cgroup_adopt(cgroup, err);
    if (r < 0)
        return r;
    (void)cgroup_freeze(cgroup, false, NULL);
    if ((r = cgroup_kill(cgroup, err)) < 0 || (r = target ? unmount_all(target, err) : 0) < 0)
        return r;
    return cgroup_remove(cgroup, err);
}

struct sandbox *sandbox_free(struct sandbox *sandbox)
{
    if (!sandbox)
        return NULL;
    for (size_t i = 0; i < sandbox->n_execs; i++)
        process_release(&sandbox->execs[i]);
    free(sandbox->execs);
    fd_close(sandbox->init.pidfd);
    fd_close(sandbox->channel);
    cgroup_free(sandbox->cgroup);
    seccomp_filter_release(&sandbox->filter);
    strv_free(sandbox->warnings);
    free(sandbox->id);
    free(sandbox);
    return NULL;
}
