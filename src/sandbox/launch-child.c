/* pid 1 on its way from a copy of the caller to the point where it waits for the start.
 *
 * Until root_pivot() it sees the host's files and the names in the configuration's sources mean the
 * host's; the image's names are only ever resolved in root_fd. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "sandbox/cgroup.h"
#include "sandbox/console.h"
#include "sandbox/devices.h"
#include "sandbox/hooks.h"
#include "sandbox/launch.h"
#include "sandbox/mounts.h"
#include "sandbox/program.h"
#include "sandbox/root.h"
#include "sandbox/state.h"
#include "sandbox/sysctl.h"

static int join_namespaces(struct launch *launch, struct error *err)
{
    /* The user namespace last: the rights to join the others are those outside of it. */
    for (int i = 0; i <= SPEC_NAMESPACE_MAX; i++) {
        enum spec_namespace_type type =
            i == SPEC_NAMESPACE_MAX ? SPEC_NAMESPACE_USER : (enum spec_namespace_type)i;

        if (i == SPEC_NAMESPACE_USER || type == SPEC_NAMESPACE_PID || launch->namespaces[type] < 0)
            continue;
        if (setns(launch->namespaces[type], (int)launch_namespace_flag(type)) < 0)
            return error_set_errno(err, -errno, "cannot join the %s namespace",
                                   spec_namespace_to_string(type));
    }
    return 0;
}

/* Root of the user namespace, which the maps that GO announced make possible. */
static int become_root(const struct sandbox *sandbox, struct error *err)
{
    if (!((sandbox->new_namespaces | sandbox->join_namespaces) & CLONE_NEWUSER))
        return 0;
    if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 ||
        syscall(SYS_setresuid, 0, 0, 0) < 0)
        return error_set_errno(err, -errno, "cannot become root of the user namespace");
    return 0;
}

static int enter_namespaces(struct launch *launch, struct error *err)
{
    struct sandbox *sandbox = launch->sandbox;
    int r;

    if ((r = join_namespaces(launch, err)) < 0 || (r = become_root(sandbox, err)) < 0)
        return r;
    if ((sandbox->new_namespaces & CLONE_NEWCGROUP) && unshare(CLONE_NEWCGROUP) < 0)
        return error_set_errno(err, -errno, "cannot make a cgroup namespace");
    return 0;
}

static int set_names(const struct spec_runtime *config, struct error *err)
{
    if (config->hostname && sethostname(config->hostname, strlen(config->hostname)) < 0)
        return error_set_errno(err, -errno, "cannot set the hostname '%s'", config->hostname);
    if (config->domainname && setdomainname(config->domainname, strlen(config->domainname)) < 0)
        return error_set_errno(err, -errno, "cannot set the domain name '%s'", config->domainname);
    return 0;
}

static int open_terminal(struct launch *launch, struct program *program, int root_fd,
                         int *ret_master, struct error *err)
{
    int r;

    launch_own_null(launch, root_fd, program->stdio);
    if (!launch->process->terminal)
        return 0;
    r = console_open(root_fd, launch->process, ret_master, &program->terminal, err);
    if (r < 0)
        return r;
    for (int i = 0; i < 3; i++)
        program->stdio[i] = program->terminal;
    if (!devices_wanted(launch->sandbox->config))
        return 0;
    return devices_bind_console(root_fd, program->terminal, err);
}

static int build_root(struct launch *launch, struct program *program, int *ret_master,
                      struct error *err)
{
    struct sandbox *sandbox = launch->sandbox;
    const struct spec_runtime *config = sandbox->config;
    const char *propagation = config->linux_.rootfs_propagation;
    CLEANUP_CLOSE int root_fd =
        root_open(&sandbox->root, propagation, sandbox->new_namespaces & CLONE_NEWUSER, err);
    bool cgroup_namespace = (sandbox->new_namespaces | sandbox->join_namespaces) & CLONE_NEWCGROUP;
    int r;

    if (root_fd < 0)
        return root_fd;
    (void)umask(0);
    if ((r = mounts_apply(config, sandbox->cgroup, cgroup_namespace, root_fd, err)) < 0 ||
        (devices_wanted(config) && (r = devices_make(config, root_fd, err)) < 0) ||
        (r = open_terminal(launch, program, root_fd, ret_master, err)) < 0 ||
        (r = sysctl_apply(config->linux_.sysctl, err)) < 0 ||
        (r = program_prepare_process(launch->process, err)) < 0 ||
        (r = hooks_run(sandbox, SPEC_HOOK_CREATE_CONTAINER, "creating", getpid(), err)) < 0 ||
        (r = program_resolve_root(program, root_fd, config->root_readonly, err)) < 0 ||
        (r = mounts_restrict(config, root_fd, err)) < 0)
        return r;
    return root_pivot(root_fd, propagation, err);
}

static int set_up(struct launch *launch, struct program *program, int *ret_master,
                  struct error *err)
{
    const struct spec_runtime *config = launch->sandbox->config;
    int r;

    if ((r = enter_namespaces(launch, err)) < 0 || (r = set_names(config, err)) < 0 ||
        (r = build_root(launch, program, ret_master, err)) < 0)
        return r;
    if (config->linux_.has_personality && personality(config->linux_.personality) < 0)
        return error_set_errno(err, -errno, "cannot set the personality");
    return 0;
}

/* Maps and cgroup must be there before what depends on them; hooks on the host's side must find the
 * namespaces made and nothing done in them. */
static bool waits_early(const struct sandbox *sandbox)
{
    return (sandbox->new_namespaces & (CLONE_NEWUSER | CLONE_NEWCGROUP)) ||
           sandbox->config->hooks[SPEC_HOOK_PRESTART].n_hooks > 0 ||
           sandbox->config->hooks[SPEC_HOOK_CREATE_RUNTIME].n_hooks > 0;
}

void launch_init_child(struct launch *launch)
{
    struct sandbox *sandbox = launch->sandbox;
    struct error error = ERROR_INIT;
    int master = -EBADF;
    struct program program = {
        .process = launch->process,
        .filter = &sandbox->filter,
        .capabilities = launch->capabilities,
        .host_capabilities = sandbox->host_capabilities,
        .stdio = {launch->stdio[0], launch->stdio[1], launch->stdio[2]},
        .terminal = -EBADF,
        .channel = launch->channel,
        .with_init = spec_runtime_annotation_is_true(sandbox->config, SPEC_ANNOTATION_INIT),
    };

    stage_die_with_parent(launch->channel);
    (void)setsid();
    if (waits_early(sandbox))
        stage_expect(launch->channel, STAGE_GO);
    if (set_up(launch, &program, &master, &error) < 0)
        stage_fail(launch->channel, &error);
    if (!waits_early(sandbox))
        stage_expect(launch->channel, STAGE_GO);
    /* A change of user may have taken the death signal away. */
    stage_die_with_parent(launch->channel);
    if (stage_send(launch->channel, STAGE_READY, 0, NULL, master) < 0)
        _exit(EXIT_FAILURE);
    master = fd_close(master);
    stage_expect(launch->channel, STAGE_START);
    if (hooks_run(sandbox, SPEC_HOOK_START_CONTAINER, "created", getpid(), &error) < 0)
        stage_fail(launch->channel, &error);
    program_run(&program);
}
