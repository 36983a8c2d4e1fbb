/* Attaching to a container: each client has a connection to the worker of its own. */
#include "base/cleanup.h"
#include "base/error.h"
#include "compute/client.h"
#include "engine/private.h"

static int check_attachable(struct container *container, bool *ret_prepare, struct error *err)
{
    ENGINE_STATE(container->engine);
    if (!container->in_table)
        return error_set_class(err, ERROR_NOT_FOUND, "No such container: %s", container->id);
    if (container->status == CONTAINER_REMOVING || container->status == CONTAINER_DEAD)
        return error_set_class(err, ERROR_CONFLICT, "container %s is marked for removal",
                               container->id);
    if (container->status == CONTAINER_PAUSED)
        return error_set_class(err, ERROR_CONFLICT,
                               "container %s is paused, unpause the container before attach",
                               container->id);
    if (container->status == CONTAINER_RESTARTING)
        return error_set_class(err, ERROR_CONFLICT,
                               "container %s is restarting, wait until the container is running",
                               container->id);
    *ret_prepare = !container_is_running(container);
    return 0;
}

int engine_container_attach(struct engine *engine, const char *reference,
                            const struct engine_attach_options *options,
                            struct compute_client **ret, bool *ret_terminal, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    struct compute_client *client = NULL;
    bool prepare = false;
    int r = engine_container_get(engine, reference, &container, err);
    if (r == 0)
        r = check_attachable(container, &prepare, err);
    if (r < 0)
        return r;
    if (prepare) {
        /* docker attaches before it starts: the worker must be there to keep every byte. */
        CONTAINER_OPERATION(container);
        r = check_attachable(container, &prepare, err); /* again: it may be gone by now */
        if (r < 0)
            return r;
        if (prepare && container_prepare(container, NULL) < 0) {
            /* It cannot run as things are. The start that follows says why, as in docker. */
            *ret_terminal = container->terminal;
            *ret = NULL;
            return 0;
        }
    }
    r = compute_client_connect(container->runtime_dir, &client, err);
    if (r < 0)
        return r;
    struct compute_streams streams = {
        .in = options->in && container->open_stdin,
        .out = options->out,
        .err = options->err && !container->terminal,
        .detach_keys = options->detach_keys,
    };
    r = compute_client_attach(client, &streams, ret_terminal, err);
    if (r < 0) {
        compute_client_free(client);
        return r;
    }
    engine_emit_container(engine, container, "attach", NULL);
    *ret = client;
    return 0;
}
