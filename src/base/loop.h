/* One epoll loop: descriptors, signals (signalfd), timers (timerfd), child processes (pidfd).
 *
 * A source is embedded in its owner; the loop never allocates or frees it. A handler may add and
 * remove any source, its own included; a removed source gets no further call, not even for events
 * already fetched. No handler may block, nor run the loop.
 *
 * A descriptor is removed from the loop before it is closed: epoll watches the open file, not the
 * number, and another process may hold a copy. All sources are removed before loop_free(). */
#ifndef HULL_BASE_LOOP_H
#define HULL_BASE_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct loop;
struct loop_source;

/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR bits. */
typedef void loop_handler(struct loop_source *source, uint32_t events);

struct loop_source {
    loop_handler *handler;
    void *data;        /* the owner's */
    int fd;            /* watched; not owned unless made by loop_add_timer/signal */
    uint32_t events;   /* current interest */
    struct loop *loop; /* NULL while not added */
    bool owns_fd;      /* the loop's: timer and signal sources */
    bool is_timer;
};

#define LOOP_SOURCE_INIT \
    {                    \
        .fd = -EBADF     \
    }

int loop_new(struct loop **ret, struct error *err);
struct loop *loop_free(struct loop *loop);

/* Watches fd for events, level-triggered. 0 or -errno: -EEXIST when the source or the descriptor is
 * watched already, -EPERM for what cannot be waited for (regular files, /dev/null: always ready).
 */
int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events,
             loop_handler *handler, void *data);
/* Changes the interest set; 0 events keeps the source but silences all but HUP/ERR. */
int loop_modify(struct loop_source *source, uint32_t events);
/* Stops watching; closes the descriptor of a timer or signal source. Fine on one not added. */
void loop_remove(struct loop_source *source);

/* A timer source over CLOCK_MONOTONIC; arm with loop_timer_set (0 disarms). One-shot. The handler
 * need not read it. */
int loop_add_timer(struct loop *loop, struct loop_source *source, loop_handler *handler,
                   void *data);
int loop_timer_set(struct loop_source *source, uint64_t milliseconds);

/* Blocks these signals and delivers them to `handler`, which reads signalfd_siginfo records from
 * source->fd until EAGAIN. For the calling thread and those it starts later, so call it first. They
 * stay blocked after loop_remove(). */
int loop_add_signals(struct loop *loop, struct loop_source *source, const sigset_t *signals,
                     loop_handler *handler, void *data);

/* Waits once (timeout_ms -1: for ever) and dispatches; 0 (also when interrupted) or -errno, -EBUSY
 * from within a handler. */
int loop_run_once(struct loop *loop, int timeout_ms);
/* Runs until loop_quit(), which takes effect after the current handler, or at once when it came
 * before; returns the value given there or -errno. */
int loop_run(struct loop *loop);
void loop_quit(struct loop *loop, int value);

#endif
