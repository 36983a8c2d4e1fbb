/* The files of an image's layers: a real User-Mode Linux guest (HULL_TEST_UML_KERNEL) whose pid 1
 * is layer-init, with EROFS images that were made here and plugged in after it was booted. */
#include "fixture.h"

#include "layer-pattern.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/strings.h"
#include "vm/initramfs.h"
#include "vm/plug.h"

enum { ANSWER_MAX = 512, BIG = 3 * 1024 * 1024 + 777, WHOLE = 2 * 1024 * 1024 };

/* The end of the first is in its inode; that of the third would fit no more. */
static const struct {
    const char *name;
    uint64_t size;
} files[] = {
    {"big", BIG},      {"whole", WHOLE}, {"nearly", 1024 * 1024 + 4090}, {"sparse", 5 * 1048576},
    {"medium", 40000}, {"small", 1000}};

static void need_guest(void)
{
    const char *kernel = getenv("HULL_TEST_UML_KERNEL");

    fixture_need_root();
    if (!kernel || access(kernel, R_OK) < 0) {
        print_message("skipped: no file named by HULL_TEST_UML_KERNEL\n");
        skip();
    }
}

static void write_file(const char *directory, const char *name, uint64_t size)
{
    CLEANUP_FREE char *path = path_join(directory, name);
    bool sparse = string_equal(name, "sparse");
    FILE *stream = fopen(path, "we");

    assert_non_null(stream);
    for (uint64_t at = 0; at < size; at++)
        assert_true(putc(pattern_at(at, sparse), stream) != EOF);
    assert_int_equal(fclose(stream), 0);
}

/* The image's path; `option` as it is for mkfs.erofs. */
static char *make_image(const struct fixture *fixture, const char *name, const char *option)
{
    CLEANUP_FREE char *tree = string_format("%s/%s.tree", fixture->directory, name);
    char *image = path_join(fixture->directory, name);
    int status = -1;

    assert_int_equal(mkdir(tree, 0755), 0);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        write_file(tree, files[i].name, files[i].size);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("mkfs.erofs", "mkfs.erofs", "--quiet", option, image, tree, NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        print_message("skipped: no mkfs.erofs here\n");
        free(image);
        skip();
    }
    assert_int_equal(status, 0);
    assert_int_equal(chmod(image, 0444), 0);
    return image;
}

static void ask(struct fixture *fixture, const char *command, char answer[ANSWER_MAX])
{
    fixture_ask(fixture, command, answer, ANSWER_MAX);
}

static void expect(struct fixture *fixture, const char *command, const char *expected)
{
    char answer[ANSWER_MAX];

    ask(fixture, command, answer);
    if (!string_equal(answer, expected))
        print_error("%s: %s\n", command, answer);
    assert_string_equal(answer, expected);
}

static void plugged(struct vm *vm, const struct error *error, void *data)
{
    int *calls = data;

    (void)vm;
    if (error)
        print_message("%s\n", error->message);
    *calls += error ? 100 : 1;
}

static void plug(struct fixture *fixture, const struct vm_disk *disks, size_t n)
{
    const struct vm_plug plug = {.disks = disks, .n_disks = n};
    int calls = 0;

    assert_int_equal(vm_plug(fixture->vm, &plug, plugged, &calls, &fixture->error), 0);
    while (calls == 0)
        assert_int_equal(loop_run_once(fixture->loop, FIXTURE_TIMEOUT_MS), 0);
    assert_int_equal(calls, 1);
}

static void check_files(struct fixture *fixture, const char *directory)
{
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        CLEANUP_FREE char *check = string_format("check %s/%s 1", directory, files[i].name);

        expect(fixture, check, "ok");
    }
}

