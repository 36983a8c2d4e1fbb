#include "client.h"

#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"

#include <signal.h>

#define CLEANUP_BUFFER CLEANUP(buffer_release)

static int handle_hello(void *context, struct request *request, struct reply *reply,
                        struct error *err)
{
    return reply_json(
        reply, 200,
        json_pack("{s:i, s:s}", "version", request->version, "context", (const char *)context),
        err);
}

static int handle_name(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    (void)context;
    return reply_json(reply, 200,
                      json_pack("{s:s, s:s}", "name", request->name, "q",
                                string_or(request_query(request, "q"), "")),
                      err);
}

static int handle_json(void *context, struct request *request, struct reply *reply,
                       struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    int r = request_json(request, true, &body, err);

    (void)context;
    return r < 0 ? r : reply_json(reply, 201, json_incref(body), err);
}

static int handle_error(void *context, struct request *request, struct reply *reply,
                        struct error *err)
{
    (void)context;
    (void)reply;
    if (request_bool(request, "same"))
        return error_set_class(err, ERROR_NOT_MODIFIED, "already so");
    return error_set_class(err, ERROR_CONFLICT, "no \"%s\"", "way");
}

static int begin_count(void *context, struct request *request, int body_fd, struct error *err)
{
    (void)context;
    (void)request;
    (void)err;
    /* Not read: what the client sends is thrown away. */
    close(body_fd);
    return 0;
}

static int begin_fail(void *context, struct request *request, int body_fd, struct error *err)
{
    (void)context;
    (void)request;
    close(body_fd);
    return error_set_class(err, ERROR_INVALID, "no such thing");
}

static const struct route routes[] = {
    {METHOD_GET, "/hello", handle_hello},
    {METHOD_GET, "/things/{*}/json", handle_name},
    {METHOD_POST, "/json", handle_json},
    {METHOD_POST, "/error", handle_error},
    {METHOD_POST, "/upload", handle_hello, .begin = begin_count},
    {METHOD_POST, "/bad-upload", handle_hello, .begin = begin_fail},
};

static char context_text[] = "ctx";

static int start(void **state)
{
    struct harness *harness = calloc(1, sizeof(*harness));

    signal(SIGPIPE, SIG_IGN);
    harness_start(harness, routes, sizeof(routes) / sizeof(routes[0]), context_text, 0);
    *state = harness;
    return 0;
}

static int stop(void **state)
{
    harness_stop(*state);
    free(*state);
    return 0;
}

static void expect(void **state, const char *request, int status, const char *part)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);

    assert_int_equal(client_ask(*state, request, &answer), status);
    if (!strstr(buffer_string(&answer), part))
        fail_msg("no \"%s\" in: %s", part, buffer_string(&answer));
}

static void expect_alive(void **state)
{
    expect(state, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, "\"context\":\"ctx\"");
}

static void test_headers(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);

    assert_int_equal(client_ask(*state, "GET /v1.44/hello HTTP/1.1\r\nHost: x\r\n\r\n", &answer),
                     200);
    assert_non_null(strstr(answer.data, "\r\nApi-Version: 1.50\r\n"));
    assert_non_null(strstr(answer.data, "\r\nDocker-Experimental: false\r\n"));
    assert_non_null(strstr(answer.data, "\r\nOstype: linux\r\n"));
    assert_non_null(strstr(answer.data, "\r\nServer: Hull/1.2.3 (linux)\r\n"));
    assert_non_null(strstr(answer.data, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(answer.data, "\"version\":44"));
}

static void test_errors(void **state)
{
    expect(state, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404,
           "{\"message\":\"page not found\"}\n");
    expect(state, "DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n", 405, "{\"message\":");
    expect(state, "BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n", 405, "{\"message\":");
    expect(state, "GET /v1.12/hello HTTP/1.1\r\nHost: x\r\n\r\n", 400,
           "{\"message\":\"client version 1.12 is too old.");
    expect(state, "POST /error HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 409,
           "{\"message\":\"no \\\"way\\\"\"}\n");
}

static void test_not_modified_has_no_body(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);

    assert_int_equal(client_ask(*state,
                                "POST /error?same=1 HTTP/1.1\r\nHost: x\r\n"
                                "Content-Length: 0\r\n\r\n",
                                &answer),
                     304);
    assert_null(strstr(answer.data, "message"));
}

static void test_names_and_query(void **state)
{
    expect(state, "GET /things/a/b%3Ac/json?q=x%20y+z HTTP/1.1\r\nHost: x\r\n\r\n", 200,
           "{\"name\":\"a/b:c\",\"q\":\"x y z\"}");
}

