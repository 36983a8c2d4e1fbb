/* Answers about the engine as a whole, when there is no memory for them: outputs stay untouched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/json.h"
#include "engine/private.h"

static void *no_memory(size_t size)
{
    (void)size;
    return NULL;
}

static int setup(void **state)
{
    (void)state;
    json_set_alloc_funcs(no_memory, free);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_set_alloc_funcs(malloc, free);
    return 0;
}

static json_t untouched;

static void test_version(void **state)
{
    json_t *version = &untouched;
    (void)state;
    assert_int_equal(engine_version(NULL, &version, NULL), -ENOMEM);
    assert_ptr_equal(version, &untouched);
}

static void test_top(void **state)
{
    json_t *processes = &untouched;
    (void)state;
    assert_true(top_format(NULL, "-ef", &processes, NULL) < 0);
    assert_ptr_equal(processes, &untouched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_top, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
