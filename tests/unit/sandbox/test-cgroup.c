/* Control groups: paths, and the v2 backend on whatever v2 hierarchy this host has (on a hybrid one
 * it is without controllers, but killing, freezing, entering and devices work). */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/strings.h"
#include "sandbox/cgroup.h"
#include "sandbox/device-filter.h"
#include "sandbox/stage.h"
#include "spec/defaults.h"
#include "spec/resources.h"

static struct cgroup *cgroup;
static char path[64];

static const char *v2_root(void)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

    for (size_t i = 0; i < 2; i++) {
        struct statfs fs;

        if (statfs(roots[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
            return roots[i];
    }
    return NULL;
}

static int make(void **state)
{
    struct error error = ERROR_INIT;

    (void)state;
    cgroup = NULL;
    if (geteuid() != 0 || !v2_root()) {
        print_message("this test needs root and cgroup v2\n");
        return 0;
    }
    snprintf(path, sizeof(path), "/hull-test-v2/%d", (int)getpid());
    assert_int_equal(cgroup_open(path, v2_root(), false, &cgroup, &error), 0);
    if (cgroup_create(cgroup, &error) < 0)
        fail_msg("%s", error.message);
    if (cgroup_directory_fd(cgroup) < 0) {
        print_message("no cgroup can be made here\n");
        cgroup = cgroup_free(cgroup);
    }
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    if (cgroup) {
        assert_int_equal(cgroup_kill(cgroup, NULL), 0);
        assert_int_equal(cgroup_remove(cgroup, NULL), 0);
        assert_int_not_equal(access(cgroup->hierarchies[0].directory, F_OK), 0);
    }
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    cgroup = cgroup_free(cgroup);
    return 0;
}

static pid_t spawn_inside(void)
{
    pid_t pid = stage_clone(0, cgroup_directory_fd(cgroup), NULL);

    if (pid == 0)
        for (;;)
            pause();
    assert_true(pid > 0);
    return pid;
}

static void test_paths(void **state)
{
    static const char *const bad[] = {"", "relative", "/", "/a/../b", "/a//b", "/a/", "/a/."};
    struct error error = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cgroup *none = NULL;

        assert_int_equal(cgroup_open(bad[i], NULL, false, &none, &error), -EINVAL);
        assert_null(none);
    }
}

static void test_kill(void **state)
{
    pid_t *pids = NULL;
    size_t n = 0;
    pid_t pid;

    (void)state;
    if (!cgroup)
        skip();
    pid = spawn_inside();
    assert_int_equal(cgroup_pids(cgroup, &pids, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(pids[0], pid);
    free(pids);
    assert_int_equal(cgroup_kill(cgroup, NULL), 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void test_in_use(void **state)
{
    struct cgroup *other = NULL;
    struct error error = ERROR_INIT;

    (void)state;
    if (!cgroup)
        skip();
    spawn_inside();
    assert_int_equal(cgroup_open(path, v2_root(), false, &other, &error), 0);
    assert_int_equal(cgroup_create(other, &error), -EBUSY);
    assert_int_equal(error.class, ERROR_CONFLICT);
    cgroup_free(other);
}

static void test_freeze(void **state)
{
    (void)state;
    if (!cgroup)
        skip();
    spawn_inside();
    assert_int_equal(cgroup_freeze(cgroup, true, NULL), 0);
    assert_int_equal(cgroup_freeze(cgroup, false, NULL), 0);
    assert_int_equal(cgroup_freeze(cgroup, true, NULL), 0);
}

/* docker's list: null may be opened, kmsg (1:11) may not. An update replaces the program. */
static void test_devices(void **state)
{
    struct spec_resources resources = {0};
    struct error error = ERROR_INIT;
    int status = 0;
    pid_t pid;

    (void)state;
    if (!cgroup)
        skip();
    assert_int_equal(spec_default_device_rules(&resources), 0);
    int r = device_filter_attach(cgroup_directory_fd(cgroup), resources.devices,
                                 resources.n_devices, &error);
    if (r == -EOPNOTSUPP || r == -EPERM) {
        spec_resources_release(&resources);
        print_message("%s\n", error.message);
        skip();
    }
    if (r < 0)
        fail_msg("%s", error.message);
    assert_int_equal(device_filter_attach(cgroup_directory_fd(cgroup), resources.devices,
                                          resources.n_devices, &error),
                     0);
    spec_resources_release(&resources);
    pid = stage_clone(0, cgroup_directory_fd(cgroup), NULL);
    if (pid == 0) {
        if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0)
            _exit(1);
        if (open("/dev/kmsg", O_WRONLY | O_CLOEXEC) >= 0 || errno != EPERM)
            _exit(2);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test_setup_teardown(test_kill, make, unmake),
        cmocka_unit_test_setup_teardown(test_in_use, make, unmake),
        cmocka_unit_test_setup_teardown(test_freeze, make, unmake),
        cmocka_unit_test_setup_teardown(test_devices, make, unmake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
