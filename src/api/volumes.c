/* Volumes. */
#include "api/handlers.h"
#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/engine.h"

enum { PRUNE_ANONYMOUS_MINOR = 42 }; /* since API 1.42 a prune leaves named volumes alone */

int api_volume_list(void *context, struct request *request, struct reply *reply, struct error *err)
{
    CLEANUP_JSON json_t *filters = NULL;
    json_t *list = NULL;
    int r = request_filters(request, &filters, err);

    if (r == 0)
        r = engine_volume_list(context, filters, &list, err);
    return r < 0 ? r : reply_json(reply, 200, list, err);
}

int api_volume_create(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    json_t *volume = NULL;
    int r = request_json(request, true, &body, err);

    if (r >= 0)
        r = engine_volume_create(context, body, &volume, err);
    return r < 0 ? r : reply_json(reply, 201, volume, err);
}

int api_volume_inspect(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    json_t *volume = NULL;
    int r = engine_volume_inspect(context, request->name, &volume, err);

    return r < 0 ? r : reply_json(reply, 200, volume, err);
}

/* Only volumes of a swarm can be changed. */
int api_volume_update(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    (void)context;
    (void)request;
    (void)reply;
    return error_set_class(
        err, ERROR_INVALID,
        "volume update only valid for cluster volumes, but swarm is unavailable");
}

int api_volume_remove(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    int r = engine_volume_remove(context, request->name, request_bool(request, "force"), err);

    return r < 0 ? r : reply_empty(reply, 204);
}

int api_volume_prune(void *context, struct request *request, struct reply *reply, struct error *err)
{
    CLEANUP_JSON json_t *filters = NULL;
    json_t *result = NULL;
    int r = request_filters(request, &filters, err);

    if (r == 0)
        r = engine_volume_prune(context, filters, request->version < PRUNE_ANONYMOUS_MINOR, &result,
                                err);
    return r < 0 ? r : reply_json(reply, 200, result, err);
}
