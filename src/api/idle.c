#include "api/idle.h"

#include "base/error.h"
#include "base/list.h"
#include "base/timestamp.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

/* Theory of operation: all connections have the same time, so a list to whose end a connection goes
 * when it is armed is in the order of deadlines, and the thread looks at its head only. It shuts a
 * socket down and leaves it to libmicrohttpd, which reads the end of the stream, to close it. */

enum { NANOSECONDS = 1000000000 };

struct idle {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t span;      /* nanoseconds */
    struct list armed; /* by deadline */
    bool is_stopping;
};

struct idle_connection {
    struct idle *idle;
    struct list link; /* in idle->armed, or in itself */
    int fd;
    int64_t deadline; /* timestamp_awake() */
};

static void wait_until(struct idle *idle, int64_t deadline)
{
    const struct timespec time = {.tv_sec = deadline / NANOSECONDS,
                                  .tv_nsec = deadline % NANOSECONDS};

    (void)pthread_cond_timedwait(&idle->changed, &idle->lock, &time);
}

static void *watch(void *data)
{
    struct idle *idle = data;

    pthread_mutex_lock(&idle->lock);
    while (!idle->is_stopping) {
        struct idle_connection *first = LIST_ENTRY(idle->armed.next, struct idle_connection, link);

        if (list_is_empty(&idle->armed)) {
            (void)pthread_cond_wait(&idle->changed, &idle->lock);
        } else if (first->deadline > timestamp_awake()) {
            wait_until(idle, first->deadline);
        } else {
            shutdown(first->fd, SHUT_RDWR);
            list_remove(&first->link);
        }
    }
    pthread_mutex_unlock(&idle->lock);
    return NULL;
}

int idle_start(unsigned seconds, struct idle **ret, struct error *err)
{
    struct idle *idle = calloc(1, sizeof(*idle));
    pthread_condattr_t attributes;
    int code = 0;

    if (!idle)
        return error_oom(err);
    idle->span = (int64_t)seconds * NANOSECONDS;
    list_init(&idle->armed);
    pthread_mutex_init(&idle->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&idle->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    code = pthread_create(&idle->thread, NULL, watch, idle);
    if (code != 0) {
        pthread_cond_destroy(&idle->changed);
        pthread_mutex_destroy(&idle->lock);
        free(idle);
        return error_set_errno(err, -code, "cannot start the API server's thread");
    }
    *ret = idle;
    return 0;
}

struct idle *idle_stop(struct idle *idle)
{
    if (!idle)
        return NULL;
    pthread_mutex_lock(&idle->lock);
    idle->is_stopping = true;
    pthread_cond_signal(&idle->changed);
    pthread_mutex_unlock(&idle->lock);
    pthread_join(idle->thread, NULL);
    pthread_cond_destroy(&idle->changed);
    pthread_mutex_destroy(&idle->lock);
    free(idle);
    return NULL;
}

struct idle_connection *idle_add(struct idle *idle, int fd)
{
    struct idle_connection *connection = calloc(1, sizeof(*connection));

    if (!connection)
        return NULL;
    connection->idle = idle;
    connection->fd = fd;
    list_init(&connection->link);
    idle_arm(connection);
    return connection;
}

void idle_remove(struct idle_connection *connection)
{
    idle_disarm(connection);
    free(connection);
}

void idle_arm(struct idle_connection *connection)
{
    struct idle *idle = connection ? connection->idle : NULL;

    if (!idle)
        return;
    pthread_mutex_lock(&idle->lock);
    list_remove(&connection->link);
    connection->deadline = timestamp_awake() + idle->span;
    /* Behind another one, the thread's deadline does not change. */
    if (list_is_empty(&idle->armed))
        pthread_cond_signal(&idle->changed);
    list_append(&idle->armed, &connection->link);
    pthread_mutex_unlock(&idle->lock);
}

void idle_disarm(struct idle_connection *connection)
{
    struct idle *idle = connection ? connection->idle : NULL;

    if (!idle)
        return;
    pthread_mutex_lock(&idle->lock);
    list_remove(&connection->link);
    pthread_mutex_unlock(&idle->lock);
}
