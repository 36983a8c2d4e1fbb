/* Which mounts are below a directory: in a mount namespace of the test's own. */
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
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "vm/share-below.h"

static char top[64];

static void at(const char *name, char ret[256])
{
    (void)snprintf(ret, 256, "%s/%s", top, name);
}

static void mount_on(const char *name, const char *type)
{
    char path[256];

    at(name, path);
    (void)mkdir(path, 0755);
    if (mount(type, path, type, 0, NULL) < 0)
        fail_msg("%s on %s: %s", type, path, strerror(errno));
}

static int set_up(void **state)
{
    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
        return 0;
    (void)snprintf(top, sizeof(top), "/tmp/hull-test-below-XXXXXX");
    return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
    char path[256];

    (void)state;
    at("share", path);
    while (umount2(path, MNT_DETACH) == 0)
        ;
    at("share2", path);
    while (umount2(path, MNT_DETACH) == 0)
        ;
    return *top ? path_remove_tree(AT_FDCWD, top, NULL) : 0;
}

static void need_root(void)
{
    if (!*top) {
        print_message("needs root\n");
        skip();
    }
}

static struct vm_below_list find(const char *name, int expected, struct error *err)
{
    struct vm_below_list list = {.n = 0};
    char path[256];

    at(name, path);
    CLEANUP_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(vm_share_find_below(fd, name, &list, err), expected);
    return list;
}

static void test_what_is_found(void **state)
{
    (void)state;
    need_root();
    mount_on("share", "tmpfs");
    mount_on("share2", "tmpfs"); /* begins with the same letters */
    mount_on("share2/other", "tmpfs");
    mount_on("share/a b\tc", "tmpfs");
    mount_on("share/a b\tc/deep", "tmpfs");
    mount_on("share/kernel", "proc");
    mount_on("share/kernel/driver", "tmpfs");
    mount_on("share/devices", "devpts");
    mount_on("share/x", "tmpfs");
    mount_on("share/x/hidden", "tmpfs");
    mount_on("share/x", "tmpfs"); /* over it */
    struct vm_below_list list = find("share", 0, NULL);

    assert_int_equal(list.n, 3);
    assert_string_equal(list.items[0].path, "x");
    assert_string_equal(list.items[1].path, "a b\tc");
    assert_string_equal(list.items[2].path, "a b\tc/deep");
    vm_below_release(&list);
    assert_int_equal(list.n, 0);
}

static void test_nothing_below(void **state)
{
    (void)state;
    need_root();
    mount_on("share", "tmpfs");
    struct vm_below_list list = find("share", 0, NULL);
    assert_int_equal(list.n, 0);
    list = find("share2", 0, NULL);
    assert_int_equal(list.n, 1);
    vm_below_release(&list);
}

static void test_too_many(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    need_root();
    mount_on("share", "tmpfs");
    for (int i = 0; i <= VM_BELOW_MAX; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "share/%d", i);
        mount_on(name, "tmpfs");
    }
    struct vm_below_list list = find("share", -EINVAL, &err);
    assert_int_equal(list.n, 0);
    assert_non_null(strstr(err.message, "more than 256 mounts"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_found),
        cmocka_unit_test(test_nothing_below),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
