/* Templates with a real guest: HULL_TEST_X86_KERNEL and its kin, see test-boot.c. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/netdevice.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "vm/plug.h"
#include "vm/template.h"
#include "wire/wake.h"

enum { REPORT = 48, DISK_MIB = 1 };

struct plugged {
    int calls;
    struct error error;
};

static char *state_path(const struct fixture *fixture)
{
    return string_format("%s/state", fixture->directory);
}

static void assert_ok(const struct fixture *fixture, int r)
{
    if (r < 0)
        print_error("%s\n", fixture->error.message);
    assert_true(r >= 0);
}

/* The sealed memory; the state is in the fixture's directory. */
static int make(struct fixture *fixture)
{
    CLEANUP_FREE char *path = state_path(fixture);
    CLEANUP_CLOSE int state = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int memory = vm_template_new_memory(&fixture->config, &fixture->error);
    int64_t before = timestamp_monotonic();
    struct stat st;

    assert_true(state >= 0);
    assert_ok(fixture, memory);
    assert_ok(fixture, vm_template_make(&fixture->config, memory, state, -EBADF, &fixture->error));
    print_message("made in %.1f ms\n", (double)(timestamp_monotonic() - before) / 1e6);
    assert_int_equal(fstat(state, &st), 0);
    assert_true(st.st_size > 0);
    assert_int_equal(vm_template_check_memory(memory, 0, &fixture->error), -EINVAL);
    assert_ok(fixture, vm_template_seal(memory, &fixture->error));
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
    return memory;
}

static void wake(struct fixture *fixture, int memory, char report[REPORT + 1])
{
    CLEANUP_FREE char *path = state_path(fixture);
    CLEANUP_CLOSE int state = open(path, O_RDONLY | O_CLOEXEC);
    const struct vm_template template = {.memory = memory, .state = state};
    int64_t before = timestamp_monotonic();

    fixture->config.pooled = true;
    fixture->config.template = &template;
    fixture_start(fixture, NULL);
    fixture->config.template = NULL;
    fixture_read_link(fixture, report, REPORT);
    report[REPORT] = '\0';
    print_message("woken in %.1f ms\n", (double)(timestamp_monotonic() - before) / 1e6);
}

static void ask(struct fixture *fixture, char letter, void *answer, size_t length)
{
    assert_int_equal(write(vm_link(fixture->vm), &letter, 1), 1);
    fixture_read_link(fixture, answer, length);
}

static void assert_unchangeable(int memory)
{
    char path[64];
    void *map;
    int fd;

    /* As the VMM has it: opened again, with all rights. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 4096), -1);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_equal(map, MAP_FAILED);
    map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) {
        assert_int_equal(mprotect(map, 4096, PROT_READ | PROT_WRITE), -1);
        munmap(map, 4096);
    }
    close(fd);
}

static void test_made_and_woken(void **state)
{
    struct fixture *fixture = *state;
    char report[2][REPORT + 1];
    uint8_t word[2][WIRE_WAKE_SIZE];
    struct wire_wake wakes[2];
    CLEANUP_CLOSE int memory = -EBADF;

    fixture_use_qemu(fixture, VM_ENGINE_TCG, getenv("HULL_TEST_INIT"));
    memory = make(fixture);
    assert_unchangeable(memory);
    for (int i = 0; i < 2; i++) {
        int64_t now;

        wake(fixture, memory, report[i]);
        ask(fixture, 's', word[i], sizeof(word[i]));
        now = timestamp_now();
        assert_int_equal(wire_wake_decode(word[i], &wakes[i]), 0);
        assert_in_range(wakes[i].clock, now - 10 * INT64_C(1000000000), now);
        fixture->vm = vm_free(fixture->vm);
    }
    assert_string_equal(report[0], report[1]);
    assert_memory_not_equal(wakes[0].seed, wakes[1].seed, WIRE_WAKE_SEED);
}

static void on_plugged(struct vm *vm, const struct error *error, void *data)
{
    struct plugged *plugged = data;

    (void)vm;
    plugged->calls++;
    if (error)
        error_copy(&plugged->error, error);
}

static char *make_disk(struct fixture *fixture, const char *name, int mib)
{
    char *path = string_format("%s/%s", fixture->directory, name);
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)mib * 1024 * 1024), 0);
    return path;
}

static void plug(struct fixture *fixture)
{
    CLEANUP_FREE char *layer = make_disk(fixture, "layer", DISK_MIB);
    CLEANUP_FREE char *scratch = make_disk(fixture, "scratch", 2 * DISK_MIB);
    const struct vm_disk disks[] = {{.path = layer, .read_only = true}, {.path = scratch}};
    const struct vm_plug what = {
        .disks = disks, .n_disks = 2, .nic = {.link = "hp0", .mac = "02:42:ac:11:00:02"}};
    struct plugged plugged = {.error = ERROR_INIT};
    int64_t before = timestamp_monotonic();

    assert_ok(fixture, vm_plug(fixture->vm, &what, on_plugged, &plugged, &fixture->error));
    while (plugged.calls == 0)
        assert_int_equal(loop_run_once(fixture->loop, FIXTURE_TIMEOUT_MS), 0);
    if (plugged.error.code < 0)
        print_error("%s\n", plugged.error.message);
    assert_int_equal(plugged.error.code, 0);
    print_message("plugged in %.1f ms\n", (double)(timestamp_monotonic() - before) / 1e6);
    assert_int_equal(vm_plug(fixture->vm, &what, on_plugged, &plugged, &fixture->error), -EALREADY);
}

static void assert_devices(struct fixture *fixture)
{
    char answer[REPORT + 1] = "";

    ask(fixture, 'd', answer, REPORT);
    assert_int_equal(strtol(answer, NULL, 10), DISK_MIB * 2048);
    assert_int_equal(strtol(answer + 16, NULL, 10), 2 * DISK_MIB * 2048);
    assert_int_equal(strtol(answer + 32, NULL, 10), 1);
}

/* In a network namespace of the test's own, so that nobody sees the tap. */
static void add_tap(void)
{
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_int_equal(netdevice_add_tap("hp0", 0, NULL), 0);
}

static void test_plugged_after_waking(void **state)
{
    struct fixture *fixture = *state;
    char report[REPORT + 1];
    CLEANUP_CLOSE int memory = -EBADF;

    fixture_use_qemu(fixture, VM_ENGINE_TCG, getenv("HULL_TEST_INIT"));
    add_tap();
    memory = make(fixture);
    wake(fixture, memory, report);
    plug(fixture);
    assert_devices(fixture);
    assert_int_equal(write(vm_link(fixture->vm), "p", 1), 1);
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "powered off");
}

