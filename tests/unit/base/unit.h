/* What every test of this folder needs: cmocka with the headers it wants, and a scratch
 * directory. */
#ifndef HULL_TESTS_UNIT_BASE_UNIT_H
#define HULL_TESTS_UNIT_BASE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"

#define UNIT_RUN(tests) cmocka_run_group_tests(tests, NULL, NULL)
#define UNIT_RUN_IN_SCRATCH(tests) cmocka_run_group_tests(tests, scratch_make, scratch_remove)
#define scratch_test(function) \
    cmocka_unit_test_setup_teardown(function, scratch_make, scratch_remove)

/* The scratch directory is the working directory of the test. */
static char scratch_path[PATH_MAX];

static inline int scratch_make(void **state)
{
    const char *parent = getenv("TMPDIR");

    (void)state;
    snprintf(scratch_path, sizeof(scratch_path), "%s/hull-unit-XXXXXX", parent ? parent : "/tmp");
    return mkdtemp(scratch_path) && chdir(scratch_path) == 0 ? 0 : -1;
}

static inline int scratch_remove(void **state)
{
    (void)state;
    if (chdir("/") < 0)
        return -1;
    return path_remove_tree(AT_FDCWD, scratch_path, NULL);
}

static inline bool unit_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static inline void unit_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Descriptors that are open in this process. */
static inline int unit_count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

#endif
