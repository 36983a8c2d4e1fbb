/* What a hostile archive, and a container that moves things while it is unpacked, can do. */
#include "test-tree-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "sandbox/archive-header.h"

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

/* Everything below a directory: names, types, contents. */
static char *list(const char *path)
{
    CLEANUP_FREE char *command = string_format(
        "cd %s && find . -mindepth 1 -printf '%%P %%y %%l\\n' -type f -exec cat {} \\; | sort",
        path);
    struct buffer text = BUFFER_INIT(1 << 20);

    assert_non_null(command);
    assert_int_equal(process_run((char *[]){(char[]){"/bin/sh"}, (char[]){"-ec"}, command, NULL},
                                 NULL, &text, 0, NULL),
                     0);
    return buffer_take(&text);
}

/* <scratch>/root with etc/passwd, in/, and links; <scratch>/outside, which must stay as it is. */
static int prepare(void *state)
{
    int root = scratch_make(state, "root");
    CLEANUP_FREE char *path = scratch_path(state, "");

    run("cd %s && mkdir outside && printf secret > outside/secret && cd root && "
        "mkdir etc in && printf users > etc/passwd && ln -s ../../outside up && "
        "ln -s / slash && ln -s /outside absolute && ln -s etc/passwd to-file && ln -s in to-in",
        path);
    CLEANUP_FREE char *link = scratch_path(state, "root/real");
    CLEANUP_FREE char *outside = scratch_path(state, "outside");
    assert_int_equal(symlink(outside, link), 0);
    return root;
}

static void assert_outside_untouched(void *state)
{
    CLEANUP_FREE char *path = scratch_path(state, "outside");
    CLEANUP_FREE char *text = list(path);
    CLEANUP_FREE char *secret = scratch_path(state, "outside/secret");
    struct stat st;

    assert_string_equal(text, "secret\nsecret f \n");
    assert_int_equal(stat(secret, &st), 0);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(st.st_mode & 07777, 0644);
}

static void test_hostile_names(void **state)
{
    static const struct {
        struct member members[3];
        size_t n;
        const char *error; /* NULL: it is taken, and stays inside */
    } rows[] = {
        {{{TAR_FILE, "../x"}}, 1, "\"../x\" is outside of \"/in\""},
        {{{TAR_FILE, "a/../../x"}}, 1, "is outside of"},
        {{{TAR_DIRECTORY, ".."}}, 1, "is outside of"},
        {{{TAR_SYMLINK, "a/../..", "x"}}, 1, "is outside of"},
        {{{TAR_FILE, "/x"}}, 1, NULL},
        {{{TAR_FILE, "//../x"}}, 1, "is outside of"},
        {{{TAR_FILE, "./a//./b/../x"}}, 1, NULL},
        {{{TAR_SYMLINK, "s", "../../../outside"}, {TAR_FILE, "s/x", .content = "x"}}, 2, NULL},
        {{{TAR_SYMLINK, "s", "/outside"}, {TAR_FILE, "s/secret", .content = "x"}}, 2, NULL},
        {{{TAR_SYMLINK, "s", "../real"}, {TAR_FILE, "s/secret", .content = "x"}}, 2, NULL},
        {{{TAR_SYMLINK, "s", "../real/secret"}, {TAR_FILE, "s", .content = "x"}}, 2, NULL},
        {{{TAR_SYMLINK, "s", "../real/secret"}, {TAR_HARDLINK, "h", "s"}, {TAR_FILE, "h"}},
         3,
         NULL},
        {{{TAR_SYMLINK, "s", "s"}, {TAR_FILE, "s/x"}}, 2, "Too many levels"},
        {{{TAR_HARDLINK, "h", "../etc/passwd"}}, 1, "invalid hardlink \"h\" -> \"../etc/passwd\""},
        {{{TAR_HARDLINK, "h", "/etc/passwd"}}, 1, "cannot link to 'etc/passwd'"},
        {{{TAR_HARDLINK, "h", "h"}}, 1, "is a link to itself"},
        {{{TAR_HARDLINK, "h", "."}}, 1, "is a link to itself"},
        {{{TAR_DIRECTORY, "d"}, {TAR_HARDLINK, "h", "d"}}, 2, "cannot link"},
        {{{TAR_FILE, "f"}, {TAR_FILE, "f/x"}}, 2, "Not a directory"},
        {{{TAR_FILE, "."}}, 1, "the top of the archive is no directory"},
        {{{TAR_CHARACTER, "c"}}, 1, "'c': it is a device"},
        {{{TAR_BLOCK, "b"}}, 1, "'b': it is a device"},
        {{{TAR_SOCKET, "s"}}, 1, NULL},
        {{{TAR_FIFO, "p"}}, 1, NULL},
    };
    const struct tree_extract_options options = {.flags = 0};

    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP_CLOSE int root = prepare(*state);
        CLEANUP_FREE char *all = scratch_path(*state, "");
        CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
        struct error err = ERROR_INIT;
        int r;

        make_archive(&tar, rows[i].members, rows[i].n);
        r = extract_bytes(root, "/in", &options, tar.data, tar.length, &err);
        if ((r < 0) != (rows[i].error != NULL) || (r < 0 && !strstr(err.message, rows[i].error)))
            fail_msg("row %zu: %s", i, r < 0 ? err.message : "no error");
        assert_outside_untouched(*state);
        run("rm -rf %s/*", all);
    }
}

