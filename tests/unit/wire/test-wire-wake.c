/* The word that wakes a saved guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "wire/wake.h"

static struct wire_wake sample(void)
{
    struct wire_wake wake = {.clock = INT64_C(1795330430123456789)};

    for (int i = 0; i < WIRE_WAKE_SEED; i++)
        wake.seed[i] = (uint8_t)(i * 3 + 1);
    return wake;
}

static void test_there_and_back(void **state)
{
    struct wire_wake wake = sample();
    struct wire_wake back;
    uint8_t word[WIRE_WAKE_SIZE];

    (void)state;
    wire_wake_encode(&wake, word);
    assert_memory_equal(word, "HULLWAKE\x18\xea", 10);
    assert_int_equal(wire_wake_decode(word, &back), 0);
    assert_int_equal(back.clock, wake.clock);
    assert_memory_equal(back.seed, wake.seed, WIRE_WAKE_SEED);
}

static void test_another_word(void **state)
{
    struct wire_wake wake = sample();
    uint8_t word[WIRE_WAKE_SIZE];

    (void)state;
    wire_wake_encode(&wake, word);
    word[7] = 'F';
    assert_int_equal(wire_wake_decode(word, &wake), -EBADMSG);
}

static void test_a_clock_before_the_epoch(void **state)
{
    struct wire_wake wake = sample();
    uint8_t word[WIRE_WAKE_SIZE];

    (void)state;
    wake.clock = -1;
    wire_wake_encode(&wake, word);
    assert_int_equal(wire_wake_decode(word, &wake), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_another_word),
        cmocka_unit_test(test_a_clock_before_the_epoch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
