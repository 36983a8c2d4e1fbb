/* A first-in-first-out queue of bytes in chunks: memory grows with what waits and shrinks again,
 * which a long-lived process with many idle connections wants. */
#ifndef HULL_WIRE_QUEUE_H
#define HULL_WIRE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct wire_chunk;

/* All zero is an empty queue. length: bytes that wait. The maximum is the owner's to keep. */
struct wire_queue {
    struct wire_chunk *first;
    struct wire_chunk *last;
    size_t length;
};

void wire_queue_release(struct wire_queue *queue);

/* Copies to the end; 0 or -ENOMEM (then nothing was added). */
int wire_queue_append(struct wire_queue *queue, const void *data, size_t length);

/* The first contiguous bytes, or NULL when empty. Valid until the next change. */
const void *wire_queue_peek(const struct wire_queue *queue, size_t *ret_length);

/* Drops bytes from the front (at most all). */
void wire_queue_consume(struct wire_queue *queue, size_t length);

/* Writes from the front until it is empty or the descriptor takes no more. Bytes written (0: it
 * would block) or -errno. */
ssize_t wire_queue_write(struct wire_queue *queue, int fd);

#endif
