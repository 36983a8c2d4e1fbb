/* Requests that are passed on to the agent, and their streams. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/strings.h"
#include "compute/worker_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { EXECS_MAX = 256, EXEC_ID_MAX = 64, RELAYS = 3 };

/* Joins a channel that receives with one that sends, on two connections. Invariant: what the
 * receiver has granted never passes the sender's credit, so whatever comes can be sent at once. It
 * frees itself when both ends are gone. */
struct relay {
    struct wire_channel *from;
    struct wire_channel *to;
};

struct worker_exec {
    struct list node;
    uint64_t serial;
    char id[EXEC_ID_MAX + 1];
    bool disowned; /* its client was told that it does not run */
};

/* A request on its way; data of its answer. */
struct forward {
    struct worker *worker;
    uint64_t client; /* serial */
    uint64_t id;
    uint64_t exec;            /* serial; 0: another request */
    uint64_t freeze;          /* serial; 0: another request */
    bool frozen;              /* what `freeze` asked for */
    bool expired;             /* the client was told that there was no answer */
    struct loop_source timer; /* a guest's time to answer */
};

/* --- relays --- */

static void relay_settle(struct relay *relay)
{
    if (!relay->from && !relay->to)
        free(relay);
}

static void relay_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct relay *relay = data;

    (void)channel;
    (void)wire_channel_send(relay->to, bytes, length);
}

static void relay_end(struct wire_channel *channel, void *data)
{
    struct relay *relay = data;

    (void)channel;
    relay->from = NULL;
    relay->to = wire_channel_end(relay->to);
    relay_settle(relay);
}

static void relay_from_reset(struct wire_channel *channel, void *data)
{
    struct relay *relay = data;

    (void)channel;
    relay->from = NULL;
    relay->to = wire_channel_reset(relay->to);
    relay_settle(relay);
}

static void relay_to_reset(struct wire_channel *channel, void *data)
{
    struct relay *relay = data;

    (void)channel;
    relay->to = NULL;
    relay->from = wire_channel_reset(relay->from);
    relay_settle(relay);
}

static void relay_writable(struct wire_channel *channel, void *data)
{
    struct relay *relay = data;

    (void)channel;
    if (relay->from) {
        size_t granted = wire_channel_granted(relay->from);
        size_t credit = wire_channel_credit(relay->to);

        if (credit > granted)
            wire_channel_grant(relay->from, credit - granted);
    }
}

static const struct wire_channel_handler from_handler = {
    .data = relay_data,
    .end = relay_end,
    .reset = relay_from_reset,
};
static const struct wire_channel_handler to_handler = {
    .writable = relay_writable,
    .reset = relay_to_reset,
};

/* Joins a client's channel with an agent's; in_wards: from client to agent. */
static int relay_open(struct worker *worker, struct worker_client *client, uint32_t client_id,
                      uint32_t agent_id, bool inwards, struct error *err)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    struct wire_connection *source = inwards ? client->connection : worker->link;
    struct wire_connection *sink = inwards ? worker->link : client->connection;
    int r;

    if (!relay)
        return error_oom(err);
    r = wire_channel_open(source, inwards ? client_id : agent_id, WIRE_RECEIVE, &from_handler,
                          relay, &relay->from, err);
    if (r >= 0)
        r = wire_channel_open(sink, inwards ? agent_id : client_id, WIRE_SEND, &to_handler, relay,
                              &relay->to, err);
    if (r < 0) {
        relay->from = wire_channel_reset(relay->from);
        free(relay);
    }
    return r;
}

/* --- execs --- */

static struct worker_exec *exec_find(const struct worker *worker, const char *id)
{
    LIST_FOR_EACH (exec, &worker->execs, struct worker_exec, node) {
        if (string_equal(exec->id, id))
            return exec;
    }
    return NULL;
}

static void exec_free(struct worker *worker, struct worker_exec *exec)
{
    list_remove(&exec->node);
    worker->n_execs--;
    free(exec);
}

int worker_exec_ended(struct worker *worker, const char *id)
{
    struct worker_exec *exec = exec_find(worker, id);

    if (!exec)
        return -ENOENT;
    int r = exec->disowned ? 0 : 1;
    exec_free(worker, exec);
    return r;
}

json_t *worker_exec_ids(const struct worker *worker)
{
    json_t *ids = json_array();

    LIST_FOR_EACH (exec, &worker->execs, struct worker_exec, node)
        (void)json_array_append_new(ids, json_string(exec->id));
    return ids;
}

