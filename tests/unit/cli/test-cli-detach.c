#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/detach.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Types the text in one piece, then one byte at a time; both must agree. */
static void type(const char *keys, const char *text, bool detached, const char *passed)
{
    CLEANUP(buffer_release) struct buffer whole = BUFFER_INIT(64);
    CLEANUP(buffer_release) struct buffer single = BUFFER_INIT(64);
    struct detach one;
    struct detach two;
    bool found = false;
    int code = 1;

    assert_int_equal(detach_parse(keys, &one, NULL), 0);
    two = one;
    assert_int_equal(detach_filter(&one, text, strlen(text), &whole, &code), detached);
    assert_int_equal(code, 0);
    for (const char *p = text; *p && !found; p++)
        found = detach_filter(&two, p, 1, &single, &code);
    assert_int_equal(found, detached);
    assert_string_equal(buffer_string(&whole), passed);
    assert_string_equal(buffer_string(&single), passed);
}

static void test_default_keys(void **state)
{
    (void)state;
    type(DETACH_KEYS_DEFAULT, "ls\r", false, "ls\r");
    type(DETACH_KEYS_DEFAULT, "ls\x10\x11more", true, "ls");
    type(DETACH_KEYS_DEFAULT, "\x10x", false, "\x10x");
    type(DETACH_KEYS_DEFAULT, "\x10\x10\x11", true, "\x10");
    type(DETACH_KEYS_DEFAULT, "\x11\x10", false, "\x11");
}

static void test_other_keys(void **state)
{
    (void)state;
    type("a", "xa", true, "x");
    type("ctrl-@,ctrl-[", "x", false, "x");
    type("ctrl-\\,q", "\x1cq", true, "");
}

static void test_refused(void **state)
{
    static const char *const keys[] = {"zz", "ctrl-", "ctrl-A", "ctrl-ab", "a,", "ctrl-p,,"};
    struct detach detach;

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_int_equal(detach_parse(keys[i], &detach, NULL), -EINVAL);
    assert_int_equal(detach_parse("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", &detach, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_keys),
        cmocka_unit_test(test_other_keys),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
