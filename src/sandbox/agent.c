#include "sandbox/agent.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "sandbox/agent_internal.h"
#include "sandbox/agent_proxy.h"
#include "sandbox/guest_memory.h"
#include "sandbox/interface.h"
#include "sandbox/process_list.h"
#include "sandbox/root.h"
#include "spec/defaults.h"
#include "spec/runtime.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>

enum { PATH_MAX_LENGTH = 4096, SIGNAL_NUMBER_MAX = 64, TERMINAL_SIZE_MAX = 65535 };

/* --- the root --- */

void agent_root_release(struct sandbox_root *root)
{
    strv_free(root->lower);
    free(root->upper);
    free(root->work);
    free(root->target);
    *root = (struct sandbox_root){.lower = NULL};
}

static int copy_path(const json_t *object, const char *name, char **ret, struct error *err)
{
    const char *path = NULL;
    int r = json_get_string(object, name, &path, err);

    if (r <= 0)
        return r;
    if (*path != '/' || strlen(path) >= PATH_MAX_LENGTH)
        return error_set_class(err, ERROR_INVALID, "'rootfs.%s' is not an absolute path", name);
    return string_replace(ret, path) < 0 ? error_oom(err) : 0;
}

int agent_root_from_json(const json_t *rootfs, struct sandbox_root *ret, struct error *err)
{
    struct sandbox_root root = {.lower = NULL};
    const char *type = NULL;
    int r = json_need_string(rootfs, "type", &type, err);

    if (r < 0)
        return r;
    if (!string_equal(type, "overlay"))
        return error_set_class(err, ERROR_INVALID, "a root of type '%s' cannot be made here", type);
    if ((r = json_get_strv(rootfs, "lower", AGENT_LAYERS_MAX, &root.lower, err)) < 0 ||
        (r = copy_path(rootfs, "upper", &root.upper, err)) < 0 ||
        (r = copy_path(rootfs, "work", &root.work, err)) < 0 ||
        (r = copy_path(rootfs, "target", &root.target, err)) < 0) {
        agent_root_release(&root);
        return r;
    }
    if (!root.target) {
        agent_root_release(&root);
        return error_set_class(err, ERROR_INVALID, "'rootfs.target' is missing");
    }
    *ret = root;
    return 0;
}

/* --- create and start --- */

/* Gives the guest what the host says that it has, where it says so. */
static int check_memory(const struct agent *agent, const json_t *request, struct error *err)
{
    int64_t memory = 0;
    int r = json_get_i64(request, "memory", &memory, err);

    if (r < 0 || !agent->is_guest || memory <= 0)
        return r < 0 ? r : 0;
    /* A VM that was booted before it was known what for. */
    if (guest_memory_check(GUEST_MEMORY_FILE, (uint64_t)memory, NULL) < 0)
        (void)guest_memory_set(GUEST_MEMORY_FILE, GUEST_MEMORY_INFO, (uint64_t)memory, NULL, NULL);
    return guest_memory_check(GUEST_MEMORY_FILE, (uint64_t)memory, err);
}

static int prepare(struct agent *agent, const json_t *request, struct error *err)
{
    json_t *config = NULL;
    json_t *rootfs = NULL;
    int r = check_memory(agent, request, err);

    if (r < 0)
        return r;
    r = json_get_object(request, "config", &config, err);
    if (r == 0)
        r = error_set_class(err, ERROR_INVALID, "'config' is missing");
    if (r >= 0)
        r = spec_runtime_from_json(config, &agent->config, err);
    if (r < 0)
        return r;
    /* The host's devices are in the configuration already (engine/spec_builder.c); a guest has its
     * own, which only it knows. */
    if (agent->is_guest &&
        spec_runtime_annotation_is_true(agent->config, SPEC_ANNOTATION_PRIVILEGED) &&
        (r = spec_defaults_add_host_devices(agent->config)) < 0)
        return error_set_errno(err, r, "cannot list the devices");
    if (agent->is_guest && (r = agent_proxies_listen(agent, request, err)) < 0)
        return r;
    if (agent->ops->prepare)
        return agent->ops->prepare(request, &agent->root, agent->data, err);
    r = json_get_object(request, "rootfs", &rootfs, err);
    if (r == 0)
        r = error_set_class(err, ERROR_INVALID, "'rootfs' is missing");
    return r < 0 ? r : agent_root_from_json(rootfs, &agent->root, err);
}

