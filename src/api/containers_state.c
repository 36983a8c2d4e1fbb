/* Containers: what they do. */
#include "api/handlers.h"
#include "api/reply.h"
#include "base/error.h"
#include "base/strings.h"
#include "engine/engine.h"

#include <limits.h>

enum { START_BODY_MAX = 7, SIZE_MAX_CELLS = 65535 };

int api_container_start(void *context, struct request *request, struct reply *reply,
                        struct error *err)
{
    int r = 0;

    /* "null" and "{}" are what old clients send for nothing. */
    if (request->body.length > START_BODY_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "starting container with non-empty request body was deprecated "
                               "since API v1.22 and removed in v1.24");
    if (!string_is_empty(request_query(request, "checkpoint")))
        return error_set_class(err, ERROR_NOT_IMPLEMENTED,
                               "checkpoints are not offered by this engine");
    r = engine_container_start(context, request->name, err);
    return r < 0 ? r : reply_empty(reply, 204);
}

/* Parameters of stop and restart: any negative time-out means to wait for ever. */
static int read_stop(const struct request *request, const char **ret_signal, int *ret_timeout,
                     struct error *err)
{
    const char *signal = request_query(request, "signal");
    int timeout = ENGINE_TIMEOUT_DEFAULT;
    int r = request_int(request, "t", INT_MIN, INT_MAX, &timeout, err);

    if (r < 0)
        return r;
    if (r == 1 && timeout < 0)
        timeout = ENGINE_TIMEOUT_NONE;
    *ret_signal = string_is_empty(signal) ? NULL : signal;
    *ret_timeout = timeout;
    return 0;
}

int api_container_stop(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    const char *signal = NULL;
    int timeout = 0;
    int r = read_stop(request, &signal, &timeout, err);

    if (r == 0)
        r = engine_container_stop(context, request->name, signal, timeout, err);
    return r < 0 ? r : reply_empty(reply, 204);
}

int api_container_restart(void *context, struct request *request, struct reply *reply,
                          struct error *err)
{
    const char *signal = NULL;
    int timeout = 0;
    int r = read_stop(request, &signal, &timeout, err);

    if (r == 0)
        r = engine_container_restart(context, request->name, signal, timeout, err);
    return r < 0 ? r : reply_empty(reply, 204);
}

int api_container_kill(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    const char *signal = request_query(request, "signal");
    int r =
        engine_container_kill(context, request->name, string_is_empty(signal) ? NULL : signal, err);

    return r < 0 ? r : reply_empty(reply, 204);
}

int api_container_pause(void *context, struct request *request, struct reply *reply,
                        struct error *err)
{
    int r = engine_container_pause(context, request->name, true, err);

    return r < 0 ? r : reply_empty(reply, 204);
}

int api_container_unpause(void *context, struct request *request, struct reply *reply,
                          struct error *err)
{
    int r = engine_container_pause(context, request->name, false, err);

    return r < 0 ? r : reply_empty(reply, 204);
}

/* Both are needed, as dockerd has it. */
static int read_size(const struct request *request, int *ret_width, int *ret_height,
                     struct error *err)
{
    int width = 0;
    int height = 0;
    int r = request_int(request, "h", 0, SIZE_MAX_CELLS, &height, err);

    if (r == 1)
        r = request_int(request, "w", 0, SIZE_MAX_CELLS, &width, err);
    if (r < 0)
        return r;
    if (r == 0)
        return error_set_class(err, ERROR_INVALID,
                               "strconv.ParseUint: parsing \"\": invalid syntax");
    *ret_width = width;
    *ret_height = height;
    return 0;
}

int api_container_resize(void *context, struct request *request, struct reply *reply,
                         struct error *err)
{
    int width = 0;
    int height = 0;
    int r = read_size(request, &width, &height, err);

    if (r == 0)
        r = engine_container_resize(context, request->name, width, height, err);
    return r < 0 ? r : reply_empty(reply, 200);
}

int api_exec_resize(void *context, struct request *request, struct reply *reply, struct error *err)
{
    int width = 0;
    int height = 0;
    int r = read_size(request, &width, &height, err);

    if (r == 0)
        r = engine_exec_resize(context, request->name, width, height, err);
    return r < 0 ? r : reply_empty(reply, 200);
}
