/* Networks: bridge, host and none, which cannot be changed. */
#include "api/handlers.h"
#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/engine.h"

int api_network_list(void *context, struct request *request, struct reply *reply, struct error *err)
{
    CLEANUP_JSON json_t *filters = NULL;
    json_t *list = NULL;
    int r = request_filters(request, &filters, err);

    if (r == 0)
        r = engine_network_list(context, filters, &list, err);
    return r < 0 ? r : reply_json(reply, 200, list, err);
}

int api_network_inspect(void *context, struct request *request, struct reply *reply,
                        struct error *err)
{
    json_t *network = NULL;
    int r = engine_network_inspect(context, request->name, &network, err);

    return r < 0 ? r : reply_json(reply, 200, network, err);
}

/* All networks there are belong to the engine. */
int api_network_delete(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    CLEANUP_JSON json_t *network = NULL;
    const char *name = "";
    int r = engine_network_inspect(context, request->name, &network, err);

    (void)reply;
    if (r < 0)
        return r;
    (void)json_get_string(network, "Name", &name, NULL);
    return error_set_class(err, ERROR_FORBIDDEN,
                           "%s is a pre-defined network and cannot be removed", name);
}

int api_network_prune(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    (void)context;
    (void)request;
    return reply_json(reply, 200, json_pack("{s:[]}", "NetworksDeleted"), err);
}
