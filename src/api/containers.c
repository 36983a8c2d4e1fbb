/* Containers: what exists. */
#include "api/handlers.h"
#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/engine.h"

#include <limits.h>
#include <stdlib.h>

int api_container_create(void *context, struct request *request, struct reply *reply,
                         struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    CLEANUP_STRV char **warnings = NULL;
    const char *name = request_query(request, "name");
    const char *platform = request_query(request, "platform");
    char id[65] = "";
    int r = request_json(request, true, &body, err);

    if (r < 0)
        return r;
    r = engine_container_create(context, string_is_empty(name) ? NULL : name,
                                string_is_empty(platform) ? NULL : platform, body, id, &warnings,
                                err);
    if (r < 0)
        return r;
    return reply_json(reply, 201,
                      json_pack("{s:s, s:o}", "Id", id, "Warnings", json_from_strv(warnings)), err);
}

int api_container_list(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    CLEANUP_JSON json_t *filters = NULL;
    struct engine_list_options options = {
        .all = request_bool(request, "all"),
        .size = request_bool(request, "size"),
    };
    json_t *list = NULL;
    int r = request_int(request, "limit", INT_MIN, INT_MAX, &options.limit, err);

    if (r >= 0)
        r = request_filters(request, &filters, err);
    if (r < 0)
        return r;
    options.filters = filters;
    r = engine_container_list(context, &options, &list, err);
    return r < 0 ? r : reply_json(reply, 200, list, err);
}

int api_container_inspect(void *context, struct request *request, struct reply *reply,
                          struct error *err)
{
    json_t *container = NULL;
    int r = engine_container_inspect(context, request->name, request_bool(request, "size"),
                                     &container, err);

    return r < 0 ? r : reply_json(reply, 200, container, err);
}

int api_container_remove(void *context, struct request *request, struct reply *reply,
                         struct error *err)
{
    unsigned flags = 0;
    int r = 0;

    if (request_bool(request, "link"))
        return error_set_class(err, ERROR_NOT_IMPLEMENTED,
                               "links between containers are not offered by this engine");
    if (request_bool(request, "force"))
        flags |= ENGINE_REMOVE_FORCE;
    if (request_bool(request, "v"))
        flags |= ENGINE_REMOVE_VOLUMES;
    r = engine_container_remove(context, request->name, flags, err);
    return r < 0 ? r : reply_empty(reply, 204);
}

int api_container_prune(void *context, struct request *request, struct reply *reply,
                        struct error *err)
{
    CLEANUP_JSON json_t *filters = NULL;
    json_t *result = NULL;
    int r = request_filters(request, &filters, err);

    if (r == 0)
        r = engine_container_prune(context, filters, &result, err);
    return r < 0 ? r : reply_json(reply, 200, result, err);
}

int api_container_rename(void *context, struct request *request, struct reply *reply,
                         struct error *err)
{
    const char *name = request_query(request, "name");
    int r = 0;

    if (string_is_empty(name))
        return error_set_class(err, ERROR_INVALID, "Neither old nor new names may be empty");
    r = engine_container_rename(context, request->name, name, err);
    return r < 0 ? r : reply_empty(reply, 204);
}

int api_container_top(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    const char *ps_args = request_query(request, "ps_args");
    json_t *processes = NULL;
    int r = engine_container_top(context, request->name, string_is_empty(ps_args) ? NULL : ps_args,
                                 &processes, err);

    return r < 0 ? r : reply_json(reply, 200, processes, err);
}
