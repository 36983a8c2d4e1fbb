#include "wire/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_queue(void **state)
{
    struct wire_queue queue = {0};
    uint8_t bytes[5000];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 13);
    for (size_t i = 1; i < sizeof(bytes); i += 37)
        assert_int_equal(wire_queue_append(&queue, bytes, i), 0);
    for (size_t i = 1; i < sizeof(bytes); i += 37) {
        for (size_t k = 0; k < i;) {
            const uint8_t *front = wire_queue_peek(&queue, &n);

            if (n > i - k)
                n = i - k;
            assert_memory_equal(front, bytes + k, n);
            wire_queue_consume(&queue, n);
            k += n;
        }
    }
    assert_int_equal(queue.length, 0);
    assert_null(wire_queue_peek(&queue, &n));
    assert_int_equal(wire_queue_append(&queue, bytes, 10), 0);
    wire_queue_release(&queue);
    assert_int_equal(queue.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
