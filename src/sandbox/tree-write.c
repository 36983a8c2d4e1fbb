#include "sandbox/tree-write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/archive-entry.h"
#include "sandbox/archive-writer.h"
#include "sandbox/tree-inode.h"
#include "sandbox/tree-links.h"
#include "sandbox/tree-path.h"
#include "sandbox/tree-walk.h"

enum { STAT_BLOCK = 512 }; /* unit of stx_blocks */

struct writing {
    const struct tree_write_options *options;
    struct tar_writer *tar;
    struct tree_links links;
    char *top;   /* clean path of the top in the root, to compare with options->mounts */
    int proc_fd; /* /proc/self/fd */
    bool raw;
};

static void writing_release(struct writing *writing)
{
    fd_close(writing->proc_fd);
    tar_writer_free(writing->tar);
    tree_links_release(&writing->links);
    free(writing->top);
}

static int type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return TAR_FILE;
    case S_IFDIR:
        return TAR_DIRECTORY;
    case S_IFLNK:
        return TAR_SYMLINK;
    case S_IFCHR:
        return TAR_CHARACTER;
    case S_IFBLK:
        return TAR_BLOCK;
    case S_IFIFO:
        return TAR_FIFO;
    case S_IFSOCK:
        return TAR_SOCKET;
    default:
        return -1;
    }
}

/* malloc'd; NULL when out of memory, or for a top that has no name. */
static char *member_name(const struct writing *writing, const struct tree_node *node)
{
    const char *name = writing->raw ? NULL : writing->options->name;

    if (node->depth == 0)
        return strdup(writing->raw ? "." : string_or(name, ""));
    if (string_is_empty(name))
        return strdup(node->path);
    return string_format("%s%s%s", name, string_ends_with(name, "/") ? "" : "/", node->path);
}

static bool is_entered(const struct writing *writing, const struct tree_node *node)
{
    const char *top = string_equal(writing->top, "/") ? "" : writing->top;
    size_t length = strlen(top);

    for (char *const *mount = writing->options->mounts; mount && *mount; mount++)
        if (strncmp(*mount, top, length) == 0 && (*mount)[length] == '/' &&
            string_equal(*mount + length + 1, node->path))
            return true;
    return false;
}

/* --- content --- */

/* Where the data is. What the file system does not tell is data. */
static int find_segments(int fd, int64_t size, struct tar_entry *ret)
{
    int64_t end = 0;
    int r = 0;

    while (r == 0 && end < size) {
        int64_t start = lseek(fd, end, SEEK_DATA);

        if (start < 0 && errno == ENXIO)
            break; /* only hole from here */
        if (start < 0)
            start = end;
        end = ret->n_segments < TAR_SEGMENTS_MAX - 2 ? lseek(fd, start, SEEK_HOLE) : size;
        if (end <= start || end > size)
            end = size;
        if (start < end)
            r = tar_entry_add_segment(ret, start, end - start);
    }
    if (r < 0)
        return r;
    if (ret->n_segments == 1 && ret->segments[0].size == size)
        return 0;
    ret->sparse = true;
    /* GNU tar makes a file as long as its last segment reaches. */
    return end < size || ret->n_segments == 0 ? tar_entry_add_segment(ret, size, 0) : 0;
}

static int copy_range(struct writing *writing, int fd, int64_t offset, int64_t length,
                      struct error *err)
{
    while (length > 0) {
        void *space;
        size_t available;
        ssize_t n;
        int r = tar_writer_space(writing->tar, &space, &available, err);

        if (r < 0)
            return r;
        if ((int64_t)available > length)
            available = (size_t)length;
        n = pread(fd, space, available, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, -errno, "cannot read");
        if (n == 0) /* it shrank */
            return tar_writer_zeros(writing->tar, length, err);
        tar_writer_commit(writing->tar, (size_t)n);
        offset += n;
        length -= n;
    }
    return 0;
}

static int put_content(struct writing *writing, int fd, const struct tar_entry *entry,
                       struct error *err)
{
    int r = 0;

    if (!entry->sparse)
        return copy_range(writing, fd, 0, entry->size, err);
    for (size_t i = 0; r == 0 && i < entry->n_segments; i++)
        r = copy_range(writing, fd, entry->segments[i].offset, entry->segments[i].size, err);
    return r;
}

static int put_file(struct writing *writing, const struct tree_node *node, struct tar_entry *entry,
                    struct error *err)
{
    CLEANUP_CLOSE int fd = tree_inode_open_content(writing->proc_fd, node->fd);
    int r;

    if (fd < 0)
        return error_set_errno(err, fd, "cannot open");
    r = tree_inode_read_xattrs(fd, TREE_FD_OPEN,
                               writing->raw ? TREE_XATTRS_RAW : TREE_XATTRS_PUBLIC, entry, err);
    if (r < 0)
        return r;
    entry->size = (int64_t)node->st.stx_size;
    if (writing->raw && node->st.stx_blocks * STAT_BLOCK < node->st.stx_size &&
        find_segments(fd, entry->size, entry) < 0)
        return error_oom(err);
    int referred = writing->raw ? tree_content_refer(fd, writing->options->content, entry, err) : 0;
    if (referred < 0)
        return referred;
    r = tar_writer_entry(writing->tar, entry, err);
    return r < 0 || referred > 0 ? r : put_content(writing, fd, entry, err);
}

/* --- members --- */

static int read_target(int fd, struct tar_entry *ret, struct error *err)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(fd, "", target, sizeof(target));

    if (n < 0)
        return error_set_errno(err, -errno, "cannot read the link");
    ret->target = strndup(target, (size_t)n);
    return ret->target ? 0 : error_oom(err);
}

