/* Shares, seen from both sides: a real guest whose pid 1 is share-init, and the host's directory.
 * The guest is one of User-Mode Linux (HULL_TEST_UML_KERNEL) or, with HULL_TEST_SHARE_ENGINE=tcg,
 * of QEMU with its file server (HULL_TEST_X86_KERNEL, HULL_TEST_X86_MODULES, HULL_TEST_VIRTIOFSD).
 */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "vm/file-server.h"
#include "vm/initramfs.h"
#include "vm/vm-internal.h"

enum { ANSWER_MAX = 2048, SHARES = 3 };

struct host {
    struct fixture *fixture;
    char *directory; /* share 0, and what is in it */
    char *read_only; /* share 1 */
    char *file;      /* share 2: the file only */
    struct vm_share shares[SHARES];
};

static char *in(const struct host *host, const char *name)
{
    char *path = path_join(host->directory, name);

    assert_non_null(path);
    return path;
}

static int set_up(void **state)
{
    struct host *host = calloc(1, sizeof(*host));
    struct fixture *fixture;

    assert_non_null(host);
    *state = host;
    fixture_set_up((void **)&host->fixture);
    fixture = host->fixture;
    assert_int_equal(vm_initramfs_write(fixture->initramfs, getenv("HULL_TEST_SHARE_INIT"), NULL,
                                        &fixture->error),
                     0);
    host->directory = path_join(fixture->directory, "shared");
    host->read_only = path_join(fixture->directory, "fixed");
    host->file = path_join(fixture->directory, "single");
    assert_int_equal(mkdir(host->directory, 0755), 0);
    assert_int_equal(mkdir(host->read_only, 0755), 0);
    fixture_write(host->file, "one file\n");
    return 0;
}

static int tear_down(void **state)
{
    struct host *host = *state;

    for (size_t i = 0; i < SHARES; i++)
        if (host->shares[i].name)
            close(host->shares[i].fd);
    fixture_tear_down((void **)&host->fixture);
    free(host->directory);
    free(host->read_only);
    free(host->file);
    free(host);
    return 0;
}

static struct vm_share share_of(const char *path, bool read_only)
{
    struct vm_share share = {
        .fd = open(path, O_PATH | O_CLOEXEC), .name = path, .read_only = read_only};

    assert_true(share.fd >= 0);
    return share;
}

static bool in_qemu(void)
{
    return string_equal(getenv("HULL_TEST_SHARE_ENGINE"), "tcg");
}

