#include "sandbox/tree-content.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "sandbox/archive-entry.h"
#include "sandbox/tree-path.h"

enum {
    EXTENTS_AT_ONCE = 128,
    COPY_SIZE = 1024 * 1024,
    BATCH_SIZE = 8 * 1024 * 1024, /* is read ahead, and written to disk, while another is copied */
    DIRECT_UNIT = 4096,           /* a multiple of any disk's, and of x86's pages */
};
_Static_assert(TREE_PIECES_MAX * sizeof(struct tree_piece) <= TAR_XATTR_SIZE_MAX,
               "an attribute does not hold as many pieces");

struct pieces {
    struct tree_piece *items;
    size_t n;
};

/* --- sender --- */

static bool add_piece(struct pieces *pieces, uint64_t offset, uint64_t length, uint64_t source)
{
    if (pieces->n == TREE_PIECES_MAX)
        return false;
    pieces->items[pieces->n++] = (struct tree_piece){
        .offset = htole64(offset), .length = htole64(length), .source = htole64(source)};
    return true;
}

/* The data of an extent lies in whole blocks where it says, or the file is sent as it is. */
static bool add_extent(struct pieces *pieces, const struct fiemap_extent *extent, uint64_t size)
{
    const uint32_t harmless =
        FIEMAP_EXTENT_LAST | FIEMAP_EXTENT_MERGED | FIEMAP_EXTENT_UNWRITTEN | FIEMAP_EXTENT_SHARED;
    uint64_t length = extent->fe_length;

    if (extent->fe_flags & ~harmless)
        return false;
    if ((extent->fe_flags & FIEMAP_EXTENT_UNWRITTEN) || extent->fe_logical >= size)
        return true; /* zeros */
    if (length > size - extent->fe_logical)
        length = size - extent->fe_logical;
    return add_piece(pieces, extent->fe_logical, length, extent->fe_physical);
}

static bool find_extents(int fd, uint64_t size, struct pieces *pieces)
{
    CLEANUP_FREE struct fiemap *map =
        calloc(1, sizeof(*map) + EXTENTS_AT_ONCE * sizeof(map->fm_extents[0]));
    uint64_t start = 0;

    while (map && start < size) {
        *map = (struct fiemap){.fm_start = start,
                               .fm_length = size - start,
                               .fm_flags = FIEMAP_FLAG_SYNC,
                               .fm_extent_count = EXTENTS_AT_ONCE};
        if (ioctl(fd, FS_IOC_FIEMAP, map) < 0)
            return false;
        if (map->fm_mapped_extents == 0)
            return true;
        for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
            const struct fiemap_extent *extent = &map->fm_extents[i];

            if (!add_extent(pieces, extent, size))
                return false;
            start = extent->fe_logical + extent->fe_length;
            if (extent->fe_flags & FIEMAP_EXTENT_LAST)
                return true;
        }
    }
    return map != NULL;
}

static bool find_segments(const struct tar_entry *entry, struct pieces *pieces)
{
    if (!entry->sparse)
        return add_piece(pieces, 0, (uint64_t)entry->size, 0);
    for (size_t i = 0; i < entry->n_segments; i++) {
        uint64_t offset = (uint64_t)entry->segments[i].offset;

        if (entry->segments[i].size > 0 &&
            !add_piece(pieces, offset, (uint64_t)entry->segments[i].size, offset))
            return false;
    }
    return true;
}

