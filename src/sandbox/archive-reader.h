/* Reads a tar archive as a stream: pax, ustar, v7, and GNU tar's long names and sparse files (old
 * format, 0.0, 0.1, 1.0). Not compressed.
 *
 *     tar_reader_new(&source, flags, &reader, err);
 *     while ((r = tar_reader_next(reader, &entry, err)) > 0)
 *         while ((r = tar_reader_data(reader, &bytes, &length, &offset, err)) > 0)
 *             ...
 *
 * Every byte is hostile. Memory is bounded: one buffer, one member's extended header, one sparse
 * map. An error of the archive is ERROR_INVALID and says at which byte of the stream it is. Names
 * are given as the archive has them; where they may lead is for the caller to check. */
#ifndef HULL_SANDBOX_ARCHIVE_READER_H
#define HULL_SANDBOX_ARCHIVE_READER_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct tar_entry;
struct tar_reader;
struct tar_source;

enum tar_reader_flags {
    /* A stream that ends without the two blocks of zeros was cut. Without the flag it may end
     * between two members, as tars that were written by hand do. */
    TAR_READER_NEED_END = 1 << 0,
};

/* `source` is copied; it is asked for up to TAR_BUFFER_SIZE bytes at a time. */
int tar_reader_new(const struct tar_source *source, unsigned flags, struct tar_reader **ret,
                   struct error *err);
/* Accepts NULL, returns NULL. */
struct tar_reader *tar_reader_free(struct tar_reader *reader);
void tar_reader_cleanup(struct tar_reader **reader); /* for CLEANUP() */

/* The next member, skipping content of the one before: 1, 0 at the end, -errno. *entry was zeroed
 * or filled by an earlier call, is cleared first, and must stay as it is while content is read;
 * tar_entry_clear() it at last. */
int tar_reader_next(struct tar_reader *reader, struct tar_entry *entry, struct error *err);

/* The next piece of content and where in the file it belongs: 1, 0 when there is no more, -errno.
 * Pieces rise and are within the entry's size. The bytes are the reader's, until the next call. */
int tar_reader_data(struct tar_reader *reader, const void **ret, size_t *ret_length,
                    int64_t *ret_offset, struct error *err);

/* Reads what comes after the end of the archive, at most `max` bytes, so that its writer is not
 * stopped in the middle of its padding. */
int tar_reader_drain(struct tar_reader *reader, uint64_t max, struct error *err);

/* Bytes of the stream that were taken. */
uint64_t tar_reader_offset(const struct tar_reader *reader);

#endif
