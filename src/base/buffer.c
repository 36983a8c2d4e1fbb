#include "base/buffer.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER_CAPACITY_MIN = 64 };

void buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->length = 0;
    buffer->capacity = 0;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    if (buffer->data)
        buffer->data[0] = '\0';
}

/* Makes capacity for `length` more bytes and the NUL. */
static int buffer_grow(struct buffer *buffer, size_t length)
{
    size_t limit = buffer->max < SIZE_MAX ? buffer->max + 1 : SIZE_MAX;
    size_t need;
    size_t capacity = buffer->capacity;
    char *data;

    if (length > limit - 1 - buffer->length)
        return -EOVERFLOW;
    need = buffer->length + length + 1;
    if (need <= capacity)
        return 0;
    if (capacity < BUFFER_CAPACITY_MIN)
        capacity = BUFFER_CAPACITY_MIN;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    if (capacity > limit)
        capacity = limit;
    data = realloc(buffer->data, capacity);
    if (!data)
        return -ENOMEM;
    data[buffer->length] = '\0';
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *data, size_t length)
{
    int r;

    if (length == 0)
        return 0;
    r = buffer_grow(buffer, length);
    if (r < 0)
        return r;
    memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
    return 0;
}

int buffer_append_string(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_char(struct buffer *buffer, char c)
{
    return buffer_append(buffer, &c, 1);
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    int r;

    va_start(args, format);
    r = buffer_vprintf(buffer, format, args);
    va_end(args);
    return r;
}

int buffer_vprintf(struct buffer *buffer, const char *format, va_list args)
{
    va_list again;
    int n;
    int r;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0)
        return -EOVERFLOW;
    r = buffer_grow(buffer, (size_t)n);
    if (r < 0)
        return r;
    vsnprintf(buffer->data + buffer->length, (size_t)n + 1, format, args);
    buffer->length += (size_t)n;
    return 0;
}

void *buffer_reserve(struct buffer *buffer, size_t length)
{
    if (buffer_grow(buffer, length) < 0)
        return NULL;
    return buffer->data + buffer->length;
}

void buffer_commit(struct buffer *buffer, size_t length)
{
    /* More than was reserved has already overrun the block: nothing sensible is left to do. */
    if (length > 0 && length >= buffer->capacity - buffer->length)
        abort();
    buffer->length += length;
    if (buffer->data)
        buffer->data[buffer->length] = '\0';
}

void buffer_consume(struct buffer *buffer, size_t length)
{
    if (length > buffer->length)
        length = buffer->length;
    if (length == 0)
        return;
    buffer->length -= length;
    memmove(buffer->data, buffer->data + length, buffer->length);
    buffer->data[buffer->length] = '\0';
}

const char *buffer_string(const struct buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}

char *buffer_take(struct buffer *buffer)
{
    char *data = buffer->data ? buffer->data : strdup("");

    buffer->data = NULL;
    buffer->length = 0;
    buffer->capacity = 0;
    return data;
}
