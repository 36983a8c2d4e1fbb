/* /etc/passwd and /etc/group of an image that means no good. */
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

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/user.h"
#include "spec/runtime.h"

static char directory[] = "/tmp/hull-test-user-XXXXXX";
static int root_fd = -EBADF;

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    root_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root_fd < 0 ? -1 : mkdirat(root_fd, "etc", 0755);
}

static int teardown(void **state)
{
    (void)state;
    root_fd = fd_close(root_fd);
    return path_remove_tree(AT_FDCWD, directory, NULL);
}

static void write_file(const char *name, const char *text)
{
    int fd;

    (void)unlinkat(root_fd, name, 0);
    fd = openat(root_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
    close(fd);
}

static int resolve(const char *username, struct user *user, struct error *err)
{
    struct spec_user spec = {.username = strdup(username)};
    int r = user_resolve(root_fd, &spec, user, err);

    free(spec.username);
    return r;
}

static void test_broken_lines(void **state)
{
    struct user user;

    (void)state;
    write_file("etc/passwd", ":::::\n\n::\nx\nbig:x:4294967296:0::/:/\nneg:x:-1:0::/:/\n"
                             "last:x:5:6::relative:/bin/sh"); /* no newline */
    write_file("etc/group", "\n:\ng:x:abc:last\nok:x:7:,,last,\n");
    assert_int_equal(resolve("last", &user, NULL), 0);
    assert_int_equal(user.uid, 5);
    assert_int_equal(user.gid, 6);
    assert_string_equal(user.home, "/"); /* a relative home is none */
    assert_int_equal(user.n_groups, 2);
    assert_int_equal(user.groups[1], 7);
    user_release(&user);
    assert_int_equal(resolve("big", &user, NULL), -EINVAL);
    assert_int_equal(resolve("neg", &user, NULL), -EINVAL);
    assert_int_equal(resolve("-1", &user, NULL), -EINVAL);
    assert_int_equal(resolve("4294967296", &user, NULL), -EINVAL);
}

static void test_odd_files(void **state)
{
    struct user user;
    struct error error = ERROR_INIT;

    (void)state;
    (void)unlinkat(root_fd, "etc/passwd", 0);
    (void)unlinkat(root_fd, "etc/group", 0);
    assert_int_equal(resolve("12:13", &user, NULL), 0);
    assert_int_equal(user.uid, 12);
    assert_int_equal(user.gid, 13);
    user_release(&user);
    assert_int_equal(resolve("x", &user, NULL), -EINVAL);
    /* A fifo must not block, a link out of the root finds nothing of the host's. */
    assert_int_equal(mkfifoat(root_fd, "etc/passwd", 0644), 0);
    assert_int_equal(resolve("root", &user, NULL), -EINVAL);
    assert_int_equal(unlinkat(root_fd, "etc/passwd", 0), 0);
    assert_int_equal(symlinkat("/../../../../../etc/passwd", root_fd, "etc/passwd"), 0);
    assert_int_equal(resolve("root", &user, NULL), -EINVAL);
    assert_int_equal(unlinkat(root_fd, "etc/passwd", 0), 0);
    assert_int_equal(symlinkat("/proc/self/fd/0", root_fd, "etc/passwd"), 0);
    assert_int_equal(resolve("root", &user, NULL), -EINVAL);
    write_file("etc/passwd", "");
    CLEANUP_FREE char *path = string_format("%s/etc/passwd", directory);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    assert_int_equal(resolve("root", &user, &error), -EINVAL);
    assert_non_null(strstr(error.message, "is larger than"));
    write_file("etc/passwd", "");
}

static void test_additional(void **state)
{
    struct user user;
    uint32_t gids[] = {50, 60};
    char named[] = "video", number[] = "99", unknown[] = "none";
    char *groups[] = {named, number, NULL};
    char *bad[] = {unknown, NULL};
    struct spec_user spec = {.uid = 3,
                             .gid = 4,
                             .additional_gids = gids,
                             .n_additional_gids = 2,
                             .additional_groups = groups};
    static const uint32_t wanted[] = {4, 50, 60, 44, 99};

    (void)state;
    write_file("etc/passwd", "three:x:3:9::/home/three:/bin/sh\n");
    write_file("etc/group", "video:x:44:\nother:x:45:three\n");
    assert_int_equal(user_resolve(root_fd, &spec, &user, NULL), 0);
    assert_int_equal(user.gid, 4); /* numbers of the configuration stay */
    assert_string_equal(user.home, "/home/three");
    assert_int_equal(user.n_groups, 5);
    assert_memory_equal(user.groups, wanted, sizeof(wanted));
    user_release(&user);
    spec.additional_groups = bad;
    assert_int_equal(user_resolve(root_fd, &spec, &user, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_lines),
        cmocka_unit_test(test_odd_files),
        cmocka_unit_test(test_additional),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
