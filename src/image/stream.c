#include "image/stream.h"

#include <archive.h>
#include <archive_entry.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "image/store.h"

enum { STREAM_BLOCK = 128 * 1024 };

struct stream {
    struct stream_options options;
    struct archive *raw;
    struct digest *digest;
    int64_t taken;   /* bytes of input */
    int64_t charged; /* bytes of output, and claimed by sparse files */
    bool ended;
    struct error failure; /* what a callback could not return through libarchive */
    char block[STREAM_BLOCK];
};

static ssize_t read_input(struct archive *archive, void *data, const void **ret)
{
    struct stream *stream = data;
    if (monitor_check(stream->options.monitor, &stream->failure) < 0) {
        archive_set_error(archive, ECANCELED, "cancelled");
        return -1;
    }
    ssize_t n;
    do {
        n = read(stream->options.fd, stream->block, sizeof(stream->block));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        error_set_errno(&stream->failure, -errno, "cannot read");
        archive_set_error(archive, errno, "cannot read");
        return -1;
    }
    stream->taken += n;
    if (n > 0 && stream->options.progress)
        stream->options.progress(stream->options.progress_data, stream->taken);
    *ret = stream->block;
    return n;
}

static int check_limits(struct stream *stream, struct error *err)
{
    const struct stream_limits *limits = &stream->options.limits;
    int64_t allowed = limits->allowance;
    if (stream->taken > 0 && stream->taken <= limits->bytes / limits->ratio &&
        stream->taken * limits->ratio > allowed)
        allowed = stream->taken * limits->ratio;
    else if (stream->taken > limits->bytes / limits->ratio)
        allowed = limits->bytes;
    if (allowed > limits->bytes)
        allowed = limits->bytes;
    if (stream->charged <= allowed)
        return 0;
    return error_set_class(err, ERROR_INVALID,
                           "archive unpacks to more than %lld bytes from %lld: refused",
                           (long long)allowed, (long long)stream->taken);
}

int stream_charge(struct stream *stream, int64_t bytes, struct error *err)
{
    if (bytes < 0 || __builtin_add_overflow(stream->charged, bytes, &stream->charged))
        stream->charged = INT64_MAX;
    return check_limits(stream, err);
}

/* One block of plain bytes: its length, 0 at the end, -1 with stream->failure set. */
static ssize_t next_block(struct stream *stream, const void **ret)
{
    size_t length = 0;
    int64_t offset = 0;
    if (stream->ended)
        return 0;
    int r = archive_read_data_block(stream->raw, ret, &length, &offset);
    if (r == ARCHIVE_EOF) {
        stream->ended = true;
        return 0;
    }
    if (r < ARCHIVE_WARN) {
        if (stream->failure.code == 0)
            error_set_class(&stream->failure, ERROR_INVALID, "%s",
                            archive_error_string(stream->raw) ? archive_error_string(stream->raw)
                                                              : "damaged archive");
        return -1;
    }
    if (digest_update(stream->digest, *ret, length) < 0) {
        error_set(&stream->failure, -EIO, "cannot compute sha256");
        return -1;
    }
    return stream_charge(stream, (int64_t)length, &stream->failure) < 0 ? -1 : (ssize_t)length;
}

static ssize_t feed_tar(struct archive *archive, void *data, const void **ret)
{
    ssize_t n = next_block(data, ret);
    if (n < 0)
        archive_set_error(archive, EIO, "damaged archive");
    return n;
}

/* The first header of the raw "format" makes libarchive find out about the compression. */
static int open_raw(struct stream *stream, struct error *err)
{
    struct archive_entry *entry;
    archive_read_support_filter_gzip(stream->raw);
    archive_read_support_filter_zstd(stream->raw);
    archive_read_support_filter_xz(stream->raw);
    archive_read_support_filter_bzip2(stream->raw);
    archive_read_support_format_raw(stream->raw);
    archive_read_support_format_empty(stream->raw);
    int r = archive_read_open(stream->raw, stream, NULL, read_input, NULL);
    if (r >= ARCHIVE_WARN)
        r = archive_read_next_header(stream->raw, &entry);
    if (r == ARCHIVE_EOF) {
        stream->ended = true;
        return 0;
    }
    if (r >= ARCHIVE_WARN)
        return 0;
    if (stream->failure.code != 0)
        return error_copy(err, &stream->failure);
    return error_set_class(err, ERROR_INVALID, "%s", archive_error_string(stream->raw));
}

int stream_open(const struct stream_options *options, struct stream **ret, struct error *err)
{
    CLEANUP(stream_cleanup) struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return error_oom(err);
    stream->options = *options;
    int r = digest_new(&stream->digest, err);
    if (r < 0)
        return r;
    stream->raw = archive_read_new();
    if (!stream->raw)
        return error_oom(err);
    r = open_raw(stream, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(stream);
    return 0;
}

struct stream *stream_free(struct stream *stream)
{
    if (!stream)
        return NULL;
    if (stream->raw)
        archive_read_free(stream->raw);
    digest_free(stream->digest);
    free(stream);
    return NULL;
}

void stream_cleanup(struct stream **stream)
{
    *stream = stream_free(*stream);
}

int stream_open_tar(struct stream *stream, struct archive **ret, struct error *err)
{
    struct archive *tar = archive_read_new();
    if (!tar)
        return error_oom(err);
    archive_read_support_format_tar(tar);
    archive_read_support_format_empty(tar);
    if (archive_read_open(tar, stream, NULL, feed_tar, NULL) < ARCHIVE_WARN) {
        int r = stream_error(stream, tar, err);
        archive_read_free(tar);
        return r;
    }
    *ret = tar;
    return 0;
}

int stream_error(struct stream *stream, struct archive *tar, struct error *err)
{
    if (stream->failure.code != 0)
        return error_copy(err, &stream->failure);
    const char *text = archive_error_string(tar);
    return error_set_class(err, ERROR_INVALID, "%s", text ? text : "damaged archive");
}

ssize_t stream_next(struct stream *stream, const void **ret, struct error *err)
{
    ssize_t n = next_block(stream, ret);
    return n < 0 ? error_copy(err, &stream->failure) : n;
}

int stream_finish(struct stream *stream, char ret[DIGEST_TEXT_SIZE], struct error *err)
{
    const void *block;
    ssize_t n;
    while ((n = next_block(stream, &block)) > 0)
        ;
    if (n < 0)
        return error_copy(err, &stream->failure);
    if (digest_finish(stream->digest, ret) < 0)
        return error_set(err, -EIO, "cannot compute sha256");
    return 0;
}
