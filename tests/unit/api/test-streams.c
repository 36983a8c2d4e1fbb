/* Answers that go on: streams, operations, hijacked connections, and their ends. */
#include "client.h"

#include "api/operation.h"
#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "image/image.h"

#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/eventfd.h>

#define CLEANUP_BUFFER CLEANUP(buffer_release)

/* What the handlers and the tests share. */
static struct {
    int ready_fd;         /* the stream says a line for each */
    sem_t released;       /* a stream or hijack was freed */
    sem_t working;        /* an operation began */
    sem_t go;             /* an operation may go on */
    struct error failure; /* of the operation; none: it succeeds */
    bool speaks;          /* the operation reports a line first */
    size_t uploaded;
} shared;

static void wait_for(sem_t *semaphore)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += CLIENT_PATIENCE;
    assert_int_equal(sem_timedwait(semaphore, &deadline), 0);
}

static int line_fill(void *data, struct buffer *out)
{
    uint64_t count = 0;

    (void)data;
    if (read(shared.ready_fd, &count, sizeof(count)) < 0)
        return 0;
    if (count >= 100)
        return -ENODATA;
    return buffer_append_string(out, "line\n") < 0 ? -ENOMEM : 1;
}

static int line_fd(void *data)
{
    (void)data;
    return shared.ready_fd;
}

static void line_release(void *data)
{
    (void)data;
    sem_post(&shared.released);
}

static int handle_lines(void *context, struct request *request, struct reply *reply,
                        struct error *err)
{
    (void)context;
    (void)request;
    (void)err;
    reply_stream(
        reply, TYPE_JSON,
        &(const struct reply_source){.fill = line_fill, .fd = line_fd, .release = line_release});
    return 0;
}

/* Sends back what it gets until the peer's half is closed. */
static void echo(void *data, int fd, const void *early, size_t early_length)
{
    char block[4096];

    (void)data;
    client_send(fd, early, early_length);
    for (;;) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        ssize_t n = 0;

        (void)poll(&readable, 1, -1);
        n = read(fd, block, sizeof(block));
        if (n <= 0)
            break;
        client_send(fd, block, (size_t)n);
    }
    client_say(fd, "bye");
}

static int handle_echo(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    (void)context;
    (void)err;
    reply_hijack(reply, request->version >= REQUEST_API_STREAM_TYPES ? TYPE_MULTIPLEXED : TYPE_RAW,
                 &(const struct reply_hijack){.run = echo, .release = line_release});
    return 0;
}

struct job {
    int fd;
};

static int run_job(void *data, const struct image_monitor *monitor, struct error *err)
{
    struct job *job = data;
    char block[4096];
    ssize_t n = 0;

    sem_post(&shared.working);
    if (shared.speaks)
        monitor->report(monitor->data,
                        &(const struct image_progress_event){.status = "Working", .id = "x"});
    while ((n = read(job->fd, block, sizeof(block))) > 0)
        shared.uploaded += (size_t)n;
    while (sem_trywait(&shared.go) < 0) {
        const struct timespec moment = {.tv_nsec = 1000000};

        if (monitor->cancelled(monitor->data))
            return error_set(err, -ECANCELED, "cancelled");
        nanosleep(&moment, NULL);
    }
    return error_copy(err, &shared.failure);
}

static void release_job(void *data)
{
    struct job *job = data;

    close(job->fd);
    free(job);
    sem_post(&shared.released);
}

static int begin_job(void *context, struct request *request, int body_fd, struct error *err)
{
    struct job *job = calloc(1, sizeof(*job));

    (void)context;
    job->fd = body_fd;
    return operation_start(run_job, release_job, job, &request->operation, err);
}

static int handle_job(void *context, struct request *request, struct reply *reply,
                      struct error *err)
{
    (void)context;
    return operation_reply(request->operation, request, reply, err);
}

static const struct route routes[] = {
    {METHOD_GET, "/lines", handle_lines},
    {METHOD_POST, "/echo", handle_echo},
    {METHOD_POST, "/job", handle_job, .begin = begin_job},
};