static struct timespec to_timespec(struct statx_timestamp time)
{
    return (struct timespec){.tv_sec = time.tv_sec, .tv_nsec = time.tv_nsec};
}

static void fill_entry(const struct writing *writing, const struct tree_node *node,
                       struct tar_entry *ret)
{
    ret->mode = node->st.stx_mode & 07777;
    ret->uid = node->st.stx_uid;
    ret->gid = node->st.stx_gid;
    ret->mtime = to_timespec(node->st.stx_mtime);
    if (writing->raw) {
        ret->atime = to_timespec(node->st.stx_atime);
        ret->has_atime = true;
    }
    if (ret->type == TAR_CHARACTER || ret->type == TAR_BLOCK) {
        ret->major = node->st.stx_rdev_major;
        ret->minor = node->st.stx_rdev_minor;
    }
}

/* 1: it was archived under another name, and is a link to that now. */
static int link_entry(struct writing *writing, const struct tree_node *node, struct tar_entry *ret,
                      struct error *err)
{
    const char *first;
    int r;

    if (ret->type == TAR_DIRECTORY || node->st.stx_nlink < 2)
        return 0;
    r = tree_links_find(&writing->links, &node->st, ret->path, &first);
    if (r == -E2BIG)
        return error_set(err, r, "there are too many hard links");
    if (r < 0)
        return error_oom(err);
    if (r == 0)
        return 0;
    ret->type = TAR_HARDLINK;
    ret->target = strdup(first);
    return ret->target ? 1 : error_oom(err);
}

/* What somebody mounted is not content of the tree; there is something to mount on. */
static int put_mount_point(struct writing *writing, struct tar_entry *entry, struct error *err)
{
    if (entry->type != TAR_DIRECTORY)
        entry->type = TAR_FILE;
    entry->major = entry->minor = 0;
    return tar_writer_entry(writing->tar, entry, err);
}

static int put_member(struct writing *writing, const struct tree_node *node,
                      struct tar_entry *entry, struct error *err)
{
    int r = link_entry(writing, node, entry, err);

    if (r < 0)
        return r;
    if (r > 0)
        return tar_writer_entry(writing->tar, entry, err);
    if (entry->type == TAR_FILE)
        return put_file(writing, node, entry, err);
    if (entry->type == TAR_SYMLINK)
        r = read_target(node->fd, entry, err);
    if (r == 0)
        r = tree_inode_read_xattrs(node->fd, TREE_FD_PATH,
                                   writing->raw ? TREE_XATTRS_RAW : TREE_XATTRS_PUBLIC, entry, err);
    return r < 0 ? r : tar_writer_entry(writing->tar, entry, err);
}

static int put_node(struct writing *writing, struct tree_walk *walk, const struct tree_node *node,
                    struct error *err)
{
    CLEANUP(tar_entry_clear) struct tar_entry entry = {.path = member_name(writing, node)};
    bool foreign = node->is_mount && !is_entered(writing, node);
    int type = type_of(node->st.stx_mode);
    int r;

    if (!entry.path)
        return error_oom(err);
    if (type < 0 || !*entry.path || (type == TAR_SOCKET && !writing->raw))
        return 0;
    entry.type = (enum tar_type)type;
    fill_entry(writing, node, &entry);
    if (foreign) {
        tree_walk_prune(walk);
        r = put_mount_point(writing, &entry, err);
    } else {
        r = put_member(writing, node, &entry, err);
    }
    return r < 0 ? error_wrap(err, r, "'%.1024s'", node->depth ? node->path : writing->top) : 0;
}

static int put_all(struct writing *writing, int top, struct error *err)
{
    CLEANUP(tree_walk_cleanup) struct tree_walk *walk = NULL;
    struct tree_node node;
    int r = tree_walk_new(top, &walk, err);

    if (r < 0)
        return r;
    while ((r = tree_walk_next(walk, &node, err)) > 0) {
        r = put_node(writing, walk, &node, err);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : tar_writer_finish(writing->tar, err);
}

int tree_write(int root_fd, const char *path, const struct tree_write_options *options,
               const struct tar_sink *sink, struct error *err)
{
    CLEANUP(writing_release)
    struct writing writing = {
        .options = options, .proc_fd = -EBADF, .raw = options->flags & TREE_WRITE_RAW};
    CLEANUP_FREE char *clean = tree_path_clean(path);
    CLEANUP_CLOSE int top = -EBADF;
    bool content_only = !writing.raw && string_is_empty(options->name);
    int r;

    if (!clean)
        return error_oom(err);
    top = tree_path_open(root_fd, clean, options->flags & TREE_WRITE_FOLLOW,
                         O_PATH | (writing.raw || content_only ? O_DIRECTORY : 0));
    if (top == -ENOENT)
        return error_set_class(err, ERROR_NOT_FOUND, "no such file or directory: %s", path);
    if (top < 0)
        return error_set_errno(err, top, "cannot open %s", path);
    if (options->mounts && options->mounts[0]) {
        r = tree_path_follow(root_fd, clean, &writing.top);
        if (r < 0)
            return error_set_errno(err, r, "cannot resolve %s", path);
    } else {
        writing.top = TAKE_PTR(clean);
    }
    writing.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (writing.proc_fd < 0)
        return error_set_errno(err, -errno, "cannot open /proc/self/fd");
    r = tar_writer_new(sink, &writing.tar, err);
    return r < 0 ? r : put_all(&writing, top, err);
}