static const char *virtiofsd(void)
{
    static const char *const programs[] = {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"};
    const char *named = getenv("HULL_TEST_VIRTIOFSD");

    return named ? named : programs[access(programs[0], X_OK) < 0];
}

/* First of all in a test: skip() does not come back to release what the test has. */
static void need_guest(void)
{
    fixture_need_root();
    if (in_qemu()) {
        fixture_need_file(getenv("HULL_TEST_X86_KERNEL"), "HULL_TEST_X86_KERNEL");
        fixture_need_file(getenv("HULL_TEST_X86_MODULES"), "HULL_TEST_X86_MODULES");
        fixture_need_file(virtiofsd(), "HULL_TEST_VIRTIOFSD");
    } else {
        fixture_need_file(getenv("HULL_TEST_UML_KERNEL"), "HULL_TEST_UML_KERNEL");
    }
}

static void boot(struct host *host, bool shares)
{
    struct fixture *fixture = host->fixture;
    char ready[6];

    if (fixture->vm)
        return;
    if (in_qemu()) {
        fixture_use_qemu(fixture, VM_ENGINE_TCG, getenv("HULL_TEST_SHARE_INIT"));
        fixture->config.files.virtiofsd = virtiofsd();
    } else {
        fixture->config.files.uml_kernel = getenv("HULL_TEST_UML_KERNEL");
    }
    if (shares) {
        host->shares[0] = share_of(host->directory, false);
        host->shares[1] = share_of(host->read_only, true);
        host->shares[2] = share_of(host->file, false);
        fixture->config.shares = host->shares;
        fixture->config.n_shares = SHARES;
    }
    fixture->config.shares_later = true;
    fixture_start(fixture, NULL);
    fixture_read_link(fixture, ready, sizeof(ready));
    assert_memory_equal(ready, "ready\n", sizeof(ready));
}

/* The guest's answer to one command. */
static void ask(struct host *host, const char *command, char answer[ANSWER_MAX])
{
    fixture_ask(host->fixture, command, answer, ANSWER_MAX);
}

static void expect(struct host *host, const char *command, const char *expected)
{
    char answer[ANSWER_MAX];

    ask(host, command, answer);
    if (!string_equal(answer, expected))
        print_error("%s: %s\n", command, answer);
    assert_string_equal(answer, expected);
}

static void expect_refused(struct host *host, const char *command)
{
    char answer[ANSWER_MAX];

    ask(host, command, answer);
    if (answer[0] != 'E')
        print_error("%s: %s\n", command, answer);
    assert_int_equal(answer[0], 'E'); /* the name of an error */
}

static void assert_file(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    if (st.st_mode != mode || st.st_uid != uid || st.st_gid != gid)
        print_error("%s: %o %u %u\n", path, st.st_mode, st.st_uid, st.st_gid);
    assert_int_equal(st.st_mode, mode);
    assert_int_equal(st.st_uid, uid);
    assert_int_equal(st.st_gid, gid);
}

static void test_guest_sees_the_host_s_files(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");
    CLEANUP_FREE char *link = in(host, "link");

    fixture_write(file, "from the host\n");
    assert_int_equal(chmod(file, 0640), 0);
    assert_int_equal(chown(file, 1000, 2000), 0);
    assert_int_equal(symlink("file", link), 0);
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "list /mnt", "file link");
    expect(host, "stat /mnt/file", "10 640 1000 2000 14");
    expect(host, "readlink /mnt/link", "file");
    expect(host, "read /mnt/link", "from the host");
    fixture_write(file, "later\n");
    expect(host, "read /mnt/file", "later");
}

static void test_host_sees_the_guest_s_files(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");
    CLEANUP_FREE char *directory = in(host, "directory");
    CLEANUP_FREE char *fifo = in(host, "fifo");
    CLEANUP_FREE char *link = in(host, "link");
    CLEANUP_FREE char *hard = in(host, "hard");
    CLEANUP_FREE char *device = in(host, "device");
    struct stat st;

    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "write /mnt/file written inside", "ok");
    CLEANUP_FREE char *content = fixture_read(file);
    assert_string_equal(content, "written inside");
    assert_file(file, S_IFREG | 0644, 0, 0);
    expect(host, "chown 1234 /mnt/file", "ok");
    expect(host, "chmod 4755 /mnt/file", "ok");
    assert_file(file, S_IFREG | 04755, 1234, 1234);
    expect(host, "stat /mnt/file", "10 4755 1234 1234 14");
    /* Of another user, and not for anybody else: root of the guest is root of it. */
    expect(host, "chmod 0600 /mnt/file", "ok");
    expect(host, "write /mnt/file again", "ok");
    assert_file(file, S_IFREG | 0600, 1234, 1234);
    expect(host, "mkdir /mnt/directory", "ok");
    assert_file(directory, S_IFDIR | 0755, 0, 0);
    expect(host, "mkfifo /mnt/fifo", "ok");
    assert_file(fifo, S_IFIFO | 0600, 0, 0);
    expect(host, "symlink /nowhere /mnt/link", "ok");
    assert_file(link, S_IFLNK | 0777, 0, 0);
    expect(host, "link /mnt/file /mnt/hard", "ok");
    assert_int_equal(stat(hard, &st), 0);
    assert_int_equal(st.st_nlink, 2);
    expect(host, "rename /mnt/hard /mnt/directory/moved", "ok");
    expect(host, "unlink /mnt/directory/moved", "ok");
    expect(host, "rmdir /mnt/directory", "ok");
    expect_refused(host, "mknod /mnt/device");
    assert_int_not_equal(lstat(device, &st), 0);
    /* An id that the VM has not. */
    expect_refused(host, "chown 70000 /mnt/file");
    assert_file(file, S_IFREG | 0600, 1234, 1234);
}

