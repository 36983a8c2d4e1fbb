/* What a utility VM is given to be unlike its twins. The clock and the host name are this host's
 * here, and left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/timestamp.h"
#include "sandbox/guest_identity.h"

static char seed[2 * GUEST_SEED_SIZE + 1];

static int set_up(void **state)
{
    (void)state;
    memset(seed, 'a', sizeof(seed) - 1);
    return 0;
}

static void test_a_seed_is_taken(void **state)
{
    struct error error = ERROR_INIT;

    (void)state;
    if (geteuid() != 0)
        skip();
    if (guest_reseed(seed, &error) == -EPERM) {
        print_message("skipped: this root may not feed the kernel's random numbers\n");
        skip();
    }
    assert_string_equal(error.message, "");
}

static void test_what_is_no_seed_is_refused(void **state)
{
    struct error error = ERROR_INIT;

    (void)state;
    seed[7] = 'A';
    assert_int_equal(guest_reseed(seed, &error), -EINVAL);
    seed[7] = 'g';
    assert_int_equal(guest_reseed(seed, &error), -EINVAL);
    seed[7] = '\0';
    assert_int_equal(guest_reseed(seed, &error), -EINVAL);
    assert_int_equal(guest_reseed("", &error), -EINVAL);
    assert_int_equal(error.class, ERROR_INVALID);
    assert_string_equal(error.message, "'seed' is not 128 hexadecimal digits");
}

static void test_wrong_members_are_refused(void **state)
{
    static const char *const requests[] = {"{\"seed\": 1}", "{\"seed\": \"x\"}",
                                           "{\"clock\": \"now\"}", "{\"clock\": -1}"};
    struct error error = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        CLEANUP_JSON json_t *request = json_loads(requests[i], 0, NULL);

        assert_non_null(request);
        assert_true(guest_take_identity(request, &error) < 0);
    }
}

static void test_a_clock_that_is_right_is_left_alone(void **state)
{
    CLEANUP_JSON json_t *request = json_pack("{s:I}", "clock", (json_int_t)timestamp_now());

    (void)state;
    assert_int_equal(guest_take_identity(request, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_seed_is_taken, set_up),
        cmocka_unit_test_setup(test_what_is_no_seed_is_refused, set_up),
        cmocka_unit_test_setup(test_wrong_members_are_refused, set_up),
        cmocka_unit_test_setup(test_a_clock_that_is_right_is_left_alone, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
