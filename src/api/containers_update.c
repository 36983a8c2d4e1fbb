/* Containers: what they may use. */
#include "api/handlers.h"
#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/engine.h"

enum { PIDS_LIMIT_VERSION = 40 }; /* older clients send 0 for "as it is" */

int api_container_update(void *context, struct request *request, struct reply *reply,
                         struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    CLEANUP_STRV char **warnings = NULL;
    int r = request_json(request, true, &body, err);

    if (r < 0)
        return r;
    if (request->version < PIDS_LIMIT_VERSION)
        (void)json_object_del(body, "PidsLimit");
    r = engine_container_update(context, request->name, body, &warnings, err);
    if (r < 0)
        return r;
    return reply_json(
        reply, 200,
        json_pack("{s:o}", "Warnings", warnings ? json_from_strv(warnings) : json_null()), err);
}
