#include "wire/connection.h"

#include "base/strings.h"
#include "wire/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int wire_connection_new(enum wire_role role, const char *program, const char *peer,
                        const struct wire_handler *handler, void *data,
                        struct wire_connection **ret, struct error *err)
{
    struct wire_connection *connection = calloc(1, sizeof(*connection));

    if (!connection)
        return error_oom(err);
    connection->role = role;
    connection->handler = handler;
    connection->data = data;
    connection->fd = -EBADF;
    connection->source = (struct loop_source)LOOP_SOURCE_INIT;
    connection->alarm = (struct loop_source)LOOP_SOURCE_INIT;
    connection->message = (struct buffer)BUFFER_INIT(WIRE_MESSAGE_MAX);
    (void)string_copy(connection->program, sizeof(connection->program), program);
    (void)string_copy(connection->peer, sizeof(connection->peer), peer);
    /* The server speaks first, so its hello is the first thing in the queue. */
    if (role == WIRE_SERVER && wire_send_hello(connection) < 0) {
        wire_connection_free(connection);
        return error_oom(err);
    }
    *ret = connection;
    return 0;
}

static void destroy(struct wire_connection *connection)
{
    wire_queue_release(&connection->output);
    buffer_release(&connection->message);
    free(connection->input);
    free(connection->channels);
    free(connection);
}

struct wire_connection *wire_connection_free(struct wire_connection *connection)
{
    struct error gone = ERROR_INIT;

    if (!connection || connection->freed)
        return NULL;
    connection->freed = true;
    connection->depth++;
    wire_transport_close(connection);
    (void)error_set(&gone, -ECANCELED, "the connection to %s was closed", connection->peer);
    wire_fail_pending(connection, &gone);
    wire_reset_channels(connection);
    /* Where a handler frees its own connection, the memory goes when that has returned. */
    if (--connection->depth == 0)
        destroy(connection);
    return NULL;
}

void wire_connection_cleanup(struct wire_connection **connection)
{
    *connection = wire_connection_free(*connection);
}

void wire_end(struct wire_connection *connection, int code, const char *format, ...)
{
    char text[512];
    va_list args;

    if (!wire_is_open(connection))
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)error_set(&connection->reason, code, "%s", text);
    connection->state = WIRE_STATE_ENDING;
    if (connection->depth == 0)
        wire_transport_alarm(connection);
}

void wire_connection_violation(struct wire_connection *connection, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    wire_end(connection, -EPROTO, "%s broke the protocol: %s", connection->peer, text);
}

void wire_enter(struct wire_connection *connection)
{
    connection->depth++;
}

static void deliver_end(struct wire_connection *connection)
{
    connection->state = WIRE_STATE_CLOSED;
    wire_transport_close(connection);
    wire_queue_release(&connection->output);
    wire_fail_pending(connection, &connection->reason);
    wire_reset_channels(connection);
    if (!connection->freed && connection->handler && connection->handler->closed)
        connection->handler->closed(connection, &connection->reason, connection->data);
}

void wire_leave(struct wire_connection *connection)
{
    if (connection->depth == 1 && connection->state == WIRE_STATE_ENDING && !connection->freed)
        deliver_end(connection);
    if (connection->depth == 1 && connection->freed) {
        destroy(connection);
        return;
    }
    connection->depth--;
}

void wire_handle_input(struct wire_connection *connection)
{
    size_t used = 0;

    while (wire_is_open(connection) && !connection->freed) {
        struct frame frame;
        size_t size;
        const char *violation;
        int r = frame_decode(connection->input + used, connection->input_length - used, &frame,
                             &size, &violation);

        if (r == 0)
            break;
        if (r < 0) {
            wire_connection_violation(connection, "%s", violation);
            break;
        }
        used += size;
        if (frame.type == FRAME_CONTROL)
            wire_handle_control(connection, &frame);
        else
            wire_handle_stream(connection, &frame);
    }
    connection->input_length -= used;
    if (used > 0 && connection->input_length > 0)
        memmove(connection->input, connection->input + used, connection->input_length);
}

int wire_connection_feed(struct wire_connection *connection, const void *data, size_t length,
                         struct error *err)
{
    const uint8_t *bytes = data;
    int code;

    if (!connection->input && !(connection->input = malloc(WIRE_INPUT_SIZE)))
        return error_oom(err);
    wire_enter(connection);
    while (length > 0 && wire_is_open(connection) && !connection->freed) {
        size_t n = WIRE_INPUT_SIZE - connection->input_length;

        if (n > length)
            n = length;
        memcpy(connection->input + connection->input_length, bytes, n);
        connection->input_length += n;
        bytes += n;
        length -= n;
        wire_handle_input(connection);
    }
    code = connection->reason.code;
    if (code < 0)
        (void)error_copy(err, &connection->reason);
    wire_leave(connection);
    return code;
}

size_t wire_connection_take_output(struct wire_connection *connection, void *data, size_t size)
{
    uint8_t *out = data;
    size_t total = 0;

    while (total < size) {
        size_t n;
        const void *bytes = wire_queue_peek(&connection->output, &n);

        if (!bytes)
            break;
        if (n > size - total)
            n = size - total;
        memcpy(out + total, bytes, n);
        wire_queue_consume(&connection->output, n);
        total += n;
    }
    wire_enter(connection);
    wire_wake_starved(connection);
    wire_leave(connection);
    return total;
}

bool wire_connection_is_ready(const struct wire_connection *connection)
{
    return connection->state == WIRE_STATE_READY;
}

bool wire_connection_is_closed(const struct wire_connection *connection)
{
    return !wire_is_open(connection);
}

size_t wire_connection_queued(const struct wire_connection *connection)
{
    return connection->output.length;
}

const struct error *wire_connection_reason(const struct wire_connection *connection)
{
    return &connection->reason;
}
