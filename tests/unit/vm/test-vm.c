#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/strings.h"

static void test_ends_in_order(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_start(fixture, "exit 0\n");
    assert_true(vm_pid(fixture->vm) > 0);
    fixture_wait_end(fixture);
    assert_int_equal(fixture->ended, 1);
    assert_true(fixture->clean);
    assert_string_equal(fixture->reason, "powered off");
}

static void test_tells_the_exit_code_and_last_line(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_start(fixture, "print first\nprint cannot open the thing\nexit 3\n");
    fixture_wait_end(fixture);
    assert_false(fixture->clean);
    assert_string_equal(fixture->reason, "exit code 3: cannot open the thing");
}

static void test_tells_a_panic(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_start(fixture, "print [    1.234567] Kernel panic - not syncing: Attempted to kill "
                           "init! exitcode=0x00000100\nprint Call Trace:\nsignal 6\n");
    fixture_wait_end(fixture);
    assert_false(fixture->clean);
    assert_string_equal(fixture->reason,
                        "guest panic: Attempted to kill init! exitcode=0x00000100");
}

static void test_tells_a_signal(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_start(fixture, "children 3\nprint ready\nwait\n");
    free(fixture_wait_console(fixture, "ready"));
    assert_int_equal(fixture_count_processes(fixture->config.uid), 4);
    assert_int_equal(kill(vm_pid(fixture->vm), SIGKILL), 0);
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "killed by signal 9");
    assert_false(fixture->clean);
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
    /* Once, however long one goes on. */
    for (int i = 0; i < 5; i++)
        assert_int_equal(loop_run_once(fixture->loop, 0), 0);
    assert_int_equal(fixture->ended, 1);
}

static void test_kill_gives_its_reason(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_start(fixture, "print ready\nwait\n");
    free(fixture_wait_console(fixture, "ready"));
    vm_kill(fixture->vm, "the guest broke the protocol: bad frame");
    vm_kill(fixture->vm, "a later reason");
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "the guest broke the protocol: bad frame");
    assert_int_equal(fixture->ended, 1);
    vm_kill(fixture->vm, "too late");
}

static void test_background(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture->config.background = true;
    fixture_start(fixture, "print ready\nwait\n");
    free(fixture_wait_console(fixture, "ready"));
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)vm_pid(fixture->vm)), 10);
    vm_set_background(fixture->vm, false);
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)vm_pid(fixture->vm)), 0);
    vm_kill(fixture->vm, NULL);
    fixture_wait_end(fixture);
    vm_set_background(fixture->vm, true); /* there is nothing any more */
}

static void test_free_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_start(fixture, "children 5\nprint ready\nwait\n");
    free(fixture_wait_console(fixture, "ready"));
    fixture->vm = vm_free(fixture->vm);
    assert_null(fixture->vm);
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
    assert_int_equal(fixture->ended, 0);
}

static void free_in_ended(struct vm *vm, bool clean, const char *reason, void *data)
{
    struct fixture *fixture = data;

    (void)clean;
    (void)reason;
    fixture->ended++;
    fixture->vm = vm_free(vm);
}

static void test_may_be_freed_when_it_ends(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture->events.ended = free_in_ended;
    fixture_start(fixture, "exit 1\n");
    fixture_wait_end(fixture);
    assert_null(fixture->vm);
}

static void test_link_carries_bytes(void **state)
{
    struct fixture *fixture = *state;
    char answer[5];

    fixture_need_root();
    fixture_start(fixture, "bytes ready\necho\n");
    fixture_read_link(fixture, answer, 5);
    assert_memory_equal(answer, "ready", 5);
    assert_int_equal(write(vm_link(fixture->vm), "round", 5), 5);
    fixture_read_link(fixture, answer, 5);
    assert_memory_equal(answer, "round", 5);
}

