/* The agent's operations on files, by a client that asks for wrong things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/agent.h"
#include "test-agent-peer.h"
#include "wire/connection.h"

static char *folder;

struct peer {
    struct wire_connection *connection;
    pid_t agent;
    /* the request under way */
    bool answered;
    json_t *answer;
    struct error failure;
    struct wire_channel *channel;
    size_t received;
    bool ended;
    bool was_reset;
};

/* --- the client --- */

static void answered(struct wire_connection *connection, json_t *ok, const struct error *error,
                     void *data)
{
    struct peer *peer = data;

    (void)connection;
    peer->answered = true;
    peer->answer = json_incref(ok);
    if (error)
        peer->failure = *error;
}

static void got(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct peer *peer = data;

    (void)bytes;
    peer->received += length;
    wire_channel_grant(channel, length);
}

static void got_end(struct wire_channel *channel, void *data)
{
    struct peer *peer = data;

    (void)channel;
    peer->channel = NULL;
    peer->ended = true;
}

static void got_reset(struct wire_channel *channel, void *data)
{
    struct peer *peer = data;

    (void)channel;
    peer->channel = NULL;
    peer->was_reset = true;
}

static const struct wire_channel_handler channel_handler = {
    .data = got, .end = got_end, .reset = got_reset};
/* Sends the request, with a channel where `stream` names one; `request` is consumed. */
static void ask(struct peer *peer, const char *op, json_t *request, const char *stream)
{
    uint32_t id = wire_connection_next_channel(peer->connection);

    json_decref(peer->answer);
    peer->answer = NULL;
    peer->answered = peer->ended = peer->was_reset = false;
    peer->received = 0;
    error_clear(&peer->failure);
    if (stream)
        json_object_set_new(request, "streams", json_pack("{s:I}", stream, (json_int_t)id));
    assert_int_equal(wire_connection_request(peer->connection, op, request, answered, peer, NULL),
                     0);
    if (!stream)
        return;
    assert_int_equal(wire_channel_open(peer->connection, id,
                                       string_equal(stream, "stdin") ? WIRE_SEND : WIRE_RECEIVE,
                                       &channel_handler, peer, &peer->channel, NULL),
                     0);
}

static int finish(struct peer *peer)
{
    while (!peer->answered)
        agent_peer_step(peer->connection);
    return peer->failure.code;
}

static int call(struct peer *peer, const char *op, json_t *request, const char *stream)
{
    ask(peer, op, request, stream);
    if (stream && string_equal(stream, "stdout"))
        wire_channel_grant(peer->channel, 4096);
    int r = finish(peer);
    if (r < 0)
        peer->channel = wire_channel_reset(peer->channel);
    return r;
}

static int write_tar(struct peer *peer, const char *path, const char *bytes, size_t length)
{
    ask(peer, "archive-write", json_pack("{s:s}", "path", path), "stdin");
    while (length > 0 && peer->channel && !peer->answered) {
        size_t n = wire_channel_space(peer->channel);

        if (n == 0) {
            agent_peer_step(peer->connection);
            continue;
        }
        n = n < length ? n : length;
        (void)wire_channel_send(peer->channel, bytes, n);
        bytes += n;
        length -= n;
    }
    peer->channel = wire_channel_end(peer->channel);
    return finish(peer);
}

static json_t *files_request(void)
{
    CLEANUP_FREE char *lower = string_format("%s/lower", folder);
    CLEANUP_FREE char *upper = string_format("%s/upper", folder);
    CLEANUP_FREE char *work = string_format("%s/work", folder);
    CLEANUP_FREE char *target = string_format("%s/target", folder);

    return json_pack("{s:s, s:{s:s, s:{s:[s], s:s, s:{s:i, s:i}}, s:{s:s}},"
                     " s:{s:s, s:[s], s:s, s:s, s:s}}",
                     "container", "c", "config", "ociVersion", "1.0.2", "process", "args", "true",
                     "cwd", "/", "user", "uid", 7, "gid", 8, "root", "path", "rootfs", "rootfs",
                     "type", "overlay", "lower", lower, "upper", upper, "work", work, "target",
                     target);
}

/* --- set up and down --- */

static void make(const char *name, bool file)
{
    CLEANUP_FREE char *path = string_format("%s/%s", folder, name);

    if (file)
        assert_int_equal(file_replace(AT_FDCWD, path, "content\n", 8, 0644, NULL), 0);
    else
        assert_int_equal(mkdir(path, 0755), 0);
}

static int set_up(void **state)
{
    char name[] = "/var/tmp/hull-test-agent-XXXXXX";
    struct peer *peer = calloc(1, sizeof(*peer));

    *state = NULL;
    assert_non_null(mkdtemp(name));
    folder = strdup(name);
    make("lower", false);
    make("upper", false);
    make("work", false);
    make("target", false);
    make("lower/file", true);
    make("lower/dir", false);
    peer->connection = agent_peer_open(&peer->agent);
    *state = peer;
    return 0;
}

static int tear_down(void **state)
{
    struct peer *peer = *state;

    json_decref(peer->answer);
    agent_peer_close(peer->connection, peer->agent);
    free(peer);
    assert_int_equal(path_remove_tree(AT_FDCWD, folder, NULL), 0);
    free(folder);
    return 0;
}

static struct peer *mounted(void **state)
{
    struct peer *peer = *state;

    if (call(peer, "files", files_request(), NULL) < 0) {
        print_message("needs root and overlay: %s\n", peer->failure.message);
        skip();
    }
    return peer;
}

/* --- tests --- */

