/* The container's own streams: from the agent to log and clients, and from clients to the agent. */
#include "base/cleanup.h"
#include "base/json.h"
#include "compute/worker_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { STDIN_WINDOW = 64 * 1024 }; /* of each attached client */

/* One client's copy of one output stream. */
struct copy {
    struct worker_attachment *attachment;
    enum log_stream stream;
    struct wire_channel *channel;
    struct wire_queue backlog; /* what the client has no credit for yet; at most one window */
};

struct worker_attachment {
    struct list node;
    struct worker *worker;
    struct worker_client *client; /* NULL: gone, its input is still on the way */
    struct copy copies[LOG_STREAM_MAX];
    struct wire_channel *input;
    struct wire_queue pending; /* input that the agent has not taken */
    bool has_input;            /* it asked for stdin */
    bool input_ended;
};

/* --- output --- */

static bool stream_is_held(const struct worker *worker, enum log_stream stream)
{
    LIST_FOR_EACH (attachment, &worker->attachments, struct worker_attachment, node) {
        if (attachment->copies[stream].backlog.length > 0)
            return true;
    }
    return false;
}

/* Gives credit back once nobody has a backlog. */
static void settle_credit(struct worker *worker, enum log_stream stream)
{
    struct worker_output *output = &worker->output[stream];

    if (!output->channel || output->owed == 0 || stream_is_held(worker, stream))
        return;
    wire_channel_grant(output->channel, output->owed);
    output->owed = 0;
}

static void copy_drop(struct copy *copy)
{
    wire_queue_release(&copy->backlog);
    copy->channel = NULL;
}

static void copy_flush(struct copy *copy)
{
    struct worker *worker = copy->attachment->worker;

    while (copy->channel && copy->backlog.length > 0) {
        size_t credit = wire_channel_credit(copy->channel);
        size_t n;
        const void *bytes = wire_queue_peek(&copy->backlog, &n);

        if (credit == 0)
            return;
        if (n > credit)
            n = credit;
        if (wire_channel_send(copy->channel, bytes, n) < 0)
            return;
        wire_queue_consume(&copy->backlog, n);
    }
    if (worker->output[copy->stream].ended)
        copy->channel = wire_channel_end(copy->channel);
}

static void copy_add(struct copy *copy, const uint8_t *bytes, size_t length)
{
    size_t n = copy->backlog.length > 0 ? 0 : wire_channel_credit(copy->channel);

    if (n > length)
        n = length;
    if (n > 0 && wire_channel_send(copy->channel, bytes, n) < 0)
        return; /* the connection is ending; reset() follows */
    if (wire_queue_append(&copy->backlog, bytes + n, length - n) < 0) {
        worker_note(copy->attachment->worker, "out of memory: a client loses its output");
        (void)wire_channel_reset(copy->channel);
        copy_drop(copy);
    }
}

static void copy_writable(struct wire_channel *channel, void *data)
{
    struct copy *copy = data;

    (void)channel;
    copy_flush(copy);
    settle_credit(copy->attachment->worker, copy->stream);
}

static void copy_reset(struct wire_channel *channel, void *data)
{
    struct copy *copy = data;

    (void)channel;
    copy_drop(copy);
    settle_credit(copy->attachment->worker, copy->stream);
}

static const struct wire_channel_handler copy_handler = {
    .writable = copy_writable,
    .reset = copy_reset,
};

static void output_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct worker_output *output = data;
    struct worker *worker = output->worker;
    enum log_stream stream = (enum log_stream)(output - worker->output);

    (void)channel;
    log_file_write(&worker->log, stream, bytes, length);
    LIST_FOR_EACH (attachment, &worker->attachments, struct worker_attachment, node) {
        if (attachment->copies[stream].channel)
            copy_add(&attachment->copies[stream], bytes, length);
    }
    output->owed += length;
    settle_credit(worker, stream);
}

static void output_over(struct worker *worker, enum log_stream stream)
{
    worker->output[stream].ended = true;
    LIST_FOR_EACH (attachment, &worker->attachments, struct worker_attachment, node)
        copy_flush(&attachment->copies[stream]);
}

static void output_end(struct wire_channel *channel, void *data)
{
    struct worker_output *output = data;

    (void)channel;
    output->channel = NULL;
    output_over(output->worker, (enum log_stream)(output - output->worker->output));
}

static const struct wire_channel_handler output_handler = {
    .data = output_data,
    .end = output_end,
    .reset = output_end,
};

/* --- input --- */

static void attachment_settle(struct worker_attachment *attachment);

static void close_input(struct worker *worker)
{
    worker->input_closed = true;
    worker->input = wire_channel_end(worker->input);
}

