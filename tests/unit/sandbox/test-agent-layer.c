/* A writable layer from one agent to another through a ring, by a client that also asks for wrong
 * things; and content by reference. */
#include "test-agent-peer.h"
#include "test-tree-fixture.h"

#include <endian.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/agent.h"
#include "sandbox/agent_layer.h"
#include "sandbox/archive-writer.h"
#include "sandbox/tree-compare.h"
#include "wire/connection.h"

enum { SLOTS = 3, SLOT_SIZE = 64 * 1024 };

struct peer {
    struct wire_connection *connection;
    pid_t agent;
    bool answered;
    json_t *answer;
    struct error failure;
};

static void begin(struct peer *peer)
{

    *peer = (struct peer){.agent = -1};
    peer->connection = agent_peer_open(&peer->agent);
}

static void end(struct peer *peer)
{

    json_decref(peer->answer);
    agent_peer_close(peer->connection, peer->agent);
}

static void answered(struct wire_connection *connection, json_t *ok, const struct error *error,
                     void *data)
{
    struct peer *peer = data;

    (void)connection;
    peer->answered = true;
    peer->answer = json_incref(ok);
    if (error)
        peer->failure = *error;
}

static int call(struct peer *peer, const char *op, json_t *request)
{
    json_decref(peer->answer);
    peer->answer = NULL;
    peer->answered = false;
    error_clear(&peer->failure);
    assert_int_equal(wire_connection_request(peer->connection, op, request, answered, peer, NULL),
                     0);
    while (!peer->answered)
        agent_peer_step(peer->connection);
    return peer->failure.code;
}

/* --- a transfer --- */

static int max_bytes; /* of the next one's receiver; 0: no limit */

static json_t *layer(void *state, const char *directory, bool receive, const char *content)
{
    CLEANUP_FREE char *path = scratch_path(state, directory);
    CLEANUP_FREE char *source = scratch_path(state, "from");
    CLEANUP_FREE char *ring = scratch_path(state, "ring");

    return json_pack("{s:b,s:s,s:s,s:i,s:i,s:i,s:s,s:s}", "receive", receive, "directory", path,
                     "ring", ring, "slots", SLOTS, "slot_size", SLOT_SIZE, "max_bytes", max_bytes,
                     "content", content, "source", source);
}

static int slot(struct peer *peer, int number, int64_t length)
{
    return call(peer, "layer-slot",
                json_pack("{s:i,s:I}", "slot", number, "length", (json_int_t)length));
}

static int64_t answered_length(const struct peer *peer)
{
    return json_integer_value(json_object_get(peer->answer, "length"));
}

static void make_directory(void *state, const char *name)
{
    fd_close(scratch_make(state, name));
}

static void make_ring(void *state)
{
    CLEANUP_FREE char *path = scratch_path(state, "ring");
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)SLOTS * SLOT_SIZE), 0);
}

/* The receiver's: with `disk`, its files are said to be in a disk of which that is the image. */
static json_t *layer_to(void *state, const char *content, const char *disk)
{
    CLEANUP_FREE char *path = scratch_path(state, disk);
    json_t *request = layer(state, "to", true, content);

    if (*disk)
        json_object_set_new(request, "disk", json_string(path));
    return request;
}

/* From "from" to "to"; the receiver's outcome. */
static int transfer(void *state, const char *content, const char *disk, struct error *ret)
{
    struct peer sender;
    struct peer receiver;
    int r;

    make_ring(state);
    begin(&sender);
    begin(&receiver);
    assert_int_equal(call(&sender, "layer", layer(state, "from", false, content)), 0);
    assert_int_equal(call(&receiver, "layer", layer_to(state, content, disk)), 0);
    for (int i = 0;; i = (i + 1) % SLOTS) {
        assert_int_equal(slot(&sender, i, 0), 0);
        int64_t length = answered_length(&sender);
        r = slot(&receiver, i, length);
        if (r < 0 || length == 0)
            break;
        assert_int_equal(answered_length(&receiver), length);
    }
    *ret = receiver.failure;
    if (r == 0)
        assert_true(json_is_true(json_object_get(receiver.answer, "end")));
    /* The later one first: it has a copy of the other's line. */
    end(&receiver);
    end(&sender);
    return r;
}

/* --- tests --- */

