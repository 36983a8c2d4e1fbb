#include <linux/openat2.h>

#include "base/fd.h"
#include "base/strings.h"
#include "unit.h"

static void assert_joined(const char *a, const char *b, const char *expected)
{
    CLEANUP_FREE char *joined = path_join(a, b);

    assert_string_equal(joined, expected);
}

static void test_join(void **state)
{
    (void)state;
    assert_joined("a", "b", "a/b");
    assert_joined("a/", "/b", "a/b");
    assert_joined("a//", "//b/c", "a/b/c");
    assert_joined("/", "b", "/b");
    assert_joined("", "b", "b");
    assert_joined("a", "", "a");
    assert_joined("/", "", "/");
}

static void assert_normal(const char *path, const char *expected)
{
    CLEANUP_FREE char *normal = path_normalize(path);

    assert_string_equal(normal, expected);
}

static void test_normalize(void **state)
{
    (void)state;
    assert_normal("", "/");
    assert_normal("/", "/");
    assert_normal("a", "/a");
    assert_normal("//a//b/", "/a/b");
    assert_normal("/a/./b/.", "/a/b");
    assert_normal("/a/b/../c", "/a/c");
    assert_normal("/../../etc", "/etc");
    assert_normal("a/..", "/");
    assert_normal("/a/../..", "/");
    assert_normal("/..a/.b/...", "/..a/.b/...");
    assert_true(path_is_absolute("/x"));
    assert_false(path_is_absolute("x/"));
    assert_false(path_is_absolute(NULL));
}

