/* A program in a guest of User-Mode Linux (HULL_TEST_UML_KERNEL) keeps its FP and vector registers
 * over all that happens to it; pid 1 is fp-init. HULL_TEST_STRESS is the number of seconds. */
#include "fixture.h"

#include "base/cleanup.h"
#include "base/strings.h"
#include "vm/initramfs.h"

enum { ANSWER_MAX = 256, SECONDS = 4 };

static void read_line(struct fixture *fixture, char line[ANSWER_MAX])
{
    size_t n = 0;

    do {
        assert_true(n < ANSWER_MAX);
        fixture_read_link(fixture, line + n, 1);
    } while (line[n++] != '\n');
    line[n - 1] = '\0';
}

static void stress_with(struct fixture *fixture, unsigned seed)
{
    const char *wish = getenv("HULL_TEST_STRESS");
    unsigned seconds = wish ? (unsigned)strtoul(wish, NULL, 10) : SECONDS;
    CLEANUP_FREE char *command = string_format("run %u %u\n", seconds, seed);
    char line[ANSWER_MAX];

    assert_int_equal(write(vm_link(fixture->vm), command, strlen(command)), strlen(command));
    do
        read_line(fixture, line);
    while (string_equal(line, "going"));
    assert_string_equal(line, "ok");
}

static void test_registers_are_kept(void **state)
{
    struct fixture *fixture = *state;
    const char *kernel = getenv("HULL_TEST_UML_KERNEL");
    char line[ANSWER_MAX];

    fixture_need_root();
    fixture_need_file(kernel, "HULL_TEST_UML_KERNEL");
    assert_int_equal(
        vm_initramfs_write(fixture->initramfs, getenv("HULL_TEST_FP_INIT"), NULL, &fixture->error),
        0);
    fixture->config.files.uml_kernel = kernel;
    fixture_start(fixture, NULL);
    read_line(fixture, line);
    assert_string_equal(line, "ready");
    stress_with(fixture, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_registers_are_kept, fixture_set_up, fixture_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
