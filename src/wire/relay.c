#include "wire/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "wire/connection.h"
#include "wire/queue.h"

enum { READ_SIZE = 64 * 1024 };

struct wire_relay {
    struct loop *loop;
    struct loop_source source;
    int fd;
    struct wire_channel *in;
    struct wire_channel *out;
    struct wire_queue queue; /* came by `in`, at most WIRE_RELAY_WINDOW */
    bool in_ended;           /* no more comes: over when the queue is empty */
    bool in_over;
    bool out_over;
    bool starting;
    wire_relay_over *over;
    void *data;
};

static void drop_in(struct wire_relay *relay)
{
    wire_queue_release(&relay->queue);
    relay->in = wire_channel_reset(relay->in);
    relay->in_over = true;
}

static void finish_out(struct wire_relay *relay)
{
    relay->out = wire_channel_end(relay->out);
    relay->out_over = true;
}

static void write_socket(struct wire_relay *relay)
{
    if (relay->in_over)
        return;
    ssize_t n = relay->queue.length > 0 ? wire_queue_write(&relay->queue, relay->fd) : 0;
    if (n < 0) {
        drop_in(relay);
        return;
    }
    if (relay->in && n > 0)
        wire_channel_grant(relay->in, (size_t)n);
    if (relay->in_ended && relay->queue.length == 0) {
        (void)shutdown(relay->fd, SHUT_WR);
        relay->in_over = true;
    }
}

static void read_socket(struct wire_relay *relay)
{
    static uint8_t bytes[READ_SIZE];

    while (!relay->out_over) {
        size_t space = wire_channel_space(relay->out);

        if (space == 0)
            return;
        ssize_t n = read(relay->fd, bytes, space < sizeof(bytes) ? space : sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        /* ECONNRESET comes after the last byte, too: the other end went with bytes unread. */
        if (n <= 0)
            finish_out(relay);
        else
            (void)wire_channel_send(relay->out, bytes, (size_t)n);
    }
}

static void socket_event(struct loop_source *source, uint32_t events);

/* What the loop shall tell. A hang-up is told without being asked for and again and again, so a
 * socket that may not be read for want of credit is not watched at all. */
static void watch(struct wire_relay *relay)
{
    bool readable = !relay->out_over && wire_channel_space(relay->out) > 0;
    uint32_t events = (readable ? EPOLLIN : 0u) | (relay->queue.length > 0 ? EPOLLOUT : 0u);
    int r = 0;

    if (events == 0 && !relay->out_over)
        loop_remove(&relay->source);
    else if (relay->source.loop)
        r = loop_modify(&relay->source, events);
    else
        r = loop_add(relay->loop, &relay->source, relay->fd, events, socket_event, relay);
    if (r < 0) {
        drop_in(relay);
        relay->out = wire_channel_reset(relay->out);
        relay->out_over = true;
    }
}

static void settle(struct wire_relay *relay)
{
    if (relay->starting)
        return;
    if (!relay->in_over || !relay->out_over)
        watch(relay);
    if (!relay->in_over || !relay->out_over)
        return;
    loop_remove(&relay->source);
    relay->fd = fd_close(relay->fd);
    relay->over(relay, relay->data);
}

static void socket_event(struct loop_source *source, uint32_t events)
{
    struct wire_relay *relay = source->data;

    write_socket(relay);
    read_socket(relay);
    /* Nobody is there any more who could read. */
    if ((events & (EPOLLHUP | EPOLLERR)) && relay->out_over && !relay->in_over)
        drop_in(relay);
    settle(relay);
}

/* --- channels --- */

static void in_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct wire_relay *relay = data;

    (void)channel;
    if (wire_queue_append(&relay->queue, bytes, length) < 0)
        drop_in(relay);
    write_socket(relay);
    settle(relay);
}

static void in_end(struct wire_channel *channel, void *data)
{
    struct wire_relay *relay = data;

    (void)channel;
    relay->in = NULL;
    relay->in_ended = true;
    write_socket(relay);
    settle(relay);
}

static const struct wire_channel_handler in_handler = {
    .data = in_data, .end = in_end, .reset = in_end};

static void out_writable(struct wire_channel *channel, void *data)
{
    struct wire_relay *relay = data;

    (void)channel;
    read_socket(relay);
    settle(relay);
}

static void out_reset(struct wire_channel *channel, void *data)
{
    struct wire_relay *relay = data;

    (void)channel;
    relay->out = NULL;
    relay->out_over = true;
    (void)shutdown(relay->fd, SHUT_RD);
    settle(relay);
}

static const struct wire_channel_handler out_handler = {.writable = out_writable,
                                                        .reset = out_reset};

/* --- birth and death --- */

static int open_channels(struct wire_relay *relay, struct wire_connection *connection, uint32_t in,
                         uint32_t out, struct error *err)
{
    int r = 0;

    if (in > out)
        r = wire_channel_open(connection, out, WIRE_SEND, &out_handler, relay, &relay->out, err);
    if (r >= 0)
        r = wire_channel_open(connection, in, WIRE_RECEIVE, &in_handler, relay, &relay->in, err);
    if (r >= 0 && in <= out)
        r = wire_channel_open(connection, out, WIRE_SEND, &out_handler, relay, &relay->out, err);
    return r;
}

int wire_relay_new(struct loop *loop, struct wire_connection *connection, int fd, uint32_t in,
                   uint32_t out, wire_relay_over *over, void *data, struct wire_relay **ret,
                   struct error *err)
{
    struct wire_relay *relay = calloc(1, sizeof(*relay));
    int r;

    if (!relay)
        return error_oom(err);
    *relay = (struct wire_relay){.loop = loop,
                                 .source = LOOP_SOURCE_INIT,
                                 .fd = -EBADF,
                                 .starting = true,
                                 .over = over,
                                 .data = data};
    r = fd_set_nonblocking(fd, true);
    if (r < 0)
        r = error_set_errno(err, r, "making a socket non-blocking");
    if (r >= 0)
        r = open_channels(relay, connection, in, out, err);
    /* The first event comes at once where there is something to read. */
    if (r >= 0) {
        r = loop_add(loop, &relay->source, fd, 0, socket_event, relay);
        if (r < 0)
            (void)error_set_errno(err, r, "watching a socket");
    }
    if (r < 0) {
        wire_relay_free(relay);
        return r;
    }
    relay->fd = fd;
    wire_channel_grant(relay->in, WIRE_RELAY_WINDOW);
    relay->starting = false;
    watch(relay);
    *ret = relay;
    return 0;
}

struct wire_relay *wire_relay_free(struct wire_relay *relay)
{
    if (!relay)
        return NULL;
    loop_remove(&relay->source);
    relay->in = wire_channel_reset(relay->in);
    relay->out = wire_channel_reset(relay->out);
    wire_queue_release(&relay->queue);
    fd_close(relay->fd);
    free(relay);
    return NULL;
}
