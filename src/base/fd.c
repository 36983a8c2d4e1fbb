#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/random.h"
#include "base/strings.h"

enum {
    COPY_CHUNK = 64 * 1024,
    COPY_RANGE_MAX = 1 << 30,
    LISTEN_BACKLOG = 4096, /* beyond it, connect(2) that may not block fails on a unix socket */
    TEMPORARY_NAME_MAX = 32,
};

int fd_close(int fd)
{
    int saved = errno;

    /* Not again after EINTR: Linux has freed the number already, another thread may own it. */
    if (fd >= 0)
        close(fd);
    errno = saved;
    return -EBADF;
}

int fd_write_full(int fd, const void *data, size_t length)
{
    const char *next = data;

    while (length > 0) {
        ssize_t n = write(fd, next, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        next += n;
        length -= (size_t)n;
    }
    return 0;
}

ssize_t fd_read_full(int fd, void *data, size_t length)
{
    char *start = data;
    size_t done = 0;

    while (done < length) {
        ssize_t n = read(fd, start + done, length - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int set_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = fcntl(fd, get);
    int wanted;

    if (flags < 0)
        return -errno;
    wanted = on ? flags | flag : flags & ~flag;
    if (wanted != flags && fcntl(fd, set, wanted) < 0)
        return -errno;
    return 0;
}

int fd_set_nonblocking(int fd, bool nonblocking)
{
    return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, nonblocking);
}

int fd_set_cloexec(int fd, bool cloexec)
{
    return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, cloexec);
}

int fd_dup(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* never stdio, even where those are closed */

    return copy < 0 ? -errno : copy;
}

int fd_socketpair(int type, int ret[2])
{
    return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret) < 0 ? -errno : 0;
}

int fd_pipe(int flags, int ret[2])
{
    return pipe2(ret, O_CLOEXEC | flags) < 0 ? -errno : 0;
}

static bool address_set(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    return string_copy(address->sun_path, sizeof(address->sun_path), path);
}

static int stream_socket(void)
{
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return sock < 0 ? -errno : sock;
}

/* connect(2) to a socket by a path of any length; 0 or -errno. A long one is opened O_PATH and
 * named by its link in /proc, which the kernel follows like any other. */
