/* File descriptors: every one is born CLOEXEC, a closed one is -EBADF. */
#ifndef HULL_BASE_FD_H
#define HULL_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buffer;
struct error;

/* Closes a descriptor >= 0, keeps errno, returns -EBADF: `fd = fd_close(fd)`. */
int fd_close(int fd);

/* Loops over short transfers and EINTR (for blocking descriptors: EAGAIN is an error).
 * fd_write_full: 0 or -errno. fd_read_full: bytes read, less than length only at end of file, or
 * -errno. */
int fd_write_full(int fd, const void *data, size_t length);
ssize_t fd_read_full(int fd, void *data, size_t length);

int fd_set_nonblocking(int fd, bool nonblocking);
int fd_set_cloexec(int fd, bool cloexec);

/* Duplicates CLOEXEC, above 2; -errno. */
int fd_dup(int fd);

/* socketpair(AF_UNIX, type | SOCK_CLOEXEC) / pipe2(O_CLOEXEC | flags); 0 or -errno. */
int fd_socketpair(int type, int ret[2]);
int fd_pipe(int flags, int ret[2]);

/* Binds or connects an AF_UNIX stream socket by path (any length: longer than sun_path goes
 * through /proc/self/fd, unix(7)). fd_listen_unix() replaces a stale socket and sets exactly `mode`
 * before anybody can connect; a socket on which somebody still answers, and a file of another type,
 * give -EADDRINUSE. Two programs that start at once over the same stale socket must be kept apart
 * by a lock of theirs. Return a descriptor or -errno. */
int fd_listen_unix(const char *path, mode_t mode, struct error *err);
int fd_connect_unix(const char *path, struct error *err);

/* Descriptors over a unix socket (SCM_RIGHTS, unix(7)).
 *
 * fd_send_with_fds(): bytes sent (fewer than `length` only where a non-blocking socket is full; the
 * descriptors went with the first) or -errno: -EINVAL for more than FD_PASS_MAX descriptors or for
 * some without a byte to carry them, -EPIPE without a signal.
 *
 * fd_receive_with_fds(): one recvmsg(2) of at most `length` bytes; bytes received, 0 at the end, or
 * -errno. `fds` has room for FD_PASS_MAX; what arrives is CLOEXEC, the caller's to close, and
 * *n_fds says how many. Descriptors beyond that, or any when `fds` is NULL, or a datagram longer
 * than `length`: all are closed and the result is -EMSGSIZE. */
enum { FD_PASS_MAX = 16 };
ssize_t fd_send_with_fds(int sock, const void *data, size_t length, const int *fds, size_t n_fds);
ssize_t fd_receive_with_fds(int sock, void *data, size_t length, int *fds, size_t *n_fds);

/* Who made the other end of a unix socket (SO_PEERCRED); each output may be NULL. 0 or -errno. */
int fd_peer_credentials(int sock, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid);

/* Small files; dirfd may be AT_FDCWD. 0 or -errno.
 * file_read(): the whole file appended to buffer, whose maximum bounds it: -EFBIG when the file is
 * larger, and the buffer is as before. file_write(): one write(2) to a file that exists, for /proc
 * and /sys. file_write_atomic(): temporary in the same directory, exactly `mode`, fsync, rename,
 * fsync of the directory; a symbolic link is replaced, not followed; on failure nothing is left. */
int file_read(int dirfd, const char *path, struct buffer *buffer, struct error *err);
int file_write(int dirfd, const char *path, const char *text, struct error *err);
int file_write_atomic(int dirfd, const char *path, const void *data, size_t length, mode_t mode,
                      struct error *err);

/* As file_write_atomic(), without fsync: readers and killed programs see the old content or the
 * new; after a power cut it may be either, or empty. For files that mean nothing after a reboot. */
int file_replace(int dirfd, const char *path, const void *data, size_t length, mode_t mode,
                 struct error *err);

/* Copies all bytes from here to the end between blocking descriptors of any kind
 * (copy_file_range(2), else read/write); bytes or -errno. */
int64_t fd_copy_all(int from, int to);

#endif