static void test_read_only_is_enforced_outside(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = path_join(host->read_only, "file");

    fixture_write(file, "fixed\n");
    boot(host, true);
    expect(host, "mount /shares/1 /mnt", "ok"); /* for writing, as far as the guest knows */
    expect(host, "read /mnt/file", "fixed");
    expect(host, "write /mnt/file changed", "EROFS");
    expect(host, "write /mnt/new text", "EROFS");
    expect(host, "unlink /mnt/file", "EROFS");
    expect(host, "chmod 0777 /mnt/file", "EROFS");
    expect(host, "chown 5 /mnt/file", "EROFS");
    expect(host, "mkdir /mnt/new", "EROFS");
    CLEANUP_FREE char *content = fixture_read(file);
    assert_string_equal(content, "fixed\n");
    assert_file(file, S_IFREG | 0644, 0, 0);
}

static void test_a_single_file(void **state)
{
    need_guest();
    struct host *host = *state;

    boot(host, true);
    expect(host, "mount /shares/2 /mnt", "ok");
    expect(host, "list /mnt", "file");
    expect(host, "bind /mnt/file /there", "ok");
    expect(host, "read /there", "one file");
    expect(host, "write /there changed", "ok");
    CLEANUP_FREE char *content = fixture_read(host->file);
    assert_string_equal(content, "changed");
    /* Beside it there is room for nothing. */
    expect_refused(host, "write /mnt/other text");
    expect_refused(host, "unlink /mnt/file");
}

/* A program's user is its files' owner, as on any file system; set-gid directories hand down their
 * group; modes come out whole. */
static void test_owner_of_what_is_made(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *open_to_all = in(host, "open");
    CLEANUP_FREE char *file = in(host, "open/file");
    CLEANUP_FREE char *directory = in(host, "open/directory");
    CLEANUP_FREE char *fifo = in(host, "open/fifo");
    CLEANUP_FREE char *link = in(host, "open/link");
    CLEANUP_FREE char *of_group = in(host, "group");
    CLEANUP_FREE char *inherited = in(host, "group/file");
    CLEANUP_FREE char *below = in(host, "group/below");
    CLEANUP_FREE char *program = in(host, "open/program");
    CLEANUP_FREE char *target = in(host, "target");

    assert_int_equal(mkdir(open_to_all, 0777), 0);
    assert_int_equal(chmod(open_to_all, 0777), 0);
    assert_int_equal(mkdir(of_group, 0777), 0);
    assert_int_equal(chown(of_group, 0, 55), 0);
    assert_int_equal(chmod(of_group, 02777), 0);
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "create 4755 /mnt/open/program", "ok");
    assert_file(program, S_IFREG | 04755, 0, 0);
    expect(host, "as 1234", "ok");
    expect(host, "create 640 /mnt/open/file", "ok");
    expect(host, "create 41750 /mnt/open/directory", "ok");
    expect(host, "mkfifo /mnt/open/fifo", "ok");
    expect(host, "symlink file /mnt/open/link", "ok");
    expect(host, "create 644 /mnt/group/file", "ok");
    expect(host, "create 40755 /mnt/group/below", "ok");
    expect(host, "stat /mnt/open/file", "10 640 1234 1234 0");
    expect(host, "stat /mnt/open/link", "12 777 1234 1234 4");
    expect(host, "create 644 /mnt/not-allowed", "EACCES");
    assert_file(file, S_IFREG | 0640, 1234, 1234);
    assert_file(directory, S_IFDIR | 01750, 1234, 1234);
    assert_file(fifo, S_IFIFO | 0600, 1234, 1234);
    assert_file(link, S_IFLNK | 0777, 1234, 1234);
    assert_file(inherited, S_IFREG | 0644, 1234, 55);
    assert_file(below, S_IFDIR | 02755, 1234, 55);
    expect(host, "as 0", "ok");
    /* Of the link, and not of what it leads to. */
    expect(host, "chown 77 /mnt/open/link", "ok");
    assert_file(link, S_IFLNK | 0777, 77, 77);
    assert_file(file, S_IFREG | 0640, 1234, 1234);
    assert_int_not_equal(access(target, F_OK), 0);
}

