/* A growing byte buffer that never grows past the maximum it was born with.
 *
 * Invariants: data is NULL or a NUL-terminated block (the NUL is not counted in length, so text
 * can be used as a C string; binary content is fine too); length <= max. Once an append failed
 * the buffer keeps what it had. */
#ifndef HULL_BASE_BUFFER_H
#define HULL_BASE_BUFFER_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

struct buffer {
    char *data;
    size_t length;
    size_t capacity;
    size_t max;
};

/* CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(SOME_NAMED_MAX); */
#define BUFFER_INIT(maximum)                                       \
    {                                                              \
        .data = NULL, .length = 0, .capacity = 0, .max = (maximum) \
    }

/* Frees the content; the buffer is empty and usable again. */
void buffer_release(struct buffer *buffer);

/* Forgets the content, keeps the memory. */
void buffer_clear(struct buffer *buffer);

/* Append. Return 0, -EOVERFLOW when the maximum would be passed, -ENOMEM. */
int buffer_append(struct buffer *buffer, const void *data, size_t length);
int buffer_append_string(struct buffer *buffer, const char *text);
int buffer_append_char(struct buffer *buffer, char c);
int buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int buffer_vprintf(struct buffer *buffer, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Makes room for `length` more bytes and returns where to write them, or NULL (same limits);
 * buffer_commit() then counts those that were written. */
void *buffer_reserve(struct buffer *buffer, size_t length);
void buffer_commit(struct buffer *buffer, size_t length);

/* Drops the first `length` bytes (at most all of them). */
void buffer_consume(struct buffer *buffer, size_t length);

/* Text content as a C string; "" when empty. Valid until the next change. */
const char *buffer_string(const struct buffer *buffer);

/* Hands over the malloc'd, NUL-terminated content (never NULL but when out of memory) and leaves
 * the buffer empty. */
char *buffer_take(struct buffer *buffer);

#endif
