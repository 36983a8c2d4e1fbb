/* The worker's half of sockets, with a guest that says what the test wants. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/path.h"
#include "base/strings.h"
#include "compute/worker_internal.h"
#include "compute/worker_proxy.h"
#include "compute/worker_shares.h"
#include "sandbox/agent_proxy.h"

enum { ROUNDS_MAX = 20000 };

static char directory[64];

struct world {
    struct worker worker;
    struct wire_connection *guest;
    int server;
    size_t asked; /* `proxy` requests */
    size_t refused;
    bool answers;
    bool takes; /* opens its ends of the channels */
    struct wire_channel *input;
    struct wire_channel *output;
    char heard[64];
    bool heard_end;
    uint64_t last_id;
    char violation[512];
    uint32_t in; /* channels of the last request */
    uint32_t out;
};

static void note(const char *message, void *data)
{
    (void)message;
    (void)data;
}

static void heard_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct world *world = data;

    (void)channel;
    assert_true(strlen(world->heard) + length < sizeof(world->heard));
    memcpy(world->heard + strlen(world->heard), bytes, length);
}

static void heard_end(struct wire_channel *channel, void *data)
{
    (void)channel;
    ((struct world *)data)->heard_end = true;
}

static void ignore(struct wire_channel *channel, void *data)
{
    struct world *world = data;

    if (channel == world->output && wire_channel_credit(channel) == 0)
        world->output = NULL;
}

static const struct wire_channel_handler channel_handler = {
    .data = heard_data, .end = heard_end, .writable = ignore, .reset = ignore};

static void guest_request(struct wire_connection *connection, uint64_t id, const char *op,
                          json_t *request, void *data)
{
    struct world *world = data;
    json_t *streams = json_object_get(request, "streams");

    assert_string_equal(op, "proxy");
    world->asked++;
    world->last_id = id;
    if (streams) {
        world->in = (uint32_t)json_integer_value(json_object_get(streams, "stdin"));
        world->out = (uint32_t)json_integer_value(json_object_get(streams, "stdout"));
    } else {
        world->refused++;
    }
    if (streams && world->takes) {
        assert_int_equal(wire_channel_open(connection, world->in, WIRE_RECEIVE, &channel_handler,
                                           world, &world->input, NULL),
                         0);
        assert_int_equal(wire_channel_open(connection, world->out, WIRE_SEND, &channel_handler,
                                           world, &world->output, NULL),
                         0);
        wire_channel_grant(world->input, 4096);
    }
    if (world->answers)
        wire_connection_answer(connection, id, NULL);
}

static void guest_closed(struct wire_connection *connection, const struct error *reason, void *data)
{
    (void)connection;
    (void)reason;
    (void)data;
}

static const struct wire_handler guest_handler = {.request = guest_request, .closed = guest_closed};

static void link_event(struct wire_connection *connection, const char *name, json_t *event,
                       void *data)
{
    struct world *world = data;

    (void)connection;
    assert_string_equal(name, "connect");
    worker_proxy_connect(&world->worker, event);
}

static void link_closed(struct wire_connection *connection, const struct error *reason, void *data)
{
    struct world *world = data;

    (void)connection;
    (void)string_copy(world->violation, sizeof(world->violation), reason->message);
    worker_proxies_close(&world->worker);
    world->worker.link = wire_connection_free(world->worker.link);
}

static const struct wire_handler link_handler = {.event = link_event, .closed = link_closed};

static void turn(struct world *world)
{
    assert_int_equal(loop_run_once(world->worker.loop, 1), 0);
}

