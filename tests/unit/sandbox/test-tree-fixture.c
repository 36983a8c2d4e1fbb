#include "test-tree-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/archive-writer.h"
#include "sandbox/tree-compare.h"

int scratch_setup(void **state)
{
    const char *top = string_or(getenv("TMPDIR"), "/tmp");
    char *path = string_format("%s/hull-test-tree-XXXXXX", top);

    assert_non_null(path);
    if (geteuid() != 0) {
        print_message("needs root\n");
        free(path);
        *state = NULL;
        return 0;
    }
    assert_non_null(mkdtemp(path));
    *state = path;
    return 0;
}

int scratch_teardown(void **state)
{
    static const char *const mounts[] = {"merged2", "merged", "from/volume", "from/proc"};

    /* What a test that failed has left. */
    for (size_t i = 0; *state && i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        CLEANUP_FREE char *path = scratch_path(*state, mounts[i]);

        (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    }
    if (*state)
        assert_int_equal(path_remove_tree(AT_FDCWD, *state, NULL), 0);
    free(*state);
    return 0;
}

char *scratch_path(void *state, const char *name)
{
    char *path = path_join(state, name);

    assert_non_null(path);
    return path;
}

int scratch_make(void *state, const char *name)
{
    CLEANUP_FREE char *path = NULL;
    int fd;

    if (!state)
        skip();
    path = scratch_path(state, name);
    if (mkdir(path, 0755) < 0)
        assert_int_equal(errno, EEXIST);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* --- inodes --- */

static void touch(int dir, const char *name, int64_t seconds, long nanoseconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds - 100, .tv_nsec = 7},
                                      {.tv_sec = seconds, .tv_nsec = nanoseconds}};

    assert_int_equal(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static int make_file(int dir, const char *name, const void *data, size_t length)
{
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, data, length), 0);
    return fd;
}

static void put_file(int dir, const char *name, const char *text)
{
    close(make_file(dir, name, text, strlen(text)));
}

static void set_attribute(int fd, const char *name, const void *value, size_t size)
{
    if (fsetxattr(fd, name, value, size, 0) < 0)
        print_message("no %s here: %s\n", name, strerror(errno));
}