static void test_console_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct stat st;

    fixture_need_root();
    fixture_start(fixture, "flood 40000\nprint the end\nexit 0\n");
    fixture_wait_end(fixture);
    assert_int_equal(stat(fixture->console, &st), 0);
    assert_in_range(st.st_size, VM_CONSOLE_MAX / 2 - 1024, VM_CONSOLE_MAX);
    assert_int_equal(st.st_mode & 07777, 0600);
    CLEANUP_FREE char *content = fixture_read(fixture->console);
    assert_true(string_starts_with(content, "line "));
    assert_true(string_ends_with(content, "line 39999 of a guest that talks a lot\nthe end\n"));
}

static void assert_status(pid_t pid, const char *name, const char *value)
{
    CLEANUP_FREE char *text = fixture_status(pid, name);

    assert_string_equal(text, value);
}

static void assert_limit(pid_t pid, const char *line)
{
    CLEANUP_FREE char *path = string_format("/proc/%d/limits", (int)pid);
    CLEANUP_FREE char *text = fixture_read(path);

    assert_non_null(strstr(text, line));
}

static void assert_own_namespace(pid_t pid, const char *name)
{
    char ours[64];
    char theirs[64];
    CLEANUP_FREE char *own = string_format("/proc/self/ns/%s", name);
    CLEANUP_FREE char *other = string_format("/proc/%d/ns/%s", (int)pid, name);
    ssize_t n = readlink(own, ours, sizeof(ours) - 1);
    ssize_t m = readlink(other, theirs, sizeof(theirs) - 1);

    assert_true(n > 0 && m > 0);
    ours[n] = theirs[m] = '\0';
    assert_string_not_equal(ours, theirs);
}

static int count_descriptors(pid_t pid)
{
    CLEANUP_FREE char *path = string_format("/proc/%d/fd", (int)pid);
    CLEANUP_DIR DIR *directory = opendir(path);
    struct dirent *entry;
    int n = 0;

    assert_non_null(directory);
    while ((entry = readdir(directory)))
        n += entry->d_name[0] != '.';
    return n;
}

static void test_jail_as_the_host_sees_it(void **state)
{
    static const char *const namespaces[] = {"mnt", "net", "ipc", "uts", "cgroup"};
    struct fixture *fixture = *state;
    CLEANUP_FREE char *ids =
        string_format("%u\t%u\t%u\t%u", fixture->config.uid, fixture->config.uid,
                      fixture->config.uid, fixture->config.uid);
    pid_t pid;

    fixture_need_root();
    /* A descriptor that is not CLOEXEC, which a careless caller might have. */
    int leak = dup(STDERR_FILENO);
    assert_true(leak >= 0);
    fixture_start(fixture, "print ready\nwait\n");
    close(leak);
    free(fixture_wait_console(fixture, "ready"));
    pid = vm_pid(fixture->vm);
    assert_status(pid, "Uid", ids);
    assert_status(pid, "Gid", ids);
    assert_status(pid, "Groups", " ");
    assert_status(pid, "CapInh", "0000000000000000");
    assert_status(pid, "CapPrm", "0000000000000000");
    assert_status(pid, "CapEff", "0000000000000000");
    assert_status(pid, "CapBnd", "0000000000000000");
    assert_status(pid, "CapAmb", "0000000000000000");
    assert_status(pid, "NoNewPrivs", "1");
    assert_status(pid, "Umask", "0077");
    assert_status(pid, "SigBlk", "0000000000000000");
    assert_limit(pid, "Max core file size        0                    0 ");
    assert_limit(pid, "Max open files            512                  512 ");
    for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++)
        assert_own_namespace(pid, namespaces[i]);
    assert_int_equal(getsid(pid), pid);
    /* stdio, link, initramfs */
    assert_int_equal(count_descriptors(pid), 5);
}

