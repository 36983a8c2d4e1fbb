/* Trees become archives and trees again, the same in all that can be seen of them. */
#include "test-tree-fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "sandbox/archive-reader.h"
#include "sandbox/archive-writer.h"
#include "sandbox/tree-compare.h"

static void test_raw_twice(void **state)
{
    CLEANUP_CLOSE int first = scratch_make(*state, "first");
    CLEANUP_CLOSE int second = scratch_make(*state, "second");
    CLEANUP_CLOSE int third = scratch_make(*state, "third");

    make_every_inode(first, KIND_ALL);
    copy_raw(first, second);
    assert_same(first, second, TREE_COMPARE_HOLES);
    copy_raw(second, third);
    assert_same(first, third, TREE_COMPARE_HOLES);
}

static void test_reading_leaves_times(void **state)
{
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_CLOSE int to = scratch_make(*state, "to");
    struct stat before, after, copy;

    make_every_inode(from, KIND_ALL);
    assert_int_equal(fstatat(from, "large", &before, 0), 0);
    copy_raw(from, to);
    assert_int_equal(fstatat(from, "large", &after, 0), 0);
    assert_int_equal(fstatat(to, "large", &copy, 0), 0);
    assert_memory_equal(&before.st_atim, &after.st_atim, sizeof(before.st_atim));
    assert_memory_equal(&before.st_atim, &copy.st_atim, sizeof(before.st_atim));
}

/* The comparison that all of this rests on sees what it should. */
static void test_compare_sees(void **state)
{
    static const char *const changes[] = {
        "chmod 600 %s/a-b",
        "chown 1:0 %s/a-b",
        "chown -h 1 %s/symlink",
        "touch -d @1 %s/a-b",
        "printf x > %s/a-b; touch -r %s/linked %s/a-b",
        "rm %s/linked-too; cp -p %s/linked %s/linked-too",
        "rm %s/a/x",
        "touch %s/added",
        "rm %s/null",
        "ln -sfn other %s/symlink-bytes",
        "fallocate -p -l 4096 -o 0 %s/large",
    };
    CLEANUP_CLOSE int from = scratch_make(*state, "from");

    make_every_inode(from, KIND_PLAIN);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        CLEANUP_CLOSE int to = scratch_make(*state, "to");
        CLEANUP_FREE char *path = scratch_path(*state, "to");
        CLEANUP_FREE char *command = NULL;
        uint64_t n = 0;

        copy_raw(from, to);
        assert_same(from, to, 0);
        command = string_format(changes[i], path, path, path, path);
        assert_non_null(command);
        assert_int_equal(process_run((char *[]){(char[]){"/bin/sh"}, (char[]){"-c"}, command, NULL},
                                     NULL, NULL, 0, NULL),
                         0);
        assert_int_equal(tree_compare(from, to, 0, NULL, &n, NULL), 0);
        if (n == 0)
            fail_msg("not seen: %s", changes[i]);
        assert_int_equal(path_remove_tree(AT_FDCWD, path, NULL), 0);
    }
}

static void test_memory_and_pieces(void **state)
{
    const struct tree_write_options write_options = {.flags = TREE_WRITE_RAW};
    const struct tree_extract_options extract_options = {.flags = TREE_EXTRACT_RAW};
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_CLOSE int to = scratch_make(*state, "to");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);

    make_every_inode(from, KIND_ALL);
    assert_int_equal(write_tree(from, "", &write_options, &tar, NULL), 0);
    assert_int_equal(extract_bytes(to, "", &extract_options, tar.data, tar.length, NULL), 0);
    assert_same(from, to, TREE_COMPARE_HOLES);
}

/* A layer that says "see there" is not one that can be moved. */
static void test_refuses_redirects(void **state)
{
    static const char *const names[] = {"trusted.overlay.redirect", "trusted.overlay.metacopy"};
    const struct tree_write_options options = {.flags = TREE_WRITE_RAW};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CLEANUP_CLOSE int from = scratch_make(*state, i ? "second" : "first");
        CLEANUP_CLOSE int file = openat(from, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
        struct error err = ERROR_INIT;

        if (fsetxattr(file, names[i], "/x", 2, 0) < 0)
            skip();
        assert_int_equal(write_tree(from, "/", &options, &tar, &err), -EXDEV);
        assert_non_null(strstr(err.message, "'f': the layer is not whole: it has trusted"));
    }
}

