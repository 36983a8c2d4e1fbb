/* Channels: streams in one direction, with credit. */
#include "wire/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Index of channel `id`, or of the first with a greater one. */
static size_t channel_index(const struct wire_connection *connection, uint32_t id)
{
    size_t low = 0;
    size_t high = connection->n_channels;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (connection->channels[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct wire_channel *channel_find(const struct wire_connection *connection, uint32_t id)
{
    size_t i = channel_index(connection, id);

    return i < connection->n_channels && connection->channels[i]->id == id ? connection->channels[i]
                                                                           : NULL;
}

static void channel_free(struct wire_channel *channel)
{
    struct wire_connection *connection = channel->connection;
    size_t i = channel_index(connection, channel->id);

    assert(i < connection->n_channels && connection->channels[i] == channel);
    connection->n_channels--;
    memmove(connection->channels + i, connection->channels + i + 1,
            (connection->n_channels - i) * sizeof(*connection->channels));
    free(channel);
}

uint32_t wire_connection_next_channel(struct wire_connection *connection)
{
    return connection->highest == 0 ? 1 : connection->highest + 2;
}

static int make_room(struct wire_connection *connection)
{
    if (connection->n_channels < connection->channels_capacity)
        return 0;
    size_t capacity = connection->channels_capacity ? 2 * connection->channels_capacity : 4;
    struct wire_channel **channels =
        realloc(connection->channels, capacity * sizeof(*connection->channels));
    if (!channels)
        return -ENOMEM;
    connection->channels = channels;
    connection->channels_capacity = capacity;
    return 0;
}

int wire_channel_open(struct wire_connection *connection, uint32_t id,
                      enum wire_direction direction, const struct wire_channel_handler *handler,
                      void *data, struct wire_channel **ret, struct error *err)
{
    if (connection->state != WIRE_STATE_READY || connection->freed)
        return error_set(err, -ENOTCONN, "%s is not connected", connection->peer);
    if (id % 2 == 0 || id <= connection->highest || id > INT32_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "channel %u is not an odd number above all earlier ones", id);
    if (connection->n_channels >= WIRE_CHANNELS_MAX)
        return error_set(err, -ENOBUFS, "more than %d streams to %s", WIRE_CHANNELS_MAX,
                         connection->peer);
    if (make_room(connection) < 0)
        return error_oom(err);
    struct wire_channel *channel = malloc(sizeof(*channel));
    if (!channel)
        return error_oom(err);
    *channel = (struct wire_channel){
        .connection = connection,
        .handler = handler,
        .data = data,
        .id = id,
        .direction = direction,
    };
    connection->channels[connection->n_channels++] = channel;
    connection->highest = id;
    *ret = channel;
    return 0;
}

uint32_t wire_channel_id(const struct wire_channel *channel)
{
    return channel->id;
}

/* --- receiving --- */

void wire_channel_grant(struct wire_channel *channel, size_t credit)
{
    size_t room = WIRE_WINDOW_MAX - channel->credit - channel->saved;
    uint8_t payload[4];

    assert(channel->direction == WIRE_RECEIVE);
    channel->saved += credit < room ? credit : room;
    /* Saving up is for full windows only: with little credit left the sender may be waiting. */
    if (channel->saved == 0 ||
        (channel->saved < WIRE_CREDIT_QUANTUM && channel->credit >= WIRE_CREDIT_QUANTUM))
        return;
    frame_encode_credit(payload, (uint32_t)channel->saved);
    channel->credit += channel->saved;
    channel->saved = 0;
    (void)wire_send_frame(channel->connection, FRAME_CREDIT, 0, channel->id, payload,
                          sizeof(payload));
}

size_t wire_channel_granted(const struct wire_channel *channel)
{
    return channel->credit + channel->saved;
}

static void handle_data(struct wire_channel *channel, const struct frame *frame)
{
    struct wire_connection *connection = channel->connection;

    if (channel->direction != WIRE_RECEIVE) {
        wire_connection_violation(connection, "data on channel %u against its direction",
                                  frame->channel);
        return;
    }
    if (frame->length > channel->credit) {
        wire_connection_violation(connection, "more data than was granted on channel %u",
                                  frame->channel);
        return;
    }
    channel->credit -= frame->length;
    channel->handler->data(channel, frame->payload, frame->length, channel->data);
}

static void handle_end(struct wire_channel *channel, const struct frame *frame)
{
    struct wire_connection *connection = channel->connection;
    uint32_t id = channel->id;

    if (channel->direction != WIRE_RECEIVE) {
        wire_connection_violation(connection, "end of channel %u against its direction",
                                  frame->channel);
        return;
    }
    channel->handler->end(channel, channel->data);
    /* The handler may have given it up itself. */
    if ((channel = channel_find(connection, id)))
        channel_free(channel);
}

/* --- sending --- */

static void handle_credit(struct wire_channel *channel, const struct frame *frame)
{
    if (channel->direction != WIRE_SEND) {
        wire_connection_violation(channel->connection,
                                  "credit for channel %u against its direction", frame->channel);
        return;
    }
    if (frame->credit > WIRE_WINDOW_MAX - channel->credit) {
        wire_connection_violation(channel->connection, "more than %d bytes of credit on channel %u",
                                  WIRE_WINDOW_MAX, frame->channel);
        return;
    }
    channel->credit += frame->credit;
    if (channel->handler->writable)
        channel->handler->writable(channel, channel->data);
}

size_t wire_channel_credit(const struct wire_channel *channel)
{
    return channel->connection->state == WIRE_STATE_READY ? channel->credit : 0;
}

size_t wire_channel_space(struct wire_channel *channel)
{
    struct wire_connection *connection = channel->connection;

    if (connection->output.length >= WIRE_QUEUE_SOFT_MAX) {
        channel->starved = connection->starved = true;
        return 0;
    }
    return wire_channel_credit(channel);
}

void wire_wake_starved(struct wire_connection *connection)
{
    if (!connection->starved || connection->output.length >= WIRE_QUEUE_SOFT_MAX)
        return;
    connection->starved = false;
    /* Handlers may open and close channels: go by number. */
    for (uint32_t id = 0; wire_is_open(connection) && !connection->freed;) {
        size_t i = channel_index(connection, id);

        if (i >= connection->n_channels)
            return;
        struct wire_channel *channel = connection->channels[i];
        id = channel->id + 1;
        if (!channel->starved)
            continue;
        channel->starved = false;
        if (channel->handler->writable)
            channel->handler->writable(channel, channel->data);
    }
}

int wire_channel_send(struct wire_channel *channel, const void *data, size_t length)
{
    const uint8_t *bytes = data;

    assert(channel->direction == WIRE_SEND && length <= channel->credit);
    channel->credit -= length;
    while (length > 0) {
        size_t n = length < FRAME_PAYLOAD_MAX ? length : FRAME_PAYLOAD_MAX;
        int r = wire_send_frame(channel->connection, FRAME_DATA, 0, channel->id, bytes, n);

        if (r < 0)
            return r;
        bytes += n;
        length -= n;
    }
    return 0;
}

/* --- the end --- */

static struct wire_channel *finish(struct wire_channel *channel, enum frame_type type)
{
    if (!channel)
        return NULL;
    if (channel->connection->state == WIRE_STATE_READY && !channel->connection->freed)
        (void)wire_send_frame(channel->connection, type, 0, channel->id, NULL, 0);
    channel_free(channel);
    return NULL;
}

struct wire_channel *wire_channel_end(struct wire_channel *channel)
{
    assert(!channel || channel->direction == WIRE_SEND);
    return finish(channel, FRAME_END);
}

struct wire_channel *wire_channel_reset(struct wire_channel *channel)
{
    return finish(channel, FRAME_RESET);
}

static void reset_one(struct wire_channel *channel)
{
    struct wire_connection *connection = channel->connection;
    uint32_t id = channel->id;

    if (channel->handler->reset)
        channel->handler->reset(channel, channel->data);
    if ((channel = channel_find(connection, id)))
        channel_free(channel);
}

void wire_handle_stream(struct wire_connection *connection, const struct frame *frame)
{
    struct wire_channel *channel;

    if (connection->state != WIRE_STATE_READY) {
        wire_connection_violation(connection, "a stream before the handshake");
        return;
    }
    channel = channel_find(connection, frame->channel);
    if (!channel) {
        if (frame->type == FRAME_DATA && frame->channel > connection->highest)
            wire_connection_violation(connection, "data on channel %u, which is not open",
                                      frame->channel);
        return;
    }
    switch (frame->type) {
    case FRAME_DATA:
        handle_data(channel, frame);
        break;
    case FRAME_CREDIT:
        handle_credit(channel, frame);
        break;
    case FRAME_END:
        handle_end(channel, frame);
        break;
    case FRAME_RESET:
        reset_one(channel);
        break;
    case FRAME_CONTROL:
    case FRAME_TYPE_MAX:
        break;
    }
}

void wire_reset_channels(struct wire_connection *connection)
{
    while (connection->n_channels > 0)
        reset_one(connection->channels[connection->n_channels - 1]);
}