static void need_root(void **state)
{
    if (!*state)
        skip();
}

static void fill(int from)
{
    make_every_inode(from, KIND_ALL);
    CLEANUP_CLOSE int fd = openat(from, "large", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    assert_int_equal(ftruncate(fd, 40 << 20), 0);
    for (int i = 0; i < 40; i += 3) {
        char text[200000];
        memset(text, 'a' + i % 26, sizeof(text));
        assert_int_equal(pwrite(fd, text, sizeof(text), (off_t)i << 20), (ssize_t)sizeof(text));
    }
    CLEANUP_CLOSE int whole = openat(from, "whole", O_RDWR | O_CREAT | O_CLOEXEC, 04755);
    for (int i = 0; i < 50000; i++)
        assert_int_equal(dprintf(whole, "%07d\n", i), 8);
    /* More than is copied at once, and no whole blocks. */
    CLEANUP_CLOSE int odd = openat(from, "odd", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (int i = 0; i < 10000; i++) {
        char text[997];
        memset(text, 'A' + i % 50, sizeof(text));
        assert_int_equal(write(odd, text, sizeof(text)), (ssize_t)sizeof(text));
    }
}

static void check_transfer(void **state, const char *content, const char *disk)
{
    struct error error = ERROR_INIT;

    need_root(state);
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_CLOSE int to = scratch_make(*state, "to");
    fill(from);
    if (transfer(*state, content, disk, &error) < 0)
        fail_msg("%s", error.message);
    assert_same(from, to, TREE_COMPARE_HOLES);
}

static void test_every_inode(void **state)
{
    check_transfer(state, "", "");
}

static void test_content_of_the_same_path(void **state)
{
    check_transfer(state, "path", "");
}

static void test_content_straight_to_a_disk(void **state)
{
    check_transfer(state, "path", "ring");
}

static void test_an_empty_layer(void **state)
{
    struct error error = ERROR_INIT;

    need_root(state);
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_CLOSE int to = scratch_make(*state, "to");
    assert_int_equal(transfer(*state, "", "", &error), 0);
    assert_same(from, to, 0);
}

static void test_what_comes_is_no_archive(void **state)
{
    struct peer receiver;
    char garbage[SLOT_SIZE];

    need_root(state);
    make_directory(*state, "to");
    CLEANUP_FREE char *path = scratch_path(*state, "ring");
    make_ring(*state);
    CLEANUP_CLOSE int ring = open(path, O_RDWR | O_CLOEXEC);
    memset(garbage, 'x', sizeof(garbage));
    assert_int_equal(pwrite(ring, garbage, sizeof(garbage), 0), (ssize_t)sizeof(garbage));
    begin(&receiver);
    assert_int_equal(call(&receiver, "layer", layer(*state, "to", true, "")), 0);
    (void)slot(&receiver, 0, SLOT_SIZE);
    /* That it was taken may be said before what it is worth. */
    assert_true(slot(&receiver, 1, 0) < 0);
    assert_int_equal(receiver.failure.class, ERROR_INVALID);
    assert_true(slot(&receiver, 1, 0) < 0);
    end(&receiver);
}

static void test_an_archive_without_its_end(void **state)
{
    struct peer receiver;

    need_root(state);
    make_directory(*state, "to");
    make_ring(*state);
    begin(&receiver);
    assert_int_equal(call(&receiver, "layer", layer(*state, "to", true, "")), 0);
    assert_true(slot(&receiver, 0, 0) < 0);
    end(&receiver);
}

static void test_wrong_requests(void **state)
{
    struct peer peer;

    need_root(state);
    make_directory(*state, "from");
    make_ring(*state);
    begin(&peer);
    assert_true(slot(&peer, 0, 0) < 0);
    assert_int_equal(peer.failure.class, ERROR_CONFLICT);
    assert_int_equal(call(&peer, "layer", layer(*state, "from", true, "elsewhere")), -EINVAL);
    json_t *request = layer(*state, "from", false, "");
    json_object_set_new(request, "slot_size", json_integer(1000));
    assert_int_equal(call(&peer, "layer", request), -EINVAL);
    request = layer(*state, "from", false, "");
    json_object_set_new(request, "slots", json_integer(1000));
    assert_int_equal(call(&peer, "layer", request), -EINVAL);
    request = layer(*state, "from", false, "");
    json_object_set_new(request, "directory", json_string("relative"));
    assert_int_equal(call(&peer, "layer", request), -EINVAL);
    request = layer(*state, "from", false, "");
    json_object_set_new(request, "disk", json_string("/dev/null"));
    assert_int_equal(call(&peer, "layer", request), -EINVAL);
    assert_int_equal(call(&peer, "layer", layer(*state, "from", false, "")), 0);
    assert_true(call(&peer, "layer", layer(*state, "from", false, "")) < 0);
    assert_int_equal(peer.failure.class, ERROR_CONFLICT);
    assert_int_equal(slot(&peer, SLOTS, 0), -EINVAL);
    assert_int_equal(slot(&peer, -1, 0), -EINVAL);
    assert_int_equal(slot(&peer, 0, SLOT_SIZE + 1), -EINVAL);
    assert_int_equal(slot(&peer, 0, 0), 0);
    end(&peer);
}

static void test_more_than_its_disk_holds(void **state)
{
    struct error error = ERROR_INIT;
    char block[64 * 1024];

    need_root(state);
    CLEANUP_CLOSE int from = scratch_make(*state, "from");
    CLEANUP_CLOSE int to = scratch_make(*state, "to");
    assert_true(to >= 0);
    CLEANUP_CLOSE int fd = openat(from, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 20 * 16; i++)
        assert_int_equal(write(fd, block, sizeof(block)), (ssize_t)sizeof(block));
    max_bytes = 4096;
    assert_true(transfer(*state, "", "", &error) < 0);
    max_bytes = 0;
    assert_int_equal(error.class, ERROR_INVALID);
    assert_non_null(strstr(error.message, "more than"));
}

/* --- the jail of one who receives --- */

/* How many of these the child can do. */
static int escape(const char *directory)
{
    int n = 0;
    int fd;

    if (agent_layer_enter(directory, NULL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        agent_layer_filter(NULL) < 0)
        return 100;
    n += access("/etc/passwd", F_OK) == 0;
    n += access("/../../etc", F_OK) == 0;
    n += open("/outside", O_RDWR | O_CREAT | O_CLOEXEC, 0600) >= 0; /* the root is read-only */
    n += open("/proc/1/root/etc", O_PATH | O_CLOEXEC) >= 0 &&
         access("/proc/1/root/etc/passwd", F_OK) == 0;
    n += mknodat(AT_FDCWD, "/layer/null", S_IFCHR | 0666, makedev(1, 3)) < 0; /* may be made, */
    n += open("/layer/null", O_RDWR | O_CLOEXEC) >= 0;                        /* not opened */
    n += mount("tmpfs", "/layer", "tmpfs", 0, NULL) == 0;
    n += umount2("/layer", MNT_DETACH) == 0;
    n += unshare(CLONE_NEWNS) == 0;
    n += socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
    n += ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
    n += kill(getppid(), 0) == 0;
    n += syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0) >= 0 || errno != EPERM;
    n += syscall(SYS_bpf, 0, NULL, 0) >= 0 || errno != EPERM;
    n += syscall(SYS_io_uring_setup, 1, NULL) >= 0 || errno != EPERM;
    n += syscall(SYS_keyctl, 0, 0, 0, 0, 0) >= 0 || errno != EPERM;
    n += syscall(SYS_setns, -1, 0) >= 0 || errno != EPERM;
    n += chroot("/layer") == 0;
    n += syscall(SYS_fork) >= 0;
    fd = open("/layer/inside", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? 101 : n;
}

static void test_what_the_jail_keeps_in(void **state)
{
    int status = 0;

    need_root(state);
    make_directory(*state, "to");
    CLEANUP_FREE char *path = scratch_path(*state, "to");
    pid_t child = fork();
    if (child == 0)
        _exit(escape(path));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    CLEANUP_FREE char *inside = scratch_path(*state, "to/inside");
    assert_int_equal(access(inside, F_OK), 0);
}

/* --- content by reference, from somebody who lies --- */

static const char image[] = "0123456789abcdefghijklmnopqrstuvwxyz";

/* Extracts one file that refers to these pieces of a disk image with the text above. */
static int extract_pieces(void *state, const struct tree_piece *pieces, size_t size, uint64_t max,
                          struct error *err)
{
    CLEANUP(buffer_release) struct buffer archive = BUFFER_INIT(ARCHIVE_MAX);
    CLEANUP(tar_writer_cleanup) struct tar_writer *writer = NULL;
    CLEANUP(tar_entry_clear)
    struct tar_entry entry = {
        .type = TAR_FILE, .path = strdup("f"), .mode = 0600, .size = 20, .sparse = true};
    const struct tar_sink sink = buffer_sink(&archive);
    CLEANUP_FREE char *path = scratch_path(state, "image");
    CLEANUP_FREE char *to_path = scratch_path(state, "to");

    assert_int_equal(tar_entry_add_segment(&entry, 20, 0), 0);
    assert_int_equal(tar_entry_add_xattr(&entry, TREE_CONTENT_XATTR, pieces, size), 0);
    assert_int_equal(tar_writer_new(&sink, &writer, NULL), 0);
    assert_int_equal(tar_writer_entry(writer, &entry, NULL), 0);
    assert_int_equal(tar_writer_finish(writer, NULL), 0);
    assert_int_equal(file_replace(AT_FDCWD, path, image, strlen(image), 0600, NULL), 0);
    (void)mkdir(to_path, 0755);
    CLEANUP_CLOSE int to = open(to_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    const struct tree_extract_options options = {
        .flags = TREE_EXTRACT_RAW,
        .content = {.how = TREE_CONTENT_DISK, .source_fd = fd, .disk_fd = -EBADF},
        .max_bytes = max};
    return extract_bytes(to, "/", &options, archive.data, archive.length, err);
}

static void test_pieces_of_an_image(void **state)
{
    const struct tree_piece pieces[] = {{htole64(2), htole64(3), htole64(10)},
                                        {htole64(15), htole64(5), htole64(31)}};
    char content[21] = "";
    struct error error = ERROR_INIT;

    need_root(state);
    if (extract_pieces(*state, pieces, sizeof(pieces), TREE_ENTRY_COST + 8, &error) < 0)
        fail_msg("%s", error.message);
    CLEANUP_FREE char *path = scratch_path(*state, "to/f");
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, content, sizeof(content)), 20);
    assert_memory_equal(content, "\0\0abc\0\0\0\0\0\0\0\0\0\0vwxyz", 20);
}

static void test_pieces_that_are_not_there(void **state)
{
    static const struct tree_piece wrong[][2] = {
        {{0, 5, 32}, {10, 1, 0}},         /* beyond the image */
        {{0, 5, UINT64_MAX}, {10, 1, 0}}, /* and around its end */
        {{16, 5, 0}, {30, 1, 0}},         /* beyond the file */
        {{0, UINT64_MAX, 1}, {10, 1, 0}}, /* long */
        {{UINT64_MAX, 2, 0}, {10, 1, 0}}, /* around */
        {{4, 5, 0}, {8, 1, 0}},           /* one over the other */
        {{10, 5, 0}, {0, 5, 0}},          /* falling */
    };
    struct error error = ERROR_INIT;

    need_root(state);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        error_clear(&error);
        assert_int_equal(extract_pieces(*state, wrong[i], sizeof(wrong[i]), 0, &error), -EINVAL);
        assert_int_equal(error.class, ERROR_INVALID);
    }
    /* Half a piece; and more than there may be. */
    assert_int_equal(extract_pieces(*state, wrong[0], 23, 0, NULL), -EINVAL);
    const struct tree_piece good = {0, htole64(20), 0};
    assert_int_equal(extract_pieces(*state, &good, sizeof(good), TREE_ENTRY_COST + 19, NULL),
                     -EINVAL);
    assert_int_equal(extract_pieces(*state, &good, sizeof(good), TREE_ENTRY_COST + 20, NULL), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_inode),
        TEST(test_content_of_the_same_path),
        TEST(test_content_straight_to_a_disk),
        TEST(test_more_than_its_disk_holds),
        TEST(test_what_the_jail_keeps_in),
        TEST(test_an_empty_layer),
        TEST(test_what_comes_is_no_archive),
        TEST(test_an_archive_without_its_end),
        TEST(test_wrong_requests),
        TEST(test_pieces_of_an_image),
        TEST(test_pieces_that_are_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