static void make_attributes(int dir, enum tree_kinds kinds)
{
    /* Version 2, and user::rw- user:1000:r-- group::r-- mask::r-- other::--- (posix_acl_xattr.h) */
    static const unsigned char acl[] = {
        2,  0, 0, 0,                         /* version */
        1,  0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* user:: */
        2,  0, 4, 0, 0xe8, 0x03, 0,    0,    /* user:1000: */
        4,  0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* group:: */
        16, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* mask:: */
        32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* other:: */
    };
    /* VFS_CAP_REVISION_2 | effective, cap_net_bind_service and cap_sys_admin */
    static const unsigned char capability[20] = {1, 0, 0, 2, 0, 4, 0x20, 0};
    static const char binary[] = "a\0b\nc=\xff\xfe";
    CLEANUP_FREE char *large = calloc(1, 1500);
    CLEANUP_CLOSE int file = make_file(dir, "attributes", "x", 1);
    CLEANUP_CLOSE int plain = -EBADF;
    CLEANUP_CLOSE int below = -EBADF;

    assert_non_null(large);
    memset(large, 0xa5, 1500);
    set_attribute(file, "user.binary", binary, sizeof(binary));
    set_attribute(file, "user.empty", "", 0);
    set_attribute(file, "user.large", large, 1500);
    set_attribute(file, "security.capability", capability, sizeof(capability));
    set_attribute(file, "system.posix_acl_access", acl, sizeof(acl));
    if (kinds == KIND_ALL)
        set_attribute(file, "user.with=equals %41", binary, sizeof(binary));
    if (kinds == KIND_ALL)
        set_attribute(file, "trusted.mine", "t", 1);
    assert_int_equal(mkdirat(dir, "acl", 0750), 0);
    below = openat(dir, "acl", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(below >= 0);
    plain = make_file(below, "made-before", "p", 1);
    set_attribute(below, "system.posix_acl_default", acl, sizeof(acl));
    set_attribute(below, "user.of-directory", "d", 1);
    if (kinds == KIND_ALL)
        set_attribute(below, "trusted.overlay.opaque", "y", 1);
    put_file(below, "inherits", "i");
}

static void make_hole(int dir, const char *name, int64_t size, const int64_t *data, size_t n)
{
    CLEANUP_CLOSE int fd = make_file(dir, name, "", 0);

    assert_int_equal(ftruncate(fd, size), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pwrite(fd, "data", 4, data[i]), 4);
}

static void make_names(int dir, enum tree_kinds kinds)
{
    CLEANUP_CLOSE int at = fcntl(dir, F_DUPFD_CLOEXEC, 3);
    char name[256];

    memset(name, 'n', 255);
    name[255] = '\0';
    put_file(dir, name, "long");
    put_file(dir, "\xff\xfe not utf-8", "latin");
    put_file(dir, "\xc3\xa9t\xc3\xa9", "utf-8");
    put_file(dir, "new\nline", "n");
    put_file(dir, "-dash", "d");
    put_file(dir, " blank ", "b");
    put_file(dir, ".wh.not-a-whiteout", "w");
    /* Sorted after "a/x" as bytes of a path, before it as names of a directory. */
    assert_int_equal(mkdirat(dir, "a", 0755), 0);
    put_file(dir, "a-b", "1");
    put_file(dir, "a/x", "2");
    /* Deeper than the kernel takes in one path, and than the walk holds open. */
    name[120] = '\0';
    for (int i = 0; i < (kinds == KIND_ALL ? 80 : 30); i++) {
        int next;

        assert_int_equal(mkdirat(at, name, 0700), 0);
        next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        put_file(next, "f", "deep");
        close(at);
        at = next;
    }
}

static void make_links(int dir)
{
    char target[4001];

    memset(target, 't', 4000);
    target[4000] = '\0';
    put_file(dir, "linked", "two names");
    assert_int_equal(linkat(dir, "linked", dir, "linked-too", 0), 0);
    assert_int_equal(symlinkat("linked", dir, "symlink"), 0);
    assert_int_equal(linkat(dir, "symlink", dir, "symlink-linked", 0), 0);
    assert_int_equal(symlinkat("/nowhere/\xff", dir, "symlink-bytes"), 0);
    assert_int_equal(symlinkat(target, dir, "symlink-long"), 0);
    assert_int_equal(fchownat(dir, "symlink", 12, 13, AT_SYMLINK_NOFOLLOW), 0);
}

static void make_specials(int dir, enum tree_kinds kinds)
{
    assert_int_equal(mknodat(dir, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
    assert_int_equal(mknodat(dir, "block", S_IFBLK | 0660, makedev(4095, 1048575)), 0);
    assert_int_equal(mknodat(dir, "fifo", S_IFIFO | 0600, 0), 0);
    if (kinds != KIND_ALL)
        return;
    assert_int_equal(linkat(dir, "fifo", dir, "fifo-linked", 0), 0);
    assert_int_equal(linkat(dir, "null", dir, "null-linked", 0), 0);
    assert_int_equal(mknodat(dir, "socket", S_IFSOCK | 0755, 0), 0);
    assert_int_equal(linkat(dir, "socket", dir, "socket-linked", 0), 0);
    assert_int_equal(mknodat(dir, "whiteout", S_IFCHR, 0), 0);
    assert_int_equal(linkat(dir, "whiteout", dir, "whiteout-linked", 0), 0);
}

static void make_large(int dir)
{
    size_t length = 3 * 1024 * 1024 + 7;
    CLEANUP_FREE unsigned char *data = malloc(length);
    unsigned x = 1;

    assert_non_null(data);
    for (size_t i = 0; i < length; i++) {
        x = x * 1103515245 + 12345;
        data[i] = (unsigned char)(x >> 16);
    }
    close(make_file(dir, "large", data, length));
}

void make_every_inode(int dir, enum tree_kinds kinds)
{
    static const int64_t pieces[] = {0, 1 << 20, (int64_t)9 << 30};
    static const int64_t middle[] = {5 << 20};

    put_file(dir, "empty", "");
    put_file(dir, "set-user-id", "#!");
    assert_int_equal(fchownat(dir, "set-user-id", 3000000, 4000000000, 0), 0);
    assert_int_equal(fchmodat(dir, "set-user-id", 06755, 0), 0);
    make_large(dir);
    make_attributes(dir, kinds);
    make_names(dir, kinds);
    make_links(dir);
    make_specials(dir, kinds);
    make_hole(dir, "holes", ((int64_t)9 << 30) + (1 << 20), pieces, 3);
    make_hole(dir, "hole", 1 << 20, NULL, 0);
    make_hole(dir, "hole-at-end", 16 << 20, middle, 1);
    assert_int_equal(mkdirat(dir, "sticky", 01777), 0);
    assert_int_equal(fchmodat(dir, "sticky", 03777, 0), 0);
    put_file(dir, "sticky/f", "f");
    touch(dir, "empty", -2, 500000000);
    touch(dir, "large", 1700000000, 123456789);
    touch(dir, "symlink", 1600000000, 1);
    touch(dir, "fifo", 0, 0);
    touch(dir, "null", 4294967297, 999999999);
    touch(dir, "sticky", -86400, 0);
    touch(dir, "a", 1234567890, 987654321);
    touch(dir, ".", 1111111111, 222222222);
}

/* --- archives --- */

static int sink_write(void *data, const void *bytes, size_t length, struct error *err)
{
    int r = buffer_append(data, bytes, length);

    return r < 0 ? error_set(err, r, "the buffer is full") : 0;
}

struct tar_sink buffer_sink(struct buffer *buffer)
{
    return (struct tar_sink){.write = sink_write, .data = buffer};
}

static ssize_t source_read(void *data, void *bytes, size_t size, struct error *err)
{
    struct bytes *from = data;
    size_t n = from->length < size ? from->length : size;

    (void)err;
    if (from->piece && n > from->piece)
        n = from->piece;
    if (n > 0)
        memcpy(bytes, from->data, n);
    from->data += n;
    from->length -= n;
    return (ssize_t)n;
}

struct tar_source bytes_source(struct bytes *bytes)
{
    return (struct tar_source){.read = source_read, .data = bytes};
}

int write_tree(int root, const char *path, const struct tree_write_options *options,
               struct buffer *ret, struct error *err)
{
    const struct tar_sink sink = buffer_sink(ret);

    return tree_write(root, path, options, &sink, err);
}

int extract_bytes(int root, const char *path, const struct tree_extract_options *options,
                  const void *data, size_t length, struct error *err)
{
    struct bytes bytes = {.data = data, .length = length, .piece = 1000};
    const struct tar_source source = bytes_source(&bytes);

    return tree_extract(root, path, options, &source, NULL, err);
}

struct writing_thread {
    int root;
    int pipe;
    int result;
    struct error error;
};

static void *write_raw(void *data)
{
    const struct tree_write_options options = {.flags = TREE_WRITE_RAW};
    struct writing_thread *thread = data;
    const struct tar_sink sink = tar_sink_fd(&thread->pipe);

    thread->result = tree_write(thread->root, "/", &options, &sink, &thread->error);
    close(thread->pipe);
    return NULL;
}

void copy_raw(int from, int to)
{
    const struct tree_extract_options options = {.flags = TREE_EXTRACT_RAW};
    struct writing_thread thread = {.root = from};
    struct error err = ERROR_INIT;
    struct tar_source source;
    pthread_t id;
    int ends[2];
    int r;

    assert_int_equal(fd_pipe(0, ends), 0);
    thread.pipe = ends[1];
    assert_int_equal(pthread_create(&id, NULL, write_raw, &thread), 0);
    source = tar_source_fd(&ends[0]);
    r = tree_extract(to, "/", &options, &source, NULL, &err);
    if (r < 0)
        fail_msg("%s", err.message);
    assert_int_equal(pthread_join(id, NULL), 0);
    if (thread.result < 0)
        fail_msg("%s", thread.error.message);
    close(ends[0]);
}

void assert_same(int a, int b, unsigned flags)
{
    CLEANUP(buffer_release) struct buffer lines = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;
    uint64_t n = 0;

    if (tree_compare(a, b, flags, &lines, &n, &err) < 0)
        fail_msg("%s", err.message);
    if (n > 0)
        fail_msg("%s", buffer_string(&lines));
}

void make_archive(struct buffer *ret, const struct member *members, size_t n)
{
    CLEANUP(tar_writer_cleanup) struct tar_writer *writer = NULL;
    const struct tar_sink sink = buffer_sink(ret);

    assert_int_equal(tar_writer_new(&sink, &writer, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        const char *content = string_or(members[i].content, "");
        CLEANUP(tar_entry_clear)
        struct tar_entry entry = {
            .type = members[i].type,
            .path = strdup(members[i].path),
            .target = members[i].target ? strdup(members[i].target) : NULL,
            .mode = members[i].mode ? members[i].mode : 0644,
            .size = (int64_t)strlen(content),
            .mtime = {.tv_sec = 1700000000},
            .major = 1,
            .minor = 3,
        };

        assert_int_equal(tar_writer_entry(writer, &entry, NULL), 0);
        while (tar_writer_owed(writer) > 0) {
            void *space;
            size_t length;

            assert_int_equal(tar_writer_space(writer, &space, &length, NULL), 0);
            memcpy(space, content, length);
            tar_writer_commit(writer, length);
            content += length;
        }
    }
    assert_int_equal(tar_writer_finish(writer, NULL), 0);
}
