/* Images: what exists. */
#include "api/handlers.h"
#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/engine.h"
#include "image/image.h"

#include <stdlib.h>

DEFINE_CLEANUP(struct image *, image_cleanup, image_free)

int api_image_list_all(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    CLEANUP_JSON json_t *filters = NULL;
    json_t *list = NULL;
    int r = request_filters(request, &filters, err);

    if (r == 0)
        r = engine_image_list(context, request_bool(request, "all"), filters, &list, err);
    return r < 0 ? r : reply_json(reply, 200, list, err);
}

int api_image_inspect(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    json_t *image = NULL;
    int r = engine_image_inspect(context, request->name, &image, err);

    return r < 0 ? r : reply_json(reply, 200, image, err);
}

int api_image_history(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    json_t *history = NULL;
    int r = engine_image_history(context, request->name, &history, err);

    return r < 0 ? r : reply_json(reply, 200, history, err);
}

int api_image_tag_add(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    struct image_store *store = engine_images(context);
    CLEANUP(image_cleanup) struct image *image = NULL;
    const char *repository = string_or(request_query(request, "repo"), "");
    const char *tag = request_query(request, "tag");
    CLEANUP_FREE char *target = string_is_empty(tag) ? string_format("%s", repository)
                                                     : string_format("%s:%s", repository, tag);
    int r = 0;

    if (!target)
        return error_oom(err);
    r = image_tag(store, request->name, target, err);
    if (r == 0)
        r = image_find(store, target, &image, err);
    if (r < 0)
        return r;
    engine_image_event(context, "tag", image->id, target);
    return reply_empty(reply, 201);
}

int api_image_delete(void *context, struct request *request, struct reply *reply, struct error *err)
{
    json_t *removed = NULL;
    int r = engine_image_remove(context, request->name, request_bool(request, "force"),
                                !request_bool(request, "noprune"), &removed, err);

    return r < 0 ? r : reply_json(reply, 200, removed, err);
}

int api_image_prune_unused(void *context, struct request *request, struct reply *reply,
                           struct error *err)
{
    CLEANUP_JSON json_t *filters = NULL;
    json_t *result = NULL;
    int r = request_filters(request, &filters, err);

    if (r == 0)
        r = engine_image_prune(context, filters, &result, err);
    return r < 0 ? r : reply_json(reply, 200, result, err);
}