static void test_times_in_nanoseconds(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");
    CLEANUP_FREE char *link = in(host, "link");
    struct stat st;

    fixture_write(file, "text\n");
    assert_int_equal(symlink("file", link), 0);
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "touch 1234567890123456789 /mnt/file", "ok");
    expect(host, "touch 1000000000000000001 /mnt/link", "ok");
    expect(host, "times /mnt/file", "1234567890.123456789 1234567890.123456789");
    expect(host, "times /mnt/link", "1000000000.000000001 1000000000.000000001");
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 1234567890);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    assert_int_equal(lstat(link, &st), 0);
    assert_int_equal(st.st_mtim.tv_nsec, 1);
    expect(host, "now /mnt/file", "ok");
    assert_int_equal(stat(file, &st), 0);
    assert_in_range(st.st_mtim.tv_sec, time(NULL) - 60, time(NULL) + 60);
}

/* More than one batch of pages of one window. */
static void test_mapped_in_large_windows(void **state)
{
    enum { PAGE = 4096, PAGES = 1024 };
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *path = in(host, "numbers");
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    for (int page = 0; page < PAGES; page++)
        assert_int_equal(pwrite(fd, &page, sizeof(page), (off_t)page * PAGE), sizeof(page));
    assert_int_equal(ftruncate(fd, (off_t)PAGES * PAGE), 0);
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "window /mnt/numbers", "ok");
}

static void overwrite(const char *path, const char *text)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Open in the guest, changed on the host. */
static void test_changes_of_an_open_file(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");

    fixture_write(file, "first\n");
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "hold /mnt/file", "ok");
    expect(host, "held", "first");
    overwrite(file, "second, and longer\n");
    expect(host, "size", "19");
    expect(host, "held", "second, and longer");
    overwrite(file, "other!\n");
    assert_int_equal(chmod(file, 0600), 0);
    expect(host, "stat /mnt/file", "10 600 0 0 7");
    expect(host, "read /mnt/file", "other!");
    /* Open for reading only, and cut by name. */
    expect(host, "truncate 3 /mnt/file", "ok");
    expect(host, "size", "3");
    /* Another file of the same name, while the old one is in use. */
    fixture_write(file, "replaced\n");
    expect(host, "stat /mnt/file", "10 644 0 0 9");
    expect(host, "read /mnt/file", "replaced");
    expect(host, "size", "3");
}

/* What is open stays what it was, however it is opened again. */
static void test_opened_again(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");
    CLEANUP_FREE char *other = in(host, "other");

    fixture_write(file, "first\n");
    fixture_write(other, "second\n");
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "hold /mnt/file", "ok");
    assert_int_equal(rename(other, file), 0);
    expect(host, "reopen", "ESTALE");
    expect(host, "held", "first");
    expect(host, "read /mnt/file", "second");
    expect(host, "hold /mnt/file", "ok");
    expect(host, "reopen", "ok");
    expect(host, "held", "second");
}

/* A hostile root of the guest names whatever the VMM can see. */
static void test_nothing_else_can_be_reached(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *secret = path_join(host->fixture->directory, "secret");
    CLEANUP_FREE char *absolute = in(host, "absolute");
    CLEANUP_FREE char *upwards = in(host, "upwards");
    CLEANUP_FREE char *command = string_format("mount %s /x", host->directory);
    CLEANUP_FREE char *climb = string_format("mount /shares/0/../../../..%s /x", host->directory);

    fixture_write(secret, "secret\n");
    assert_int_equal(symlink(secret, absolute), 0);
    assert_int_equal(symlink("../secret", upwards), 0);
    boot(host, true);
    expect(host, "mount / /jail", "ok");
    expect(host, "list /jail", "dev disks hull-vm run shares");
    expect(host, "list /jail/dev", "null");
    expect(host, "list /jail/shares", "0 1 2");
    expect(host, "list /jail/disks", "");
    expect(host, "list /jail/shares/2", "file");
    expect_refused(host, "write /jail/file text");
    expect_refused(host, "write /jail/shares/file text");
    expect_refused(host, "write /jail/shares/2/other text");
    expect_refused(host, "write /jail/disks/0 text");
    expect_refused(host, "write /jail/hull-vm text");
    expect_refused(host, "chmod 0777 /jail/shares");
    expect_refused(host, "chown 5 /jail/hull-vm");
    expect_refused(host, "mkdir /jail/run/../x");
    expect_refused(host, command);
    expect_refused(host, climb);
    expect_refused(host, "mount /proc /x");
    expect_refused(host, "mount /etc /x");
    expect(host, "mount /shares/0 /mnt", "ok");
    expect_refused(host, "read /mnt/absolute");
    expect_refused(host, "read /mnt/upwards");
    /* Not what the guest's kernel makes of a link, but what the VMM does with a name that is one:
     * it follows none. */
    expect_refused(host, "mount /shares/0/absolute /x");
    expect_refused(host, "mount /shares/0/upwards /x");
}

