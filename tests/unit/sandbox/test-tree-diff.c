/* What docker is told of a container's files: changes against the image, and single paths. */
#include "test-tree-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/process.h"
#include "base/strings.h"
#include "sandbox/tree-compare.h"
#include "sandbox/tree-diff.h"
#include "sandbox/tree-path.h"
#include "sandbox/tree-stat.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void run(const char *format, const char *path)
{
    CLEANUP_FREE char *command = string_format(format, path);
    struct error err = ERROR_INIT;

    assert_non_null(command);
    if (process_run((char *[]){(char[]){"/bin/sh"}, (char[]){"-ec"}, command, NULL}, NULL, NULL, 0,
                    &err) < 0)
        fail_msg("%s", err.message);
}

/* --- changes --- */

static char *diff(void *state, char *const *hidden)
{
    CLEANUP_CLOSE int upper = scratch_make(state, "upper");
    CLEANUP_CLOSE int top = scratch_make(state, "top");
    CLEANUP_CLOSE int bottom = scratch_make(state, "bottom");
    CLEANUP(tree_changes_release) struct tree_changes changes = {.items = NULL};
    struct buffer text = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    if (tree_diff(upper, (int[]){top, bottom}, 2, hidden, &changes, &err) < 0)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < changes.n; i++)
        assert_int_equal(
            buffer_printf(&text, "%c %s\n", "CAD"[changes.items[i].kind], changes.items[i].path),
            0);
    return buffer_take(&text);
}

/* Two layers, and a container's overlay over them at <scratch>/merged. */
static void mount_overlay(void *state)
{
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FREE char *merged = NULL;
    CLEANUP_FREE char *options = NULL;

    close(scratch_make(state, "upper"));
    path = scratch_path(state, "");
    merged = scratch_path(state, "merged");
    run("cd %s && mkdir top bottom work merged && cd bottom && "
        "mkdir -p usr/bin etc var/lib/a var/lib/b opt && printf 1 > usr/bin/tool && "
        "printf 1 > etc/config && printf 1 > etc/gone-in-image && printf 1 > var/lib/a/x && "
        "printf 1 > var/lib/a/y && printf 1 > opt/file && ln -s x link && "
        "cd ../top && mkdir -p etc usr && printf 2 > etc/config2 && mknod etc/gone-in-image c 0 0 "
        "&& "
        "touch -d @1000000000 ../bottom/* ../top/*",
        path);
    options = string_format("lowerdir=%s/top:%s/bottom,upperdir=%s/upper,workdir=%s/work", path,
                            path, path, path);
    assert_non_null(options);
    if (mount("overlay", merged, "overlay", 0, options) < 0) {
        print_message("no overlay here: %s\n", strerror(errno));
        skip();
    }
}

static void unmount_overlay(void *state)
{
    CLEANUP_FREE char *merged = scratch_path(state, "merged");

    assert_int_equal(umount2(merged, 0), 0);
}

