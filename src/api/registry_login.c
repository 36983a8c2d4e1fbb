/* POST /auth: docker login. */
#include "api/handlers.h"
#include "api/registry_auth.h"
#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/engine.h"
#include "image/image.h"

#include <errno.h>
#include <stdlib.h>

static bool is_forsaken(void *data)
{
    return request_is_forsaken(data);
}

int api_registry_login(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    CLEANUP(registry_auth_release) struct registry_auth auth = REGISTRY_AUTH_INIT;
    CLEANUP_JSON json_t *body = NULL;
    CLEANUP_FREE char *token = NULL;
    const char *server = "";
    const struct image_monitor monitor = {.cancelled = is_forsaken, .data = request};
    int r = request_json(request, true, &body, err);

    if (r >= 0)
        r = json_get_string(body, "serveraddress", &server, err);
    if (r >= 0)
        r = registry_auth_read(body, &auth, err);
    if (r >= 0)
        r = image_login(engine_images(context), server, &auth.auth, &monitor, &token, err);
    if (r == -ECANCELED) { /* there is nobody to answer */
        error_clear(err);
        return -ECONNRESET;
    }
    if (r < 0)
        return r;
    return reply_json(
        reply, 200,
        json_pack("{s:s, s:s}", "IdentityToken", string_or(token, ""), "Status", "Login Succeeded"),
        err);
}