int tree_content_refer(int fd, enum tree_content how, struct tar_entry *entry, struct error *err)
{
    CLEANUP_FREE struct tree_piece *items = NULL;
    struct pieces pieces = {.n = 0};
    int r;

    if (how == TREE_CONTENT_HERE || entry->size < TREE_CONTENT_MIN)
        return 0;
    items = pieces.items = calloc(TREE_PIECES_MAX, sizeof(*items));
    if (!items)
        return error_oom(err);
    if (!(how == TREE_CONTENT_DISK ? find_extents(fd, (uint64_t)entry->size, &pieces)
                                   : find_segments(entry, &pieces)))
        return 0;
    r = tar_entry_add_xattr(entry, TREE_CONTENT_XATTR, items, pieces.n * sizeof(*items));
    if (r == -E2BIG)
        return 0;
    entry->sparse = true;
    entry->n_segments = 0;
    if (r == 0)
        r = tar_entry_add_segment(entry, entry->size, 0);
    return r < 0 ? error_oom(err) : 1;
}

/* --- receiver --- */

struct copy {
    const struct tree_content_way *way;
    int from;
    int to;
    char *buffer; /* when the kernel does not copy between these two */
    bool by_hand;
    bool indirect; /* `to` cannot be written directly */
};

/* From the page cache of one straight to what is below the other's file system, without a copy of
 * it in between. Whole blocks only; -EINVAL when it cannot be so. */
static ssize_t copy_directly(const struct copy *copy, off_t in, off_t out, size_t length)
{
    int flags = fcntl(copy->to, F_GETFL);
    ssize_t n = -EINVAL;

    length -= length % DIRECT_UNIT;
    if (in % DIRECT_UNIT || out % DIRECT_UNIT || length == 0 || flags < 0)
        return -EINVAL;
    void *bytes = mmap(NULL, length, PROT_READ, MAP_SHARED, copy->from, in);
    if (bytes == MAP_FAILED)
        return -EINVAL;
    if (fcntl(copy->to, F_SETFL, flags | O_DIRECT) == 0) {
        n = pwrite(copy->to, bytes, length, out);
        n = n < 0 ? -errno : n;
        (void)fcntl(copy->to, F_SETFL, flags);
    }
    (void)munmap(bytes, length);
    return n;
}

static ssize_t copy_by_hand(struct copy *copy, off_t in, off_t out, size_t length)
{
    ssize_t n;

    if (!copy->buffer && !(copy->buffer = malloc(COPY_SIZE)))
        return -ENOMEM;
    n = pread(copy->from, copy->buffer, length < COPY_SIZE ? length : COPY_SIZE, in);
    if (n > 0)
        n = pwrite(copy->to, copy->buffer, (size_t)n, out);
    return n < 0 ? -errno : n;
}

/* Some of it: how many bytes; 0 at the end of the source. */
static ssize_t copy_some(struct copy *copy, off_t in, off_t out, size_t length)
{
    ssize_t n = -EINVAL;

    if (copy->way->disk_fd >= 0 && !copy->indirect) {
        n = copy_directly(copy, in, out, length);
        copy->indirect = n == -EINVAL || n == -EFAULT;
        if (!copy->indirect)
            return n;
    }
    if (!copy->by_hand) {
        n = copy_file_range(copy->from, &in, copy->to, &out, length, 0);
        n = n < 0 ? -errno : n;
        copy->by_hand = n == -EXDEV || n == -EINVAL || n == -EOPNOTSUPP || n == -ENOSYS;
    }
    return copy->by_hand ? copy_by_hand(copy, in, out, length) : n;
}

/* The disk begins with them while the next ones are copied, or all would have to wait for it at the
 * end. It is a hint: what cannot be written is told then (syncfs(2)). */
