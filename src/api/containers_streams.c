/* Containers: answers that take as long as the container does. */
#include "api/attachment.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_TEXT_MAX = 4096 };

DEFINE_CLEANUP(struct engine_logs *, logs_cleanup, engine_logs_close)

/* Without streams, attach shows the log and ends. */
static int attach_logs_only(struct engine *engine, struct request *request, struct reply *reply,
                            struct error *err)
{
    const struct engine_logs_options options = {
        .out = request_bool(request, "stdout"),
        .err = request_bool(request, "stderr"),
        .tail = request_bool(request, "logs") ? -1 : 0,
    };
    struct engine_logs *logs = NULL;
    bool terminal = false;
    int r = engine_logs_open(engine, request->name, &options, &logs, &terminal, err);

    return r < 0 ? r : attachment_reply_logs(request, logs, terminal, reply, err);
}

int api_container_attach(void *context, struct request *request, struct reply *reply,
                         struct error *err)
{
    struct engine_attach_options options = {
        .in = request_bool(request, "stdin") && request->wants_upgrade,
        .out = request_bool(request, "stdout"),
        .err = request_bool(request, "stderr"),
        .logs = request_bool(request, "logs"),
        .detach_keys = request_query(request, "detachKeys"),
    };
    CLEANUP(logs_cleanup) struct engine_logs *logs = NULL;
    struct compute_client *client = NULL;
    bool terminal = false;
    int r = 0;

    if (!request_bool(request, "stream"))
        return attach_logs_only(context, request, reply, err);
    /* The log is opened before and read after the attachment: what comes between is there twice
     * rather than not at all. */
    if (options.logs) {
        const struct engine_logs_options what = {
            .out = options.out, .err = options.err, .tail = -1};

        r = engine_logs_open(context, request->name, &what, &logs, &terminal, err);
        if (r < 0)
            return r;
    }
    r = engine_container_attach(context, request->name, &options, &client, &terminal, err);
    if (r < 0)
        return r;
    if (!client) {
        engine_logs_close(TAKE_PTR(logs));
        return attachment_reply_notice(request, NULL, terminal, reply, err);
    }
    return attachment_reply(request, client, terminal, TAKE_PTR(logs), reply, err);
}

/* "all", nothing, and what is no number mean all lines, as in dockerd. */
static int64_t read_tail(const struct request *request)
{
    const char *text = request_query(request, "tail");
    int64_t lines = -1;

    if (!text || string_to_i64(text, &lines) < 0 || lines < 0)
        return -1;
    return lines;
}

int api_container_logs(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    struct engine_logs_options options = {
        .out = request_bool(request, "stdout"),
        .err = request_bool(request, "stderr"),
        .follow = request_bool(request, "follow"),
        .timestamps = request_bool(request, "timestamps"),
        .details = request_bool(request, "details"),
        .tail = read_tail(request),
    };
    struct engine_logs *logs = NULL;
    bool terminal = false;
    int r = request_time(request, "since", &options.since, err);

    if (r >= 0)
        r = request_time(request, "until", &options.until, err);
    if (r < 0)
        return r;
    if (!options.out && !options.err)
        return error_set_class(err, ERROR_INVALID,
                               "Bad parameters: you must choose at least one stream");
    r = engine_logs_open(context, request->name, &options, &logs, &terminal, err);
    return r < 0 ? r : attachment_reply_logs(request, logs, terminal, reply, err);
}

struct wait_stream {
    struct engine_wait *wait;
    bool is_told;
};

static void wait_release(void *data)
{
    struct wait_stream *stream = data;

    engine_wait_end(stream->wait);
    free(stream);
}

static int wait_fd(void *data)
{
    const struct wait_stream *stream = data;

    return engine_wait_fd(stream->wait);
}

static int wait_fill(void *data, struct buffer *out)
{
    struct wait_stream *stream = data;
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_FREE char *text = NULL;
    char reason[WAIT_TEXT_MAX] = "";
    int code = 0;

    if (stream->is_told)
        return -ENODATA;
    if (engine_wait_result(stream->wait, &code, reason, sizeof(reason)) != 1)
        return 0;
    stream->is_told = true;
    document = json_pack("{s:i}", "StatusCode", code);
    if (reason[0]) {
        json_t *error = json_object();

        if (json_put(document, "Error", error) < 0 || json_put_string(error, "Message", reason) < 0)
            return -ENOMEM;
    }
    text = document ? json_format(document) : NULL;
    if (!text || buffer_printf(out, "%s\n", text) < 0)
        return -ENOMEM;
    return 1;
}

static int read_condition(const struct request *request, enum engine_wait_condition *ret,
                          struct error *err)
{
    const char *text = request_query(request, "condition");

    if (string_is_empty(text) || string_equal(text, "not-running"))
        *ret = ENGINE_WAIT_NOT_RUNNING;
    else if (string_equal(text, "next-exit"))
        *ret = ENGINE_WAIT_NEXT_EXIT;
    else if (string_equal(text, "removed"))
        *ret = ENGINE_WAIT_REMOVED;
    else
        return error_set_class(err, ERROR_INVALID, "invalid condition: \"%.64s\"", text);
    return 0;
}

/* The headers go out before the result is there: docker's client takes them as the sign that its
 * wait is registered, and only then starts the container. */
int api_container_wait(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    enum engine_wait_condition condition = ENGINE_WAIT_NOT_RUNNING;
    CLEANUP_FREE struct wait_stream *stream = calloc(1, sizeof(*stream));
    struct reply_source source = {.fill = wait_fill, .fd = wait_fd, .release = wait_release};
    int r = read_condition(request, &condition, err);

    if (r < 0)
        return r;
    if (!stream)
        return error_oom(err);
    r = engine_wait_begin(context, request->name, condition, &stream->wait, err);
    if (r < 0)
        return r;
    source.data = TAKE_PTR(stream);
    reply_stream(reply, TYPE_JSON, &source);
    return 0;
}