static int create_sandbox(struct agent *agent, const json_t *request, struct error *err)
{
    CLEANUP_FREE struct sandbox_interface *interfaces = NULL;
    struct agent_streams streams = {0};
    struct agent_pipes pipes = {-EBADF, -EBADF, -EBADF};
    struct sandbox_spec spec = {.is_guest = agent->is_guest};
    const char *id = NULL;
    int terminal = -EBADF;
    int r;

    if ((r = json_need_string(request, "container", &id, err)) < 0 ||
        (r = prepare(agent, request, err)) < 0 ||
        (r = sandbox_interfaces_from_json(json_object_get(request, "interfaces"), &interfaces,
                                          &spec.n_interfaces, err)) < 0 ||
        (r = agent_streams_from_json(request, agent->config->process->terminal, &streams, err)) < 0)
        return r;
    trace_now(&agent->trace, TRACE_DISKS);
    spec.id = id;
    spec.config = agent->config;
    spec.root = agent->root;
    spec.interfaces = interfaces;
    if ((r = sandbox_new(&spec, &agent->sandbox, err)) < 0)
        return r;
    agent->first = agent_process_new(agent, "");
    if (!agent->first)
        return error_oom(err);
    r = agent_streams_open(agent->first, &streams, agent->config->process->terminal, &pipes, err);
    if (r < 0)
        return r;
    const struct sandbox_io io = {.in = pipes.in, .out = pipes.out, .err = pipes.err};
    r = sandbox_create(agent->sandbox, &io, &agent->first->process, &terminal, err);
    agent_pipes_close(&pipes);
    if (r >= 0)
        r = agent_process_watch(agent->first, err);
    if (r < 0) {
        (void)fd_close(terminal);
        return r;
    }
    return agent_streams_start(agent->first, terminal, err);
}

/* Back to nothing after a failed create or start. */
static void undo(struct agent *agent)
{
    agent_proxies_free(agent);
    if (agent->sandbox)
        (void)sandbox_destroy(agent->sandbox, NULL);
    agent->first = agent_process_free(agent->first);
    agent->sandbox = sandbox_free(agent->sandbox);
    agent->config = spec_runtime_free(agent->config);
    agent_root_release(&agent->root);
    agent->state = AGENT_NONE;
}

void agent_report_damage(struct agent *agent, json_t *message)
{
    CLEANUP_FREE char *damage = agent->ops->damage ? agent->ops->damage(agent->data) : NULL;

    if (damage)
        (void)json_put_string(message, "damage", damage);
}

/* A failure that damage may have caused says so. */
static int blame_damage(struct agent *agent, int r, struct error *err)
{
    CLEANUP_FREE char *damage = agent->ops->damage ? agent->ops->damage(agent->data) : NULL;

    return damage ? error_wrap(err, r, "%s", damage) : r;
}

/* The root of a container that does not run. On the host it is mounted where nobody else sees it
 * and from where it goes with this process; the VM is the agent's own. */
static int mount_files(struct agent *agent, struct error *err)
{
    if (!agent->is_guest &&
        (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0))
        return error_set_errno(err, -errno, "cannot make a mount namespace");
    return root_mount(&agent->root, err);
}

static int op_files(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    int r;

    (void)ret;
    if (agent->state != AGENT_NONE)
        return error_set_class(err, ERROR_CONFLICT, "the container exists already");
    r = prepare(agent, request, err);
    if (r >= 0)
        r = mount_files(agent, err);
    if (r < 0) {
        undo(agent);
        return blame_damage(agent, r, err);
    }
    agent->state = AGENT_FILES;
    return 0;
}

static json_t *sandbox_warnings_to_json(const struct agent *agent)
{
    return json_from_strv(sandbox_warnings(agent->sandbox));
}

json_t *agent_report(struct agent *agent)
{
    json_t *report = trace_to_report(&agent->trace);

    agent->trace = (struct trace){.at = {0}};
    return report;
}

static int op_create(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    int r;

    if (agent->state != AGENT_NONE)
        return error_set_class(err, ERROR_CONFLICT, "the container exists already");
    r = create_sandbox(agent, request, err);
    if (r < 0) {
        undo(agent);
        return blame_damage(agent, r, err);
    }
    agent->state = AGENT_CREATED;
    trace_now(&agent->trace, TRACE_CREATE);
    *ret = json_pack("{s:i,s:o,s:o}", "pid", (int)agent->first->process.pid, "warnings",
                     sandbox_warnings_to_json(agent), "trace", agent_report(agent));
    if (!*ret)
        return error_oom(err);
    agent_report_damage(agent, *ret);
    return 0;
}

