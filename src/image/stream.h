/* A layer's bytes as they come off the store: decompressed (gzip, zstd, xz, bzip2 or as it is),
 * hashed, counted, and bounded. What is read here is the tar whose sha256 is the diff id. */
#ifndef HULL_IMAGE_STREAM_H
#define HULL_IMAGE_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "image/digest.h"

struct archive;
struct error;
struct image_monitor;
struct stream;

/* How much a compressed stream may unfold into: `allowance` bytes in any case, above that `ratio`
 * times its compressed size, and never more than `bytes`. */
struct stream_limits {
    int64_t bytes;
    int64_t allowance;
    int64_t ratio;
};

/* Reads from `fd` (borrowed). `progress` (may be NULL) is told how many bytes of input were taken.
 */
struct stream_options {
    int fd;
    struct stream_limits limits;
    const struct image_monitor *monitor;
    void (*progress)(void *data, int64_t taken);
    void *progress_data;
};

int stream_open(const struct stream_options *options, struct stream **ret, struct error *err);
struct stream *stream_free(struct stream *stream);
void stream_cleanup(struct stream **stream);

/* Opens a tar reader over the stream; archive_read_free() it before the stream. When a libarchive
 * call on it failed, stream_error() says why. */
int stream_open_tar(struct stream *stream, struct archive **ret, struct error *err);

/* The message for a failure of `tar`: the stream's own (limit, cancel, damage), else libarchive's.
 */
int stream_error(struct stream *stream, struct archive *tar, struct error *err);

/* The next plain bytes, borrowed until the next call: their number, 0 at the end. */
ssize_t stream_next(struct stream *stream, const void **ret, struct error *err);

/* Counts bytes that a sparse file claims without having them in the stream. */
int stream_charge(struct stream *stream, int64_t bytes, struct error *err);

/* Reads what the tar reader left and gives the digest of all of it. */
int stream_finish(struct stream *stream, char ret[DIGEST_TEXT_SIZE], struct error *err);

#endif
