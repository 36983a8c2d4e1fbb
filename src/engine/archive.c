/* Reading and writing a container's files from outside: docker cp, diff and export. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "compute/archive.h"
#include "compute/client.h"
#include "engine/archive_answer.h"
#include "engine/private.h"
#include "image/stream.h"
#include "sandbox/tree-path.h"

/* What one archive may unfold into: a cp of any size, but no bomb. */
#define PUT_LIMITS                                                              \
    {                                                                           \
        .bytes = INT64_C(1) << 50, .allowance = INT64_C(1) << 30, .ratio = 1100 \
    }

struct engine_archive {
    struct container *container;
    struct compute_client *client; /* counted in container->file_users */
    struct compute_archive *stream;
};

struct engine_archive *engine_archive_close(struct engine_archive *archive)
{
    if (!archive)
        return NULL;
    compute_archive_free(archive->stream);
    if (archive->client)
        container_files_put(archive->container, archive->client);
    container_put(archive->container);
    free(archive);
    return NULL;
}

DEFINE_CLEANUP(struct engine_archive *, archive_cleanup, engine_archive_close)
#define CLEANUP_ARCHIVE CLEANUP(archive_cleanup)

static int open_files(struct engine *engine, const char *reference, struct engine_archive **ret,
                      struct error *err)
{
    CLEANUP_ARCHIVE struct engine_archive *archive = calloc(1, sizeof(*archive));
    if (!archive)
        return error_oom(err);
    int r = engine_container_get(engine, reference, &archive->container, err);
    if (r == 0)
        r = container_files_get(archive->container, &archive->client, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(archive);
    return 0;
}

/* --- what a path is --- */

/* In docker's words, whatever it was that is not there. */
static int name_missing(const struct error *failure, const char *path, const char *reference,
                        struct error *err)
{
    if (failure->class != ERROR_NOT_FOUND)
        return error_copy(err, failure);
    return error_set_class(err, ERROR_NOT_FOUND, "Could not find the file %s in container %s", path,
                           reference);
}

/* *ret_resolved (may be NULL): malloc'd, where the path leads. */
static int stat_path(const struct engine_archive *archive, const char *reference, const char *path,
                     json_t **ret, char **ret_resolved, struct error *err)
{
    CLEANUP_FREE char *clean = tree_path_clean(path);
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_JSON json_t *stat = NULL;
    CLEANUP_JSON json_t *request = json_object();
    struct error failure = ERROR_INIT;
    const char *resolved = NULL;
    if (!clean || json_put_string(request, "path", clean) < 0)
        return error_oom(err);
    int r = compute_client_call(archive->client, "stat-path", TAKE_PTR(request), &answer, &failure);
    if (r < 0)
        return name_missing(&failure, path, reference, err);
    r = archive_answer_stat(answer, &stat, &resolved, err);
    if (r < 0)
        return r;
    if (ret_resolved && string_replace(ret_resolved, resolved) < 0)
        return error_oom(err);
    if (ret)
        *ret = TAKE_PTR(stat);
    return 0;
}

int engine_container_stat_path(struct engine *engine, const char *reference, const char *path,
                               json_t **ret, struct error *err)
{
    CLEANUP_ARCHIVE struct engine_archive *archive = NULL;
    int r = open_files(engine, reference, &archive, err);
    return r < 0 ? r : stat_path(archive, reference, path, ret, NULL, err);
}

/* --- out of it --- */

/* Begins a stream and takes its answer, what the path is; `request` is consumed. */
static int begin_read(struct engine_archive *archive, json_t *request, json_t **ret,
                      struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    const char *resolved = NULL;
    int r = compute_archive_begin(archive->client, "archive-read", request, false, &archive->stream,
                                  err);
    if (r == 0)
        r = compute_archive_answer(archive->stream, &answer, err);
    return r < 0 ? r : archive_answer_stat(answer, ret, &resolved, err);
}

int engine_archive_open(struct engine *engine, const char *reference, const char *path,
                        struct engine_archive **ret, json_t **ret_stat, struct error *err)
{
    CLEANUP_ARCHIVE struct engine_archive *archive = NULL;
    CLEANUP_FREE char *clean = tree_path_clean(path);
    CLEANUP_FREE char *name = clean ? tree_path_base(clean) : NULL;
    CLEANUP_JSON json_t *request = json_object();
    struct error failure = ERROR_INIT;
    if (!name || json_put_string(request, "path", clean) < 0 ||
        json_put_string(request, "name", name) < 0)
        return error_oom(err);
    int r = open_files(engine, reference, &archive, err);
    if (r < 0)
        return r;
    r = begin_read(archive, TAKE_PTR(request), ret_stat, &failure);
    if (r < 0)
        return name_missing(&failure, path, reference, err);
    engine_emit_container(engine, archive->container, "archive-path", NULL);
    *ret = TAKE_PTR(archive);
    return 0;
}

static int check_exportable(const struct container *container, struct error *err)
{
    ENGINE_STATE(container->engine);
    if (container->status == CONTAINER_DEAD)
        return error_set_class(err, ERROR_CONFLICT, "You cannot export container %s which is Dead",
                               container->id);
    if (container->status == CONTAINER_RESTARTING)
        return error_set_class(err, ERROR_CONFLICT,
                               "You cannot export container %s which is restarting", container->id);
    return 0;
}

int engine_export_open(struct engine *engine, const char *reference, struct engine_archive **ret,
                       struct error *err)
{
    CLEANUP_ARCHIVE struct engine_archive *archive = NULL;
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_JSON json_t *stat = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r == 0)
        r = check_exportable(container, err);
    if (r == 0)
        r = open_files(engine, container->id, &archive, err);
    if (r < 0)
        return r;
    r = begin_read(archive, json_pack("{s:s, s:b}", "path", "/", "layers", 1), &stat, err);
    if (r < 0)
        return r;
    engine_emit_container(engine, container, "export", NULL);
    *ret = TAKE_PTR(archive);
    return 0;
}

