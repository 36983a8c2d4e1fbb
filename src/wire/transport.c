/* A connection's descriptor: reading, writing, the loop. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "wire/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum { READS_PER_EVENT = 8 }; /* then other sources get their turn */

/* Writes what it can of a frame without queueing; bytes written or -errno. */
static ssize_t write_directly(int fd, const uint8_t *header, const void *payload, size_t length)
{
    /* writev(2) does not write through its vectors. */
    struct iovec vectors[2] = {
        {.iov_base = (void *)(uintptr_t)header, .iov_len = FRAME_HEADER_SIZE},
        {.iov_base = (void *)(uintptr_t)payload, .iov_len = length},
    };
    ssize_t n;

    do
        n = writev(fd, vectors, length > 0 ? 2 : 1);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    return n;
}

static void update_interest(struct wire_connection *connection)
{
    uint32_t events = EPOLLIN | (connection->output.length > 0 ? EPOLLOUT : 0U);

    if (connection->source.loop && connection->source.events != events &&
        loop_modify(&connection->source, events) < 0)
        wire_end(connection, -ENOMEM, "the event loop refused the connection to %s",
                 connection->peer);
}

static void end_by_errno(struct wire_connection *connection, int code)
{
    if (code == -EPIPE || code == -ECONNRESET || code == -EIO)
        wire_end(connection, -ECONNRESET, "%s has gone", connection->peer);
    else
        wire_end(connection, code, "the connection to %s failed: %s", connection->peer,
                 strerrordesc_np(-code));
}

/* A peer that went may have said something before: its last words are read to the end of file, and
 * what it would have been told is dropped. */
static int write_failed(struct wire_connection *connection, int code)
{
    if (code == -EPIPE || code == -ECONNRESET) {
        connection->mute = true;
        wire_queue_release(&connection->output);
        return 0;
    }
    end_by_errno(connection, code);
    return code;
}

static int append(struct wire_connection *connection, const void *data, size_t length)
{
    int r = length > 0 ? wire_queue_append(&connection->output, data, length) : 0;

    if (r < 0)
        wire_end(connection, r, "out of memory");
    return r;
}

int wire_send_frame(struct wire_connection *connection, enum frame_type type, unsigned flags,
                    uint32_t channel, const void *payload, size_t length)
{
    uint8_t header[FRAME_HEADER_SIZE];
    size_t written = 0;
    int r;

    if (!wire_is_open(connection) || connection->freed)
        return -ENOTCONN;
    if (connection->mute)
        return 0;
    frame_encode_header(header, type, flags, length, channel);
    if (connection->fd >= 0 && connection->output.length == 0) {
        ssize_t n = write_directly(connection->fd, header, payload, length);

        if (n < 0)
            return write_failed(connection, (int)n);
        written = (size_t)n;
    }
    if (written == FRAME_HEADER_SIZE + length)
        return 0;
    if (connection->output.length > WIRE_QUEUE_MAX) {
        wire_end(connection, -ENOBUFS, "%s does not read what it is sent", connection->peer);
        return -ENOBUFS;
    }
    if (written < FRAME_HEADER_SIZE) {
        r = append(connection, header + written, FRAME_HEADER_SIZE - written);
        if (r < 0)
            return r;
        written = FRAME_HEADER_SIZE;
    }
    written -= FRAME_HEADER_SIZE;
    r = length > written ? append(connection, (const uint8_t *)payload + written, length - written)
                         : 0;
    if (r >= 0)
        update_interest(connection);
    return r;
}

static void flush_output(struct wire_connection *connection)
{
    ssize_t n = wire_queue_write(&connection->output, connection->fd);

    if (n >= 0 || write_failed(connection, (int)n) == 0)
        wire_wake_starved(connection);
}