static int op_start(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    (void)request;
    if (agent->state != AGENT_CREATED || !agent->first)
        return error_set_class(err, ERROR_CONFLICT, "the container is not in a state to start");
    pid_t pid = agent->first->process.pid;
    int r = sandbox_start(agent->sandbox, err);
    if (r < 0) {
        undo(agent);
        agent->state = AGENT_EXITED;
        return r;
    }
    agent->state = AGENT_RUNNING;
    *ret = json_pack("{s:i}", "pid", (int)pid);
    return *ret ? 0 : error_oom(err);
}

/* --- what needs a running container --- */

static int need_running(const struct agent *agent, struct error *err)
{
    if (agent->state != AGENT_RUNNING || !agent->first || agent->first->ended)
        return error_set_class(err, ERROR_CONFLICT, "the container is not running");
    return 0;
}

static int exec_process(struct agent *agent, struct agent_process *process, const json_t *request,
                        struct error *err)
{
    CLEANUP(spec_process_cleanup) struct spec_process *spec = NULL;
    struct agent_streams streams;
    struct agent_pipes pipes = {-EBADF, -EBADF, -EBADF};
    json_t *description = NULL;
    int terminal = -EBADF;
    int r;

    r = json_get_object(request, "process", &description, err);
    if (r == 0)
        r = error_set_class(err, ERROR_INVALID, "'process' is missing");
    if (r < 0 || (r = spec_process_from_json(description, &spec, err)) < 0 ||
        (r = agent_streams_from_json(request, spec->terminal, &streams, err)) < 0 ||
        (r = agent_streams_open(process, &streams, spec->terminal, &pipes, err)) < 0)
        return r;
    const struct sandbox_io io = {.in = pipes.in, .out = pipes.out, .err = pipes.err};
    r = sandbox_exec(agent->sandbox, spec, &io, &process->process, &terminal, err);
    agent_pipes_close(&pipes);
    if (r < 0)
        return r;
    r = agent_process_watch(process, err);
    if (r >= 0) {
        r = agent_streams_start(process, terminal, err);
    } else {
        (void)process_signal(&process->process, SIGKILL);
        (void)fd_close(terminal);
    }
    return r;
}

static bool exec_id_is_valid(const char *id)
{
    size_t length = strlen(id);

    return length > 0 && length <= AGENT_EXEC_ID_MAX && strspn(id, "0123456789abcdef") == length;
}

static int op_exec(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    const char *id = NULL;
    int r = need_running(agent, err);

    if (r < 0 || (r = json_need_string(request, "exec", &id, err)) < 0)
        return r;
    if (!exec_id_is_valid(id))
        return error_set_class(err, ERROR_INVALID, "'exec' is not an id");
    if (agent_process_find(agent, id))
        return error_set_class(err, ERROR_CONFLICT, "exec %s runs already", id);
    if (agent->n_execs >= AGENT_EXECS_MAX)
        return error_set_class(err, ERROR_UNAVAILABLE, "%d execs run in the container already",
                               AGENT_EXECS_MAX);
    struct agent_process *process = agent_process_new(agent, id);
    if (!process)
        return error_oom(err);
    r = exec_process(agent, process, request, err);
    if (r < 0) {
        agent_process_free(process);
        return r;
    }
    *ret = json_pack("{s:i}", "pid", (int)process->process.pid);
    return *ret ? 0 : error_oom(err);
}

/* The process that "exec" names; "" or absent is the first. */
static int find_process(struct agent *agent, const json_t *request, struct agent_process **ret,
                        struct error *err)
{
    const char *id = "";
    int r = json_get_string(request, "exec", &id, err);

    if (r < 0)
        return r;
    *ret = *id ? agent_process_find(agent, id) : agent->first;
    if (*ret && !(*ret)->ended)
        return 0;
    return *id ? error_set_class(err, ERROR_NOT_FOUND, "exec %s is not running", id)
               : error_set_class(err, ERROR_CONFLICT, "the container is not running");
}