static void test_make_dirs(void **state)
{
    struct error err = ERROR_INIT;
    struct stat st;
    mode_t mask = umask(077);

    (void)state;
    assert_int_equal(path_make_dirs("a/b//c/", 0755, &err), 0);
    umask(mask);
    assert_int_equal(stat("a/b/c", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(stat("a", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(path_make_dirs("a/b", 0700, &err), 0);
    assert_int_equal(stat("a/b", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755); /* what exists keeps its mode */
    unit_write("a/file", "");
    assert_int_equal(path_make_dirs("a/file", 0755, &err), -ENOTDIR);
    assert_int_equal(path_make_dirs("a/file/x", 0755, &err), -ENOTDIR);
    assert_int_equal(path_make_dirs("/", 0755, &err), 0);
}

/* ./root is the root, ./outside must never be reached. */
static int make_root(void)
{
    int root;

    assert_int_equal(mkdir("root", 0755), 0);
    assert_int_equal(mkdir("root/etc", 0755), 0);
    assert_int_equal(mkdir("outside", 0755), 0);
    unit_write("root/etc/passwd", "inside");
    unit_write("outside/passwd", "outside");
    root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
    return root;
}

static void assert_reads(int root, const char *path, const char *expected)
{
    CLEANUP_CLOSE int fd = path_open_in_root(root, path, O_RDONLY, 0);
    char text[32] = "";

    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fd_read_full(fd, text, sizeof(text) - 1) >= 0);
    assert_string_equal(text, expected);
}

static void test_hostile_links_stay_inside(void **state)
{
    CLEANUP_CLOSE int root = make_root();
    CLEANUP_FREE char *absolute = string_format("%s/outside/passwd", scratch_path);

    (void)state;
    assert_int_equal(symlink("/etc/passwd", "root/absolute"), 0);
    assert_int_equal(symlink("../../../../../../etc/passwd", "root/dots"), 0);
    assert_int_equal(symlink(absolute, "root/host"), 0);
    assert_int_equal(symlink("../outside/passwd", "root/beside"), 0);
    assert_int_equal(symlink("loop", "root/loop"), 0);
    assert_int_equal(symlink("/proc/self/root", "root/magic"), 0);
    assert_reads(root, "etc/passwd", "inside");
    assert_reads(root, "/etc/passwd", "inside");
    assert_reads(root, "../../etc/passwd", "inside");
    assert_reads(root, "absolute", "inside");
    assert_reads(root, "dots", "inside");
    assert_int_equal(path_open_in_root(root, "host", O_RDONLY, 0), -ENOENT);
    assert_int_equal(path_open_in_root(root, "beside", O_RDONLY, 0), -ENOENT);
    assert_int_equal(path_open_in_root(root, "loop", O_RDONLY, 0), -ELOOP);
    assert_int_equal(path_open_in_root(root, "magic", O_RDONLY, 0), -ENOENT);
}

static void test_creation_stays_inside(void **state)
{
    CLEANUP_CLOSE int root = make_root();
    int fd;

    (void)state;
    assert_int_equal(symlink("../outside/made", "root/link"), 0);
    fd = path_open_in_root(root, "link", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(fd, -ENOENT);
    assert_false(unit_exists("outside/made"));
    fd = path_open_in_root(root, "new", O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    fd_close(fd);
    assert_true(unit_exists("root/new"));
}

static void test_magic_links_are_refused(void **state)
{
    CLEANUP_CLOSE int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    assert_int_equal(path_open_in_root(proc, "root/etc", O_PATH, 0), -ELOOP);
    assert_int_equal(path_open_in_root(proc, "cwd", O_PATH, 0), -ELOOP);
}

static void test_parent(void **state)
{
    CLEANUP_CLOSE int root = make_root();
    CLEANUP_CLOSE int parent = -EBADF;
    CLEANUP_CLOSE int top = -EBADF;
    const char *path = "/var/lib/x/file";
    const char *base = NULL;

    (void)state;
    assert_int_equal(path_open_parent_in_root(root, path, false, &base), -ENOENT);
    assert_null(base);
    parent = path_open_parent_in_root(root, path, true, &base);
    assert_true(parent >= 0);
    assert_ptr_equal(base, path + strlen("/var/lib/x/"));
    assert_int_equal(mkdirat(parent, base, 0755), 0);
    assert_true(unit_exists("root/var/lib/x/file"));
    top = path_open_parent_in_root(root, "name", false, &base);
    assert_true(top >= 0);
    assert_int_equal(faccessat(top, "etc/passwd", F_OK, 0), 0);
    assert_int_equal(path_open_parent_in_root(root, "", true, &base), -EINVAL);
    assert_int_equal(path_open_parent_in_root(root, "/", true, &base), -EINVAL);
    assert_int_equal(path_open_parent_in_root(root, "a/..", true, &base), -EINVAL);
    assert_int_equal(path_open_parent_in_root(root, "a/.", true, &base), -EINVAL);
    assert_int_equal(path_open_parent_in_root(root, "a/", true, &base), -EINVAL);
    assert_int_equal(path_open_parent_in_root(root, "etc/passwd/x", true, &base), -ENOTDIR);
}

static void assert_made(int root, const char *path, const char *expected)
{
    CLEANUP_CLOSE int fd = path_make_dirs_in_root(root, path, 0711);
    struct stat by_fd;
    struct stat by_path;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &by_fd), 0);
    assert_int_equal(lstat(expected, &by_path), 0);
    assert_true(S_ISDIR(by_path.st_mode));
    assert_true(by_fd.st_ino == by_path.st_ino);
}

static void test_dirs_in_root_follow_links_inside(void **state)
{
    CLEANUP_CLOSE int root = make_root();
    CLEANUP_FREE char *host = string_format("%s/outside/evil", scratch_path);
    CLEANUP_FREE char *inside = NULL;
    struct stat st;

    (void)state;
    assert_made(root, "a/b", "root/a/b");
    assert_int_equal(stat("root/a/b", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0711);
    assert_made(root, "/", "root");
    assert_made(root, "", "root");
    assert_made(root, "n/../m", "root/m");
    assert_int_equal(symlink("/run", "root/dangling"), 0);
    assert_made(root, "dangling/x", "root/run/x");
    assert_int_equal(symlink("../../../outside", "root/etc/up"), 0);
    assert_made(root, "etc/up/evil", "root/outside/evil");
    assert_int_equal(symlink(host, "root/host"), 0);
    inside = string_format("root%s", host);
    assert_made(root, "host", inside);
    assert_false(unit_exists("outside/evil"));
}

static void test_dirs_in_root_refuse(void **state)
{
    CLEANUP_CLOSE int root = make_root();
    char name[PATH_MAX + 1];

    (void)state;
    assert_int_equal(symlink("loop", "root/loop"), 0);
    assert_int_equal(path_make_dirs_in_root(root, "loop/x", 0755), -ELOOP);
    assert_int_equal(symlink("b/x", "root/a"), 0);
    assert_int_equal(symlink("a/x", "root/b"), 0);
    assert_int_equal(path_make_dirs_in_root(root, "a", 0755), -ELOOP);
    assert_int_equal(path_make_dirs_in_root(root, "etc/passwd", 0755), -ENOTDIR);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(path_make_dirs_in_root(root, name, 0755), -ENAMETOOLONG);
    name[NAME_MAX + 1] = '\0';
    assert_int_equal(path_make_dirs_in_root(root, name, 0755), -ENAMETOOLONG);
}

static void test_openat2_passes_flags(void **state)
{
    int fd;

    (void)state;
    assert_int_equal(symlink("x", "link"), 0);
    assert_int_equal(path_openat2(AT_FDCWD, "link", O_RDONLY, 0777, RESOLVE_NO_SYMLINKS), -ELOOP);
    fd = path_openat2(AT_FDCWD, "file", O_WRONLY | O_CREAT, 0640, RESOLVE_BENEATH);
    assert_true(fd >= 0);
    fd_close(fd);
    assert_int_equal(path_openat2(AT_FDCWD, "../x", O_RDONLY, 0, RESOLVE_BENEATH), -EXDEV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_normalize),
        scratch_test(test_make_dirs),
        scratch_test(test_hostile_links_stay_inside),
        scratch_test(test_creation_stays_inside),
        cmocka_unit_test(test_magic_links_are_refused),
        scratch_test(test_parent),
        scratch_test(test_dirs_in_root_follow_links_inside),
        scratch_test(test_dirs_in_root_refuse),
        scratch_test(test_openat2_passes_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
