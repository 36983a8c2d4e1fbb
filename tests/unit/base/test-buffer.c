#include "base/buffer.h"
#include "unit.h"

static void test_grows_up_to_maximum_exactly(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(10);

    (void)state;
    assert_string_equal(buffer_string(&b), "");
    assert_int_equal(buffer_append(&b, "0123456789", 10), 0);
    assert_int_equal(buffer_append_char(&b, 'x'), -EOVERFLOW);
    assert_string_equal(buffer_string(&b), "0123456789");
    assert_int_equal(b.length, 10);
}

static void test_failed_append_keeps_content(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(5);

    (void)state;
    assert_int_equal(buffer_append_string(&b, "abc"), 0);
    assert_int_equal(buffer_printf(&b, "%d", 12345), -EOVERFLOW);
    assert_int_equal(buffer_append(&b, "defg", 4), -EOVERFLOW);
    assert_string_equal(buffer_string(&b), "abc");
    assert_int_equal(buffer_printf(&b, "%d", 12), 0);
    assert_string_equal(buffer_string(&b), "abc12");
}

static void test_maximum_of_zero_takes_nothing(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(0);

    (void)state;
    assert_int_equal(buffer_append(&b, "", 0), 0);
    assert_int_equal(buffer_append_char(&b, 'x'), -EOVERFLOW);
}

static void test_length_that_wraps_is_refused(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(SIZE_MAX);

    (void)state;
    assert_int_equal(buffer_append_string(&b, "abc"), 0);
    assert_null(buffer_reserve(&b, SIZE_MAX - 1));
    assert_null(buffer_reserve(&b, SIZE_MAX));
    assert_string_equal(buffer_string(&b), "abc");
}

static void test_holds_binary_content(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(64);

    (void)state;
    assert_int_equal(buffer_append(&b, "a\0b", 3), 0);
    assert_int_equal(b.length, 3);
    assert_memory_equal(b.data, "a\0b\0", 4);
}

static void test_reserve_then_commit(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(1000);
    char *space = buffer_reserve(&b, 1000);

    (void)state;
    assert_non_null(space);
    memset(space, 'x', 1000);
    buffer_commit(&b, 7);
    assert_string_equal(buffer_string(&b), "xxxxxxx");
    assert_null(buffer_reserve(&b, 994));
    assert_non_null(buffer_reserve(&b, 993));
}

static void test_consume(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(64);

    (void)state;
    buffer_consume(&b, 3);
    assert_int_equal(buffer_append_string(&b, "hello"), 0);
    buffer_consume(&b, 2);
    assert_string_equal(buffer_string(&b), "llo");
    buffer_consume(&b, 100);
    assert_int_equal(b.length, 0);
    assert_string_equal(buffer_string(&b), "");
}

static void test_take_leaves_empty(void **state)
{
    struct buffer b = BUFFER_INIT(64);
    CLEANUP_FREE char *empty = buffer_take(&b);
    CLEANUP_FREE char *text = NULL;

    (void)state;
    assert_string_equal(empty, "");
    assert_int_equal(buffer_append_string(&b, "mine"), 0);
    text = buffer_take(&b);
    assert_string_equal(text, "mine");
    assert_null(b.data);
    assert_int_equal(b.length, 0);
    assert_int_equal(b.max, 64);
}

static void test_usable_after_release(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(64);

    (void)state;
    assert_int_equal(buffer_append_string(&b, "one"), 0);
    buffer_release(&b);
    assert_int_equal(buffer_append_string(&b, "two"), 0);
    assert_string_equal(buffer_string(&b), "two");
    buffer_clear(&b);
    assert_string_equal(buffer_string(&b), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_up_to_maximum_exactly),
        cmocka_unit_test(test_failed_append_keeps_content),
        cmocka_unit_test(test_maximum_of_zero_takes_nothing),
        cmocka_unit_test(test_length_that_wraps_is_refused),
        cmocka_unit_test(test_holds_binary_content),
        cmocka_unit_test(test_reserve_then_commit),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_take_leaves_empty),
        cmocka_unit_test(test_usable_after_release),
    };

    return UNIT_RUN(tests);
}
