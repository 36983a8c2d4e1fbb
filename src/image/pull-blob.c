/* One blob: streamed, hashed, and taken up again where a broken connection left it. */
#include <errno.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "image/blob.h"
#include "image/pull.h"

struct download {
    struct pull *pull;
    const char *digest;
    int64_t size;
    const char *id;
    struct blob_writer writer;
    int64_t reported; /* monotonic time of the last event */
    struct error failure;
};

static void report(struct download *download, bool now)
{
    int64_t time = timestamp_monotonic();
    if (!download->id || (!now && time - download->reported < (int64_t)PULL_REPORT_MS * 1000000))
        return;
    download->reported = time;
    const struct image_progress_event event = {
        .status = "Downloading",
        .id = download->id,
        .current = download->writer.size,
        .total = download->size,
    };
    monitor_report(&download->pull->monitor, &event);
}

static int on_begin(void *data, bool partial)
{
    struct download *download = data;
    if (partial || download->writer.size == 0)
        return 0;
    /* The server does not do ranges: all over again. */
    return blob_restart(&download->writer, &download->failure);
}

static int on_bytes(void *data, const void *bytes, size_t length)
{
    struct download *download = data;
    if ((int64_t)length > download->size - download->writer.size)
        return error_set_class(&download->failure, ERROR_INVALID,
                               "blob %s is longer than the %lld bytes that its manifest says",
                               download->digest, (long long)download->size);
    int r = blob_write(&download->writer, bytes, length, &download->failure);
    if (r == 0)
        report(download, false);
    return r;
}

/* Waits before another attempt, unless the caller gives up. */
static int back_off(struct download *download, int attempt, struct error *err)
{
    struct pull *pull = download->pull;
    struct timespec now, until;
    int seconds = attempt < PULL_ATTEMPTS_MAX ? attempt : PULL_ATTEMPTS_MAX;
    if (download->id)
        monitor_status(&pull->monitor, download->id, "Retrying in %d second%s", seconds,
                       seconds == 1 ? "" : "s");
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    for (;;) {
        int r = monitor_check(&pull->monitor, err);
        if (r < 0)
            return r;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > until.tv_sec ||
            (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec))
            return 0;
        /* In short pieces: the caller's cancel function wakes nobody. */
        struct timespec piece = now;
        piece.tv_nsec += 200 * 1000000L;
        piece.tv_sec += piece.tv_nsec / 1000000000L;
        piece.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&pull->lock);
        if (!pull->stop)
            pthread_cond_timedwait(&pull->changed, &pull->lock, &piece);
        pthread_mutex_unlock(&pull->lock);
    }
}

static int attempt(struct download *download, const char *path, bool *ret_again, struct error *err)
{
    struct registry_response response;
    const struct registry_request request = {
        .path = path,
        .begin = on_begin,
        .sink = on_bytes,
        .data = download,
        .offset = download->writer.size,
    };
    *ret_again = false;
    int r = registry_get(&download->pull->registry, &request, &response, err);
    if (download->failure.code != 0)
        return error_copy(err, &download->failure);
    if (r == 0 && download->writer.size == download->size)
        return 0;
    if (r == 0) {
        *ret_again = true;
        return error_set_class(err, ERROR_UNAVAILABLE, "blob %s: unexpected EOF", download->digest);
    }
    /* The part that is there cannot be what the server has: begin anew. */
    if (response.status == 416 && download->writer.size > 0) {
        *ret_again = true;
        int restart = blob_restart(&download->writer, err);
        return restart < 0 ? restart : r;
    }
    *ret_again = registry_may_retry(&response, r);
    return r;
}

static int transfer(struct download *download, struct error *err)
{
    CLEANUP_FREE char *path = string_format("blobs/%s", download->digest);
    int idle = 0;
    if (!path)
        return error_oom(err);
    for (int resumes = 0;; resumes++) {
        struct error why = ERROR_INIT;
        int64_t before = download->writer.size;
        bool again;
        int r = attempt(download, path, &again, &why);
        if (r == 0)
            return 0;
        idle = download->writer.size > before ? 0 : idle + 1;
        if (!again || idle >= PULL_ATTEMPTS_MAX || resumes >= PULL_RESUMES_MAX)
            return error_copy(err, &why);
        if (idle > 0 && (r = back_off(download, idle, err)) < 0)
            return r;
    }
}

static int verify(struct download *download, struct error *err)
{
    char actual[DIGEST_TEXT_SIZE];
    struct error why = ERROR_INIT;
    if (download->id)
        monitor_status(&download->pull->monitor, download->id, "Verifying Checksum");
    int r = blob_commit(&download->writer, download->digest, &download->pull->lease, actual, &why);
    if (r < 0 && why.class == ERROR_INVALID)
        return error_set_class(err, ERROR_INVALID,
                               "filesystem layer verification failed for digest %s",
                               download->digest);
    return r < 0 ? error_copy(err, &why) : 0;
}

static int fetch(struct download *download, struct error *err)
{
    int r = blob_create(download->pull->store, &download->writer, err);
    if (r < 0)
        return r;
    r = transfer(download, err);
    if (r == 0) {
        report(download, true);
        r = verify(download, err);
    }
    blob_writer_release(&download->writer);
    return r;
}

int pull_blob(struct pull *pull, const char *digest, int64_t size, const char *id,
              struct error *err)
{
    struct store_claim claim = {0};
    struct download download = {
        .pull = pull,
        .digest = digest,
        .size = size,
        .id = id,
        .writer = BLOB_WRITER_INIT,
    };
    CLEANUP_FREE char *key = string_format("blob:%s", digest);
    if (!key || store_lease_blob(pull->store, &pull->lease, digest) < 0)
        return error_oom(err);
    int r = store_claim(pull->store, key, &pull->monitor, &claim);
    if (r < 0)
        return r == -ECANCELED ? error_set(err, r, "context canceled") : error_oom(err);
    if (!blob_exists(pull->store, digest, NULL))
        r = fetch(&download, err);
    store_claim_release(pull->store, &claim);
    if (r == 0 && id)
        monitor_status(&pull->monitor, id, "Download complete");
    return r;
}
