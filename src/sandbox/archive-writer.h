/* Writes a tar archive in the pax format, as a stream: see archive-entry.h for what it says.
 *
 *     tar_writer_new(&sink, &writer, err);
 *     for each member:
 *         tar_writer_entry(writer, &entry, err);
 *         tar_entry_stored(&entry) bytes by tar_writer_space() and tar_writer_commit()
 *     tar_writer_finish(writer, err);
 *
 * Memory is bounded: one buffer, and one member's extended header. */
#ifndef HULL_SANDBOX_ARCHIVE_WRITER_H
#define HULL_SANDBOX_ARCHIVE_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct tar_entry;
struct tar_sink;
struct tar_writer;

/* `sink` is copied; it is called with up to TAR_BUFFER_SIZE bytes at a time. */
int tar_writer_new(const struct tar_sink *sink, struct tar_writer **ret, struct error *err);
/* Forgets what was not written. Accepts NULL, returns NULL. */
struct tar_writer *tar_writer_free(struct tar_writer *writer);
void tar_writer_cleanup(struct tar_writer **writer); /* for CLEANUP() */

/* Begins a member. Content of the one before that was not committed is filled with zeros (a file
 * that shrank while it was read). -E2BIG above the maxima of archive-entry.h, -errno of the sink.
 */
int tar_writer_entry(struct tar_writer *writer, const struct tar_entry *entry, struct error *err);

/* Where to put the next bytes of content, *ret_length of them (> 0) at most; content that is
 * complete has -ENOSPC. Then says how many were put there. */
int tar_writer_space(struct tar_writer *writer, void **ret, size_t *ret_length, struct error *err);
void tar_writer_commit(struct tar_writer *writer, size_t length);
/* Bytes of content that the current member still owes. */
int64_t tar_writer_owed(const struct tar_writer *writer);
/* Zeros for that many of them. */
int tar_writer_zeros(struct tar_writer *writer, int64_t length, struct error *err);

/* The end of the archive, and everything to the sink. */
int tar_writer_finish(struct tar_writer *writer, struct error *err);

#endif
