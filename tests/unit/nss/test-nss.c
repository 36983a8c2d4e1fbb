/* Direct calls of libnss_hull's functions, and one real `ps` with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "base/process.h"
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <nss.h>
#include <pwd.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NAME "0123456789abcdef0123456789abcdef"
#define OTHER "ffffffffffffffffffffffffffffffff"

enum { UID = 2000000123, PS_OUTPUT_MAX = 4096, CHILD_SKIPS = 77 };

enum nss_status _nss_hull_getpwuid_r(uid_t uid, struct passwd *result, char *buffer, size_t length,
                                     int *errnop);
enum nss_status _nss_hull_getpwnam_r(const char *name, struct passwd *result, char *buffer,
                                     size_t length, int *errnop);
enum nss_status _nss_hull_getgrgid_r(gid_t gid, struct group *result, char *buffer, size_t length,
                                     int *errnop);
enum nss_status _nss_hull_getgrnam_r(const char *name, struct group *result, char *buffer,
                                     size_t length, int *errnop);

static char users_dir[PATH_MAX];

static void add_link(const char *kind, const char *key, const char *value)
{
    char path[PATH_MAX + 64];

    snprintf(path, sizeof(path), "%s/%s/%s", users_dir, kind, key);
    assert_int_equal(symlink(value, path), 0);
}

static int setup(void **state)
{
    char path[PATH_MAX + 64];

    (void)state;
    snprintf(users_dir, sizeof(users_dir), "%s/hull-nss-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(users_dir) || chmod(users_dir, 0755) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/by-uid", users_dir);
    if (mkdir(path, 0755) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/by-name", users_dir);
    if (mkdir(path, 0755) < 0)
        return -1;
    return setenv("HULL_USERS_DIR", users_dir, 1);
}

static int teardown(void **state)
{
    (void)state;
    return path_remove_tree(AT_FDCWD, users_dir, NULL);
}

static enum nss_status by_uid(uid_t uid)
{
    struct passwd entry;
    char buffer[256];
    int code = 0;

    return _nss_hull_getpwuid_r(uid, &entry, buffer, sizeof(buffer), &code);
}

static enum nss_status by_name(const char *name)
{
    struct passwd entry;
    char buffer[256];
    int code = 0;

    return _nss_hull_getpwnam_r(name, &entry, buffer, sizeof(buffer), &code);
}

static void test_user(void **state)
{
    struct passwd entry = {0};
    char buffer[256];
    int code = 0;

    (void)state;
    add_link("by-uid", "2000000123", NAME);
    add_link("by-name", NAME, "2000000123");
    assert_int_equal(_nss_hull_getpwuid_r(UID, &entry, buffer, sizeof(buffer), &code),
                     NSS_STATUS_SUCCESS);
    assert_string_equal(entry.pw_name, NAME);
    assert_int_equal(entry.pw_uid, UID);
    assert_int_equal(entry.pw_gid, UID);
    assert_string_equal(entry.pw_dir, "/");
    assert_string_equal(entry.pw_shell, "/usr/sbin/nologin");
    assert_string_equal(entry.pw_gecos, "hull utility VM of " NAME);
    assert_string_equal(entry.pw_passwd, "*");
    memset(&entry, 0, sizeof(entry));
    assert_int_equal(_nss_hull_getpwnam_r(NAME, &entry, buffer, sizeof(buffer), &code),
                     NSS_STATUS_SUCCESS);
    assert_int_equal(entry.pw_uid, UID);
    assert_string_equal(entry.pw_name, NAME);
}

static void test_group(void **state)
{
    struct group entry = {0};
    char buffer[256];
    int code = 0;

    (void)state;
    add_link("by-uid", "2000000123", NAME);
    add_link("by-name", NAME, "2000000123");
    /* At an odd address: the array of members wants alignment. */
    assert_int_equal(_nss_hull_getgrgid_r(UID, &entry, buffer + 1, sizeof(buffer) - 1, &code),
                     NSS_STATUS_SUCCESS);
    assert_string_equal(entry.gr_name, NAME);
    assert_int_equal(entry.gr_gid, UID);
    assert_int_equal((uintptr_t)entry.gr_mem % sizeof(char *), 0);
    assert_null(entry.gr_mem[0]);
    assert_int_equal(_nss_hull_getgrnam_r(NAME, &entry, buffer, sizeof(buffer), &code),
                     NSS_STATUS_SUCCESS);
    assert_int_equal(entry.gr_gid, UID);
}

/* Each size below the one that is needed gives ERANGE and touches nothing past the end. */
static void test_small_buffers(void **state)
{
    const size_t needed = sizeof(NAME) + sizeof("*") + sizeof("hull utility VM of " NAME) +
                          sizeof("/") + sizeof("/usr/sbin/nologin");
    struct passwd user;
    struct group group;
    int code;

    (void)state;
    add_link("by-uid", "2000000123", NAME);
    add_link("by-name", NAME, "2000000123");
    for (size_t size = 0; size < needed; size++) {
        CLEANUP_FREE char *buffer = malloc(size ? size : 1);

        code = 0;
        errno = 0;
        assert_int_equal(_nss_hull_getpwuid_r(UID, &user, buffer, size, &code),
                         NSS_STATUS_TRYAGAIN);
        assert_int_equal(code, ERANGE);
        assert_int_equal(errno, 0);
    }
    for (size_t size = 0; size < sizeof(char *) + sizeof(NAME) + sizeof("*"); size++) {
        CLEANUP_FREE char *buffer = malloc(size ? size : 1);

        code = 0;
        assert_int_equal(_nss_hull_getgrnam_r(NAME, &group, buffer, size, &code),
                         NSS_STATUS_TRYAGAIN);
        assert_int_equal(code, ERANGE);
    }
    {
        CLEANUP_FREE char *buffer = malloc(needed);

        assert_int_equal(_nss_hull_getpwuid_r(UID, &user, buffer, needed, &code),
                         NSS_STATUS_SUCCESS);
    }
}