static int start(void **state)
{
    struct harness *harness = calloc(1, sizeof(*harness));

    signal(SIGPIPE, SIG_IGN);
    memset(&shared, 0, sizeof(shared));
    shared.ready_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sem_init(&shared.released, 0, 0);
    sem_init(&shared.working, 0, 0);
    sem_init(&shared.go, 0, 0);
    harness_start(harness, routes, sizeof(routes) / sizeof(routes[0]), NULL, 1);
    *state = harness;
    return 0;
}

static int stop(void **state)
{
    struct harness *harness = *state;

    if (harness->server)
        harness_stop(harness);
    close(shared.ready_fd);
    free(harness);
    return 0;
}

static void make_ready(uint64_t value)
{
    assert_int_equal(fd_write_full(shared.ready_fd, &value, sizeof(value)), 0);
}

static int begin_lines(void **state, struct buffer *answer)
{
    int fd = client_connect(*state);

    client_say(fd, "GET /lines HTTP/1.1\r\nHost: x\r\n\r\n");
    /* Nothing was made ready: the headers come all the same. */
    assert_true(client_read_until(fd, answer, "\r\n\r\n"));
    return fd;
}

static void test_headers_come_at_once(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = begin_lines(state, &answer);

    assert_non_null(strstr(answer.data, "HTTP/1.1 200 OK\r\n"));
    assert_null(strstr(answer.data, "line"));
    make_ready(1);
    assert_true(client_read_until(fd, &answer, "5\r\nline\n\r\n"));
    make_ready(100);
    assert_true(client_read_until(fd, &answer, "0\r\n\r\n"));
    wait_for(&shared.released);
    close(fd);
}

/* The harness's idle time-out is a second, which does not count while a stream is silent. */
static void test_silence_is_not_idleness(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = begin_lines(state, &answer);
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&readable, 1, 2500), 0);
    make_ready(1);
    assert_true(client_read_until(fd, &answer, "line"));
    close(fd);
    wait_for(&shared.released);
}

static void test_idle_connection_ends(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = client_connect(*state);

    assert_true(client_read_all(fd, &answer));
    close(fd);
}

static void test_disconnect_is_noticed(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = begin_lines(state, &answer);

    close(fd);
    wait_for(&shared.released);
}

static void test_stop_ends_streams(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = begin_lines(state, &answer);

    harness_stop(*state);
    wait_for(&shared.released);
    assert_true(client_read_all(fd, &answer));
    /* An answer that is not whole does not look whole. */
    assert_null(strstr(answer.data, "0\r\n\r\n"));
    close(fd);
}

static void test_hijack(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = client_connect(*state);

    /* "early" comes with the request. */
    client_say(fd, "POST /v1.41/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                   "Content-Length: 0\r\n\r\nearly");
    assert_true(client_read_until(fd, &answer, "early"));
    assert_non_null(strstr(answer.data, "HTTP/1.1 101 "));
    assert_non_null(strstr(answer.data, "\r\nConnection: Upgrade\r\n"));
    assert_non_null(strstr(answer.data, "\r\nUpgrade: tcp\r\n"));
    assert_non_null(strstr(answer.data, "Content-Type: application/vnd.docker.raw-stream\r\n"));
    client_say(fd, "later");
    assert_true(client_read_until(fd, &answer, "later"));
    shutdown(fd, SHUT_WR);
    assert_true(client_read_all(fd, &answer));
    assert_non_null(strstr(answer.data, "bye"));
    close(fd);
    wait_for(&shared.released);
}

/* Nor does it count on a connection that is no longer HTTP: a shell that nobody types into. */
static void test_silent_hijack_is_not_idle(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = client_connect(*state);
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    client_say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                   "Content-Length: 0\r\n\r\nx");
    assert_true(client_read_until(fd, &answer, "\r\n\r\nx"));
    assert_int_equal(poll(&readable, 1, 2500), 0);
    client_say(fd, "later");
    assert_true(client_read_until(fd, &answer, "later"));
    close(fd);
    wait_for(&shared.released);
}

