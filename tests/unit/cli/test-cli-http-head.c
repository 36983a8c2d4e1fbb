#include "base/error.h"
#include "cli/http-head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static ssize_t parse(const char *text, struct http_head *head)
{
    return http_head_parse(text, strlen(text), head, NULL);
}

static void test_upgrade(void **state)
{
    static const char text[] =
        "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nrest";
    struct http_head head;

    (void)state;
    assert_int_equal(parse(text, &head), strlen(text) - 4);
    assert_int_equal(head.status, 101);
    assert_int_equal(head.content_length, -1);
}

static void test_incomplete(void **state)
{
    static const char text[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\n";
    struct http_head head;

    (void)state;
    for (size_t i = 0; i < strlen(text); i++)
        assert_int_equal(http_head_parse(text, i, &head, NULL), 0);
    assert_int_equal(parse(text, &head), strlen(text));
    assert_int_equal(head.content_length, 12);
}

static void test_no_reason(void **state)
{
    struct http_head head;

    (void)state;
    assert_true(parse("HTTP/1.0 200\n\n", &head) > 0);
    assert_int_equal(head.status, 200);
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "garbage\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 2000\r\n\r\n",
        "HTTP/1.1 099 X\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    };
    struct http_head head;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(parse(texts[i], &head), -EPROTO);
}

static void test_maxima(void **state)
{
    static char text[HTTP_HEAD_MAX + 64];
    struct http_head head;
    size_t n = 0;

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "HTTP/1.1 200 OK\r\n", 17);
    assert_int_equal(http_head_parse(text, HTTP_HEAD_MAX, &head, NULL), -EPROTO);
    n = 17;
    for (int i = 0; i < HTTP_HEADERS_MAX + 2; i++, n += 5)
        memcpy(text + n, "a: b\n", 5);
    assert_int_equal(http_head_parse(text, n, &head, NULL), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgrade),   cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_no_reason), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_maxima),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
