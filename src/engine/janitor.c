/* The janitor: what takes long after a container's end. The loop thread must not block, and an API
 * thread may not be there. Each task has a thread (task_pool.h), so one container that is slow to
 * start or to clean up does not keep the others waiting.
 *
 * It waits for no container's operation lock, which the start of a VM may hold for long: a task
 * that finds the lock taken comes again.
 *
 * A task is for one run of a container, but that after a conversion. By the time it is its turn
 * somebody else may have cleaned up, started the container again or removed it; the run's number
 * tells. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "engine/private.h"
#include "engine/task_pool.h"

struct janitor_task {
    struct task task;
    enum janitor_task_kind kind;
    struct container *container; /* a reference */
    uint64_t run;
};

struct janitor {
    struct task_pool *pool;
};

static bool still_this_run(struct container *container, uint64_t run)
{
    ENGINE_STATE(container->engine);
    return container->run == run && container->in_table;
}

/* [operation] */
static void janitor_ended(const struct janitor_task *task)
{
    struct container *container = task->container;
    if (!still_this_run(container, task->run))
        return;
    container_cleanup(container);
    bool remove;
    {
        ENGINE_STATE(container->engine);
        remove = container->auto_remove && container->status == CONTAINER_EXITED &&
                 container->restarts == 0;
    }
    struct error err = ERROR_INIT;
    if (remove && container_remove_locked(container, ENGINE_REMOVE_VOLUMES, &err) < 0)
        log_error("cannot remove container %s: %s", container->id, err.message);
}

/* [operation] */
static void janitor_restart(const struct janitor_task *task)
{
    struct container *container = task->container;
    struct error err = ERROR_INIT;
    if (container_restart_locked(container, task->run, &err) < 0)
        log_error("cannot restart container %s: %s", container->id, err.message);
}

/* [operation] Whatever it is and does by now, it has one layer. */
static void janitor_converted(const struct janitor_task *task)
{
    bool there;
    {
        ENGINE_STATE(task->container->engine);
        there = task->container->in_table;
    }
    if (there)
        container_convert_discard(task->container);
}

static void task_free(struct janitor_task *task)
{
    container_put(task->container);
    free(task);
}

/* False: somebody works on the container, so it must be tried again. */
static bool task_run(struct task *data)
{
    struct janitor_task *task = CONTAINER_OF(data, struct janitor_task, task);
    if (pthread_mutex_trylock(&task->container->operation) != 0)
        return false;
    switch (task->kind) {
    case JANITOR_ENDED:
        janitor_ended(task);
        break;
    case JANITOR_RESTART:
        janitor_restart(task);
        break;
    case JANITOR_CONVERTED:
        janitor_converted(task);
        break;
    }
    pthread_mutex_unlock(&task->container->operation);
    task_free(task);
    return true;
}

static void task_drop(struct task *data)
{
    task_free(CONTAINER_OF(data, struct janitor_task, task));
}

struct janitor *janitor_new(struct error *err)
{
    static const struct task_pool_handlers handlers = {.run = task_run, .drop = task_drop};
    struct janitor *janitor = calloc(1, sizeof(*janitor));
    if (!janitor) {
        error_oom(err);
        return NULL;
    }
    if (task_pool_new(&handlers, &janitor->pool, err) < 0) {
        free(janitor);
        return NULL;
    }
    return janitor;
}

struct janitor *janitor_free(struct janitor *janitor)
{
    if (!janitor)
        return NULL;
    task_pool_free(janitor->pool);
    free(janitor);
    return NULL;
}

void janitor_queue(struct janitor *janitor, enum janitor_task_kind kind,
                   struct container *container, uint64_t run, int64_t delay_ms)
{
    struct janitor_task *task = calloc(1, sizeof(*task));
    if (!task)
        return; /* what it would have done is done at the next start or removal */
    *task = (struct janitor_task){.kind = kind, .container = container_ref(container), .run = run};
    task_pool_add(janitor->pool, &task->task, delay_ms);
}
