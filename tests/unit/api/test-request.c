#include "unit.h"

#include "api/request.h"
#include "api/status.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLEANUP_REQUEST CLEANUP(request_release)

static void test_bool(void **state)
{
    CLEANUP_REQUEST struct request request = REQUEST_INIT;
    static const char *const no[] = {"", "0", "no", "False", "false", "none"};
    static const char *const yes[] = {"1", "true", "True", "yes", "x"};

    (void)state;
    assert_false(request_bool(&request, "absent"));
    assert_true(request_bool_or(&request, "absent", true));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        CLEANUP_REQUEST struct request one = REQUEST_INIT;

        assert_int_equal(request_add_query(&one, "all", no[i], NULL), 0);
        assert_false(request_bool_or(&one, "all", true));
    }
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        CLEANUP_REQUEST struct request one = REQUEST_INIT;

        assert_int_equal(request_add_query(&one, "all", yes[i], NULL), 0);
        assert_true(request_bool(&one, "all"));
    }
}

static void test_numbers(void **state)
{
    CLEANUP_REQUEST struct request request = REQUEST_INIT;
    struct error error = ERROR_INIT;
    int number = 7;
    int64_t when = 0;

    (void)state;
    assert_int_equal(request_add_query(&request, "t", "-1", NULL), 0);
    assert_int_equal(request_add_query(&request, "bad", "1x", NULL), 0);
    assert_int_equal(request_add_query(&request, "since", "1700000000.5", NULL), 0);
    assert_int_equal(request_int(&request, "absent", -9, 9, &number, NULL), 0);
    assert_int_equal(number, 7);
    assert_int_equal(request_int(&request, "t", -9, 9, &number, NULL), 1);
    assert_int_equal(number, -1);
    assert_int_equal(request_int(&request, "bad", -9, 9, &number, &error), -EINVAL);
    assert_string_equal(error.message, "strconv.Atoi: parsing \"1x\": invalid syntax");
    assert_int_equal(request_time(&request, "since", &when, NULL), 1);
    assert_true(when == INT64_C(1700000000500000000));
    assert_int_equal(request_time(&request, "bad", &when, &error), -EINVAL);
}

static void test_too_many_parameters(void **state)
{
    CLEANUP_REQUEST struct request request = REQUEST_INIT;
    struct error error = ERROR_INIT;

    (void)state;
    for (int i = 0; i < REQUEST_QUERY_MAX; i++)
        assert_int_equal(request_add_query(&request, "a", "b", NULL), 0);
    assert_int_equal(request_add_query(&request, "a", "b", &error), -EINVAL);
    assert_int_equal(status_from_error(&error), 400);
}

static void test_repeated_parameter(void **state)
{
    CLEANUP_REQUEST struct request request = REQUEST_INIT;
    CLEANUP_STRV char **values = NULL;

    (void)state;
    request_add_query(&request, "changes", "CMD a", NULL);
    request_add_query(&request, "other", "x", NULL);
    request_add_query(&request, "changes", "ENV b=c", NULL);
    assert_int_equal(request_query_all(&request, "changes", &values, NULL), 0);
    assert_int_equal(strv_length(values), 2);
    assert_string_equal(values[1], "ENV b=c");
}

static void expect_filters(const char *text, const char *expected)
{
    CLEANUP_JSON json_t *filters = NULL;
    CLEANUP_FREE char *formatted = NULL;

    assert_int_equal(request_parse_filters(text, &filters, NULL), 0);
    formatted = json_format(filters);
    assert_string_equal(formatted, expected);
}

static void test_filters(void **state)
{
    static const char *const bad[] = {
        "", "x", "[]", "{\"a\":1}", "{\"a\":[1]}", "{\"a\":{\"b\":1}}", "{\"a\":[\"b\"]"};

    (void)state;
    expect_filters("{}", "{}");
    expect_filters("{\"name\":[\"a\",\"b\"]}", "{\"name\":[\"a\",\"b\"]}");
    expect_filters("{\"name\":{\"a\":true,\"b\":false}}", "{\"name\":[\"a\"]}");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error error = ERROR_INIT;
        json_t *filters = NULL;

        assert_int_equal(request_parse_filters(bad[i], &filters, &error), -EINVAL);
        assert_string_equal(error.message, "invalid filter");
        assert_null(filters);
    }
}

