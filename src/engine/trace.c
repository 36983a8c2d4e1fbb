/* The engine's marks of a container's start and end, and what `hull vm trace` gets. */
#include "base/trace.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "engine/private.h"

void container_trace_begin(struct container *container)
{
    trace_remove(container->directory);
    ENGINE_STATE(container->engine);
    container->trace = (struct trace){.at = {0}};
    trace_now(&container->trace, TRACE_BEGIN);
}

void container_mark(struct container *container, enum trace_mark mark)
{
    ENGINE_STATE(container->engine);
    trace_now(&container->trace, mark);
}

void container_mark_write(struct container *container, enum trace_mark mark)
{
    struct trace now;
    struct trace whole = {.at = {0}};
    container_mark(container, mark);
    {
        ENGINE_STATE(container->engine);
        now = container->trace;
    }
    /* What an earlier hulld has seen of this run. */
    (void)trace_read(container->directory, TRACE_ENGINE_FILE, &whole, NULL);
    trace_merge(&whole, &now);
    (void)trace_write(container->directory, TRACE_ENGINE_FILE, &whole, NULL);
}

int engine_vm_trace(struct engine *engine, const char *reference, json_t **ret, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    struct trace trace = {.at = {0}};
    struct trace worker = {.at = {0}};
    struct error missing = ERROR_INIT; /* a worker that could not start its container wrote none */
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    r = trace_read(container->directory, TRACE_ENGINE_FILE, &trace, &missing);
    if (r == -ENOENT)
        return error_set_class(err, ERROR_NOT_FOUND, "container %s has not been started yet",
                               reference);
    if (r == 0)
        r = trace_read(container->directory, TRACE_WORKER_FILE, &worker, &missing);
    if (r < 0 && r != -ENOENT)
        return error_copy(err, &missing);
    trace_merge(&trace, &worker);
    {
        ENGINE_STATE(engine);
        trace_merge(&trace, &container->trace);
    }
    *ret = trace_phases(&trace);
    return *ret ? 0 : error_oom(err);
}
