#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>

#include "engine/private.h"

static void names_and_numbers(void **state)
{
    static const struct {
        const char *text;
        int number;
    } cases[] = {
        {"TERM", SIGTERM},  {"SIGTERM", SIGTERM}, {"sigterm", SIGTERM}, {"15", SIGTERM},
        {"KILL", SIGKILL},  {"9", SIGKILL},       {"RTMIN", 34},        {"RTMIN+3", 37},
        {"SIGRTMIN+3", 37}, {"RTMAX", 64},        {"RTMAX-1", 63},      {"64", 64},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int number = -1;
        assert_int_equal(engine_signal_parse(cases[i].text, &number), 0);
        assert_int_equal(number, cases[i].number);
    }
}

static void what_is_no_signal(void **state)
{
    static const char *const cases[] = {"",
                                        "FOO",
                                        "SIG",
                                        "0",
                                        "65",
                                        "RTMIN+",
                                        "RTMIN-1",
                                        "RTMAX+1",
                                        "9x",
                                        "SIGSIGTERM",
                                        "TERMTERMTERMTERMTERMTERM"};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int number = -1;
        assert_true(engine_signal_parse(cases[i], &number) < 0);
        assert_int_equal(number, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(what_is_no_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