static int op_signal(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    struct agent_process *process;
    int signal = -1;
    bool all = false;
    int r;

    (void)ret;
    if ((r = find_process(agent, request, &process, err)) < 0 ||
        (r = json_get_int(request, "signal", 0, SIGNAL_NUMBER_MAX, &signal, err)) < 0 ||
        (r = json_get_bool(request, "all", &all, err)) < 0)
        return r;
    if (signal < 0)
        return error_set_class(err, ERROR_INVALID, "'signal' is missing");
    if (process == agent->first)
        return sandbox_signal(agent->sandbox, signal, all, err);
    r = process_signal(&process->process, signal);
    return r < 0 ? error_set_errno(err, r, "signalling exec %s", process->exec) : 0;
}

static int op_resize(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    struct agent_process *process;
    int width = 0;
    int height = 0;
    int r;

    (void)ret;
    if ((r = find_process(agent, request, &process, err)) < 0 ||
        (r = json_get_int(request, "width", 0, TERMINAL_SIZE_MAX, &width, err)) < 0 ||
        (r = json_get_int(request, "height", 0, TERMINAL_SIZE_MAX, &height, err)) < 0)
        return r;
    if (process->terminal < 0)
        return error_set_class(err, ERROR_INVALID, "the process has no terminal");
    const struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};
    if (ioctl(process->terminal, TIOCSWINSZ, &size) < 0)
        return error_set_errno(err, -errno, "resizing the terminal");
    return 0;
}

static int op_processes(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    CLEANUP_FREE pid_t *pids = NULL;
    CLEANUP_CLOSE int root = -EBADF;
    char path[64];
    size_t n = 0;
    int r = need_running(agent, err);

    (void)request;
    if (r < 0 || (r = sandbox_pids(agent->sandbox, &pids, &n, err)) < 0)
        return r;
    (void)snprintf(path, sizeof(path), "/proc/%d/root", (int)agent->first->process.pid);
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); /* without it: ids instead of names */
    return process_list_read(pids, n, root, ret, err);
}

/* First the guest's memory, in both directions: the kernel refuses to give up what is in use, where
 * a cgroup's limit would kill. */
static int update_in_guest(struct agent *agent, const struct spec_resources *resources,
                           int64_t memory, struct error *err)
{
    uint64_t old = 0;
    int r = guest_memory_set(GUEST_MEMORY_FILE, GUEST_MEMORY_INFO, (uint64_t)memory, &old, err);

    if (r < 0)
        return r;
    r = sandbox_update(agent->sandbox, resources, err);
    if (r < 0)
        (void)guest_memory_set(GUEST_MEMORY_FILE, GUEST_MEMORY_INFO, old, NULL, NULL);
    return r;
}

static int op_update(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    struct spec_resources resources = {0};
    json_t *description = NULL;
    int64_t memory = 0;
    int r = need_running(agent, err);

    (void)ret;
    if (r < 0 || (r = json_get_object(request, "resources", &description, err)) < 0 ||
        (r = json_get_i64(request, "memory", &memory, err)) < 0)
        return r;
    r = spec_resources_from_json(description, &resources, err);
    if (r >= 0)
        r = agent->is_guest && memory > 0 ? update_in_guest(agent, &resources, memory, err)
                                          : sandbox_update(agent->sandbox, &resources, err);
    spec_resources_release(&resources);
    return r;
}

static int op_freeze(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    bool frozen = false;
    int r = need_running(agent, err);

    (void)ret;
    if (r < 0 || (r = json_get_bool(request, "frozen", &frozen, err)) < 0)
        return r;
    if (r == 0)
        return error_set_class(err, ERROR_INVALID, "'frozen' is missing");
    return sandbox_freeze(agent->sandbox, frozen, err);
}

static int op_state(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    static const char *const names[] = {"none", "created", "running", "exited", "files", "layer"};
    CLEANUP_JSON json_t *execs = json_array();

    (void)request;
    if (!execs)
        return error_oom(err);
    LIST_FOR_EACH (process, &agent->processes, struct agent_process, node) {
        if (process != agent->first)
            (void)json_array_append_new(execs, json_string(process->exec));
    }
    *ret = json_pack("{s:s,s:i,s:O}", "status", names[agent->state], "pid",
                     agent->first ? (int)agent->first->process.pid : 0, "execs", execs);
    return *ret ? 0 : error_oom(err);
}

static int op_shutdown(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    (void)request;
    (void)ret;
    (void)err;
    if (agent->ops->shutdown)
        agent->ops->shutdown(agent->data);
    return 0;
}

