/* The worker's clients: the socket, connections, requests. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/worker_internal.h"
#include "vm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct worker_client *worker_client_find(struct worker *worker, uint64_t serial)
{
    LIST_FOR_EACH (client, &worker->clients, struct worker_client, node) {
        if (client->serial == serial)
            return client;
    }
    return NULL;
}

static void client_free(struct worker_client *client)
{
    struct worker *worker = client->worker;

    worker_detach(client);
    client->connection = wire_connection_free(client->connection);
    list_remove(&client->node);
    worker->n_clients--;
    free(client);
    worker_await_client(worker);
}

void worker_clients_free(struct worker *worker)
{
    LIST_FOR_EACH (client, &worker->clients, struct worker_client, node)
        client_free(client);
}

/* --- requests --- */

static int op_start(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                    struct error *err)
{
    struct worker *worker = client->worker;
    struct error failure = ERROR_INIT;

    (void)request;
    (void)ret;
    if (worker->status != WORKER_IDLE)
        return error_set_class(err, ERROR_CONFLICT, "the container is %s already",
                               worker_status_name(worker));
    worker->status = WORKER_STARTING;
    trace_now(&worker->trace, TRACE_REQUEST);
    worker->starter = client->serial;
    worker->start_id = id;
    worker_set_deadline(worker, WORKER_NO_DEADLINE, 0);
    if (worker_place(worker, &failure) < 0)
        worker_start_failed(worker, &failure);
    return 1;
}

static int op_boot(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                   struct error *err)
{
    (void)request;
    (void)ret;
    int r = worker_pool_boot(client, id, err);
    return r < 0 ? r : 1;
}

static int op_adopt(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                    struct error *err)
{
    (void)id;
    (void)ret;
    return worker_pool_adopt(client, request, err);
}

static int op_drop(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                   struct error *err)
{
    (void)id;
    (void)request;
    (void)ret;
    (void)err;
    if (client->worker->status == WORKER_IDLE)
        worker_pool_drop(client->worker);
    return 0;
}

/* The container will be started again after all. */
static int op_keep(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                   struct error *err)
{
    (void)id;
    (void)request;
    (void)ret;
    if (client->worker->discarded)
        return error_set_class(err, ERROR_CONFLICT, "it has ended, and its files with it");
    client->worker->job->discard = false;
    return 0;
}

static int op_attach(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                     struct error *err)
{
    (void)id;
    int r = worker_attach(client, request, err);
    if (r < 0)
        return r;
    *ret = json_pack("{s:b}", "terminal", client->worker->job->terminal);
    return *ret ? 0 : error_oom(err);
}

static int op_state(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                    struct error *err)
{
    const struct worker *worker = client->worker;
    CLEANUP_JSON json_t *state = json_pack(
        "{s:s,s:s,s:i,s:I,s:i,s:i,s:s,s:o}", "status", worker_status_name(worker), "isolation",
        compute_isolation_to_string(worker->job->isolation), "pid", (int)worker->pid, "started",
        (json_int_t)worker->record.started, "worker_pid", (int)getpid(), "vmm_pid",
        worker->vm ? (int)vm_pid(worker->vm) : 0, "engine",
        worker->job->isolation == COMPUTE_HYPERV ? vm_engine_to_string(worker->job->engine) : "",
        "execs", worker_exec_ids(worker));

    (void)id;
    (void)request;
    if (!state ||
        (worker->status == WORKER_EXITED && json_put(state, "exit", worker_exit_event(worker)) < 0))
        return error_oom(err);
    *ret = TAKE_PTR(state);
    return 0;
}

static int op_wait(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                   struct error *err)
{
    (void)request;
    if (client->worker->status == WORKER_EXITED) {
        *ret = worker_exit_event(client->worker);
        return *ret ? 0 : error_oom(err);
    }
    if (client->wait_id)
        return error_set_class(err, ERROR_CONFLICT, "this connection waits already");
    client->wait_id = id;
    return 1;
}

static int op_kill(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                   struct error *err)
{
    (void)request;
    (void)ret;
    (void)err;
    wire_connection_answer(client->connection, id, NULL);
    worker_kill(client->worker, "killed");
    return 1;
}

static int op_forward(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                      struct error *err)
{
    (void)ret;
    if (client->worker->status != WORKER_RUNNING)
        return error_set_class(err, ERROR_CONFLICT, "the container is not running");
    worker_forward(client, id, json_string_value(json_object_get(request, "op")), request);
    return 1;
}

static int op_update(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                     struct error *err)
{
    if (client->worker->job->isolation == COMPUTE_PROCESS)
        return op_forward(client, id, request, ret, err);
    if (client->worker->status != WORKER_RUNNING)
        return error_set_class(err, ERROR_CONFLICT, "the container is not running");
    return worker_update_vm(client, id, request, err);
}

/* serve: 0: *ret is the answer (NULL: an empty one), 1: it is answered elsewhere or later. */
static const struct {
    const char *name;
    int (*serve)(struct worker_client *client, uint64_t id, json_t *request, json_t **ret,
                 struct error *err);
    bool pooled; /* also while the worker has no container */
} ops[] = {
    {"boot", op_boot, true},
    {"drop", op_drop, false},
    {"adopt", op_adopt, true},
    {"keep", op_keep, false},
    {"start", op_start, false},
    {"attach", op_attach, false},
    {"state", op_state, true},
    {"wait", op_wait, false},
    {"kill", op_kill, true},
    {"exec", op_forward, false},
    {"signal", op_forward, false},
    {"resize", op_forward, false},
    {"processes", op_forward, false},
    {"update", op_update, false},
    {"freeze", op_forward, false},
    {"stat-path", op_forward, false},
    {"archive-read", op_forward, false},
    {"archive-write", op_forward, false},
    {"changes", op_forward, false},
};

