/* compute/archive against a worker that is played here, and that misbehaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "compute/archive.h"
#include "compute/client.h"
#include "wire/connection.h"

/* What the worker does with the one request that comes. */
enum act {
    ACT_WHOLE,      /* answer, bytes, END */
    ACT_CUT,        /* answer, bytes, RESET */
    ACT_REFUSE,     /* an error, with a RESET */
    ACT_GONE,       /* closes without a word */
    ACT_WITHOUT,    /* END before the answer, which never comes: it goes */
    ACT_BABBLE,     /* speaks another protocol */
    ACT_TAKE,       /* takes all that comes, then answers */
    ACT_TAKE_A_BIT, /* takes some, then resets and refuses */
};

struct worker {
    enum act act;
    char *folder;
    int listener;
    pthread_t thread;
    struct wire_connection *connection;
    struct wire_channel *channel;
    uint64_t request;
    size_t taken;
    bool done;
};

static void say_failure(struct worker *worker)
{
    struct error error = ERROR_INIT;

    (void)error_set_class(&error, ERROR_INVALID, "archive is damaged");
    wire_connection_refuse(worker->connection, worker->request, &error);
}

static void take(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct worker *worker = data;

    (void)bytes;
    worker->taken += length;
    if (worker->act == ACT_TAKE_A_BIT) {
        worker->channel = wire_channel_reset(channel);
        say_failure(worker);
        return;
    }
    wire_channel_grant(channel, length);
}

static void taken_all(struct wire_channel *channel, void *data)
{
    struct worker *worker = data;

    (void)channel;
    worker->channel = NULL;
    wire_connection_answer(worker->connection, worker->request,
                           json_pack("{s:I}", "bytes", (json_int_t)worker->taken));
}

static void nothing(struct wire_channel *channel, void *data)
{
    struct worker *worker = data;

    (void)channel;
    worker->channel = NULL;
}

/* Credit has come: play. */
static void play(struct wire_channel *channel, void *data)
{
    struct worker *worker = data;

    if (wire_channel_credit(channel) < 5 || worker->act == ACT_GONE)
        return;
    if (worker->act != ACT_WITHOUT)
        wire_connection_answer(worker->connection, worker->request, json_object());
    (void)wire_channel_send(channel, "bytes", 5);
    worker->channel =
        worker->act == ACT_CUT ? wire_channel_reset(channel) : wire_channel_end(channel);
    worker->done = worker->act == ACT_WITHOUT;
}

static const struct wire_channel_handler sender = {.writable = play, .reset = nothing};
static const struct wire_channel_handler receiver = {
    .data = take, .end = taken_all, .reset = nothing};

static void handle_request(struct wire_connection *connection, uint64_t id, const char *op,
                           json_t *request, void *data)
{
    struct worker *worker = data;
    const json_t *streams = json_object_get(request, "streams");
    bool in = string_equal(op, "archive-write");
    uint32_t channel =
        (uint32_t)json_integer_value(json_object_get(streams, in ? "stdin" : "stdout"));

    worker->request = id;
    assert_int_equal(wire_channel_open(connection, channel, in ? WIRE_RECEIVE : WIRE_SEND,
                                       in ? &receiver : &sender, worker, &worker->channel, NULL),
                     0);
    if (in)
        wire_channel_grant(worker->channel, WIRE_WINDOW);
    if (worker->act == ACT_REFUSE) {
        worker->channel = wire_channel_reset(worker->channel);
        say_failure(worker);
    }
    if (worker->act == ACT_GONE)
        worker->done = true;
}

static void handle_closed(struct wire_connection *connection, const struct error *reason,
                          void *data)
{
    struct worker *worker = data;

    (void)connection;
    (void)reason;
    worker->done = true;
}

static const struct wire_handler handler = {.request = handle_request, .closed = handle_closed};