/* Passes pending input on as far as the agent takes it. */
static void pump_input(struct worker *worker)
{
    LIST_FOR_EACH (attachment, &worker->attachments, struct worker_attachment, node) {
        while (attachment->pending.length > 0) {
            size_t n;
            const void *bytes = wire_queue_peek(&attachment->pending, &n);

            if (!worker->input_closed) {
                size_t credit = worker->input ? wire_channel_credit(worker->input) : 0;

                if (credit == 0)
                    return;
                if (n > credit)
                    n = credit;
                if (wire_channel_send(worker->input, bytes, n) < 0)
                    return;
            }
            wire_queue_consume(&attachment->pending, n);
            if (attachment->input)
                wire_channel_grant(attachment->input, n);
        }
        attachment_settle(attachment);
    }
}

static void input_writable(struct wire_channel *channel, void *data)
{
    (void)channel;
    pump_input(data);
}

/* The program closed its stdin: what still comes is thrown away. */
static void input_reset(struct wire_channel *channel, void *data)
{
    struct worker *worker = data;

    (void)channel;
    worker->input = NULL;
    worker->input_closed = true;
    pump_input(worker);
}

static const struct wire_channel_handler input_handler = {
    .writable = input_writable,
    .reset = input_reset,
};

static void client_input_data(struct wire_channel *channel, const void *bytes, size_t length,
                              void *data)
{
    struct worker_attachment *attachment = data;

    if (wire_queue_append(&attachment->pending, bytes, length) < 0) {
        worker_note(attachment->worker, "out of memory: a client's input is cut off");
        attachment->input = wire_channel_reset(channel);
        attachment->input_ended = true;
    }
    pump_input(attachment->worker);
}

static void client_input_end(struct wire_channel *channel, void *data)
{
    struct worker_attachment *attachment = data;

    (void)channel;
    attachment->input = NULL;
    attachment->input_ended = true;
    pump_input(attachment->worker);
}

static const struct wire_channel_handler client_input_handler = {
    .data = client_input_data,
    .end = client_input_end,
    .reset = client_input_end,
};

/* --- the container's end of things --- */

json_t *worker_streams_plan(struct worker *worker)
{
    const struct compute_job *job = worker->job;
    uint32_t next = wire_connection_next_channel(worker->link);
    json_t *plan = json_object();
    bool ok = plan != NULL;

    if (ok && job->open_stdin) {
        ok = json_put_i64(plan, "stdin", next) >= 0;
        next += 2;
    }
    if (ok) {
        ok = json_put_i64(plan, "stdout", next) >= 0;
        next += 2;
    }
    if (ok && !job->terminal)
        ok = json_put_i64(plan, "stderr", next) >= 0;
    if (!ok)
        json_decref(plan);
    return ok ? plan : NULL;
}

static uint32_t planned(const json_t *plan, const char *name)
{
    return (uint32_t)json_integer_value(json_object_get(plan, name));
}

int worker_streams_open(struct worker *worker, const json_t *plan, struct error *err)
{
    static const char *const names[] = {"stdout", "stderr"};
    uint32_t id = planned(plan, "stdin");
    int r = 0;

    if (id)
        r = wire_channel_open(worker->link, id, WIRE_SEND, &input_handler, worker, &worker->input,
                              err);
    for (int i = 0; i < LOG_STREAM_MAX && r >= 0; i++) {
        struct worker_output *output = &worker->output[i];

        id = planned(plan, names[i]);
        if (!id)
            continue;
        r = wire_channel_open(worker->link, id, WIRE_RECEIVE, &output_handler, output,
                              &output->channel, err);
        if (r >= 0)
            wire_channel_grant(output->channel, WIRE_WINDOW);
    }
    if (!worker->input)
        worker->input_closed = true;
    return r;
}

/* --- attaching --- */

static void attachment_free(struct worker_attachment *attachment)
{
    list_remove(&attachment->node);
    for (int i = 0; i < LOG_STREAM_MAX; i++)
        wire_queue_release(&attachment->copies[i].backlog);
    wire_queue_release(&attachment->pending);
    if (attachment->client)
        attachment->client->attachment = NULL;
    free(attachment);
}

/* The input of one client is over: with stdin_once that of the container is, too. */
static void attachment_settle(struct worker_attachment *attachment)
{
    struct worker *worker = attachment->worker;

    if (!attachment->input_ended || attachment->pending.length > 0)
        return;
    if (attachment->has_input && worker->job->stdin_once && !worker->job->terminal &&
        !worker->input_closed && worker->input)
        close_input(worker);
    if (!attachment->client && (worker->input || worker->input_closed))
        attachment_free(attachment);
}

static int open_copy(struct worker_attachment *attachment, enum log_stream stream, int id,
                     struct error *err)
{
    struct copy *copy = &attachment->copies[stream];