static void test_bad_json(void **state)
{
    expect(state,
           "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
           "Content-Length: 1\r\n\r\n{",
           400, "{\"message\":\"invalid JSON: ");
    expect(state,
           "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
           "Content-Length: 2\r\n\r\n{}",
           400, "must be 'application/json'");
    expect(state,
           "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
           "Content-Length: 7\r\n\r\n{\"a\":1}",
           201, "{\"a\":1}");
    expect_alive(state);
}

static void test_large_header(void **state)
{
    CLEANUP_BUFFER struct buffer request = BUFFER_INIT(SERVER_HEADER_MAX * 2);
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);

    buffer_append_string(&request, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Long: ");
    for (int i = 0; i < SERVER_HEADER_MAX + 1024; i++)
        buffer_append_char(&request, 'a');
    buffer_append_string(&request, "\r\n\r\n");
    assert_int_equal(client_ask(*state, request.data, &answer), 431);
    assert_non_null(strstr(answer.data, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(answer.data, "{\"message\":\"request header fields too large\"}"));
    expect_alive(state);
}

/* As much as curl sends at most. */
static void test_header_of_a_megabyte(void **state)
{
    CLEANUP_BUFFER struct buffer request = BUFFER_INIT(SERVER_POOL_SIZE);
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);

    buffer_append_string(&request, "POST /json HTTP/1.1\r\nHost: x\r\nX-Long: ");
    for (int i = 0; i < 1024 * 1024; i++)
        buffer_append_char(&request, 'a');
    buffer_append_string(&request, "\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(client_ask(*state, request.data, &answer), 431);
    assert_non_null(strstr(answer.data, "{\"message\":\"request header fields too large\"}"));
    expect_alive(state);
}

static void test_many_headers(void **state)
{
    CLEANUP_BUFFER struct buffer request = BUFFER_INIT(SERVER_HEADER_MAX * 4);
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);

    buffer_append_string(&request, "GET /hello HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < SERVER_HEADER_MAX / 8; i++)
        buffer_append_string(&request, "X-H: abcdef\r\n");
    buffer_append_string(&request, "\r\n");
    assert_int_equal(client_ask(*state, request.data, &answer), 431);
    expect_alive(state);
}

/* Refused before a byte of it was sent. */
static void test_declared_body_too_large(void **state)
{
    CLEANUP_FREE char *request =
        string_format("POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                      "Content-Length: %d\r\n\r\n",
                      REQUEST_BODY_MAX + 1);

    expect(state, request, 413, "{\"message\":\"http: request body too large");
    expect_alive(state);
}

static void test_chunked_body_too_large(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    CLEANUP_FREE char *block = malloc(0x10000);
    int fd = client_connect(*state);

    memset(block, ' ', 0x10000);
    client_say(fd, "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n");
    for (int sent = 0; sent <= REQUEST_BODY_MAX; sent += 0x10000) {
        client_say(fd, "10000\r\n");
        client_send(fd, block, 0x10000);
        client_say(fd, "\r\n");
    }
    client_say(fd, "0\r\n\r\n");
    assert_true(client_read_until(fd, &answer, "\r\n\r\n"));
    assert_non_null(strstr(answer.data, "HTTP/1.1 413 "));
    close(fd);
    expect_alive(state);
}

static void test_upload_nobody_reads(void **state)
{
    CLEANUP_BUFFER struct buffer request = BUFFER_INIT(32 * 1024 * 1024);
    enum { SIZE = 8 * 1024 * 1024 };

    buffer_printf(&request, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", SIZE);
    for (int i = 0; i < SIZE; i++)
        buffer_append_char(&request, 'a');
    expect(state, request.data, 200, "ctx");
}

static void test_upload_refused(void **state)
{
    expect(state, "POST /bad-upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400,
           "{\"message\":\"no such thing\"}");
}

static void test_nonsense(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = client_connect(*state);

    client_say(fd, "\x16\x03\x01\x02 nonsense\r\n\r\n");
    (void)client_read_all(fd, &answer);
    close(fd);
    expect_alive(state);
}

static void test_keep_alive(void **state)
{
    CLEANUP_BUFFER struct buffer answer = BUFFER_INIT(CLIENT_ANSWER_MAX);
    int fd = client_connect(*state);

    for (int i = 0; i < 3; i++) {
        buffer_clear(&answer);
        client_say(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_true(client_read_until(fd, &answer, "ctx"));
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_not_modified_has_no_body),
        cmocka_unit_test(test_names_and_query),
        cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_large_header),
        cmocka_unit_test(test_header_of_a_megabyte),
        cmocka_unit_test(test_many_headers),
        cmocka_unit_test(test_declared_body_too_large),
        cmocka_unit_test(test_chunked_body_too_large),
        cmocka_unit_test(test_upload_nobody_reads),
        cmocka_unit_test(test_upload_refused),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_keep_alive),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
