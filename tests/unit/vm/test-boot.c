/* Real guests: User-Mode Linux by HULL_TEST_UML_KERNEL, QEMU by HULL_TEST_QEMU (default: the
 * installed one), HULL_TEST_X86_KERNEL and, where that has none built in, HULL_TEST_X86_MODULES. */
#include "fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "vm/engine.h"
#include "vm/initramfs.h"
#include "vm/scratch.h"

enum { REPORT_LINE = 16 };

struct report {
    long memory_kib;
    long sectors[2];
};

static int set_up(void **state)
{
    struct fixture *fixture;
    const char *init = getenv("HULL_TEST_INIT");

    fixture_set_up(state);
    fixture = *state;
    return init ? vm_initramfs_write(fixture->initramfs, init, NULL, &fixture->error) : -1;
}

static void use_uml(struct fixture *fixture)
{
    const char *kernel = getenv("HULL_TEST_UML_KERNEL");

    fixture_need_root();
    fixture_need_file(kernel, "HULL_TEST_UML_KERNEL");
    fixture->config.files.uml_kernel = kernel;
}

static void use_kvm(struct fixture *fixture)
{
    fixture_use_qemu(fixture, VM_ENGINE_KVM, getenv("HULL_TEST_INIT"));
    if (vm_engine_ops(VM_ENGINE_KVM)->check(&fixture->config.files, "", &fixture->error) < 0) {
        print_message("skipped: %s\n", fixture->error.message);
        skip();
    }
}

static void add_disks(struct fixture *fixture, char *first, char *second)
{
    assert_int_equal(truncate(fixture->kernel, 1024 * 1024), 0);
    string_copy(first, 128, fixture->kernel);
    snprintf(second, 128, "%s/scratch.ext4", fixture->directory);
    assert_int_equal(vm_scratch_create(fixture->directory, second, 64 * 1024 * 1024,
                                       fixture->config.uid, fixture->config.gid, &fixture->error),
                     0);
    fixture->config.disks[0] = (struct vm_disk){.path = first, .read_only = true};
    fixture->config.disks[1] = (struct vm_disk){.path = second};
    fixture->config.n_disks = 2;
}

static struct report boot(struct fixture *fixture)
{
    char text[3 * REPORT_LINE + 1];
    int64_t before = timestamp_monotonic();
    struct report report;

    fixture_start(fixture, NULL);
    fixture_read_link(fixture, text, 1);
    print_message("first byte of the guest after %.1f ms\n",
                  (double)(timestamp_monotonic() - before) / 1e6);
    fixture_read_link(fixture, text + 1, 3 * REPORT_LINE - 1);
    text[3 * REPORT_LINE] = '\0';
    report.memory_kib = strtol(text, NULL, 10);
    report.sectors[0] = strtol(text + REPORT_LINE, NULL, 10);
    report.sectors[1] = strtol(text + 2 * REPORT_LINE, NULL, 10);
    print_message("MemTotal %ld KiB of %llu asked\n", report.memory_kib,
                  (unsigned long long)fixture->config.memory / 1024);
    return report;
}

static void command(struct fixture *fixture, char letter)
{
    assert_int_equal(write(vm_link(fixture->vm), &letter, 1), 1);
}

static void assert_echo(struct fixture *fixture)
{
    char letter;

    command(fixture, 'x');
    fixture_read_link(fixture, &letter, 1);
    assert_int_equal(letter, 'x');
}

static void assert_memory(const struct fixture *fixture, long kib)
{
    long asked = (long)(fixture->config.memory / 1024);
    long slack = asked / 100 + 1024; /* 1 %, and whole MiB are given */

    if (fixture->config.engine != VM_ENGINE_UML) /* which kernel it is makes a difference */
        slack += 6 * 1024;
    assert_in_range(kib, asked - slack, asked + slack);
}