static void test_later_shares(void **state)
{
    need_guest();
    struct host *host = *state;
    struct fixture *fixture = host->fixture;
    CLEANUP_FREE char *file = in(host, "file");
    enum vm_share_kind kind;
    struct vm_share share;

    fixture_write(file, "late\n");
    boot(host, false);
    expect_refused(host, "mount /shares/7 /mnt");
    share = share_of(host->directory, false);
    assert_int_equal(vm_attach_share(fixture->vm, 7, &share, &kind, &fixture->error), 0);
    assert_int_equal(kind, VM_SHARE_DIRECTORY);
    assert_int_equal(vm_attach_share(fixture->vm, 7, &share, NULL, &fixture->error), -EEXIST);
    close(share.fd);
    expect(host, "mount /shares/7 /mnt", "ok");
    expect(host, "read /mnt/file", "late");
    expect(host, "write /mnt/new from inside", "ok");
    share = share_of(host->file, true);
    assert_int_equal(vm_attach_share(fixture->vm, 8, &share, &kind, &fixture->error), 0);
    assert_int_equal(kind, VM_SHARE_FILE);
    expect(host, "mount /shares/8 /single", "ok");
    expect(host, "read /single/file", "one file");
    expect(host, "write /single/file changed", "EROFS");
    /* A disk that only root may open, as the VMM, which is no root but of this. */
    assert_int_equal(chmod(host->file, 0600), 0);
    assert_int_equal(vm_attach_disk(fixture->vm, 3, &share, &fixture->error), 0);
    close(share.fd);
    expect(host, "mount /disks /jail", "ok");
    expect(host, "list /jail", "3");
    expect(host, "read /jail/3", "one file");
}

/* --- the management console --- */

enum { MANAGEMENT_MAGIC = (int)0xcafebabe, MANAGEMENT_VERSION = 2, MANAGEMENT_TIMEOUT_S = 10 };

struct request {
    uint32_t magic;
    int32_t version;
    int32_t length;
    char data[512];
};

struct reply {
    int32_t error;
    int32_t more;
    int32_t length;
    char data[512];
};

/* In the VMM's network namespace, because the answer goes to an abstract address. */
static int ask_management(int pidfd, int console, const char *command)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct request request = {.magic = (uint32_t)MANAGEMENT_MAGIC, .version = MANAGEMENT_VERSION};
    struct timeval timeout = {.tv_sec = MANAGEMENT_TIMEOUT_S};
    struct reply reply;
    int fd;

    request.length = (int32_t)strlen(command);
    memcpy(request.data, command, strlen(command));
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", console);
    if (setns(pidfd, CLONE_NEWNET) < 0)
        return 101;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0)
        return 102;
    if (sendto(fd, &request, sizeof(request), 0, (struct sockaddr *)&address, sizeof(address)) < 0)
        return 103;
    if (recv(fd, &reply, sizeof(reply), 0) < (ssize_t)offsetof(struct reply, data))
        return 104;
    return reply.error ? 105 : 0;
}