static void test_plugged_after_a_boot(void **state)
{
    struct fixture *fixture = *state;
    char report[REPORT + 1];

    fixture_use_qemu(fixture, VM_ENGINE_TCG, getenv("HULL_TEST_INIT"));
    add_tap();
    fixture->config.pooled = true;
    fixture_start(fixture, NULL);
    fixture_read_link(fixture, report, REPORT);
    plug(fixture);
    assert_devices(fixture);
}

/* What is not sealed could be written to by the VMM. */
static void test_memory_that_is_not_sealed(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_CLOSE int memory = -EBADF;
    struct vm_template template;

    fixture_need_root();
    memory = vm_template_new_memory(&fixture->config, &fixture->error);
    template = (struct vm_template){.memory = memory, .state = memory};
    fixture->config.engine = VM_ENGINE_TCG;
    fixture->config.pooled = true;
    fixture->config.template = &template;
    fixture_write(fixture->initramfs, "x");
    assert_int_equal(
        vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm, &fixture->error),
        -EINVAL);
    fixture->config.engine = VM_ENGINE_UML;
    assert_int_equal(
        vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm, &fixture->error),
        -EINVAL);
}

/* A damaged state ends the VM, with a reason, and the host hears nothing from the guest. */
static void test_a_damaged_state(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_CLOSE int memory = -EBADF;
    CLEANUP_CLOSE int damaged = -EBADF;
    struct vm_template template;
    CLEANUP_FREE char *path = NULL;

    fixture_use_qemu(fixture, VM_ENGINE_TCG, getenv("HULL_TEST_INIT"));
    path = state_path(fixture);
    fixture_write(path, "no state of any machine");
    damaged = open(path, O_RDONLY | O_CLOEXEC);
    memory = vm_template_new_memory(&fixture->config, &fixture->error);
    assert_ok(fixture, vm_template_seal(memory, &fixture->error));
    template = (struct vm_template){.memory = memory, .state = damaged};
    fixture->config.pooled = true;
    fixture->config.template = &template;
    fixture_start(fixture, NULL);
    fixture_wait_end(fixture);
    assert_false(fixture->clean);
    print_message("%s\n", fixture->reason);
}

static void test_identity(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_FREE char *first = NULL;
    CLEANUP_FREE char *same = NULL;
    CLEANUP_FREE char *more = NULL;
    CLEANUP_FREE char *newer = NULL;

    fixture->config.engine = VM_ENGINE_TCG;
    fixture_write(fixture->initramfs, "x");
    first = vm_template_identity(&fixture->config);
    same = vm_template_identity(&fixture->config);
    assert_string_equal(first, same);
    fixture->config.memory *= 2;
    more = vm_template_identity(&fixture->config);
    assert_string_not_equal(first, more);
    fixture->config.memory /= 2;
    fixture_write(fixture->initramfs, "xy");
    newer = vm_template_identity(&fixture->config);
    assert_string_not_equal(first, newer);
    assert_true(vm_has_templates(VM_ENGINE_KVM) && vm_has_templates(VM_ENGINE_TCG));
    assert_false(vm_has_templates(VM_ENGINE_UML));
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_identity),
        ROW(test_memory_that_is_not_sealed),
        ROW(test_a_damaged_state),
        ROW(test_made_and_woken),
        ROW(test_plugged_after_waking),
        ROW(test_plugged_after_a_boot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
