#include "base/list.h"
#include "unit.h"

struct item {
    int value;
    struct list node;
};

static void test_iteration_survives_removal(void **state)
{
    struct list head = LIST_INIT(head);
    struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
    int sum = 0;

    (void)state;
    assert_true(list_is_empty(&head));
    for (int i = 0; i < 3; i++)
        list_append(&head, &items[i].node);
    LIST_FOR_EACH (item, &head, struct item, node) {
        sum = sum * 10 + item->value;
        list_remove(&item->node);
        list_remove(&item->node);
    }
    assert_int_equal(sum, 123);
    assert_true(list_is_empty(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_iteration_survives_removal)};

    return UNIT_RUN(tests);
}
