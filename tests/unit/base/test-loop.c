#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/process.h"
#include "base/timestamp.h"
#include "unit.h"

static void release_loop(struct loop **loop)
{
    *loop = loop_free(*loop);
}

static struct loop *make_loop(void)
{
    struct loop *loop = NULL;

    assert_int_equal(loop_new(&loop, NULL), 0);
    return loop;
}

/* Two readable pipes with a source each. */
struct pair {
    struct loop *loop;
    struct loop_source sources[2];
    int ends[2][2];
    int calls[2];
    uint32_t events;
};

static int index_of(struct pair *pair, struct loop_source *source)
{
    return (int)(source - pair->sources);
}

static void count_call(struct loop_source *source, uint32_t events)
{
    struct pair *pair = source->data;

    pair->calls[index_of(pair, source)]++;
    pair->events = events;
}

static void remove_both(struct loop_source *source, uint32_t events)
{
    struct pair *pair = source->data;

    count_call(source, events);
    loop_remove(&pair->sources[0]);
    loop_remove(&pair->sources[1]);
}

/* Removes the other source, then adds it again in the same place over a silent descriptor. */
static void replace_other(struct loop_source *source, uint32_t events)
{
    struct pair *pair = source->data;
    int other = 1 - index_of(pair, source);

    count_call(source, events);
    loop_remove(source);
    loop_remove(&pair->sources[other]);
    assert_int_equal(loop_add(pair->loop, &pair->sources[other], pair->ends[other][1], EPOLLIN,
                              count_call, pair),
                     0);
}

static void silence_other(struct loop_source *source, uint32_t events)
{
    struct pair *pair = source->data;

    count_call(source, events);
    assert_int_equal(loop_modify(&pair->sources[1 - index_of(pair, source)], 0), 0);
}

static void quit(struct loop_source *source, uint32_t events)
{
    count_call(source, events);
    loop_quit(source->loop, 7);
}

static void nest(struct loop_source *source, uint32_t events)
{
    count_call(source, events);
    assert_int_equal(loop_run_once(source->loop, 0), -EBUSY);
}

static void pair_open(struct pair *pair, loop_handler *handler)
{
    *pair = (struct pair){.loop = make_loop()};
    for (int i = 0; i < 2; i++) {
        pair->sources[i] = (struct loop_source)LOOP_SOURCE_INIT;
        assert_int_equal(fd_pipe(0, pair->ends[i]), 0);
        assert_int_equal(fd_write_full(pair->ends[i][1], "x", 1), 0);
        assert_int_equal(
            loop_add(pair->loop, &pair->sources[i], pair->ends[i][0], EPOLLIN, handler, pair), 0);
    }
}

static void pair_close(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        loop_remove(&pair->sources[i]);
        fd_close(pair->ends[i][0]);
        fd_close(pair->ends[i][1]);
    }
    loop_free(pair->loop);
}

static void test_both_are_called(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, count_call);
    assert_int_equal(loop_run_once(pair.loop, -1), 0);
    assert_int_equal(pair.calls[0], 1);
    assert_int_equal(pair.calls[1], 1);
    assert_int_equal(pair.events, EPOLLIN);
    pair_close(&pair);
}

static void test_removed_source_gets_no_fetched_event(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, remove_both);
    assert_int_equal(loop_run_once(pair.loop, -1), 0);
    assert_int_equal(pair.calls[0] + pair.calls[1], 1);
    assert_int_equal(loop_run_once(pair.loop, 0), 0);
    assert_int_equal(pair.calls[0] + pair.calls[1], 1);
    assert_null(pair.sources[0].loop);
    pair_close(&pair);
}

static void test_source_added_again_gets_no_old_event(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, replace_other);
    assert_int_equal(loop_run_once(pair.loop, -1), 0);
    assert_int_equal(pair.calls[0] + pair.calls[1], 1);
    pair_close(&pair);
}

