#include "sandbox/tree-walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "sandbox/tree-path.h"

enum { ENTRIES_SIZE = 128 * 1024 };

struct level {
    int fd; /* -EBADF: not held */
    dev_t device;
    uint64_t inode;
    uint64_t mount;
    size_t path_length; /* of this directory's path */
    char *names;        /* NUL-terminated, one after the other */
    size_t names_size;
    char **sorted;
    size_t n;
    size_t next;
};

struct tree_walk {
    int node_fd; /* of the node that was visited last */
    bool enter;  /* it is a directory whose content comes next */
    bool begun;
    struct statx node_st;
    struct level *levels;
    size_t depth; /* number of levels */
    size_t n_allocated;
    size_t names_total;
    struct buffer path;
    char *entries; /* ENTRIES_SIZE bytes for getdents64(2) */
};

static void level_release(struct tree_walk *walk, struct level *level)
{
    walk->names_total -= level->names_size;
    level->fd = fd_close(level->fd);
    free(level->names);
    free(level->sorted);
}

struct tree_walk *tree_walk_free(struct tree_walk *walk)
{
    if (!walk)
        return NULL;
    while (walk->depth > 0)
        level_release(walk, &walk->levels[--walk->depth]);
    fd_close(walk->node_fd);
    buffer_release(&walk->path);
    free(walk->levels);
    free(walk->entries);
    free(walk);
    return NULL;
}

void tree_walk_cleanup(struct tree_walk **walk)
{
    *walk = tree_walk_free(*walk);
}

int tree_walk_stat(int fd, struct statx *ret)
{
    if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID, ret) < 0)
        return -errno;
    return 0;
}

