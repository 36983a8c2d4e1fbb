/* Limits of a cgroup that are changed, with files in place of the kernel's; and its name. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
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

static void test_background(void **state)
{
    struct fixture *fixture = *state;
    const struct vm_cgroup cgroup = {.directories = {fixture->directory}, .n = 1};

    vm_cgroup_set_background(&cgroup, true); /* no controller is no failure */
    put(fixture, "cpu.weight", "   ");
    put(fixture, "cpu.shares", "    ");
    vm_cgroup_set_background(&cgroup, true);
    assert_begins(fixture, "cpu.weight", "10 ");
    assert_begins(fixture, "cpu.shares", "102 ");
    vm_cgroup_set_background(&cgroup, false);
    assert_begins(fixture, "cpu.weight", "100");
    assert_begins(fixture, "cpu.shares", "1024");
}

/* On the host's own trees, of either version, with a process inside. */
static void rename_with_a_process(struct fixture *fixture, const char *mount)
{
    const struct vm_cgroup_limits limits = {.memory = 64 * MIB, .processes = 100};
    struct vm_cgroup cgroup = {.n = 0};
    CLEANUP_FREE char *old = string_format("/hull/test-%d-old", (int)getpid());
    CLEANUP_FREE char *new = string_format("/hull/test-%d-new", (int)getpid());
    CLEANUP_FREE char *name = string_format("test-%d-new", (int)getpid());
    int procs[VM_CGROUP_TREES_MAX];
    char pid[16];
    pid_t child;

    if (vm_cgroup_create(mount, old, &limits, &cgroup, &fixture->error) < 0) {
        print_message("skipped: %s\n", fixture->error.message);
        return;
    }
    child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    snprintf(pid, sizeof(pid), "%d\n", (int)child);
    assert_true(vm_cgroup_open_procs(&cgroup, procs, NULL) > 0);
    for (size_t i = 0; i < cgroup.n; i++) {
        assert_true(write(procs[i], pid, strlen(pid)) > 0);
        close(procs[i]);
    }
    assert_int_equal(vm_cgroup_rename(&cgroup, mount, new, &limits, &fixture->error), 0);
    for (size_t i = 0; i < cgroup.n; i++) {
        CLEANUP_FREE char *path = path_join(cgroup.directories[i], "cgroup.procs");
        CLEANUP_FREE char *content = fixture_read(path);

        assert_true(string_ends_with(cgroup.directories[i], name));
        assert_string_equal(content, pid);
    }
    assert_int_equal(vm_cgroup_destroy(&cgroup), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_rename(void **state)
{
    fixture_need_root();
    rename_with_a_process(*state, "/sys/fs/cgroup");
    if (access("/sys/fs/cgroup/unified/cgroup.controllers", F_OK) == 0)
        rename_with_a_process(*state, "/sys/fs/cgroup/unified");
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_v1),         ROW(test_v1_without_swap_accounting),
        ROW(test_v1_undoes),  ROW(test_v2),
        ROW(test_background), ROW(test_rename),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