static void test_changes(void **state)
{
    static const struct {
        const char *commands;
        const char *changes;
    } rows[] = {
        {":", ""},
        {"printf 2 > etc/new", "C /etc\nA /etc/new\n"},
        {"printf 2 > etc/config", "C /etc\nC /etc/config\n"},
        {"rm usr/bin/tool", "C /usr\nC /usr/bin\nD /usr/bin/tool\n"},
        {"rm -r var/lib", "C /var\nD /var/lib\n"},
        {"mkdir -p new/deep && touch new/deep/f", "A /new\nA /new/deep\nA /new/deep/f\n"},
        {"chmod 700 opt", "C /opt\n"},
        {"chown 1 opt/file", "C /opt\nC /opt/file\n"},
        {"rm -r opt && printf x > opt", "C /opt\n"},
        {"rm link && mkdir link && touch link/f", "C /link\nA /link/f\n"},
        {"rm -r var/lib/a && mkdir var/lib/a && printf 2 > var/lib/a/z",
         "C /var\nC /var/lib\nC /var/lib/a\nD /var/lib/a/x\nD /var/lib/a/y\nA /var/lib/a/z\n"},
        /* Copied up, not changed. */
        {": >> etc/config", ""},
        {"touch -c -d @5 etc/config", "C /etc\nC /etc/config\n"},
        {"mknod dev c 1 3", "A /dev\n"},
        {"printf 2 > etc/gone-in-image", "C /etc\nA /etc/gone-in-image\n"},
        {"touch a a-b && rm -r opt && touch zz", "A /a\nA /a-b\nD /opt\nA /zz\n"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP_FREE char *command = string_format("cd %%s/merged && %s", rows[i].commands);
        CLEANUP_FREE char *path = NULL;
        CLEANUP_FREE char *changes = NULL;

        mount_overlay(*state);
        path = scratch_path(*state, "");
        run(command, path);
        unmount_overlay(*state);
        changes = diff(*state, NULL);
        if (!string_equal(changes, rows[i].changes))
            fail_msg("%s: %s", rows[i].commands, changes);
        run("rm -rf %s/*", path);
    }
}

/* Seen through overlay a moved layer is what it was: twice moved, and changed again. */
static void test_layer_moves(void **state)
{
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FREE char *command = NULL;
    CLEANUP_CLOSE int upper = -EBADF;

    mount_overlay(*state);
    path = scratch_path(*state, "");
    CLEANUP_CLOSE int merged = scratch_make(*state, "merged");
    make_every_inode(merged, KIND_PLAIN);
    run("cd %s/merged && rm -r var/lib/a && mkdir var/lib/a && touch var/lib/a/new && "
        "rm etc/config etc/config2 link && chmod 711 usr/bin && touch opt/x && mv opt/file opt/y",
        path);
    upper = scratch_make(*state, "upper");
    for (int i = 0; i < 2; i++) {
        CLEANUP_FREE char *name = string_format("upper%d", i);
        CLEANUP_CLOSE int next = scratch_make(*state, name);

        copy_raw(upper, next);
        assert_same(upper, next, TREE_COMPARE_HOLES);
        close(upper);
        upper = fd_dup(next);
    }
    command = string_format("cd %%s && mkdir work2 merged2 && mount -t overlay overlay merged2 -o "
                            "lowerdir=top:bottom,upperdir=upper1,workdir=work2");
    assert_non_null(command);
    run(command, path);
    CLEANUP_CLOSE int moved = scratch_make(*state, "merged2");
    assert_same(merged, moved, TREE_COMPARE_HOLES);
    close(TAKE_FD(moved));
    close(TAKE_FD(merged));
    run("umount %s/merged2", path);
    unmount_overlay(*state);
}

static void test_hidden(void **state)
{
    char first[] = "/etc/hosts";
    char second[] = "/dev";
    char *hidden[] = {first, second, NULL};
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FREE char *changes = NULL;

    mount_overlay(*state);
    path = scratch_path(*state, "");
    run("cd %s/merged && touch etc/hosts && mkdir dev && touch dev/console opt/mine", path);
    unmount_overlay(*state);
    changes = diff(*state, hidden);
    assert_string_equal(changes, "C /opt\nA /opt/mine\n");
}

/* --- paths --- */

static void test_stat(void **state)
{
    static const struct {
        const char *path;
        const char *name;
        uint32_t mode;
        const char *target;
    } rows[] = {
        {"/", "/", 0x80000000 | 0755, ""},
        {"/d", "d", 0x80000000 | 0x100000 | 0777, ""},
        {"d/", "d", 0x80000000 | 0x100000 | 0777, ""},
        {"/d/.", ".", 0x80000000 | 0x100000 | 0777, ""},
        {"/d/f", "f", 0x800000 | 0755, ""},
        {"/d/s", "s", 0x8000000 | 0777, "/d/f"},
        {"/d/absolute", "absolute", 0x8000000 | 0777, "/d/f"},
        {"/d/chain", "chain", 0x8000000 | 0777, "/d/f"},
        {"/d/up", "up", 0x8000000 | 0777, "/etc/passwd"},
        {"/d/dangling", "dangling", 0x8000000 | 0777, "/d/no/where"},
        {"/to-d/f", "f", 0x800000 | 0755, ""},
        {"/to-d", "to-d", 0x8000000 | 0777, "/d"},
        {"/to-d/", "to-d", 0x80000000 | 0x100000 | 0777, ""},
        {"/null", "null", 0x4000000 | 0x200000 | 0644, ""},
        {"/fifo", "fifo", 0x2000000 | 0644, ""},
        {"/x/../d/f", "f", 0x800000 | 0755, ""},
    };
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP_FREE char *path = scratch_path(*state, "root");

    run("cd %s && umask 022 && mkdir d && printf 123 > d/f && chmod 4755 d/f && chmod 1777 d && "
        "ln -s f d/s && ln -s /d/f d/absolute && ln -s s d/chain && "
        "ln -s ../../../../etc/passwd d/up && ln -s no/where d/dangling && ln -s d to-d && "
        "mknod null c 1 3 && mkfifo fifo",
        path);
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(tree_stat_release) struct tree_stat stat = {.name = NULL};
        struct error err = ERROR_INIT;

        if (tree_stat(root, rows[i].path, &stat, &err) < 0)
            fail_msg("%s: %s", rows[i].path, err.message);
        assert_string_equal(stat.name, rows[i].name);
        assert_string_equal(stat.link_target, rows[i].target);
        if (stat.mode != rows[i].mode)
            fail_msg("%s: mode %x", rows[i].path, stat.mode);
    }
}

