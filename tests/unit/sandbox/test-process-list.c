/* Names of users in the list of processes, from a passwd that the container may have made huge. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "sandbox/process_list.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILLER_LINES = 30000 };

static char directory[] = "/tmp/hull-test-processes-XXXXXX";

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

/* `before` lines of other users, then two of ours. */
static void write_passwd(size_t before)
{
    int root_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd;
    FILE *file;

    assert_true(root_fd >= 0);
    assert_true(mkdirat(root_fd, "etc", 0755) == 0 || errno == EEXIST);
    fd = openat(root_fd, "etc/passwd", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_non_null(file);
    (void)fprintf(file, "broken\n:x:%u:\nalso:x:%ux:\n", getuid(), getuid());
    for (size_t i = 0; i < before; i++)
        (void)fprintf(file, "u%zu:x:%zu:\n", i, 100000 + (before - i));
    (void)fprintf(file, "first:x:%u:0::/:\nsecond:x:%u:0::/:", getuid(), getuid());
    assert_int_equal(fclose(file), 0);
    close(root_fd);
}

static void check(const char *expected)
{
    CLEANUP_CLOSE int root_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_JSON json_t *list = NULL;
    json_t *processes;
    pid_t pids[3] = {getpid(), getpid(), getpid()};

    assert_int_equal(process_list_read(pids, 3, root_fd, &list, NULL), 0);
    processes = json_object_get(list, "processes");
    assert_int_equal(json_array_size(processes), 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(processes, i), "user")), expected);
}

static void test_first_line_counts(void **state)
{
    (void)state;
    write_passwd(1000);
    check("first");
}

static void test_huge_passwd_is_bounded(void **state)
{
    char digits[16];

    (void)state;
    snprintf(digits, sizeof(digits), "%u", getuid());
    write_passwd(FILLER_LINES);
    check(digits);
}

static void test_no_passwd(void **state)
{
    CLEANUP_FREE char *path = path_join(directory, "etc/passwd");
    char digits[16];

    (void)state;
    snprintf(digits, sizeof(digits), "%u", getuid());
    assert_int_equal(unlink(path), 0);
    check(digits);
    assert_int_equal(mkfifo(path, 0644), 0);
    check(digits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_line_counts),
        cmocka_unit_test(test_huge_passwd_is_bounded),
        cmocka_unit_test(test_no_passwd),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
