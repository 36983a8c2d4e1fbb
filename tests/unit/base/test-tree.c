#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "unit.h"

static void test_removes_everything(void **state)
{
    (void)state;
    assert_int_equal(path_make_dirs("t/a/b/c", 0755, NULL), 0);
    assert_int_equal(path_make_dirs("t/d", 0755, NULL), 0);
    unit_write("t/a/file", "x");
    unit_write("t/a/b/file", "x");
    assert_int_equal(mkfifo("t/d/fifo", 0600), 0);
    assert_int_equal(path_remove_tree(AT_FDCWD, "t/", NULL), 0);
    assert_false(unit_exists("t"));
}

static void test_missing_is_success(void **state)
{
    (void)state;
    assert_int_equal(path_remove_tree(AT_FDCWD, "missing", NULL), 0);
    assert_int_equal(path_remove_tree(AT_FDCWD, "missing/below", NULL), 0);
}

static void test_a_file_is_removed(void **state)
{
    (void)state;
    unit_write("file", "x");
    assert_int_equal(path_remove_tree(AT_FDCWD, "file", NULL), 0);
    assert_false(unit_exists("file"));
}

static void test_links_are_not_followed(void **state)
{
    (void)state;
    assert_int_equal(path_make_dirs("outside/keep", 0755, NULL), 0);
    assert_int_equal(path_make_dirs("t", 0755, NULL), 0);
    assert_int_equal(symlink("../outside", "t/link"), 0);
    assert_int_equal(symlink("t", "top"), 0);
    assert_int_equal(path_remove_tree(AT_FDCWD, "top", NULL), 0);
    assert_false(unit_exists("top"));
    assert_true(unit_exists("t/link"));
    assert_int_equal(path_remove_tree(AT_FDCWD, "t", NULL), 0);
    assert_true(unit_exists("outside/keep"));
}

static void test_names_that_climb_are_refused(void **state)
{
    (void)state;
    assert_int_equal(path_make_dirs("t/x", 0755, NULL), 0);
    assert_int_equal(path_remove_tree(AT_FDCWD, "t/..", NULL), -EINVAL);
    assert_int_equal(path_remove_tree(AT_FDCWD, "t/.", NULL), -EINVAL);
    assert_int_equal(path_remove_tree(AT_FDCWD, "/", NULL), -EINVAL);
    assert_int_equal(path_remove_tree(AT_FDCWD, "", NULL), -EINVAL);
    assert_true(unit_exists("t/x"));
}

/* Deeper than any path can name, and than the process has descriptors. */
static void test_very_deep_tree(void **state)
{
    enum { DEPTH = 5000 };
    int at = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int before = unit_count_fds();

    (void)state;
    for (int i = 0; i < DEPTH; i++) {
        int below;

        assert_int_equal(mkdirat(at, "deep", 0755), 0);
        below = openat(at, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(below >= 0);
        close(at);
        at = below;
    }
    close(at);
    assert_int_equal(path_remove_tree(AT_FDCWD, "deep", NULL), 0);
    assert_false(unit_exists("deep"));
    assert_int_equal(unit_count_fds(), before - 1);
}

static void test_wide_tree(void **state)
{
    char name[64];

    (void)state;
    assert_int_equal(mkdir("wide", 0755), 0);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "wide/directory-with-a-long-name-%d", i);
        assert_int_equal(mkdir(name, 0755), 0);
        if (i % 3 == 0) {
            snprintf(name, sizeof(name), "wide/directory-with-a-long-name-%d/f", i);
            unit_write(name, "");
        }
    }
    assert_int_equal(path_remove_tree(AT_FDCWD, "wide", NULL), 0);
    assert_false(unit_exists("wide"));
}

/* In a child with a mount namespace of its own; the exit status tells which step failed. */
static int try_with_mounts(const char *mount_on, const char *remove)
{
    struct error err = ERROR_INIT;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 77;
    if (mount("outside", mount_on, NULL, MS_BIND, NULL) < 0)
        return 77;
    if (path_remove_tree(AT_FDCWD, remove, &err) != -EBUSY)
        return 1;
    if (!unit_exists("outside/keep") || !unit_exists(mount_on))
        return 2;
    if (!strstr(err.message, "something is mounted"))
        return 3;
    return 0;
}

static void assert_mount_is_respected(const char *mount_on, const char *remove)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(try_with_mounts(mount_on, remove));
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("no right to mount here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* The bind mount is of the same file system: device numbers do not tell. */
static void test_mounts_inside_are_not_entered(void **state)
{
    (void)state;
    assert_int_equal(path_make_dirs("outside/keep", 0755, NULL), 0);
    assert_int_equal(path_make_dirs("t/a/volume", 0755, NULL), 0);
    assert_mount_is_respected("t/a/volume", "t");
}

static void test_a_mount_itself_is_not_emptied(void **state)
{
    (void)state;
    assert_int_equal(path_make_dirs("outside/keep", 0755, NULL), 0);
    assert_int_equal(path_make_dirs("t", 0755, NULL), 0);
    assert_mount_is_respected("t", "t");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_removes_everything),
        scratch_test(test_missing_is_success),
        scratch_test(test_a_file_is_removed),
        scratch_test(test_links_are_not_followed),
        scratch_test(test_names_that_climb_are_refused),
        scratch_test(test_very_deep_tree),
        scratch_test(test_wide_tree),
        scratch_test(test_mounts_inside_are_not_entered),
        scratch_test(test_a_mount_itself_is_not_emptied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