static void handle_request(struct wire_connection *connection, uint64_t id, const char *op,
                           json_t *request, void *data)
{
    struct worker_client *client = data;
    struct error error = ERROR_INIT;
    json_t *answer = NULL;
    size_t i = 0;
    int r;

    while (i < sizeof(ops) / sizeof(ops[0]) && !string_equal(ops[i].name, op))
        i++;
    if (i < sizeof(ops) / sizeof(ops[0]) && client->worker->status < WORKER_IDLE && !ops[i].pooled)
        r = error_set_class(&error, ERROR_CONFLICT, "there is no container yet");
    else if (i < sizeof(ops) / sizeof(ops[0]))
        r = ops[i].serve(client, id, request, &answer, &error);
    else
        r = error_set_class(&error, ERROR_NOT_IMPLEMENTED, "unknown operation '%s'", op);
    if (r == 0)
        wire_connection_answer(connection, id, answer);
    else if (r < 0)
        wire_connection_refuse(connection, id, &error);
}

static void handle_closed(struct wire_connection *connection, const struct error *reason,
                          void *data)
{
    struct worker_client *client = data;

    (void)connection;
    if (reason->code != -ECONNRESET)
        worker_note(client->worker, "client dropped: %s", reason->message);
    client_free(client);
}

static const struct wire_handler handler = {.request = handle_request, .closed = handle_closed};

/* --- the socket --- */

static int add_client(struct worker *worker, int fd, struct error *err)
{
    struct worker_client *client = calloc(1, sizeof(*client));
    int r;

    if (!client)
        return error_oom(err);
    r = wire_connection_new(WIRE_SERVER, "hull-worker", "the client", &handler, client,
                            &client->connection, err);
    if (r >= 0)
        r = wire_connection_attach(client->connection, fd, true, worker->loop, err);
    if (r < 0) {
        wire_connection_free(client->connection);
        free(client);
        return r;
    }
    client->worker = worker;
    client->serial = ++worker->last_serial;
    list_append(&worker->clients, &client->node);
    worker->n_clients++;
    if (worker->deadline == WORKER_DEADLINE_IDLE)
        worker_set_deadline(worker, WORKER_NO_DEADLINE, 0);
    return 0;
}

static void accept_client(struct loop_source *source, uint32_t events)
{
    struct worker *worker = source->data;
    struct error error = ERROR_INIT;
    uid_t uid;

    (void)events;
    CLEANUP_CLOSE int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    /* The socket's mode says the same; it could be in a directory that somebody opened up. */
    if (fd_peer_credentials(fd, NULL, &uid, NULL) < 0 || (uid != 0 && uid != geteuid()))
        return;
    if (worker->n_clients >= WORKER_CLIENTS_MAX) {
        worker_note(worker, "a client was refused: %d are connected", WORKER_CLIENTS_MAX);
        return;
    }
    if (add_client(worker, fd, &error) < 0)
        worker_note(worker, "a client was refused: %s", error.message);
    else
        (void)TAKE_FD(fd);
}

int worker_listen(struct worker *worker, struct error *err)
{
    CLEANUP_FREE char *path = path_join(worker->job->runtime_dir, "worker.sock");

    if (!path)
        return error_oom(err);
    CLEANUP_CLOSE int fd = fd_listen_unix(path, 0600, err);
    if (fd < 0)
        return fd;
    int r = fd_set_nonblocking(fd, true);
    if (r >= 0)
        r = loop_add(worker->loop, &worker->listener, fd, EPOLLIN, accept_client, worker);
    if (r < 0)
        return error_set_errno(err, r, "watching %s", path);
    (void)TAKE_FD(fd);
    worker->listening = true;
    return 0;
}

void worker_stop_listening(struct worker *worker)
{
    CLEANUP_FREE char *path = path_join(worker->job->runtime_dir, "worker.sock");
    int fd = worker->listener.fd;

    if (!worker->listener.loop)
        return;
    loop_remove(&worker->listener);
    (void)fd_close(fd);
    if (path)
        (void)unlink(path);
}

/* --- events --- */

void worker_broadcast(struct worker *worker, const char *name, json_t *members)
{
    CLEANUP_JSON json_t *event = members;

    LIST_FOR_EACH (client, &worker->clients, struct worker_client, node) {
        if (event)
            (void)wire_connection_event(client->connection, name, json_copy(event));
    }
}

json_t *worker_exit_event(const struct worker *worker)
{
    const struct exit_record *record = &worker->record;
    json_t *event = json_pack("{s:s,s:i,s:b,s:I,s:I}", "exec", "", "code", record->code, "oom",
                              record->oom_killed, "started", (json_int_t)record->started, "time",
                              (json_int_t)record->finished);

    if (event)
        (void)json_put_string(event, "reason", record->reason);
    return event;
}

bool worker_clients_drained(const struct worker *worker)
{
    LIST_FOR_EACH (client, &worker->clients, struct worker_client, node) {
        if (wire_connection_queued(client->connection) > 0)
            return false;
    }
    return true;
}
