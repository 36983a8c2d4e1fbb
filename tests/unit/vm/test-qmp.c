/* The QMP client against a scripted QEMU, and against a real one where it is installed. */
#include "fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "vm/qmp.h"

#define GREETING \
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n"
#define NEGOTIATED "{\"return\": {}, \"id\": 0}\r\n"

struct dialogue {
    struct loop *loop;
    struct qmp *qmp;
    int peer;
    char log[4096]; /* what the callbacks saw */
};

static void note(struct dialogue *dialogue, const char *text)
{
    size_t length = strlen(dialogue->log);

    assert_true(string_copy(dialogue->log + length, sizeof(dialogue->log) - length, text));
}

static void on_event(struct qmp *qmp, const char *name, const json_t *payload, void *data)
{
    struct dialogue *dialogue = data;
    const char *reason = json_string_value(json_object_get(payload, "reason"));

    assert_ptr_equal(qmp, dialogue->qmp);
    note(dialogue, name);
    note(dialogue, ":");
    note(dialogue, string_or(reason, "-"));
    note(dialogue, " ");
}

static void on_done(struct qmp *qmp, const json_t *result, const struct error *error, void *data)
{
    struct dialogue *dialogue = data;

    assert_ptr_equal(qmp, dialogue->qmp);
    assert_true(!result == !!error);
    note(dialogue, result ? "done " : "failed(");
    if (error) {
        note(dialogue, error->message);
        note(dialogue, ") ");
    }
}

static int set_up(void **state)
{
    struct dialogue *dialogue = calloc(1, sizeof(*dialogue));
    const struct qmp_events events = {.event = on_event, .data = dialogue};
    int ends[2];

    assert_non_null(dialogue);
    assert_int_equal(loop_new(&dialogue->loop, NULL), 0);
    assert_int_equal(fd_socketpair(SOCK_STREAM, ends), 0);
    assert_int_equal(fd_set_nonblocking(ends[0], true), 0);
    dialogue->peer = ends[1];
    assert_int_equal(qmp_new(ends[0], dialogue->loop, &events, &dialogue->qmp, NULL), 0);
    *state = dialogue;
    return 0;
}

static int tear_down(void **state)
{
    struct dialogue *dialogue = *state;

    qmp_free(dialogue->qmp);
    loop_free(dialogue->loop);
    fd_close(dialogue->peer);
    free(dialogue);
    return 0;
}

static void turn(struct dialogue *dialogue)
{
    for (int i = 0; i < 8; i++)
        assert_int_equal(loop_run_once(dialogue->loop, 0), 0);
}

static void peer_says(struct dialogue *dialogue, const char *text)
{
    assert_int_equal(fd_write_full(dialogue->peer, text, strlen(text)), 0);
    turn(dialogue);
}