static void manage(const struct host *host, const char *command)
{
    const struct vm *vm = host->fixture->vm;
    CLEANUP_CLOSE int console = vm_open_management(vm, &host->fixture->error);
    CLEANUP(process_release) struct process process = PROCESS_INIT;
    int status;
    pid_t pid;

    assert_true(console >= 0);
    assert_int_equal(process_open(vm_pid(vm), &process), 0);
    pid = fork();
    if (pid == 0)
        _exit(ask_management(process.pidfd, console, command));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        print_error("%s: %d\n", command, WEXITSTATUS(status));
    assert_int_equal(status, 0);
}

/* What a VM that was started before its container was known is given: a disk by name. And it gives
 * memory back, with the system calls that it has. */
static void test_hot_plug(void **state)
{
    need_guest();
    struct host *host = *state;
    struct vm_share disk;

    assert_int_equal(truncate(host->file, 4 * 1024 * 1024), 0);
    assert_int_equal(chmod(host->file, 0600), 0);
    boot(host, false);
    disk = share_of(host->file, false);
    assert_int_equal(vm_attach_disk(host->fixture->vm, 2, &disk, &host->fixture->error), 0);
    close(disk.fd);
    manage(host, "config ubd2=/disks/2");
    expect(host, "read /sys/block/ubdc/size", "8192");
    expect(host, "write /dev/ubdc first bytes", "ok");
    expect(host, "read /dev/ubdc", "first bytes");
    manage(host, "config mem=-8M");
    expect(host, "read /sys/block/ubdc/size", "8192");
}

static void test_a_vm_without(void **state)
{
    struct host *host = *state;
    struct fixture *fixture = host->fixture;
    struct vm_share share;

    fixture_need_root();
    fixture_start(fixture, "wait\n");
    share = share_of(host->directory, false);
    assert_int_equal(vm_attach_share(fixture->vm, 0, &share, NULL, NULL), -EOPNOTSUPP);
    close(share.fd);
}

/* QEMU whose file server is not installed. */
static void test_an_engine_without(void **state)
{
    struct host *host = *state;
    struct fixture *fixture = host->fixture;

    fixture_need_root();
    fixture_write(fixture->initramfs, "wait\n");
    fixture->config.engine = VM_ENGINE_TCG;
    fixture->config.files.qemu = fixture->program;
    fixture->config.shares_later = true;
    assert_true(vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm,
                         &fixture->error) < 0);
    assert_int_equal(fixture->error.class, ERROR_UNAVAILABLE);
    assert_non_null(strstr(fixture->error.message, "no virtiofsd is configured: shares of a QEMU "
                                                   "guest need it: install the package virtiofsd"));
    /* Nor is one that another VM could be woken with. */
    fixture->config.pooled = true;
    fixture->error = (struct error)ERROR_INIT;
    assert_int_equal(
        vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm, &fixture->error),
        -EINVAL);
}

/* As the VMM, but for the rights to act as any user of the guest's on the shares' files. */
static void assert_server_is_jailed(pid_t pid, uid_t uid)
{
    static const struct {
        const char *name;
        const char *value;
    } expected[] = {
        {"CapEff", "00000000000000db"},
        {"CapPrm", "00000000000000db"},
        {"CapAmb", "0000000000000000"},
        {"CapInh", "0000000000000000"},
        {"CapBnd", "0000000000000000"},
        {"NoNewPrivs", "1"},
        {"Seccomp", "2"},
    };
    CLEANUP_FREE char *uids = string_format("%u\t%u\t%u\t%u", uid, uid, uid, uid);
    CLEANUP_FREE char *is = fixture_status(pid, "Uid");

    assert_string_equal(is, uids);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        CLEANUP_FREE char *value = fixture_status(pid, expected[i].name);

        if (!string_equal(value, expected[i].value))
            print_error("%s: %s\n", expected[i].name, value);
        assert_string_equal(value, expected[i].value);
    }
}

