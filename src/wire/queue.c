#include "wire/queue.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum {
    CHUNK_MIN = 4096 - 64, /* with malloc's overhead within a page */
    CHUNK_MAX = 64 * 1024,
    WRITE_VECTORS = 16,
};

struct wire_chunk {
    struct wire_chunk *next;
    size_t start;
    size_t end;
    size_t capacity;
    uint8_t bytes[];
};

void wire_queue_release(struct wire_queue *queue)
{
    while (queue->first) {
        struct wire_chunk *next = queue->first->next;

        free(queue->first);
        queue->first = next;
    }
    queue->last = NULL;
    queue->length = 0;
}

static struct wire_chunk *chunk_new(size_t wanted)
{
    size_t capacity = wanted < CHUNK_MIN ? CHUNK_MIN : wanted > CHUNK_MAX ? CHUNK_MAX : wanted;
    struct wire_chunk *chunk = malloc(sizeof(*chunk) + capacity);

    if (chunk)
        *chunk = (struct wire_chunk){.capacity = capacity};
    return chunk;
}

int wire_queue_append(struct wire_queue *queue, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    size_t room = queue->last ? queue->last->capacity - queue->last->end : 0;
    struct wire_queue more = {0};

    /* All chunks first, so that a failure leaves nothing half added. */
    for (size_t have = room; have < length;) {
        struct wire_chunk *chunk = chunk_new(length - have);

        if (!chunk) {
            wire_queue_release(&more);
            return -ENOMEM;
        }
        if (more.last)
            more.last->next = chunk;
        else
            more.first = chunk;
        more.last = chunk;
        have += chunk->capacity;
    }
    struct wire_chunk *chunk = queue->last;
    if (more.first) {
        if (queue->last)
            queue->last->next = more.first;
        else
            queue->first = more.first;
        queue->last = more.last;
    }
    if (!chunk)
        chunk = more.first;
    queue->length += length;
    for (; chunk && length > 0; chunk = chunk->next) {
        size_t n = chunk->capacity - chunk->end;

        if (n > length)
            n = length;
        if (n > 0)
            memcpy(chunk->bytes + chunk->end, bytes, n);
        chunk->end += n;
        bytes += n;
        length -= n;
    }
    return 0;
}

const void *wire_queue_peek(const struct wire_queue *queue, size_t *ret_length)
{
    if (!queue->first)
        return NULL;
    *ret_length = queue->first->end - queue->first->start;
    return queue->first->bytes + queue->first->start;
}

void wire_queue_consume(struct wire_queue *queue, size_t length)
{
    while (queue->first && length > 0) {
        struct wire_chunk *chunk = queue->first;
        size_t n = chunk->end - chunk->start;

        if (n > length)
            n = length;
        chunk->start += n;
        queue->length -= n;
        length -= n;
        if (chunk->start < chunk->end)
            return;
        queue->first = chunk->next;
        if (!queue->first)
            queue->last = NULL;
        free(chunk);
    }
}

ssize_t wire_queue_write(struct wire_queue *queue, int fd)
{
    ssize_t total = 0;

    while (queue->first) {
        struct iovec vectors[WRITE_VECTORS];
        int count = 0;

        for (struct wire_chunk *chunk = queue->first; chunk && count < WRITE_VECTORS;
             chunk = chunk->next)
            vectors[count++] = (struct iovec){.iov_base = chunk->bytes + chunk->start,
                                              .iov_len = chunk->end - chunk->start};
        ssize_t n = writev(fd, vectors, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0)
            return -errno;
        wire_queue_consume(queue, (size_t)n);
        total += n;
    }
    return total;
}
