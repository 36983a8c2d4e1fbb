#include "compute/archive.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "compute/client_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    CREDIT_LOW = 64 * 1024,
    STALL_MS = 300 * 1000, /* nothing at all comes, and nothing is taken */
};

struct compute_archive {
    struct compute_client *client;
    const char *op;
    struct wire_channel *channel;
    struct wire_queue queue; /* received; at most one window */
    size_t lent;             /* of it, with the caller */
    size_t owed;             /* received bytes for which no credit was given back */
    bool ended;              /* by END */
};

static void stream_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct compute_archive *archive = data;

    (void)channel;
    archive->owed += length;
    if (wire_queue_append(&archive->queue, bytes, length) < 0)
        wire_connection_violation(archive->client->connection, "out of memory");
}

static void stream_end(struct wire_channel *channel, void *data)
{
    struct compute_archive *archive = data;

    (void)channel;
    archive->channel = NULL;
    archive->ended = true;
}

static void stream_reset(struct wire_channel *channel, void *data)
{
    struct compute_archive *archive = data;

    (void)channel;
    archive->channel = NULL;
}

static const struct wire_channel_handler stream_handler = {
    .data = stream_data,
    .end = stream_end,
    .reset = stream_reset,
};

static int open_stream(struct compute_archive *archive, json_t *request, bool write,
                       struct error *err)
{
    struct wire_connection *connection = archive->client->connection;
    uint32_t id = wire_connection_next_channel(connection);
    json_t *streams = json_pack("{s:I}", write ? "stdin" : "stdout", (json_int_t)id);
    int r;

    if (json_put(request, "streams", streams) < 0)
        return error_oom(err);
    r = client_begin_call(archive->client, archive->op, json_incref(request), err);
    if (r >= 0)
        r = wire_channel_open(connection, id, write ? WIRE_SEND : WIRE_RECEIVE, &stream_handler,
                              archive, &archive->channel, err);
    if (r >= 0 && !write)
        wire_channel_grant(archive->channel, WIRE_WINDOW);
    return r;
}

int compute_archive_begin(struct compute_client *client, const char *op, json_t *request,
                          bool write, struct compute_archive **ret, struct error *err)
{
    CLEANUP_JSON json_t *owned = request;
    struct compute_archive *archive = calloc(1, sizeof(*archive));
    int r;

    if (!archive || !owned) {
        free(archive);
        return error_oom(err);
    }
    archive->client = client;
    archive->op = op;
    r = open_stream(archive, owned, write, err);
    if (r < 0) {
        compute_archive_free(archive);
        return r;
    }
    *ret = archive;
    return 0;
}

struct compute_archive *compute_archive_free(struct compute_archive *archive)
{
    if (!archive)
        return NULL;
    archive->channel = wire_channel_reset(archive->channel);
    wire_queue_release(&archive->queue);
    free(archive);
    return NULL;
}

int compute_archive_answer(struct compute_archive *archive, json_t **ret, struct error *err)
{
    return client_end_call(archive->client, archive->op, ret, err);
}

/* Handles what there is. */
static void look(struct compute_archive *archive)
{
    while (!wire_connection_is_closed(archive->client->connection) &&
           wire_connection_wait(archive->client->connection, 0, NULL) > 0 &&
           archive->queue.length == 0)
        ;
}

int compute_archive_read(struct compute_archive *archive, const void **ret, size_t *ret_length,
                         struct error *err)
{
    wire_queue_consume(&archive->queue, archive->lent);
    archive->lent = 0;
    if (archive->channel && archive->queue.length < CREDIT_LOW && archive->owed > 0) {
        wire_channel_grant(archive->channel, archive->owed);
        archive->owed = 0;
    }
    if (archive->queue.length == 0)
        look(archive);
    if (archive->queue.length > 0) {
        *ret = wire_queue_peek(&archive->queue, ret_length);
        archive->lent = *ret_length;
        return 1;
    }
    if (archive->ended)
        return -ENODATA;
    if (!archive->channel)
        return error_set(err, -EPIPE, "the files' transfer ended before its time");
    return 0;
}

static int wait_for_more(struct compute_archive *archive, struct error *err)
{
    int r = wire_connection_wait(archive->client->connection, STALL_MS, err);

    return r == 0 ? error_set(err, -ETIMEDOUT, "the transfer of the container's files stands still")
                  : r;
}

int compute_archive_await(struct compute_archive *archive, struct error *err)
{
    int r = wait_for_more(archive, err);

    return r == -ETIMEDOUT || (r < 0 && archive->channel) ? r : 0;
}

/* Has the other end said something that ends the transfer? */
static int check_refusal(struct compute_archive *archive, struct error *err)
{
    const struct compute_client *client = archive->client;

    if (client->answered && client->failure.code < 0)
        return error_copy(err, &client->failure);
    if (wire_connection_is_closed(client->connection))
        return error_set(err, -EPIPE, "the container's worker has gone");
    return 0;
}

int compute_archive_write(struct compute_archive *archive, const void *bytes, size_t length,
                          struct error *err)
{
    const char *at = bytes;

    while (length > 0) {
        int r = check_refusal(archive, err);

        if (r < 0)
            return r;
        if (!archive->channel) {
            /* It takes no more: the answer that says why is on its way. */
            r = compute_archive_finish(archive, NULL, err);
            return r < 0 ? r : 0;
        }
        size_t n = wire_channel_space(archive->channel);
        if (n == 0) {
            r = wait_for_more(archive, err);
            if (r == -ETIMEDOUT)
                return r;
            continue;
        }
        if (n > length)
            n = length;
        if (wire_channel_send(archive->channel, at, n) < 0)
            continue;
        at += n;
        length -= n;
    }
    return 0;
}

int compute_archive_finish(struct compute_archive *archive, json_t **ret, struct error *err)
{
    struct compute_client *client = archive->client;

    archive->channel = wire_channel_end(archive->channel);
    while (!client->answered && !wire_connection_is_closed(client->connection)) {
        if (wait_for_more(archive, err) == -ETIMEDOUT)
            return -ETIMEDOUT;
    }
    if (!client->answered)
        return error_set(err, -EPIPE, "the container's worker has gone");
    return client_end_call(client, archive->op, ret, err);
}