struct shrinking {
    struct buffer *buffer;
    int file;
};

static int write_and_shrink(void *data, const void *bytes, size_t length, struct error *err)
{
    const struct shrinking *shrinking = data;

    (void)err;
    assert_int_equal(ftruncate(shrinking->file, 1000), 0);
    return buffer_append(shrinking->buffer, bytes, length);
}

static void test_shrinks_while_read(void **state)
{
    const struct tree_write_options options = {.name = NULL};
    const struct tree_extract_options extract = {.flags = 0};
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_CLOSE int to = scratch_make(*state, "to");
    CLEANUP_CLOSE int file = openat(from, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    CLEANUP_FREE char *data = malloc(3 << 20);
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
    struct shrinking shrinking = {.buffer = &tar, .file = file};
    const struct tar_sink sink = {.write = write_and_shrink, .data = &shrinking};
    struct stat st;
    char last;

    assert_non_null(data);
    memset(data, 'x', 3 << 20);
    assert_int_equal(fd_write_full(file, data, 3 << 20), 0);
    assert_int_equal(tree_write(from, "/", &options, &sink, NULL), 0);
    assert_int_equal(extract_bytes(to, "/", &extract, tar.data, tar.length, NULL), 0);
    CLEANUP_CLOSE int copy = openat(to, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(copy, &st), 0);
    assert_int_equal(st.st_size, 3 << 20);
    assert_int_equal(pread(copy, &last, 1, st.st_size - 1), 1);
    assert_int_equal(last, 0);
}

/* --- other programs --- */

static void run(const char *format, const char *a, const char *b)
{
    CLEANUP_FREE char *command = string_format(format, a, b);
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    assert_non_null(command);
    if (process_run((char *[]){(char[]){"/bin/sh"}, (char[]){"-c"}, command, NULL}, NULL, &output,
                    0, &err) < 0)
        fail_msg("%s", err.message);
}

static void write_to_file(void *state, int from, unsigned flags, const char *name)
{
    const struct tree_write_options options = {.flags = flags};
    CLEANUP_FREE char *path = scratch_path(state, name);
    CLEANUP_CLOSE int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const struct tar_sink sink = tar_sink_fd(&file);

    assert_int_equal(tree_write(from, "/", &options, &sink, NULL), 0);
}

static void test_gnu_tar_reads(void **state)
{
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_CLOSE int to = scratch_make(*state, "to");
    CLEANUP_FREE char *file = NULL;
    CLEANUP_FREE char *path = NULL;

    make_every_inode(from, KIND_PLAIN);
    file = scratch_path(*state, "tar");
    path = scratch_path(*state, "to");
    write_to_file(*state, from, TREE_WRITE_RAW, "tar");
    run("tar --numeric-owner --xattrs --xattrs-include='*' --delay-directory-restore -xpf %s -C %s",
        file, path);
    assert_same(from, to, TREE_COMPARE_HOLES);
}

static void test_gnu_tar_writes(void **state)
{
    static const char *const formats[] = {
        "--format=pax",
        "--format=pax --sparse --sparse-version=0.0",
        "--format=pax --sparse --sparse-version=0.1",
        "--format=pax --sparse --sparse-version=1.0",
    };
    const struct tree_extract_options options = {.flags = TREE_EXTRACT_RAW};
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_FREE char *file = scratch_path(*state, "tar");
    CLEANUP_FREE char *source_path = scratch_path(*state, "from");
    CLEANUP_FREE char *to_path = scratch_path(*state, "to");

    make_every_inode(from, KIND_PLAIN);
    /* Nine GiB of zeros if it is not written as holes. */
    assert_int_equal(unlinkat(from, "holes", 0), 0);
    assert_int_equal(utimensat(from, ".", (const struct timespec[]){{1, 2}, {3, 4}}, 0), 0);
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        CLEANUP_FREE char *command = string_format(
            "tar --numeric-owner --xattrs --xattrs-include='*' %s -cf %%s -C %%s .", formats[i]);
        CLEANUP_CLOSE int to = scratch_make(*state, "to");
        CLEANUP_CLOSE int tar = -EBADF;
        struct tar_source input = tar_source_fd(&tar);
        struct error err = ERROR_INIT;

        assert_non_null(command);
        run(command, file, source_path);
        tar = open(file, O_RDONLY | O_CLOEXEC);
        if (tree_extract(to, "/", &options, &input, NULL, &err) < 0)
            fail_msg("%s: %s", formats[i], err.message);
        assert_same(from, to, i == 0 ? 0 : TREE_COMPARE_HOLES);
        assert_int_equal(path_remove_tree(AT_FDCWD, to_path, NULL), 0);
    }
}

