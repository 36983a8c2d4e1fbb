/* Further programs in running containers. The engine keeps what a client may ask about an exec; the
 * worker runs it. */
#include <fcntl.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/random.h"
#include "base/strings.h"
#include "compute/client.h"
#include "engine/private.h"
#include "spec/capability.h"
#include "spec/runtime.h"

enum {
    EXECS_PER_CONTAINER_MAX = 1024, /* kept: finished, running and not yet started */
    CONFIG_FILE_MAX = JSON_DOCUMENT_MAX,
};

struct exec {
    struct list node;            /* [state] in engine->execs */
    unsigned references;         /* atomic; the list holds one */
    struct container *container; /* a reference */
    char id[65];
    bool in;
    bool out;
    bool err;
    bool terminal;
    bool privileged;
    bool started; /* [state] */
    bool running; /* [state] */
    int code;     /* [state] -1 until it ended */
    pid_t pid;    /* [state] */
    char *detach_keys;
    char *user;
    char **args;
    char **env;
    char *directory;
};

static void exec_put(struct exec *exec)
{
    if (__atomic_sub_fetch(&exec->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    container_put(exec->container);
    free(exec->detach_keys);
    free(exec->user);
    free(exec->directory);
    strv_free(exec->args);
    strv_free(exec->env);
    free(exec);
}
DEFINE_CLEANUP(struct exec *, exec_cleanup, exec_put)

/* Call under the state lock. */
static struct exec *exec_find(struct engine *engine, const char *id)
{
    struct exec *found = NULL;
    LIST_FOR_EACH (exec, &engine->execs, struct exec, node)
        if (string_equal(exec->id, id))
            found = exec;
    return found;
}

static int exec_parse(struct exec *exec, const json_t *body, struct error *err)
{
    const char *user = "";
    const char *directory = "";
    const char *keys = "";
    int r;
    if ((r = json_get_bool(body, "AttachStdin", &exec->in, err)) < 0 ||
        (r = json_get_bool(body, "AttachStdout", &exec->out, err)) < 0 ||
        (r = json_get_bool(body, "AttachStderr", &exec->err, err)) < 0 ||
        (r = json_get_bool(body, "Tty", &exec->terminal, err)) < 0 ||
        (r = json_get_bool(body, "Privileged", &exec->privileged, err)) < 0 ||
        (r = json_get_string(body, "User", &user, err)) < 0 ||
        (r = json_get_string(body, "WorkingDir", &directory, err)) < 0 ||
        (r = json_get_string(body, "DetachKeys", &keys, err)) < 0 ||
        (r = json_get_strv(body, "Cmd", SPEC_ARGS_MAX, &exec->args, err)) < 0 ||
        (r = json_get_strv(body, "Env", SPEC_ARGS_MAX, &exec->env, err)) < 0)
        return r;
    if (strv_length(exec->args) == 0)
        return error_set_class(err, ERROR_INVALID, "No exec command specified");
    if (string_replace(&exec->user, user) < 0 || string_replace(&exec->detach_keys, keys) < 0 ||
        string_replace(&exec->directory, directory) < 0)
        return error_oom(err);
    return 0;
}

/* Makes room by forgetting the container's oldest finished exec, or else the oldest that nobody has
 * started. Only what runs is never forgotten. Call under the state lock. */
static int exec_make_room(struct engine *engine, const struct container *container,
                          struct error *err)
{
    size_t n = 0;
    struct exec *finished = NULL;
    struct exec *idle = NULL;
    LIST_FOR_EACH (exec, &engine->execs, struct exec, node) {
        if (exec->container != container)
            continue;
        n++;
        if (!finished && exec->started && !exec->running)
            finished = exec;
        if (!idle && !exec->started)
            idle = exec;
    }
    if (n < EXECS_PER_CONTAINER_MAX)
        return 0;
    struct exec *oldest = finished ? finished : idle;
    if (!oldest)
        return error_set_class(err, ERROR_CONFLICT, "container %s runs %d execs, which is the most",
                               container->id, (int)EXECS_PER_CONTAINER_MAX);
    list_remove(&oldest->node);
    exec_put(oldest);
    return 0;
}

int engine_exec_create(struct engine *engine, const char *reference, json_t *body, char ret_id[65],
                       struct error *err)
{
    CLEANUP(exec_cleanup) struct exec *exec = calloc(1, sizeof(*exec));
    if (!exec)
        return error_oom(err);
    list_init(&exec->node);
    exec->references = 1;
    exec->code = -1;
    random_id(exec->id);
    int r = engine_container_get(engine, reference, &exec->container, err);
    if (r == 0)
        r = exec_parse(exec, body, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *command = strv_join(exec->args, " ");
    CLEANUP_CONTAINER struct container *container = container_ref(exec->container);
    {
        ENGINE_STATE(engine);
        if (exec->container->status == CONTAINER_PAUSED)
            return error_set_class(err, ERROR_CONFLICT,
                                   "container %s is paused, unpause the container before exec",
                                   exec->container->id);
        if (!container_is_running(exec->container))
            return error_set_class(err, ERROR_CONFLICT, "container %s is not running",
                                   exec->container->id);
        r = exec_make_room(engine, container, err);
        if (r < 0)
            return r;
        struct exec *entered = TAKE_PTR(exec);
        list_append(&engine->execs, &entered->node);
        string_copy(ret_id, 65, entered->id);
    }
    CLEANUP_FREE char *action = string_format("exec_create: %s", string_or(command, ""));
    if (action)
        engine_emit_container(engine, container, action, json_pack("{s:s}", "execID", ret_id));
    return 0;
}

/* --- the process that the worker is to start: the container's own, with the exec's differences ---
 */

static int read_process(const struct container *container, struct spec_process **ret,
                        struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CONFIG_FILE_MAX);
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = NULL;
    CLEANUP_FREE char *path = string_format("%s/config.json", container->directory);
    if (!path)
        return error_oom(err);
    int r = file_read(AT_FDCWD, path, &text, err);
    if (r == 0)
        r = spec_runtime_parse(text.data, text.length, &config, err);
    if (r < 0)
        return r;
    struct spec_process *process = spec_process_copy(config->process);
    if (!process)
        return error_oom(err);
    *ret = process;
    return 0;
}

static int set_arguments(struct spec_process *process, const struct exec *exec)
{
    strv_free(TAKE_PTR(process->args));
    process->args = strv_copy(exec->args);
    int r = process->args ? 0 : -ENOMEM;
    if (r == 0 && exec->terminal && !strv_env_get(process->env, "TERM"))
        r = strv_env_set(&process->env, "TERM=xterm");
    for (char *const *entry = exec->env; r == 0 && entry && *entry; entry++)
        if (strchr(*entry, '='))
            r = strv_env_set(&process->env, *entry);
    return r;
}

static int set_user(struct spec_process *process, const struct exec *exec)
{
    if (string_is_empty(exec->user))
        return 0;
    process->user.uid = 0;
    process->user.gid = 0;
    return string_replace(&process->user.username, exec->user);
}

static int exec_process(const struct exec *exec, int width, int height, json_t **ret,
                        struct error *err)
{
    CLEANUP(spec_process_cleanup) struct spec_process *process = NULL;
    int r = read_process(exec->container, &process, err);
    if (r < 0)
        return r;
    process->terminal = exec->terminal;
    process->console_width = width > 0 ? (unsigned)width : 0;
    process->console_height = height > 0 ? (unsigned)height : 0;
    if (set_arguments(process, exec) < 0 || set_user(process, exec) < 0 ||
        (!string_is_empty(exec->directory) && string_replace(&process->cwd, exec->directory) < 0))
        return error_oom(err);
    if (exec->privileged) {
        process->has_capabilities = true;
        process->capabilities.bounding = CAPABILITY_ALL;
        process->capabilities.effective = CAPABILITY_ALL;
        process->capabilities.permitted = CAPABILITY_ALL;
    }
    json_t *document = spec_process_to_json(process);
    if (!document)
        return error_oom(err);
    *ret = document;
    return 0;
}

/* --- start --- */

/* Claims the exec for this caller, who gets a reference: an exec runs once. */
static int exec_claim(struct engine *engine, const char *id, struct exec **ret, struct error *err)
{
    ENGINE_STATE(engine);
    struct exec *exec = exec_find(engine, id);
    if (!exec)
        return error_set_class(err, ERROR_NOT_FOUND, "No such exec instance: %s", id);
    if (exec->started)
        return error_set_class(err, ERROR_CONFLICT, "exec %s has already run", id);
    if (exec->container->status == CONTAINER_PAUSED)
        return error_set_class(err, ERROR_CONFLICT,
                               "container %s is paused, unpause the container before exec",
                               exec->container->id);
    if (!container_is_running(exec->container))
        return error_set_class(err, ERROR_CONFLICT, "container %s is not running",
                               exec->container->id);
    exec->started = true;
    exec->running = true;
    __atomic_add_fetch(&exec->references, 1, __ATOMIC_RELAXED);
    *ret = exec;
    return 0;
}

static int exec_status(const struct error *failure)
{
    return failure->code == -ENOENT ? 127 : 126;
}

/* A client asks for the exit status as soon as its connection closes, which may be before the loop
 * thread has heard of the end. */
static void exec_pumped(const char *exec_id, int code, void *data)
{
    engine_exec_ended(data, exec_id, code);
}

static int exec_run(struct exec *exec, bool detach, int width, int height, const char *detach_keys,
                    struct compute_client **ret, struct error *err)
{
    CLEANUP_JSON json_t *process = NULL;
    struct compute_client *client = NULL;
    pid_t pid = 0;
    int r = exec_process(exec, width, height, &process, err);
    if (r == 0)
        r = compute_client_connect(exec->container->runtime_dir, &client, err);
    if (r < 0)
        return r;
    struct compute_streams streams = {
        .in = exec->in && !detach,
        .out = exec->out && !detach,
        .err = exec->err && !detach,
        .detach_keys = string_is_empty(detach_keys) ? exec->detach_keys : detach_keys,
    };
    r = compute_client_exec(client, exec->id, TAKE_PTR(process), &streams, &pid, err);
    if (r < 0) {
        compute_client_free(client);
        return error_wrap(err, r,
                          "OCI runtime exec failed: exec failed: unable to start container "
                          "process");
    }
    {
        ENGINE_STATE(exec->container->engine);
        if (exec->running)
            exec->pid = pid;
    }
    if (detach)
        client = compute_client_free(client);
    else
        compute_client_on_exit(client, exec_pumped, exec->container->engine);
    *ret = client;
    return 0;
}

int engine_exec_start(struct engine *engine, const char *exec_id, bool detach, int width,
                      int height, const char *detach_keys, struct compute_client **ret,
                      bool *ret_terminal, struct error *err)
{
    CLEANUP(exec_cleanup) struct exec *exec = NULL;
    int r = exec_claim(engine, exec_id, &exec, err);
    if (r < 0 || !exec)
        return r;
    CLEANUP_FREE char *command = strv_join(exec->args, " ");
    CLEANUP_FREE char *action = string_format("exec_start: %s", string_or(command, ""));
    if (action)
        engine_emit_container(engine, exec->container, action,
                              json_pack("{s:s}", "execID", exec_id));
    struct error failure = ERROR_INIT;
    *ret_terminal = exec->terminal;
    r = exec_run(exec, detach, width, height, detach_keys, ret, &failure);
    if (r < 0) {
        engine_exec_ended(engine, exec_id, exec_status(&failure));
        return error_copy(err, &failure);
    }
    return 0;
}

void engine_exec_ended(struct engine *engine, const char *exec_id, int code)
{
    ENGINE_STATE(engine);
    struct exec *exec = exec_find(engine, exec_id);
    if (!exec || !exec->running)
        return;
    exec->running = false;
    exec->code = code;
    exec->pid = 0;
}

void engine_execs_container_ended(struct engine *engine, const struct container *container)
{
    enum { EXIT_KILLED = 137 };
    ENGINE_STATE(engine);
    LIST_FOR_EACH (exec, &engine->execs, struct exec, node) {
        if (exec->container != container || !exec->running)
            continue;
        exec->running = false;
        exec->code = EXIT_KILLED;
        exec->pid = 0;
    }
}

void engine_execs_forget(struct engine *engine, const struct container *container)
{
    ENGINE_STATE(engine);
    LIST_FOR_EACH (exec, &engine->execs, struct exec, node) {
        if (exec->container != container)
            continue;
        list_remove(&exec->node);
        exec_put(exec);
    }
}

/* Call under the state lock. */
json_t *engine_exec_ids(struct engine *engine, const struct container *container)
{
    json_t *ids = NULL;
    LIST_FOR_EACH (exec, &engine->execs, struct exec, node) {
        if (exec->container != container || !exec->running)
            continue;
        if (!ids)
            ids = json_array();
        json_array_append_new(ids, json_string(exec->id));
    }
    return ids ? ids : json_null();
}

int engine_exec_resize(struct engine *engine, const char *exec_id, int width, int height,
                       struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    {
        ENGINE_STATE(engine);
        struct exec *exec = exec_find(engine, exec_id);
        if (!exec)
            return error_set_class(err, ERROR_NOT_FOUND, "No such exec instance: %s", exec_id);
        if (!exec->running)
            return error_set_class(err, ERROR_CONFLICT, "exec %s is not running", exec_id);
        container = container_ref(exec->container);
    }
    struct compute_client *client = NULL;
    int r = compute_client_connect(container->runtime_dir, &client, err);
    if (r < 0)
        return r;
    r = compute_client_resize(client, exec_id, width, height, err);
    compute_client_free(client);
    return r;
}

int engine_exec_inspect(struct engine *engine, const char *exec_id, json_t **ret, struct error *err)
{
    ENGINE_STATE(engine);
    const struct exec *exec = exec_find(engine, exec_id);
    if (!exec)
        return error_set_class(err, ERROR_NOT_FOUND, "No such exec instance: %s", exec_id);
    json_t *code = exec->started && !exec->running ? json_integer(exec->code) : json_null();
    json_t *arguments = json_from_strv(exec->args + 1);
    json_t *document =
        json_pack("{s:s, s:b, s:o, s:{s:b, s:s, s:o, s:b, s:s}, s:b, s:b, s:b, s:b, s:s, s:i, "
                  "s:s}",
                  "ID", exec->id, "Running", exec->running, "ExitCode", code, "ProcessConfig",
                  "tty", exec->terminal, "entrypoint", exec->args[0], "arguments", arguments,
                  "privileged", exec->privileged, "user", string_or(exec->user, ""), "OpenStdin",
                  exec->in, "OpenStderr", exec->err, "OpenStdout", exec->out, "CanRemove",
                  exec->started && !exec->running, "ContainerID", exec->container->id, "Pid",
                  (int)exec->pid, "DetachKeys", string_or(exec->detach_keys, ""));
    if (!document)
        return error_oom(err);
    *ret = document;
    return 0;
}
