/* What files of a share and of a disk contain, seen from both sides: nothing is lost, mixed up or
 * out of date, with a guest's cache, past it, and with mappings. The guests are those of
 * test-share. */
int share_main(void);
#define main share_main
#include "test-share.c"
#undef main
#include "share-stress.h"

#include <sys/utsname.h>
#include <sys/vfs.h>

/* Random work with one file, by the guest and the host in turns: each goes on with what the other
 * has left, while the guest has it open all the time. HULL_TEST_STRESS is the number of turns. */
static void test_content(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");
    const char *wish = getenv("HULL_TEST_STRESS");
    unsigned turns = wish ? (unsigned)strtoul(wish, NULL, 10) : 6;
    char answer[ANSWER_MAX];
    char own[ANSWER_MAX];

    fixture_write(file, "first\n");
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "hold /mnt/file", "ok");
    for (unsigned i = 0; i < turns; i++) {
        CLEANUP_FREE char *guest = string_format("stress %u 250 /mnt/file", 2 * i + 1);

        ask(host, guest, answer);
        stress(file, 0, 0, own, sizeof(own));
        assert_string_equal(answer, own);
        stress(file, 2 * i + 2, 250, own, sizeof(own));
        ask(host, "stress 0 0 /mnt/file", answer);
        assert_string_equal(answer, own);
    }
}

/* Both at once: nothing that one of them appends is written over by the other. */
static void test_appending(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");
    enum { GUEST_LINES = 3000, HOST_LINES = 3000 };
    int seen[2] = {0, 0};
    char line[64];
    FILE *stream;
    pid_t pid;
    int fd, status;

    fixture_write(file, "");
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    pid = fork();
    if (pid == 0) {
        fd = open(file, O_WRONLY | O_APPEND | O_CLOEXEC);
        for (int i = 0; i < HOST_LINES; i++) {
            dprintf(fd, "host %d\n", i);
            sched_yield();
        }
        _exit(0);
    }
    expect(host, "append 3000 /mnt/file", "ok");
    assert_int_equal(waitpid(pid, &status, 0), pid);
    stream = fopen(file, "re");
    assert_non_null(stream);
    while (fgets(line, sizeof(line), stream)) {
        CLEANUP_FREE char *guest = string_format("guest %d\n", seen[0]);
        CLEANUP_FREE char *own = string_format("host %d\n", seen[1]);

        if (string_equal(line, guest))
            seen[0]++;
        else if (string_equal(line, own))
            seen[1]++;
        else
            fail_msg("out of order or written over: %s", line);
    }
    fclose(stream);
    assert_int_equal(seen[0], GUEST_LINES);
    assert_int_equal(seen[1], HOST_LINES);
}

static void append_here(const char *path, const char *text)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void assert_content(const char *path, const void *content, size_t size)
{
    char found[256];
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, found, sizeof(found)), size);
    assert_memory_equal(found, content, size);
}

/* What the host appends to a page that the guest has mapped, and has stored to: both remain,
 * whatever of the guest's is the first to notice. */
static void test_appended_behind_a_mapping(void **state)
{
    static const char text[] = "MINE\nhost\nmore\nadded\nthird\n\0\0\0put";
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");

    fixture_write(file, "mine\n");
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "map /mnt/file", "ok");
    expect(host, "store 0 M", "ok");
    append_here(file, "host\n");
    expect(host, "stat /mnt/file", "10 644 0 0 10");
    expect(host, "look 5", "host");
    expect(host, "settle", "ok");
    assert_content(file, "Mine\nhost\n", 10);
    expect(host, "store 1 I", "ok");
    append_here(file, "more\n");
    expect(host, "add added", "ok");
    expect(host, "look 10", "more");
    expect(host, "store 2 N", "ok");
    append_here(file, "\nthird\n");
    expect(host, "put 30 put", "ok");
    expect(host, "look 21", "third");
    expect(host, "store 3 E", "ok");
    expect(host, "settle", "ok");
    assert_content(file, text, sizeof(text) - 1);
}

/* What the host has cut off does not come back. */
static void test_cut_below_a_mapping(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");

    fixture_write(file, "12345678");
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "map /mnt/file", "ok");
    expect(host, "store 0 abcdefgh", "ok");
    assert_int_equal(truncate(file, 3), 0);
    expect(host, "stat /mnt/file", "10 644 0 0 3");
    assert_int_equal(truncate(file, 8), 0);
    expect(host, "stat /mnt/file", "10 644 0 0 8");
    expect(host, "look 0", "abc");
    expect(host, "settle", "ok");
    assert_content(file, "abc\0\0\0\0\0", 8);
}

