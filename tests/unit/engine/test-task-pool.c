#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/timestamp.h"
#include "engine/task_pool.h"

enum { PATIENCE_S = 20, SKIPPED = 77 };

/* What the tasks of a test do to each other. */
struct scene {
    sem_t entered; /* posted by each task as it begins */
    sem_t leave;   /* waited for by those that block */
    int order[8];
    int n;
    int retries; /* how often task 0 cannot run yet */
    int dropped;
    pthread_mutex_t lock;
};

struct test_task {
    struct task task;
    struct scene *scene;
    int number;
    bool blocks;
};

static bool run(struct task *data)
{
    struct test_task *task = (struct test_task *)data;
    struct scene *scene = task->scene;
    bool again = false;
    pthread_mutex_lock(&scene->lock);
    if (scene->retries > 0) {
        scene->retries--;
        again = true;
    } else if (scene->n < 8) {
        scene->order[scene->n++] = task->number;
    }
    pthread_mutex_unlock(&scene->lock);
    if (again)
        return false;
    sem_post(&scene->entered);
    if (task->blocks)
        sem_wait(&scene->leave);
    free(task);
    return true;
}

static void drop(struct task *data)
{
    struct test_task *task = (struct test_task *)data;
    task->scene->dropped++;
    free(task);
}

static const struct task_pool_handlers handlers = {.run = run, .drop = drop};

static int setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    sem_init(&scene->entered, 0, 0);
    sem_init(&scene->leave, 0, 0);
    pthread_mutex_init(&scene->lock, NULL);
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    sem_destroy(&scene->entered);
    sem_destroy(&scene->leave);
    pthread_mutex_destroy(&scene->lock);
    free(scene);
    return 0;
}

static void add(struct task_pool *pool, struct scene *scene, int number, bool blocks,
                int64_t delay_ms)
{
    struct test_task *task = calloc(1, sizeof(*task));
    *task = (struct test_task){.scene = scene, .number = number, .blocks = blocks};
    task_pool_add(pool, &task->task, delay_ms);
}

static void assert_entered(struct scene *scene)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += PATIENCE_S;
    assert_int_equal(sem_timedwait(&scene->entered, &limit), 0);
}

static struct task_pool *new_pool(void)
{
    struct task_pool *pool = NULL;
    assert_int_equal(task_pool_new(&handlers, &pool, NULL), 0);
    return pool;
}

/* Tasks that do not end keep no other from running. */
static void test_blocked_tasks_delay_nobody(void **state)
{
    struct scene *scene = *state;
    struct task_pool *pool = new_pool();
    enum { BLOCKED = TASK_POOL_THREADS_MAX - 1 };
    for (int i = 0; i < BLOCKED; i++) {
        add(pool, scene, i, true, 0);
        assert_entered(scene);
    }
    add(pool, scene, BLOCKED, false, 0);
    assert_entered(scene);
    for (int i = 0; i < BLOCKED; i++)
        sem_post(&scene->leave);
    task_pool_free(pool);
}

/* More than there are threads wait their turn, and get it. */
static void test_more_tasks_than_threads(void **state)
{
    struct scene *scene = *state;
    struct task_pool *pool = new_pool();
    enum { TASKS = TASK_POOL_THREADS_MAX + 5 };
    for (int i = 0; i < TASKS; i++)
        add(pool, scene, i, true, 0);
    for (int i = 0; i < TASKS; i++)
        sem_post(&scene->leave);
    for (int i = 0; i < TASKS; i++)
        assert_entered(scene);
    task_pool_free(pool);
}

static void test_what_is_due_first_runs_first(void **state)
{
    struct scene *scene = *state;
    struct task_pool *pool = new_pool();
    int64_t begin = timestamp_monotonic();
    add(pool, scene, 1, false, 60);
    add(pool, scene, 0, false, 0);
    assert_entered(scene);
    assert_entered(scene);
    assert_true(timestamp_monotonic() - begin >= INT64_C(60000000));
    assert_int_equal(scene->order[0], 0);
    assert_int_equal(scene->order[1], 1);
    task_pool_free(pool);
}

/* In a process whose machine was suspended for a day: its child. */
static int run_after_suspend(struct scene *scene)
{
    static const char day[] = "boottime 86400 0";
    int status = 0;
    CLEANUP_CLOSE int fd = -EBADF;
    if (unshare(CLONE_NEWTIME) < 0)
        return SKIPPED;
    fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, day, strlen(day)) < 0)
        return SKIPPED;
    pid_t child = fork();
    if (child == 0) {
        struct task_pool *pool = NULL;
        struct timespec limit;
        if (task_pool_new(&handlers, &pool, NULL) < 0)
            _exit(1);
        add(pool, scene, 0, false, 10);
        clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += PATIENCE_S;
        _exit(sem_timedwait(&scene->entered, &limit) == 0 ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

static void test_a_suspended_machine_delays_nothing(void **state)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run_after_suspend(*state));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED) {
        print_message("no time namespace can be made here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_task_that_cannot_run_comes_again(void **state)
{
    struct scene *scene = *state;
    struct task_pool *pool = new_pool();
    scene->retries = 3;
    add(pool, scene, 0, false, 0);
    assert_entered(scene);
    assert_int_equal(scene->retries, 0);
    task_pool_free(pool);
}

static void test_free_drops_what_waits(void **state)
{
    struct scene *scene = *state;
    struct task_pool *pool = new_pool();
    add(pool, scene, 0, false, 1000000);
    add(pool, scene, 1, false, 1000000);
    assert_null(task_pool_free(pool));
    assert_int_equal(scene->dropped, 2);
    assert_int_equal(scene->n, 0);
    assert_null(task_pool_free(NULL));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blocked_tasks_delay_nobody),
        TEST(test_more_tasks_than_threads),
        TEST(test_what_is_due_first_runs_first),
        TEST(test_a_task_that_cannot_run_comes_again),
        TEST(test_a_suspended_machine_delays_nothing),
        TEST(test_free_drops_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