#define UNTIL(world, condition)                         \
    for (int round_ = 0; !(condition); round_++) {      \
        if (round_ > ROUNDS_MAX)                        \
            fail_msg("did not come true: " #condition); \
        turn(world);                                    \
    }

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct worker *worker = &world->worker;
    struct error error = ERROR_INIT;
    char path[96];
    int line[2];

    (void)snprintf(directory, sizeof(directory), "/tmp/hull-test-proxy-XXXXXX");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/socket", directory);
    assert_int_equal(loop_new(&worker->loop, NULL), 0);
    world->server = fd_listen_unix(path, 0600, &error);
    assert_true(world->server >= 0);
    worker->log_function = note;
    worker->job = compute_job_new();
    worker->job->isolation = COMPUTE_HYPERV;
    worker->job->engine = VM_ENGINE_UML;
    assert_int_equal(compute_job_add_share(worker->job, directory, "/d", false, false, NULL), 0);
    assert_int_equal(compute_job_add_share(worker->job, path, "/s", false, false, NULL), 0);
    if (worker_shares_open(worker, &error) < 0)
        fail_msg("%s", error.message);
    world->answers = true;
    assert_int_equal(fd_socketpair(SOCK_STREAM, line), 0);
    assert_int_equal(wire_connection_new(WIRE_SERVER, "guest", "worker", &guest_handler, world,
                                         &world->guest, NULL),
                     0);
    assert_int_equal(wire_connection_new(WIRE_CLIENT, "worker", "guest", &link_handler, world,
                                         &worker->link, NULL),
                     0);
    assert_int_equal(wire_connection_attach(world->guest, line[0], true, worker->loop, NULL), 0);
    assert_int_equal(wire_connection_attach(worker->link, line[1], true, worker->loop, NULL), 0);
    UNTIL(world, wire_connection_is_ready(world->guest) && wire_connection_is_ready(worker->link));
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    worker_proxies_close(&world->worker);
    world->worker.link = wire_connection_free(world->worker.link);
    worker_proxies_free(&world->worker);
    worker_shares_free(&world->worker);
    wire_connection_free(world->guest);
    fd_close(world->server);
    compute_job_free(world->worker.job);
    loop_free(world->worker.loop);
    assert_int_equal(path_remove_tree(AT_FDCWD, directory, NULL), 0);
    free(world);
    return 0;
}

static void say(struct world *world, int socket, int64_t serial)
{
    assert_int_equal(wire_connection_event(world->guest, "connect",
                                           json_pack("{s:i,s:I}", "socket", socket, "connection",
                                                     (json_int_t)serial)),
                     0);
}

static void ended_with(struct world *world, const char *text)
{
    UNTIL(world, !world->worker.link);
    assert_non_null(strstr(world->violation, text));
}

/* --- what is described to the guest --- */

static void test_description(void **state)
{
    struct world *world = *state;
    struct worker *worker = &world->worker;
    json_t *request = json_object();
    json_t *mount = json_pack("{s:s,s:s}", "destination", "/s", "source", "x");
    json_t *other = json_pack("{s:s,s:s}", "destination", "/other", "source", "x");
    size_t n;

    assert_int_equal(worker_shares_describe(worker, request, NULL), 0);
    assert_int_equal(json_array_size(json_object_get(request, "shares")), 1);
    assert_int_equal(json_array_size(json_object_get(request, "sockets")), 1);
    assert_non_null(worker_shares_mounts(worker, &n));
    assert_int_equal(n, 1);
    assert_int_equal(worker_shares_rewrite(worker, mount, NULL), 1);
    assert_string_equal(json_string_value(json_object_get(mount, "source")), "/run/hull/sockets/0");
    assert_int_equal(worker_shares_rewrite(worker, other, NULL), 0);
    json_decref(request);
    json_decref(mount);
    json_decref(other);
}

static void test_what_is_gone_or_no_share(void **state)
{
    struct world *world = *state;
    struct worker other = {.job = compute_job_new()};
    struct error error = ERROR_INIT;
    char path[96];

    (void)world;
    (void)snprintf(path, sizeof(path), "%s/gone", directory);
    assert_int_equal(compute_job_add_share(other.job, path, "/a", false, false, NULL), 0);
    assert_int_equal(worker_shares_open(&other, &error), -EINVAL);
    assert_non_null(strstr(error.message, "which is to be mounted on '/a', does not exist"));
    assert_null(other.shares);
    compute_job_free(other.job);
    other.job = compute_job_new();
    assert_int_equal(compute_job_add_share(other.job, "/dev/null", "/a", false, false, NULL), 0);
    assert_int_equal(worker_shares_open(&other, &error), -EINVAL);
    assert_non_null(strstr(error.message, "is a device of the host"));
    compute_job_free(other.job);
}