/* What docker's client waits for: the answer, before it sends a byte. */
static void test_hijack_answers_first(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = client_connect(*state);

    client_say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                   "Content-Length: 0\r\n\r\n");
    assert_true(client_read_until(fd, &answer, "\r\n\r\n"));
    assert_non_null(
        strstr(answer.data, "Content-Type: application/vnd.docker.multiplexed-stream\r\n"));
    close(fd);
    wait_for(&shared.released);
}

static void test_many_hijacks(void **state)
{
    for (int i = 0; i < 50; i++)
        test_hijack(state);
}

static void test_stop_ends_hijacks(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = client_connect(*state);

    client_say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                   "Content-Length: 0\r\n\r\nx");
    assert_true(client_read_until(fd, &answer, "\r\n\r\nx"));
    harness_stop(*state);
    wait_for(&shared.released);
    close(fd);
}

static void test_operation(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);

    shared.speaks = true;
    sem_post(&shared.go);
    assert_int_equal(client_ask(*state,
                                "POST /job HTTP/1.1\r\nHost: x\r\n"
                                "Content-Length: 5\r\n\r\nhello",
                                &answer),
                     200);
    assert_non_null(
        strstr(answer.data, "{\"status\":\"Working\",\"progressDetail\":{},\"id\":\"x\"}"));
    assert_null(strstr(answer.data, "error"));
    assert_int_equal(shared.uploaded, 5);
    wait_for(&shared.released);
}

/* Before the first line a failure is an ordinary answer, after it the last line. */
static void test_operation_fails(void **state)
{
    CLEANUP_BUFFER struct buffer early = BUFFER_INIT(CLIENT_ANSWER_MAX);
    CLEANUP_BUFFER struct buffer late = BUFFER_INIT(CLIENT_ANSWER_MAX);
    const char *request = "POST /job HTTP/1.1\r\nHost: x\r\n"
                          "Content-Length: 0\r\n\r\n";

    error_set_class(&shared.failure, ERROR_NOT_FOUND, "no image");
    sem_post(&shared.go);
    assert_int_equal(client_ask(*state, request, &early), 404);
    assert_non_null(strstr(early.data, "{\"message\":\"no image\"}"));
    shared.speaks = true;
    sem_post(&shared.go);
    assert_int_equal(client_ask(*state, request, &late), 200);
    assert_non_null(
        strstr(late.data, "{\"errorDetail\":{\"message\":\"no image\"},\"error\":\"no image\"}"));
}

static void test_operation_is_cancelled(void **state)
{
    int fd = client_connect(*state);

    client_say(fd, "POST /job HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    wait_for(&shared.working);
    close(fd);
    wait_for(&shared.released);
}

/* The client goes in the middle of its upload. */
static void test_upload_breaks_off(void **state)
{
    int fd = client_connect(*state);

    client_say(fd, "POST /job HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
    wait_for(&shared.working);
    close(fd);
    wait_for(&shared.released);
}

int main(void)
{
#define STREAM_TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)
    const struct CMUnitTest tests[] = {
        STREAM_TEST(test_headers_come_at_once),
        STREAM_TEST(test_silence_is_not_idleness),
        STREAM_TEST(test_silent_hijack_is_not_idle),
        STREAM_TEST(test_idle_connection_ends),
        STREAM_TEST(test_disconnect_is_noticed),
        STREAM_TEST(test_stop_ends_streams),
        STREAM_TEST(test_hijack),
        STREAM_TEST(test_hijack_answers_first),
        STREAM_TEST(test_many_hijacks),
        STREAM_TEST(test_stop_ends_hijacks),
        STREAM_TEST(test_operation),
        STREAM_TEST(test_operation_fails),
        STREAM_TEST(test_operation_is_cancelled),
        STREAM_TEST(test_upload_breaks_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
