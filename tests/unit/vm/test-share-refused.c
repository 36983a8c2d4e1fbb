/* What cannot be shared, and is refused before there is a guest. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "base/strings.h"

/* Starts a VM with the one share, which is closed. */
static int start_with(struct fixture *fixture, const char *path)
{
    CLEANUP_CLOSE int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    const struct vm_share share = {.fd = fd, .name = path};

    assert_true(fd >= 0);
    fixture->config.shares = &share;
    fixture->config.n_shares = 1;
    fixture_write(fixture->initramfs, "wait\n");
    return vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm,
                    &fixture->error);
}

static char *make_directory(const struct fixture *fixture, const char *name)
{
    char *path = path_join(fixture->directory, name);

    assert_non_null(path);
    assert_int_equal(mkdir(path, 0755), 0);
    return path;
}

/* overlayfs has no id-mapped mounts. */
static void test_a_file_system_that_cannot(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    CLEANUP_FREE char *merged = make_directory(fixture, "merged");
    CLEANUP_FREE char *lower = make_directory(fixture, "lower");
    CLEANUP_FREE char *upper = make_directory(fixture, "upper");
    CLEANUP_FREE char *work = make_directory(fixture, "work");
    CLEANUP_FREE char *options =
        string_format("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
    CLEANUP_FREE char *expected =
        string_format("cannot start the utility VM: cannot share %s with a utility VM: its file "
                      "system, overlay, has no id-mapped mounts on this kernel",
                      merged);
    int r;

    assert_int_equal(mount("overlay", merged, "overlay", 0, options), 0);
    r = start_with(fixture, merged);
    assert_int_equal(umount2(merged, MNT_DETACH), 0);
    assert_int_equal(r, -EOPNOTSUPP);
    assert_string_equal(fixture->error.message, expected);
}

static void test_a_symbolic_link(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    CLEANUP_FREE char *link = path_join(fixture->directory, "link");
    assert_int_equal(symlink("/", link), 0);
    assert_int_equal(start_with(fixture, link), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_system_that_cannot, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_a_symbolic_link, fixture_set_up, fixture_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