static void assert_peer_heard(struct dialogue *dialogue, const char *expected)
{
    char text[4096];
    ssize_t n;

    turn(dialogue);
    n = recv(dialogue->peer, text, sizeof(text) - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    assert_string_equal(text, expected);
}

static void shake_hands(struct dialogue *dialogue)
{
    peer_says(dialogue, GREETING);
    assert_peer_heard(dialogue, "{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
    peer_says(dialogue, NEGOTIATED);
}

static void test_handshake_first(void **state)
{
    struct dialogue *dialogue = *state;

    assert_int_equal(qmp_command(dialogue->qmp, "stop", NULL, on_done, dialogue, NULL), 0);
    assert_peer_heard(dialogue, "");
    peer_says(dialogue, GREETING);
    assert_peer_heard(dialogue, "{\"execute\":\"qmp_capabilities\",\"id\":0}\n");
    peer_says(dialogue, NEGOTIATED);
    assert_peer_heard(dialogue, "{\"execute\":\"stop\",\"id\":1}\n");
    peer_says(dialogue, "{\"return\": {}, \"id\": 1}\n");
    assert_string_equal(dialogue->log, "done ");
    assert_null(qmp_failure(dialogue->qmp));
}

static void test_answers_in_any_order_and_pieces(void **state)
{
    struct dialogue *dialogue = *state;

    shake_hands(dialogue);
    assert_int_equal(
        qmp_command(dialogue->qmp, "a", json_pack("{s:i}", "n", 1), on_done, dialogue, NULL), 0);
    assert_int_equal(qmp_command(dialogue->qmp, "b", NULL, on_done, dialogue, NULL), 0);
    assert_peer_heard(dialogue, "{\"execute\":\"a\",\"id\":1,\"arguments\":{\"n\":1}}\n"
                                "{\"execute\":\"b\",\"id\":2}\n");
    peer_says(dialogue, "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no b\"}");
    assert_string_equal(dialogue->log, "");
    peer_says(dialogue,
              "}\n{\"event\": \"STOP\", \"timestamp\": {}}\n{\"return\": 7, \"id\": 1}\n");
    assert_string_equal(dialogue->log, "failed(QEMU: no b) STOP:- done ");
}

static void test_death_completes_everything(void **state)
{
    struct dialogue *dialogue = *state;
    struct error error = ERROR_INIT;

    shake_hands(dialogue);
    qmp_command(dialogue->qmp, "a", NULL, on_done, dialogue, NULL);
    qmp_command(dialogue->qmp, "b", NULL, on_done, dialogue, NULL);
    turn(dialogue);
    dialogue->peer = fd_close(dialogue->peer);
    turn(dialogue);
    /* What was not read by the peer turns its end into a reset, or it is an ordinary end. */
    assert_non_null(qmp_failure(dialogue->qmp));
    CLEANUP_FREE char *expected =
        string_format("failed(%s) failed(%s) SHUTDOWN:disconnected ", qmp_failure(dialogue->qmp),
                      qmp_failure(dialogue->qmp));
    assert_string_equal(dialogue->log, expected);
    assert_int_equal(qmp_command(dialogue->qmp, "c", json_object(), on_done, dialogue, &error),
                     -ENOTCONN);
    turn(dialogue);
    assert_string_equal(dialogue->log, expected);
}

static void test_death_before_the_handshake(void **state)
{
    struct dialogue *dialogue = *state;

    qmp_command(dialogue->qmp, "a", NULL, on_done, dialogue, NULL);
    dialogue->peer = fd_close(dialogue->peer);
    turn(dialogue);
    assert_string_equal(dialogue->log, "failed(the control connection to QEMU was closed) "
                                       "SHUTDOWN:disconnected ");
}

static void test_shutdown_is_seen_once(void **state)
{
    struct dialogue *dialogue = *state;

    shake_hands(dialogue);
    peer_says(dialogue, "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": "
                        "\"guest-shutdown\"}}\n{\"event\": \"SHUTDOWN\", \"data\": {}}\n");
    dialogue->peer = fd_close(dialogue->peer);
    turn(dialogue);
    assert_string_equal(dialogue->log, "SHUTDOWN:guest-shutdown ");
}

static void assert_violation(struct dialogue *dialogue, const char *text, const char *what)
{
    peer_says(dialogue, text);
    CLEANUP_FREE char *expected = string_format("QEMU broke the control protocol: %s", what);
    assert_non_null(qmp_failure(dialogue->qmp));
    assert_string_equal(qmp_failure(dialogue->qmp), expected);
    assert_string_equal(dialogue->log, "SHUTDOWN:disconnected ");
}

static void test_no_greeting(void **state)
{
    assert_violation(*state, "{\"event\": \"STOP\"}\n", "no greeting");
}

static void test_no_json(void **state)
{
    shake_hands(*state);
    assert_violation(*state, "garbage\n", "a line that is no JSON object");
}

static void test_an_array(void **state)
{
    shake_hands(*state);
    assert_violation(*state, "[1]\n", "a line that is no JSON object");
}

static void test_an_answer_to_nothing(void **state)
{
    shake_hands(*state);
    assert_violation(*state, "{\"return\": {}, \"id\": 77}\n", "an answer that belongs to nothing");
}

static void test_a_refused_handshake(void **state)
{
    peer_says(*state, GREETING);
    assert_violation(*state, "{\"error\": {\"class\": \"x\", \"desc\": \"y\"}, \"id\": 0}\n",
                     "the handshake was refused");
}

static void test_an_endless_line(void **state)
{
    struct dialogue *dialogue = *state;
    char chunk[4096];

    shake_hands(dialogue);
    memset(chunk, 'x', sizeof(chunk));
    for (int i = 0; i < QMP_LINE_MAX / 4096 + 1 && !qmp_failure(dialogue->qmp); i++)
        qmp_receive(dialogue->qmp, chunk, sizeof(chunk));
    assert_non_null(qmp_failure(dialogue->qmp));
    assert_string_equal(qmp_failure(dialogue->qmp),
                        "QEMU broke the control protocol: a line that long");
}

static void test_pending_is_bounded(void **state)
{
    struct dialogue *dialogue = *state;

    for (int i = 0; i < QMP_PENDING_MAX; i++)
        assert_int_equal(qmp_command(dialogue->qmp, "x", NULL, NULL, NULL, NULL), 0);
    assert_int_equal(qmp_command(dialogue->qmp, "x", NULL, NULL, NULL, NULL), -ENOBUFS);
}

static void test_output_is_bounded(void **state)
{
    struct dialogue *dialogue = *state;
    CLEANUP_FREE char *large = calloc(1, QMP_OUTPUT_MAX + 1);

    memset(large, 'x', QMP_OUTPUT_MAX);
    assert_int_equal(
        qmp_command(dialogue->qmp, "x", json_pack("{s:s}", "a", large), NULL, NULL, NULL),
        -ENOBUFS);
    assert_int_equal(qmp_command(dialogue->qmp, "stop", NULL, NULL, NULL, NULL), 0);
    shake_hands(dialogue);
    assert_peer_heard(dialogue, "{\"execute\":\"stop\",\"id\":1}\n");
}

/* --- a real QEMU --- */

static void wait_for(struct dialogue *dialogue, const char *text)
{
    int64_t deadline = timestamp_monotonic() + FIXTURE_TIMEOUT_MS * INT64_C(1000000);

    while (!strstr(dialogue->log, text)) {
        assert_true(timestamp_monotonic() < deadline);
        assert_int_equal(loop_run_once(dialogue->loop, 1000), 0);
    }
}

static void test_real_qemu(void **state)
{
    struct dialogue *dialogue = *state;
    const char *qemu = string_or(getenv("HULL_TEST_QEMU"), "/usr/bin/qemu-system-x86_64");
    const struct process_fd fds[] = {{.fd = dialogue->peer, .as = 4}};
    char *argv[] = {strdup(qemu),
                    strdup("-machine"),
                    strdup("none"),
                    strdup("-nodefaults"),
                    strdup("-display"),
                    strdup("none"),
                    strdup("-chardev"),
                    strdup("socket,id=control,fd=4"),
                    strdup("-mon"),
                    strdup("chardev=control,mode=control"),
                    NULL};
    struct process_spec spec = {
        .argv = argv, .fds = fds, .n_fds = 1, .flags = PROCESS_DIE_WITH_PARENT};
    struct process process = PROCESS_INIT;
    bool there = access(qemu, X_OK) == 0;
    int r = there ? process_spawn(&spec, &process, NULL) : 0;
    int status = -1;

    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    if (!there) {
        print_message("skipped: %s is not installed\n", qemu);
        skip();
    }
    assert_int_equal(r, 0);
    dialogue->peer = fd_close(dialogue->peer);
    qmp_command(dialogue->qmp, "query-status", NULL, on_done, dialogue, NULL);
    wait_for(dialogue, "done ");
    qmp_command(dialogue->qmp, "no-such-command", NULL, on_done, dialogue, NULL);
    wait_for(dialogue, "failed(QEMU: The command no-such-command has not been found) ");
    qmp_command(dialogue->qmp, "quit", NULL, on_done, dialogue, NULL);
    wait_for(dialogue, "SHUTDOWN:host-qmp-quit ");
    assert_int_equal(process_wait_timeout(&process, FIXTURE_TIMEOUT_MS, &status), 0);
    assert_int_equal(status, 0);
    process_release(&process);
}

/* --- descriptors --- */

static int some_file(void)
{
    return memfd_create("test", MFD_CLOEXEC);
}

/* What the peer gets in one piece: bytes, and whether a descriptor came with them. */
static void assert_peer_got(struct dialogue *dialogue, const char *expected, size_t n_expected)
{
    char text[4096];
    int fds[FD_PASS_MAX];
    size_t n_fds = 0;
    ssize_t n = fd_receive_with_fds(dialogue->peer, text, sizeof(text) - 1, fds, &n_fds);

    assert_true(n >= 0);
    text[n] = '\0';
    assert_string_equal(text, expected);
    assert_int_equal(n_fds, n_expected);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
}

static void test_a_descriptor_goes_with_its_command(void **state)
{
    struct dialogue *dialogue = *state;

    shake_hands(dialogue);
    assert_int_equal(qmp_command(dialogue->qmp, "stop", NULL, on_done, dialogue, NULL), 0);
    assert_int_equal(
        qmp_command_fd(dialogue->qmp, "add-fd", NULL, some_file(), on_done, dialogue, NULL), 0);
    assert_int_equal(
        qmp_command_fd(dialogue->qmp, "add-fd", NULL, some_file(), on_done, dialogue, NULL),
        -EBUSY);
    turn(dialogue);
    /* A read ends with a descriptor, but may begin before it. */
    assert_peer_got(dialogue,
                    "{\"execute\":\"stop\",\"id\":1}\n{\"execute\":\"add-fd\",\"id\":2}\n", 1);
    assert_int_equal(
        qmp_command_fd(dialogue->qmp, "add-fd", NULL, some_file(), on_done, dialogue, NULL), 0);
    turn(dialogue);
    assert_peer_got(dialogue, "{\"execute\":\"add-fd\",\"id\":3}\n", 1);
}

static void test_a_descriptor_waits_for_the_handshake(void **state)
{
    struct dialogue *dialogue = *state;

    assert_int_equal(qmp_command(dialogue->qmp, "stop", NULL, on_done, dialogue, NULL), 0);
    assert_int_equal(
        qmp_command_fd(dialogue->qmp, "getfd", NULL, some_file(), on_done, dialogue, NULL), 0);
    shake_hands(dialogue);
    /* A read ends with a descriptor, but may begin before it. */
    assert_peer_got(dialogue, "{\"execute\":\"stop\",\"id\":1}\n{\"execute\":\"getfd\",\"id\":2}\n",
                    1);
}

static void free_client(struct qmp *qmp, const json_t *result, const struct error *error,
                        void *data)
{
    struct dialogue *dialogue = data;

    (void)result;
    (void)error;
    assert_ptr_equal(qmp, dialogue->qmp);
    dialogue->qmp = qmp_free(qmp);
}

static void test_freed_by_a_callback(void **state)
{
    struct dialogue *dialogue = *state;

    shake_hands(dialogue);
    assert_int_equal(qmp_command(dialogue->qmp, "stop", NULL, free_client, dialogue, NULL), 0);
    assert_int_equal(qmp_command(dialogue->qmp, "cont", NULL, on_done, dialogue, NULL), 0);
    turn(dialogue);
    peer_says(dialogue, "{\"return\": {}, \"id\": 1}\r\n{\"return\": {}, \"id\": 2}\r\n");
    assert_null(dialogue->qmp);
    assert_string_equal(dialogue->log, "");
}

static void test_freed_by_its_end(void **state)
{
    struct dialogue *dialogue = *state;

    shake_hands(dialogue);
    assert_int_equal(qmp_command(dialogue->qmp, "stop", NULL, free_client, dialogue, NULL), 0);
    turn(dialogue);
    dialogue->peer = fd_close(dialogue->peer);
    turn(dialogue);
    assert_null(dialogue->qmp);
    assert_string_equal(dialogue->log, "");
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_handshake_first),
        ROW(test_answers_in_any_order_and_pieces),
        ROW(test_death_completes_everything),
        ROW(test_death_before_the_handshake),
        ROW(test_shutdown_is_seen_once),
        ROW(test_no_greeting),
        ROW(test_no_json),
        ROW(test_an_array),
        ROW(test_an_answer_to_nothing),
        ROW(test_a_refused_handshake),
        ROW(test_an_endless_line),
        ROW(test_pending_is_bounded),
        ROW(test_output_is_bounded),
        ROW(test_a_descriptor_goes_with_its_command),
        ROW(test_a_descriptor_waits_for_the_handshake),
        ROW(test_freed_by_a_callback),
        ROW(test_freed_by_its_end),
        ROW(test_real_qemu),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