static void *serve(void *data)
{
    struct worker *worker = data;
    int fd = accept4(worker->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return NULL;
    if (wire_connection_new(WIRE_SERVER, "test", "the client", &handler, worker,
                            &worker->connection, NULL) >= 0 &&
        wire_connection_attach(worker->connection, fd, true, NULL, NULL) >= 0)
        while (!worker->done && wire_connection_wait(worker->connection, 10000, NULL) > 0)
            ;
    if (worker->act == ACT_WITHOUT)
        (void)wire_connection_flush(worker->connection, 1000, NULL);
    worker->connection = wire_connection_free(worker->connection);
    return NULL;
}

/* What is no frame at all. */
static void *babble(void *data)
{
    const struct worker *worker = data;
    char bytes[4096];
    int fd = accept4(worker->listener, NULL, NULL, SOCK_CLOEXEC);

    memset(bytes, 0xff, sizeof(bytes));
    (void)!write(fd, bytes, sizeof(bytes));
    while (read(fd, bytes, sizeof(bytes)) > 0)
        ;
    fd_close(fd);
    return NULL;
}

static int start(struct worker *worker, enum act act, struct compute_client **ret)
{
    char folder[] = "/tmp/hull-test-archive-XXXXXX";

    *worker = (struct worker){.act = act};
    assert_non_null(mkdtemp(folder));
    worker->folder = strdup(folder);
    CLEANUP_FREE char *path = path_join(folder, "worker.sock");
    worker->listener = fd_listen_unix(path, 0600, NULL);
    assert_true(worker->listener >= 0);
    assert_int_equal(
        pthread_create(&worker->thread, NULL, act == ACT_BABBLE ? babble : serve, worker), 0);
    return compute_client_connect(folder, ret, NULL);
}

static void stop(struct worker *worker, struct compute_client *client)
{
    compute_client_free(client);
    pthread_join(worker->thread, NULL);
    fd_close(worker->listener);
    (void)path_remove_tree(AT_FDCWD, worker->folder, NULL);
    free(worker->folder);
}

/* Reads to the end: 0, or what failed; *ret_length counts. */
static int read_all(enum act act, size_t *ret_length, struct error *err)
{
    struct worker worker;
    struct compute_client *client = NULL;
    struct compute_archive *archive = NULL;
    int r = start(&worker, act, &client);

    *ret_length = 0;
    if (r == 0)
        r = compute_archive_begin(client, "archive-read", json_object(), false, &archive, err);
    if (r == 0 && act != ACT_WITHOUT)
        r = compute_archive_answer(archive, NULL, err);
    while (r >= 0) {
        const void *bytes;
        size_t length = 0;

        r = compute_archive_read(archive, &bytes, &length, err);
        if (r == 0)
            r = compute_archive_await(archive, err);
        *ret_length += length;
    }
    if (r == -ENODATA && act == ACT_WITHOUT)
        r = compute_archive_answer(archive, NULL, err);
    compute_archive_free(archive);
    stop(&worker, client);
    return r == -ENODATA ? 0 : r;
}

static void test_read(void **state)
{
    size_t length = 0;

    (void)state;
    assert_int_equal(read_all(ACT_WHOLE, &length, NULL), 0);
    assert_int_equal(length, 5);
}

/* What was cut is never taken for the whole. */
static void test_cut(void **state)
{
    size_t length = 0;

    (void)state;
    assert_int_equal(read_all(ACT_CUT, &length, NULL), -EPIPE);
}

static void test_refused(void **state)
{
    struct error error = ERROR_INIT;
    size_t length = 0;

    (void)state;
    assert_true(read_all(ACT_REFUSE, &length, &error) < 0);
    assert_int_equal(error.class, ERROR_INVALID);
    assert_string_equal(error.message, "archive is damaged");
}

static void test_gone(void **state)
{
    size_t length = 0;

    (void)state;
    assert_true(read_all(ACT_GONE, &length, NULL) < 0);
    assert_true(read_all(ACT_WITHOUT, &length, NULL) < 0);
    assert_true(read_all(ACT_BABBLE, &length, NULL) < 0);
}

static int write_much(enum act act, json_t **ret, struct error *err)
{
    static char bytes[128 * 1024];
    struct worker worker;
    struct compute_client *client = NULL;
    struct compute_archive *archive = NULL;
    int r = start(&worker, act, &client);

    if (r == 0)
        r = compute_archive_begin(client, "archive-write", json_object(), true, &archive, err);
    for (int i = 0; r >= 0 && i < 64; i++)
        r = compute_archive_write(archive, bytes, sizeof(bytes), err);
    if (r >= 0)
        r = compute_archive_finish(archive, ret, err);
    compute_archive_free(archive);
    stop(&worker, client);
    return r;
}

static void test_write(void **state)
{
    CLEANUP_JSON json_t *answer = NULL;

    (void)state;
    assert_int_equal(write_much(ACT_TAKE, &answer, NULL), 0);
    assert_int_equal(json_integer_value(json_object_get(answer, "bytes")), 64 * 128 * 1024);
}

static void test_write_refused(void **state)
{
    struct error error = ERROR_INIT;

    (void)state;
    assert_true(write_much(ACT_TAKE_A_BIT, NULL, &error) < 0);
    assert_string_equal(error.message, "archive is damaged");
    assert_true(write_much(ACT_GONE, NULL, &error) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),    cmocka_unit_test(test_cut),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_gone),
        cmocka_unit_test(test_write),   cmocka_unit_test(test_write_refused),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