static void test_jail_as_the_vmm_sees_it(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_FREE char *script = string_format(
        "look\nopen /etc/passwd\nopen /proc/self/status\nopen %s\ncreate /x\ncreate /hull-vm\n"
        "create /run/x\ncreate /usr/x\nprint done\nwait\n",
        fixture->initramfs);
    CLEANUP_FREE char *hidden =
        string_format("open %s: No such file or directory\n", fixture->initramfs);

    fixture_need_root();
    fixture_start(fixture, script);
    CLEANUP_FREE char *console = fixture_wait_console(fixture, "done\n");
    /* The fake is dynamically linked, hence /usr and the links into it. */
    assert_non_null(strstr(console, "entry hull-vm\n"));
    assert_non_null(strstr(console, "entry run\n"));
    assert_null(strstr(console, "entry etc\n"));
    assert_null(strstr(console, "entry proc\n"));
    assert_null(strstr(console, "entry tmp\n"));
    assert_non_null(strstr(console, "open /etc/passwd: No such file or directory\n"));
    assert_non_null(strstr(console, "open /proc/self/status: No such file or directory\n"));
    assert_non_null(strstr(console, hidden));
    assert_non_null(strstr(console, "create /x: Read-only file system\n"));
    assert_null(strstr(console, "create /hull-vm: yes\n"));
    assert_non_null(strstr(console, "create /run/x: yes\n"));
    assert_non_null(strstr(console, "create /usr/x: Read-only file system\n"));
}

static void test_host_does_not_see_the_jail(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_start(fixture, "print ready\nwait\n");
    free(fixture_wait_console(fixture, "ready"));
    CLEANUP_FREE char *mounts = fixture_read("/proc/self/mountinfo");
    assert_null(strstr(mounts, fixture->root));
    assert_int_equal(rmdir(fixture->root), 0);
}

static void test_cgroup_holds_and_goes(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_FREE char *path = string_format("hull-test-%d/vm", (int)getpid());
    CLEANUP_FREE char *parent = string_format("/sys/fs/cgroup/pids/hull-test-%d", (int)getpid());
    CLEANUP_FREE char *memory = string_format("/sys/fs/cgroup/memory/hull-test-%d", (int)getpid());
    CLEANUP_FREE char *cpu = string_format("/sys/fs/cgroup/cpu/hull-test-%d", (int)getpid());
    CLEANUP_FREE char *v2 = string_format("/sys/fs/cgroup/hull-test-%d", (int)getpid());
    int r;

    fixture_need_root();
    fixture->config.cgroup = path;
    fixture->config.cpus = 1.5;
    fixture_write(fixture->initramfs, "children 4\nprint ready\nwait\n");
    r = vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm, &fixture->error);
    if (r == -ENOENT || r == -EROFS || r == -EACCES) {
        print_message("skipped: no writable cgroups: %s\n", fixture->error.message);
        skip();
    }
    assert_int_equal(r, 0);
    free(fixture_wait_console(fixture, "ready"));
    CLEANUP_FREE char *membership_path = string_format("/proc/%d/cgroup", (int)vm_pid(fixture->vm));
    CLEANUP_FREE char *membership = fixture_read(membership_path);
    assert_non_null(strstr(membership, path));
    assert_int_equal(kill(vm_pid(fixture->vm), SIGKILL), 0);
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "killed by signal 9");
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
    /* The VM's own directory has gone, so the parent's can. */
    rmdir(memory);
    rmdir(cpu);
    rmdir(parent);
    rmdir(v2);
    assert_int_not_equal(access(parent, F_OK), 0);
    assert_int_not_equal(access(memory, F_OK), 0);
    assert_int_not_equal(access(v2, F_OK), 0);
}

static void test_qmp_tells_how_qemu_ended(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture->config.engine = VM_ENGINE_TCG;
    fixture_start(fixture, "look\nqmp guest-shutdown\nexit 0\n");
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "powered off");
    assert_true(fixture->clean);
    CLEANUP_FREE char *console = fixture_read(fixture->console);
    assert_non_null(strstr(console, "entry proc\n"));
}

