/* Whether the host has room for one more utility VM, with a host that is made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "engine/admission.h"

#define MIB (1024ULL * 1024)
#define GIB (1024 * MIB)

static int read_text(const char *text, struct admission *ret, struct error *err)
{
    char path[] = "/tmp/hull-test-meminfo.XXXXXX";
    int fd = mkstemp(path);

    assert_return_code(fd, errno);
    assert_return_code(fd_write_full(fd, text, strlen(text)), 0);
    close(fd);
    int r = admission_read_memory(path, ret, err);
    unlink(path);
    return r;
}

static void test_meminfo(void **state)
{
    static const char *const wrong[] = {
        "",
        "MemTotal: 5 kB\n",
        "MemTotal: 5 kB\nMemAvailable: x kB\n",
        "MemTotal: 5 kB\nMemAvailable: 5 MB\n",
        "MemTotal: 5 kB\nXMemAvailable: 5 kB\n",
        "MemTotal: 5 kB\nMemAvailable: 99999999999999999999 kB\n",
    };
    struct admission memory = {0};

    (void)state;
    assert_return_code(read_text("MemTotal:       24683920 kB\nMemFree:        19455020 kB\n"
                                 "MemAvailable:   23577600 kB\nBuffers: 1 kB\n",
                                 &memory, NULL),
                       0);
    assert_int_equal(memory.total, 24683920ULL * 1024);
    assert_int_equal(memory.available, 23577600ULL * 1024);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(read_text(wrong[i], &memory, NULL), -EINVAL);
    assert_int_equal(admission_read_memory("/nonexistent", &memory, NULL), -ENOENT);
}

static void test_reserve_and_cost(void **state)
{
    (void)state;
    assert_int_equal(admission_reserve(1 * GIB), 128 * MIB);
    assert_int_equal(admission_reserve(8 * GIB), 512 * MIB);
    assert_int_equal(admission_reserve(64 * GIB), 1 * GIB);
    assert_int_equal(admission_cost(VM_ENGINE_UML, 1 * GIB), 32 * MIB);
    assert_int_equal(admission_cost(VM_ENGINE_TCG, 48 * MIB), 48 * MIB);
}

static void test_as_long_as_there_is_room(void **state)
{
    /* 200 idle VMs of 1 GiB on 24 GiB: each takes 12 MiB. */
    struct admission host = {.total = 24 * GIB, .available = 23 * GIB, .overcommit = 16 * 1024};

    (void)state;
    for (host.n = 0; host.n < 200; host.n++) {
        assert_int_equal(admission_check(&host, 1 * GIB, 32 * MIB, NULL), 0);
        host.available -= 12 * MIB;
        host.limits += 1 * GIB;
    }
}

static void test_the_host_is_full(void **state)
{
    struct admission host = {.total = 4 * GIB, .available = 320 * MIB, .n = 7, .limits = 7 * GIB};
    struct error error = ERROR_INIT;

    (void)state;
    assert_int_equal(admission_check(&host, 1 * GIB, 32 * MIB, NULL), 0);
    host.promised = 33 * MIB;
    assert_true(admission_check(&host, 1 * GIB, 32 * MIB, &error) < 0);
    assert_int_equal(error.class, ERROR_UNAVAILABLE);
    assert_string_equal(
        error.message, "not enough memory for another utility VM: it needs 32 MiB at once (its "
                       "limit is 1024 MiB), and of the host's 4096 MiB only 320 MiB are available, "
                       "of which 256 MiB are reserved for the host and 33 MiB promised to VMs that "
                       "are starting (7 utility VMs run)");
    host = (struct admission){.total = 4 * GIB};
    assert_true(admission_check(&host, 1 * GIB, 32 * MIB, NULL) < 0);
}

static void test_the_sum_of_limits(void **state)
{
    struct admission host = {
        .total = 4 * GIB, .available = 4 * GIB, .n = 5, .limits = 5 * GIB, .overcommit = 1536};
    struct error error = ERROR_INIT;

    (void)state;
    assert_int_equal(admission_check(&host, 1 * GIB, 32 * MIB, NULL), 0);
    assert_true(admission_check(&host, 1 * GIB + MIB, 32 * MIB, &error) < 0);
    assert_int_equal(error.class, ERROR_UNAVAILABLE);
    assert_string_equal(error.message,
                        "not enough memory for another utility VM: with its limit of 1025 MiB the "
                        "limits of 6 utility VMs would be 6145 MiB in sum, more than 1.5 times "
                        "(--vm-memory-overcommit) the host's 4096 MiB");
    assert_true(admission_check(&host, UINT64_MAX, 32 * MIB, NULL) < 0);
    host.overcommit = 0;
    assert_int_equal(admission_check(&host, UINT64_MAX, 32 * MIB, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meminfo),
        cmocka_unit_test(test_reserve_and_cost),
        cmocka_unit_test(test_as_long_as_there_is_room),
        cmocka_unit_test(test_the_host_is_full),
        cmocka_unit_test(test_the_sum_of_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
