#include <dirent.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "unit.h"

static int count_entries(void)
{
    CLEANUP_DIR DIR *dir = opendir(".");
    int n = 0;

    while (readdir(dir))
        n++;
    return n - 2;
}

static void test_read_appends_whole_file(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(8);

    (void)state;
    unit_write("f", "world");
    assert_int_equal(buffer_append_string(&b, "ab "), 0);
    assert_int_equal(file_read(AT_FDCWD, "f", &b, NULL), 0); /* exactly fits */
    assert_string_equal(buffer_string(&b), "ab world");
}

static void test_read_larger_than_maximum(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(8);
    struct error err = ERROR_INIT;

    (void)state;
    unit_write("f", "worlds");
    assert_int_equal(buffer_append_string(&b, "ab "), 0);
    assert_int_equal(file_read(AT_FDCWD, "f", &b, &err), -EFBIG);
    assert_string_equal(err.message, "f is larger than the maximum of 5 bytes");
    assert_string_equal(buffer_string(&b), "ab ");
}

static void test_read_errors(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(8);

    (void)state;
    assert_int_equal(file_read(AT_FDCWD, "missing", &b, NULL), -ENOENT);
    assert_int_equal(file_read(AT_FDCWD, ".", &b, NULL), -EISDIR);
}

static void test_read_proc(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(65536);

    (void)state;
    assert_int_equal(file_read(AT_FDCWD, "/proc/self/status", &b, NULL), 0);
    assert_non_null(strstr(buffer_string(&b), "\nPid:\t"));
}

static void test_write_does_not_create(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(8);

    (void)state;
    assert_int_equal(file_write(AT_FDCWD, "f", "x", NULL), -ENOENT);
    unit_write("f", "");
    assert_int_equal(file_write(AT_FDCWD, "f", "1\n", NULL), 0);
    assert_int_equal(file_read(AT_FDCWD, "f", &b, NULL), 0);
    assert_string_equal(buffer_string(&b), "1\n");
}

static void test_atomic_write_replaces(void **state)
{
    CLEANUP(buffer_release) struct buffer b = BUFFER_INIT(64);
    CLEANUP_CLOSE int old = -EBADF;
    struct stat st;
    char text[4] = "";
    mode_t mask = umask(077);

    (void)state;
    unit_write("f", "old");
    old = open("f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_write_atomic(AT_FDCWD, "f", "new!", 4, 0644, NULL), 0);
    umask(mask);
    assert_int_equal(file_read(AT_FDCWD, "f", &b, NULL), 0);
    assert_string_equal(buffer_string(&b), "new!");
    assert_int_equal(stat("f", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(fd_read_full(old, text, 3), 3); /* whoever reads the old one goes on */
    assert_string_equal(text, "old");
    assert_int_equal(count_entries(), 1);
}

static void test_atomic_write_in_directory(void **state)
{
    CLEANUP_CLOSE int dir = -EBADF;

    (void)state;
    assert_int_equal(mkdir("d", 0755), 0);
    dir = open("d", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(file_write_atomic(dir, "f", "x", 1, 0600, NULL), 0);
    assert_true(unit_exists("d/f"));
    assert_int_equal(file_write_atomic(AT_FDCWD, "d/g", "x", 1, 0600, NULL), 0);
    assert_true(unit_exists("d/g"));
}

static void test_failed_atomic_write_leaves_nothing(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(mkdir("d", 0755), 0);
    assert_int_equal(file_write_atomic(AT_FDCWD, "d", "x", 1, 0600, &err), -EISDIR);
    assert_string_equal(err.message, "cannot write d: Is a directory");
    assert_int_equal(count_entries(), 1);
    assert_int_equal(file_write_atomic(AT_FDCWD, "no/f", "x", 1, 0600, &err), -ENOENT);
}

static void test_atomic_write_replaces_a_link_itself(void **state)
{
    struct stat st;

    (void)state;
    unit_write("target", "safe");
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(file_write_atomic(AT_FDCWD, "link", "xyzzy", 5, 0600, NULL), 0);
    assert_int_equal(lstat("link", &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(stat("target", &st), 0);
    assert_int_equal(st.st_size, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_read_appends_whole_file),
        scratch_test(test_read_larger_than_maximum),
        scratch_test(test_read_errors),
        scratch_test(test_read_proc),
        scratch_test(test_write_does_not_create),
        scratch_test(test_atomic_write_replaces),
        scratch_test(test_atomic_write_in_directory),
        scratch_test(test_failed_atomic_write_leaves_nothing),
        scratch_test(test_atomic_write_replaces_a_link_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
