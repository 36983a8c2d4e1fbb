/* hull's own part of the API: compute systems and utility VMs. */
#include "api/handlers.h"
#include "api/reply.h"
#include "base/error.h"
#include "engine/engine.h"

int api_hull_compute_list(void *context, struct request *request, struct reply *reply,
                          struct error *err)
{
    json_t *list = NULL;
    int r = engine_compute_list(context, &list, err);

    (void)request;
    return r < 0 ? r : reply_json(reply, 200, list, err);
}

int api_hull_compute_kill(void *context, struct request *request, struct reply *reply,
                          struct error *err)
{
    int r = engine_compute_kill(context, request->name, err);

    return r < 0 ? r : reply_empty(reply, 204);
}

int api_hull_vm_console(void *context, struct request *request, struct reply *reply,
                        struct error *err)
{
    char *text = NULL;
    size_t length = 0;
    int r = engine_vm_console(context, request->name, &text, &length, err);

    if (r < 0)
        return r;
    reply_text(reply, 200, text, length);
    return 0;
}

int api_hull_vm_trace(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    json_t *phases = NULL;
    int r = engine_vm_trace(context, request->name, &phases, err);

    return r < 0 ? r : reply_json(reply, 200, phases, err);
}

int api_hull_vm_probe(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    json_t *verdicts = NULL;
    int r = engine_vm_probe(context, request_bool(request, "refresh"), &verdicts, err);

    return r < 0 ? r : reply_json(reply, 200, verdicts, err);
}