static void test_overwrite(void **state)
{
    static const struct {
        unsigned flags;
        struct member member;
        const char *error;
    } rows[] = {
        {TREE_EXTRACT_KEEP_TYPES,
         {TAR_FILE, "d", .content = "n"},
         "cannot overwrite directory \"/d\" with non-directory \"/\""},
        {TREE_EXTRACT_KEEP_TYPES,
         {TAR_DIRECTORY, "f", .mode = 0755},
         "cannot overwrite non-directory \"/f\" with directory \"/\""},
        {TREE_EXTRACT_KEEP_TYPES,
         {TAR_DIRECTORY, "s", .mode = 0755},
         "cannot overwrite non-directory \"/s\" with directory \"/\""},
        {0, {TAR_FILE, "d", .content = "n"}, NULL},
        {0, {TAR_DIRECTORY, "f", .mode = 0755}, NULL},
        {0, {TAR_DIRECTORY, "s", .mode = 0755}, NULL},
        {TREE_EXTRACT_KEEP_TYPES, {TAR_FILE, "s", .content = "n"}, NULL},
        {TREE_EXTRACT_KEEP_TYPES, {TAR_DIRECTORY, "d", .mode = 0700}, NULL},
        {0, {TAR_FILE, "s/y", .content = "n"}, NULL},
        {0, {TAR_FILE, "new/deep/y", .content = "n"}, NULL},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct tree_extract_options options = {.flags = rows[i].flags};
        CLEANUP_CLOSE int root = scratch_make(*state, "root");
        CLEANUP_FREE char *path = scratch_path(*state, "root");
        CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
        struct error err = ERROR_INIT;
        struct stat st;
        int r;

        run("cd %s && mkdir d && printf x > d/x && printf f > f && ln -s d s", path);
        make_archive(&tar, &rows[i].member, 1);
        r = extract_bytes(root, "/", &options, tar.data, tar.length, &err);
        if (rows[i].error)
            assert_string_equal(err.message, rows[i].error);
        assert_int_equal(r < 0, rows[i].error != NULL);
        assert_int_equal(fstatat(root, rows[i].member.path, &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(S_ISDIR(st.st_mode),
                         (rows[i].member.type == TAR_DIRECTORY) == (rows[i].error == NULL));
        run("rm -rf %s", path);
    }
}

static void test_destination(void **state)
{
    const struct tree_extract_options options = {.flags = 0};
    const struct member member = {TAR_FILE, "x", .content = "x"};
    CLEANUP_CLOSE int root = prepare(*state);
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
    struct error err = ERROR_INIT;
    struct stat st;

    make_archive(&tar, &member, 1);
    assert_int_equal(extract_bytes(root, "/nowhere", &options, tar.data, tar.length, &err),
                     -ENOENT);
    assert_int_equal(err.class, ERROR_NOT_FOUND);
    assert_int_equal(extract_bytes(root, "/to-file", &options, tar.data, tar.length, &err),
                     -EINVAL);
    assert_string_equal(err.message, "extraction point is not a directory");
    /* A link to a directory is the directory; one that leads outside leads to nothing. */
    assert_int_equal(extract_bytes(root, "/slash/to-in", &options, tar.data, tar.length, NULL), 0);
    assert_int_equal(fstatat(root, "in/x", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(extract_bytes(root, "/up", &options, tar.data, tar.length, NULL), -ENOENT);
    assert_int_equal(extract_bytes(root, "/real", &options, tar.data, tar.length, NULL), -ENOENT);
    assert_outside_untouched(*state);
}

static void test_limits(void **state)
{
    static const struct member members[] = {
        {TAR_FILE, "a", .content = "12345"},
        {TAR_FILE, "b", .content = "12345"},
    };
    const struct tree_extract_options entries = {.max_entries = 1};
    const struct tree_extract_options bytes = {.max_bytes = 9};
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
    struct error err = ERROR_INIT;

    make_archive(&tar, members, 2);
    assert_int_equal(extract_bytes(root, "/", &entries, tar.data, tar.length, &err), -EINVAL);
    assert_string_equal(err.message, "archive has more than 1 members, 'b' is one too many");
    assert_int_equal(extract_bytes(root, "/", &bytes, tar.data, tar.length, &err), -EINVAL);
    assert_string_equal(err.message, "'b': archive has more than 9 bytes");
}

static void test_owner(void **state)
{
    static const struct member members[] = {
        {TAR_DIRECTORY, "d", .mode = 0755},
        {TAR_FILE, "d/f"},
        {TAR_SYMLINK, "d/s", "f"},
    };
    const struct tree_extract_owner owner = {.uid = 33, .gid = 44};
    const struct tree_extract_options options = {.owner = &owner};
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);

    make_archive(&tar, members, COUNT(members));
    assert_int_equal(extract_bytes(root, "/", &options, tar.data, tar.length, NULL), 0);
    for (size_t i = 0; i < COUNT(members); i++) {
        struct stat st;

        assert_int_equal(fstatat(root, members[i].path, &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_uid, 33);
        assert_int_equal(st.st_gid, 44);
    }
}

/* Every prefix of an archive is an error, and says so. */
static void test_cut_anywhere(void **state)
{
    static const struct member members[] = {
        {TAR_DIRECTORY, "d", .mode = 0755},
        {TAR_FILE, "d/\xc3\xa9", .content = "some content"},
        {TAR_HARDLINK, "h", "d/\xc3\xa9"},
    };
    const struct tree_extract_options options = {.flags = TREE_EXTRACT_RAW};
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);

    make_archive(&tar, members, COUNT(members));
    for (size_t length = 0; length < tar.length; length += length % 512 < 2 ? 1 : 85) {
        struct error err = ERROR_INIT;

        assert_int_equal(extract_bytes(root, "/", &options, tar.data, length, &err), -EINVAL);
        if (!strstr(err.message, "archive is cut off at byte "))
            fail_msg("%zu: %s", length, err.message);
    }
    assert_int_equal(extract_bytes(root, "/", &options, tar.data, tar.length, NULL), 0);
}

/* Headers are covered by their checksum: no byte of one can be changed. */
static void test_flip_header(void **state)
{
    const struct tree_extract_options options = {.flags = TREE_EXTRACT_RAW};
    const struct member member = {TAR_FILE, "f", .content = "x"};
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);

    make_archive(&tar, &member, 1);
    for (size_t i = 0; i < TAR_UNIT; i += 7) {
        struct error err = ERROR_INIT;

        tar.data[i] ^= 0x15;
        assert_int_equal(extract_bytes(root, "/", &options, tar.data, tar.length, &err), -EINVAL);
        assert_string_equal(err.message, "archive is damaged at byte 0: this is no tar header");
        tar.data[i] ^= 0x15;
    }
}

/* A member with this extended header. */
static void make_extended(struct buffer *ret, const char *records, size_t length, char flag)
{
    const struct member member = {TAR_FILE, "f", .content = "0123456789"};
    char block[TAR_UNIT];

    header_make_extended(block, (int64_t)length);
    if (flag != 'x') {
        unsigned sum = 0;

        block[156] = flag;
        memset(block + 148, ' ', 8);
        for (size_t i = 0; i < sizeof(block); i++)
            sum += (unsigned char)block[i];
        snprintf(block + 148, 8, "%06o", sum);
    }
    assert_int_equal(buffer_append(ret, block, sizeof(block)), 0);
    assert_int_equal(buffer_append(ret, records, length), 0);
    while (ret->length % TAR_UNIT)
        assert_int_equal(buffer_append_char(ret, '\0'), 0);
    make_archive(ret, &member, 1);
}

static void test_bad_records(void **state)
{
    static const struct {
        const char *records;
        char flag;
        const char *error;
    } rows[] = {
        {"x", 'x', "invalid extended header"},
        {"0 path=a\n", 'x', "invalid extended header"},
        {"11 path=ab\n", 'x', NULL},
        {"12 path=ab\n", 'x', "invalid extended header"},
        {"10 path=ab\n", 'x', "invalid extended header"},
        {"99999999999999999999 path=a\n", 'x', "invalid extended header"},
        {"-1 path=a\n", 'x', "invalid extended header"},
        {"7 path\n", 'x', "invalid extended header"},
        {"6 =ab\n", 'x', "invalid extended header"},
        {"9 uid=-1\n", 'x', "invalid uid"},
        {"18 uid=4294967295\n", 'x', "invalid uid"},
        {"13 mtime=1e9\n", 'x', "invalid mtime"},
        {"11 mtime=.\n", 'x', "invalid mtime"},
        {"12 mtime=-5\n", 'x', NULL},
        {"28 size=9223372036854775807\n", 'x', "invalid size"},
        {"23 size=99999999999999\n", 'x', "archive is cut off"},
        {"19 SCHILY.xattr.=a\n", 'x', "an attribute has no name"},
        {"29 LIBARCHIVE.xattr.user.a=*\n", 'x', "invalid attribute"},
        {"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n", 'x', "invalid sparse map"},
        {"22 GNU.sparse.major=9\n", 'x', "in a format that is not known"},
        {"26 GNU.sparse.map=0,5,3,5\n", 'x', "invalid"},
        {"26 GNU.sparse.map=0,5,5,5\n22 GNU.sparse.size=10\n", 'x', NULL},
        {"26 GNU.sparse.map=0,5,5,5\n21 GNU.sparse.size=9\n", 'x', "invalid sparse map"},
        {"26 GNU.sparse.map=0,5,5,4\n22 GNU.sparse.size=10\n", 'x', "another size than its map"},
        {"24 GNU.sparse.map=0,5,5\n", 'x', "invalid sparse map"},
        {"11 path=ab\n", 'g', NULL},
        {"", 'L', "an empty name"},
        {"../../x", 'L', "is outside of"},
        {"l", 'L', NULL},
        {"x", 'Z', "a member of an unknown type"},
        {"x", 'M', "a member of an unknown type"},
        {"label", 'V', NULL},
    };
    const struct tree_extract_options options = {.flags = TREE_EXTRACT_RAW};
    CLEANUP_CLOSE int root = scratch_make(*state, "root");

    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
        struct error err = ERROR_INIT;
        int r;

        make_extended(&tar, rows[i].records, strlen(rows[i].records), rows[i].flag);
        r = extract_bytes(root, "/", &options, tar.data, tar.length, &err);
        if ((r < 0) != (rows[i].error != NULL) || (r < 0 && !strstr(err.message, rows[i].error)))
            fail_msg("row %zu: %s", i, r < 0 ? err.message : "no error");
    }
}

static void test_too_many_extensions(void **state)
{
    const struct tree_extract_options options = {.flags = 0};
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
    char block[TAR_UNIT];
    struct error err = ERROR_INIT;

    header_make_extended(block, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buffer_append(&tar, block, sizeof(block)), 0);
    assert_int_equal(extract_bytes(root, "/", &options, tar.data, tar.length, &err), -EINVAL);
    assert_non_null(strstr(err.message, "too many extended headers"));
}

static void test_end_of_archive(void **state)
{
    const struct tree_extract_options lax = {.flags = 0};
    const struct tree_extract_options strict = {.flags = TREE_EXTRACT_RAW};
    const struct member member = {TAR_FILE, "f", .content = "x"};
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);

    make_archive(&tar, &member, 1);
    assert_int_equal(extract_bytes(root, "/", &lax, tar.data, 1024, NULL), 0);
    assert_int_equal(extract_bytes(root, "/", &lax, tar.data, 1536, NULL), 0);
    assert_int_equal(extract_bytes(root, "/", &strict, tar.data, 1024, NULL), -EINVAL);
    assert_int_equal(extract_bytes(root, "/", &strict, tar.data, 1536, NULL), -EINVAL);
    assert_int_equal(extract_bytes(root, "/", &lax, tar.data, 0, NULL), 0);
}

