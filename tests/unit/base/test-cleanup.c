#include <dirent.h>

#include "unit.h"

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void test_close_at_end_of_scope(void **state)
{
    int seen;

    (void)state;
    {
        CLEANUP_CLOSE int fd = open_null();

        seen = fd;
        errno = ENOTTY;
    }
    assert_int_equal(errno, ENOTTY);
    assert_int_equal(fcntl(seen, F_GETFD), -1);
}

static void test_taken_descriptor_survives(void **state)
{
    int taken;

    (void)state;
    {
        CLEANUP_CLOSE int fd = open_null();

        taken = TAKE_FD(fd);
        assert_int_equal(fd, -EBADF);
    }
    assert_true(fcntl(taken, F_GETFD) >= 0);
    close(taken);
}

static void test_taken_pointer_survives(void **state)
{
    char *taken;

    (void)state;
    {
        CLEANUP_FREE char *text = strdup("kept");

        taken = TAKE_PTR(text);
        assert_null(text);
    }
    assert_string_equal(taken, "kept");
    free(taken);
}

static void test_clean_up_may_run_twice(void **state)
{
    char *text = strdup("x");
    int fd = open_null();

    (void)state;
    cleanup_free(&text);
    assert_null(text);
    cleanup_free(&text);
    cleanup_close(&fd);
    assert_int_equal(fd, -EBADF);
    cleanup_close(&fd);
}

static void test_streams_are_closed(void **state)
{
    int before = unit_count_fds();

    (void)state;
    {
        CLEANUP_DIR DIR *dir = opendir("/");
        CLEANUP_FILE FILE *file = fopen("/dev/null", "re");

        assert_non_null(dir);
        assert_non_null(file);
        assert_int_equal(unit_count_fds(), before + 2);
    }
    assert_int_equal(unit_count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_at_end_of_scope),
        cmocka_unit_test(test_taken_descriptor_survives),
        cmocka_unit_test(test_taken_pointer_survives),
        cmocka_unit_test(test_clean_up_may_run_twice),
        cmocka_unit_test(test_streams_are_closed),
    };

    return UNIT_RUN(tests);
}
