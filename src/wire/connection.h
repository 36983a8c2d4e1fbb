/* One end of the compute protocol on a byte stream: handshake, requests and answers, events, and
 * channels with credit.
 *
 * Theory of operation. A connection is a state machine that bytes are fed to; it calls its owner's
 * handlers and queues what it has to say. The bytes come from a descriptor that is watched by an
 * event loop (wire_connection_attach()) or waited for (wire_connection_wait()), or from anywhere
 * (wire_connection_feed(): tests, fuzzers).
 *
 * The two ends have roles. The server speaks first: its `hello` says that it is there (the serial
 * line of a VM swallows or echoes what is said to it before). The client answers with its `hello`;
 * then it makes requests and chooses channels, and the server answers and sends events.
 *
 * A channel is a stream in one direction. The receiver grants credit as its consumer takes bytes;
 * the sender never sends more, so nothing is buffered without limit and nothing is lost. A number
 * is used once. It is opened by both ends on the same request: the client sends the request first
 * and then opens its end; the server opens its end before its request handler returns. What arrives
 * for a channel that is over (or never came to be, because the request was refused) is ignored,
 * except DATA on a number that was never opened, which nobody can have had credit for.
 *
 * The peer is hostile. Whatever breaks the rules (wrong frame, JSON, order, number, more than was
 * granted or than the maxima below) ends the connection with a reason that names the violation.
 * However a connection ends: each pending request is answered with an error, each open channel gets
 * its reset() call, and then closed() is called once. These calls come from the loop,
 * wire_connection_wait() or wire_connection_feed(), never from inside a sending function.
 *
 * Programs that use this ignore SIGPIPE. One thread per connection. */
#ifndef HULL_WIRE_CONNECTION_H
#define HULL_WIRE_CONNECTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct loop;
struct wire_channel;
struct wire_connection;

enum {
    WIRE_PROTOCOL_VERSION = 1,
    WIRE_MESSAGE_MAX = 4 * 1024 * 1024, /* one control message, as JSON text */
    WIRE_ELEMENTS_MAX = 128 * 1024,    /* values in it; the longest list of processes has 106,496 */
    WIRE_PENDING_MAX = 64,             /* requests without an answer, each direction */
    WIRE_CHANNELS_MAX = 1024,          /* open at once */
    WIRE_WINDOW = 256 * 1024,          /* usual credit of a channel */
    WIRE_WINDOW_MAX = 1024 * 1024,     /* most credit that a peer may have given */
    WIRE_CREDIT_QUANTUM = 32 * 1024,   /* grants are saved up to this */
    WIRE_QUEUE_SOFT_MAX = 512 * 1024,  /* wire_channel_space() is 0 above */
    WIRE_QUEUE_MAX = 16 * 1024 * 1024, /* bytes that a peer may leave unread */
    WIRE_NAME_MAX = 32,                /* length of an op's or event's name */
};

enum wire_role { WIRE_CLIENT, WIRE_SERVER };

/* Calls to the owner. Each may be NULL: then ready and closed are not told, and a request or event
 * is a violation. A handler may do anything, wire_connection_free() included. JSON is borrowed. */
struct wire_handler {
    /* The handshake is over: requests may be made. */
    void (*ready)(struct wire_connection *connection, void *data);
    /* Answer it, now or later, with wire_connection_answer() or _refuse() exactly once. */
    void (*request)(struct wire_connection *connection, uint64_t id, const char *op,
                    json_t *request, void *data);
    void (*event)(struct wire_connection *connection, const char *name, json_t *event, void *data);
    /* Last call. reason->code: -ECONNRESET (the peer went), -EPROTO (violation), -EPROTONOSUPPORT
     * (another version), -ENOBUFS (it does not read), -errno of the descriptor. */
    void (*closed)(struct wire_connection *connection, const struct error *reason, void *data);
};

/* peer: how messages call the other end ("the guest"); program: how hello names this one. Both are
 * copied. handler is borrowed for the connection's life. */
int wire_connection_new(enum wire_role role, const char *program, const char *peer,
                        const struct wire_handler *handler, void *data,
                        struct wire_connection **ret, struct error *err);

/* Closes; pending requests are answered with -ECANCELED and open channels reset, here and now, but
 * closed() is not called. NULL is fine. What is queued is lost. Returns NULL. */
struct wire_connection *wire_connection_free(struct wire_connection *connection);
void wire_connection_cleanup(struct wire_connection **connection); /* for CLEANUP() */

/* Gives it its descriptor (made non-blocking), closed at the end when `own`, and a loop or NULL. */
int wire_connection_attach(struct wire_connection *connection, int fd, bool own, struct loop *loop,
                           struct error *err);

/* Takes part in somebody's poll(2): the descriptor (-EBADF once closed), the events it wants
 * (POLLIN, POLLOUT), and what to do with those that came. process() returns 0, or the reason's code
 * once the connection is over. */
