#include "base/error.h"
#include "cli/stdcopy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t two_frames[] = {1,   0, 0, 0, 0, 0, 0, 5, 'h', 'e', 'l', 'l',
                                     'o', 2, 0, 0, 0, 0, 0, 0, 2,   'n', 'o'};

/* Decodes in pieces of `step` bytes and gathers what each stream got. */
static void decode(size_t step, char *out, char *errors)
{
    struct stdcopy copy = STDCOPY_INIT;
    size_t at = 0;

    while (at < sizeof(two_frames)) {
        struct stdcopy_part part;
        size_t length = sizeof(two_frames) - at < step ? sizeof(two_frames) - at : step;
        ssize_t n = stdcopy_next(&copy, two_frames + at, length, &part, NULL);

        assert_true(n > 0 && (size_t)n <= length);
        if (part.length > 0)
            memcpy((part.stream == STDCOPY_STDERR ? errors + strlen(errors) : out + strlen(out)),
                   part.data, part.length);
        at += (size_t)n;
    }
    assert_int_equal(copy.left, 0);
    assert_int_equal(copy.n_header, 0);
}

static void test_any_split(void **state)
{
    (void)state;
    for (size_t step = 1; step <= sizeof(two_frames); step++) {
        char out[32] = "";
        char errors[32] = "";

        decode(step, out, errors);
        assert_string_equal(out, "hello");
        assert_string_equal(errors, "no");
    }
}

static void test_empty_frame(void **state)
{
    static const uint8_t data[] = {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x'};
    struct stdcopy copy = STDCOPY_INIT;
    struct stdcopy_part part;

    (void)state;
    assert_int_equal(stdcopy_next(&copy, data, sizeof(data), &part, NULL), sizeof(data));
    assert_int_equal(part.length, 1);
    assert_int_equal(part.data[0], 'x');
}

static void test_longest_frame_needs_no_memory(void **state)
{
    static const uint8_t data[] = {1, 0, 0, 0, 255, 255, 255, 255, 'x'};
    struct stdcopy copy = STDCOPY_INIT;
    struct stdcopy_part part;

    (void)state;
    assert_int_equal(stdcopy_next(&copy, data, sizeof(data), &part, NULL), sizeof(data));
    assert_int_equal(copy.left, 0xfffffffe);
}

static void test_bad_headers(void **state)
{
    static const uint8_t stream[] = {4, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t padding[] = {1, 0, 1, 0, 0, 0, 0, 1};
    struct stdcopy one = STDCOPY_INIT;
    struct stdcopy two = STDCOPY_INIT;
    struct stdcopy_part part;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(stdcopy_next(&one, stream, sizeof(stream), &part, &err), -EPROTO);
    assert_string_equal(err.message, "Unrecognized input header: 4");
    assert_int_equal(stdcopy_next(&two, padding, sizeof(padding), &part, NULL), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_split),
        cmocka_unit_test(test_empty_frame),
        cmocka_unit_test(test_longest_frame_needs_no_memory),
        cmocka_unit_test(test_bad_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
