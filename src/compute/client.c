#include "compute/client.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/client_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    HANDSHAKE_MS = 10 * 1000,
    CALL_MS = 180 * 1000, /* above all time limits of the worker */
    EVENTS_MAX = 1024,    /* a client that takes none loses the oldest */
};

static void handle_event(struct wire_connection *connection, const char *name, json_t *event,
                         void *data)
{
    struct compute_client *client = data;

    (void)connection;
    (void)name;
    if (json_array_size(client->events) >= EVENTS_MAX)
        (void)json_array_remove(client->events, 0);
    (void)json_array_append(client->events, event);
}

static const struct wire_handler handler = {.event = handle_event};

static void client_cleanup(struct compute_client **client)
{
    *client = compute_client_free(*client);
}

int compute_client_connect(const char *runtime_dir, struct compute_client **ret, struct error *err)
{
    CLEANUP(client_cleanup) struct compute_client *client = calloc(1, sizeof(*client));
    CLEANUP_FREE char *path = path_join(runtime_dir, "worker.sock");

    if (!client || !path || !(client->events = json_array()))
        return error_oom(err);
    for (int i = 0; i < CLIENT_OUTPUTS; i++)
        client->outputs[i].client = client;
    CLEANUP_CLOSE int fd = fd_connect_unix(path, err);
    if (fd == -ENOENT || fd == -ECONNREFUSED)
        return error_classify(err, fd, ERROR_NOT_FOUND);
    if (fd < 0)
        return fd;
    int r = wire_connection_new(WIRE_CLIENT, "hull-client", "the worker", &handler, client,
                                &client->connection, err);
    if (r >= 0)
        r = wire_connection_attach(client->connection, fd, true, NULL, err);
    if (r < 0)
        return r;
    (void)TAKE_FD(fd);
    while (!wire_connection_is_ready(client->connection)) {
        r = wire_connection_wait(client->connection, HANDSHAKE_MS, err);
        if (r == 0)
            r = error_set(err, -ETIMEDOUT, "the worker at %s does not answer", path);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(client);
    return 0;
}

struct compute_client *compute_client_free(struct compute_client *client)
{
    if (!client)
        return NULL;
    /* What was said last, such as the end of stdin, shall arrive. */
    if (client->connection && !wire_connection_is_closed(client->connection))
        (void)wire_connection_flush(client->connection, 0, NULL);
    client->connection = wire_connection_free(client->connection);
    wire_queue_release(&client->output);
    json_decref(client->answer);
    json_decref(client->events);
    free(client);
    return NULL;
}

int compute_client_fd(const struct compute_client *client)
{
    return wire_connection_fd(client->connection);
}

void compute_client_on_exit(struct compute_client *client, compute_exit_handler *on_exit,
                            void *data)
{
    client->on_exit = on_exit;
    client->on_exit_data = data;
}

/* --- calls --- */

static void handle_answer(struct wire_connection *connection, json_t *ok, const struct error *error,
                          void *data)
{
    struct compute_client *client = data;

    (void)connection;
    client->answered = true;
    client->answer = json_incref(ok);
    if (error)
        client->failure = *error;
}

int client_begin_call(struct compute_client *client, const char *op, json_t *arguments,
                      struct error *err)
{
    client->answered = false;
    json_decref(client->answer);
    client->answer = NULL;
    error_clear(&client->failure);
    return wire_connection_request(client->connection, op, arguments, handle_answer, client, err);
}

int client_end_call(struct compute_client *client, const char *op, json_t **ret, struct error *err)
{
    while (!client->answered) {
        int r =
            wire_connection_wait(client->connection, string_equal(op, "wait") ? -1 : CALL_MS, err);
        if (r == 0) {
            wire_connection_violation(client->connection, "no answer to '%s'", op);
            r = error_set(err, -ETIMEDOUT, "the worker did not answer '%s'", op);
        }
        if (r < 0 && !client->answered)
            return r;
    }
    if (client->failure.code < 0)
        return error_copy(err, &client->failure);
    if (err)
        error_clear(err); /* the connection may have ended right after the answer */
    if (ret)
        *ret = TAKE_PTR(client->answer);
    return 0;
}

int compute_client_call(struct compute_client *client, const char *op, json_t *arguments,
                        json_t **ret, struct error *err)
{
    int r = client_begin_call(client, op, arguments, err);

    return r < 0 ? r : client_end_call(client, op, ret, err);
}

/* --- events --- */

int compute_client_wait_event(struct compute_client *client, int timeout_ms, json_t **ret,
                              struct error *err)
{
    int64_t deadline = timestamp_monotonic() / 1000000 + timeout_ms;

    while (json_array_size(client->events) == 0) {
        int64_t left = timeout_ms < 0 ? -1 : deadline - timestamp_monotonic() / 1000000;
        int r;

        if (timeout_ms >= 0 && left < 0)
            left = 0;
        r = wire_connection_wait(client->connection, (int)left, err);
        if (json_array_size(client->events) > 0)
            break;
        if (r < 0)
            return error_set(err, -EPIPE, "the worker has gone");
        if (r == 0 && timeout_ms >= 0 && timestamp_monotonic() / 1000000 >= deadline)
            return error_set(err, -ETIMEDOUT, "no event came");
    }
    if (err)
        error_clear(err);
    *ret = json_incref(json_array_get(client->events, 0));
    (void)json_array_remove(client->events, 0);
    return 1;
}

int compute_client_next_event(struct compute_client *client, json_t **ret, struct error *err)
{
    int r = compute_client_wait_event(client, 0, ret, err);

    if (r != -ETIMEDOUT)
        return r;
    if (err)
        error_clear(err);
    return 0;
}

/* --- thin forms --- */

static int call_json(struct compute_client *client, const char *op, json_t *arguments,
                     struct error *err)
{
    return arguments ? compute_client_call(client, op, arguments, NULL, err) : error_oom(err);
}

int compute_client_start_heeding(struct compute_client *client, pid_t *ret_pid, char **ret_notice,
                                 struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    int r = compute_client_call(client, "start", NULL, &answer, err);
    const char *notice = json_string_value(json_object_get(answer, "notice"));

    if (r < 0)
        return r;
    if (ret_notice && notice && string_replace(ret_notice, notice) < 0)
        return error_oom(err);
    if (ret_pid)
        *ret_pid = (pid_t)json_integer_value(json_object_get(answer, "pid"));
    return r;
}

int compute_client_start(struct compute_client *client, pid_t *ret_pid, struct error *err)
{
    return compute_client_start_heeding(client, ret_pid, NULL, err);
}

int compute_client_signal(struct compute_client *client, const char *exec_id, int signal, bool all,
                          struct error *err)
{
    return call_json(
        client, "signal",
        json_pack("{s:s,s:i,s:b}", "exec", string_or(exec_id, ""), "signal", signal, "all", all),
        err);
}

int compute_client_resize(struct compute_client *client, const char *exec_id, int width, int height,
                          struct error *err)
{
    return call_json(client, "resize",
                     json_pack("{s:s,s:i,s:i}", "exec", string_or(exec_id, ""), "width", width,
                               "height", height),
                     err);
}

int compute_client_kill(struct compute_client *client, struct error *err)
{
    return compute_client_call(client, "kill", NULL, NULL, err);
}

/* --- attach and exec --- */

/* Numbers for the wanted streams, as the member "streams". */
static json_t *plan_streams(struct compute_client *client, const struct compute_streams *streams,
                            bool terminal, uint32_t ids[3])
{
    static const char *const names[] = {"stdin", "stdout", "stderr"};
    const bool wanted[] = {streams->in, streams->out, streams->err && !terminal};
    uint32_t next = wire_connection_next_channel(client->connection);
    json_t *plan = json_object();

    for (int i = 0; i < 3; i++) {
        ids[i] = 0;
        if (!wanted[i])
            continue;
        ids[i] = next;
        next += 2;
        if (json_put_i64(plan, names[i], ids[i]) < 0) {
            json_decref(plan);
            return NULL;
        }
    }
    return plan;
}

static int open_streams(struct compute_client *client, const uint32_t ids[3], struct error *err)
{
    int r = 0;

    if (ids[0])
        r = wire_channel_open(client->connection, ids[0], WIRE_SEND, &client_input_handler, client,
                              &client->input, err);
    for (int i = 0; i < CLIENT_OUTPUTS && r >= 0; i++) {
        if (!ids[i + 1])
            continue;
        client->has_outputs = true;
        r = wire_channel_open(client->connection, ids[i + 1], WIRE_RECEIVE, &client_output_handler,
                              &client->outputs[i], &client->outputs[i].channel, err);
    }
    return r;
}

/* A request with streams; `arguments` is consumed. */
static int call_with_streams(struct compute_client *client, const char *op, json_t *arguments,
                             const struct compute_streams *streams, bool terminal, json_t **ret,
                             struct error *err)
{
    uint32_t ids[3];
    int r;

    if (!arguments)
        return error_oom(err);
    if (client->input || client->has_outputs) {
        json_decref(arguments);
        return error_set_class(err, ERROR_CONFLICT, "this connection has streams already");
    }
    r = detach_keys_parse(streams->detach_keys, &client->keys, err);
    if (r >= 0 && json_put(arguments, "streams", plan_streams(client, streams, terminal, ids)) < 0)
        r = error_oom(err);
    if (r < 0) {
        json_decref(arguments);
        return r;
    }
    /* First the request, then the channels: so the worker knows them when credit arrives. */
    r = client_begin_call(client, op, arguments, err);
    if (r >= 0)
        r = open_streams(client, ids, err);
    return r < 0 ? r : client_end_call(client, op, ret, err);
}

int compute_client_attach(struct compute_client *client, const struct compute_streams *streams,
                          bool *ret_terminal, struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    int r = call_with_streams(client, "attach", json_object(), streams, false, &answer, err);

    if (r < 0)
        return r;
    client->terminal = json_is_true(json_object_get(answer, "terminal"));
    if (ret_terminal)
        *ret_terminal = client->terminal;
    return 0;
}

int compute_client_exec(struct compute_client *client, const char *exec_id, json_t *process,
                        const struct compute_streams *streams, pid_t *ret_pid, struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    bool terminal = json_is_true(json_object_get(process, "terminal"));
    int r = call_with_streams(client, "exec",
                              json_pack("{s:s,s:o}", "exec", exec_id, "process", process), streams,
                              terminal, &answer, err);
    if (r < 0)
        return r;
    client->terminal = terminal;
    string_copy(client->exec_id, sizeof(client->exec_id), exec_id);
    if (ret_pid)
        *ret_pid = (pid_t)json_integer_value(json_object_get(answer, "pid"));
    return 0;
}