/* Formats that cannot carry all of it: what they have arrives. */
static void test_old_formats(void **state)
{
    static const char *const formats[] = {
        "--format=gnu",   "--format=gnu --sparse", "--format=oldgnu --sparse",
        "--format=ustar", "--format=v7",
    };
    const struct tree_extract_options options = {.flags = 0};
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_FREE char *file = scratch_path(*state, "tar");
    CLEANUP_FREE char *source_path = scratch_path(*state, "from");
    CLEANUP_FREE char *to_path = scratch_path(*state, "to");

    run("cd %s && mkdir -p d/e && printf text > d/e/f && ln d/e/f d/h && ln -s e d/s && chmod 741 "
        "d "
        "&& truncate -s 1M d/hole && printf x >> d/hole && for i in $(seq 40); do printf data | "
        "dd of=d/pieces bs=1 seek=${i}0000 2>/dev/null; done && "
        "n=$(printf '%%090d' 0) && mkdir d/$n && printf long > d/$n/g && chown -R 5:6 d && "
        "find d -exec touch -h -d @1500000000 {} +",
        source_path, "");
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        CLEANUP_FREE char *command =
            string_format("tar --numeric-owner %s -cf %%s -C %%s d", formats[i]);
        CLEANUP_CLOSE int to = scratch_make(*state, "to");
        CLEANUP_CLOSE int tar = -EBADF;
        struct tar_source input = tar_source_fd(&tar);
        struct error err = ERROR_INIT;
        const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

        assert_non_null(command);
        run(command, file, source_path);
        tar = open(file, O_RDONLY | O_CLOEXEC);
        if (tree_extract(to, "/", &options, &input, NULL, &err) < 0)
            fail_msg("%s: %s", formats[i], err.message);
        assert_int_equal(futimens(from, times), 0);
        assert_int_equal(futimens(to, times), 0);
        assert_same(from, to, 0);
        assert_int_equal(path_remove_tree(AT_FDCWD, to_path, NULL), 0);
    }
}

static void check_large_member(struct archive_entry *entry)
{
    assert_int_equal(archive_entry_size(entry), 3 * 1024 * 1024 + 7);
    assert_int_equal(archive_entry_mtime(entry), 1700000000);
    assert_int_equal(archive_entry_mtime_nsec(entry), 123456789);
}