static void test_before_files(void **state)
{
    struct peer *peer = *state;

    assert_true(call(peer, "stat-path", json_pack("{s:s}", "path", "/file"), NULL) < 0);
    assert_int_equal(peer->failure.class, ERROR_CONFLICT);
    assert_true(call(peer, "archive-read", json_pack("{s:s}", "path", "/file"), "stdout") < 0);
    assert_int_equal(peer->failure.class, ERROR_CONFLICT);
}

static void test_wrong_requests(void **state)
{
    struct peer *peer = mounted(state);

    assert_int_equal(call(peer, "stat-path", json_object(), NULL), -EINVAL);
    assert_int_equal(call(peer, "stat-path", json_pack("{s:s}", "path", "file"), NULL), -EINVAL);
    assert_int_equal(call(peer, "archive-read", json_pack("{s:s}", "path", "/file"), NULL),
                     -EINVAL);
    assert_int_equal(call(peer, "archive-read", json_pack("{s:s}", "path", "/file"), "stdin"),
                     -EINVAL);
    assert_int_equal(call(peer, "archive-write", json_pack("{s:s}", "path", "/dir"), NULL),
                     -EINVAL);
    assert_int_equal(call(peer, "changes", json_pack("{s:i}", "hidden", 1), "stdout"), -EINVAL);
    assert_int_equal(call(peer, "files", files_request(), NULL), -EBUSY);
    assert_true(call(peer, "create", files_request(), NULL) < 0);
}

static void test_stat_and_read(void **state)
{
    struct peer *peer = mounted(state);

    assert_int_equal(call(peer, "stat-path", json_pack("{s:s}", "path", "/dir/../file"), NULL), 0);
    assert_string_equal(json_string_value(json_object_get(peer->answer, "resolved")), "/file");
    assert_int_equal(json_integer_value(json_object_get(peer->answer, "size")), 8);
    assert_true(call(peer, "stat-path", json_pack("{s:s}", "path", "/none"), NULL) < 0);
    assert_int_equal(peer->failure.class, ERROR_NOT_FOUND);
    assert_int_equal(call(peer, "archive-read",
                          json_pack("{s:s, s:s}", "path", "/file", "name", "file"), "stdout"),
                     0);
    while (!peer->ended)
        agent_peer_step(peer->connection);
    assert_true(peer->received >= 2048);
    assert_false(peer->was_reset);
    /* Nothing is sent of what is not there, and the stream is not as if it were whole. */
    assert_true(call(peer, "archive-read", json_pack("{s:s}", "path", "/none"), "stdout") < 0);
    assert_false(peer->ended);
    assert_int_equal(peer->received, 0);
}

static void test_write(void **state)
{
    static const char zeros[1024];
    static char noise[256 * 1024];
    struct peer *peer = mounted(state);

    memset(noise, 'x', sizeof(noise));
    assert_int_equal(write_tar(peer, "/dir", zeros, sizeof(zeros)), 0);
    assert_int_equal(json_integer_value(json_object_get(peer->answer, "entries")), 0);
    assert_int_equal(write_tar(peer, "/dir", zeros, 0), 0);
    assert_true(write_tar(peer, "/dir", noise, sizeof(noise)) < 0);
    assert_int_equal(peer->failure.class, ERROR_INVALID);
    assert_true(write_tar(peer, "/file", zeros, sizeof(zeros)) < 0);
    assert_string_equal(peer->failure.message, "extraction point is not a directory");
    assert_true(write_tar(peer, "/none", zeros, sizeof(zeros)) < 0);
    assert_int_equal(peer->failure.class, ERROR_NOT_FOUND);
}

/* A peer that gives up, in the middle or before, ends the child and leaves the agent at work. */
static void test_given_up(void **state)
{
    struct peer *peer = mounted(state);

    for (int i = 0; i < 2 * AGENT_ARCHIVES_MAX; i++) {
        ask(peer, "archive-write", json_pack("{s:s}", "path", "/dir"), "stdin");
        peer->channel = wire_channel_reset(peer->channel);
        assert_true(finish(peer) < 0);
        ask(peer, "archive-read", json_pack("{s:s, s:s}", "path", "/", "name", "r"), "stdout");
        peer->channel = wire_channel_reset(peer->channel);
        (void)finish(peer);
    }
    assert_int_equal(call(peer, "stat-path", json_pack("{s:s}", "path", "/file"), NULL), 0);
}

/* Streams that nobody feeds are bounded in number. */
static void test_too_many(void **state)
{
    struct peer *peer = mounted(state);
    struct wire_channel *held[AGENT_ARCHIVES_MAX];

    for (int i = 0; i < AGENT_ARCHIVES_MAX; i++) {
        ask(peer, "archive-write", json_pack("{s:s}", "path", "/dir"), "stdin");
        held[i] = TAKE_PTR(peer->channel);
    }
    assert_true(call(peer, "stat-path", json_pack("{s:s}", "path", "/file"), NULL) < 0);
    assert_int_equal(peer->failure.class, ERROR_UNAVAILABLE);
    for (int i = 0; i < AGENT_ARCHIVES_MAX; i++)
        (void)wire_channel_end(held[i]);
}

static void test_changes(void **state)
{
    struct peer *peer = mounted(state);

    assert_int_equal(call(peer, "changes", json_object(), "stdout"), 0);
    assert_true(peer->ended);
    assert_int_equal(peer->received, 0);
    make("upper/new", true);
    assert_int_equal(call(peer, "changes", json_object(), "stdout"), 0);
    assert_int_equal(peer->received, sizeof("1/new"));
    assert_int_equal(call(peer, "changes", json_pack("{s:[s]}", "hidden", "/new"), "stdout"), 0);
    assert_int_equal(peer->received, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_before_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stat_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