int wire_connection_fd(const struct wire_connection *connection);
short wire_connection_poll_events(const struct wire_connection *connection);
int wire_connection_process(struct wire_connection *connection, short revents, struct error *err);

/* Without a loop: waits for something to happen and handles it. 1: something did, 0: time is up
 * (timeout_ms -1: never), or the reason's code once the connection is over. */
int wire_connection_wait(struct wire_connection *connection, int timeout_ms, struct error *err);

/* Without a loop: waits until everything queued is written. -ETIMEDOUT. */
int wire_connection_flush(struct wire_connection *connection, int timeout_ms, struct error *err);

/* The bytes from the peer, for one that has no descriptor. The return value is 0, or the reason's
 * code once it is over. wire_connection_take_output() copies out at most `size` queued bytes. */
int wire_connection_feed(struct wire_connection *connection, const void *data, size_t length,
                         struct error *err);
size_t wire_connection_take_output(struct wire_connection *connection, void *data, size_t size);

bool wire_connection_is_ready(const struct wire_connection *connection);
bool wire_connection_is_closed(const struct wire_connection *connection);
/* Bytes not yet written. */
size_t wire_connection_queued(const struct wire_connection *connection);
/* The reason of the end; code 0 before. */
const struct error *wire_connection_reason(const struct wire_connection *connection);

/* Ends the connection because the owner found what the peer said unacceptable. As all violations
 * it takes effect soon after, not inside this call. */
void wire_connection_violation(struct wire_connection *connection, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- control messages --- */

/* Exactly one of ok (borrowed) and error is not NULL. Called once per request that was accepted. */
typedef void wire_answer_handler(struct wire_connection *connection, json_t *ok,
                                 const struct error *error, void *data);

/* Client: sends {"id", "op", ...arguments}. `arguments` (an object or NULL) is consumed in any
 * case. On failure (-ENOTCONN, -EBUSY: too many pending, -EMSGSIZE) the handler is not called. */
int wire_connection_request(struct wire_connection *connection, const char *op, json_t *arguments,
                            wire_answer_handler *handler, void *data, struct error *err);

/* Server. `ok` (an object, or NULL for an empty one) is consumed. An answer that is too large
 * becomes an error for the client. On a closed connection nothing happens. */
void wire_connection_answer(struct wire_connection *connection, uint64_t id, json_t *ok);
void wire_connection_refuse(struct wire_connection *connection, uint64_t id,
                            const struct error *error);

/* Server: sends {"event": name, ...members}; `members` (an object or NULL) is consumed. 0 or
 * -errno (nothing was sent; before the handshake: -ENOTCONN). */
int wire_connection_event(struct wire_connection *connection, const char *name, json_t *members);

/* --- channels --- */

enum wire_direction { WIRE_SEND, WIRE_RECEIVE };

/* After end() and reset() the channel is gone. */
struct wire_channel_handler {
    /* Receiving: take all of it; grant credit again once it is consumed. */
    void (*data)(struct wire_channel *channel, const void *bytes, size_t length, void *data);
    /* Receiving: the sender has finished. */
    void (*end)(struct wire_channel *channel, void *data);
    /* Sending: credit came, or the connection's queue became shorter. */
    void (*writable)(struct wire_channel *channel, void *data);
    /* The peer gave the stream up, or the connection is over. */
    void (*reset)(struct wire_channel *channel, void *data);
};

/* The next number a client may use. */
uint32_t wire_connection_next_channel(struct wire_connection *connection);

/* Opens this end of channel `id`: odd, and greater than any before (-EINVAL); at most
 * WIRE_CHANNELS_MAX (-ENOBUFS). `handler` is borrowed. A receiver then grants its first credit. */
int wire_channel_open(struct wire_connection *connection, uint32_t id,
                      enum wire_direction direction, const struct wire_channel_handler *handler,
                      void *data, struct wire_channel **ret, struct error *err);

uint32_t wire_channel_id(const struct wire_channel *channel);

/* Receiving: lets the peer send that many more bytes, WIRE_WINDOW_MAX in all. */
void wire_channel_grant(struct wire_channel *channel, size_t credit);
/* Receiving: bytes that the peer may send now. */
size_t wire_channel_granted(const struct wire_channel *channel);

/* Sending: bytes that may be sent now: by credit alone, and by credit and the connection's queue.
 * After space() was 0 a writable() call comes. */
size_t wire_channel_credit(const struct wire_channel *channel);
size_t wire_channel_space(struct wire_channel *channel);
/* Sends; length is at most the credit (asserted). 0 or -errno; then the connection is ending. */
int wire_channel_send(struct wire_channel *channel, const void *data, size_t length);

/* Sending: no more bytes; the channel is gone. Either: gives it up, without a call to the handler.
 * Both accept NULL and return NULL. */
struct wire_channel *wire_channel_end(struct wire_channel *channel);
struct wire_channel *wire_channel_reset(struct wire_channel *channel);

#endif
