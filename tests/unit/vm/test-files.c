/* Files that the vm library makes: initramfs, user names, the writable layer, the console's file.
 */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "vm/console.h"
#include "vm/initramfs.h"
#include "vm/scratch.h"
#include "vm/user.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NAME "0123456789abcdef0123456789abcdef"

/* --- initramfs, read back by a parser of our own --- */

static unsigned long field(const char *header, int index)
{
    char text[9] = "";

    memcpy(text, header + 6 + 8 * index, 8);
    return strtoul(text, NULL, 16);
}

/* Lists an archive as "mode name length\n" lines, with the content of small files. */
static char *list_archive(const char *path)
{
    struct buffer bytes = BUFFER_INIT(16 * 1024 * 1024);
    struct buffer list = BUFFER_INIT(64 * 1024);
    size_t at = 0;

    assert_int_equal(file_read(AT_FDCWD, path, &bytes, NULL), 0);
    assert_int_equal(bytes.length % 512, 0);
    for (;;) {
        const char *header = bytes.data + at;
        size_t name_at = at + 110;
        size_t data_at;
        size_t length;

        assert_true(name_at < bytes.length);
        assert_memory_equal(header, "070701", 6);
        length = field(header, 6);
        data_at = (name_at + field(header, 11) + 3) / 4 * 4;
        assert_true(data_at + length <= bytes.length);
        if (strcmp(bytes.data + name_at, "TRAILER!!!") == 0)
            break;
        buffer_printf(&list, "%lo %s %lu:%lu %.*s\n", field(header, 1), bytes.data + name_at,
                      field(header, 9), field(header, 10), length < 64 ? (int)length : 0,
                      bytes.data + data_at);
        assert_int_equal(field(header, 2), 0); /* root's */
        assert_int_equal(field(header, 5), 0); /* no time */
        at = (data_at + length + 3) / 4 * 4;
    }
    buffer_release(&bytes);
    return buffer_take(&list);
}

#define SKELETON                                                                        \
    "40755 dev 0:0 \n40755 proc 0:0 \n40755 sys 0:0 \n40755 run 0:0 \n40755 tmp 0:0 \n" \
    "40755 etc 0:0 \n20600 dev/console 5:1 \n20666 dev/null 1:3 \n"