static void test_too_many_filters(void **state)
{
    CLEANUP_JSON json_t *document = json_object();
    json_t *list = json_array();
    CLEANUP_FREE char *text = NULL;
    json_t *filters = NULL;

    (void)state;
    json_object_set_new(document, "id", list);
    for (int i = 0; i <= REQUEST_FILTER_VALUES_MAX; i++)
        json_array_append_new(list, json_string("x"));
    text = json_format(document);
    assert_int_equal(request_parse_filters(text, &filters, NULL), -EINVAL);
}

static int read_json(const char *type, const char *body, bool required, struct error *err)
{
    CLEANUP_REQUEST struct request request = REQUEST_INIT;
    CLEANUP_JSON json_t *document = NULL;

    string_replace(&request.content_type, type);
    buffer_append_string(&request.body, body);
    return request_json(&request, required, &document, err);
}

static void expect_refusal(const char *type, const char *body, const char *message)
{
    struct error error = ERROR_INIT;

    assert_int_equal(read_json(type, body, true, &error), -EINVAL);
    assert_int_equal(error.class, ERROR_INVALID);
    assert_memory_equal(error.message, message, strlen(message));
}

static void test_body(void **state)
{
    (void)state;
    assert_int_equal(read_json("application/json", "{}", true, NULL), 0);
    assert_int_equal(read_json("Application/JSON; charset=utf-8", "{}", true, NULL), 0);
    assert_int_equal(read_json(NULL, "", false, NULL), 0);
    assert_int_equal(read_json("application/json", "", false, NULL), 0);
    expect_refusal("application/json", "", "invalid JSON: got EOF while reading request body");
    expect_refusal("application/json", "{", "invalid JSON: ");
    expect_refusal("application/json", "{} x", "invalid JSON: ");
    expect_refusal("application/json", "[]", "invalid JSON: ");
    expect_refusal("text/plain", "{}",
                   "unsupported Content-Type header (text/plain): must be 'application/json'");
    expect_refusal(NULL, "{}", "malformed Content-Type header (): mime: no media type");
}

static void test_wait(void **state)
{
    struct request request = REQUEST_INIT;
    int client[2];
    int event[2];
    int stop[2];

    (void)state;
    assert_int_equal(fd_socketpair(SOCK_STREAM, client), 0);
    assert_int_equal(fd_pipe(0, event), 0);
    assert_int_equal(fd_pipe(0, stop), 0);
    request.connection_fd = client[0];
    request.stop_fd = stop[0];

    assert_int_equal(fd_write_full(event[1], "x", 1), 0);
    assert_int_equal(request_wait(&request, event[0]), 0);
    assert_int_equal(shutdown(client[1], SHUT_WR), 0);
    assert_int_equal(request_wait(&request, -EBADF), -ECONNRESET);
    assert_int_equal(fd_write_full(stop[1], "x", 1), 0);
    assert_int_equal(request_wait(&request, event[0]), -ESHUTDOWN);
    for (int i = 0; i < 2; i++) {
        close(client[i]);
        close(event[i]);
        close(stop[i]);
    }
}

static void test_status(void **state)
{
    static const unsigned expected[] = {500, 400, 401, 403, 404, 409, 304, 413, 503, 501};

    (void)state;
    for (int class = 0; class < ERROR_CLASS_MAX; class ++) {
        struct error error = ERROR_INIT;

        error_set_class(&error, (enum error_class) class, "x");
        assert_int_equal(status_from_error(&error), expected[class]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_too_many_parameters),
        cmocka_unit_test(test_repeated_parameter),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_too_many_filters),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