static void start_writing(const struct copy *copy, off_t offset, off_t length)
{
    if (copy->way->disk_fd >= 0)
        (void)sync_file_range(copy->way->disk_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    else
        (void)sync_file_range(copy->to, offset, length, SYNC_FILE_RANGE_WRITE);
}

/* Both are files of the host. */
static int copy_piece(struct copy *copy, off_t in, off_t out, uint64_t length)
{
    off_t begun = out;

    copy->indirect = false;
    (void)posix_fadvise(copy->from, in, BATCH_SIZE, POSIX_FADV_WILLNEED);
    while (length > 0) {
        size_t want = length < BATCH_SIZE ? (size_t)length : BATCH_SIZE;

        if (length > want)
            (void)posix_fadvise(copy->from, in + (off_t)want, BATCH_SIZE, POSIX_FADV_WILLNEED);
        ssize_t n = copy_some(copy, in, out, want);
        if (n == 0)
            return -EIO; /* it has become shorter */
        if (n < 0 && n != -EINTR)
            return (int)n;
        n = n > 0 ? n : 0;
        in += n;
        out += n;
        length -= (uint64_t)n;
        if (length == 0 || out - begun >= BATCH_SIZE) {
            start_writing(copy, begun, out - begun);
            begun = out;
        }
    }
    return 0;
}

/* They rise and do not overlap: their sum is at most the file's size. */
static int check_pieces(const struct tree_piece *pieces, size_t n, uint64_t size,
                        uint64_t source_size, uint64_t *ret_bytes)
{
    uint64_t end = 0;

    *ret_bytes = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t offset = le64toh(pieces[i].offset);
        uint64_t length = le64toh(pieces[i].length);
        uint64_t source = le64toh(pieces[i].source);

        if (offset < end || length > size || offset > size - length || length > source_size ||
            source > source_size - length)
            return -EINVAL;
        end = offset + length;
        *ret_bytes += length;
    }
    return 0;
}

/* The regular file that holds the bytes. Descriptor or -errno. */
static int open_source(enum tree_content how, int source_fd, const char *path)
{
    CLEANUP_FREE char *clean = how == TREE_CONTENT_PATH ? tree_path_clean(path) : NULL;

    if (how == TREE_CONTENT_DISK)
        return fcntl(source_fd, F_DUPFD_CLOEXEC, 0);
    return clean ? tree_path_open(source_fd, clean, false, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
                 : -ENOMEM;
}

static int fetch(int fd, const struct tree_content_way *way, const struct tar_entry *entry,
                 const struct tar_xattr *xattr, uint64_t max, uint64_t *ret_bytes,
                 struct error *err)
{
    const struct tree_piece *pieces = xattr->value;
    size_t n = xattr->size / sizeof(*pieces);
    CLEANUP_CLOSE int source = open_source(way->how, way->source_fd, entry->path);
    struct copy copy = {.way = way, .from = source, .to = fd};
    struct stat status;
    int r = 0;

    if (source < 0 || fstat(source, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set_errno(err, source < 0 ? source : -EINVAL, "cannot open what it refers to");
    if (xattr->size % sizeof(*pieces) || n > TREE_PIECES_MAX ||
        check_pieces(pieces, n, (uint64_t)entry->size, (uint64_t)status.st_size, ret_bytes) < 0)
        return error_set_class(err, ERROR_INVALID, "it refers to what is not there");
    if (*ret_bytes > max)
        return error_set_class(err, ERROR_INVALID, "the layer has more content than its disk");
    for (size_t i = 0; i < n && r == 0; i++)
        r = copy_piece(&copy, (off_t)le64toh(pieces[i].source), (off_t)le64toh(pieces[i].offset),
                       le64toh(pieces[i].length));
    free(copy.buffer);
    return r < 0 ? error_set_errno(err, r, "cannot write") : 1;
}

int tree_content_fetch(int fd, const struct tree_content_way *way, struct tar_entry *entry,
                       uint64_t max, uint64_t *ret_bytes, struct error *err)
{
    for (size_t i = 0; way->how != TREE_CONTENT_HERE && i < entry->n_xattrs; i++) {
        struct tar_xattr xattr = entry->xattrs[i];
        int r;

        if (!string_equal(xattr.name, TREE_CONTENT_XATTR))
            continue;
        entry->xattrs[i] = entry->xattrs[--entry->n_xattrs];
        r = fetch(fd, way, entry, &xattr, max, ret_bytes, err);
        free(xattr.name);
        free(xattr.value);
        return r;
    }
    return 0;
}
