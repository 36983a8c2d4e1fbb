/* The jail seen from the host, around a real User-Mode Linux guest (HULL_TEST_UML_KERNEL), and the
 * list of system calls. What a program can do in there: tests/jail. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "base/strings.h"
#include "vm/initramfs.h"
#include "vm/jail-filter.h"
#include "vm/jail.h"

static int set_up(void **state)
{
    struct fixture *fixture;
    const char *init = getenv("HULL_TEST_SHARE_INIT");

    fixture_set_up(state);
    fixture = *state;
    return init ? vm_initramfs_write(fixture->initramfs, init, NULL, &fixture->error) : -1;
}

/* First of all in a test: skip() does not come back to release what the test has. */
static void need_guest(void)
{
    const char *kernel = getenv("HULL_TEST_UML_KERNEL");

    fixture_need_root();
    if (!kernel || access(kernel, R_OK) < 0) {
        print_message("skipped: no file named by HULL_TEST_UML_KERNEL\n");
        skip();
    }
}

static void boot(struct fixture *fixture)
{
    const char *kernel = getenv("HULL_TEST_UML_KERNEL");
    char ready[6];

    fixture->config.files.uml_kernel = kernel;
    fixture_start(fixture, NULL);
    fixture_read_link(fixture, ready, sizeof(ready));
    assert_memory_equal(ready, "ready\n", sizeof(ready));
}

static void assert_status(pid_t pid, const char *name, const char *value)
{
    CLEANUP_FREE char *text = fixture_status(pid, name);

    assert_string_equal(text, value);
}

static char *proc_path(const struct fixture *fixture, const char *name)
{
    return string_format("/proc/%d/%s", (int)vm_pid(fixture->vm), name);
}

/* Names in a directory, sorted, separated by spaces; without . and .. */
static char *list(const char *path)
{
    struct dirent **entries;
    CLEANUP_STRV char **names = NULL;
    int n = scandir(path, &entries, NULL, alphasort);

    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.')
            assert_int_equal(strv_append(&names, entries[i]->d_name), 0);
        free(entries[i]);
    }
    free(entries);
    return names ? strv_join(names, " ") : strdup("");
}

static void assert_list(const struct fixture *fixture, const char *path, const char *names)
{
    CLEANUP_FREE char *name = string_format("root%s", path);
    CLEANUP_FREE char *whole = proc_path(fixture, name);
    CLEANUP_FREE char *found = list(whole);

    assert_string_equal(found, names);
}