int engine_archive_next(struct engine_archive *archive, const void **ret, size_t *ret_length,
                        struct error *err)
{
    return compute_archive_read(archive->stream, ret, ret_length, err);
}

int engine_archive_fd(const struct engine_archive *archive)
{
    return compute_client_fd(archive->client);
}

/* --- into it --- */

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    while (length > 0 && directory[length - 1] == '/')
        length--;
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* moby, checkIfPathIsInAVolume and ReadonlyRootfs. The container may change the tree meanwhile, and
 * reaches by that only what it may write itself or what is mounted read-only for this, too. */
static int check_writable(struct container *container, const char *path, struct error *err)
{
    CLEANUP_JSON json_t *mounts = NULL;
    json_t *mount;
    size_t i;
    bool read_only;
    {
        ENGINE_STATE(container->engine);
        mounts = engine_mounts_to_json(container);
        read_only = json_is_true(json_object_get(container->host_config, "ReadonlyRootfs"));
    }
    json_array_foreach (mounts, i, mount) {
        const char *target = json_string_value(json_object_get(mount, "Destination"));
        if (!target || !is_below(path, target))
            continue;
        if (!json_is_false(json_object_get(mount, "RW")))
            return 0;
        return error_set_class(err, ERROR_FORBIDDEN, "mounted volume is marked read-only");
    }
    if (read_only)
        return error_set_class(err, ERROR_FORBIDDEN, "container rootfs is marked read-only");
    return 0;
}

static int send_all(struct engine_archive *archive, int fd, const struct image_monitor *monitor,
                    struct error *err)
{
    CLEANUP(stream_cleanup) struct stream *stream = NULL;
    const struct stream_options options = {.fd = fd, .limits = PUT_LIMITS, .monitor = monitor};
    const void *bytes;
    ssize_t n = 0;
    int r = stream_open(&options, &stream, err);
    while (r >= 0 && (n = stream_next(stream, &bytes, err)) > 0)
        r = compute_archive_write(archive->stream, bytes, (size_t)n, err);
    return r < 0 ? r : (int)n;
}