/* --- attributes --- */

static void test_attributes_from_strangers(void **state)
{
    static const char *const refused[] = {
        "48 SCHILY.xattr.trusted.overlay.redirect=/etc/x\n",
        "39 SCHILY.xattr.trusted.overlay.else=y\n",
    };
    static const char records[] = "41 SCHILY.xattr.trusted.overlay.opaque=y\n"
                                  "28 SCHILY.xattr.trusted.a=b\n"
                                  "25 SCHILY.xattr.user.a=b\n";
    const struct tree_extract_options options = {.flags = 0};
    const struct tree_extract_options raw = {.flags = TREE_EXTRACT_RAW};
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
    struct error err = ERROR_INIT;
    char value[8];
    int fd;

    make_extended(&tar, records, strlen(records), 'x');
    if (extract_bytes(root, "/", &options, tar.data, tar.length, &err) < 0)
        fail_msg("%s", err.message);
    fd = openat(root, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fgetxattr(fd, "user.a", value, sizeof(value)), 1);
    assert_int_equal(fgetxattr(fd, "trusted.a", value, sizeof(value)), -1);
    assert_int_equal(fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)), -1);
    close(fd);
    assert_int_equal(extract_bytes(root, "/", &raw, tar.data, tar.length, NULL), 0);
    fd = openat(root, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fgetxattr(fd, "trusted.a", value, sizeof(value)), 1);
    assert_int_equal(fgetxattr(fd, "trusted.overlay.opaque", value, sizeof(value)), 1);
    close(fd);
    /* What would lead overlay elsewhere. */
    for (size_t i = 0; i < COUNT(refused); i++) {
        buffer_clear(&tar);
        make_extended(&tar, refused[i], strlen(refused[i]), 'x');
        assert_int_equal(extract_bytes(root, "/", &raw, tar.data, tar.length, &err), -EXDEV);
        assert_non_null(strstr(err.message, "'f': cannot set attribute trusted.overlay."));
    }
}

