/* Templates on disk: what is read back is what was written, or it is said to be damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "engine/template_file.h"
#include "vm/template.h"

enum { SIZE = 3 * 1024 * 1024, PAGE = 4096 };

struct fixture {
    char directory[64];
    int memory;
    struct error error;
};

static int new_memory(off_t size)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    return fd;
}

static void put(int fd, off_t at, size_t length, char letter)
{
    char text[3 * PAGE];

    memset(text, letter, sizeof(text));
    assert_int_equal(pwrite(fd, text, length, at), (ssize_t)length);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    CLEANUP_FREE char *path = NULL;

    assert_non_null(fixture);
    string_copy(fixture->directory, sizeof(fixture->directory), "/tmp/hull-test-template-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->memory = new_memory(SIZE);
    put(fixture->memory, 5, 10, 'a');
    put(fixture->memory, 100 * PAGE, 3 * PAGE, 'b');
    put(fixture->memory, 102 * PAGE, PAGE, 0); /* data, but zeros */
    put(fixture->memory, SIZE - PAGE, PAGE, 'c');
    path = string_format("%s/" TEMPLATE_FILE_STATE, fixture->directory);
    assert_int_equal(file_write_atomic(AT_FDCWD, path, "state", 5, 0600, NULL), 0);
    assert_int_equal(template_file_save(fixture->directory, fixture->memory, &fixture->error), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    path_remove_tree(AT_FDCWD, fixture->directory, NULL);
    close(fixture->memory);
    free(fixture);
    return 0;
}

static void assert_damaged(struct fixture *fixture, off_t size)
{
    CLEANUP_CLOSE int memory = new_memory(size);

    assert_int_equal(template_file_load(fixture->directory, memory, &fixture->error), -EBADMSG);
    assert_true(fcntl(memory, F_GET_SEALS) == 0);
}

static int open_file(const struct fixture *fixture, const char *name)
{
    CLEANUP_FREE char *path = string_format("%s/%s", fixture->directory, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void test_there_and_back(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_CLOSE int memory = new_memory(SIZE);
    CLEANUP_FREE char *before = malloc(SIZE);
    CLEANUP_FREE char *after = malloc(SIZE);

    assert_int_equal(template_file_load(fixture->directory, memory, &fixture->error), 0);
    assert_int_equal(pread(fixture->memory, before, SIZE, 0), SIZE);
    assert_int_equal(pread(memory, after, SIZE, 0), SIZE);
    assert_memory_equal(before, after, SIZE);
    assert_int_equal(vm_template_check_memory(memory, SIZE, &fixture->error), 0);
}

static void test_zeros_are_holes(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_CLOSE int fd = open_file(fixture, "memory");
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, SIZE);
    assert_true(st.st_blocks * 512 <= 64 * 1024);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_nothing_there(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_CLOSE int memory = new_memory(SIZE);

    assert_int_equal(template_file_load("/nonexistent", memory, &fixture->error), -ENOENT);
}

static void test_a_changed_byte_of_memory(void **state)
{
    CLEANUP_CLOSE int fd = open_file(*state, "memory");

    put(fd, 101 * PAGE + 17, 1, 'x');
    assert_damaged(*state, SIZE);
}

static void test_a_page_that_was_zero(void **state)
{
    CLEANUP_CLOSE int fd = open_file(*state, "memory");

    put(fd, 50 * PAGE, 1, 'x');
    assert_damaged(*state, SIZE);
}

static void test_a_page_that_moved(void **state)
{
    CLEANUP_CLOSE int fd = open_file(*state, "memory");

    put(fd, SIZE - PAGE, PAGE, 0);
    put(fd, SIZE - 2 * PAGE, PAGE, 'c');
    assert_damaged(*state, SIZE);
}

static void test_another_size(void **state)
{
    assert_damaged(*state, SIZE + PAGE);
}

static void test_a_changed_state(void **state)
{
    CLEANUP_CLOSE int fd = open_file(*state, TEMPLATE_FILE_STATE);

    put(fd, 0, 1, 'S');
    assert_damaged(*state, SIZE);
}

static void test_a_description_that_is_none(void **state)
{
    CLEANUP_CLOSE int fd = open_file(*state, "template.json");

    put(fd, 0, 1, '[');
    assert_damaged(*state, SIZE);
}

static void test_a_description_of_another_version(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_FREE char *path = string_format("%s/template.json", fixture->directory);
    static const char text[] = "{\"version\": 2, \"memory\": \"\", \"state\": \"\"}";

    assert_int_equal(file_write_atomic(AT_FDCWD, path, text, sizeof(text) - 1, 0600, NULL), 0);
    assert_damaged(fixture, SIZE);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_there_and_back),
        ROW(test_zeros_are_holes),
        ROW(test_nothing_there),
        ROW(test_a_changed_byte_of_memory),
        ROW(test_a_page_that_was_zero),
        ROW(test_a_page_that_moved),
        ROW(test_another_size),
        ROW(test_a_changed_state),
        ROW(test_a_description_that_is_none),
        ROW(test_a_description_of_another_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