static void test_initramfs(void **state)
{
    struct fixture *fixture = *state;
    struct stat first;
    struct stat second;

    fixture_write(fixture->kernel, "init!");
    assert_int_equal(vm_initramfs_write(fixture->initramfs, fixture->kernel, NULL, NULL), 0);
    CLEANUP_FREE char *list = list_archive(fixture->initramfs);
    assert_string_equal(list, SKELETON "100755 init 0:0 init!\n");
    assert_int_equal(stat(fixture->initramfs, &first), 0);
    assert_int_equal(first.st_mode & 0777, 0644);
    /* The same again is not written again, so that the probe's verdict stays good. */
    assert_int_equal(vm_initramfs_write(fixture->initramfs, fixture->kernel, NULL, NULL), 0);
    assert_int_equal(stat(fixture->initramfs, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    fixture_write(fixture->kernel, "other");
    assert_int_equal(vm_initramfs_write(fixture->initramfs, fixture->kernel, NULL, NULL), 0);
    CLEANUP_FREE char *other = list_archive(fixture->initramfs);
    assert_string_equal(other, SKELETON "100755 init 0:0 other\n");
}

static void write_in(struct fixture *fixture, const char *name, const char *text)
{
    CLEANUP_FREE char *path = path_join(fixture->root, name);

    fixture_write(path, text);
}

static void test_initramfs_with_modules(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_FREE char *folder = path_join(fixture->root, "modules");

    fixture_write(fixture->kernel, "init!");
    assert_int_equal(mkdir(folder, 0755), 0);
    write_in(fixture, "modules.list", "b.ko\n# why\na.ko\n");
    write_in(fixture, "a.ko", "AAA");
    write_in(fixture, "modules/b.ko", "BB");
    assert_int_equal(vm_initramfs_write(fixture->initramfs, fixture->kernel, fixture->root, NULL),
                     0);
    CLEANUP_FREE char *list = list_archive(fixture->initramfs);
    assert_string_equal(list, SKELETON "100755 init 0:0 init!\n40755 modules 0:0 \n"
                                       "100644 modules/modules.list 0:0 b.ko\n# why\na.ko\n\n"
                                       "100644 modules/b.ko 0:0 BB\n"
                                       "100644 modules/a.ko 0:0 AAA\n");
}

static void test_initramfs_refuses(void **state)
{
    struct fixture *fixture = *state;

    fixture_write(fixture->kernel, "init!");
    write_in(fixture, "modules.list", "../passwd\n");
    assert_int_equal(vm_initramfs_write(fixture->initramfs, fixture->kernel, fixture->root, NULL),
                     -EINVAL);
    write_in(fixture, "modules.list", "missing.ko\n");
    assert_int_equal(vm_initramfs_write(fixture->initramfs, fixture->kernel, fixture->root, NULL),
                     -ENOENT);
    assert_int_equal(vm_initramfs_write(fixture->initramfs, "/nonexistent/init", NULL, NULL),
                     -ENOENT);
    fixture_write(fixture->kernel, "");
    assert_int_equal(vm_initramfs_write(fixture->initramfs, fixture->kernel, NULL, NULL), -EINVAL);
    assert_int_equal(access(fixture->initramfs, F_OK), -1);
}

/* --- user names --- */

static void assert_link(struct fixture *fixture, const char *name, const char *expected)
{
    CLEANUP_FREE char *path = path_join(fixture->directory, name);
    char target[128] = "";
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (!expected) {
        assert_int_equal(n, -1);
        return;
    }
    assert_true(n > 0);
    assert_string_equal(target, expected);
}

static void test_user(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(vm_user_publish(fixture->directory, 4711, ID, NULL), 0);
    assert_link(fixture, "by-uid/4711", NAME);
    assert_link(fixture, "by-name/" NAME, "4711");
    assert_int_equal(vm_user_publish(fixture->directory, 4711, ID, NULL), 0);
    assert_int_equal(vm_user_withdraw(fixture->directory, 4711, ID, NULL), 0);
    assert_link(fixture, "by-uid/4711", NULL);
    assert_link(fixture, "by-name/" NAME, NULL);
    assert_int_equal(vm_user_withdraw(fixture->directory, 4711, ID, NULL), 0);
}

static void test_user_given_away(void **state)
{
    struct fixture *fixture = *state;
    const char *other = "ffffffffffffffffffffffffffffffff";

    assert_int_equal(vm_user_publish(fixture->directory, 4711, ID, NULL), 0);
    assert_int_equal(vm_user_publish(fixture->directory, 4711, other, NULL), 0);
    assert_int_equal(vm_user_withdraw(fixture->directory, 4711, ID, NULL), 0);
    assert_link(fixture, "by-uid/4711", other);
    assert_link(fixture, "by-name/" NAME, NULL);
}

static void test_user_refuses(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(vm_user_publish(fixture->directory, 4711, "short", NULL), -EINVAL);
    assert_int_equal(vm_user_publish(fixture->directory, 4711,
                                     "../../../../../../../../etc/passwd.......", NULL),
                     -EINVAL);
}

/* --- writable layer --- */

static void need_mkfs(void)
{
    if (access("/usr/sbin/mkfs.ext4", X_OK) < 0 && access("/sbin/mkfs.ext4", X_OK) < 0) {
        print_message("skipped: mkfs.ext4 is not installed\n");
        skip();
    }
}

static void test_scratch(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_FREE char *path = path_join(fixture->directory, "scratch.ext4");
    CLEANUP_FREE char *second = path_join(fixture->directory, "second.ext4");
    char *check[] = {strdup("e2fsck"), strdup("-fn"), strdup(path), NULL};
    uid_t uid = geteuid() == 0 ? 4711 : geteuid();
    gid_t gid = geteuid() == 0 ? 4712 : getegid();
    struct buffer output = BUFFER_INIT(4096);
    struct stat st;
    int64_t before;
    int r;

    need_mkfs();
    assert_int_equal(
        vm_scratch_create(fixture->root, path, VM_SCRATCH_DEFAULT, uid, gid, &fixture->error), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, VM_SCRATCH_DEFAULT);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_gid, gid);
    print_message("%ld KiB allocated\n", (long)st.st_blocks / 2);
    assert_in_range(st.st_blocks * 512, 1, 32 * 1024 * 1024);
    before = timestamp_monotonic();
    assert_int_equal(
        vm_scratch_create(fixture->root, second, VM_SCRATCH_DEFAULT, uid, gid, &fixture->error), 0);
    print_message("copied in %.1f ms\n", (double)(timestamp_monotonic() - before) / 1e6);
    r = process_run(check, NULL, &output, 60000, &fixture->error);
    for (size_t i = 0; check[i]; i++)
        free(check[i]);
    buffer_release(&output);
    assert_int_equal(r, 0);
    /* Never over an existing one. */
    assert_int_equal(
        vm_scratch_create(fixture->root, path, VM_SCRATCH_DEFAULT, uid, gid, &fixture->error),
        -EEXIST);
}

static void test_scratch_refuses(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_FREE char *path = path_join(fixture->directory, "scratch.ext4");

    assert_int_equal(vm_scratch_create(fixture->root, path, 1, 1, 1, &fixture->error), -EINVAL);
    assert_int_equal(fixture->error.class, ERROR_INVALID);
    assert_int_equal(vm_scratch_create(fixture->root, path, UINT64_MAX, 1, 1, &fixture->error),
                     -EINVAL);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_scratch_without_room_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_FREE char *path = path_join(fixture->directory, "scratch.ext4");
    struct rlimit before;
    struct rlimit small;
    int r;

    need_mkfs();
    /* The template first; then files may not grow, which is the error of a full disk but for its
     * number. */
    assert_int_equal(
        vm_scratch_create(fixture->root, path, VM_SCRATCH_MIN, geteuid(), getegid(), NULL), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    r = vm_scratch_create(fixture->root, path, VM_SCRATCH_MIN, geteuid(), getegid(), NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(r, -EFBIG);
    assert_int_equal(access(path, F_OK), -1);
}

/* The engine's threads start several VMs of a new size at once. */
static void *create_one(void *data)
{
    return (void *)(intptr_t)vm_scratch_create(((char **)data)[0], ((char **)data)[1],
                                               VM_SCRATCH_MIN, geteuid(), getegid(), NULL);
}

static void test_scratch_of_several_threads(void **state)
{
    enum { THREADS = 6 };
    struct fixture *fixture = *state;
    char *arguments[THREADS][2];
    pthread_t threads[THREADS];
    void *result;

    need_mkfs();
    for (int i = 0; i < THREADS; i++) {
        arguments[i][0] = fixture->root;
        arguments[i][1] = string_format("%s/scratch-%d", fixture->directory, i);
        assert_int_equal(pthread_create(&threads[i], NULL, create_one, arguments[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_int_equal((intptr_t)result, 0);
        free(arguments[i][1]);
    }
}

/* --- console --- */

static void test_console_lines(void **state)
{
    struct fixture *fixture = *state;
    struct vm_console *console = NULL;

    assert_int_equal(vm_console_new(fixture->console, 4096, &console, NULL), 0);
    assert_null(vm_console_panic(console));
    assert_string_equal(vm_console_last_line(console), "");
    vm_console_feed(console, "a\x1b[31m b\n  \n", 12);
    assert_string_equal(vm_console_last_line(console), "a [31m b");
    vm_console_feed(console, "[ 1.0] Kernel panic - not", 25);
    assert_null(vm_console_panic(console));
    vm_console_feed(console, " syncing: one\r\nKernel panic - not syncing: two\nend", 50);
    assert_string_equal(vm_console_panic(console), "one");
    assert_string_equal(vm_console_last_line(console), "end");
    vm_console_free(console);
}

static void test_console_moves(void **state)
{
    struct fixture *fixture = *state;
    struct vm_console *console = NULL;
    CLEANUP_FREE char *other = path_join(fixture->directory, "other.log");

    assert_int_equal(vm_console_new(fixture->console, 4096, &console, NULL), 0);
    vm_console_feed(console, "before\nhalf", 11);
    assert_true(vm_console_move(console, "/nowhere/at/all", NULL) < 0);
    assert_int_equal(vm_console_move(console, other, NULL), 0);
    vm_console_feed(console, " a line\n", 8);
    CLEANUP_FREE char *content = fixture_read(other);
    CLEANUP_FREE char *old = fixture_read(fixture->console);
    assert_string_equal(content, "before\nhalf a line\n");
    assert_string_equal(old, "before\nhalf");
    assert_string_equal(vm_console_last_line(console), "half a line");
    vm_console_free(console);
}

static void test_console_bound(void **state)
{
    enum { MAX = 8192 };
    struct fixture *fixture = *state;
    struct vm_console *console = NULL;
    char flood[3 * MAX];
    struct stat st;

    memset(flood, 'x', sizeof(flood));
    assert_int_equal(vm_console_new(fixture->console, MAX, &console, NULL), 0);
    vm_console_feed(console, flood, sizeof(flood));
    assert_int_equal(stat(fixture->console, &st), 0);
    assert_in_range(st.st_size, MAX / 2, MAX);
    assert_int_equal(strlen(vm_console_last_line(console)), VM_CONSOLE_LINE_MAX - 1);
    for (int i = 0; i < 3000; i++) {
        char line[32];

        vm_console_feed(console, line, (size_t)snprintf(line, sizeof(line), "line %d\n", i));
        assert_int_equal(stat(fixture->console, &st), 0);
        assert_in_range(st.st_size, MAX / 2 - 64, MAX);
    }
    vm_console_free(console);
    CLEANUP_FREE char *content = fixture_read(fixture->console);
    assert_true(string_starts_with(content, "line "));
    assert_true(string_ends_with(content, "\nline 2998\nline 2999\n"));
}

static void test_console_follows_no_link(void **state)
{
    struct fixture *fixture = *state;
    struct vm_console *console = NULL;

    assert_int_equal(symlink(fixture->kernel, fixture->console), 0);
    assert_int_equal(vm_console_new(fixture->console, 4096, &console, NULL), -ELOOP);
    CLEANUP_FREE char *content = fixture_read(fixture->kernel);
    assert_string_equal(content, "kernel");
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_initramfs),
        ROW(test_initramfs_with_modules),
        ROW(test_initramfs_refuses),
        ROW(test_user),
        ROW(test_user_given_away),
        ROW(test_user_refuses),
        ROW(test_scratch),
        ROW(test_scratch_refuses),
        ROW(test_scratch_without_room_leaves_nothing),
        ROW(test_scratch_of_several_threads),
        ROW(test_console_lines),
        ROW(test_console_moves),
        ROW(test_console_bound),
        ROW(test_console_follows_no_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