static void test_unknown_and_disagreeing(void **state)
{
    (void)state;
    assert_int_equal(by_uid(UID), NSS_STATUS_NOTFOUND);
    assert_int_equal(by_name(NAME), NSS_STATUS_NOTFOUND);
    add_link("by-uid", "2000000123", NAME);
    assert_int_equal(by_uid(UID), NSS_STATUS_NOTFOUND); /* half made */
    add_link("by-name", NAME, "2000000124");
    assert_int_equal(by_uid(UID), NSS_STATUS_NOTFOUND);
    assert_int_equal(by_name(NAME), NSS_STATUS_NOTFOUND);
}

static void test_hostile_entries(void **state)
{
    static const char *const names[] = {"root",
                                        "",
                                        "../by-uid/1",
                                        "0123456789ABCDEF0123456789abcdef",
                                        "0123456789abcdef0123456789abcde",
                                        "0123456789abcdef0123456789abcdef0",
                                        "0123456789abcdef/123456789abcdef"};
    static const char *const numbers[] = {"0", "-1", "4294967295", "4294967296", "1x", "01", " 1"};
    char long_target[512];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_int_equal(by_name(names[i]), NSS_STATUS_NOTFOUND);
    memset(long_target, 'a', sizeof(long_target));
    long_target[sizeof(long_target) - 1] = '\0';
    add_link("by-uid", "5", long_target);
    assert_int_equal(by_uid(5), NSS_STATUS_NOTFOUND);
    add_link("by-uid", "0", NAME);
    add_link("by-name", NAME, "0");
    assert_int_equal(by_uid(0), NSS_STATUS_NOTFOUND);
    assert_int_equal(by_uid((uid_t)-1), NSS_STATUS_NOTFOUND);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        char name[sizeof(OTHER)] = OTHER;

        name[0] = (char)('0' + i);
        add_link("by-name", name, numbers[i]);
        if (strcmp(numbers[i], "0") != 0 && numbers[i][0] != ' ')
            add_link("by-uid", numbers[i], name);
        assert_int_equal(by_name(name), NSS_STATUS_NOTFOUND);
    }
}

/* --- the real ps --- */

static int write_text(const char *path, const char *text)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

/* A process of the user, in whose place ps looks; ends when its stdin does. */
static pid_t start_user(int keep[2])
{
    pid_t pid;

    if (pipe2(keep, O_CLOEXEC) < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        char byte;

        close(keep[1]);
        if (setgid(UID) < 0 || setuid(UID) < 0)
            _exit(1);
        /* An own exec makes /proc/PID belong to the user for certain; reading does as well. */
        _exit(read(keep[0], &byte, 1) == 0 ? 0 : 1);
    }
    return pid;
}

/* In a child with a mount namespace of its own, so that the host's nsswitch.conf stays as it is. */
static int run_ps(const char *library)
{
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(PS_OUTPUT_MAX);
    struct error err = ERROR_INIT;
    char conf[PATH_MAX + 64];
    char pid_text[16];
    char *const argv[] = {(char[]){"ps"}, (char[]){"-o"}, (char[]){"user:36="},
                          (char[]){"-p"}, pid_text,       NULL};
    char directory[PATH_MAX];
    int keep[2];
    pid_t pid;
    int r;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return CHILD_SKIPS;
    snprintf(conf, sizeof(conf), "%s/nsswitch.conf", users_dir);
    if (write_text(conf, "passwd: files hull\ngroup: files hull\n") < 0 ||
        mount(conf, "/etc/nsswitch.conf", NULL, MS_BIND, NULL) < 0)
        return CHILD_SKIPS;
    snprintf(directory, sizeof(directory), "%s", library);
    *strrchr(directory, '/') = '\0';
    setenv("LD_LIBRARY_PATH", directory, 1);
    pid = start_user(keep);
    snprintf(pid_text, sizeof(pid_text), "%d", pid);
    do { /* until the child has changed its ids */
        struct stat status;
        char path[64];

        snprintf(path, sizeof(path), "/proc/%d", pid);
        if (stat(path, &status) < 0)
            return 1;
        if (status.st_uid == UID)
            break;
        sched_yield();
    } while (true);
    r = process_run(argv, NULL, &output, 10000, &err);
    close(keep[1]);
    waitpid(pid, NULL, 0);
    if (r < 0 || strncmp(buffer_string(&output), NAME, strlen(NAME)) != 0) {
        print_error("ps said '%s' %s\n", buffer_string(&output), err.message);
        return 1;
    }
    return 0;
}

static void test_ps_shows_the_name(void **state)
{
    const char *library = getenv("HULL_NSS_LIBRARY");
    int status = 0;
    pid_t pid;

    (void)state;
    if (geteuid() != 0 || !library || access("/bin/ps", X_OK) < 0) {
        print_message("needs root, ps, and HULL_NSS_LIBRARY\n");
        skip();
    }
    add_link("by-uid", "2000000123", NAME);
    add_link("by-name", NAME, "2000000123");
    pid = fork();
    if (pid == 0)
        _exit(run_ps(library));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHILD_SKIPS) {
        print_message("no mount namespace of our own is permitted\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_user, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_and_disagreeing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ps_shows_the_name, setup, teardown),
    };

    return cmocka_run_group_tests_name("nss", tests, NULL, NULL);
}