static void test_reset_is_an_end_in_order(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture->config.engine = VM_ENGINE_TCG;
    fixture_start(fixture, "qmp guest-reset\nexit 0\n");
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "powered off");
    assert_true(fixture->clean);
}

static void test_reset_after_a_panic_is_none(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture->config.engine = VM_ENGINE_TCG;
    fixture_start(fixture, "print Kernel panic - not syncing: no root\nqmp guest-reset\nexit 0\n");
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "guest panic: no root");
    assert_false(fixture->clean);
}

static void test_qemu_that_just_ends_is_not_in_order(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture->config.engine = VM_ENGINE_TCG;
    fixture_start(fixture, "exit 0\n");
    fixture_wait_end(fixture);
    assert_string_equal(fixture->reason, "exit code 0");
    assert_false(fixture->clean);
}

static void assert_refused(struct fixture *fixture, int code, const char *text)
{
    assert_int_equal(
        vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm, &fixture->error),
        code);
    assert_null(fixture->vm);
    assert_non_null(strstr(fixture->error.message, text));
}

static void test_refuses_root(void **state)
{
    struct fixture *fixture = *state;

    fixture_write(fixture->initramfs, "exit 0\n");
    fixture->config.uid = 0;
    assert_refused(fixture, -EINVAL, "never runs as root");
}

static void test_refuses_little_memory(void **state)
{
    struct fixture *fixture = *state;

    fixture_write(fixture->initramfs, "exit 0\n");
    fixture->config.memory = 4 * 1024 * 1024;
    assert_refused(fixture, -EINVAL, "at least 48 MiB of memory, not 4");
}

static void test_says_which_file_is_missing(void **state)
{
    struct fixture *fixture = *state;

    fixture->config.files.uml_kernel = "/nonexistent/linux";
    assert_true(vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm,
                         &fixture->error) < 0);
    assert_string_equal(fixture->error.message, "no User-Mode Linux kernel at /nonexistent/linux: "
                                                "build it with `make kernel`");
    assert_int_equal(fixture->error.class, ERROR_UNAVAILABLE);
}

static void test_says_which_disk_is_missing(void **state)
{
    struct fixture *fixture = *state;

    fixture_write(fixture->initramfs, "exit 0\n");
    fixture->config.disks[0].path = "/nonexistent/layer.erofs";
    fixture->config.n_disks = 1;
    assert_refused(fixture, -ENOENT, "cannot open /nonexistent/layer.erofs");
}

static void test_a_jail_that_fails_ends_the_start(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_write(fixture->initramfs, "exit 0\n");
    fixture->config.runtime_dir = "/nonexistent/root";
    assert_refused(fixture, -ENOENT, "the VMM's jail cannot make its root directory");
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_ends_in_order),
        ROW(test_tells_the_exit_code_and_last_line),
        ROW(test_tells_a_panic),
        ROW(test_tells_a_signal),
        ROW(test_kill_gives_its_reason),
        ROW(test_background),
        ROW(test_free_leaves_nothing),
        ROW(test_may_be_freed_when_it_ends),
        ROW(test_link_carries_bytes),
        ROW(test_console_is_bounded),
        ROW(test_jail_as_the_host_sees_it),
        ROW(test_jail_as_the_vmm_sees_it),
        ROW(test_host_does_not_see_the_jail),
        ROW(test_cgroup_holds_and_goes),
        ROW(test_qmp_tells_how_qemu_ended),
        ROW(test_reset_is_an_end_in_order),
        ROW(test_reset_after_a_panic_is_none),
        ROW(test_qemu_that_just_ends_is_not_in_order),
        ROW(test_refuses_root),
        ROW(test_refuses_little_memory),
        ROW(test_says_which_file_is_missing),
        ROW(test_says_which_disk_is_missing),
        ROW(test_a_jail_that_fails_ends_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