static void read_input(struct wire_connection *connection)
{
    if (!connection->input && !(connection->input = malloc(WIRE_INPUT_SIZE))) {
        wire_end(connection, -ENOMEM, "out of memory");
        return;
    }
    for (int i = 0; i < READS_PER_EVENT && wire_is_open(connection) && !connection->freed; i++) {
        size_t room = WIRE_INPUT_SIZE - connection->input_length;
        ssize_t n = read(connection->fd, connection->input + connection->input_length, room);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            end_by_errno(connection, n == 0 ? -ECONNRESET : -errno);
            return;
        }
        connection->input_length += (size_t)n;
        wire_handle_input(connection);
        if ((size_t)n < room)
            return;
    }
}

/* revents: POLLIN and so on, whose values are those of EPOLLIN and so on. */
static void handle_events(struct wire_connection *connection, uint32_t events)
{
    if (wire_is_open(connection) && (events & POLLOUT))
        flush_output(connection);
    if (wire_is_open(connection) && !connection->freed && (events & (POLLIN | POLLHUP | POLLERR)))
        read_input(connection);
    if (wire_is_open(connection) && !connection->freed)
        update_interest(connection);
}

static void source_handler(struct loop_source *source, uint32_t events)
{
    struct wire_connection *connection = source->data;

    wire_enter(connection);
    handle_events(connection, events);
    wire_leave(connection);
}

static void alarm_handler(struct loop_source *source, uint32_t events)
{
    struct wire_connection *connection = source->data;

    (void)events;
    wire_enter(connection);
    wire_leave(connection);
}

void wire_transport_alarm(struct wire_connection *connection)
{
    if (!connection->loop || connection->alarm.loop)
        return;
    if (loop_add_timer(connection->loop, &connection->alarm, alarm_handler, connection) >= 0)
        (void)loop_timer_set(&connection->alarm, 1);
}

int wire_connection_attach(struct wire_connection *connection, int fd, bool own, struct loop *loop,
                           struct error *err)
{
    int r = fd_set_nonblocking(fd, true);

    if (r >= 0 && loop)
        r = loop_add(loop, &connection->source, fd, EPOLLIN, source_handler, connection);
    if (r < 0)
        return error_set_errno(err, r, "watching the connection to %s", connection->peer);
    connection->fd = fd;
    connection->own = own;
    connection->loop = loop;
    update_interest(connection); /* a server's hello waits */
    return 0;
}

void wire_transport_close(struct wire_connection *connection)
{
    loop_remove(&connection->source);
    loop_remove(&connection->alarm);
    if (connection->own)
        (void)fd_close(connection->fd);
    connection->fd = -EBADF;
}

int wire_connection_fd(const struct wire_connection *connection)
{
    return connection->fd;
}

short wire_connection_poll_events(const struct wire_connection *connection)
{
    return connection->output.length > 0 ? POLLIN | POLLOUT : POLLIN;
}

int wire_connection_process(struct wire_connection *connection, short revents, struct error *err)
{
    int code;

    wire_enter(connection);
    if (connection->fd >= 0)
        handle_events(connection, (uint32_t)(unsigned short)revents);
    code = connection->reason.code;
    if (code < 0)
        (void)error_copy(err, &connection->reason);
    wire_leave(connection);
    return code;
}

int wire_connection_wait(struct wire_connection *connection, int timeout_ms, struct error *err)
{
    short revents = 0;

    if (wire_is_open(connection)) {
        struct pollfd poll_fd = {.fd = connection->fd,
                                 .events = wire_connection_poll_events(connection)};
        int n = poll(&poll_fd, 1, timeout_ms);

        if (n < 0 && errno != EINTR)
            return error_set_errno(err, -errno, "poll");
        if (n <= 0)
            return 0;
        revents = poll_fd.revents;
    }
    int r = wire_connection_process(connection, revents, err);
    return r < 0 ? r : 1;
}

int wire_connection_flush(struct wire_connection *connection, int timeout_ms, struct error *err)
{
    while (connection->output.length > 0 || connection->state == WIRE_STATE_ENDING) {
        int r = wire_connection_wait(connection, timeout_ms, err);

        if (r < 0)
            return r;
        if (r == 0)
            return error_set(err, -ETIMEDOUT, "%s does not read what it is sent", connection->peer);
    }
    return 0;
}
