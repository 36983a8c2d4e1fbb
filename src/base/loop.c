/* Theory of operation.
 *
 * epoll_wait() hands out a batch of events, each with a pointer to its source. A handler may remove
 * any source, whose memory its owner may then free or add again, while later events of the same
 * batch still point there. So the batch lives in the loop, and loop_remove() clears the entries of
 * the source in the part that is not yet dispatched: a removed source cannot be reached from then
 * on, and one that is added again starts with a clean slate.
 *
 * Interest changed by a handler counts for events already fetched too: they are masked with what
 * the source wants when its turn comes. Everything is level-triggered, so an event dropped that way
 * is reported again if it still matters. */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

enum { LOOP_BATCH = 64 };

struct loop {
    int epoll_fd;
    struct epoll_event batch[LOOP_BATCH];
    int n_batch;
    int next; /* first entry of the batch not yet dispatched */
    bool dispatching;
    bool quitting;
    int quit_value;
};

int loop_new(struct loop **ret, struct error *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    int r;

    if (!loop)
        return error_oom(err);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        r = -errno;
        free(loop);
        return error_set_errno(err, r, "cannot create an event loop");
    }
    *ret = loop;
    return 0;
}

struct loop *loop_free(struct loop *loop)
{
    if (loop) {
        fd_close(loop->epoll_fd);
        free(loop);
    }
    return NULL;
}

static int watch(struct loop *loop, struct loop_source *source, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    return epoll_ctl(loop->epoll_fd, operation, source->fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events,
             loop_handler *handler, void *data)
{
    int r;

    if (source->loop)
        return -EEXIST;
    *source = (struct loop_source){
        .handler = handler, .data = data, .fd = fd, .events = events, .loop = loop};
    r = watch(loop, source, EPOLL_CTL_ADD, events);
    if (r < 0)
        *source = (struct loop_source)LOOP_SOURCE_INIT;
    return r;
}

int loop_modify(struct loop_source *source, uint32_t events)
{
    int r;

    if (!source->loop)
        return -ENOENT;
    if (source->events == events)
        return 0;
    r = watch(source->loop, source, EPOLL_CTL_MOD, events);
    if (r == 0)
        source->events = events;
    return r;
}

void loop_remove(struct loop_source *source)
{
    struct loop *loop = source->loop;

    if (!loop)
        return;
    watch(loop, source, EPOLL_CTL_DEL, 0);
    for (int i = loop->next; i < loop->n_batch; i++)
        if (loop->batch[i].data.ptr == source)
            loop->batch[i].data.ptr = NULL;
    if (source->owns_fd)
        fd_close(source->fd);
    source->loop = NULL;
    source->fd = -EBADF;
    source->events = 0;
    source->owns_fd = false;
    source->is_timer = false;
}

/* Adds a source over a descriptor that it owns from then on, also on failure. */
static int add_owned(struct loop *loop, struct loop_source *source, int fd, loop_handler *handler,
                     void *data)
{
    int r;

    if (fd < 0)
        return -errno;
    r = loop_add(loop, source, fd, EPOLLIN, handler, data);
    if (r < 0) {
        fd_close(fd);
        return r;
    }
    source->owns_fd = true;
    return 0;
}

int loop_add_timer(struct loop *loop, struct loop_source *source, loop_handler *handler, void *data)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int r = add_owned(loop, source, fd, handler, data);

    if (r == 0)
        source->is_timer = true;
    return r;
}

int loop_timer_set(struct loop_source *source, uint64_t milliseconds)
{
    uint64_t seconds = milliseconds / 1000;
    struct itimerspec timer = {
        .it_value.tv_sec = seconds > INT_MAX ? INT_MAX : (time_t)seconds,
        .it_value.tv_nsec = (long)(milliseconds % 1000) * 1000000,
    };

    if (!source->loop || !source->is_timer)
        return -EINVAL;
    return timerfd_settime(source->fd, 0, &timer, NULL) < 0 ? -errno : 0;
}

int loop_add_signals(struct loop *loop, struct loop_source *source, const sigset_t *signals,
                     loop_handler *handler, void *data)
{
    int r = pthread_sigmask(SIG_BLOCK, signals, NULL);

    if (r != 0)
        return -r;
    return add_owned(loop, source, signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK), handler,
                     data);
}

static void dispatch(struct loop_source *source, uint32_t events)
{
    uint64_t expirations;

    events &= source->events | EPOLLHUP | EPOLLERR;
    if (events == 0)
        return;
    /* Nothing to read: a handler before this one has disarmed or set the timer anew. */
    if (source->is_timer && read(source->fd, &expirations, sizeof(expirations)) < 0)
        return;
    source->handler(source, events);
}

int loop_run_once(struct loop *loop, int timeout_ms)
{
    int n;

    if (loop->dispatching) /* the batch is in use */
        return -EBUSY;
    n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, timeout_ms);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    loop->dispatching = true;
    loop->n_batch = n;
    loop->next = 0;
    while (loop->next < loop->n_batch && !loop->quitting) {
        struct epoll_event *event = &loop->batch[loop->next++];

        if (event->data.ptr)
            dispatch(event->data.ptr, event->events);
    }
    loop->n_batch = 0;
    loop->next = 0;
    loop->dispatching = false;
    return 0;
}

int loop_run(struct loop *loop)
{
    while (!loop->quitting) {
        int r = loop_run_once(loop, -1);

        if (r < 0)
            return r;
    }
    loop->quitting = false;
    return loop->quit_value;
}

void loop_quit(struct loop *loop, int value)
{
    loop->quitting = true;
    loop->quit_value = value;
}
