/* sandbox.h without isolation: the programs run on this host as they are, so that agent and worker
 * can be tested by anybody. Linked before the library, it takes the place of its sandbox.c. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/strings.h"
#include "real-job.h"
#include "sandbox/sandbox.h"
#include "spec/runtime.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

char **fake_warnings;

struct sandbox {
    const struct spec_runtime *config;
    pid_t pid;
    int go; /* written to when pid 1 may exec */
};

int sandbox_new(const struct sandbox_spec *spec, struct sandbox **ret, struct error *err)
{
    struct sandbox *sandbox = calloc(1, sizeof(*sandbox));

    if (!sandbox)
        return error_oom(err);
    sandbox->config = spec->config;
    sandbox->go = -EBADF;
    *ret = sandbox;
    return 0;
}

static int take_terminal(void *data)
{
    return ioctl(*(int *)data, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

static int spawn(const struct spec_process *process, char *const *argv, const struct sandbox_io *io,
                 int go, struct process *ret, int *ret_terminal, struct error *err)
{
    CLEANUP_CLOSE int master = -EBADF;
    CLEANUP_CLOSE int slave = -EBADF;
    struct process_fd fds[4];
    size_t n = 0;

    if (process->terminal) {
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (master < 0 || unlockpt(master) < 0)
            return error_set_errno(err, -errno, "ptmx");
        slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave < 0)
            return error_set_errno(err, -errno, "TIOCGPTPEER");
        for (int i = 0; i < 3; i++)
            fds[n++] = (struct process_fd){slave, i};
    } else {
        const int ends[] = {io->in, io->out, io->err};

        for (int i = 0; i < 3; i++) {
            if (ends[i] >= 0)
                fds[n++] = (struct process_fd){ends[i], i};
        }
    }
    if (go >= 0)
        fds[n++] = (struct process_fd){go, 9};
    const struct process_spec spec = {
        .argv = argv,
        .fds = fds,
        .n_fds = n,
        .flags = PROCESS_SETSID | PROCESS_DIE_WITH_PARENT | PROCESS_SEARCH_PATH,
        .prepare = process->terminal ? take_terminal : NULL,
        .prepare_data = &slave,
    };
    int r = process_spawn(&spec, ret, err);
    if (r < 0)
        return error_classify(err, r, ERROR_INVALID);
    *ret_terminal = TAKE_FD(master);
    return 0;
}

int sandbox_create(struct sandbox *sandbox, const struct sandbox_io *io,
                   struct process *ret_process, int *ret_terminal, struct error *err)
{
    CLEANUP_STRV char **argv = NULL;
    int ends[2];

    (void)strv_append(&argv, "/bin/sh");
    (void)strv_append(&argv, "-c");
    (void)strv_append(&argv, "read _ <&9 || exit 9; exec 9<&-; exec \"$0\" \"$@\"");
    (void)strv_extend(&argv, sandbox->config->process->args);
    if (fd_pipe(0, ends) < 0)
        return error_oom(err);
    CLEANUP_CLOSE int theirs = ends[0];
    sandbox->go = ends[1];
    int r = spawn(sandbox->config->process, argv, io, theirs, ret_process, ret_terminal, err);
    if (r >= 0)
        sandbox->pid = ret_process->pid;
    return r;
}

int sandbox_start(struct sandbox *sandbox, struct error *err)
{
    if (access(sandbox->config->process->args[0], X_OK) < 0) {
        (void)error_set_class(err, ERROR_INVALID,
                              "exec: \"%s\": stat %s: no such file or directory",
                              sandbox->config->process->args[0], sandbox->config->process->args[0]);
        if (err)
            err->code = -ENOENT;
        return -ENOENT;
    }
    if (write(sandbox->go, "\n", 1) != 1)
        return error_set_errno(err, -errno, "start");
    sandbox->go = fd_close(sandbox->go);
    return 0;
}

int sandbox_exec(struct sandbox *sandbox, const struct spec_process *process,
                 const struct sandbox_io *io, struct process *ret_process, int *ret_terminal,
                 struct error *err)
{
    (void)sandbox;
    return spawn(process, process->args, io, -EBADF, ret_process, ret_terminal, err);
}

int sandbox_signal(struct sandbox *sandbox, int signal, bool all, struct error *err)
{
    /* Each program leads a session, and so a group. */
    if (kill(all ? -sandbox->pid : sandbox->pid, signal) < 0)
        return error_set_errno(err, -errno, "kill");
    return 0;
}

int sandbox_pids(struct sandbox *sandbox, pid_t **ret, size_t *ret_n, struct error *err)
{
    pid_t *pids = malloc(sizeof(*pids));

    if (!pids)
        return error_oom(err);
    *pids = sandbox->pid;
    *ret = pids;
    *ret_n = 1;
    return 0;
}

int sandbox_update(struct sandbox *sandbox, const struct spec_resources *resources,
                   struct error *err)
{
    (void)sandbox;
    (void)resources;
    (void)err;
    return 0;
}

int sandbox_freeze(struct sandbox *sandbox, bool frozen, struct error *err)
{
    return sandbox_signal(sandbox, frozen ? SIGSTOP : SIGCONT, false, err);
}

int sandbox_oom_kills(struct sandbox *sandbox, uint64_t *ret)
{
    (void)sandbox;
    *ret = 0;
    return 0;
}

int sandbox_destroy(struct sandbox *sandbox, struct error *err)
{
    (void)err;
    if (sandbox->pid > 0)
        (void)kill(-sandbox->pid, SIGKILL);
    sandbox->go = fd_close(sandbox->go);
    return 0;
}

struct sandbox *sandbox_free(struct sandbox *sandbox)
{
    if (sandbox)
        (void)fd_close(sandbox->go);
    free(sandbox);
    return NULL;
}

char *const *sandbox_warnings(const struct sandbox *sandbox)
{
    static char *const none[] = {NULL};

    (void)sandbox;
    return fake_warnings ? fake_warnings : none;
}