static const struct {
    const char *name;
    int (*serve)(struct agent *agent, json_t *request, json_t **ret, struct error *err);
} ops[] = {
    {"create", op_create},
    {"start", op_start},
    {"exec", op_exec},
    {"signal", op_signal},
    {"resize", op_resize},
    {"processes", op_processes},
    {"update", op_update},
    {"state", op_state},
    {"freeze", op_freeze},
    {"shutdown", op_shutdown},
    {"files", op_files},
    {"stat-path", agent_op_stat_path},
    {"archive-read", agent_op_archive_read},
    {"archive-write", agent_op_archive_write},
    {"changes", agent_op_changes},
    {"proxy", agent_op_proxy},
    {"layer", agent_op_layer},
    {"layer-slot", agent_op_layer_slot},
};

static void handle_request(struct wire_connection *connection, uint64_t id, const char *op,
                           json_t *request, void *data)
{
    struct agent *agent = data;
    struct error error = ERROR_INIT;
    json_t *answer = NULL;
    size_t i = 0;
    int r;

    agent->request = id;
    agent->deferred = false;
    while (i < sizeof(ops) / sizeof(ops[0]) && !string_equal(ops[i].name, op))
        i++;
    if (i < sizeof(ops) / sizeof(ops[0]))
        r = ops[i].serve(agent, request, &answer, &error);
    else
        r = error_set_class(&error, ERROR_NOT_IMPLEMENTED, "unknown operation '%s'", op);
    if (r >= 0 && agent->deferred)
        return;
    if (r >= 0) {
        wire_connection_answer(connection, id, answer);
        return;
    }
    json_decref(answer);
    if (error.code >= 0)
        (void)error_set_errno(&error, r, "%s", op);
    wire_connection_refuse(connection, id, &error);
}

static void handle_closed(struct wire_connection *connection, const struct error *reason,
                          void *data)
{
    struct agent *agent = data;

    (void)connection;
    agent->ops->closed(reason, agent->data);
}

static const struct wire_handler handler = {.request = handle_request, .closed = handle_closed};

int agent_new(struct loop *loop, int fd, bool own, bool is_guest, const struct agent_ops *agent_ops,
              void *data, struct agent **ret, struct error *err)
{
    struct agent *agent = calloc(1, sizeof(*agent));
    int r;

    if (!agent)
        return error_oom(err);
    agent->loop = loop;
    agent->ops = agent_ops;
    agent->data = data;
    agent->is_guest = is_guest;
    agent->drain_timer = (struct loop_source)LOOP_SOURCE_INIT;
    list_init(&agent->processes);
    list_init(&agent->archives);
    r = wire_connection_new(WIRE_SERVER, "hull-agent", "the worker", &handler, agent,
                            &agent->connection, err);
    if (r >= 0)
        r = wire_connection_attach(agent->connection, fd, own, loop, err);
    if (r < 0) {
        agent_free(agent);
        return r;
    }
    *ret = agent;
    return 0;
}

struct agent *agent_free(struct agent *agent)
{
    if (!agent)
        return NULL;
    agent->closing = true;
    loop_remove(&agent->drain_timer);
    agent_archives_free(agent);
    agent_proxies_free(agent);
    agent_layer_free(agent);
    if (agent->sandbox)
        (void)sandbox_destroy(agent->sandbox, NULL);
    /* Whoever waits for this process shall not wait for the host's disk. */
    if (agent->state == AGENT_FILES)
        (void)root_unmount(&agent->root, !agent->is_guest, NULL);
    LIST_FOR_EACH (process, &agent->processes, struct agent_process, node)
        agent_process_free(process);
    agent->connection = wire_connection_free(agent->connection);
    sandbox_free(agent->sandbox);
    spec_runtime_free(agent->config);
    agent_root_release(&agent->root);
    free(agent);
    return NULL;
}

void agent_mark(struct agent *agent, enum trace_mark mark, int64_t when)
{
    agent->trace.at[mark] = when;
}

void agent_reap(struct agent *agent)
{
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        struct agent_process *known = NULL;

        /* Only looks: a child of the agent's own is reaped through its pidfd. */
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        if (agent) {
            LIST_FOR_EACH (process, &agent->processes, struct agent_process, node) {
                if (process->process.pid == info.si_pid && !process->ended)
                    known = process;
            }
        }
        if (known)
            agent_process_reap(known);
        else if (agent && agent_archives_reap(agent, info.si_pid))
            continue;
        else if (waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG) < 0)
            return;
    }
}