void worker_execs_free(struct worker *worker)
{
    LIST_FOR_EACH (exec, &worker->execs, struct worker_exec, node)
        exec_free(worker, exec);
}

static int exec_add(struct worker *worker, const json_t *request, uint64_t *ret, struct error *err)
{
    const char *id = NULL;
    int r = json_need_string(request, "exec", &id, err);

    if (r < 0)
        return r;
    if (string_is_empty(id) || strlen(id) > EXEC_ID_MAX)
        return error_set_class(err, ERROR_INVALID, "'exec' is not an id");
    if (exec_find(worker, id))
        return error_set_class(err, ERROR_CONFLICT, "exec %s runs already", id);
    if (worker->n_execs >= EXECS_MAX)
        return error_set_class(err, ERROR_UNAVAILABLE, "%d execs run in the container already",
                               EXECS_MAX);
    struct worker_exec *exec = calloc(1, sizeof(*exec));
    if (!exec)
        return error_oom(err);
    (void)string_copy(exec->id, sizeof(exec->id), id);
    exec->serial = ++worker->last_serial;
    list_append(&worker->execs, &exec->node);
    worker->n_execs++;
    *ret = exec->serial;
    return 0;
}

/* --- forwarding --- */

unsigned worker_patience(const struct worker *worker, unsigned ms)
{
    return worker->job->engine == VM_ENGINE_TCG ? WORKER_TCG_FACTOR * ms : ms;
}

static void ignore_answer(struct wire_connection *connection, json_t *ok, const struct error *error,
                          void *data)
{
    (void)connection;
    (void)ok;
    (void)error;
    (void)data;
}

/* NULL: it has ended. */
static struct worker_exec *exec_of(const struct forward *forward)
{
    LIST_FOR_EACH (exec, &forward->worker->execs, struct worker_exec, node) {
        if (forward->exec && exec->serial == forward->exec)
            return exec;
    }
    return NULL;
}

/* The guest has done, late, what its client was told had failed. */
static void undo(struct forward *forward, struct wire_connection *connection)
{
    struct worker *worker = forward->worker;
    struct worker_exec *exec = exec_of(forward);

    if (exec) {
        worker_note(worker, "exec %s started too late and is killed", exec->id);
        (void)wire_connection_request(connection, "signal",
                                      json_pack("{s:s,s:i}", "exec", exec->id, "signal", SIGKILL),
                                      ignore_answer, worker, NULL);
    }
    /* Unless somebody has asked for either since. */
    if (!forward->freeze || forward->freeze != worker->last_freeze)
        return;
    worker_note(worker, "the container was %s too late, which is undone",
                forward->frozen ? "frozen" : "thawed");
    (void)wire_connection_request(connection, "freeze",
                                  json_pack("{s:b}", "frozen", !forward->frozen), ignore_answer,
                                  worker, NULL);
}

/* The client is told; if the guest obeys yet, that is undone. */
static void forward_expired(struct loop_source *source, uint32_t events)
{
    struct forward *forward = source->data;
    struct worker_client *client = worker_client_find(forward->worker, forward->client);
    struct worker_exec *exec = exec_of(forward);
    struct error error = ERROR_INIT;

    (void)events;
    loop_remove(source);
    forward->client = 0;
    forward->expired = true;
    if (exec)
        exec->disowned = true;
    (void)error_set(&error, -ETIMEDOUT, WORKER_NO_ANSWER);
    if (client)
        wire_connection_refuse(client->connection, forward->id, &error);
}

/* What is done with the request of its streams takes its time; but those are watched by its client.
 */
static void limit_forward(struct forward *forward, const char *op, const json_t *request)
{
    struct worker *worker = forward->worker;
    bool signal = string_equal(op, "signal");
    unsigned ms = worker_patience(worker, signal ? WORKER_SIGNAL_MS : WORKER_ANSWER_MS);
    unsigned stall = worker->stall_timer.loop ? WORKER_STALL_MS : 0; /* its output holds it up */

    if (!worker->vm || string_starts_with(op, "archive-") || string_equal(op, "changes"))
        return;
    if (loop_add_timer(worker->loop, &forward->timer, forward_expired, forward) >= 0)
        (void)loop_timer_set(&forward->timer, ms);
    if (signal && json_integer_value(json_object_get(request, "signal")) == SIGKILL &&
        string_is_empty(json_string_value(json_object_get(request, "exec"))))
        worker_set_deadline(worker, WORKER_DEADLINE_KILL, ms + stall);
}

