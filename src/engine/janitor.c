/* The janitor: a thread for what takes long after a container's end. The loop thread must not
 * block, and an API thread may not be there.
 *
 * It waits for no container's operation lock, which a stop with much patience may hold for hours:
 * the other containers would wait with it. A task that finds the lock taken comes again.
 *
 * A task is for one run of a container. By the time it is its turn somebody else may have cleaned
 * up, started the container again or removed it; the run's number tells. */
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/timestamp.h"
#include "engine/private.h"

enum { BUSY_DELAY_MS = 20 };

struct task {
    struct list node;
    enum janitor_task kind;
    struct container *container; /* a reference */
    uint64_t run;
    int64_t due; /* CLOCK_MONOTONIC nanoseconds */
};

struct janitor {
    struct engine *engine;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list tasks;
    bool ending;
};

static int64_t monotonic_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool still_this_run(struct container *container, uint64_t run)
{
    ENGINE_STATE(container->engine);
    return container->run == run && container->in_table;
}

/* [operation] */
static void janitor_ended(const struct task *task)
{
    struct container *container = task->container;
    if (!still_this_run(container, task->run))
        return;
    container_cleanup(container);
    bool remove;
    {
        ENGINE_STATE(container->engine);
        remove = container->auto_remove && container->status == CONTAINER_EXITED &&
                 !container->keep_on_exit;
    }
    struct error err = ERROR_INIT;
    if (remove && container_remove_locked(container, 0, &err) < 0)
        log_error("cannot remove container %s: %s", container->id, err.message);
}

/* [operation] */
static void janitor_restart(const struct task *task)
{
    struct container *container = task->container;
    struct error err = ERROR_INIT;
    if (container_restart_locked(container, task->run, &err) < 0)
        log_error("cannot restart container %s: %s", container->id, err.message);
}

/* False: somebody works on the container, so it must be tried again. */
static bool task_run(struct task *task)
{
    if (pthread_mutex_trylock(&task->container->operation) != 0)
        return false;
    switch (task->kind) {
    case JANITOR_ENDED:
        janitor_ended(task);
        break;
    case JANITOR_RESTART:
        janitor_restart(task);
        break;
    }
    pthread_mutex_unlock(&task->container->operation);
    container_put(task->container);
    free(task);
    return true;
}

/* The first task that is due, or NULL and when the next one is. */
static struct task *janitor_next(struct janitor *janitor, int64_t *ret_due)
{
    int64_t now = monotonic_now();
    *ret_due = INT64_MAX;
    LIST_FOR_EACH (task, &janitor->tasks, struct task, node) {
        if (task->due <= now) {
            list_remove(&task->node);
            return task;
        }
        if (task->due < *ret_due)
            *ret_due = task->due;
    }
    return NULL;
}

static void *janitor_run(void *data)
{
    struct janitor *janitor = data;
    pthread_mutex_lock(&janitor->lock);
    while (!janitor->ending) {
        int64_t due;
        struct task *task = janitor_next(janitor, &due);
        if (task) {
            pthread_mutex_unlock(&janitor->lock);
            bool done = task_run(task);
            pthread_mutex_lock(&janitor->lock);
            if (!done) {
                task->due = monotonic_now() + BUSY_DELAY_MS * 1000000LL;
                list_append(&janitor->tasks, &task->node);
            }
        } else if (due == INT64_MAX) {
            pthread_cond_wait(&janitor->wake, &janitor->lock);
        } else {
            struct timespec limit = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
            pthread_cond_timedwait(&janitor->wake, &janitor->lock, &limit);
        }
    }
    pthread_mutex_unlock(&janitor->lock);
    return NULL;
}

struct janitor *janitor_new(struct engine *engine, struct error *err)
{
    struct janitor *janitor = calloc(1, sizeof(*janitor));
    pthread_condattr_t attributes;
    if (!janitor) {
        error_oom(err);
        return NULL;
    }
    janitor->engine = engine;
    list_init(&janitor->tasks);
    pthread_mutex_init(&janitor->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&janitor->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    int r = pthread_create(&janitor->thread, NULL, janitor_run, janitor);
    if (r != 0) {
        error_set_errno(err, -r, "cannot start the janitor thread");
        free(janitor);
        return NULL;
    }
    return janitor;
}

struct janitor *janitor_free(struct janitor *janitor)
{
    if (!janitor)
        return NULL;
    pthread_mutex_lock(&janitor->lock);
    janitor->ending = true;
    pthread_cond_signal(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
    pthread_join(janitor->thread, NULL);
    LIST_FOR_EACH (task, &janitor->tasks, struct task, node) {
        list_remove(&task->node);
        container_put(task->container);
        free(task);
    }
    pthread_cond_destroy(&janitor->wake);
    pthread_mutex_destroy(&janitor->lock);
    free(janitor);
    return NULL;
}

void janitor_queue(struct janitor *janitor, enum janitor_task kind, struct container *container,
                   uint64_t run, int64_t delay_ms)
{
    struct task *task = calloc(1, sizeof(*task));
    if (!task)
        return; /* what it would have done is done at the next start or removal */
    *task = (struct task){.kind = kind,
                          .container = container_ref(container),
                          .run = run,
                          .due = monotonic_now() + delay_ms * 1000000};
    pthread_mutex_lock(&janitor->lock);
    list_append(&janitor->tasks, &task->node);
    pthread_cond_signal(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
}
