/* Limits of a cgroup that are changed, with files in place of the kernel's. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "vm/cgroup.h"

#define MIB (1024ULL * 1024)

/* Room for any number: a write replaces what is at the beginning. */
static void put(struct fixture *fixture, const char *name, const char *text)
{
    CLEANUP_FREE char *path = path_join(fixture->directory, name);

    assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

static char *get(struct fixture *fixture, const char *name)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(4096);
    CLEANUP_FREE char *path = path_join(fixture->directory, name);

    assert_int_equal(file_read(AT_FDCWD, path, &text, NULL), 0);
    return buffer_take(&text);
}

static void assert_begins(struct fixture *fixture, const char *name, const char *text)
{
    CLEANUP_FREE char *whole = get(fixture, name);

    assert_memory_equal(whole, text, strlen(text));
}

static int change(struct fixture *fixture, uint64_t memory, double cpus)
{
    const struct vm_cgroup_limits limits = {.memory = memory, .cpus = cpus};
    const struct vm_cgroup cgroup = {.directories = {fixture->directory}, .n = 1};

    return vm_cgroup_change(&cgroup, &limits, &fixture->error);
}

static void test_v1(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, "memory.limit_in_bytes", "209715200");
    put(fixture, "memory.memsw.limit_in_bytes", "209715200");
    put(fixture, "cpu.cfs_period_us", "      ");
    put(fixture, "cpu.cfs_quota_us", "     ");
    assert_int_equal(change(fixture, 300 * MIB, 0.5), 0);
    assert_begins(fixture, "memory.limit_in_bytes", "314572800");
    assert_begins(fixture, "memory.memsw.limit_in_bytes", "314572800");
    assert_begins(fixture, "cpu.cfs_period_us", "100000");
    assert_begins(fixture, "cpu.cfs_quota_us", "50000");
    assert_int_equal(change(fixture, 100 * MIB, 0), 0);
    assert_begins(fixture, "memory.limit_in_bytes", "104857600");
    assert_begins(fixture, "memory.memsw.limit_in_bytes", "104857600");
    assert_begins(fixture, "cpu.cfs_quota_us", "-1");
}

static void test_v1_without_swap_accounting(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, "memory.limit_in_bytes", "209715200");
    assert_int_equal(change(fixture, 300 * MIB, 1), 0);
    assert_begins(fixture, "memory.limit_in_bytes", "314572800");
}

/* The second write fails (it is a directory): the first is taken back. */
static void test_v1_undoes(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_FREE char *memsw = path_join(fixture->directory, "memory.memsw.limit_in_bytes");

    put(fixture, "memory.limit_in_bytes", "209715200");
    assert_int_equal(mkdir(memsw, 0700), 0);
    assert_true(change(fixture, 100 * MIB, 0) < 0);
    assert_begins(fixture, "memory.limit_in_bytes", "209715200");
}

static void test_v2(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, "cgroup.controllers", "cpu memory pids\n");
    put(fixture, "memory.current", "157286400\n");
    put(fixture, "memory.max", "         ");
    put(fixture, "cpu.max", "            ");
    assert_int_equal(change(fixture, 300 * MIB, 2), 0);
    assert_begins(fixture, "memory.max", "314572800");
    assert_begins(fixture, "cpu.max", "200000 100000");
    assert_int_equal(change(fixture, 200 * MIB, 0), 0);
    assert_begins(fixture, "memory.max", "209715200");
    assert_begins(fixture, "cpu.max", "max 100000");
    assert_int_equal(change(fixture, 100 * MIB, 0), -EBUSY);
    assert_begins(fixture, "memory.max", "209715200");
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_v1),
        ROW(test_v1_without_swap_accounting),
        ROW(test_v1_undoes),
        ROW(test_v2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
