#include "base/random.h"
#include "base/strings.h"
#include "unit.h"

static void test_ids(void **state)
{
    char a[ID_LENGTH + 1];
    char b[ID_LENGTH + 1];

    (void)state;
    random_id(a);
    random_id(b);
    assert_true(string_is_hex(a, ID_LENGTH));
    assert_string_not_equal(a, b);
}

/* One in 280 would be digits only by chance. */
static void test_short_ids_are_no_numbers(void **state)
{
    char id[ID_LENGTH + 1];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        random_id(id);
        assert_true(strcspn(id, "abcdef") < ID_SHORT_LENGTH);
    }
}

/* getrandom(2) may give fewer than asked for above 256 bytes. */
static void test_long_requests_are_filled(void **state)
{
    static unsigned char bytes[1 << 20];
    size_t zeros = 0;

    (void)state;
    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        zeros += bytes[i] == 0;
    assert_in_range(zeros, 3000, 5500);
    assert_true(random_u32() != random_u32() || random_u32() != random_u32());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_short_ids_are_no_numbers),
        cmocka_unit_test(test_long_requests_are_filled),
    };

    return UNIT_RUN(tests);
}
