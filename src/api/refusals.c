/* What dockerd has and this engine does not. Where there is nothing to list, nothing is listed;
 * what would have to do something is refused by its name. */
#include "api/handlers.h"
#include "api/reply.h"
#include "base/error.h"

/* The route says what it is ("building images"). */
int api_refuse_operation(void *context, struct request *request, struct reply *reply,
                         struct error *err)
{
    (void)context;
    (void)reply;
    return error_set_class(err, ERROR_NOT_IMPLEMENTED, "%s: this engine does not offer it",
                           request->what);
}

int api_refuse_swarm(void *context, struct request *request, struct reply *reply, struct error *err)
{
    (void)context;
    (void)request;
    (void)reply;
    return error_set_class(
        err, ERROR_UNAVAILABLE,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker "
        "swarm join\" to connect this node to swarm and try again.");
}

int api_refuse_swarm_leave(void *context, struct request *request, struct reply *reply,
                           struct error *err)
{
    (void)context;
    (void)request;
    (void)reply;
    return error_set_class(err, ERROR_UNAVAILABLE, "This node is not part of a swarm");
}

int api_plugin_list(void *context, struct request *request, struct reply *reply, struct error *err)
{
    (void)context;
    (void)request;
    return reply_json(reply, 200, json_array(), err);
}

/* "docker inspect NAME" asks for each kind of object in turn, and only this answer lets it go on.
 */
int api_plugin_missing(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    (void)context;
    (void)reply;
    return error_set_class(err, ERROR_NOT_FOUND, "plugin \"%s\" not found", request->name);
}

int api_build_prune(void *context, struct request *request, struct reply *reply, struct error *err)
{
    (void)context;
    (void)request;
    return reply_json(reply, 200, json_pack("{s:n, s:i}", "CachesDeleted", "SpaceReclaimed", 0),
                      err);
}
