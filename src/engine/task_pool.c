#include "engine/task_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "base/timestamp.h"

struct task_pool {
    struct task_pool_handlers handlers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list tasks;
    bool ending;
    unsigned n_waiting; /* threads that wait for a task */
    unsigned n_threads;
    pthread_t threads[TASK_POOL_THREADS_MAX];
};

static void *pool_run(void *data);

/* Call under the lock. */
static int start_thread(struct task_pool *pool)
{
    int r = -pthread_create(&pool->threads[pool->n_threads], NULL, pool_run, pool);
    if (r == 0) {
        pool->n_threads++;
        pool->n_waiting++; /* from now on: it has no task yet */
    }
    return r;
}

/* The first task that is due, or NULL and when the next one is. Call under the lock. */
static struct task *next_task(struct task_pool *pool, int64_t *ret_due)
{
    int64_t now = timestamp_awake();
    struct task *first = NULL;
    LIST_FOR_EACH (task, &pool->tasks, struct task, node)
        if (!first || task->due < first->due)
            first = task;
    *ret_due = first ? first->due : INT64_MAX;
    if (!first || first->due > now)
        return NULL;
    list_remove(&first->node);
    return first;
}

/* Runs a task without the lock. */
static void run_task(struct task_pool *pool, struct task *task)
{
    pool->n_waiting--;
    /* Without another thread the other tasks wait for this one, but are not lost. */
    if (pool->n_waiting == 0 && pool->n_threads < TASK_POOL_THREADS_MAX)
        (void)start_thread(pool);
    /* This thread may be the only one that waited for the next task's time. */
    if (!list_is_empty(&pool->tasks))
        pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    bool done = pool->handlers.run(task);
    pthread_mutex_lock(&pool->lock);
    pool->n_waiting++;
    if (done)
        return;
    task->due = timestamp_awake() + TASK_POOL_RETRY_MS * INT64_C(1000000);
    list_append(&pool->tasks, &task->node);
}

static void *pool_run(void *data)
{
    struct task_pool *pool = data;
    pthread_mutex_lock(&pool->lock);
    while (!pool->ending) {
        int64_t due;
        struct task *task = next_task(pool, &due);
        if (task) {
            run_task(pool, task);
        } else if (due == INT64_MAX) {
            pthread_cond_wait(&pool->wake, &pool->lock);
        } else {
            struct timespec limit = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
            pthread_cond_timedwait(&pool->wake, &pool->lock, &limit);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int task_pool_new(const struct task_pool_handlers *handlers, struct task_pool **ret,
                  struct error *err)
{
    struct task_pool *pool = calloc(1, sizeof(*pool));
    pthread_condattr_t attributes;
    if (!pool)
        return error_oom(err);
    pool->handlers = *handlers;
    list_init(&pool->tasks);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_lock(&pool->lock);
    int r = start_thread(pool);
    pthread_mutex_unlock(&pool->lock);
    if (r < 0) {
        task_pool_free(pool);
        return error_set_errno(err, r, "cannot start a thread");
    }
    *ret = pool;
    return 0;
}

struct task_pool *task_pool_free(struct task_pool *pool)
{
    if (!pool)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->wake);
    /* A thread that just took a task may start another one. */
    for (unsigned i = 0; i < pool->n_threads; i++) {
        pthread_mutex_unlock(&pool->lock);
        pthread_join(pool->threads[i], NULL);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    LIST_FOR_EACH (task, &pool->tasks, struct task, node) {
        list_remove(&task->node);
        pool->handlers.drop(task);
    }
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    return NULL;
}

void task_pool_add(struct task_pool *pool, struct task *task, int64_t delay_ms)
{
    task->due = timestamp_awake() + delay_ms * 1000000;
    pthread_mutex_lock(&pool->lock);
    list_append(&pool->tasks, &task->node);
    pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}
