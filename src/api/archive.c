/* Containers: their files, as tar streams. */
#include "api/handlers.h"
#include "api/operation.h"
#include "api/reply.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* dockerd, ArchiveFormValues; the missing space is its own. */
static int need_path(const struct request *request, const char **ret, struct error *err)
{
    *ret = request_query(request, "path");
    if (string_is_empty(*ret))
        return error_set_class(err, ERROR_INVALID, "bad parameter: pathcannot be empty");
    return 0;
}

/* base64 (RFC 4648, section 4) of the JSON text, malloc'd; `stat` is consumed. */
static char *encode_stat(json_t *stat)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    CLEANUP_JSON json_t *owned = stat;
    CLEANUP_FREE char *text = owned ? json_format(owned) : NULL;
    size_t length = text ? strlen(text) : 0;
    char *encoded = text ? malloc((length + 2) / 3 * 4 + 1) : NULL;
    char *out = encoded;

    for (size_t i = 0; encoded && i < length; i += 3) {
        uint32_t bits = (uint32_t)(uint8_t)text[i] << 16;

        bits |= i + 1 < length ? (uint32_t)(uint8_t)text[i + 1] << 8 : 0;
        bits |= i + 2 < length ? (uint8_t)text[i + 2] : 0;
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = i + 1 < length ? digits[bits >> 6 & 63] : '=';
        *out++ = i + 2 < length ? digits[bits & 63] : '=';
    }
    if (encoded)
        *out = '\0';
    return encoded;
}

static int put_stat(struct reply *reply, json_t *stat, struct error *err)
{
    reply->path_stat = encode_stat(stat);
    return reply->path_stat ? 0 : error_oom(err);
}

int api_archive_stat(void *context, struct request *request, struct reply *reply, struct error *err)
{
    const char *path = NULL;
    json_t *stat = NULL;
    int r = need_path(request, &path, err);

    if (r == 0)
        r = engine_container_stat_path(context, request->name, path, &stat, err);
    if (r < 0)
        return r;
    (void)reply_empty(reply, 200);
    return put_stat(reply, stat, err);
}

/* --- out --- */

static int read_fill(void *data, struct buffer *out)
{
    const void *bytes = NULL;
    size_t length = 0;
    int r = engine_archive_next(data, &bytes, &length, NULL);

    return r > 0 && buffer_append(out, bytes, length) < 0 ? -ENOMEM : r;
}

static int read_fd(void *data)
{
    return engine_archive_fd(data);
}

static void read_release(void *data)
{
    engine_archive_close(data);
}

static void reply_archive(struct reply *reply, const char *type, struct engine_archive *archive)
{
    const struct reply_source source = {
        .fill = read_fill, .fd = read_fd, .release = read_release, .data = archive};

    reply_stream(reply, type, &source);
}

int api_archive_get(void *context, struct request *request, struct reply *reply, struct error *err)
{
    struct engine_archive *archive = NULL;
    const char *path = NULL;
    json_t *stat = NULL;
    int r = need_path(request, &path, err);

    if (r == 0)
        r = engine_archive_open(context, request->name, path, &archive, &stat, err);
    if (r < 0)
        return r;
    reply_archive(reply, "application/x-tar", archive);
    return put_stat(reply, stat, err);
}

int api_container_export(void *context, struct request *request, struct reply *reply,
                         struct error *err)
{
    struct engine_archive *archive = NULL;
    int r = engine_export_open(context, request->name, &archive, err);

    if (r < 0)
        return r;
    reply_archive(reply, "application/octet-stream", archive);
    return 0;
}

int api_container_changes(void *context, struct request *request, struct reply *reply,
                          struct error *err)
{
    char *changes = NULL;
    size_t length = 0;
    int r = engine_container_changes(context, request->name, &changes, &length, err);

    if (r < 0)
        return r;
    reply_text(reply, 200, changes, length);
    reply->content_type = TYPE_JSON;
    return 0;
}

/* --- in --- */

struct put {
    struct engine *engine;
    char *name;
    char *path;
    bool keep_types;
    bool own;
    int fd;
};

static void put_free(void *data)
{
    struct put *put = data;

    fd_close(put->fd);
    free(put->name);
    free(put->path);
    free(put);
}

static int run_put(void *data, const struct image_monitor *monitor, struct error *err)
{
    const struct put *put = data;
    const struct engine_put_options options = {
        .path = put->path, .keep_types = put->keep_types, .own = put->own};

    return engine_archive_put(put->engine, put->name, &options, put->fd, monitor, err);
}

int api_archive_put_begin(void *context, struct request *request, int body_fd, struct error *err)
{
    CLEANUP_CLOSE int fd = body_fd;
    const char *path = NULL;
    int r = need_path(request, &path, err);

    if (r < 0)
        return r;
    struct put *put = calloc(1, sizeof(*put));
    if (!put)
        return error_oom(err);
    put->engine = context;
    put->keep_types = request_bool(request, "noOverwriteDirNonDir");
    put->own = request_bool(request, "copyUIDGID");
    put->fd = TAKE_FD(fd);
    if (string_replace(&put->name, request->name) < 0 || string_replace(&put->path, path) < 0) {
        put_free(put);
        return error_oom(err);
    }
    return operation_start(run_put, put_free, put, &request->operation, err);
}

int api_archive_put(void *context, struct request *request, struct reply *reply, struct error *err)
{
    int r = operation_finish(request->operation, request, err);

    (void)context;
    return r < 0 ? r : reply_empty(reply, 200);
}
