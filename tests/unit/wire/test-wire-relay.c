/* A relay between a socket and a peer that says and hears what the test wants. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "wire/connection.h"
#include "wire/relay.h"

enum { ROUNDS_MAX = 100000, TOTAL = 3 * 1024 * 1024 };

/* near: the end with the relay under test. far: the peer. */
struct world {
    struct loop *loop;
    struct wire_connection *near;
    struct wire_connection *far;
    struct wire_channel *to_near;
    struct wire_channel *from_near;
    struct wire_relay *relay;
    int program; /* the other end of the relay's socket */
    bool ready;
    bool over;
    size_t got;
    bool got_end;
    bool got_reset;
    bool lost; /* to_near was reset */
};

static void ready(struct wire_connection *connection, void *data)
{
    (void)connection;
    ((struct world *)data)->ready = true;
}

static void closed(struct wire_connection *connection, const struct error *reason, void *data)
{
    (void)connection;
    (void)reason;
    (void)data;
}

static const struct wire_handler handler = {.ready = ready, .closed = closed};

static void far_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    (void)channel;
    (void)bytes;
    ((struct world *)data)->got += length;
}

static void far_end(struct wire_channel *channel, void *data)
{
    struct world *world = data;

    (void)channel;
    world->got_end = true;
    world->from_near = NULL;
}

static void far_reset(struct wire_channel *channel, void *data)
{
    struct world *world = data;

    if (channel == world->from_near) {
        world->got_reset = true;
        world->from_near = NULL;
    } else {
        world->lost = true;
        world->to_near = NULL;
    }
}

static void ignore(struct wire_channel *channel, void *data)
{
    (void)channel;
    (void)data;
}

static const struct wire_channel_handler receiver = {
    .data = far_data, .end = far_end, .reset = far_reset};
static const struct wire_channel_handler sender = {.writable = ignore, .reset = far_reset};

static void relay_over(struct wire_relay *relay, void *data)
{
    struct world *world = data;

    assert_false(world->over);
    world->over = true;
    world->relay = wire_relay_free(relay);
}

static void turn(struct world *world)
{
    assert_int_equal(loop_run_once(world->loop, 0), 0);
}