    if (id == 0)
        return 0;
    int r = wire_channel_open(attachment->client->connection, (uint32_t)id, WIRE_SEND,
                              &copy_handler, copy, &copy->channel, err);
    if (r >= 0)
        copy_flush(copy); /* ends it at once when the container's stream has ended */
    return r;
}

static int open_streams(struct worker_attachment *attachment, int in, const int out[],
                        struct error *err)
{
    struct worker *worker = attachment->worker;
    int r = 0;

    if (in) {
        r = wire_channel_open(attachment->client->connection, (uint32_t)in, WIRE_RECEIVE,
                              &client_input_handler, attachment, &attachment->input, err);
        if (r >= 0 && worker->job->open_stdin) {
            attachment->has_input = true;
            wire_channel_grant(attachment->input, STDIN_WINDOW);
        } else if (r >= 0) {
            attachment->input = wire_channel_reset(attachment->input);
        }
    }
    for (int i = 0; i < LOG_STREAM_MAX && r >= 0; i++)
        r = open_copy(attachment, (enum log_stream)i, out[i], err);
    return r;
}

int worker_attach(struct worker_client *client, const json_t *request, struct error *err)
{
    struct worker *worker = client->worker;
    json_t *streams = NULL;
    int in = 0;
    int out[LOG_STREAM_MAX] = {0};
    int r;

    if (client->attachment)
        return error_set_class(err, ERROR_CONFLICT, "this connection is attached already");
    if (worker->status >= WORKER_ENDING)
        return error_set_class(err, ERROR_CONFLICT, "the container is not running");
    if ((r = json_get_object(request, "streams", &streams, err)) < 0)
        return r;
    if (streams &&
        ((r = json_get_int(streams, "stdin", 0, INT32_MAX, &in, err)) < 0 ||
         (r = json_get_int(streams, "stdout", 0, INT32_MAX, &out[LOG_STDOUT], err)) < 0 ||
         (r = json_get_int(streams, "stderr", 0, INT32_MAX, &out[LOG_STDERR], err)) < 0))
        return r;
    struct worker_attachment *attachment = calloc(1, sizeof(*attachment));
    if (!attachment)
        return error_oom(err);
    attachment->worker = worker;
    attachment->client = client;
    for (int i = 0; i < LOG_STREAM_MAX; i++) {
        attachment->copies[i].attachment = attachment;
        attachment->copies[i].stream = (enum log_stream)i;
    }
    /* A terminal has no stderr of its own. */
    if (worker->job->terminal)
        worker->output[LOG_STDERR].ended = true;
    list_append(&worker->attachments, &attachment->node);
    client->attachment = attachment;
    r = open_streams(attachment, in, out, err);
    if (r < 0) {
        (void)wire_channel_reset(attachment->input);
        for (int i = 0; i < LOG_STREAM_MAX; i++)
            (void)wire_channel_reset(attachment->copies[i].channel);
        attachment_free(attachment);
    }
    return r;
}

void worker_detach(struct worker_client *client)
{
    struct worker_attachment *attachment = client->attachment;

    if (!attachment)
        return;
    client->attachment = NULL;
    attachment->client = NULL;
    attachment->input = wire_channel_reset(attachment->input);
    attachment->input_ended = true;
    for (int i = 0; i < LOG_STREAM_MAX; i++) {
        (void)wire_channel_reset(attachment->copies[i].channel);
        copy_drop(&attachment->copies[i]);
        settle_credit(attachment->worker, (enum log_stream)i);
    }
    if (attachment->worker->status == WORKER_EXITED)
        attachment_free(attachment);
    else
        pump_input(attachment->worker);
}

/* --- the end --- */

void worker_streams_finish(struct worker *worker)
{
    loop_remove(&worker->stall_timer);
    worker->input = NULL; /* went with the link */
    worker->input_closed = true;
    for (int i = 0; i < LOG_STREAM_MAX; i++) {
        worker->output[i].channel = NULL;
        output_over(worker, (enum log_stream)i);
    }
    pump_input(worker);
}

bool worker_streams_drained(const struct worker *worker)
{
    return !stream_is_held(worker, LOG_STDOUT) && !stream_is_held(worker, LOG_STDERR);
}

void worker_drop_stalled(struct worker *worker)
{
    LIST_FOR_EACH (attachment, &worker->attachments, struct worker_attachment, node) {
        for (int i = 0; i < LOG_STREAM_MAX; i++) {
            struct copy *copy = &attachment->copies[i];

            if (copy->backlog.length == 0)
                continue;
            worker_note(worker, "a client that does not read its output is dropped");
            (void)wire_channel_reset(copy->channel);
            copy_drop(copy);
        }
    }
    settle_credit(worker, LOG_STDOUT);
    settle_credit(worker, LOG_STDERR);
}

void worker_streams_free(struct worker *worker)
{
    LIST_FOR_EACH (attachment, &worker->attachments, struct worker_attachment, node)
        attachment_free(attachment);
}
