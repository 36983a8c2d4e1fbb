/* The store: load, import, names, removal, holds, layers. */
#include "fixture.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"

static const struct entry nano[] = {{"bin", 'd'}, {"bin/sh", 'f', "#!"}};
static const struct entry other[] = {{"etc", 'd'}, {"etc/passwd", 'f', "root"}};

/* Names in a directory of the store, without "." and "..". */
static size_t count(void **state, const char *path)
{
    CLEANUP_FREE char *full = path_join(*state, path);
    CLEANUP_DIR DIR *dir = opendir(full);
    size_t n = 0;
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    return n - 2;
}

static size_t count_images(struct image_store *store)
{
    struct image **images;
    size_t n;
    assert_int_equal(image_list(store, NULL, &images, &n, NULL), 0);
    image_list_free(images, n);
    return n;
}

static void test_import_and_find(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP_FREE char *id = import_image(store, "hull/nano", nano, 2);
    struct image *image = NULL;
    char prefix[16];
    assert_int_equal(image_find(store, "hull/nano", &image, NULL), 0);
    assert_string_equal(image->id, id);
    assert_string_equal(image->tags[0], "hull/nano:latest");
    assert_int_equal(image->size, 2);
    image_free(image);
    string_copy(prefix, sizeof(prefix), id + strlen("sha256:"));
    assert_int_equal(image_find(store, prefix, &image, NULL), 0);
    image_free(image);
    image_store_close(store);
    /* It is there for the next process, too. */
    store = open_store(state);
    assert_int_equal(image_find(store, id, &image, NULL), 0);
    image_free(image);
    image_store_close(store);
}

static void test_not_found(void **state)
{
    struct image_store *store = open_store(state);
    struct image *image = NULL;
    struct error err = ERROR_INIT;
    assert_true(image_find(store, "nope", &image, &err) < 0);
    assert_int_equal(err.class, ERROR_NOT_FOUND);
    assert_string_equal(err.message, "No such image: nope:latest");
    assert_true(image_find(store, "A b", &image, &err) < 0);
    assert_int_equal(err.class, ERROR_INVALID);
    image_store_close(store);
}

static void test_second_opener_refused(void **state)
{
    struct image_store *store = open_store(state);
    struct image_store *second = NULL;
    const struct image_store_config config = {.root = *state};
    assert_int_equal(image_store_open(&config, &second, NULL), -EBUSY);
    image_store_close(store);
}

static int load(struct image_store *store, const struct buffer *archive, struct image_names *names,
                struct error *err)
{
    CLEANUP_CLOSE int fd = content_fd(archive->data, archive->length);
    return image_load(store, fd, true, NULL, NULL, names, err);
}

