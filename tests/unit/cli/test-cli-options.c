#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct cli_option table[] = {
    {.name = "cpus", .type = OPTION_DECIMAL},
    {.name = "env", .letter = 'e', .type = OPTION_LIST},
    {.name = "interactive", .letter = 'i', .type = OPTION_BOOL},
    {.name = "last", .letter = 'n', .type = OPTION_INT, .fallback = "-1"},
    {.name = "memory", .letter = 'm', .type = OPTION_BYTES},
    {.name = "name", .type = OPTION_STRING},
    {.name = "net", .type = OPTION_STRING, .same_as = "network"},
    {.name = "network", .type = OPTION_STRING},
    {.name = "proxy", .type = OPTION_BOOL, .fallback = "true"},
    {.name = "tty", .letter = 't', .type = OPTION_BOOL},
    {.name = NULL},
};

static void parse(struct options *options, unsigned flags, char *const *argv)
{
    struct error err = ERROR_INIT;

    assert_int_equal(options_parse(table, argv, flags, options, &err), 0);
}

static void assert_refused(char *const *argv, const char *message)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;
    struct error err = ERROR_INIT;

    assert_int_equal(options_parse(table, argv, 0, &options, &err), -EINVAL);
    assert_string_equal(err.message, message);
    assert_null(options.values);
}

/* The parser takes an argv, whose strings are not const; literals are. */
#define ARGV(...) ((char *const *)(uintptr_t)(const char *const[]){__VA_ARGS__, NULL})

static void test_bundled_letters(void **state)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    (void)state;
    parse(&options, 0, ARGV("-it", "x"));
    assert_true(options_flag(&options, "interactive"));
    assert_true(options_flag(&options, "tty"));
    assert_string_equal(options.arguments[0], "x");
}

static void test_value_forms(void **state)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    (void)state;
    parse(&options, 0,
          ARGV("-eA=1", "-e", "B=2", "-e=C=3", "--env=D=4", "--env", "E=5", "-ite", "F",
               "--name=x y"));
    assert_int_equal(strv_length(options_list(&options, "env")), 6);
    assert_string_equal(options_list(&options, "env")[0], "A=1");
    assert_string_equal(options_list(&options, "env")[2], "C=3");
    assert_string_equal(options_list(&options, "env")[5], "F");
    assert_string_equal(options_text(&options, "name"), "x y");
    assert_true(options_flag(&options, "tty"));
}

static void test_numbers(void **state)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    (void)state;
    parse(&options, 0, ARGV("--cpus=1.5", "-m512m", "-n", "-7"));
    assert_int_equal(options_number(&options, "cpus"), 1500000000);
    assert_int_equal(options_number(&options, "memory"), 512 * 1024 * 1024);
    assert_int_equal(options_number(&options, "last"), -7);
}

static void test_fallbacks(void **state)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    (void)state;
    parse(&options, 0, ARGV("--interactive=false"));
    assert_int_equal(options_number(&options, "last"), -1);
    assert_false(options_given(&options, "last"));
    assert_true(options_flag(&options, "proxy"));
    assert_false(options_flag(&options, "interactive"));
    assert_true(options_given(&options, "interactive"));
    assert_null(options_text(&options, "name"));
    assert_null(options_list(&options, "env"));
}

static void test_other_spelling(void **state)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    (void)state;
    parse(&options, 0, ARGV("--net", "none"));
    assert_string_equal(options_text(&options, "network"), "none");
    assert_true(options_given(&options, "network"));
}

static void test_options_end_at_argument(void **state)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    (void)state;
    parse(&options, OPTIONS_STOP_AT_ARGUMENT, ARGV("-i", "image", "-t", "--name", "--help"));
    assert_false(options_flag(&options, "tty"));
    assert_false(options.wants_help);
    assert_int_equal(options_n_arguments(&options), 4);
    assert_string_equal(options.arguments[1], "-t");
}

static void test_options_after_arguments(void **state)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    (void)state;
    parse(&options, 0, ARGV("a", "-t", "b", "--", "-i", "c"));
    assert_true(options_flag(&options, "tty"));
    assert_false(options_flag(&options, "interactive"));
    assert_int_equal(options_n_arguments(&options), 4);
    assert_string_equal(options.arguments[2], "-i");
}

static void test_dash_is_an_argument(void **state)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    (void)state;
    parse(&options, 0, ARGV("-", "-t"));
    assert_string_equal(options.arguments[0], "-");
    assert_true(options_flag(&options, "tty"));
}

static void test_help(void **state)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    (void)state;
    parse(&options, 0, ARGV("--help", "--nonsense"));
    assert_true(options.wants_help);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused(ARGV("--bogus"), "unknown flag: --bogus");
    assert_refused(ARGV("--bogus=x"), "unknown flag: --bogus");
    assert_refused(ARGV("-ix"), "unknown shorthand flag: 'x' in -ix");
    assert_refused(ARGV("--name"), "flag needs an argument: --name");
    assert_refused(ARGV("-te"), "flag needs an argument: 'e' in -te");
    assert_refused(ARGV("-m", "zz"),
                   "invalid argument \"zz\" for \"-m, --memory\" flag: invalid size: 'zz'");
    assert_refused(ARGV("--cpus=x"),
                   "invalid argument \"x\" for \"--cpus\" flag: failed to parse x as a "
                   "rational number");
    assert_refused(ARGV("-n", "1x"),
                   "invalid argument \"1x\" for \"-n, --last\" flag: invalid number: '1x'");
    assert_refused(ARGV("--tty=maybe"),
                   "invalid argument \"maybe\" for \"-t, --tty\" flag: invalid boolean: 'maybe'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bundled_letters),
        cmocka_unit_test(test_value_forms),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_fallbacks),
        cmocka_unit_test(test_other_spelling),
        cmocka_unit_test(test_options_end_at_argument),
        cmocka_unit_test(test_options_after_arguments),
        cmocka_unit_test(test_dash_is_an_argument),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
