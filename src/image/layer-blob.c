#include "image/layer-blob.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "image/blob.h"
#include "image/manifest.h"
#include "image/store.h"
#include "image/stream.h"
#include "image/unpack.h"

static bool begins(const void *head, size_t length, const char *magic, size_t magic_length)
{
    return length >= magic_length && memcmp(head, magic, magic_length) == 0;
}

/* gzip RFC 1952, zstd RFC 8878, xz "The .xz File Format" 2.1.1.1, bzip2 "BZh". */
const char *layer_blob_type(const void *head, size_t length)
{
    if (begins(head, length, "\x1f\x8b", 2))
        return MEDIA_OCI_LAYER "+gzip";
    if (begins(head, length, "\x28\xb5\x2f\xfd", 4))
        return MEDIA_OCI_LAYER "+zstd";
    if (begins(head, length,
               "\xfd"
               "7zXZ\0",
               6) ||
        begins(head, length, "BZh", 3))
        return NULL;
    return MEDIA_OCI_LAYER;
}

static int copy_plain(struct stream *stream, struct blob_writer *writer, struct error *err)
{
    const void *block;
    ssize_t n;
    while ((n = stream_next(stream, &block, err)) > 0) {
        int r = blob_write(writer, block, (size_t)n, err);
        if (r < 0)
            return r;
    }
    return (int)n;
}

int layer_blob_plain(struct image_store *store, struct store_lease *lease,
                     const struct image_monitor *monitor, char digest[DIGEST_TEXT_SIZE],
                     int64_t *size, struct error *err)
{
    CLEANUP(blob_writer_release) struct blob_writer writer = BLOB_WRITER_INIT;
    CLEANUP(stream_cleanup) struct stream *stream = NULL;
    char plain[DIGEST_TEXT_SIZE];
    CLEANUP_CLOSE int fd = blob_open(store, digest, NULL, err);
    if (fd < 0)
        return fd;
    const struct stream_options options = {.fd = fd, .limits = UNPACK_LIMITS, .monitor = monitor};
    int r = blob_create(store, &writer, err);
    if (r < 0)
        return r;
    r = stream_open(&options, &stream, err);
    if (r == 0)
        r = copy_plain(stream, &writer, err);
    if (r < 0)
        return error_wrap(err, r, "layer %s", digest);
    int64_t written = writer.size;
    r = blob_commit(&writer, NULL, lease, plain, err);
    if (r < 0)
        return r;
    memcpy(digest, plain, DIGEST_TEXT_SIZE);
    *size = written;
    return 0;
}