static void test_libarchive_reads(void **state)
{
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_FREE char *file = scratch_path(*state, "tar");
    struct archive *reader = archive_read_new();
    struct archive_entry *entry;
    size_t seen = 0;

    make_every_inode(from, KIND_ALL);
    write_to_file(*state, from, TREE_WRITE_RAW, "tar");
    /* It gives no name that its locale has no letters for. */
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    assert_non_null(reader);
    assert_int_equal(archive_read_support_format_tar(reader), ARCHIVE_OK);
    assert_int_equal(archive_read_open_filename(reader, file, 65536), ARCHIVE_OK);
    while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
        const char *name = archive_entry_pathname(entry);

        assert_non_null(name);
        if (string_equal(name, "large")) {
            check_large_member(entry);
            seen++;
        } else if (string_equal(name, "set-user-id")) {
            assert_int_equal(archive_entry_uid(entry), 3000000);
            assert_int_equal(archive_entry_gid(entry), 4000000000);
            assert_int_equal(archive_entry_perm(entry), 06755);
            seen++;
        } else if (string_equal(name, "holes")) {
            assert_int_equal(archive_entry_size(entry), ((int64_t)9 << 30) + (1 << 20));
            assert_int_equal(archive_entry_sparse_count(entry), 4);
            seen++;
        } else if (string_equal(name, "attributes")) {
            assert_true(archive_entry_xattr_count(entry) >= 1);
            seen++;
        } else if (string_equal(name, "socket")) {
            assert_int_equal(archive_entry_filetype(entry), AE_IFIFO);
            seen++;
        } else if (string_equal(name, "\xff\xfe not utf-8") ||
                   string_equal(name, "symlink-linked")) {
            seen++;
        }
    }
    assert_int_equal(archive_errno(reader), 0);
    assert_int_equal(archive_read_free(reader), ARCHIVE_OK);
    assert_int_equal(seen, 7);
}

/* --- members --- */

static void test_sizes_above_octal(void **state)
{
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(2 * TAR_BUFFER_SIZE);
    CLEANUP(tar_writer_cleanup) struct tar_writer *writer = NULL;
    CLEANUP(tar_reader_cleanup) struct tar_reader *reader = NULL;
    CLEANUP(tar_entry_clear) struct tar_entry entry = {.type = TAR_FILE, .size = INT64_C(9) << 30};
    CLEANUP(tar_entry_clear) struct tar_entry seen = {.type = TAR_FILE};
    const struct tar_sink sink = buffer_sink(&tar);
    struct bytes bytes;
    struct tar_source source;

    (void)state;
    entry.path = strdup("big");
    assert_int_equal(tar_writer_new(&sink, &writer, NULL), 0);
    assert_int_equal(tar_writer_entry(writer, &entry, NULL), 0);
    assert_int_equal(tar_writer_owed(writer), INT64_C(9) << 30);
    /* The sink takes two pieces of it and no more. */
    assert_true(tar_writer_finish(writer, NULL) < 0);
    bytes = (struct bytes){.data = tar.data, .length = tar.length};
    source = bytes_source(&bytes);
    assert_int_equal(tar_reader_new(&source, 0, &reader, NULL), 0);
    assert_int_equal(tar_reader_next(reader, &seen, NULL), 1);
    assert_int_equal(seen.size, INT64_C(9) << 30);
}

/* The names of the members, each with a newline; of a link also where it leads. */
static char *list_members(const struct buffer *tar)
{
    CLEANUP(tar_reader_cleanup) struct tar_reader *reader = NULL;
    CLEANUP(tar_entry_clear) struct tar_entry entry = {.type = TAR_FILE};
    struct buffer text = BUFFER_INIT(1 << 20);
    struct bytes bytes = {.data = tar->data, .length = tar->length};
    const struct tar_source source = bytes_source(&bytes);

    assert_int_equal(tar_reader_new(&source, TAR_READER_NEED_END, &reader, NULL), 0);
    while (tar_reader_next(reader, &entry, NULL) > 0)
        assert_int_equal(
            buffer_printf(&text, "%s%s\n", entry.path, entry.type == TAR_SYMLINK ? " ->" : ""), 0);
    return buffer_take(&text);
}

static void test_names_as_docker(void **state)
{
    static const struct {
        const char *path;
        const char *name;
        unsigned flags;
        const char *members;
    } rows[] = {
        {"/d", "d", 0, "d\nd/f\nd/s ->\n"},
        {"d", "other", 0, "other\nother/f\nother/s ->\n"},
        {"/d/.", ".", 0, ".\n./f\n./s ->\n"},
        {"/", "/", 0, "/\n/d\n/d/f\n/d/s ->\n/link ->\n"},
        {"/", NULL, 0, "d\nd/f\nd/s ->\nlink ->\n"},
        {"/d/f", "f", 0, "f\n"},
        {"/link", "link", 0, "link ->\n"},
        {"/link/", "link", 0, "link\nlink/f\nlink/s ->\n"},
        {"/link", "link", TREE_WRITE_FOLLOW, "link\nlink/f\nlink/s ->\n"},
        {"/d/../../../link/f", "f", 0, "f\n"},
    };
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_FREE char *path = scratch_path(*state, "from");

    run("cd %s && mkdir d && printf f > d/f && ln -s /etc/passwd d/s && ln -s /d link", path, "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct tree_write_options options = {.flags = rows[i].flags, .name = rows[i].name};
        CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
        CLEANUP_FREE char *members = NULL;
        struct error err = ERROR_INIT;

        if (write_tree(from, rows[i].path, &options, &tar, &err) < 0)
            fail_msg("%s: %s", rows[i].path, err.message);
        members = list_members(&tar);
        assert_string_equal(members, rows[i].members);
    }
}

