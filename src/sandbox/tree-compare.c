#include "sandbox/tree-compare.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "sandbox/archive-entry.h"
#include "sandbox/tree-inode.h"
#include "sandbox/tree-links.h"
#include "sandbox/tree-walk.h"

enum { PIECE_SIZE = 256 * 1024 };

struct side {
    struct tree_walk *walk;
    struct tree_node node;
    struct tree_links links;
    char *piece; /* PIECE_SIZE bytes */
    bool more;   /* node is one that was not compared yet */
};

struct comparison {
    struct side a;
    struct side b;
    unsigned flags;
    struct buffer *lines;
    uint64_t n;
};

static void side_release(struct side *side)
{
    tree_walk_free(side->walk);
    tree_links_release(&side->links);
    free(side->piece);
}

static void comparison_release(struct comparison *comparison)
{
    side_release(&comparison->a);
    side_release(&comparison->b);
}

__attribute__((format(printf, 3, 4))) static void report(struct comparison *comparison,
                                                         const char *path, const char *format, ...)
{
    struct buffer *lines = comparison->lines;
    va_list args;

    comparison->n++;
    if (!lines)
        return;
    (void)buffer_printf(lines, "%s: ", *path ? path : ".");
    va_start(args, format);
    (void)buffer_vprintf(lines, format, args);
    va_end(args);
    (void)buffer_append_char(lines, '\n');
}

