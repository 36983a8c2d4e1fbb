/* Memory limits of what runs: the guest's own, and cgroups' below what is in use, with files in
 * place of the kernel's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/cgroup.h"
#include "sandbox/guest_memory.h"
#include "spec/resources.h"

#define MIB (1024LL * 1024)

static char directory[] = "/tmp/hull-test-memory-XXXXXX";

static char *file(const char *name, const char *content)
{
    char *path = path_join(directory, name);

    assert_non_null(path);
    if (content)
        assert_int_equal(file_write_atomic(AT_FDCWD, path, content, strlen(content), 0600, NULL),
                         0);
    return path;
}

/* The number that a file begins with. */
static long long content(const char *name)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(4096);
    CLEANUP_FREE char *path = file(name, NULL);

    assert_int_equal(file_read(AT_FDCWD, path, &text, NULL), 0);
    return strtoll(buffer_string(&text), NULL, 10);
}

static int make(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int unmake(void **state)
{
    (void)state;
    return path_remove_tree(AT_FDCWD, directory, NULL);
}

static void a_guest_kernel_that_cannot(void **state)
{
    CLEANUP_FREE char *path = file("none", NULL);
    struct error error = ERROR_INIT;

    (void)state;
    assert_true(guest_memory_check(path, (uint64_t)(256 * MIB), &error) < 0);
    assert_int_equal(error.class, ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "make kernel"));
    assert_true(guest_memory_set(path, path, (uint64_t)(256 * MIB), NULL, NULL) < 0);
}

static void a_guest_of_the_right_size(void **state)
{
    CLEANUP_FREE char *path = file("total", "268431360\n");

    (void)state;
    assert_int_equal(guest_memory_check(path, (uint64_t)(256 * MIB), NULL), 0);
    assert_true(guest_memory_check(path, (uint64_t)(128 * MIB), NULL) < 0);
    assert_true(guest_memory_check(path, (uint64_t)(8192 * MIB), NULL) < 0);
}

static void a_guest_is_resized(void **state)
{
    CLEANUP_FREE char *path = file("total", "268435456\n");
    CLEANUP_FREE char *info =
        file("meminfo", "MemTotal: 262144 kB\nMemFree: 100 kB\nBuffers: 10 kB\n"
                        "Cached: 150000 kB\nSReclaimable: 0 kB\n"
                        "Shmem: 10000 kB\n");
    struct error error = ERROR_INIT;
    uint64_t old = 0;

    (void)state;
    assert_int_equal(guest_memory_set(path, info, (uint64_t)(128 * MIB), &old, NULL), 0);
    assert_int_equal(old, 256 * MIB);
    assert_int_equal(content("total"), 128 * MIB);
    /* 262144 - 100 - 10 - 150000 + 10000 KiB are in use. */
    assert_true(guest_memory_set(path, info, (uint64_t)(119 * MIB), NULL, &error) < 0);
    assert_int_equal(error.class, ERROR_CONFLICT);
    assert_string_equal(error.message,
                        "unable to set memory limit to 124780544 (current usage: 124962816)");
    assert_int_equal(content("total"), 128 * MIB);
    assert_int_equal(guest_memory_set(path, info, (uint64_t)(512 * MIB), NULL, NULL), 0);
    assert_int_equal(content("total"), 512 * MIB);
}

/* A cgroup of version 2 made of files. */
static void fill(const char *current, const char *stat)
{
    free(file("memory.current", current));
    free(file("memory.stat", stat));
    free(file("memory.max", "000000000000"));
    free(file("memory.swap.max", "000000000000"));
}

static int apply(int64_t limit, int64_t swap, struct error *err)
{
    struct cgroup cgroup = {.ops = &cgroup_v2_ops,
                            .n_hierarchies = 1,
                            .has_device_rules = true,
                            .directory_fd = -EBADF,
                            .path = directory};
    const struct spec_resources resources = {.memory_limit = limit, .memory_swap = swap};

    cgroup.hierarchies[0] = (struct cgroup_hierarchy){.directory = directory, .procs_fd = -EBADF};
    return cgroup_apply(&cgroup, &resources, err);
}

static void v2_below_usage_changes_nothing(void **state)
{
    struct error error = ERROR_INIT;

    (void)state;
    fill("209715200\n", "anon 200000000\ninactive_file 1048576\nactive_file 0\n");
    assert_true(apply(100 * MIB, 200 * MIB, &error) < 0);
    assert_int_equal(error.class, ERROR_CONFLICT);
    assert_string_equal(error.message,
                        "unable to set memory limit to 104857600 (current usage: 209715200)");
    assert_int_equal(content("memory.max"), 0);
    assert_int_equal(content("memory.swap.max"), 0);
}

static void v2_page_cache_is_not_usage(void **state)
{
    (void)state;
    fill("209715200\n", "anon 20000000\ninactive_file 104857600\nactive_file 83886080\n");
    assert_int_equal(apply(100 * MIB, 200 * MIB, NULL), 0);
    assert_int_equal(content("memory.max") / 1000, 100 * MIB); /* zeros follow */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_kernel_that_cannot),
        cmocka_unit_test(a_guest_of_the_right_size),
        cmocka_unit_test(a_guest_is_resized),
        cmocka_unit_test(v2_below_usage_changes_nothing),
        cmocka_unit_test(v2_page_cache_is_not_usage),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
