/* Whole-file helpers of base/fd.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/random.h"
#include "base/strings.h"

enum { READ_CHUNK = 4096 };

/* 1 when something was appended, 0 at the end of the file, or -errno (-EFBIG at the maximum). */
static int read_some(int fd, struct buffer *buffer)
{
    size_t room = buffer->max - buffer->length;
    size_t want = room < READ_CHUNK ? room : READ_CHUNK;
    char probe;
    void *space = &probe;
    ssize_t n;

    if (room > 0)
        space = buffer_reserve(buffer, want);
    if (!space)
        return -ENOMEM;
    do
        n = read(fd, space, room > 0 ? want : 1);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    if (room == 0)
        return -EFBIG;
    buffer_commit(buffer, (size_t)n);
    return 1;
}

int file_read(int dirfd, const char *path, struct buffer *buffer, struct error *err)
{
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t before = buffer->length;
    int r;

    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open %s", path);
    do
        r = read_some(fd, buffer);
    while (r > 0);
    if (r == 0)
        return 0;
    buffer->length = before;
    if (buffer->data)
        buffer->data[before] = '\0';
    if (r == -EFBIG)
        return error_set(err, r, "%s is larger than the maximum of %zu bytes", path,
                         buffer->max - before);
    return error_set_errno(err, r, "cannot read %s", path);
}

int file_write(int dirfd, const char *path, const char *text, struct error *err)
{
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    size_t length = strlen(text);
    ssize_t n;

    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open %s", path);
    do
        n = write(fd, text, length);
    while (n < 0 && errno == EINTR);
    /* Never a second write() for the rest: the kernel takes each as a whole value. */
    if (n < 0 || (size_t)n != length)
        return error_set_errno(err, n < 0 ? -errno : -EIO, "cannot write '%s' to %s", text, path);
    return 0;
}

/* Opens the directory that `path` is in, for the temporary and for its fsync(). */
static int open_directory_of(int dirfd, const char *path, const char **ret_base)
{
    const char *slash = strrchr(path, '/');
    CLEANUP_FREE char *directory = NULL;
    int fd;

    *ret_base = slash ? slash + 1 : path;
    if (slash) {
        directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
        if (!directory)
            return -ENOMEM;
    }
    fd = openat(dirfd, slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int write_content(int fd, const void *data, size_t length, mode_t mode, bool sync)
{
    int r = fchmod(fd, mode) < 0 ? -errno : 0; /* exactly, whatever the umask */

    if (r == 0)
        r = fd_write_full(fd, data, length);
    if (r == 0 && sync && fsync(fd) < 0)
        r = -errno;
    return r;
}

static int replace(int dirfd, const char *path, const void *data, size_t length, mode_t mode,
                   bool sync, struct error *err)
{
    CLEANUP_CLOSE int directory = -EBADF;
    CLEANUP_CLOSE int fd = -EBADF;
    const char *base;
    unsigned char bytes[8];
    char hex[2 * sizeof(bytes) + 1];
    char temporary[sizeof(hex) + 16];
    int r;

    directory = open_directory_of(dirfd, path, &base);
    if (directory < 0)
        return error_set_errno(err, directory, "cannot open the directory of %s", path);
    random_bytes(bytes, sizeof(bytes));
    string_hex(hex, bytes, sizeof(bytes));
    snprintf(temporary, sizeof(temporary), ".hull-%s.tmp", hex);
    fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, -errno, "cannot create a temporary file for %s", path);
    r = write_content(fd, data, length, mode, sync);
    if (r == 0 && renameat(directory, temporary, directory, base) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(directory, temporary, 0);
        return error_set_errno(err, r, "cannot write %s", path);
    }
    /* The rename itself must survive a power cut; file systems without directory fsync say so. */
    if (sync && fsync(directory) < 0 && errno != EINVAL)
        return error_set_errno(err, -errno, "cannot sync the directory of %s", path);
    return 0;
}

int file_write_atomic(int dirfd, const char *path, const void *data, size_t length, mode_t mode,
                      struct error *err)
{
    return replace(dirfd, path, data, length, mode, true, err);
}

int file_replace(int dirfd, const char *path, const void *data, size_t length, mode_t mode,
                 struct error *err)
{
    return replace(dirfd, path, data, length, mode, false, err);
}
