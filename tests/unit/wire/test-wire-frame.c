#include "wire/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_round_trip(void **state)
{
    uint8_t bytes[FRAME_HEADER_SIZE + 5] = {0};
    struct frame frame;
    const char *violation = NULL;
    size_t used = 0;

    (void)state;
    frame_encode_header(bytes, FRAME_DATA, 0, 5, 0x01020304);
    memcpy(bytes + FRAME_HEADER_SIZE, "hello", 5);
    for (size_t n = 0; n < sizeof(bytes); n++)
        assert_int_equal(frame_decode(bytes, n, &frame, &used, &violation), 0);
    assert_int_equal(frame_decode(bytes, sizeof(bytes), &frame, &used, &violation), 1);
    assert_int_equal(frame.type, FRAME_DATA);
    assert_int_equal(frame.channel, 0x01020304);
    assert_int_equal(frame.length, 5);
    assert_int_equal(used, sizeof(bytes));
    assert_memory_equal(frame.payload, "hello", 5);
}

static void test_credit(void **state)
{
    uint8_t bytes[FRAME_HEADER_SIZE + 4];
    struct frame frame;
    const char *violation = NULL;
    size_t used = 0;

    (void)state;
    frame_encode_header(bytes, FRAME_CREDIT, 0, 4, 3);
    frame_encode_credit(bytes + FRAME_HEADER_SIZE, 0x00abcdef);
    assert_int_equal(frame_decode(bytes, sizeof(bytes), &frame, &used, &violation), 1);
    assert_int_equal(frame.credit, 0x00abcdef);
    frame_encode_credit(bytes + FRAME_HEADER_SIZE, 0);
    assert_int_equal(frame_decode(bytes, sizeof(bytes), &frame, &used, &violation), -EPROTO);
    assert_string_equal(violation, "credit frame that grants nothing");
}

static void test_violations(void **state)
{
    static const struct {
        uint8_t header[FRAME_HEADER_SIZE];
        const char *violation;
    } cases[] = {
        {{0, 0, 0, 1, 0, 0, 0, 0}, "unknown frame type"},
        {{6, 0, 0, 1, 0, 0, 0, 1}, "unknown frame type"},
        {{255, 255, 255, 255, 255, 255, 255, 255}, "unknown frame type"},
        {{FRAME_DATA, FRAME_MORE, 0, 1, 0, 0, 0, 1}, "unknown frame flags"},
        {{FRAME_CONTROL, 2, 0, 1, 0, 0, 0, 0}, "unknown frame flags"},
        {{FRAME_DATA, 0, 0xff, 0xf9, 0, 0, 0, 1}, "frame too long"},
        {{FRAME_CONTROL, 0, 0, 1, 0, 0, 0, 1}, "control frame on a channel other than 0"},
        {{FRAME_DATA, 0, 0, 1, 0, 0, 0, 0}, "stream frame on channel 0"},
        {{FRAME_CONTROL, 0, 0, 0, 0, 0, 0, 0}, "empty control frame"},
        {{FRAME_DATA, 0, 0, 0, 0, 0, 0, 1}, "empty data frame"},
        {{FRAME_CREDIT, 0, 0, 3, 0, 0, 0, 1}, "credit frame of wrong length"},
        {{FRAME_END, 0, 0, 1, 0, 0, 0, 1}, "end or reset frame with a payload"},
        {{FRAME_RESET, 0, 0, 1, 0, 0, 0, 1}, "end or reset frame with a payload"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct frame frame;
        const char *violation = NULL;
        size_t used = 0;

        assert_int_equal(
            frame_decode(cases[i].header, FRAME_HEADER_SIZE, &frame, &used, &violation), -EPROTO);
        assert_string_equal(violation, cases[i].violation);
    }
}

static void test_longest(void **state)
{
    static uint8_t bytes[FRAME_SIZE_MAX];
    struct frame frame;
    const char *violation = NULL;
    size_t used = 0;

    (void)state;
    frame_encode_header(bytes, FRAME_DATA, 0, FRAME_PAYLOAD_MAX, 1);
    assert_int_equal(frame_decode(bytes, sizeof(bytes) - 1, &frame, &used, &violation), 0);
    assert_int_equal(frame_decode(bytes, sizeof(bytes), &frame, &used, &violation), 1);
    assert_int_equal(used, FRAME_SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_credit),
        cmocka_unit_test(test_violations),
        cmocka_unit_test(test_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