/* What the guest's root names is in the file server's root directory, which has the shares. */
static void test_nothing_but_shares_is_served(void **state)
{
    struct host *host = *state;
    struct fixture *fixture = host->fixture;
    CLEANUP_FREE char *secret = path_join(fixture->directory, "secret");
    CLEANUP_FREE char *absolute = in(host, "absolute");
    struct vm_share share;

    fixture_write(secret, "secret\n");
    assert_int_equal(symlink(secret, absolute), 0);
    boot(host, true);
    expect(host, "list /shares", "0 1 2");
    expect(host, "list /shares/2", "file");
    expect_refused(host, "write /shares/file text");
    expect_refused(host, "write /shares/2/other text");
    expect_refused(host, "mkdir /shares/x");
    expect_refused(host, "chmod 0777 /shares");
    expect_refused(host, "chown 5 /shares/2");
    expect_refused(host, "mknod /shares/0/device");
    expect_refused(host, "read /shares/0/absolute");
    /* One more, while it runs, and what is mounted below another; but no disk. */
    share = share_of(host->read_only, false);
    assert_int_equal(vm_attach_share(fixture->vm, 7, &share, NULL, &fixture->error), 0);
    assert_int_equal(vm_attach_share(fixture->vm, 7, &share, NULL, NULL), -EEXIST);
    assert_int_equal(vm_attach_disk(fixture->vm, 1, &share, NULL), -EOPNOTSUPP);
    expect(host, "write /shares/7/file new", "ok");
    expect(host, "read /shares/1/file", "new");
    expect(host, "write /shares/1/file again", "EROFS");
    expect(host, "mkdir /shares/0/below", "ok");
    assert_int_equal(vm_attach_below(fixture->vm, 0, "below", &share, &fixture->error), 0);
    close(share.fd);
    expect(host, "read /shares/0/below/file", "new");
}

/* The end of either is the other's. */
static void test_the_file_server_ends(void **state)
{
    struct host *host = *state;
    struct fixture *fixture = host->fixture;
    uid_t uid = fixture->config.uid;
    pid_t server;

    boot(host, true);
    server = file_server_process(fixture->vm->server)->pid;
    assert_server_is_jailed(server, uid);
    assert_int_equal(kill(server, SIGKILL), 0);
    fixture_wait_end(fixture);
    assert_false(fixture->clean);
    assert_string_equal(fixture->reason, "its file server (virtiofsd) was killed by signal 9");
    assert_int_equal(fixture_count_processes(uid), 0);
}

/* The directory itself is what is shared. */
static void empty_directory(const char *path)
{
    CLEANUP_DIR DIR *directory = opendir(path);
    struct dirent *entry;

    assert_non_null(directory);
    while ((entry = readdir(directory)))
        if (!string_equal(entry->d_name, ".") && !string_equal(entry->d_name, ".."))
            assert_int_equal(path_remove_tree(dirfd(directory), entry->d_name, NULL), 0);
}

/* The same in one guest of QEMU, which is slow to boot. */
static void test_in_qemu(void **state)
{
    static void (*const tests[])(void **state) = {
        test_guest_sees_the_host_s_files,   test_host_sees_the_guest_s_files,
        test_read_only_is_enforced_outside, test_a_single_file,
        test_owner_of_what_is_made,         test_times_in_nanoseconds,
        test_changes_of_an_open_file,       test_nothing_but_shares_is_served,
        test_the_file_server_ends,
    };
    struct host *host = *state;

    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        tests[i](state);
        empty_directory(host->directory);
        empty_directory(host->read_only);
    }
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests_of_qemu[] = {
        ROW(test_in_qemu),
        ROW(test_an_engine_without),
    };
    const struct CMUnitTest tests[] = {
        ROW(test_guest_sees_the_host_s_files),
        ROW(test_host_sees_the_guest_s_files),
        ROW(test_read_only_is_enforced_outside),
        ROW(test_a_single_file),
        ROW(test_owner_of_what_is_made),
        ROW(test_times_in_nanoseconds),
        ROW(test_mapped_in_large_windows),
        ROW(test_changes_of_an_open_file),
        ROW(test_opened_again),
        ROW(test_nothing_else_can_be_reached),
        ROW(test_later_shares),
        ROW(test_hot_plug),
        ROW(test_a_vm_without),
        ROW(test_an_engine_without),
    };

    return in_qemu() ? cmocka_run_group_tests(tests_of_qemu, NULL, NULL)
                     : cmocka_run_group_tests(tests, NULL, NULL);
}
