/* The engine as a whole. */
#include "api/handlers.h"
#include "api/reply.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_BATCH = 64 * 1024 };

/* Builder-Version 1 and Swarm: inactive come with no_cache (respond.c). */
int api_system_ping(void *context, struct request *request, struct reply *reply, struct error *err)
{
    char *text = strdup("OK");

    (void)context;
    (void)request;
    if (!text)
        return error_oom(err);
    reply_text(reply, 200, text, strlen(text));
    reply->no_cache = true;
    return 0;
}

int api_system_version(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    json_t *version = NULL;
    int r = engine_version(context, &version, err);

    (void)request;
    return r < 0 ? r : reply_json(reply, 200, version, err);
}

int api_system_info(void *context, struct request *request, struct reply *reply, struct error *err)
{
    json_t *info = NULL;
    int r = engine_info(context, &info, err);

    (void)request;
    return r < 0 ? r : reply_json(reply, 200, info, err);
}

int api_system_usage(void *context, struct request *request, struct reply *reply, struct error *err)
{
    json_t *usage = NULL;
    int r = engine_disk_usage(context, &usage, err);

    (void)request;
    return r < 0 ? r : reply_json(reply, 200, usage, err);
}

static int events_fill(void *data, struct buffer *out)
{
    size_t before = out->length;

    while (out->length - before < EVENTS_BATCH) {
        CLEANUP_JSON json_t *event = NULL;
        CLEANUP_FREE char *text = NULL;
        int r = engine_events_next(data, &event);

        if (r <= 0)
            return out->length > before ? 1 : r;
        text = json_format(event);
        if (!text || buffer_printf(out, "%s\n", text) < 0)
            return -ENOMEM;
    }
    return 1;
}

static int events_fd(void *data)
{
    return engine_events_fd(data);
}

static void events_release(void *data)
{
    engine_events_unsubscribe(data);
}

int api_system_events(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    CLEANUP_JSON json_t *filters = NULL;
    struct reply_source source = {
        .fill = events_fill,
        .fd = events_fd,
        .release = events_release,
    };
    struct engine_subscription *subscription = NULL;
    int64_t since = 0;
    int64_t until = 0;
    int r = request_time(request, "since", &since, err);

    if (r >= 0)
        r = request_time(request, "until", &until, err);
    if (r >= 0)
        r = request_filters(request, &filters, err);
    if (r >= 0 && since > 0 && until > 0 && until < since)
        r = error_set_class(err, ERROR_INVALID,
                            "`since` time (%s) cannot be after `until` time (%s)",
                            request_query(request, "since"), request_query(request, "until"));
    if (r >= 0)
        r = engine_events_subscribe(context, since, until, filters, &subscription, err);
    if (r < 0)
        return r;
    source.data = subscription;
    reply_stream(reply, TYPE_JSON, &source);
    return 0;
}