static void test_missing(void **state)
{
    const struct tree_write_options options = {.name = "x"};
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
    struct error err = ERROR_INIT;

    assert_int_equal(write_tree(from, "/no/such", &options, &tar, &err), -ENOENT);
    assert_int_equal(err.class, ERROR_NOT_FOUND);
}

static void test_public_leaves_out(void **state)
{
    const struct tree_write_options options = {.name = NULL};
    const struct tree_extract_options extract = {.flags = TREE_EXTRACT_DEVICES};
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_CLOSE int to = scratch_make(*state, "to");
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
    struct stat st;
    char value[8];

    make_every_inode(from, KIND_ALL);
    assert_int_equal(unlinkat(from, "holes", 0), 0);
    assert_int_equal(write_tree(from, "/", &options, &tar, NULL), 0);
    assert_int_equal(extract_bytes(to, "/", &extract, tar.data, tar.length, NULL), 0);
    assert_int_equal(fstatat(to, "socket", &st, AT_SYMLINK_NOFOLLOW), -1);
    assert_int_equal(fstatat(to, "fifo", &st, AT_SYMLINK_NOFOLLOW), 0);
    CLEANUP_CLOSE int file = openat(to, "attributes", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fgetxattr(file, "trusted.mine", value, sizeof(value)), -1);
    assert_int_equal(fgetxattr(file, "user.empty", value, sizeof(value)), 0);
}

static void test_mounts(void **state)
{
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_FREE char *path = scratch_path(*state, "from");
    CLEANUP_FREE char *volume = scratch_path(*state, "from/volume");
    CLEANUP_FREE char *proc = scratch_path(*state, "from/proc");
    char listed[] = "/volume";
    char *mounts[] = {listed, NULL};

    run("cd %s && mkdir volume proc && printf x > volume/below", path, "");
    if (mount("none", volume, "tmpfs", 0, NULL) < 0) {
        print_message("cannot mount\n");
        skip();
    }
    run("printf v > %s/in-volume", volume, "");
    assert_int_equal(mount("none", proc, "tmpfs", 0, NULL), 0);
    run("printf p > %s/in-proc", proc, "");
    for (int i = 0; i < 2; i++) {
        const struct tree_write_options options = {.mounts = i ? mounts : NULL};
        CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(ARCHIVE_MAX);
        CLEANUP_FREE char *members = NULL;

        assert_int_equal(write_tree(from, "/", &options, &tar, NULL), 0);
        members = list_members(&tar);
        assert_string_equal(members, i ? "proc\nvolume\nvolume/in-volume\n" : "proc\nvolume\n");
    }
    assert_int_equal(umount2(volume, MNT_DETACH), 0);
    assert_int_equal(umount2(proc, MNT_DETACH), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_raw_twice),
        TEST(test_reading_leaves_times),
        TEST(test_compare_sees),
        TEST(test_memory_and_pieces),
        TEST(test_refuses_redirects),
        TEST(test_shrinks_while_read),
        TEST(test_gnu_tar_reads),
        TEST(test_gnu_tar_writes),
        TEST(test_old_formats),
        TEST(test_libarchive_reads),
        cmocka_unit_test(test_sizes_above_octal),
        TEST(test_names_as_docker),
        TEST(test_missing),
        TEST(test_public_leaves_out),
        TEST(test_mounts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