/* A helper that a killed hulld had forked holds the descriptors of its parent until it execs. */
static void test_killed_opener_leaves_no_lock(void **state)
{
    int ready[2];
    int hold[2];
    char byte;
    assert_int_equal(fd_pipe(0, ready), 0);
    assert_int_equal(fd_pipe(0, hold), 0);
    pid_t opener = fork();
    assert_true(opener >= 0);
    if (opener == 0) {
        struct image_store *store = NULL;
        const struct image_store_config config = {.root = *state};
        if (image_store_open(&config, &store, NULL) < 0)
            _exit(1);
        pid_t helper = fork();
        fd_close(hold[1]);
        if (helper == 0) {
            (void)!write(ready[1], "r", 1);
            (void)!read(hold[0], &byte, 1); /* until the test is over */
            _exit(0);
        }
        (void)pause();
        _exit(0);
    }
    fd_close(hold[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(kill(opener, SIGKILL), 0); /* it may still be on its way out below */
    struct image_store *store = open_store(state);
    image_store_close(store);
    assert_int_equal(waitpid(opener, NULL, 0), opener);
    fd_close(hold[1]);
    fd_close(ready[0]);
    fd_close(ready[1]);
}

static void test_load(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP(buffer_release) struct buffer layer = BUFFER_INIT(FIXTURE_TAR_MAX);
    CLEANUP(buffer_release) struct buffer archive = BUFFER_INIT(FIXTURE_TAR_MAX);
    CLEANUP(image_names_release) struct image_names names = IMAGE_NAMES_INIT;
    char diff_id[DIGEST_TEXT_SIZE];
    struct error err = ERROR_INIT;
    make_tar(&layer, nano, 2, 0);
    digest_of(layer.data, layer.length, diff_id);
    make_docker_archive(&archive, &layer, diff_id, "a/b:c");
    if (load(store, &archive, &names, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(names.names[0], "a/b:c");
    assert_int_equal(count(state, "image/blobs/sha256"), 3);
    image_store_close(store);
}

static void check_nothing_left(void **state)
{
    assert_int_equal(count(state, "image/blobs/sha256"), 0);
    assert_int_equal(count(state, "image/tmp"), 0);
    assert_int_equal(count(state, "layers"), 0);
}

static void test_load_wrong_digest(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP(buffer_release) struct buffer layer = BUFFER_INIT(FIXTURE_TAR_MAX);
    CLEANUP(buffer_release) struct buffer archive = BUFFER_INIT(FIXTURE_TAR_MAX);
    char diff_id[DIGEST_TEXT_SIZE];
    struct error err = ERROR_INIT;
    make_tar(&layer, nano, 2, 0);
    digest_of("something else", 14, diff_id);
    make_docker_archive(&archive, &layer, diff_id, "a");
    assert_true(load(store, &archive, NULL, &err) < 0);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_non_null(strstr(err.message, diff_id));
    check_nothing_left(state);
    image_store_close(store);
}

static void test_load_truncated(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP(buffer_release) struct buffer layer = BUFFER_INIT(FIXTURE_TAR_MAX);
    CLEANUP(buffer_release) struct buffer archive = BUFFER_INIT(FIXTURE_TAR_MAX);
    char diff_id[DIGEST_TEXT_SIZE];
    make_tar(&layer, nano, 2, 0);
    digest_of(layer.data, layer.length, diff_id);
    make_docker_archive(&archive, &layer, diff_id, "a");
    size_t whole = archive.length;
    for (size_t length = 0; length < whole; length += whole / 13 + 1) {
        archive.length = length;
        assert_true(load(store, &archive, NULL, NULL) < 0);
        check_nothing_left(state);
    }
    archive.length = whole;
    image_store_close(store);
}

/* As docker saved images before version 25: the layers' files are not named by digests. */
static void test_truncated_layer_is_named(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP(buffer_release) struct buffer layer = BUFFER_INIT(FIXTURE_TAR_MAX);
    CLEANUP(buffer_release) struct buffer archive = BUFFER_INIT(FIXTURE_TAR_MAX);
    char diff_id[DIGEST_TEXT_SIZE];
    make_tar(&layer, nano, 2, 0);
    digest_of(layer.data, layer.length, diff_id);
    CLEANUP_FREE char *config = string_format(
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
        "\"diff_ids\":[\"%s\"]}}",
        diff_id);
    const struct entry entries[] = {
        {"manifest.json", 'f',
         "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:b\"],\"Layers\":[\"l/layer.tar\"]}]"},
        {"c.json", 'f', config},
        {"l/layer.tar", 'f', layer.data, .size = (int64_t)layer.length},
    };
    /* Also without manifest.json, which may come last: the configuration knows one layer only. */
    for (size_t skipped = 0; skipped < 2; skipped++) {
        struct error err = ERROR_INIT;
        buffer_clear(&archive);
        make_tar(&archive, entries + skipped, 3 - skipped, 0);
        const char *inside = memmem(archive.data, archive.length, layer.data, layer.length);
        assert_non_null(inside);
        archive.length = (size_t)(inside - archive.data) + layer.length / 2;
        assert_true(load(store, &archive, NULL, &err) < 0);
        assert_int_equal(err.class, ERROR_INVALID);
        assert_non_null(strstr(err.message, diff_id));
        check_nothing_left(state);
    }
    image_store_close(store);
}

/* The type of the only layer in an image's manifest, and whether its blob is the tar itself. */
static void check_layer(struct image_store *store, const struct image *image, const char *type,
                        bool plain)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_JSON json_t *manifest = NULL;
    const char *found = NULL;
    const char *digest = NULL;
    assert_int_equal(image_manifest_text(store, image, &text, NULL), 0);
    assert_int_equal(json_parse(text, strlen(text), &manifest, NULL), 0);
    const json_t *layer = json_array_get(json_object_get(manifest, "layers"), 0);
    assert_int_equal(json_need_string(layer, "mediaType", &found, NULL), 0);
    assert_int_equal(json_need_string(layer, "digest", &digest, NULL), 0);
    assert_string_equal(found, type);
    assert_int_equal(strcmp(digest, image->config->diff_ids[0]) == 0, plain);
}

static void test_import_says_how_it_is_compressed(void **state)
{
    need_root();
    static const struct {
        char compression;
        const char *type;
        bool plain;
    } cases[] = {
        {0, "application/vnd.oci.image.layer.v1.tar", true},
        {'g', "application/vnd.oci.image.layer.v1.tar+gzip", false},
        {'z', "application/vnd.oci.image.layer.v1.tar+zstd", false},
        {'x', "application/vnd.oci.image.layer.v1.tar", true}, /* there is no type for xz */
        {'b', "application/vnd.oci.image.layer.v1.tar", true}, /* nor for bzip2 */
    };
    struct image_store *store = open_store(state);
    CLEANUP(buffer_release) struct buffer plain = BUFFER_INIT(FIXTURE_TAR_MAX);
    char diff_id[DIGEST_TEXT_SIZE];
    make_tar(&plain, nano, 2, 0);
    digest_of(plain.data, plain.length, diff_id);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(FIXTURE_TAR_MAX);
        struct image *image = NULL;
        make_tar(&tar, nano, 2, cases[i].compression);
        CLEANUP_CLOSE int fd = content_fd(tar.data, tar.length);
        const struct image_import_options options = {.reference = "imported"};
        struct error err = ERROR_INIT;
        if (image_import(store, fd, &options, NULL, NULL, &err) < 0)
            fail_msg("%s", err.message);
        assert_int_equal(image_find(store, "imported", &image, NULL), 0);
        assert_string_equal(image->config->diff_ids[0], diff_id);
        check_layer(store, image, cases[i].type, cases[i].plain);
        image_free(image);
    }
    image_store_close(store);
}

static void test_load_of_a_layer_in_xz(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP(buffer_release) struct buffer plain = BUFFER_INIT(FIXTURE_TAR_MAX);
    CLEANUP(buffer_release) struct buffer layer = BUFFER_INIT(FIXTURE_TAR_MAX);
    CLEANUP(buffer_release) struct buffer archive = BUFFER_INIT(FIXTURE_TAR_MAX);
    struct image *image = NULL;
    char diff_id[DIGEST_TEXT_SIZE];
    make_tar(&plain, nano, 2, 0);
    make_tar(&layer, nano, 2, 'x');
    digest_of(plain.data, plain.length, diff_id);
    make_docker_archive(&archive, &layer, diff_id, "a");
    assert_int_equal(load(store, &archive, NULL, NULL), 0);
    assert_int_equal(image_find(store, "a", &image, NULL), 0);
    check_layer(store, image, "application/vnd.oci.image.layer.v1.tar", true);
    image_free(image);
    image_store_close(store);
}

static void test_hold_size(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP_FREE char *id = import_image(store, "a", nano, 2);
    int64_t size = -1;
    assert_true(image_hold_size(store, "holder", &size, NULL) < 0);
    assert_int_equal(size, -1);
    assert_int_equal(image_hold(store, "holder", id, NULL), 0);
    assert_int_equal(image_hold_size(store, "holder", &size, NULL), 0);
    assert_int_equal(size, 2);
    image_store_close(store);
}

static void test_tag_moves(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP_FREE char *first = import_image(store, "a", nano, 2);
    CLEANUP_FREE char *second = import_image(store, "b", other, 2);
    struct image *image = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(image_tag(store, "a", "b", NULL), 0);
    assert_int_equal(image_find(store, "b", &image, NULL), 0);
    assert_string_equal(image->id, first);
    image_free(image);
    assert_int_equal(image_find(store, second, &image, NULL), 0);
    assert_int_equal(strv_length(image->tags), 0);
    image_free(image);
    assert_true(image_tag(store, "a",
                          "x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef01"
                          "23456789abcdef",
                          &err) < 0);
    assert_string_equal(err.message, "refusing to create a tag with a digest reference");
    image_store_close(store);
}

static void test_remove(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP(image_removals_release) struct image_removals removals = IMAGE_REMOVALS_INIT;
    CLEANUP_FREE char *id = import_image(store, "a", nano, 2);
    assert_int_equal(image_tag(store, "a", "b:1", NULL), 0);
    assert_int_equal(image_remove(store, "a", false, true, NULL, &removals, NULL, NULL), 0);
    assert_int_equal(removals.n, 1);
    assert_string_equal(removals.entries[0].text, "a:latest");
    assert_int_equal(image_remove(store, "b:1", false, true, NULL, &removals, NULL, NULL), 0);
    assert_int_equal(removals.n, 4);
    assert_true(removals.entries[2].deleted);
    assert_string_equal(removals.entries[2].text, id);
    check_nothing_left(state);
    image_store_close(store);
}

struct user {
    bool used;
    bool running;
};

static int find_user(void *data, const char *image_id, char ret_container[65], bool *ret_running)
{
    const struct user *user = data;
    (void)image_id;
    string_copy(ret_container, 65, "0123456789abcdef");
    *ret_running = user->running;
    return user->used;
}

static void test_remove_conflicts(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP(image_removals_release) struct image_removals removals = IMAGE_REMOVALS_INIT;
    CLEANUP_FREE char *id = import_image(store, "a", nano, 2);
    struct user user = {.used = true};
    const struct image_users users = {find_user, &user};
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *by_name = string_format(
        "conflict: unable to remove repository reference \"a\" (must force) - container "
        "0123456789ab is using its referenced image %.12s",
        id + 7);
    CLEANUP_FREE char *stopped =
        string_format("conflict: unable to delete %.12s (must be forced) - "
                      "image is being used by stopped container "
                      "0123456789ab",
                      id + 7);
    CLEANUP_FREE char *running =
        string_format("conflict: unable to delete %.12s (cannot be forced) "
                      "- image is being used by running container "
                      "0123456789ab",
                      id + 7);
    assert_true(image_remove(store, "a", false, true, &users, &removals, NULL, &err) < 0);
    assert_string_equal(err.message, by_name);
    assert_int_equal(err.class, ERROR_CONFLICT);
    assert_true(image_remove(store, id, false, true, &users, &removals, NULL, &err) < 0);
    assert_string_equal(err.message, stopped);
    user.running = true;
    assert_true(image_remove(store, id, true, true, &users, &removals, NULL, &err) < 0);
    assert_string_equal(err.message, running);
    user.running = false;
    assert_int_equal(image_remove(store, id, true, true, &users, &removals, NULL, &err), 0);
    assert_int_equal(count_images(store), 0);
    image_store_close(store);
}

static void test_hold_keeps_layers(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP(image_removals_release) struct image_removals removals = IMAGE_REMOVALS_INIT;
    CLEANUP_FREE char *id = import_image(store, "a", nano, 2);
    CLEANUP_STRV char **paths = NULL;
    assert_int_equal(image_hold(store, "c1", id, NULL), 0);
    assert_int_equal(image_remove(store, id, true, true, NULL, &removals, NULL, NULL), 0);
    image_store_close(store);
    store = open_store(state);
    assert_int_equal(image_hold_layers(store, "c1", IMAGE_LAYERS_TREE, &paths, NULL), 0);
    assert_int_equal(access(paths[0], F_OK), 0);
    assert_int_equal(image_release(store, "c1", NULL), 0);
    assert_true(access(paths[0], F_OK) < 0);
    image_store_close(store);
}

static void test_holds_retain(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP_FREE char *id = import_image(store, "a", nano, 2);
    char one[] = "c1";
    char *keep[] = {one, NULL};
    assert_int_equal(image_hold(store, "c1", id, NULL), 0);
    assert_int_equal(image_hold(store, "c2", id, NULL), 0);
    assert_int_equal(image_holds_retain(store, keep, NULL), 0);
    assert_int_equal(count(state, "image/holds"), 1);
    assert_true(image_hold(store, "../x", id, NULL) < 0);
    image_store_close(store);
}

static void test_prune(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP(image_removals_release) struct image_removals removals = IMAGE_REMOVALS_INIT;
    CLEANUP_FREE char *named = import_image(store, "a", nano, 2);
    CLEANUP_FREE char *dangling = import_image(store, NULL, other, 2);
    struct image_filter all = {.dangling = 0};
    assert_string_not_equal(named, dangling);
    assert_int_equal(image_prune(store, NULL, NULL, &removals, NULL), 0);
    assert_int_equal(count_images(store), 1);
    assert_string_equal(removals.entries[0].text, dangling);
    assert_true(removals.space_reclaimed > 0);
    assert_int_equal(image_prune(store, &all, NULL, &removals, NULL), 0);
    assert_int_equal(count_images(store), 0);
    image_store_close(store);
}

static size_t count_filtered(struct image_store *store, const struct image_filter *filter)
{
    struct image **images;
    size_t n;
    assert_int_equal(image_list(store, filter, &images, &n, NULL), 0);
    image_list_free(images, n);
    return n;
}

static void test_filters(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP_FREE char *a = import_image(store, "x/a:1", nano, 2);
    CLEANUP_FREE char *b = import_image(store, NULL, other, 2);
    assert_string_not_equal(a, b);
    char pattern[] = "x/*";
    char *patterns[] = {pattern, NULL};
    struct image_filter filter = {.dangling = -1, .references = patterns};
    assert_int_equal(count_filtered(store, &filter), 1);
    filter = (struct image_filter){.dangling = 1};
    assert_int_equal(count_filtered(store, &filter), 1);
    filter = (struct image_filter){.dangling = 0};
    assert_int_equal(count_filtered(store, &filter), 1);
    filter = (struct image_filter){.dangling = -1, .since = a};
    assert_int_equal(count_filtered(store, &filter), 1);
    filter = (struct image_filter){.dangling = -1, .before = a};
    assert_int_equal(count_filtered(store, &filter), 0);
    image_store_close(store);
}

static void test_platform(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP_FREE char *id = import_image(store, "a", nano, 2);
    struct image *image = NULL;
    struct error err = ERROR_INIT;
    const struct image_platform arm = {"linux", "arm64", NULL};
    assert_int_equal(image_find(store, id, &image, NULL), 0);
    assert_int_equal(image_check_platform(store, image, "a", NULL, false, NULL), 0);
    assert_true(image_check_platform(store, image, "a", &arm, false, &err) < 0);
    assert_string_equal(err.message, "image a is for linux/amd64, but linux/arm64 is needed");
    image_free(image);
    image_store_close(store);
}

static void test_erofs(void **state)
{
    need_root();
    struct image_store *store = open_store(state);
    CLEANUP_FREE char *id = import_image(store, "a", nano, 2);
    CLEANUP_STRV char **paths = NULL;
    struct image *image = NULL;
    struct error err = ERROR_INIT;
    struct stat st;
    assert_int_equal(image_find(store, id, &image, NULL), 0);
    int r = image_layers_get(store, image, IMAGE_LAYERS_EROFS, &paths, &err);
    image_free(image);
    image_store_close(store);
    if (r == -ENOENT) {
        print_message("skipped: mkfs.erofs is not installed\n");
        skip();
    }
    assert_int_equal(r, 0);
    assert_int_equal(stat(paths[0], &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0444);
    /* Its superblock, and nothing else in there but the layer's own. */
    uint32_t magic = 0;
    CLEANUP_CLOSE int fd = open(paths[0], O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, &magic, sizeof(magic), 1024), sizeof(magic));
    assert_int_equal(le32toh(magic), 0xe0f5e1e2);
    CLEANUP_FREE char *pattern =
        string_format("%.*s/.*.erofs*", (int)(strrchr(paths[0], '/') - paths[0]), paths[0]);
    glob_t found = {0};
    assert_int_equal(glob(pattern, 0, NULL, &found), GLOB_NOMATCH);
}

static void test_leftovers_cleaned(void **state)
{
    struct image_store *store = open_store(state);
    image_store_close(store);
    const char *made[] = {"layers/.tmp-1", "layers/0123456789abcdef", "layers/.tmp-1/fs"};
    for (size_t i = 0; i < 3; i++) {
        CLEANUP_FREE char *path = path_join(*state, made[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    CLEANUP_FREE char *temp = path_join(*state, "image/tmp/blob-1");
    assert_int_equal(mknod(temp, S_IFREG | 0600, 0), 0);
    store = open_store(state);
    check_nothing_left(state);
    image_store_close(store);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_import_and_find),
        TEST(test_not_found),
        TEST(test_second_opener_refused),
        TEST(test_killed_opener_leaves_no_lock),
        TEST(test_load),
        TEST(test_load_wrong_digest),
        TEST(test_load_truncated),
        TEST(test_truncated_layer_is_named),
        TEST(test_import_says_how_it_is_compressed),
        TEST(test_load_of_a_layer_in_xz),
        TEST(test_hold_size),
        TEST(test_tag_moves),
        TEST(test_remove),
        TEST(test_remove_conflicts),
        TEST(test_hold_keeps_layers),
        TEST(test_holds_retain),
        TEST(test_prune),
        TEST(test_filters),
        TEST(test_platform),
        TEST(test_erofs),
        TEST(test_leftovers_cleaned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