/* --- connections --- */

static void test_a_connection(void **state)
{
    struct world *world = *state;

    char text[8] = "";

    world->takes = true;
    say(world, 0, 1);
    UNTIL(world, world->asked == 1);
    assert_int_equal(world->refused, 0);
    assert_true(world->in > 0 && world->out > world->in);
    int served = accept(world->server, NULL, NULL);
    assert_true(served >= 0);
    UNTIL(world, wire_channel_credit(world->output) > 0);
    assert_int_equal(wire_channel_send(world->output, "hello", 5), 0);
    UNTIL(world, recv(served, text, sizeof(text), MSG_DONTWAIT) == 5);
    assert_string_equal(text, "hello");
    assert_int_equal(write(served, "answer", 6), 6);
    assert_false(worker_proxies_drained(&world->worker));
    close(served);
    /* Both channels are over by the server's end alone. */
    UNTIL(world, world->heard_end);
    assert_string_equal(world->heard, "answer");
    UNTIL(world, worker_proxies_drained(&world->worker));
}

static void test_a_server_that_is_not_there(void **state)
{
    struct world *world = *state;

    world->server = fd_close(world->server);
    say(world, 0, 1);
    say(world, 0, 2);
    UNTIL(world, world->refused == 2);
    UNTIL(world, worker_proxies_drained(&world->worker));
}

static void test_a_guest_that_never_answers(void **state)
{
    struct world *world = *state;

    world->answers = false;
    for (int i = 1; i <= 60; i++)
        say(world, 0, i);
    for (int i = 0; i < 50; i++)
        turn(world);
    /* Others can still ask for something. */
    assert_true(world->asked <= 16);
    assert_non_null(world->worker.link);
}

static void test_too_many(void **state)
{
    struct world *world = *state;

    world->answers = false;
    for (int i = 1; i <= AGENT_PROXIES_MAX + 20; i++)
        say(world, 0, i);
    ended_with(world, "a wrong 'connect' event");
}

static void test_lies(void **state)
{
    static const char *const lies[] = {
        "{}",
        "{\"socket\": 0}",
        "{\"socket\": -1, \"connection\": 5}",
        "{\"socket\": 1, \"connection\": 5}",
        "{\"socket\": 99999999999, \"connection\": 5}",
        "{\"socket\": \"0\", \"connection\": 5}",
        "{\"socket\": 0, \"connection\": 0}",
        "{\"socket\": 0, \"connection\": -1}",
        "{\"socket\": 0, \"connection\": \"x\"}",
    };
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct world *world = *state;

        assert_int_equal(
            wire_connection_event(world->guest, "connect", json_loads(lies[i], 0, NULL)), 0);
        ended_with(world, "a wrong 'connect' event");
        tear_down(state);
        set_up(state);
    }
    struct world *world = *state;
    say(world, 0, 7);
    say(world, 0, 7);
    ended_with(world, "a wrong 'connect' event");
}

static void test_a_link_that_ends(void **state)
{
    struct world *world = *state;
    char byte;

    for (int i = 1; i <= 10; i++)
        say(world, 0, i);
    UNTIL(world, world->asked == 10);
    int served = accept(world->server, NULL, NULL);
    world->guest = wire_connection_free(world->guest);
    UNTIL(world, !world->worker.link);
    UNTIL(world, worker_proxies_drained(&world->worker));
    assert_int_equal(read(served, &byte, 1), 0);
    close(served);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_description, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_gone_or_no_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_server_that_is_not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_guest_that_never_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_link_that_ends, set_up, tear_down),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
