/* The overlay on the host: odd names, many layers, names inside a root. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "sandbox/root.h"
#include "sandbox/sandbox.h"

static char directory[] = "/tmp/hull-test-root-XXXXXX";

static int setup(void **state)
{
    *state = NULL;
    if (geteuid() != 0 || !mkdtemp(directory))
        return 0;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0 ||
        mount("tmpfs", directory, "tmpfs", 0, NULL) < 0) {
        rmdir(directory);
        return 0;
    }
    *state = directory;
    return chdir(directory);
}

static int teardown(void **state)
{
    if (!*state)
        return 0;
    return chdir("/") < 0 || umount2(directory, MNT_DETACH) < 0 ? -1 : rmdir(directory);
}

static char *make(const char *name)
{
    char *path = string_format("%s/%s", directory, name);

    assert_non_null(path);
    assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
    return path;
}

static void touch(const char *directory_path, const char *name)
{
    CLEANUP_FREE char *path = string_format("%s/%s", directory_path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    close(fd);
}

static bool exists(const char *directory_path, const char *name)
{
    CLEANUP_FREE char *path = string_format("%s/%s", directory_path, name);

    return access(path, F_OK) == 0;
}

#define FEATURES ",redirect_dir=nofollow,metacopy=off,index=off"

static void test_options(void **state)
{
    char a[] = "a:b", b[] = "c,d\\e";
    char *lower[] = {a, b, NULL};
    CLEANUP_FREE char *text = root_overlay_options(lower, "/u,p", "/w");
    CLEANUP_FREE char *readonly = root_overlay_options(lower, NULL, NULL);

    (void)state;
    assert_string_equal(text, "lowerdir=a\\:b:c\\,d\\\\e,upperdir=/u\\,p,workdir=/w" FEATURES);
    assert_string_equal(readonly, "lowerdir=a\\:b:c\\,d\\\\e" FEATURES);
}

static void mount_and_check(char **lower, char *upper, char *work, char *target)
{
    struct sandbox_root root = {.lower = lower, .upper = upper, .work = work, .target = target};
    struct error error = ERROR_INIT;
    char before[4096];
    char after[4096];

    assert_non_null(getcwd(before, sizeof(before)));
    if (root_mount(&root, &error) < 0)
        fail_msg("%s", error.message);
    assert_non_null(getcwd(after, sizeof(after)));
    assert_string_equal(before, after);
    assert_true(exists(target, "first"));
    assert_true(exists(target, "last"));
    if (upper) {
        touch(target, "written");
        assert_true(exists(upper, "written"));
    } else {
        assert_int_equal(open(target, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), -1);
        assert_int_equal(errno, EROFS);
    }
    assert_int_equal(root_unmount(&root, false, &error), 0);
    assert_false(exists(target, "first"));
    assert_int_equal(root_unmount(&root, true, &error), 0);
}

static void test_odd_names(void **state)
{
    CLEANUP_STRV char **lower = NULL;
    CLEANUP_FREE char *upper = NULL;
    CLEANUP_FREE char *work = NULL;
    CLEANUP_FREE char *target = NULL;

    if (!*state)
        skip();
    strv_append_take(&lower, make("a:b"));
    strv_append_take(&lower, make("c,d\\e"));
    upper = make("up:p,e\\r");
    work = make("wo,rk");
    target = make("tar,get");
    touch(lower[0], "first");
    touch(lower[1], "last");
    mount_and_check(lower, upper, work, target);
    mount_and_check(lower, NULL, NULL, target);
}

/* 127 short names fit into a page; 300 of 30 characters go layer by layer (Linux 6.8). */
static void test_many_layers(void **state)
{
    static const size_t counts[] = {127, 300};

    if (!*state)
        skip();
    for (size_t k = 0; k < 2; k++) {
        CLEANUP_STRV char **lower = NULL;
        CLEANUP_FREE char *upper = make("upper");
        CLEANUP_FREE char *work = make("work");
        CLEANUP_FREE char *target = make("target");

        for (size_t i = 0; i < counts[k]; i++) {
            char name[64];

            snprintf(name, sizeof(name), k ? "%s%024zx" : "%s%016zx", k ? "deep-" : "", i);
            strv_append_take(&lower, make(name));
        }
        touch(lower[0], "first");
        touch(lower[counts[k] - 1], "last");
        mount_and_check(lower, upper, work, target);
    }
}

