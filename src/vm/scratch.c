#include "vm/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"

#define MIB (1024ULL * 1024)

/* Raise when mkfs's options change. */
enum { TEMPLATE_VERSION = 1, MKFS_TIMEOUT_MS = 60000, MKFS_OUTPUT_MAX = 16 * 1024 };

static void remove_file(char **path)
{
    if (*path)
        (void)unlink(*path);
    free(*path);
    *path = NULL;
}

/* --- template --- */

/* assume_storage_prezeroed: the file is a hole, so inode tables need no zeroing, neither now nor by
 * the guest's lazy initialization, which would fill hundreds of MB. -m 0: no blocks kept for root,
 * since all in a container may be root's. */
static int run_mkfs(const char *path, struct error *err)
{
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(MKFS_OUTPUT_MAX);
    const char *const argv[] = {
        "mkfs.ext4",
        "-q",
        "-F",
        "-m",
        "0",
        "-E",
        "assume_storage_prezeroed=1,lazy_itable_init=1,lazy_journal_init=1,nodiscard,"
        "root_owner=0:0",
        path,
        NULL,
    };
    CLEANUP_STRV char **copy = NULL;

    for (size_t i = 0; argv[i]; i++)
        if (strv_append(&copy, argv[i]) < 0)
            return error_oom(err);
    return process_run(copy, NULL, &output, MKFS_TIMEOUT_MS, err);
}

static int make_file(const char *path, uint64_t size, struct error *err)
{
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return error_set_errno(err, -errno, "cannot make %s", path);
    if (ftruncate(fd, (off_t)size) < 0)
        return error_set_errno(err, -errno, "cannot make %s %" PRIu64 " bytes long", path, size);
    return 0;
}

/* Made under another name and renamed, so that a template is whole or absent. Two threads that do
 * this at once both succeed, and the later one's stays. */
static int make_template(const char *path, uint64_t size, struct error *err)
{
    CLEANUP(remove_file) char *temporary = string_format("%s.%d", path, (int)gettid());
    int r;

    if (!temporary)
        return error_oom(err);
    (void)unlink(temporary); /* of a dead thread with our id */
    r = make_file(temporary, size, err);
    if (r == 0)
        r = run_mkfs(temporary, err);
    if (r < 0)
        return r;
    if (rename(temporary, path) < 0)
        return error_set_errno(err, -errno, "cannot keep %s", path);
    return 0;
}

static int open_template(const char *directory, uint64_t size, struct error *err)
{
    CLEANUP_FREE char *path = string_format("%s/scratch-v%d-%" PRIu64 "m.ext4", directory,
                                            TEMPLATE_VERSION, (uint64_t)(size / MIB));
    int fd;
    int r;

    if (!path)
        return error_oom(err);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 || errno != ENOENT)
        return fd >= 0 ? fd : error_set_errno(err, -errno, "cannot open %s", path);
    r = path_make_dirs(directory, 0700, err);
    if (r == 0)
        r = make_template(path, size, err);
    if (r < 0)
        return r;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 ? fd : error_set_errno(err, -errno, "cannot open %s", path);
}

/* --- copy --- */

/* copy_file_range() between the offsets, or read and write where the kernel will not. */
static int copy_range(int from, int to, off_t start, off_t end)
{
    enum { CHUNK = 64 * 1024 };
    char chunk[CHUNK];

    while (start < end) {
        off_t in = start;
        off_t out = start;
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - start), 0);

        if (n < 0 &&
            (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) {
            size_t want = end - start < CHUNK ? (size_t)(end - start) : CHUNK;

            n = pread(from, chunk, want, start);
            if (n > 0)
                n = pwrite(to, chunk, (size_t)n, start);
        }
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO; /* the template has become shorter */
        start += n;
    }
    return 0;
}

static int copy_sparse(int from, int to)
{
    off_t end = lseek(from, 0, SEEK_END);
    off_t at = 0;

    if (end < 0)
        return -errno;
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    if (ftruncate(to, end) < 0)
        return -errno;
    for (;;) {
        off_t data = lseek(from, at, SEEK_DATA);
        int r;

        if (data < 0)
            return errno == ENXIO ? 0 : -errno; /* ENXIO: only a hole follows */
        at = lseek(from, data, SEEK_HOLE);
        if (at < 0)
            return -errno;
        r = copy_range(from, to, data, at);
        if (r < 0)
            return r;
    }
}

int vm_scratch_create(const char *template_dir, const char *path, uint64_t size, uid_t uid,
                      gid_t gid, struct error *err)
{
    CLEANUP_CLOSE int from = -EBADF;
    CLEANUP_CLOSE int to = -EBADF;
    int r;

    if (size < VM_SCRATCH_MIN || size > VM_SCRATCH_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "the writable layer's size must be between %llu MiB and %llu GiB",
                               VM_SCRATCH_MIN / MIB, VM_SCRATCH_MAX / MIB / 1024);
    from = open_template(template_dir, size / MIB * MIB, err);
    if (from < 0)
        return error_wrap(err, from, "template of the writable layer");
    CLEANUP_FREE char *half = string_format("%s.new", path);
    if (!half)
        return error_oom(err);
    /* What somebody who was killed left; a disk that has its name is whole. */
    (void)unlink(half);
    to = open(half, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (to < 0)
        return error_set_errno(err, -errno, "cannot make %s", path);
    r = copy_sparse(from, to);
    if (r == 0 && fchown(to, uid, gid) < 0)
        r = -errno;
    if (r == 0 && renameat2(AT_FDCWD, half, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlink(half);
        return error_set_errno(err, r, "cannot make the writable layer %s", path);
    }
    return 0;
}