int tree_walk_new(int top_fd, struct tree_walk **ret, struct error *err)
{
    CLEANUP(tree_walk_cleanup) struct tree_walk *walk = calloc(1, sizeof(*walk));
    int r;

    if (!walk)
        return error_oom(err);
    walk->path = (struct buffer)BUFFER_INIT(TREE_NAME_MAX);
    walk->node_fd = fcntl(top_fd, F_DUPFD_CLOEXEC, 3);
    walk->entries = malloc(ENTRIES_SIZE);
    if (!walk->entries)
        return error_oom(err);
    r = walk->node_fd < 0 ? -errno : tree_walk_stat(walk->node_fd, &walk->node_st);
    if (r < 0)
        return error_set_errno(err, r, "cannot read");
    *ret = TAKE_PTR(walk);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int sort_names(struct level *level)
{
    char *name = level->names;

    if (level->n == 0)
        return 0;
    level->sorted = calloc(level->n, sizeof(*level->sorted));
    if (!level->sorted)
        return -ENOMEM;
    for (size_t i = 0; i < level->n; i++, name += strlen(name) + 1)
        level->sorted[i] = name;
    qsort(level->sorted, level->n, sizeof(*level->sorted), compare_names);
    return 0;
}

static int add_names(struct level *level, struct buffer *names, const char *entries, ssize_t n)
{
    for (ssize_t i = 0; i < n;) {
        const struct dirent64 *entry = (const void *)(entries + i);
        int r;

        i += entry->d_reclen;
        if (string_equal(entry->d_name, ".") || string_equal(entry->d_name, ".."))
            continue;
        r = buffer_append(names, entry->d_name, strlen(entry->d_name) + 1);
        if (r < 0)
            return r;
        level->n++;
    }
    return 0;
}

static int read_names(struct tree_walk *walk, struct level *level)
{
    CLEANUP(buffer_release)
    struct buffer names = BUFFER_INIT(TREE_NAMES_MAX - walk->names_total);

    for (;;) {
        ssize_t n = getdents64(level->fd, walk->entries, ENTRIES_SIZE);
        int r;

        if (n < 0 && errno == ENOENT) /* removed while we look */
            n = 0;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        r = add_names(level, &names, walk->entries, n);
        if (r < 0)
            return r;
    }
    level->names_size = names.length;
    walk->names_total += names.length;
    level->names = buffer_take(&names);
    return level->names ? sort_names(level) : -ENOMEM;
}

static int grow_levels(struct tree_walk *walk)
{
    size_t n = walk->n_allocated * 2 + 16;
    struct level *more;

    if (walk->depth < walk->n_allocated)
        return 0;
    more = reallocarray(walk->levels, n, sizeof(*more));
    if (!more)
        return -ENOMEM;
    walk->levels = more;
    walk->n_allocated = n;
    return 0;
}

/* Goes into the directory that was visited last. */
static int descend(struct tree_walk *walk)
{
    struct level *level;
    int r = walk->depth >= TREE_DEPTH_MAX ? -ELOOP : grow_levels(walk);

    if (r < 0)
        return r;
    level = &walk->levels[walk->depth];
    *level = (struct level){
        .fd = openat(walk->node_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC),
        .device = makedev(walk->node_st.stx_dev_major, walk->node_st.stx_dev_minor),
        .inode = walk->node_st.stx_ino,
        .mount = walk->node_st.stx_mnt_id,
        .path_length = walk->path.length,
    };
    if (level->fd < 0 && errno == EPERM)
        level->fd = openat(walk->node_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (level->fd < 0)
        return -errno;
    r = read_names(walk, level);
    if (r < 0) {
        level_release(walk, level);
        return r;
    }
    walk->depth++;
    if (walk->depth > TREE_HELD_MAX) {
        struct level *outer = &walk->levels[walk->depth - 1 - TREE_HELD_MAX];

        outer->fd = fd_close(outer->fd);
    }
    return 0;
}

/* Leaves the innermost directory; the one above is opened again if it is not held. */
static int ascend(struct tree_walk *walk)
{
    struct level *inner = &walk->levels[walk->depth - 1];
    struct level *outer = walk->depth > 1 ? inner - 1 : NULL;
    struct stat st;

    if (outer && outer->fd < 0) {
        outer->fd = openat(inner->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (outer->fd < 0 || fstat(outer->fd, &st) < 0)
            return -errno;
        if (st.st_dev != outer->device || st.st_ino != outer->inode)
            return -EBUSY;
    }
    level_release(walk, inner);
    walk->depth--;
    return 0;
}

static void cut_path(struct tree_walk *walk, size_t length)
{
    walk->path.length = length;
    if (walk->path.data)
        walk->path.data[length] = '\0';
}

/* Opens the next name of the innermost directory: 1, 0 when it is gone, -errno. */
static int visit(struct tree_walk *walk, struct level *level, struct tree_node *ret)
{
    const char *name = level->sorted[level->next++];
    int r;

    cut_path(walk, level->path_length);
    r = walk->path.length > 0 ? buffer_append_char(&walk->path, '/') : 0;
    if (r == 0)
        r = buffer_append_string(&walk->path, name);
    if (r < 0)
        return r == -EOVERFLOW ? -ENAMETOOLONG : r;
    walk->node_fd = openat(level->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (walk->node_fd < 0)
        return errno == ENOENT ? 0 : -errno;
    r = tree_walk_stat(walk->node_fd, &walk->node_st);
    if (r < 0)
        return r;
    ret->is_mount = walk->node_st.stx_mnt_id != level->mount;
    return 1;
}

static int find_next(struct tree_walk *walk, struct tree_node *ret)
{
    int r = 0;

    if (walk->enter)
        r = descend(walk);
    walk->enter = false;
    walk->node_fd = fd_close(walk->node_fd);
    while (r == 0 && walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];

        r = level->next < level->n ? visit(walk, level, ret) : ascend(walk);
    }
    return r;
}

int tree_walk_next(struct tree_walk *walk, struct tree_node *ret, struct error *err)
{
    struct tree_node node = {.is_mount = false};
    int r = 1;

    if (walk->begun)
        r = find_next(walk, &node);
    walk->begun = true;
    if (r < 0)
        return error_set_errno(err, r, "cannot read '%.1024s'", buffer_string(&walk->path));
    if (r == 0)
        return 0;
    walk->enter = S_ISDIR(walk->node_st.stx_mode);
    node.path = buffer_string(&walk->path);
    node.fd = walk->node_fd;
    node.depth = walk->depth;
    node.st = walk->node_st;
    *ret = node;
    return 1;
}

void tree_walk_prune(struct tree_walk *walk)
{
    walk->enter = false;
}