static void assert_boots_and_powers_off(struct fixture *fixture)
{
    char first[128];
    char second[128];
    struct report report;

    add_disks(fixture, first, second);
    report = boot(fixture);
    assert_int_equal(report.sectors[0], 1024 * 1024 / 512);
    assert_int_equal(report.sectors[1], 64 * 1024 * 1024 / 512);
    assert_memory(fixture, report.memory_kib);
    assert_echo(fixture);
    command(fixture, 'p');
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "powered off");
    assert_true(fixture->clean);
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
}

static void test_uml_boots_and_powers_off(void **state)
{
    struct fixture *fixture = *state;

    use_uml(fixture);
    assert_boots_and_powers_off(fixture);
}

static void test_uml_memory(void **state)
{
    struct fixture *fixture = *state;

    use_uml(fixture);
    fixture->config.memory = VM_MEMORY_DEFAULT;
    assert_memory(fixture, boot(fixture).memory_kib);
}

static void test_uml_panics(void **state)
{
    struct fixture *fixture = *state;

    use_uml(fixture);
    boot(fixture);
    command(fixture, 'c');
    fixture_wait_end(fixture);
    assert_false(fixture->clean);
    assert_true(string_starts_with(fixture->reason, "guest panic: Attempted to kill init!"));
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
}

static void test_uml_killed(void **state)
{
    struct fixture *fixture = *state;

    use_uml(fixture);
    boot(fixture);
    assert_true(fixture_count_processes(fixture->config.uid) > 1);
    assert_int_equal(kill(vm_pid(fixture->vm), SIGKILL), 0);
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "killed by signal 9");
    assert_int_equal(fixture->ended, 1);
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
}

static void test_uml_freed(void **state)
{
    struct fixture *fixture = *state;

    use_uml(fixture);
    boot(fixture);
    fixture->vm = vm_free(fixture->vm);
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
}

static void test_uml_jail(void **state)
{
    static const char *const zero[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    struct fixture *fixture = *state;
    int management;

    use_uml(fixture);
    boot(fixture);
    for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++) {
        CLEANUP_FREE char *value = fixture_status(vm_pid(fixture->vm), zero[i]);
        assert_string_equal(value, "0000000000000000");
    }
    CLEANUP_FREE char *privileges = fixture_status(vm_pid(fixture->vm), "NoNewPrivs");
    assert_string_equal(privileges, "1");
    /* The kernel is one static program: the root holds itself and /run. */
    CLEANUP_FREE char *usr = string_format("/proc/%d/root/usr", (int)vm_pid(fixture->vm));
    assert_int_not_equal(access(usr, F_OK), 0);
    management = vm_open_management(fixture->vm, &fixture->error);
    if (management < 0)
        print_error("%s\n", fixture->error.message);
    assert_true(management >= 0);
    close(management);
}

static void test_tcg_boots_and_powers_off(void **state)
{
    struct fixture *fixture = *state;

    fixture_use_qemu(fixture, VM_ENGINE_TCG, getenv("HULL_TEST_INIT"));
    assert_boots_and_powers_off(fixture);
}

static void test_kvm_boots_and_powers_off(void **state)
{
    struct fixture *fixture = *state;

    use_kvm(fixture);
    assert_boots_and_powers_off(fixture);
}

static void test_tcg_panics(void **state)
{
    struct fixture *fixture = *state;

    fixture_use_qemu(fixture, VM_ENGINE_TCG, getenv("HULL_TEST_INIT"));
    boot(fixture);
    command(fixture, 'c');
    fixture_wait_end(fixture);
    assert_true(string_starts_with(fixture->reason, "guest panic: Attempted to kill init!"));
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_uml_boots_and_powers_off),
        ROW(test_uml_memory),
        ROW(test_uml_panics),
        ROW(test_uml_killed),
        ROW(test_uml_freed),
        ROW(test_uml_jail),
        ROW(test_kvm_boots_and_powers_off),
        ROW(test_tcg_boots_and_powers_off),
        ROW(test_tcg_panics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
