#include "base/buffer.h"
#include "base/process.h"
#include "base/timestamp.h"
#include "unit.h"

static int run_shell(const char *script, const char *input, struct buffer *output, int timeout_ms,
                     struct error *err)
{
    char shell[] = "sh";
    char option[] = "-c";
    CLEANUP_FREE char *text = strdup(script);
    char *argv[] = {shell, option, text, NULL};

    return process_run(argv, input, output, timeout_ms, err);
}

static void test_collects_output(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(1000);

    (void)state;
    assert_int_equal(run_shell("echo one; echo two >&2", NULL, &out, 0, NULL), 0);
    assert_string_equal(buffer_string(&out), "one\ntwo\n");
}

static void test_feeds_input(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(1 << 20);
    char *input = malloc(300001);

    (void)state;
    assert_non_null(input);
    memset(input, 'x', 300000);
    input[300000] = '\0';
    assert_int_equal(run_shell("cat", input, &out, 0, NULL), 0);
    assert_int_equal(out.length, 300000);
    assert_int_equal(run_shell("exit 0", input, NULL, 0, NULL), 0); /* not read at all */
    free(input);
}

static void test_output_is_bounded(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(10);

    (void)state;
    assert_int_equal(run_shell("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done",
                               NULL, &out, 0, NULL),
                     0);
    assert_string_equal(buffer_string(&out), "0123456789");
}

static void test_failure_quotes_the_end(void **state)
{
    struct error err = ERROR_INIT;
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(1000);

    (void)state;
    assert_int_equal(run_shell("echo bad thing >&2; exit 3", NULL, &out, 0, &err), -EIO);
    assert_string_equal(err.message, "sh failed with status 3: bad thing");
    assert_string_equal(buffer_string(&out), "bad thing\n");
    assert_int_equal(run_shell("exit 4", NULL, NULL, 0, &err), -EIO);
    assert_string_equal(err.message, "sh failed with status 4");
    assert_int_equal(
        run_shell("head -c 5000 /dev/zero | tr '\\0' a; echo end; exit 1", NULL, NULL, 0, &err),
        -EIO);
    assert_in_range(strlen(err.message), 500, 600);
    assert_string_equal(err.message + strlen(err.message) - 4, "aend");
}

static void test_timeout_ends_it(void **state)
{
    struct error err = ERROR_INIT;
    int64_t before = timestamp_monotonic();

    (void)state;
    assert_int_equal(run_shell("exec sleep 60", NULL, NULL, 50, &err), -ETIMEDOUT);
    assert_string_equal(err.message, "sh did not end within 50 ms");
    assert_true(timestamp_monotonic() - before < 30 * INT64_C(1000000000));
    /* Also one that floods us without a pause. */
    assert_int_equal(run_shell("exec cat /dev/zero", NULL, NULL, 50, &err), -ETIMEDOUT);
}

static void test_grandchildren_are_not_waited_for(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(1000);
    int64_t before = timestamp_monotonic();

    (void)state;
    assert_int_equal(run_shell("sleep 30 & echo $!", NULL, &out, 0, NULL), 0);
    assert_true(timestamp_monotonic() - before < 20 * INT64_C(1000000000));
    assert_int_equal(kill((pid_t)strtol(buffer_string(&out), NULL, 10), SIGKILL), 0);
}

static void test_program_that_is_not_there(void **state)
{
    char name[] = "hull-no-such-program";
    char *argv[] = {name, NULL};
    int before = unit_count_fds();

    (void)state;
    assert_int_equal(process_run(argv, "input", NULL, 0, NULL), -ENOENT);
    assert_int_equal(unit_count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collects_output),
        cmocka_unit_test(test_feeds_input),
        cmocka_unit_test(test_output_is_bounded),
        cmocka_unit_test(test_failure_quotes_the_end),
        cmocka_unit_test(test_timeout_ends_it),
        cmocka_unit_test(test_grandchildren_are_not_waited_for),
        cmocka_unit_test(test_program_that_is_not_there),
    };

    return UNIT_RUN(tests);
}