static int put_files(struct engine_archive *archive, const struct engine_put_options *options,
                     int fd, const struct image_monitor *monitor, struct error *err)
{
    CLEANUP_FREE char *clean = tree_path_clean(options->path);
    const char *user = json_string_value(json_object_get(archive->container->config, "User"));
    bool own = options->own && !string_is_empty(user);
    json_t *request =
        json_pack("{s:b, s:b, s:b}", "keep_types", options->keep_types, "devices", 1, "own", own);
    if (!clean || json_put_string(request, "path", clean) < 0) {
        json_decref(request);
        return error_oom(err);
    }
    int r = compute_archive_begin(archive->client, "archive-write", request, true, &archive->stream,
                                  err);
    if (r == 0)
        r = send_all(archive, fd, monitor, err);
    return r < 0 ? r : compute_archive_finish(archive->stream, NULL, err);
}

int engine_archive_put(struct engine *engine, const char *reference,
                       const struct engine_put_options *options, int fd,
                       const struct image_monitor *monitor, struct error *err)
{
    CLEANUP_ARCHIVE struct engine_archive *archive = NULL;
    CLEANUP_FREE char *resolved = NULL;
    struct error failure = ERROR_INIT;
    int r = open_files(engine, reference, &archive, err);
    if (r == 0)
        r = stat_path(archive, reference, options->path, NULL, &resolved, err);
    if (r == 0)
        r = check_writable(archive->container, resolved, err);
    if (r < 0)
        return r;
    r = put_files(archive, options, fd, monitor, &failure);
    if (r < 0)
        return name_missing(&failure, options->path, reference, err);
    engine_emit_container(engine, archive->container, "extract-to-dir", NULL);
    return 0;
}

/* --- what it changed --- */

/* Mount points that every container gets, and the files that are mounted over for it; docker has
 * them in a layer below. */
static json_t *made_by_engine(void)
{
    return json_pack("[s, s, s, s, s, s]", "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname",
                     "/etc/resolv.conf");
}

static int read_all(struct engine_archive *archive, struct buffer *ret, struct error *err)
{
    for (;;) {
        const void *bytes;
        size_t length;
        int r = compute_archive_read(archive->stream, &bytes, &length, err);
        if (r == -ENODATA)
            return 0;
        if (r == 0)
            r = compute_archive_await(archive->stream, err);
        else if (r > 0 && (r = buffer_append(ret, bytes, length)) < 0)
            r = error_set(err, -E2BIG, "the container has changed too much to list it");
        if (r < 0)
            return r;
    }
}

int engine_container_changes(struct engine *engine, const char *reference, char **ret,
                             size_t *ret_length, struct error *err)
{
    CLEANUP_ARCHIVE struct engine_archive *archive = NULL;
    CLEANUP(buffer_release) struct buffer records = BUFFER_INIT(ARCHIVE_RECORDS_MAX);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(ARCHIVE_CHANGES_MAX);
    struct error failure = ERROR_INIT;
    int r = open_files(engine, reference, &archive, err);
    if (r < 0)
        return r;
    r = compute_archive_begin(archive->client, "changes",
                              json_pack("{s:o}", "hidden", made_by_engine()), false,
                              &archive->stream, err);
    if (r == 0)
        r = read_all(archive, &records, err);
    /* The answer comes after the last byte, and says what went wrong. */
    if (r == -EPIPE && compute_archive_answer(archive->stream, NULL, &failure) < 0)
        return error_copy(err, &failure);
    if (r == 0)
        r = compute_archive_answer(archive->stream, NULL, err);
    if (r == 0)
        r = archive_answer_changes(&records, &text, err);
    if (r < 0)
        return r;
    *ret_length = text.length;
    *ret = buffer_take(&text);
    return *ret ? 0 : error_oom(err);
}
