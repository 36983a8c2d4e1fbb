#include "sandbox/hooks.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/process.h"
#include "base/strings.h"
#include "sandbox/state.h"

/* runtime.md#state, in a file that a hook reads as its stdin. */
static int open_state(const struct sandbox *sandbox, const char *status, pid_t pid,
                      struct error *err)
{
    CLEANUP_JSON json_t *json = json_object();
    CLEANUP_FREE char *text = NULL;
    CLEANUP_CLOSE int fd = memfd_create("state", MFD_CLOEXEC);
    int r = 0;

    if (json_put_string(json, "ociVersion", sandbox->config->oci_version) < 0 ||
        json_put_string(json, "id", sandbox->id) < 0 ||
        json_put_string(json, "status", status) < 0 || json_put_i64(json, "pid", pid) < 0 ||
        json_put_string(json, "bundle", sandbox->root.target) < 0)
        return error_oom(err);
    text = json_format(json);
    if (!text)
        return error_oom(err);
    if (fd < 0)
        return error_set_errno(err, -errno, "cannot make the state for hooks");
    r = fd_write_full(fd, text, strlen(text));
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = -errno;
    return r < 0 ? error_set_errno(err, r, "cannot write the state for hooks") : TAKE_FD(fd);
}

static int run_one(const struct sandbox *sandbox, const struct spec_hook *hook, const char *status,
                   pid_t pid, struct error *err)
{
    CLEANUP_CLOSE int state = open_state(sandbox, status, pid, err);
    char *default_args[] = {hook->path, NULL};
    char *no_env[] = {NULL};
    struct process_fd fds[] = {{.fd = state, .as = STDIN_FILENO}};
    struct process_spec spec = {
        .path = hook->path,
        .argv = hook->args && hook->args[0] ? hook->args : default_args,
        .env = hook->env ? hook->env : no_env,
        .fds = fds,
        .n_fds = 1,
        .flags = PROCESS_DIE_WITH_PARENT,
    };
    struct process process = PROCESS_INIT;
    int exit_status = 0;
    int r;

    if (state < 0)
        return state;
    r = process_spawn(&spec, &process, err);
    if (r < 0)
        return r;
    r = hook->timeout ? process_wait_timeout(&process, hook->timeout * 1000, &exit_status)
                      : process_wait(&process, &exit_status);
    if (r == -ETIMEDOUT) {
        (void)process_signal(&process, SIGKILL);
        (void)process_wait(&process, NULL);
    }
    process_release(&process);
    if (r < 0)
        return error_set_errno(err, r, "hook %s", hook->path);
    return exit_status
               ? error_set(err, -EIO, "hook %s ended with status %d", hook->path, exit_status)
               : 0;
}

int hooks_run(const struct sandbox *sandbox, enum spec_hook_stage stage, const char *status,
              pid_t pid, struct error *err)
{
    const struct spec_hooks *hooks = &sandbox->config->hooks[stage];

    for (size_t i = 0; i < hooks->n_hooks; i++) {
        int r = run_one(sandbox, &hooks->hooks[i], status, pid, err);

        if (r < 0)
            return error_wrap(err, r, "%s", spec_hook_stage_to_string(stage));
    }
    return 0;
}
