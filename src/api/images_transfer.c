/* Images: bringing them in. Pull, import and load are operations whose progress is the answer. */
#include "api/handlers.h"
#include "api/operation.h"
#include "api/registry_auth.h"
#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/engine.h"
#include "image/image.h"
#include "spec/reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGES_MAX = 128 };

/* What the thread of an operation works on. */
struct transfer {
    struct engine *engine;
    int fd; /* the body, or -EBADF */
    char *reference;
    char *message;
    char **changes;
    char *platform_text; /* what `platform` points into */
    struct image_platform platform;
    bool has_platform;
    bool all_tags;
    bool quiet;
    bool has_auth;
    struct registry_auth auth;
};

static void transfer_free(void *data)
{
    struct transfer *transfer = data;

    fd_close(transfer->fd);
    free(transfer->reference);
    free(transfer->message);
    strv_free(transfer->changes);
    free(transfer->platform_text);
    registry_auth_release(&transfer->auth);
    free(transfer);
}

static struct transfer *transfer_new(struct engine *engine, int fd)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));

    if (!transfer) {
        fd_close(fd);
        return NULL;
    }
    transfer->engine = engine;
    transfer->fd = fd;
    transfer->auth = (struct registry_auth)REGISTRY_AUTH_INIT;
    return transfer;
}

DEFINE_CLEANUP(struct transfer *, transfer_cleanup, transfer_free)
#define CLEANUP_TRANSFER CLEANUP(transfer_cleanup)

/* load has the platform as a JSON object since API 1.48, the others as "os/arch/variant". */
static int platform_text(const char *parameter, char **ret, struct error *err)
{
    CLEANUP_JSON json_t *document = NULL;
    const char *os = "linux";
    const char *architecture = "";
    const char *variant = "";
    int r = 0;

    if (parameter[0] != '{') {
        *ret = strdup(parameter);
        return *ret ? 0 : error_oom(err);
    }
    r = json_parse(parameter, strlen(parameter), &document, err);
    if (r == 0)
        r = json_get_string(document, "os", &os, err);
    if (r >= 0)
        r = json_get_string(document, "architecture", &architecture, err);
    if (r >= 0)
        r = json_get_string(document, "variant", &variant, err);
    if (r < 0)
        return error_wrap(err, r, "failed to parse platform");
    *ret = *variant ? string_format("%s/%s/%s", os, architecture, variant)
                    : string_format("%s/%s", os, architecture);
    return *ret ? 0 : error_oom(err);
}

static int read_platform(const struct request *request, struct transfer *transfer,
                         struct error *err)
{
    const char *parameter = request_query(request, "platform");
    CLEANUP_FREE char *text = NULL;
    int r = 0;

    if (string_is_empty(parameter))
        return 0;
    r = platform_text(parameter, &text, err);
    if (r == 0)
        r = image_platform_parse(text, &transfer->platform, &transfer->platform_text, err);
    if (r < 0)
        return r;
    transfer->has_platform = true;
    return 0;
}

static const struct image_platform *asked_platform(const struct transfer *transfer)
{
    return transfer->has_platform ? &transfer->platform : NULL;
}

static void emit_events(struct engine *engine, const char *action, const struct image_names *names)
{
    for (size_t i = 0; i < strv_length(names->ids) && i < strv_length(names->names); i++)
        engine_image_event(engine, action, names->ids[i], names->names[i]);
}

/* --- pull --- */

static int run_pull(void *data, const struct image_monitor *monitor, struct error *err)
{
    struct transfer *transfer = data;
    CLEANUP(image_names_release) struct image_names names = IMAGE_NAMES_INIT;
    const struct image_pull_options options = {
        .reference = transfer->reference,
        .all_tags = transfer->all_tags,
        .platform = asked_platform(transfer),
        .auth = transfer->has_auth ? &transfer->auth.auth : NULL,
    };
    struct error failure = ERROR_INIT;
    int r = image_pull(engine_images(transfer->engine), &options, monitor, &names, &failure);

    /* As moby: a 401 would be about this API, and docker's client asks for a login on it. */
    if (failure.class == ERROR_UNAUTHORIZED)
        failure.class = ERROR_SYSTEM;
    if (r < 0)
        return error_copy(err, &failure);
    emit_events(transfer->engine, "pull", &names);
    return 0;
}

/* fromImage and tag, which may be a digest; with neither all tags are meant. */
static int read_image(const struct request *request, struct transfer *transfer, struct error *err)
{
    const char *image = request_query(request, "fromImage");
    const char *tag = request_query(request, "tag");
    struct reference reference = REFERENCE_INIT;
    int r = reference_parse(image, &reference, err);

    if (r < 0)
        return r;
    transfer->all_tags = string_is_empty(tag) && !reference.tag && !reference.digest;
    reference_release(&reference);
    if (string_is_empty(tag))
        transfer->reference = strdup(image);
    else
        transfer->reference =
            string_format(string_starts_with(tag, "sha256:") ? "%s@%s" : "%s:%s", image, tag);
    return transfer->reference ? 0 : error_oom(err);
}

