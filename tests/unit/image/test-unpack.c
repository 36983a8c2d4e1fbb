/* Layers: what is kept, and what a hostile archive gets. */
#include "fixture.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "image/unpack.h"

/* The root of a layer is <scratch>/root; <scratch>/outside is what nothing may touch. */
static int prepare(void **state)
{
    CLEANUP_FREE char *root = path_join(*state, "root");
    CLEANUP_FREE char *outside = path_join(*state, "outside");
    assert_int_equal(mkdir(root, 0755), 0);
    assert_int_equal(mkdir(outside, 0755), 0);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static int unpack_bytes(int root, const void *data, size_t length, struct unpack_result *result,
                        struct error *err)
{
    CLEANUP_CLOSE int fd = content_fd(data, length);
    const struct stream_options options = {
        .fd = fd,
        .limits = {.bytes = 1 << 30, .allowance = 1 << 20, .ratio = 50},
    };
    return unpack_layer(&options, root, result, err);
}

static int unpack(int root, const struct entry *entries, size_t n, struct error *err)
{
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(FIXTURE_TAR_MAX);
    struct unpack_result result;
    make_tar(&tar, entries, n, 'g');
    return unpack_bytes(root, tar.data, tar.length, &result, err);
}

#define UNPACK(root, entries, err) unpack(root, entries, sizeof(entries) / sizeof(*(entries)), err)

static void test_keeps_metadata(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    struct stat st, link;
    char value[4];
    const struct entry entries[] = {
        {"d", 'd', .mode = 01777, .uid = 3},
        {"d/f", 'f', "text", .mode = 04711, .uid = 5, .xattr = "user.x"},
        {"d/h", 'h', "d/f"},
        {"s", 's', "d/f"},
        {"null", 'c'},
        {"pipe", 'p', .mode = 0600},
        {"h\303\251llo", 'f', "x"},
    };
    assert_int_equal(UNPACK(root, entries, NULL), 0);
    assert_int_equal(fstatat(root, "d", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 01777);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    assert_int_equal(fstatat(root, "d/f", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFREG | 04711);
    assert_int_equal(st.st_uid, 5);
    assert_int_equal(st.st_mtim.tv_sec, 1700000000);
    assert_int_equal(fstatat(root, "d/h", &link, 0), 0);
    assert_int_equal(link.st_ino, st.st_ino);
    assert_int_equal(fstatat(root, "null", &st, 0), 0);
    assert_int_equal(st.st_rdev, makedev(1, 3));
    assert_int_equal(fstatat(root, "pipe", &st, 0), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(fstatat(root, "h\303\251llo", &st, 0), 0);
    CLEANUP_CLOSE int file = openat(root, "d/f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fgetxattr(file, "user.x", value, sizeof(value)), 1);
}

static void test_whiteouts(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    struct stat st;
    char value[4];
    const struct entry entries[] = {
        {"d", 'd'},
        {"d/.wh..wh..opq", 'f', ""},
        {"d/.wh.gone", 'f', ""},
        {"d/.wh..wh.plnk", 'f', ""},
        {"d/kept", 'f', "x"},
        {"d/.wh.kept", 'f', ""},
        {"d/.wh.back", 'f', ""},
        {"d/back", 'd'},
    };
    assert_int_equal(UNPACK(root, entries, NULL), 0);
    assert_int_equal(fstatat(root, "d/gone", &st, 0), 0);
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    assert_int_equal(fstatat(root, "d/kept", &st, 0), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_true(fstatat(root, "d/.wh..wh.plnk", &st, 0) < 0);
    CLEANUP_CLOSE int dir = openat(root, "d", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fgetxattr(dir, "trusted.overlay.opaque", value, sizeof(value)), 1);
    CLEANUP_CLOSE int back = openat(root, "d/back", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fgetxattr(back, "trusted.overlay.opaque", value, sizeof(value)), 1);
}

static void test_overlay_attributes_dropped(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    char value[16];
    const struct entry entries[] = {{"d", 'd', .xattr = "trusted.overlay.redirect"}};
    assert_int_equal(UNPACK(root, entries, NULL), 0);
    CLEANUP_CLOSE int dir = openat(root, "d", O_RDONLY | O_CLOEXEC);
    assert_true(fgetxattr(dir, "trusted.overlay.redirect", value, sizeof(value)) < 0);
}

static void check_outside_empty(void **state)
{
    CLEANUP_FREE char *outside = path_join(*state, "outside");
    assert_int_equal(rmdir(outside), 0);
}

static void test_absolute_name_contained(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    struct stat st;
    const struct entry entries[] = {{"/hull-test-absolute/f", 'f', "x"}};
    assert_int_equal(UNPACK(root, entries, NULL), 0);
    assert_int_equal(fstatat(root, "hull-test-absolute/f", &st, 0), 0);
    assert_true(stat("/hull-test-absolute", &st) < 0);
}

static void test_dotdot_refused(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    struct error err = ERROR_INIT;
    const struct entry entries[] = {{"a/../../outside/f", 'f', "x"}};
    assert_true(UNPACK(root, entries, &err) < 0);
    assert_int_equal(err.class, ERROR_INVALID);
    check_outside_empty(state);
}

static void test_symlink_contained(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    struct stat st;
    const struct entry entries[] = {
        {"up", 's', "../../outside"},
        {"outside", 'd'},
        {"up/f", 'f', "x"},
    };
    assert_int_equal(UNPACK(root, entries, NULL), 0);
    assert_int_equal(fstatat(root, "outside/f", &st, 0), 0);
    check_outside_empty(state);
}

static void test_absolute_symlink_contained(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    CLEANUP_FREE char *outside = path_join(*state, "outside");
    const struct entry entries[] = {{"up", 's', outside}, {"up/f", 'f', "x"}};
    /* The target does not exist inside the root; whether that is an error or not, it must not be
     * outside. */
    UNPACK(root, entries, NULL);
    check_outside_empty(state);
}

static void test_hardlink_out_refused(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    struct error err = ERROR_INIT;
    const struct entry up[] = {{"l", 'h', "../outside"}};
    const struct entry absolute[] = {{"l", 'h', "/etc/passwd"}};
    assert_true(UNPACK(root, up, &err) < 0);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_true(UNPACK(root, absolute, &err) < 0);
}

static void test_symlink_not_written_through(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    struct stat st;
    const struct entry entries[] = {{"x", 's', "y"}, {"y", 'f', "old"}, {"x", 'f', "newer"}};
    assert_int_equal(UNPACK(root, entries, NULL), 0);
    assert_int_equal(fstatat(root, "y", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(st.st_size, 3);
    assert_int_equal(fstatat(root, "x", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISREG(st.st_mode));
}

static void test_bad_whiteout_refused(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    const struct entry dots[] = {{"d/.wh...", 'f', ""}};
    const struct entry empty[] = {{"d/.wh.", 'f', ""}};
    assert_true(UNPACK(root, dots, NULL) < 0);
    assert_true(UNPACK(root, empty, NULL) < 0);
}

static void test_bomb_refused(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    struct error err = ERROR_INIT;
    size_t size = 16 * 1024 * 1024;
    CLEANUP_FREE char *zeros = calloc(1, size);
    const struct entry entries[] = {{"zeros", 'f', zeros, .size = (int64_t)size}};
    assert_true(UNPACK(root, entries, &err) < 0);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_non_null(strstr(err.message, "refused"));
}

static void test_depth_refused(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    char name[2 * UNPACK_DEPTH_MAX + 8];
    size_t length = 0;
    for (int i = 0; i < UNPACK_DEPTH_MAX + 1; i++, length += 2)
        memcpy(name + length, "a/", 3);
    const struct entry entries[] = {{name, 'd'}};
    assert_true(UNPACK(root, entries, NULL) < 0);
}

static void test_truncated(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(FIXTURE_TAR_MAX);
    struct unpack_result result;
    const struct entry entries[] = {{"a", 'f', "some text"}, {"b", 'f', "more text"}};
    make_tar(&tar, entries, 2, 'g');
    for (size_t length = 0; length < tar.length; length += 7) {
        struct error err = ERROR_INIT;
        if (length == 0) /* nothing at all is an empty layer */
            continue;
        assert_true(unpack_bytes(root, tar.data, length, &result, &err) < 0);
        assert_int_equal(err.class, ERROR_INVALID);
    }
}

static void test_digest_covers_padding(void **state)
{
    need_root();
    CLEANUP_CLOSE int root = prepare(state);
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(FIXTURE_TAR_MAX);
    struct unpack_result result;
    char digest[DIGEST_TEXT_SIZE];
    const struct entry entries[] = {{"a", 'f', "text"}};
    make_tar(&tar, entries, 1, 0);
    buffer_append(&tar, "trailing bytes after the end", 28);
    digest_of(tar.data, tar.length, digest);
    assert_int_equal(unpack_bytes(root, tar.data, tar.length, &result, NULL), 0);
    assert_string_equal(result.diff_id, digest);
    assert_int_equal(result.size, 4);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keeps_metadata),
        TEST(test_whiteouts),
        TEST(test_overlay_attributes_dropped),
        TEST(test_absolute_name_contained),
        TEST(test_dotdot_refused),
        TEST(test_symlink_contained),
        TEST(test_absolute_symlink_contained),
        TEST(test_hardlink_out_refused),
        TEST(test_symlink_not_written_through),
        TEST(test_bad_whiteout_refused),
        TEST(test_bomb_refused),
        TEST(test_depth_refused),
        TEST(test_truncated),
        TEST(test_digest_covers_padding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