/* It may have ended already, if the guest is to be believed. */
static void exec_refused(struct worker *worker, uint64_t serial)
{
    LIST_FOR_EACH (exec, &worker->execs, struct worker_exec, node) {
        if (serial && exec->serial == serial)
            exec_free(worker, exec);
    }
}

static void forward_answered(struct wire_connection *connection, json_t *ok,
                             const struct error *error, void *data)
{
    struct forward *forward = data;
    struct worker_client *client = worker_client_find(forward->worker, forward->client);

    loop_remove(&forward->timer);
    if (error)
        exec_refused(forward->worker, forward->exec);
    else if (forward->expired)
        undo(forward, connection);
    if (client && error)
        wire_connection_refuse(client->connection, forward->id, error);
    else if (client)
        wire_connection_answer(client->connection, forward->id, json_incref(ok));
    free(forward);
}

static const char *const stream_names[RELAYS] = {"stdin", "stdout", "stderr"};

/* Numbers the streams anew for the agent's connection. */
static int renumber(struct worker *worker, json_t *message, uint32_t client_ids[RELAYS],
                    uint32_t agent_ids[RELAYS], struct error *err)
{
    json_t *streams = NULL;
    json_t *renumbered = json_object();
    uint32_t next = wire_connection_next_channel(worker->link);
    int r = json_get_object(message, "streams", &streams, err);

    for (int i = 0; i < RELAYS && r >= 0; i++) {
        int id = 0;

        r = streams ? json_get_int(streams, stream_names[i], 0, INT32_MAX, &id, err) : 0;
        client_ids[i] = (uint32_t)id;
        agent_ids[i] = 0;
        if (r < 0 || id == 0)
            continue;
        agent_ids[i] = next;
        next += 2;
        if (json_put_i64(renumbered, stream_names[i], agent_ids[i]) < 0)
            r = error_oom(err);
    }
    if (r < 0) {
        json_decref(renumbered);
        return r;
    }
    return json_put(message, "streams", renumbered) < 0 ? error_oom(err) : 0;
}

static int send_forward(struct worker_client *client, struct forward *forward, const char *op,
                        json_t *message, struct error *err)
{
    struct worker *worker = client->worker;
    uint32_t client_ids[RELAYS];
    uint32_t agent_ids[RELAYS];
    int r;

    if (string_equal(op, "freeze")) {
        forward->freeze = worker->last_freeze = ++worker->last_serial;
        forward->frozen = json_is_true(json_object_get(message, "frozen"));
    }
    if (!json_object_get(message, "streams") && !string_equal(op, "exec"))
        return wire_connection_request(worker->link, op, json_incref(message), forward_answered,
                                       forward, err);
    if (string_equal(op, "exec") && (r = exec_add(worker, message, &forward->exec, err)) < 0)
        return r;
    r = renumber(worker, message, client_ids, agent_ids, err);
    if (r >= 0)
        r = wire_connection_request(worker->link, op, json_incref(message), forward_answered,
                                    forward, err);
    if (r < 0) {
        exec_refused(worker, forward->exec);
        return r;
    }
    for (int i = 0; i < RELAYS; i++) {
        /* A stream that cannot be joined is one less; the agent is told, the client sees it end. */
        if (client_ids[i] &&
            relay_open(worker, client, client_ids[i], agent_ids[i], i == 0, err) < 0)
            worker_note(worker, "%s lacks %s: %s", op, stream_names[i], err->message);
    }
    return 0;
}

void worker_forward(struct worker_client *client, uint64_t id, const char *op, json_t *request)
{
    CLEANUP_JSON json_t *message = json_copy(request);
    struct error error = ERROR_INIT;
    struct forward *forward = calloc(1, sizeof(*forward));

    if (!message || !forward || !client->worker->link) {
        free(forward);
        (void)error_set_class(&error, ERROR_CONFLICT, "the container is not running");
        wire_connection_refuse(client->connection, id, &error);
        return;
    }
    *forward = (struct forward){
        .worker = client->worker, .client = client->serial, .id = id, .timer = LOOP_SOURCE_INIT};
    if (send_forward(client, forward, op, message, &error) >= 0) {
        limit_forward(forward, op, request);
        return;
    }
    free(forward);
    wire_connection_refuse(client->connection, id, &error);
}
