/* Tasks that are due at a time, each on a thread that may block: one that takes long delays no
 * other. Private to engine/.
 *
 * Theory of operation. The pool has one thread that waits for the next task to be due. Whoever
 * takes a task and leaves nobody to wait starts another thread first, so there are as many threads
 * as tasks were ever busy at once, up to TASK_POOL_THREADS_MAX; they stay until the pool ends,
 * because what a task starts may die with its thread (PR_SET_PDEATHSIG). */
#ifndef HULL_ENGINE_TASK_POOL_H
#define HULL_ENGINE_TASK_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct error;
struct task_pool;

enum {
    TASK_POOL_THREADS_MAX = 64,
    TASK_POOL_RETRY_MS = 20, /* when a task that could not run yet is tried again */
};

/* Embedded in its owner. */
struct task {
    struct list node;
    int64_t due; /* timestamp_awake() */
};

struct task_pool_handlers {
    /* Runs a task on a thread of the pool and frees it. False: it cannot run yet, has not been
     * freed and is tried again. */
    bool (*run)(struct task *task);
    /* Frees a task that never ran, at the pool's end. */
    void (*drop)(struct task *task);
};

int task_pool_new(const struct task_pool_handlers *handlers, struct task_pool **ret,
                  struct error *err);
/* Waits for tasks that run, drops the others. NULL is fine. Returns NULL. */
struct task_pool *task_pool_free(struct task_pool *pool);

/* Hands a task over, to be run once `delay_ms` have passed. */
void task_pool_add(struct task_pool *pool, struct task *task, int64_t delay_ms);

#endif