static void test_silenced_source_gets_no_fetched_event(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, silence_other);
    assert_int_equal(loop_run_once(pair.loop, -1), 0);
    assert_int_equal(pair.calls[0] + pair.calls[1], 1);
    pair_close(&pair);
}

static void test_hang_up_comes_without_interest(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, count_call);
    loop_remove(&pair.sources[1]);
    assert_int_equal(loop_modify(&pair.sources[0], 0), 0);
    assert_int_equal(loop_run_once(pair.loop, 0), 0);
    assert_int_equal(pair.calls[0], 0);
    pair.ends[0][1] = fd_close(pair.ends[0][1]);
    assert_int_equal(loop_run_once(pair.loop, -1), 0);
    assert_int_equal(pair.events, EPOLLHUP);
    pair_close(&pair);
}

static void test_quit(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, quit);
    assert_int_equal(loop_run(pair.loop), 7);
    assert_int_equal(pair.calls[0] + pair.calls[1], 1);
    loop_quit(pair.loop, 3); /* before it runs */
    assert_int_equal(loop_run(pair.loop), 3);
    pair_close(&pair);
}

static void test_nested_run_is_refused(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, nest);
    assert_int_equal(loop_run_once(pair.loop, -1), 0);
    assert_int_equal(pair.calls[0] + pair.calls[1], 2);
    pair_close(&pair);
}

static void test_wrong_use(void **state)
{
    CLEANUP(release_loop) struct loop *loop = make_loop();
    struct loop_source source = LOOP_SOURCE_INIT;
    CLEANUP_CLOSE int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int ends[2];

    (void)state;
    loop_remove(&source);
    assert_int_equal(loop_modify(&source, EPOLLIN), -ENOENT);
    assert_int_equal(loop_timer_set(&source, 1), -EINVAL);
    assert_int_equal(loop_add(loop, &source, -EBADF, EPOLLIN, count_call, NULL), -EBADF);
    assert_int_equal(loop_add(loop, &source, file, EPOLLIN, count_call, NULL), -EPERM);
    assert_null(source.loop);
    assert_int_equal(fd_pipe(0, ends), 0);
    assert_int_equal(loop_add(loop, &source, ends[0], EPOLLIN, count_call, NULL), 0);
    assert_int_equal(loop_add(loop, &source, ends[1], EPOLLIN, count_call, NULL), -EEXIST);
    assert_int_equal(loop_timer_set(&source, 1), -EINVAL);
    loop_remove(&source);
    loop_remove(&source);
    fd_close(ends[0]);
    fd_close(ends[1]);
}

static void count_int(struct loop_source *source, uint32_t events)
{
    int *calls = source->data;

    (void)events;
    ++*calls;
}

static void test_timer_fires_once(void **state)
{
    CLEANUP(release_loop) struct loop *loop = make_loop();
    struct loop_source timer = LOOP_SOURCE_INIT;
    int64_t before = timestamp_monotonic();
    int calls = 0;
    int fd;

    (void)state;
    assert_int_equal(loop_add_timer(loop, &timer, count_int, &calls), 0);
    assert_int_equal(loop_run_once(loop, 0), 0);
    assert_int_equal(calls, 0);
    assert_int_equal(loop_timer_set(&timer, 20), 0);
    assert_int_equal(loop_run_once(loop, -1), 0);
    assert_int_equal(calls, 1);
    assert_true(timestamp_monotonic() - before >= 20 * 1000000);
    assert_int_equal(loop_run_once(loop, 30), 0);
    assert_int_equal(calls, 1);
    assert_int_equal(loop_timer_set(&timer, UINT64_MAX), 0);
    assert_int_equal(loop_timer_set(&timer, 0), 0);
    fd = timer.fd;
    loop_remove(&timer);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(timer.fd, -EBADF);
}

/* Two timers due at once; the first handler to run disarms the other. */
struct timers {
    struct loop_source a;
    struct loop_source b;
    int calls;
};