#define UNTIL(world, condition)                         \
    for (int round_ = 0; !(condition); round_++) {      \
        if (round_ > ROUNDS_MAX)                        \
            fail_msg("did not come true: " #condition); \
        turn(world);                                    \
    }

/* `far` is the client, which chose the numbers: it sends on 1 and hears on 3. */
static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    int line[2];
    int ends[2];

    assert_non_null(world);
    assert_int_equal(loop_new(&world->loop, NULL), 0);
    assert_int_equal(fd_socketpair(SOCK_STREAM, line), 0);
    assert_int_equal(fd_socketpair(SOCK_STREAM, ends), 0);
    assert_int_equal(
        wire_connection_new(WIRE_SERVER, "near", "far", &handler, world, &world->near, NULL), 0);
    assert_int_equal(
        wire_connection_new(WIRE_CLIENT, "far", "near", &handler, world, &world->far, NULL), 0);
    assert_int_equal(wire_connection_attach(world->near, line[0], true, world->loop, NULL), 0);
    assert_int_equal(wire_connection_attach(world->far, line[1], true, world->loop, NULL), 0);
    UNTIL(world, wire_connection_is_ready(world->near) && wire_connection_is_ready(world->far));
    world->program = ends[1];
    assert_int_equal(fd_set_nonblocking(world->program, true), 0);
    assert_int_equal(
        wire_channel_open(world->far, 1, WIRE_SEND, &sender, world, &world->to_near, NULL), 0);
    assert_int_equal(
        wire_channel_open(world->far, 3, WIRE_RECEIVE, &receiver, world, &world->from_near, NULL),
        0);
    assert_int_equal(wire_relay_new(world->loop, world->near, ends[0], 1, 3, relay_over, world,
                                    &world->relay, NULL),
                     0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    wire_relay_free(world->relay);
    wire_connection_free(world->near);
    wire_connection_free(world->far);
    fd_close(world->program);
    loop_free(world->loop);
    free(world);
    return 0;
}

/* Sends as much as there is credit for; false once `*left` is 0. */
static bool send_some(struct world *world, size_t *left)
{
    static const uint8_t bytes[65536];
    size_t n = wire_channel_space(world->to_near);

    n = n < *left ? n : *left;
    n = n < sizeof(bytes) ? n : sizeof(bytes);
    if (n > 0)
        assert_int_equal(wire_channel_send(world->to_near, bytes, n), 0);
    *left -= n;
    return *left > 0;
}

static size_t read_some(struct world *world)
{
    static uint8_t bytes[65536];
    ssize_t n = read(world->program, bytes, sizeof(bytes));

    return n > 0 ? (size_t)n : 0;
}

static void test_much_both_ways(void **state)
{
    static const uint8_t bytes[65536];
    struct world *world = *state;
    size_t to_send = TOTAL;
    size_t to_write = TOTAL;
    size_t read_bytes = 0;

    wire_channel_grant(world->from_near, WIRE_WINDOW);
    while (read_bytes < TOTAL || world->got < TOTAL) {
        size_t before = world->got;

        if (world->to_near && !send_some(world, &to_send))
            world->to_near = wire_channel_end(world->to_near);
        size_t n = to_write < sizeof(bytes) ? to_write : sizeof(bytes);
        ssize_t written = n > 0 ? write(world->program, bytes, n) : 0;
        to_write -= written > 0 ? (size_t)written : 0;
        turn(world);
        read_bytes += read_some(world);
        if (world->from_near && world->got > before)
            wire_channel_grant(world->from_near, world->got - before);
    }
    /* The peer's end is the socket's, and the other way round. */
    uint8_t byte;
    UNTIL(world, read(world->program, &byte, 1) == 0);
    assert_false(world->over);
    assert_int_equal(shutdown(world->program, SHUT_WR), 0);
    UNTIL(world, world->got_end && world->over);
}

static void test_a_program_that_does_not_read(void **state)
{
    struct world *world = *state;
    size_t left = TOTAL;

    for (int i = 0; i < 200; i++) {
        (void)send_some(world, &left);
        turn(world);
    }
    /* What the kernel's socket holds, and the window. */
    assert_true(TOTAL - left < WIRE_RELAY_WINDOW + 1024 * 1024);
    assert_int_equal(wire_channel_credit(world->to_near), 0);
    size_t sent = TOTAL - left;
    size_t got = 0;
    while (got < sent) {
        got += read_some(world);
        turn(world);
    }
    assert_true(wire_channel_credit(world->to_near) > 0);
}

static void test_a_peer_without_credit(void **state)
{
    static const uint8_t bytes[4096];
    struct world *world = *state;

    for (int i = 0; i < 2000 && write(world->program, bytes, sizeof(bytes)) > 0; i++)
        turn(world);
    assert_int_equal(world->got, 0);
    /* It hangs up: nothing is lost, and nothing spins meanwhile. */
    world->program = fd_close(world->program);
    for (int i = 0; i < 10; i++)
        turn(world);
    assert_false(world->got_end);
    wire_channel_grant(world->from_near, 512 * 1024);
    UNTIL(world, world->got_end);
    assert_true(world->got > 0);
    UNTIL(world, world->over);
    UNTIL(world, world->lost);
}

static void test_a_program_that_goes(void **state)
{
    struct world *world = *state;

    wire_channel_grant(world->from_near, WIRE_WINDOW);
    assert_int_equal(write(world->program, "last", 4), 4);
    world->program = fd_close(world->program);
    UNTIL(world, world->over && world->got_end && world->lost);
    assert_int_equal(world->got, 4);
}

static void test_a_program_that_finishes_first(void **state)
{
    struct world *world = *state;
    char byte;

    wire_channel_grant(world->from_near, WIRE_WINDOW);
    assert_int_equal(shutdown(world->program, SHUT_WR), 0);
    UNTIL(world, world->got_end);
    assert_false(world->over);
    assert_int_equal(wire_channel_send(world->to_near, "x", 1), 0);
    world->to_near = wire_channel_end(world->to_near);
    UNTIL(world, read(world->program, &byte, 1) == 1);
    UNTIL(world, world->over);
    assert_int_equal(read(world->program, &byte, 1), 0);
}

static void test_a_peer_that_gives_up(void **state)
{
    struct world *world = *state;

    world->from_near = wire_channel_reset(world->from_near);
    UNTIL(world, send(world->program, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
    assert_false(world->over);
    world->to_near = wire_channel_reset(world->to_near);
    UNTIL(world, world->over);
}

static void test_a_connection_that_ends(void **state)
{
    struct world *world = *state;
    size_t left = TOTAL;
    size_t got = 0;

    for (int i = 0; i < 200; i++) {
        (void)send_some(world, &left);
        turn(world);
    }
    world->near = wire_connection_free(world->near);
    assert_false(world->over); /* there is something left to say */
    for (int i = 0; i < 1000 && !world->over; i++) {
        got += read_some(world);
        turn(world);
    }
    while (read_some(world) > 0)
        got++;
    assert_true(world->over);
    assert_true(got > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_much_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_program_that_does_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_peer_without_credit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_program_that_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_program_that_finishes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_peer_that_gives_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_connection_that_ends, set_up, tear_down),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
