#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/strings.h"
#include "unit.h"

static bool is_cloexec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static void test_close_keeps_errno(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    errno = ENOTTY;
    assert_int_equal(fd_close(fd), -EBADF);
    assert_int_equal(fd_close(-EBADF), -EBADF);
    assert_int_equal(errno, ENOTTY);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_read_full_joins_and_stops_at_end(void **state)
{
    int ends[2];
    char text[16] = "";

    (void)state;
    assert_int_equal(fd_pipe(0, ends), 0);
    assert_true(is_cloexec(ends[0]) && is_cloexec(ends[1]));
    assert_int_equal(fd_write_full(ends[1], "abc", 3), 0);
    assert_int_equal(fd_write_full(ends[1], "def", 3), 0);
    fd_close(ends[1]);
    assert_int_equal(fd_read_full(ends[0], text, 4), 4);
    assert_int_equal(fd_read_full(ends[0], text + 4, 10), 2);
    assert_string_equal(text, "abcdef");
    fd_close(ends[0]);
    assert_int_equal(fd_read_full(-EBADF, text, 1), -EBADF);
    assert_int_equal(fd_write_full(-EBADF, text, 1), -EBADF);
}

static void test_flags(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int copy = fd_dup(fd);

    (void)state;
    assert_int_equal(fd_set_nonblocking(fd, true), 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(fd_set_nonblocking(fd, false), 0);
    assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(fd_set_cloexec(fd, false), 0);
    assert_false(is_cloexec(fd));
    assert_true(copy >= 3 && is_cloexec(copy));
    assert_int_equal(fd_dup(-1), -EBADF);
    fd_close(fd);
    fd_close(copy);
}

static void test_descriptors_travel(void **state)
{
    int pair[2];
    int ends[2];
    int received[FD_PASS_MAX];
    size_t n = 99;
    char text[8];

    (void)state;
    assert_int_equal(fd_socketpair(SOCK_STREAM, pair), 0);
    assert_int_equal(fd_pipe(0, ends), 0);
    assert_int_equal(fd_send_with_fds(pair[0], "hi", 2, ends, 2), 2);
    assert_int_equal(fd_receive_with_fds(pair[1], text, sizeof(text), received, &n), 2);
    assert_int_equal(n, 2);
    assert_true(is_cloexec(received[0]) && is_cloexec(received[1]));
    assert_int_equal(fd_write_full(received[1], "x", 1), 0);
    assert_int_equal(fd_read_full(ends[0], text, 1), 1);
    assert_int_equal(fd_send_with_fds(pair[0], "no", 2, NULL, 0), 2);
    assert_int_equal(fd_receive_with_fds(pair[1], text, sizeof(text), received + 2, &n), 2);
    assert_int_equal(n, 0);
    for (int i = 0; i < 2; i++) {
        fd_close(pair[i]);
        fd_close(ends[i]);
        fd_close(received[i]);
    }
}

static void test_descriptor_limits(void **state)
{
    int pair[2];
    int fds[FD_PASS_MAX + 1] = {0};
    int received[FD_PASS_MAX];
    size_t n = 0;
    char text[8];
    int before;

    (void)state;
    assert_int_equal(fd_socketpair(SOCK_STREAM, pair), 0);
    assert_int_equal(fd_send_with_fds(pair[0], "x", 1, fds, FD_PASS_MAX + 1), -EINVAL);
    assert_int_equal(fd_send_with_fds(pair[0], "", 0, fds, 1), -EINVAL);
    assert_int_equal(fd_send_with_fds(pair[0], "x", 1, fds, FD_PASS_MAX), 1);
    assert_int_equal(fd_receive_with_fds(pair[1], text, sizeof(text), received, &n), 1);
    assert_int_equal(n, FD_PASS_MAX);
    while (n > 0)
        fd_close(received[--n]);
    /* Those that nobody asked for are closed, not leaked. */
    before = unit_count_fds();
    assert_int_equal(fd_send_with_fds(pair[0], "x", 1, fds, 1), 1);
    assert_int_equal(fd_receive_with_fds(pair[1], text, sizeof(text), NULL, NULL), -EMSGSIZE);
    assert_int_equal(unit_count_fds(), before);
    fd_close(pair[0]);
    assert_int_equal(fd_receive_with_fds(pair[1], text, sizeof(text), received, &n), 0);
    assert_int_equal(fd_send_with_fds(pair[1], "x", 1, NULL, 0), -EPIPE);
    fd_close(pair[1]);
}

/* A peer may send more than FD_PASS_MAX; none of them stays open here. */
static void test_too_many_descriptors_are_refused(void **state)
{
    enum { MANY = 40 };
    int pair[2];
    int received[FD_PASS_MAX];
    size_t n = 0;
    char byte = 'x';
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MANY * sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int before;

    (void)state;
    assert_int_equal(fd_socketpair(SOCK_STREAM, pair), 0);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(MANY * sizeof(int)); /* the numbers are all 0: stdin */
    assert_int_equal(sendmsg(pair[0], &message, 0), 1);
    before = unit_count_fds();
    assert_int_equal(fd_receive_with_fds(pair[1], &byte, 1, received, &n), -EMSGSIZE);
    assert_int_equal(unit_count_fds(), before);
    fd_close(pair[0]);
    fd_close(pair[1]);
}

static void assert_served(const char *path)
{
    struct error err = ERROR_INIT;
    CLEANUP_CLOSE int listener = fd_listen_unix(path, 0600, &err);
    CLEANUP_CLOSE int client = -EBADF;
    CLEANUP_CLOSE int server = -EBADF;
    struct stat st;
    pid_t pid = 0;
    uid_t uid = 12345;
    char c = 0;

    assert_true(listener >= 0 && is_cloexec(listener));
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    client = fd_connect_unix(path, &err);
    assert_true(client >= 0 && is_cloexec(client));
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(fd_write_full(client, "x", 1), 0);
    assert_int_equal(fd_read_full(server, &c, 1), 1);
    assert_int_equal(fd_peer_credentials(server, &pid, &uid, NULL), 0);
    assert_int_equal(pid, getpid());
    assert_int_equal(uid, geteuid());
    assert_int_equal(fd_listen_unix(path, 0600, &err), -EADDRINUSE);
}

static void test_unix_sockets(void **state)
{
    (void)state;
    assert_served("a.sock");
    assert_served("a.sock"); /* the first is stale by now, and replaced */
}

static void test_unix_sockets_with_long_paths(void **state)
{
    char directory[151];
    char base[201];
    CLEANUP_FREE char *long_directory = NULL;
    CLEANUP_FREE char *long_base = NULL;

    (void)state;
    memset(directory, 'd', sizeof(directory) - 1);
    directory[sizeof(directory) - 1] = '\0';
    memset(base, 'b', sizeof(base) - 1);
    base[sizeof(base) - 1] = '\0';
    assert_int_equal(mkdir(directory, 0755), 0);
    long_directory = string_format("%s/s", directory);
    long_base = string_format("%s/%s", directory, base);
    assert_served(long_directory);
    assert_served(long_directory);
    assert_served(long_base);
    assert_served(long_base);
    assert_served(base);
}

static void test_listen_does_not_replace_files(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    unit_write("file", "precious");
    assert_int_equal(fd_listen_unix("file", 0600, &err), -EADDRINUSE);
    assert_string_equal(err.message, "cannot listen on file: Address already in use");
    assert_true(unit_exists("file"));
    assert_int_equal(fd_listen_unix("missing/s", 0600, &err), -ENOENT);
    assert_int_equal(fd_listen_unix("dir/", 0600, &err), -EINVAL);
}

static void test_connect_errors(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(fd_connect_unix("missing", &err), -ENOENT);
    assert_string_equal(err.message, "cannot connect to missing: No such file or directory");
    close(fd_listen_unix("stale", 0600, NULL));
    assert_int_equal(fd_connect_unix("stale", &err), -ECONNREFUSED);
    assert_int_equal(fd_connect_unix("", &err), -ENOENT);
}

static void test_copy_all(void **state)
{
    CLEANUP_CLOSE int from = open("from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CLEANUP_CLOSE int to = open("to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CLEANUP_CLOSE int proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    char block[1000];
    int ends[2];

    (void)state;
    memset(block, 'x', sizeof(block));
    for (int i = 0; i < 200; i++)
        assert_int_equal(fd_write_full(from, block, sizeof(block)), 0);
    lseek(from, 0, SEEK_SET);
    assert_int_equal(fd_copy_all(from, to), 200000);
    assert_int_equal(lseek(to, 0, SEEK_CUR), 200000);
    assert_true(fd_copy_all(proc, to) > 100); /* whose size is said to be 0 */
    assert_int_equal(fd_pipe(0, ends), 0);
    lseek(from, -1000, SEEK_END);
    assert_int_equal(fd_copy_all(from, ends[1]), 1000);
    fd_close(ends[0]);
    fd_close(ends[1]);
    assert_int_equal(fd_copy_all(-EBADF, to), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_keeps_errno),
        cmocka_unit_test(test_read_full_joins_and_stops_at_end),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_descriptors_travel),
        cmocka_unit_test(test_descriptor_limits),
        cmocka_unit_test(test_too_many_descriptors_are_refused),
        scratch_test(test_unix_sockets),
        scratch_test(test_unix_sockets_with_long_paths),
        scratch_test(test_listen_does_not_replace_files),
        scratch_test(test_connect_errors),
        scratch_test(test_copy_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
