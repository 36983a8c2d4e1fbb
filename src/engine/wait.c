/* Waiting for a container's end: API clients by descriptor, the engine's own threads by condition.
 */
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/private.h"

struct engine_wait {
    struct engine *engine;
    struct container *container;
    struct list node; /* [state] in engine->waits until decided */
    enum engine_wait_condition condition;
    int fd;       /* eventfd, readable once decided */
    bool decided; /* [state] */
    int code;     /* [state] */
    char error[CONTAINER_ERROR_MAX];
};

/* Call under the state lock. */
static void wait_decide(struct engine_wait *wait)
{
    const uint64_t one = 1;
    wait->code = wait->container->exit_code;
    /* docker tells a waiter about a failed removal, not about State.Error. */
    if (wait->container->status == CONTAINER_DEAD)
        string_copy(wait->error, sizeof(wait->error), wait->container->error);
    wait->decided = true;
    list_remove(&wait->node);
    (void)!write(wait->fd, &one, sizeof(one));
}

void engine_notify_waits(struct engine *engine, struct container *container,
                         enum engine_notice notice)
{
    pthread_cond_broadcast(&engine->changed);
    LIST_FOR_EACH (wait, &engine->waits, struct engine_wait, node) {
        if (wait->container != container)
            continue;
        bool decides = notice == ENGINE_NOTICE_REMOVED ||
                       wait->condition == ENGINE_WAIT_NOT_RUNNING ||
                       (notice == ENGINE_NOTICE_EXIT && wait->condition == ENGINE_WAIT_NEXT_EXIT);
        if (decides)
            wait_decide(wait);
    }
}

int engine_wait_begin(struct engine *engine, const char *reference,
                      enum engine_wait_condition condition, struct engine_wait **ret,
                      struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    struct engine_wait *wait = calloc(1, sizeof(*wait));
    if (!wait)
        return error_oom(err);
    *wait = (struct engine_wait){.engine = engine, .condition = condition};
    wait->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wait->fd < 0) {
        r = error_set_errno(err, -errno, "eventfd");
        free(wait);
        return r;
    }
    wait->container = TAKE_PTR(container);
    ENGINE_STATE(engine);
    list_append(&engine->waits, &wait->node);
    bool over = !container_is_running(wait->container) &&
                wait->container->status != CONTAINER_RESTARTING &&
                !wait->container->start_requested;
    if ((condition == ENGINE_WAIT_NOT_RUNNING && over) ||
        (condition == ENGINE_WAIT_REMOVED && !wait->container->in_table))
        wait_decide(wait);
    *ret = wait;
    return 0;
}

int engine_wait_fd(const struct engine_wait *wait)
{
    return wait->fd;
}

int engine_wait_result(struct engine_wait *wait, int *ret_code, char *text, size_t size)
{
    ENGINE_STATE(wait->engine);
    if (!wait->decided)
        return 0;
    *ret_code = wait->code;
    string_copy(text, size, wait->error);
    return 1;
}

struct engine_wait *engine_wait_end(struct engine_wait *wait)
{
    if (!wait)
        return NULL;
    {
        ENGINE_STATE(wait->engine);
        list_remove(&wait->node);
    }
    container_put(wait->container);
    fd_close(wait->fd);
    free(wait);
    return NULL;
}

static int wait_until(struct container *container, uint64_t run,
                      bool (*reached)(const struct container *, uint64_t), int timeout_ms)
{
    struct engine *engine = container->engine;
    struct timespec limit;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += timeout_ms / 1000;
    limit.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (limit.tv_nsec >= 1000000000) {
        limit.tv_sec++;
        limit.tv_nsec -= 1000000000;
    }
    ENGINE_STATE(engine);
    while (!reached(container, run)) {
        int r = timeout_ms < 0 ? pthread_cond_wait(&engine->changed, &engine->lock)
                               : pthread_cond_timedwait(&engine->changed, &engine->lock, &limit);
        if (r == ETIMEDOUT)
            return reached(container, run) ? 0 : -ETIMEDOUT;
    }
    return 0;
}

static bool is_stopped(const struct container *container, uint64_t run)
{
    return !container_is_running(container) || container->run != run;
}

static bool has_no_worker(const struct container *container, uint64_t run)
{
    (void)run;
    return container->worker_pid == 0;
}

int container_wait_stopped(struct container *container, uint64_t run, int timeout_ms)
{
    return wait_until(container, run, is_stopped, timeout_ms);
}

int container_wait_worker_gone(struct container *container, int timeout_ms)
{
    return wait_until(container, 0, has_no_worker, timeout_ms);
}
