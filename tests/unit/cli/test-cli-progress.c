#include "base/cleanup.h"
#include "base/error.h"
#include "cli/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Feeds the text in pieces of `step` bytes; the result code and what was printed. */
static int feed(const char *text, size_t step, bool terminal, char **ret, struct error *err)
{
    struct progress *progress = NULL;
    size_t size = 0;
    FILE *out = open_memstream(ret, &size);
    int r = 0;

    assert_non_null(out);
    assert_int_equal(progress_new(out, terminal, &progress, NULL), 0);
    for (size_t at = 0; at < strlen(text) && r == 0; at += step)
        r = progress_receive(progress, text + at,
                             strlen(text + at) < step ? strlen(text + at) : step, err);
    if (r == 0)
        r = progress_finish(progress, err);
    progress_free(progress);
    fclose(out);
    return r;
}

static const char pull[] =
    "{\"status\":\"Pulling from library/x\",\"id\":\"latest\"}\r\n"
    "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"aa\"}\r\n"
    "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":500,"
    "\"total\":1000},\"id\":\"aa\"}\r\n"
    "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"aa\"}\r\n"
    "{\"status\":\"Status: evil \\u001b[2J\"}";

static void test_plain_lines(void **state)
{
    (void)state;
    for (size_t step = 1; step < 100; step += 7) {
        CLEANUP_FREE char *text = NULL;

        assert_int_equal(feed(pull, step, false, &text, NULL), 0);
        assert_string_equal(text, "latest: Pulling from library/x\naa: Pulling fs layer\n"
                                  "aa: Pull complete\nStatus: evil \\x1b[2J\n");
    }
}

static void test_terminal_rewrites_lines(void **state)
{
    CLEANUP_FREE char *text = NULL;

    (void)state;
    assert_int_equal(feed(pull, 1000, true, &text, NULL), 0);
    assert_non_null(strstr(text, "\033[1A\033[2K\raa: Downloading ["));
    assert_non_null(strstr(text, "500B/1kB"));
    assert_null(strstr(text, "evil \033"));
}

static void test_error_message(void **state)
{
    CLEANUP_FREE char *text = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_true(feed("{\"errorDetail\":{\"message\":\"not found\"},\"error\":\"not found\"}\n",
                     1000, false, &text, &err) < 0);
    assert_string_equal(err.message, "not found");
}

static void test_garbage(void **state)
{
    CLEANUP_FREE char *one = NULL;
    CLEANUP_FREE char *two = NULL;

    (void)state;
    assert_true(feed("nonsense\n", 1000, false, &one, NULL) < 0);
    assert_true(feed("{\"status\":\"cut", 1000, false, &two, NULL) < 0);
}

static void test_message_maximum(void **state)
{
    struct progress *progress = NULL;
    static char block[65536];
    int r = 0;

    (void)state;
    memset(block, 'a', sizeof(block));
    assert_int_equal(progress_new(NULL, false, &progress, NULL), 0);
    for (size_t i = 0; i <= PROGRESS_MESSAGE_MAX / sizeof(block) && r == 0; i++)
        r = progress_receive(progress, block, sizeof(block), NULL);
    assert_int_equal(r, -EPROTO);
    progress_free(progress);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_lines),     cmocka_unit_test(test_terminal_rewrites_lines),
        cmocka_unit_test(test_error_message),   cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_message_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