/* Since Linux 6.3. */
static void need_id_mapped_tmpfs(void)
{
    struct utsname name;

    assert_int_equal(uname(&name), 0);
    if (strverscmp(name.release, "6.3") < 0) {
        print_message("skipped: tmpfs has no id-mapped mounts on Linux %s\n", name.release);
        skip();
    }
}

/* The host has no room for what is written: it is not in the file's pages either. */
static void test_a_write_that_fails(void **state)
{
    need_guest();
    need_id_mapped_tmpfs();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");
    CLEANUP_FREE char *rest = in(host, "rest");
    static char filler[4097];
    struct statfs room;

    assert_int_equal(mount("tmpfs", host->directory, "tmpfs", 0, "size=64k"), 0);
    fixture_write(file, "");
    assert_int_equal(truncate(file, 8192), 0);
    assert_int_equal(statfs(host->directory, &room), 0);
    fixture_write(rest, "");
    memset(filler, 'x', sizeof(filler) - 1);
    for (unsigned long i = 0; i < room.f_bavail; i++)
        append_here(rest, filler);
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "map /mnt/file", "ok");
    expect(host, "store 100 mine", "ok");
    expect(host, "put 0 text", "ENOSPC");
    expect(host, "look 0", "");
    expect(host, "look 100", "mine");
    assert_int_equal(umount2(host->directory, MNT_DETACH), 0);
}

static void write_noise(const char *path, size_t size)
{
    struct stress stress = {.state = size};
    CLEANUP_FREE unsigned char *noise = malloc(size);
    FILE *stream = fopen(path, "we");

    assert_non_null(noise);
    assert_non_null(stream);
    stress_fill(&stress, noise, size);
    assert_int_equal(fwrite(noise, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
}

/* The exit status. */
static int run(const char *program, const char *first, const char *second)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        execlp(program, program, first, second, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void assert_same(const char *path, const char *other)
{
    assert_int_equal(run("cmp", path, other), 0);
}

/* In small and in large pieces, through the guest's cache and past it. */
static void test_disk_content(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = in(host, "file");
    CLEANUP_FREE char *back = in(host, "back");
    enum { SIZE = 5 * 1024 * 1024 + 4096 };
    struct vm_share disk;

    write_noise(file, SIZE);
    assert_int_equal(truncate(host->file, SIZE), 0);
    boot(host, true);
    disk = share_of(host->file, false);
    assert_int_equal(vm_attach_disk(host->fixture->vm, 2, &disk, &host->fixture->error), 0);
    close(disk.fd);
    manage(host, "config ubd2=/disks/2");
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "copy 100000 /mnt/file /dev/ubdc", "ok");
    assert_same(file, host->file);
    expect(host, "copy 1000000 /dev/ubdc /mnt/back", "ok");
    assert_same(file, back);
}

static void test_image_content(void **state)
{
    need_guest();
    struct host *host = *state;
    CLEANUP_FREE char *file = path_join(host->read_only, "file");
    CLEANUP_FREE char *back = in(host, "back");
    /* The larger first: what is read in small pieces stays in the guest's cache. */
    static const unsigned blocks[] = {2097152, 131072, 100000, 65536, 16384, 1000, 131072};
    struct vm_share disk;

    write_noise(file, 3 * 1024 * 1024 + 777);
    if (run("mkfs.erofs", host->file, host->read_only) != 0) {
        print_message("skipped: no mkfs.erofs here\n");
        skip();
    }
    boot(host, true);
    disk = share_of(host->file, true);
    assert_int_equal(vm_attach_disk(host->fixture->vm, 2, &disk, &host->fixture->error), 0);
    close(disk.fd);
    manage(host, "config ubd2r=/disks/2");
    expect(host, "mount /shares/0 /mnt", "ok");
    expect(host, "mount-image /dev/ubdc", "ok");
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        CLEANUP_FREE char *copy = string_format("copy %u /image/file /mnt/back", blocks[i]);

        expect(host, copy, "ok");
        assert_same(file, back);
        assert_int_equal(unlink(back), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_content),
        ROW(test_appending),
        ROW(test_appended_behind_a_mapping),
        ROW(test_cut_below_a_mapping),
        ROW(test_a_write_that_fails),
        ROW(test_disk_content),
        ROW(test_image_content),
    };

    (void)share_main;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