static void test_stat_refuses(void **state)
{
    static const struct {
        const char *path;
        int code;
    } rows[] = {
        {"/no", -ENOENT},         {"/f/x", -ENOTDIR}, {"/f/", -ENOTDIR},
        {"/loop/x", -ELOOP},      {"/loop", -ELOOP}, /* where it leads cannot be told */
        {"/out/secret", -ENOENT},
    };
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP_FREE char *path = scratch_path(*state, "");

    run("cd %s && printf s > secret && cd root && touch f && ln -s loop loop && ln -s .. out",
        path);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct tree_stat stat;
        struct error err = ERROR_INIT;

        assert_int_equal(tree_stat(root, rows[i].path, &stat, &err), rows[i].code);
        assert_int_equal(err.class == ERROR_NOT_FOUND, rows[i].code == -ENOENT);
    }
}

static void test_stat_json(void **state)
{
    struct tree_stat stat = {
        .name = (char[]){"n"},
        .size = 7,
        .mode = 0x80000000 | 0755,
        .mtime = {.tv_sec = 0},
        .link_target = (char[]){""},
    };
    CLEANUP_JSON json_t *json = tree_stat_to_json(&stat);
    CLEANUP_FREE char *text = json_dumps(json, JSON_COMPACT);

    (void)state;
    assert_string_equal(text, "{\"name\":\"n\",\"size\":7,\"mode\":2147484141,"
                              "\"mtime\":\"1970-01-01T00:00:00Z\",\"linkTarget\":\"\"}");
}

static void test_times(void **state)
{
    static const struct {
        struct timespec time;
        const char *text;
    } rows[] = {
        {{0, 0}, "1970-01-01T00:00:00Z"},
        {{1700000000, 120000000}, "2023-11-14T22:13:20.12Z"},
        {{1700000000, 1}, "2023-11-14T22:13:20.000000001Z"},
        {{-1, 500000000}, "1969-12-31T23:59:59.5Z"},
        {{-62167219200, 0}, "0000-01-01T00:00:00Z"},
        {{INT64_MAX, 0}, "9999-12-31T23:59:59Z"},
        {{INT64_MIN, 0}, "0000-01-01T00:00:00Z"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[TREE_TIME_SIZE];

        assert_string_equal(tree_stat_format_time(rows[i].time, text), rows[i].text);
    }
}

static void test_clean_paths(void **state)
{
    static const struct {
        const char *path;
        const char *clean;
        const char *base;
    } rows[] = {
        {"", "/", "/"},
        {"/", "/", "/"},
        {".", "/.", "."},
        {"/.", "/.", "."},
        {"a", "/a", "a"},
        {"a/", "/a/", "a"},
        {"//a//b/", "/a/b/", "b"},
        {"/a/.", "/a/.", "."},
        {"/a/../b/.", "/b/.", "."},
        {"../..", "/", "/"},
        {"/a/./b", "/a/b", "b"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP_FREE char *clean = tree_path_clean(rows[i].path);
        CLEANUP_FREE char *base = tree_path_base(rows[i].clean);

        assert_string_equal(clean, rows[i].clean);
        assert_string_equal(base, rows[i].base);
    }
}

static void test_member_names(void **state)
{
    static const struct {
        const char *name;
        const char *clean; /* NULL: refused */
    } rows[] = {
        {"a", "a"},        {"/a", "a"},           {"./a/", "a"},   {".", ""},
        {"/", ""},         {"a/..", ""},          {"a/../b", "b"}, {"..", NULL},
        {"a/../..", NULL}, {"/..", NULL},         {"a//b", "a/b"}, {"...", "..."},
        {"..a", "..a"},    {"a/./b/../c", "a/c"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP_FREE char *clean = NULL;

        assert_int_equal(tree_path_clean_member(rows[i].name, &clean), rows[i].clean ? 0 : -EINVAL);
        if (rows[i].clean)
            assert_string_equal(clean, rows[i].clean);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_changes),
        TEST(test_layer_moves),
        TEST(test_hidden),
        TEST(test_stat),
        TEST(test_stat_refuses),
        cmocka_unit_test(test_stat_json),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_clean_paths),
        cmocka_unit_test(test_member_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