static void test_identity(void **state)
{
    need_guest();
    static const char *const none[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    struct fixture *fixture = *state;
    CLEANUP_FREE char *ids =
        string_format("%u\t%u\t%u\t%u", fixture->config.uid, fixture->config.uid,
                      fixture->config.uid, fixture->config.uid);
    CLEANUP_FREE char *map = string_format("%10u %10u %10u\n", 0, fixture->config.uid, VM_JAIL_IDS);
    pid_t pid;

    boot(fixture);
    pid = vm_pid(fixture->vm);
    assert_status(pid, "Uid", ids);
    assert_status(pid, "Gid", ids);
    assert_status(pid, "Groups", " ");
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        assert_status(pid, none[i], "0000000000000000");
    assert_status(pid, "NoNewPrivs", "1");
    assert_status(pid, "Seccomp", "2");
    assert_status(pid, "Umask", "0077");
    CLEANUP_FREE char *map_path = proc_path(fixture, "uid_map");
    CLEANUP_FREE char *found = fixture_read(map_path);
    assert_string_equal(found, map);
    CLEANUP_FREE char *gid_path = proc_path(fixture, "gid_map");
    CLEANUP_FREE char *gids = fixture_read(gid_path);
    assert_string_equal(gids, map);
    CLEANUP_FREE char *environment_path = proc_path(fixture, "environ");
    CLEANUP_FREE char *environment = fixture_read(environment_path);
    assert_string_equal(environment, "HOME=/run"); /* and, after its NUL, PATH */
    assert_string_equal(environment + strlen(environment) + 1, "PATH=/usr/sbin:/usr/bin");
}

static void test_namespaces(void **state)
{
    need_guest();
    static const char *const namespaces[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
    struct fixture *fixture = *state;

    boot(fixture);
    for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++) {
        CLEANUP_FREE char *own = string_format("/proc/self/ns/%s", namespaces[i]);
        CLEANUP_FREE char *name = string_format("ns/%s", namespaces[i]);
        CLEANUP_FREE char *other = proc_path(fixture, name);
        struct stat ours;
        struct stat theirs;

        assert_int_equal(stat(own, &ours), 0);
        assert_int_equal(stat(other, &theirs), 0);
        assert_int_not_equal(ours.st_ino, theirs.st_ino);
    }
    CLEANUP_FREE char *pids = fixture_status(vm_pid(fixture->vm), "NSpid");
    CLEANUP_FREE char *expected = string_format("%d\t1", (int)vm_pid(fixture->vm));
    assert_string_equal(pids, expected);
    /* This thread's next child is where it always was. */
    struct stat now;
    struct stat children;
    assert_int_equal(stat("/proc/self/ns/pid", &now), 0);
    assert_int_equal(stat("/proc/self/ns/pid_for_children", &children), 0);
    assert_int_equal(now.st_ino, children.st_ino);
}

static void test_root_directory(void **state)
{
    need_guest();
    struct fixture *fixture = *state;

    boot(fixture);
    assert_list(fixture, "/", "dev hull-vm run");
    assert_list(fixture, "/dev", "null");
    assert_list(fixture, "/run", "vm");
    CLEANUP_FREE char *path = proc_path(fixture, "mountinfo");
    CLEANUP_FREE char *mounts = fixture_read(path);
    CLEANUP_STRV char **lines = NULL;
    assert_int_equal(strv_split(mounts, '\n', &lines), 0);
    assert_int_equal(strv_length(lines), 5); /* four, and what follows the last */
    assert_non_null(strstr(mounts, " / / ro,nosuid,nodev,"));
    assert_non_null(strstr(mounts, " /hull-vm ro,nosuid,nodev,"));
    assert_non_null(strstr(mounts, " / /run rw,nosuid,nodev,noexec,"));
    assert_non_null(strstr(mounts, "size=64k,nr_inodes=32,"));
    assert_non_null(strstr(mounts, " /null /dev/null "));
}

/* Of what was open when it started there is what was handed over; what it has opened since is its
 * own memory, events and sockets. */
static void test_descriptors(void **state)
{
    need_guest();
    static const char *const kinds[] = {"pipe:[", "socket:[", "anon_inode:[", "/memfd:uml-",
                                        "/dev/null"};
    struct fixture *fixture = *state;
    int leak = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    int leaked = dup(leak); /* not CLOEXEC */

    boot(fixture);
    close(leak);
    close(leaked);
    CLEANUP_FREE char *directory = proc_path(fixture, "fd");
    CLEANUP_FREE char *all = list(directory);
    CLEANUP_STRV char **numbers = NULL;
    assert_int_equal(strv_split(all, ' ', &numbers), 0);
    for (size_t i = 0; i < strv_length(numbers); i++) {
        CLEANUP_FREE char *name = string_format("%s/%s", directory, numbers[i]);
        char target[256] = "";
        bool known;

        assert_true(readlink(name, target, sizeof(target) - 1) > 0);
        known = string_equal(target, fixture->initramfs);
        for (size_t j = 0; j < sizeof(kinds) / sizeof(kinds[0]); j++)
            known = known || string_starts_with(target, kinds[j]);
        if (!known)
            print_error("%s is %s\n", numbers[i], target);
        assert_true(known);
    }
}

/* All of the guest's processes are in there with it and go with it, also without a cgroup. */
static void test_ends_whole(void **state)
{
    need_guest();
    struct fixture *fixture = *state;

    boot(fixture);
    assert_true(fixture_count_processes(fixture->config.uid) >= 2);
    vm_kill(fixture->vm, "test");
    fixture_wait_end(fixture);
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
}

/* The VMM dies with the process that made it, although it cannot see that as its parent. */
static void test_dies_with_its_parent(void **state)
{
    struct fixture *fixture = *state;
    int status;
    pid_t pid;

    fixture_need_root();
    fixture_write(fixture->initramfs, "wait\n");
    pid = fork();
    if (pid == 0) {
        if (vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm, NULL) < 0)
            _exit(1);
        _exit(fixture_count_processes(fixture->config.uid) == 1 ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 1000 && fixture_count_processes(fixture->config.uid) > 0; i++)
        assert_int_equal(loop_run_once(fixture->loop, 5), 0);
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
}

/* --- where the host says no --- */

static struct vm_jail_spec spec_of(const struct fixture *fixture)
{
    return (struct vm_jail_spec){
        .uid = fixture->config.uid,
        .gid = fixture->config.gid,
        .program = fixture->program,
        .root = fixture->root,
    };
}

/* In a user namespace of its own, which has a limit of its own, so that nobody else notices. */
static void test_says_that_user_namespaces_are_off(void **state)
{
    struct fixture *fixture = *state;
    struct vm_jail_spec spec = spec_of(fixture);
    int status;
    pid_t pid;

    fixture_need_root();
    pid = fork();
    if (pid == 0) {
        struct error error = ERROR_INIT;
        struct vm_jail *jail;
        int fd;

        if (unshare(CLONE_NEWUSER) < 0)
            _exit(1);
        fd = open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0\n", 2) != 2)
            _exit(2);
        if (vm_jail_new(&spec, &jail, &error) == 0)
            _exit(3);
        if (error.class != ERROR_UNAVAILABLE ||
            !strstr(error.message, "sysctl -w user.max_user_namespaces=")) {
            print_error("%s\n", error.message);
            _exit(4);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_refuses_ids(void **state)
{
    struct fixture *fixture = *state;
    const uid_t wrong[] = {0, UINT32_MAX, UINT32_MAX - VM_JAIL_IDS + 1};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct vm_jail_spec spec = spec_of(fixture);
        struct vm_jail *jail = NULL;

        spec.uid = wrong[i];
        assert_int_equal(vm_jail_new(&spec, &jail, NULL), -EINVAL);
        assert_null(jail);
    }
}

/* --- the list of system calls --- */

/* Runs one call behind the filter in a child; its errno value, 0, or 1000 + a signal. */
static int call_behind(enum vm_jail_filter kind, bool files, long number, long first, long second)
{
    static struct sock_filter filter[VM_JAIL_FILTER_SIZE];
    struct sock_fprog program = {.filter = filter};
    int status;
    pid_t pid;

    program.len = (unsigned short)vm_jail_filter_build(kind, files, filter);
    pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
            _exit(255);
        if (number < 0)
            __asm__ volatile("int $0x80" : : "a"(20) : "memory"); /* i386: getpid */
        _exit(syscall(number, first, second, 0, 0, 0, 0) < 0 ? errno : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_filter(void **state)
{
    static const struct {
        enum vm_jail_filter kind;
        bool files;
        long number;
        long first;
        long second;
        int result;
    } rows[] = {
        {VM_JAIL_FILTER_UML, false, SYS_getpid, 0, 0, 0},
        {VM_JAIL_FILTER_UML, false, SYS_read, -1, 0, EBADF}, /* the lowest number */
        {VM_JAIL_FILTER_UML, false, SYS_mount, 0, 0, ENOSYS},
        {VM_JAIL_FILTER_UML, false, SYS_clone3, 0, 0, ENOSYS},
        {VM_JAIL_FILTER_UML, false, 100000, 0, 0, ENOSYS},
        {VM_JAIL_FILTER_UML, false, 0x40000000 | SYS_getpid, 0, 0, ENOSYS}, /* x32 */
        {VM_JAIL_FILTER_UML, false, SYS_symlinkat, 0, 0, ENOSYS},
        {VM_JAIL_FILTER_UML, true, SYS_symlinkat, 0, 0, EFAULT},
        {VM_JAIL_FILTER_UML, false, SYS_socket, 1 /* AF_UNIX */, 1, 0},
        {VM_JAIL_FILTER_UML, false, SYS_socket, 2 /* AF_INET */, 1, EPERM},
        {VM_JAIL_FILTER_UML, false, SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, EPERM},
        {VM_JAIL_FILTER_UML, false, SYS_clone, CLONE_NEWNET | SIGCHLD, 0, EPERM},
        {VM_JAIL_FILTER_UML, false, SYS_ptrace, 0x4206 /* PTRACE_SEIZE */, 1, EPERM},
        {VM_JAIL_FILTER_UML, false, SYS_ptrace, 24 /* PTRACE_SYSCALL */, 1, ESRCH},
        {VM_JAIL_FILTER_UML, false, SYS_ioctl, 0, 0x5412 /* TIOCSTI */, EPERM},
        {VM_JAIL_FILTER_UML, false, SYS_ioctl, -1, 0x5401 /* TCGETS */, EBADF},
        {VM_JAIL_FILTER_UML, false, SYS_personality, 0x0008 /* another */, 0, EPERM},
        {VM_JAIL_FILTER_QEMU, false, SYS_clone, SIGCHLD, 0, EPERM},
        {VM_JAIL_FILTER_QEMU, false, SYS_ptrace, 0, 0, ENOSYS},
        {VM_JAIL_FILTER_QEMU, false, SYS_kill, 1, 0, ENOSYS},
        {VM_JAIL_FILTER_QEMU, false, SYS_io_uring_setup, 1, 0, ENOSYS},
        {VM_JAIL_FILTER_QEMU, false, SYS_ioctl, -1, 0xae80 /* KVM_RUN */, EBADF},
        {VM_JAIL_FILTER_QEMU, false, SYS_ioctl, -1, 0x400454ca /* TUNSETIFF */, EPERM},
        {VM_JAIL_FILTER_QEMU, false, SYS_ioctl, 0, 0x5412 /* TIOCSTI */, EPERM},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_symlinkat, 0, 0, EFAULT},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_unshare, CLONE_FS, 0, 0},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_unshare, CLONE_NEWUSER, 0, EPERM},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_unshare, CLONE_FS | CLONE_NEWNS, 0, EPERM},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_clone, SIGCHLD, 0, EPERM},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_socket, 2 /* AF_INET */, 1, EPERM},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_ioctl, 0, 0x5412 /* TIOCSTI */, EPERM},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_prctl, 15 /* PR_SET_NAME */, 0, EFAULT},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_prctl, 28 /* PR_SET_SECUREBITS */, 0, EPERM},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_mount, 0, 0, ENOSYS},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_ptrace, 0, 0, ENOSYS},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_kill, 1, 0, ENOSYS},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_open_by_handle_at, 0, 0, ENOSYS},
        {VM_JAIL_FILTER_FILE_SERVER, true, SYS_io_uring_setup, 1, 0, ENOSYS},
