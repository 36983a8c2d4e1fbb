/* The inside of a connection, shared by connection.c, message.c, channel.c and transport.c. */
#ifndef HULL_WIRE_INTERNAL_H
#define HULL_WIRE_INTERNAL_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/loop.h"
#include "wire/connection.h"
#include "wire/frame.h"
#include "wire/queue.h"

enum wire_state {
    WIRE_STATE_HELLO, /* the peer's hello has not come */
    WIRE_STATE_READY,
    WIRE_STATE_ENDING, /* `reason` is set; the owner has not been told yet */
    WIRE_STATE_CLOSED,
};

enum { WIRE_INPUT_SIZE = 2 * FRAME_SIZE_MAX };

struct wire_pending {
    uint64_t id; /* 0: free */
    wire_answer_handler *handler;
    void *data;
};

struct wire_channel {
    struct wire_connection *connection;
    const struct wire_channel_handler *handler;
    void *data;
    uint32_t id;
    enum wire_direction direction;
    size_t credit; /* bytes that may still be sent, by us or (granted) by the peer */
    size_t saved;  /* receiving: grants not yet told to the peer; not part of credit */
    bool starved;  /* sending: space() said 0 because of the queue */
};

struct wire_connection {
    enum wire_role role;
    enum wire_state state;
    char program[WIRE_NAME_MAX + 1];
    char peer[WIRE_NAME_MAX + 1];
    const struct wire_handler *handler;
    void *data;
    struct error reason;

    unsigned depth; /* handlers on the stack */
    bool freed;     /* wire_connection_free() was called meanwhile */

    int fd;
    bool own;
    struct loop *loop;
    struct loop_source source;
    struct loop_source alarm; /* tells the owner of an end that was found while sending */
    uint8_t *input;
    size_t input_length;
    struct wire_queue output;
    bool starved; /* some channel is */
    bool mute;    /* the peer reads no more; what it sent before is still to be read */

    struct buffer message; /* pieces of a control message */
    uint64_t last_id;
    struct wire_pending pending[WIRE_PENDING_MAX]; /* client */
    uint64_t unanswered[WIRE_PENDING_MAX];         /* server; 0: free */

    struct wire_channel **channels; /* by rising id */
    size_t n_channels;
    size_t channels_capacity;
    uint32_t highest;
};

/* connection.c */
void wire_end(struct wire_connection *connection, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline bool wire_is_open(const struct wire_connection *connection)
{
    return connection->state < WIRE_STATE_ENDING;
}
/* Around everything that may call handlers: leave() delivers an end and frees. */
void wire_enter(struct wire_connection *connection);
void wire_leave(struct wire_connection *connection);
/* Handles all whole frames of the input buffer. */
void wire_handle_input(struct wire_connection *connection);

/* message.c */
void wire_handle_control(struct wire_connection *connection, const struct frame *frame);
int wire_send_hello(struct wire_connection *connection);
void wire_fail_pending(struct wire_connection *connection, const struct error *reason);

/* channel.c */
void wire_handle_stream(struct wire_connection *connection, const struct frame *frame);
void wire_reset_channels(struct wire_connection *connection);
void wire_wake_starved(struct wire_connection *connection);

/* transport.c */
/* Queues a frame, or writes it at once where nothing waits. 0 or -errno (the connection ends). */
int wire_send_frame(struct wire_connection *connection, enum frame_type type, unsigned flags,
                    uint32_t channel, const void *payload, size_t length);
void wire_transport_close(struct wire_connection *connection);
/* Makes the loop come back soon to deliver the end. */
void wire_transport_alarm(struct wire_connection *connection);

#endif