/* The order of a walk: what is in a directory comes before its longer-named siblings. */
static int compare_order(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    if (*a == *b)
        return 0;
    if (!*a || !*b)
        return *a ? 1 : -1;
    if (*a == '/' || *b == '/')
        return *a == '/' ? -1 : 1;
    return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static bool is_whiteout(const struct statx *st)
{
    return S_ISCHR(st->stx_mode) && st->stx_rdev_major == 0 && st->stx_rdev_minor == 0;
}

static void compare_stat(struct comparison *comparison)
{
    const struct statx *a = &comparison->a.node.st;
    const struct statx *b = &comparison->b.node.st;
    const char *path = comparison->a.node.path;

    if (a->stx_mode != b->stx_mode)
        report(comparison, path, "mode %o and %o", (unsigned)a->stx_mode, (unsigned)b->stx_mode);
    if (a->stx_uid != b->stx_uid || a->stx_gid != b->stx_gid)
        report(comparison, path, "owner %u:%u and %u:%u", a->stx_uid, a->stx_gid, b->stx_uid,
               b->stx_gid);
    if (a->stx_rdev_major != b->stx_rdev_major || a->stx_rdev_minor != b->stx_rdev_minor)
        report(comparison, path, "device %u:%u and %u:%u", a->stx_rdev_major, a->stx_rdev_minor,
               b->stx_rdev_major, b->stx_rdev_minor);
    if (a->stx_mtime.tv_sec != b->stx_mtime.tv_sec || a->stx_mtime.tv_nsec != b->stx_mtime.tv_nsec)
        report(comparison, path, "mtime %lld.%09u and %lld.%09u", (long long)a->stx_mtime.tv_sec,
               a->stx_mtime.tv_nsec, (long long)b->stx_mtime.tv_sec, b->stx_mtime.tv_nsec);
    if (!S_ISDIR(a->stx_mode) && a->stx_size != b->stx_size)
        report(comparison, path, "size %llu and %llu", (unsigned long long)a->stx_size,
               (unsigned long long)b->stx_size);
    /* The kernel links a layer's whiteouts to one that it keeps in its work directory. */
    if (!S_ISDIR(a->stx_mode) && !is_whiteout(a) && a->stx_nlink != b->stx_nlink)
        report(comparison, path, "%u and %u links", a->stx_nlink, b->stx_nlink);
}

/* Both are the first name of their inode, or both are other names of the same one. */
static int compare_links(struct comparison *comparison)
{
    const char *path = comparison->a.node.path;
    const char *first_a = path;
    const char *first_b = path;
    int r;

    if (S_ISDIR(comparison->a.node.st.stx_mode))
        return 0;
    r = tree_links_find(&comparison->a.links, &comparison->a.node.st, path, &first_a);
    if (r >= 0)
        r = tree_links_find(&comparison->b.links, &comparison->b.node.st, path, &first_b);
    if (r < 0)
        return r;
    if (!string_equal(first_a, first_b))
        report(comparison, path, "the same as %s and as %s", first_a, first_b);
    return 0;
}

static int compare_targets(struct comparison *comparison)
{
    char a[PATH_MAX];
    char b[PATH_MAX];
    ssize_t n_a = readlinkat(comparison->a.node.fd, "", a, sizeof(a));
    ssize_t n_b = readlinkat(comparison->b.node.fd, "", b, sizeof(b));

    if (n_a < 0 || n_b < 0)
        return -errno;
    if (n_a != n_b || memcmp(a, b, (size_t)n_a) != 0)
        report(comparison, comparison->a.node.path, "link to %.*s and to %.*s", (int)n_a, a,
               (int)n_b, b);
    return 0;
}

/* Those of one that the other has not or has otherwise. */
static void compare_values(struct comparison *comparison, const struct tar_entry *a,
                           const struct tar_entry *b, bool only_missing)
{
    for (size_t i = 0; i < a->n_xattrs; i++) {
        const struct tar_xattr *x = &a->xattrs[i];
        const struct tar_xattr *y = tar_entry_find_xattr(b, x->name);

        if (!y)
            report(comparison, comparison->a.node.path, "attribute %s is only %s", x->name,
                   only_missing ? "in the second" : "in the first");
        else if (!only_missing && (x->size != y->size || memcmp(x->value, y->value, x->size) != 0))
            report(comparison, comparison->a.node.path, "attribute %s differs", x->name);
    }
}

static int compare_xattrs(struct comparison *comparison, struct error *err)
{
    CLEANUP(tar_entry_clear) struct tar_entry a = {.type = TAR_FILE};
    CLEANUP(tar_entry_clear) struct tar_entry b = {.type = TAR_FILE};
    int r = tree_inode_read_xattrs(comparison->a.node.fd, TREE_FD_PATH, TREE_XATTRS_RAW, &a, err);

    if (r == 0)
        r = tree_inode_read_xattrs(comparison->b.node.fd, TREE_FD_PATH, TREE_XATTRS_RAW, &b, err);
    if (r < 0)
        return r;
    compare_values(comparison, &a, &b, false);
    compare_values(comparison, &b, &a, true);
    return 0;
}

static int compare_holes(struct comparison *comparison, int a, int b, int64_t size)
{
    int64_t at = 0;
    int whence = SEEK_DATA;

    while (at < size) {
        int64_t next_a = lseek(a, at, whence);
        int64_t next_b = lseek(b, at, whence);

        if (next_a != next_b) {
            report(comparison, comparison->a.node.path,
                   "%s at %" PRId64 " and at %" PRId64 " from %" PRId64,
                   whence == SEEK_DATA ? "data" : "hole", next_a, next_b, at);
            return 0;
        }
        if (next_a < 0)
            return errno == ENXIO ? 0 : -errno;
        at = next_a;
        whence = whence == SEEK_DATA ? SEEK_HOLE : SEEK_DATA;
    }
    return 0;
}

/* Where the next data is in one of them; -ENXIO when there is none. What the file system does not
 * tell is data. */
static int64_t next_data(int a, int b, int64_t at)
{
    int64_t in_a = lseek(a, at, SEEK_DATA);
    int64_t error_a = in_a < 0 ? -errno : 0;
    int64_t in_b = lseek(b, at, SEEK_DATA);
    int64_t error_b = in_b < 0 ? -errno : 0;

    if (error_a == -ENXIO && error_b == -ENXIO)
        return -ENXIO;
    if (error_a == -ENXIO)
        return error_b ? at : in_b;
    if (error_b == -ENXIO)
        return error_a ? at : in_a;
    if (error_a || error_b)
        return at;
    return in_a < in_b ? in_a : in_b;
}

static int compare_content(struct comparison *comparison)
{
    CLEANUP_CLOSE int a = tree_inode_open_content(-EBADF, comparison->a.node.fd);
    CLEANUP_CLOSE int b = tree_inode_open_content(-EBADF, comparison->b.node.fd);
    int64_t size = (int64_t)comparison->a.node.st.stx_size;
    int64_t at = 0;

    if (a < 0 || b < 0)
        return a < 0 ? a : b;
    while ((at = next_data(a, b, at)) >= 0) {
        ssize_t n_a = pread(a, comparison->a.piece, PIECE_SIZE, at);
        ssize_t n_b = pread(b, comparison->b.piece, PIECE_SIZE, at);

        if (n_a < 0 || n_b < 0)
            return -errno;
        if (n_a != n_b || memcmp(comparison->a.piece, comparison->b.piece, (size_t)n_a) != 0) {
            report(comparison, comparison->a.node.path, "the content differs");
            return 0;
        }
        if (n_a == 0)
            break;
        at += n_a;
    }
    return comparison->flags & TREE_COMPARE_HOLES ? compare_holes(comparison, a, b, size) : 0;
}

static int compare_nodes(struct comparison *comparison, struct error *err)
{
    mode_t a = comparison->a.node.st.stx_mode & S_IFMT;
    mode_t b = comparison->b.node.st.stx_mode & S_IFMT;
    int r;

    compare_stat(comparison);
    if (a != b)
        return 0;
    r = compare_xattrs(comparison, err);
    if (r < 0)
        return r;
    r = compare_links(comparison);
    if (r == 0 && a == S_IFLNK)
        r = compare_targets(comparison);
    if (r == 0 && a == S_IFREG)
        r = compare_content(comparison);
    if (r < 0)
        return error_set_errno(err, r, "cannot compare '%.1024s'", comparison->a.node.path);
    return 0;
}

static int advance(struct side *side, struct error *err)
{
    int r = tree_walk_next(side->walk, &side->node, err);

    side->more = r > 0;
    return r < 0 ? r : 0;
}

static int compare_all(struct comparison *comparison, struct error *err)
{
    struct side *a = &comparison->a;
    struct side *b = &comparison->b;
    int r = advance(a, err);

    if (r == 0)
        r = advance(b, err);
    while (r == 0 && (a->more || b->more)) {
        int order = !a->more ? 1 : !b->more ? -1 : compare_order(a->node.path, b->node.path);

        if (order == 0)
            r = compare_nodes(comparison, err);
        else
            report(comparison, order < 0 ? a->node.path : b->node.path, "only in the %s",
                   order < 0 ? "first" : "second");
        if (r == 0 && order <= 0)
            r = advance(a, err);
        if (r == 0 && order >= 0)
            r = advance(b, err);
    }
    return r;
}

int tree_compare(int a_fd, int b_fd, unsigned flags, struct buffer *ret, uint64_t *ret_n,
                 struct error *err)
{
    CLEANUP(comparison_release)
    struct comparison comparison = {.flags = flags, .lines = ret};
    int r;

    comparison.a.piece = malloc(PIECE_SIZE);
    comparison.b.piece = malloc(PIECE_SIZE);
    if (!comparison.a.piece || !comparison.b.piece)
        return error_oom(err);
    r = tree_walk_new(a_fd, &comparison.a.walk, err);
    if (r == 0)
        r = tree_walk_new(b_fd, &comparison.b.walk, err);
    if (r == 0)
        r = compare_all(&comparison, err);
    if (r == 0)
        *ret_n = comparison.n;
    return r;
}