static int connect_path(int sock, const char *path)
{
    CLEANUP_CLOSE int target = -EBADF;
    struct sockaddr_un address;
    char link[sizeof(address.sun_path)];

    if (!address_set(&address, path)) {
        target = open(path, O_PATH | O_CLOEXEC);
        if (target < 0)
            return -errno;
        snprintf(link, sizeof(link), "/proc/self/fd/%d", target);
        address_set(&address, link);
    }
    while (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int fd_connect_unix(const char *path, struct error *err)
{
    CLEANUP_CLOSE int sock = stream_socket();
    int r = sock;

    if (r >= 0)
        r = string_is_empty(path) ? -ENOENT : connect_path(sock, path);
    if (r < 0)
        return error_set_errno(err, r, "cannot connect to %s", string_or(path, "(null)"));
    return TAKE_FD(sock);
}

/* Opens the directory of `path` O_PATH; *ret_base points at the last component. */
static int open_parent(const char *path, const char **ret_base)
{
    const char *slash = strrchr(path, '/');
    CLEANUP_FREE char *directory = NULL;
    int fd;

    *ret_base = slash ? slash + 1 : path;
    if (!**ret_base)
        return -EINVAL;
    if (slash) {
        directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
        if (!directory)
            return -ENOMEM;
    }
    fd = open(slash ? directory : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Makes way for a socket: -EADDRINUSE when `path` answers, is about to, or is no socket. Two
 * starters may both see the same stale socket; whoever binds first then loses its name to the
 * other. Callers that may be started twice hold a lock on their state directory. */
static int remove_stale_socket(int directory, const char *base, const char *path)
{
    CLEANUP_CLOSE int probe = -EBADF;
    struct stat st;
    int r;

    if (fstatat(directory, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    probe = stream_socket();
    if (probe < 0)
        return probe;
    r = fd_set_nonblocking(probe, true); /* a full backlog is an answer too */
    if (r < 0)
        return r;
    r = connect_path(probe, path);
    if (r == -ENOENT)
        return 0;
    if (r != -ECONNREFUSED)
        return -EADDRINUSE;
    return unlinkat(directory, base, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static void temporary_name(char name[TEMPORARY_NAME_MAX])
{
    unsigned char bytes[8];
    char hex[2 * sizeof(bytes) + 1];

    random_bytes(bytes, sizeof(bytes));
    string_hex(hex, bytes, sizeof(bytes));
    snprintf(name, TEMPORARY_NAME_MAX, ".hull-%s.tmp", hex);
}

/* bind(2) and chmod. Where the whole path does not fit, the directory goes by its link in /proc;
 * where not even the last component does, the socket is bound by a short name and renamed. */
static int bind_path(int sock, int directory, const char *base, const char *path, mode_t mode)
{
    struct sockaddr_un address;
    CLEANUP_FREE char *link = NULL;
    char temporary[TEMPORARY_NAME_MAX];
    const char *name = base;

    if (!address_set(&address, path)) {
        link = string_format("/proc/self/fd/%d/%s", directory, base);
        if (!link)
            return -ENOMEM;
        if (!address_set(&address, link)) {
            temporary_name(temporary);
            name = temporary;
            snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory,
                     name);
        }
    }
    if (bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    /* Nobody can connect before listen(), so the mode of birth does not matter. */
    if (fchmodat(directory, name, mode, 0) < 0 ||
        (name != base && renameat2(directory, name, directory, base, RENAME_NOREPLACE) < 0)) {
        int r = errno == EEXIST ? -EADDRINUSE : -errno;

        unlinkat(directory, name, 0);
        return r;
    }
    return 0;
}

int fd_listen_unix(const char *path, mode_t mode, struct error *err)
{
    CLEANUP_CLOSE int directory = -EBADF;
    CLEANUP_CLOSE int sock = stream_socket();
    const char *base;
    int r = sock;

    if (r >= 0)
        r = directory = open_parent(path, &base);
    if (r >= 0)
        r = remove_stale_socket(directory, base, path);
    if (r >= 0)
        r = bind_path(sock, directory, base, path, mode);
    if (r >= 0 && listen(sock, LISTEN_BACKLOG) < 0) {
        r = -errno;
        unlinkat(directory, base, 0);
    }
    if (r < 0)
        return error_set_errno(err, r, "cannot listen on %s", path);
    return TAKE_FD(sock);
}

/* send(2) of what a first, short transfer left; the bytes sent, fewer where the socket is full. */
static ssize_t send_rest(int sock, const char *data, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = send(sock, data + done, length - done, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t fd_send_with_fds(int sock, const void *data, size_t length, const int *fds, size_t n_fds)
{
    struct iovec iov = {.iov_base = NULL, .iov_len = length};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(FD_PASS_MAX * sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (n_fds > FD_PASS_MAX || (n_fds > 0 && length == 0))
        return -EINVAL;
    memcpy(&iov.iov_base, &data, sizeof(data)); /* sendmsg() does not write there */
    if (n_fds > 0) {
        memset(&control, 0, sizeof(control));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
    }
    do
        n = sendmsg(sock, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if ((size_t)n < length)
        n += send_rest(sock, (const char *)data + n, length - (size_t)n);
    return n;
}

/* Collects the descriptors of all SCM_RIGHTS records; returns how many. */
static size_t collect_fds(struct msghdr *message, int fds[FD_PASS_MAX])
{
    size_t n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (n < FD_PASS_MAX)
                fds[n++] = fd;
            else
                fd_close(fd);
        }
    }
    return n;
}

ssize_t fd_receive_with_fds(int sock, void *data, size_t length, int *fds, size_t *n_fds)
{
    struct iovec iov = {.iov_base = data, .iov_len = length};
    union {
        struct cmsghdr header;
        /* Credentials come along where SO_PASSCRED is on; they must not push descriptors out. */
        char space[CMSG_SPACE(FD_PASS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct msghdr message = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    int received[FD_PASS_MAX];
    size_t count;
    ssize_t n;

    do
        n = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    count = collect_fds(&message, received);
    if ((message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) || (count > 0 && (!fds || !n_fds))) {
        while (count > 0)
            fd_close(received[--count]);
        return -EMSGSIZE;
    }
    if (count > 0)
        memcpy(fds, received, count * sizeof(int));
    if (n_fds)
        *n_fds = count;
    return n;
}

int fd_peer_credentials(int sock, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);

    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return -errno;
    if (ret_pid)
        *ret_pid = peer.pid;
    if (ret_uid)
        *ret_uid = peer.uid;
    if (ret_gid)
        *ret_gid = peer.gid;
    return 0;
}

static int64_t copy_by_read(int from, int to)
{
    CLEANUP_FREE char *chunk = malloc(COPY_CHUNK);
    int64_t total = 0;

    if (!chunk)
        return -ENOMEM;
    for (;;) {
        ssize_t n = read(from, chunk, COPY_CHUNK);
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return total;
        r = fd_write_full(to, chunk, (size_t)n);
        if (r < 0)
            return r;
        total += n;
    }
}

int64_t fd_copy_all(int from, int to)
{
    int64_t total = 0;
    int64_t rest;

    for (;;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, COPY_RANGE_MAX, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == ENOSPC || errno == EIO || errno == EDQUOT || errno == EFBIG))
            return -errno;
        /* Other errors say "not between these two" (pipes, devices, two file systems, O_APPEND).
         * At the end read() has the last word: files of /proc pretend to be empty. */
        if (n <= 0)
            break;
        total += n;
    }
    rest = copy_by_read(from, to);
    return rest < 0 ? rest : total + rest;
}
