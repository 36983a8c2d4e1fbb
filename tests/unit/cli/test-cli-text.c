#include "base/buffer.h"
#include "base/cleanup.h"
#include "cli/format.h"
#include "cli/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void escapes(const char *text, const char *expected)
{
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(256);

    assert_int_equal(text_escape(&buffer, text), 0);
    assert_string_equal(buffer_string(&buffer), expected);
}

static void test_escape(void **state)
{
    (void)state;
    escapes("plain \xc3\xa4 \xe2\x82\xac", "plain \xc3\xa4 \xe2\x82\xac");
    escapes("\x1b[31mred\a\n", "\\x1b[31mred\\x07\\x0a");
    escapes("\x7f \xc2\x9b", "\\x7f \\xc2\\x9b"); /* DEL, C1 CSI */
    escapes("\xff\xc3", "\\xff\\xc3");            /* not UTF-8 */
    escapes("\xc0\xaf", "\\xc0\\xaf");            /* overlong */
    escapes("\xed\xa0\x80", "\\xed\\xa0\\x80");   /* surrogate */
    escapes("\xe2\x80\xae", "\\xe2\\x80\\xae");   /* right-to-left override */
}

static void test_lines_keep_breaks(void **state)
{
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(256);

    (void)state;
    assert_int_equal(text_escape_lines(&buffer, "a\tb\nc\rd"), 0);
    assert_string_equal(buffer_string(&buffer), "a\tb\nc\\x0dd");
}

static void test_ellipsis(void **state)
{
    CLEANUP_FREE char *same = text_ellipsis("abc", 3);
    CLEANUP_FREE char *cut = text_ellipsis("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 3);

    (void)state;
    assert_string_equal(same, "abc");
    assert_string_equal(cut, "\xc3\xa4\xc3\xa4\xe2\x80\xa6");
    assert_int_equal(text_width(cut), 3);
}

static void test_quote(void **state)
{
    CLEANUP_FREE char *text = text_quote("sh -c \"a\\b\"\n");

    (void)state;
    assert_string_equal(text, "\"sh -c \\\"a\\\\b\\\"\\x0a\"");
}

static void test_sizes(void **state)
{
    char text[FORMAT_MAX];

    (void)state;
    assert_string_equal(format_size(0, 3, text), "0B");
    assert_string_equal(format_size(999, 3, text), "999B");
    assert_string_equal(format_size(4096, 3, text), "4.1kB");
    assert_string_equal(format_size(123456789, 3, text), "123MB");
    assert_string_equal(format_size(1234567, 4, text), "1.235MB");
    assert_string_equal(format_binary_size(8123456789.0, text), "7.566GiB");
}

static void test_ids_and_times(void **state)
{
    char text[FORMAT_MAX];

    (void)state;
    assert_string_equal(format_short_id("sha256:0123456789abcdef", text), "0123456789ab");
    assert_string_equal(format_short_id("0123456789abcdef", text), "0123456789ab");
    assert_string_equal(format_ago(0, text), "N/A");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),   cmocka_unit_test(test_lines_keep_breaks),
        cmocka_unit_test(test_ellipsis), cmocka_unit_test(test_quote),
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_ids_and_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