static int start_pull(struct engine *engine, struct request *request, struct error *err)
{
    CLEANUP_TRANSFER struct transfer *transfer = transfer_new(engine, -EBADF);
    int r = transfer ? read_image(request, transfer, err) : error_oom(err);

    if (r == 0)
        r = read_platform(request, transfer, err);
    if (r < 0)
        return r;
    /* As dockerd: a header that makes no sense is no header. */
    if (!string_is_empty(request->registry_auth) &&
        registry_auth_decode(request->registry_auth, &transfer->auth, NULL) == 0)
        transfer->has_auth = true;
    return operation_start(run_pull, transfer_free, TAKE_PTR(transfer), &request->operation, err);
}

/* --- import --- */

static int run_import(void *data, const struct image_monitor *monitor, struct error *err)
{
    struct transfer *transfer = data;
    CLEANUP_FREE char *id = NULL;
    const struct image_import_options options = {
        .reference = transfer->reference,
        .message = transfer->message,
        .changes = transfer->changes,
        .platform = transfer->platform,
    };
    struct image_progress_event done = {.stream = NULL};
    int r =
        image_import(engine_images(transfer->engine), transfer->fd, &options, monitor, &id, err);

    if (r < 0)
        return r;
    done.status = id;
    monitor->report(monitor->data, &done);
    engine_image_event(transfer->engine, "import", id, string_or(transfer->reference, ""));
    return 0;
}

static int read_import(const struct request *request, struct transfer *transfer, struct error *err)
{
    const char *repository = request_query(request, "repo");
    const char *tag = request_query(request, "tag");
    const char *message = request_query(request, "message");
    int r = request_query_all(request, "changes", &transfer->changes, err);

    if (r < 0)
        return r;
    if (strv_length(transfer->changes) > CHANGES_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d changes", CHANGES_MAX);
    if (!string_is_empty(repository)) {
        transfer->reference =
            string_is_empty(tag) ? strdup(repository) : string_format("%s:%s", repository, tag);
        if (!transfer->reference)
            return error_oom(err);
    }
    if (!string_is_empty(message) && string_replace(&transfer->message, message) < 0)
        return error_oom(err);
    return read_platform(request, transfer, err);
}

/* Consumes `fd`. */
static int start_import(struct engine *engine, struct request *request, int fd, struct error *err)
{
    CLEANUP_TRANSFER struct transfer *transfer = transfer_new(engine, fd);
    int r = transfer ? read_import(request, transfer, err) : error_oom(err);

    if (r < 0)
        return r;
    return operation_start(run_import, transfer_free, TAKE_PTR(transfer), &request->operation, err);
}

int api_image_create_begin(void *context, struct request *request, int body_fd, struct error *err)
{
    CLEANUP_CLOSE int fd = body_fd;
    const char *source = request_query(request, "fromSrc");

    if (!string_is_empty(request_query(request, "fromImage")))
        return start_pull(context, request, err);
    if (string_is_empty(source))
        return error_set_class(err, ERROR_INVALID, "invalid reference format");
    if (!string_equal(source, "-"))
        return error_set_class(err, ERROR_NOT_IMPLEMENTED,
                               "importing from a URL is not offered by this engine: download it "
                               "and import the file");
    return start_import(context, request, TAKE_FD(fd), err);
}

int api_image_create(void *context, struct request *request, struct reply *reply, struct error *err)
{
    (void)context;
    return operation_reply(request->operation, request, reply, err);
}

/* --- load --- */

static int run_load(void *data, const struct image_monitor *monitor, struct error *err)
{
    struct transfer *transfer = data;
    CLEANUP(image_names_release) struct image_names names = IMAGE_NAMES_INIT;
    int r = image_load(engine_images(transfer->engine), transfer->fd, transfer->quiet,
                       asked_platform(transfer), monitor, &names, err);

    if (r < 0)
        return r;
    emit_events(transfer->engine, "load", &names);
    return 0;
}

int api_image_load_begin(void *context, struct request *request, int body_fd, struct error *err)
{
    CLEANUP_TRANSFER struct transfer *transfer = transfer_new(context, body_fd);
    int r = 0;

    if (!transfer)
        return error_oom(err);
    r = read_platform(request, transfer, err);
    if (r < 0)
        return r;
    transfer->quiet = request_bool_or(request, "quiet", true);
    return operation_start(run_load, transfer_free, TAKE_PTR(transfer), &request->operation, err);
}

int api_image_load_archive(void *context, struct request *request, struct reply *reply,
                           struct error *err)
{
    (void)context;
    return operation_reply(request->operation, request, reply, err);
}
