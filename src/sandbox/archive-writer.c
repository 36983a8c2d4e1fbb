#include "sandbox/archive-writer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "sandbox/archive-entry.h"
#include "sandbox/archive-header.h"
#include "sandbox/archive-pax.h"

struct tar_writer {
    struct tar_sink sink;
    struct buffer pax;
    int64_t owed;   /* content of the member at hand */
    size_t padding; /* after it */
    size_t used;    /* of the buffer */
    char buffer[TAR_BUFFER_SIZE];
};

int tar_writer_new(const struct tar_sink *sink, struct tar_writer **ret, struct error *err)
{
    struct tar_writer *writer = malloc(sizeof(*writer));

    if (!writer)
        return error_oom(err);
    writer->sink = *sink;
    writer->pax = (struct buffer)BUFFER_INIT(TAR_PAX_MAX);
    writer->owed = 0;
    writer->padding = 0;
    writer->used = 0;
    *ret = writer;
    return 0;
}

struct tar_writer *tar_writer_free(struct tar_writer *writer)
{
    if (writer)
        buffer_release(&writer->pax);
    free(writer);
    return NULL;
}

void tar_writer_cleanup(struct tar_writer **writer)
{
    *writer = tar_writer_free(*writer);
}

static int flush(struct tar_writer *writer, struct error *err)
{
    size_t used = writer->used;

    writer->used = 0;
    return used ? writer->sink.write(writer->sink.data, writer->buffer, used, err) : 0;
}

/* NULL: zeros. */
static int put(struct tar_writer *writer, const void *data, int64_t length, struct error *err)
{
    const char *from = data;

    while (length > 0) {
        size_t n = sizeof(writer->buffer) - writer->used;
        int r;

        if (n == 0) {
            r = flush(writer, err);
            if (r < 0)
                return r;
            continue;
        }
        if ((int64_t)n > length)
            n = (size_t)length;
        if (from)
            memcpy(writer->buffer + writer->used, from, n);
        else
            memset(writer->buffer + writer->used, 0, n);
        from = from ? from + n : NULL;
        writer->used += n;
        length -= (int64_t)n;
    }
    return 0;
}

static int put_padded(struct tar_writer *writer, const struct buffer *text, struct error *err)
{
    int r = put(writer, text->data, (int64_t)text->length, err);

    return r < 0 ? r : put(writer, NULL, (int64_t)header_padding((int64_t)text->length), err);
}

static int end_member(struct tar_writer *writer, struct error *err)
{
    int64_t rest = writer->owed + (int64_t)writer->padding;

    writer->owed = 0;
    writer->padding = 0;
    return put(writer, NULL, rest, err);
}

/* GNU tar, "Storing Sparse Files", PAX Format 1.0: the map is text before the data. */
static int make_map(const struct tar_entry *entry, struct buffer *ret)
{
    int r = buffer_printf(ret, "%zu\n", entry->n_segments);

    for (size_t i = 0; r == 0 && i < entry->n_segments; i++)
        r = buffer_printf(ret, "%" PRId64 "\n%" PRId64 "\n", entry->segments[i].offset,
                          entry->segments[i].size);
    return r;
}

static int put_extended(struct tar_writer *writer, struct error *err)
{
    char header[TAR_UNIT];
    int r;

    if (writer->pax.length == 0)
        return 0;
    header_make_extended(header, (int64_t)writer->pax.length);
    r = put(writer, header, sizeof(header), err);
    return r < 0 ? r : put_padded(writer, &writer->pax, err);
}

int tar_writer_entry(struct tar_writer *writer, const struct tar_entry *entry, struct error *err)
{
    CLEANUP(buffer_release) struct buffer map = BUFFER_INIT(INT_MAX);
    char header[TAR_UNIT];
    int64_t content = tar_entry_stored(entry);
    int64_t stored = content;
    int r = end_member(writer, err);

    if (r < 0)
        return r;
    if (entry->sparse) {
        if (make_map(entry, &map) < 0)
            return error_oom(err);
        stored += (int64_t)(map.length + header_padding((int64_t)map.length));
    }
    buffer_clear(&writer->pax);
    r = pax_make(&writer->pax, entry, stored);
    if (r < 0)
        return error_set(err, r == -ENOMEM ? r : -E2BIG,
                         "'%s' has more attributes than an archive may hold", entry->path);
    r = put_extended(writer, err);
    if (r < 0)
        return r;
    header_make(header, entry, stored);
    r = put(writer, header, sizeof(header), err);
    if (r == 0 && entry->sparse)
        r = put_padded(writer, &map, err);
    if (r < 0)
        return r;
    writer->owed = content;
    writer->padding = header_padding(content);
    return 0;
}

int tar_writer_space(struct tar_writer *writer, void **ret, size_t *ret_length, struct error *err)
{
    size_t free_space = sizeof(writer->buffer) - writer->used;

    if (writer->owed == 0)
        return error_set(err, -ENOSPC, "the member of the archive is complete");
    if (free_space == 0) {
        int r = flush(writer, err);

        if (r < 0)
            return r;
        free_space = sizeof(writer->buffer);
    }
    *ret = writer->buffer + writer->used;
    *ret_length = writer->owed < (int64_t)free_space ? (size_t)writer->owed : free_space;
    return 0;
}

void tar_writer_commit(struct tar_writer *writer, size_t length)
{
    assert((int64_t)length <= writer->owed && length <= sizeof(writer->buffer) - writer->used);
    writer->used += length;
    writer->owed -= (int64_t)length;
}

int64_t tar_writer_owed(const struct tar_writer *writer)
{
    return writer->owed;
}

int tar_writer_zeros(struct tar_writer *writer, int64_t length, struct error *err)
{
    assert(length <= writer->owed);
    writer->owed -= length;
    return put(writer, NULL, length, err);
}

int tar_writer_finish(struct tar_writer *writer, struct error *err)
{
    int r = end_member(writer, err);

    if (r == 0)
        r = put(writer, NULL, 2 * TAR_UNIT, err);
    return r < 0 ? r : flush(writer, err);
}
