#include "base/fd.h"
#include "base/log.h"
#include "unit.h"

/* What log_message() writes while stderr is a pipe. */
static void capture(char *text, size_t size, enum log_level level, const char *message)
{
    CLEANUP_CLOSE int saved = fd_dup(STDERR_FILENO);
    int ends[2];
    ssize_t n;

    assert_int_equal(fd_pipe(0, ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    log_message(level, "%s", message);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(ends[1]);
    n = fd_read_full(ends[0], text, size - 1);
    assert_true(n >= 0);
    text[n] = '\0';
    close(ends[0]);
}

static void test_line(void **state)
{
    char text[8192];

    (void)state;
    log_open("hull-test", LOG_LEVEL_INFO);
    capture(text, sizeof(text), LOG_LEVEL_WARNING, "hello");
    assert_non_null(strstr(text, "Z warning hull-test: hello\n"));
    assert_int_equal(text[4], '-');
}

static void test_below_threshold_is_silent(void **state)
{
    char text[8192];

    (void)state;
    log_open("hull-test", LOG_LEVEL_INFO);
    capture(text, sizeof(text), LOG_LEVEL_DEBUG, "hello");
    assert_string_equal(text, "");
}

static void test_control_characters_are_escaped(void **state)
{
    char text[8192];

    (void)state;
    log_open("hull-test", LOG_LEVEL_INFO);
    capture(text, sizeof(text), LOG_LEVEL_ERROR, "a\nb\x1b[31m\xc2\x9b\x7f\xc3\xa4");
    assert_non_null(strstr(text, ": a\\nb\\x1b[31m\\xc2\\x9b\\x7f\xc3\xa4\n"));
}

static void test_long_line_is_cut(void **state)
{
    char text[16384];
    char message[8192];

    (void)state;
    memset(message, '\x01', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    log_open("hull-test", LOG_LEVEL_INFO);
    capture(text, sizeof(text), LOG_LEVEL_ERROR, message);
    assert_in_range(strlen(text), 4090, 4096);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void test_level_names(void **state)
{
    (void)state;
    assert_int_equal(log_level_from_string("debug"), LOG_LEVEL_DEBUG);
    assert_int_equal(log_level_from_string("warn"), LOG_LEVEL_WARNING);
    assert_int_equal(log_level_from_string("loud"), -EINVAL);
    assert_int_equal(log_level_from_string(NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_below_threshold_is_silent),
        cmocka_unit_test(test_control_characters_are_escaped),
        cmocka_unit_test(test_long_line_is_cut),
        cmocka_unit_test(test_level_names),
    };

    return UNIT_RUN(tests);
}