static void test_content(void **state)
{
    need_guest();
    struct fixture *fixture = *state;
    CLEANUP_FREE char *image = make_image(fixture, "image", "-x2");
    CLEANUP_FREE char *chunks = make_image(fixture, "chunks", "--chunksize=16384");
    const struct vm_disk disks[] = {{.path = image, .read_only = true},
                                    {.path = chunks, .read_only = true}};

    fixture_boot_pooled(fixture, getenv("HULL_TEST_LAYER_INIT"));
    plug(fixture, disks, 2);
    expect(fixture, "mount /dev/ubda /image", "ok");
    expect(fixture, "mount /dev/ubdb /chunks", "ok");
    check_files(fixture, "/image");
    check_files(fixture, "/chunks");
    expect(fixture, "pair /image/big", "ok");
    expect(fixture, "pair /chunks/sparse", "ok");
}

/* What is read in large pieces is left to the host's cache, and not kept twice. */
static void test_memory(void **state)
{
    need_guest();
    struct fixture *fixture = *state;
    CLEANUP_FREE char *image = make_image(fixture, "image", "-x2");
    const struct vm_disk disk = {.path = image, .read_only = true};
    char answer[ANSWER_MAX];

    fixture_boot_pooled(fixture, getenv("HULL_TEST_LAYER_INIT"));
    plug(fixture, &disk, 1);
    expect(fixture, "mount /dev/ubda /image", "ok");
    expect(fixture, "slurp 1048576 /image/whole", "2097152");
    expect(fixture, "cached /image/whole", "0");
    expect(fixture, "slurp 65536 /image/whole", "2097152");
    expect(fixture, "cached /image/whole", "0");
    expect(fixture, "slurp 4096 /image/whole", "2097152");
    expect(fixture, "cached /image/whole", "512");
    ask(fixture, "slurp 1048576 /image/big", answer);
    expect(fixture, "slurp 1048576 /image/whole", "2097152");
}

/* Of the host's file, while the guest has it. */
static void test_a_layer_that_is_cut(void **state)
{
    need_guest();
    struct fixture *fixture = *state;
    CLEANUP_FREE char *image = make_image(fixture, "image", "-x2");
    const struct vm_disk disk = {.path = image, .read_only = true};
    char answer[ANSWER_MAX];

    fixture_boot_pooled(fixture, getenv("HULL_TEST_LAYER_INIT"));
    plug(fixture, &disk, 1);
    expect(fixture, "mount /dev/ubda /image", "ok");
    expect(fixture, "slurp 1048576 /image/whole", "2097152");
    expect(fixture, "slurp 4096 /image/medium", "40000");
    assert_int_equal(truncate(image, 16384), 0);
    for (int i = 0; i < 3; i++) {
        ask(fixture, i == 1 ? "slurp 4096 /image/big" : "slurp 1048576 /image/whole", answer);
        assert_non_null(strstr(answer, " EIO"));
    }
    /* This one it has. */
    expect(fixture, "slurp 4096 /image/medium", "40000");
}

/* The disk is shorter than what its file system says. */
static void test_a_layer_that_is_short(void **state)
{
    need_guest();
    struct fixture *fixture = *state;
    CLEANUP_FREE char *image = make_image(fixture, "image", "-x2");
    const struct vm_disk disk = {.path = image, .read_only = true};
    char answer[ANSWER_MAX];
    struct stat status;

    assert_int_equal(stat(image, &status), 0);
    assert_int_equal(truncate(image, status.st_size / 2 / 4096 * 4096), 0);
    fixture_boot_pooled(fixture, getenv("HULL_TEST_LAYER_INIT"));
    plug(fixture, &disk, 1);
    ask(fixture, "mount /dev/ubda /image", answer);
    if (string_equal(answer, "ok")) {
        int errors = 0;

        for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
            CLEANUP_FREE char *slurp = string_format("slurp 1048576 /image/%s", files[i].name);

            ask(fixture, slurp, answer);
            errors += strstr(answer, "EIO") != NULL;
        }
        assert_true(errors > 0);
    }
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_content),
        ROW(test_memory),
        ROW(test_a_layer_that_is_cut),
        ROW(test_a_layer_that_is_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