#if defined(__x86_64__)
        {VM_JAIL_FILTER_UML, false, -1, 0, 0, 1000 + SIGSYS}, /* int $0x80 */
        {VM_JAIL_FILTER_FILE_SERVER, true, -1, 0, 0, 1000 + SIGSYS},
        {VM_JAIL_FILTER_QEMU, false, -1, 0, 0, 1000 + SIGSYS},
#endif
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int found =
            call_behind(rows[i].kind, rows[i].files, rows[i].number, rows[i].first, rows[i].second);

        if (found != rows[i].result)
            print_error("row %zu, call %ld\n", i, rows[i].number);
        assert_int_equal(found, rows[i].result);
    }
}

static void test_filter_fits(void **state)
{
    static struct sock_filter filter[VM_JAIL_FILTER_SIZE];

    (void)state;
    for (int kind = 0; kind < VM_JAIL_FILTER_MAX; kind++)
        for (int files = 0; files < 2; files++)
            assert_in_range(vm_jail_filter_build((enum vm_jail_filter)kind, files, filter), 100,
                            VM_JAIL_FILTER_SIZE * 3 / 4);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_identity),
        ROW(test_namespaces),
        ROW(test_root_directory),
        ROW(test_descriptors),
        ROW(test_ends_whole),
        ROW(test_dies_with_its_parent),
        ROW(test_says_that_user_namespaces_are_off),
        ROW(test_refuses_ids),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_filter_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