static void test_names_in_root(void **state)
{
    CLEANUP_FREE char *root = NULL;
    CLEANUP_CLOSE int root_fd = -EBADF;
    int fd;

    if (!*state)
        skip();
    root = make("root");
    root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(root_fd >= 0);
    assert_int_equal(symlinkat("../../../../outside", root_fd, "up"), 0);
    assert_int_equal(symlinkat("/absolute/there", root_fd, "absolute-link"), 0);
    assert_int_equal(symlinkat("loop", root_fd, "loop"), 0);
    fd = root_make_file(root_fd, "/up/file");
    assert_true(fd >= 0);
    close(fd);
    assert_true(exists(root, "outside/file"));
    assert_false(exists(directory, "outside"));
    fd = root_make_file(root_fd, "/absolute-link");
    assert_true(fd >= 0);
    close(fd);
    assert_true(exists(root, "absolute/there"));
    fd = root_make_directory(root_fd, "/a/../../../b/c");
    assert_true(fd >= 0);
    close(fd);
    assert_true(exists(root, "b/c"));
    assert_int_equal(root_make_file(root_fd, "/loop"), -ELOOP);
    assert_int_equal(root_make_directory(root_fd, "/loop"), -ELOOP);
}

/* Mount points below and behind links to nothing: made where the link leads, inside the root. */
static void test_dangling_links(void **state)
{
    static const struct {
        const char *link;
        const char *target;
        const char *path; /* asked for */
        const char *made; /* in the root; NULL: refused with -ELOOP */
        bool file;
    } rows[] = {
        {"run", "var/run", "/run/lock/x", "var/run/lock/x", false},
        {"d1", "/../../escape", "/d1", "escape", false},
        {"d2", "/../../escape2", "/d2/sub", "escape2/sub", false},
        {"d3", "../../../../tmp/up", "/d3/file", "tmp/up/file", true},
        {"d4", "/missing/dir/file", "/d4", "missing/dir/file", true},
        {"d5", "d6", "/d5/a", "end/a", false},
        {"d6", "d7", "/d6/b", "end/b", true},
        {"d7", "../end", "/d7", "end", false},
        {"d8", "new/../other", "/d8/c", "other/c", false},
        {"l1", "l2", "/l1/a", NULL, false},
        {"l2", "l1", "/l2", NULL, true},
        {"l3", "l3/x", "/l3/y", NULL, true},
    };
    CLEANUP_FREE char *root = NULL;
    CLEANUP_CLOSE int root_fd = -EBADF;

    if (!*state)
        skip();
    root = make("dangling");
    root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(root_fd >= 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(symlinkat(rows[i].target, root_fd, rows[i].link), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CLEANUP_CLOSE int fd = rows[i].file ? root_make_file(root_fd, rows[i].path)
                                            : root_make_directory(root_fd, rows[i].path);
        struct stat st;
        struct stat made;

        if (!rows[i].made) {
            assert_int_equal(fd, -ELOOP);
            continue;
        }
        if (fd < 0)
            fail_msg("%s: %s", rows[i].path, strerror(-fd));
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(fstatat(root_fd, rows[i].made, &made, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_ino, made.st_ino);
        assert_int_equal(S_ISDIR(st.st_mode), !rows[i].file);
    }
    assert_false(exists(directory, "escape"));
    assert_false(exists("/", "escape2"));
    assert_false(exists("/tmp", "up"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),        cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_many_layers),    cmocka_unit_test(test_names_in_root),
        cmocka_unit_test(test_dangling_links),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