static void disarm_both(struct loop_source *source, uint32_t events)
{
    struct timers *timers = source->data;

    (void)events;
    timers->calls++;
    assert_int_equal(loop_timer_set(&timers->a, 0), 0);
    assert_int_equal(loop_timer_set(&timers->b, 0), 0);
}

static void test_disarmed_timer_gets_no_fetched_event(void **state)
{
    CLEANUP(release_loop) struct loop *loop = make_loop();
    struct timers timers = {.a = LOOP_SOURCE_INIT, .b = LOOP_SOURCE_INIT};

    (void)state;
    assert_int_equal(loop_add_timer(loop, &timers.a, disarm_both, &timers), 0);
    assert_int_equal(loop_add_timer(loop, &timers.b, disarm_both, &timers), 0);
    assert_int_equal(loop_timer_set(&timers.a, 1), 0);
    assert_int_equal(loop_timer_set(&timers.b, 1), 0);
    /* Both are due before the loop looks. */
    assert_int_equal(poll(&(struct pollfd){.fd = timers.a.fd, .events = POLLIN}, 1, -1), 1);
    assert_int_equal(poll(&(struct pollfd){.fd = timers.b.fd, .events = POLLIN}, 1, -1), 1);
    assert_int_equal(loop_run_once(loop, -1), 0);
    assert_int_equal(timers.calls, 1);
    loop_remove(&timers.a);
    loop_remove(&timers.b);
}

static void read_signals(struct loop_source *source, uint32_t events)
{
    struct signalfd_siginfo info;
    unsigned *seen = source->data;

    (void)events;
    while (read(source->fd, &info, sizeof(info)) == sizeof(info))
        *seen |= 1u << info.ssi_signo;
    assert_int_equal(errno, EAGAIN);
}

static void test_signals(void **state)
{
    CLEANUP(release_loop) struct loop *loop = make_loop();
    struct loop_source source = LOOP_SOURCE_INIT;
    sigset_t signals;
    unsigned seen = 0;

    (void)state;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    assert_int_equal(loop_add_signals(loop, &source, &signals, read_signals, &seen), 0);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    assert_int_equal(loop_run_once(loop, -1), 0);
    assert_int_equal(seen, 1u << SIGTERM | 1u << SIGUSR1);
    loop_remove(&source);
}

static void test_child_process_ends(void **state)
{
    CLEANUP(release_loop) struct loop *loop = make_loop();
    struct loop_source source = LOOP_SOURCE_INIT;
    char program[] = "/bin/true";
    char *argv[] = {program, NULL};
    struct process_spec spec = {.argv = argv};
    struct process process = PROCESS_INIT;
    int calls = 0;
    int status = -1;

    (void)state;
    assert_int_equal(process_spawn(&spec, &process, NULL), 0);
    assert_int_equal(loop_add(loop, &source, process.pidfd, EPOLLIN, count_int, &calls), 0);
    assert_int_equal(loop_run_once(loop, -1), 0);
    assert_int_equal(calls, 1);
    assert_int_equal(process_wait(&process, &status), 0);
    assert_int_equal(status, 0);
    loop_remove(&source);
    process_release(&process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_are_called),
        cmocka_unit_test(test_removed_source_gets_no_fetched_event),
        cmocka_unit_test(test_source_added_again_gets_no_old_event),
        cmocka_unit_test(test_silenced_source_gets_no_fetched_event),
        cmocka_unit_test(test_hang_up_comes_without_interest),
        cmocka_unit_test(test_quit),
        cmocka_unit_test(test_nested_run_is_refused),
        cmocka_unit_test(test_wrong_use),
        cmocka_unit_test(test_timer_fires_once),
        cmocka_unit_test(test_disarmed_timer_gets_no_fetched_event),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_child_process_ends),
    };

    return UNIT_RUN(tests);
}