/* The kernel links all whiteouts of a layer to each other; the next file system may have a smaller
 * limit of links. Other inodes must stay one. */
static void test_more_links_than_allowed(void **state)
{
    enum { LINKS = 70000, NAME_SIZE = 16 };
    const struct tree_extract_options options = {.flags = TREE_EXTRACT_RAW};
    CLEANUP_CLOSE int root = scratch_make(*state, "root");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
    CLEANUP_FREE struct member *members = calloc(LINKS, sizeof(*members));
    CLEANUP_FREE char *names = calloc(LINKS, NAME_SIZE);
    struct error err = ERROR_INIT;
    struct stat st;

    assert_non_null(members);
    assert_non_null(names);
    for (int i = 0; i < LINKS; i++) {
        char *name = names + (size_t)i * NAME_SIZE;

        snprintf(name, NAME_SIZE, "w%d", i);
        members[i] = (struct member){i ? TAR_HARDLINK : TAR_CHARACTER, name, "w0"};
    }
    make_archive(&tar, members, LINKS);
    /* The fixture's devices are 1:3. */
    memcpy(tar.data + 329,
           "0000000\0"
           "0000000",
           16);
    memset(tar.data + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_UNIT; i++)
        sum += (unsigned char)tar.data[i];
    snprintf(tar.data + 148, 8, "%06o", sum);
    if (extract_bytes(root, "/", &options, tar.data, tar.length, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(fstatat(root, "w69999", &st, 0), 0);
    assert_true(S_ISCHR(st.st_mode));
    assert_int_equal(st.st_rdev, 0);
}

/* --- races --- */

enum { ROUNDS = 150, FILES = 40 };

struct swapper {
    int root;
    atomic_bool stop;
};

/* A directory and a link that leads out change places, again and again. */
static void *swap(void *data)
{
    struct swapper *swapper = data;

    while (!atomic_load(&swapper->stop))
        for (int i = 0; i < 64; i++)
            (void)syscall(SYS_renameat2, swapper->root, "d", swapper->root, "real",
                          RENAME_EXCHANGE);
    return NULL;
}

static void swap_while(void *state, int root, void (*work)(int root, const struct buffer *tar))
{
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
    struct swapper swapper = {.root = root};
    struct member members[FILES + 1] = {{TAR_DIRECTORY, "d", .mode = 0700}};
    char names[FILES][32];
    pthread_t id;

    for (int i = 0; i < FILES; i++) {
        snprintf(names[i], sizeof(names[i]), i % 4 ? "d/f%d" : "d/secret/%d", i);
        members[i + 1] = (struct member){
            .type = i % 4 == 1   ? TAR_DIRECTORY
                    : i % 4 == 2 ? TAR_FIFO
                                 : TAR_FILE,
            .path = names[i],
            .content = i % 4 == 3 ? "x" : NULL,
            .mode = 06777,
        };
    }
    make_archive(&tar, members, FILES + 1);
    assert_int_equal(mkdirat(root, "d", 0755), 0);
    assert_int_equal(pthread_create(&id, NULL, swap, &swapper), 0);
    for (int round = 0; round < ROUNDS; round++)
        work(root, &tar);
    atomic_store(&swapper.stop, true);
    assert_int_equal(pthread_join(id, NULL), 0);
    assert_outside_untouched(state);
}

static void extract_once(int root, const struct buffer *tar)
{
    const struct tree_extract_options options = {.flags = 0};

    (void)extract_bytes(root, "/", &options, tar->data, tar->length, NULL);
}

static void test_swap_while_extracting(void **state)
{
    CLEANUP_CLOSE int root = prepare(*state);

    swap_while(*state, root, extract_once);
}

static void extract_below(int root, const struct buffer *tar)
{
    const struct tree_extract_options options = {.flags = TREE_EXTRACT_DEVICES};

    (void)extract_bytes(root, "/d", &options, tar->data, tar->length, NULL);
}

static void test_swap_destination(void **state)
{
    CLEANUP_CLOSE int root = prepare(*state);

    swap_while(*state, root, extract_below);
}

static void write_once(int root, const struct buffer *tar)
{
    const struct tree_write_options options = {.name = "x"};
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(ARCHIVE_MAX);

    (void)tar;
    (void)write_tree(root, "/d/", &options, &out, NULL);
    (void)write_tree(root, "/", &options, &out, NULL);
    assert_null(memmem(out.data, out.length, "secret", strlen("secret")));
}

static void test_swap_while_writing(void **state)
{
    CLEANUP_CLOSE int root = prepare(*state);

    /* The link's own text is in the archive; its path has no "secret". */
    swap_while(*state, root, write_once);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hostile_names),
        TEST(test_overwrite),
        TEST(test_destination),
        TEST(test_limits),
        TEST(test_owner),
        TEST(test_cut_anywhere),
        TEST(test_flip_header),
        TEST(test_bad_records),
        TEST(test_too_many_extensions),
        TEST(test_end_of_archive),
        TEST(test_attributes_from_strangers),
        TEST(test_more_links_than_allowed),
        TEST(test_swap_while_extracting),
        TEST(test_swap_destination),
        TEST(test_swap_while_writing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
