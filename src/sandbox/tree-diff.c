#include "sandbox/tree-diff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "sandbox/archive-entry.h"
#include "sandbox/tree-inode.h"
#include "sandbox/tree-lower.h"
#include "sandbox/tree-path.h"
#include "sandbox/tree-walk.h"

struct diff {
    const int *layer_fds;
    size_t n_layers;
    char *const *hidden;
    struct tree_changes changes;
    /* The lower side of the directory that the walk is in. */
    struct tree_lower lower;
    char *lower_path;
    /* listed[d]: the directory at depth d above the node at hand is in the list. */
    bool *listed;
};

static void diff_release(struct diff *diff)
{
    tree_changes_release(&diff->changes);
    tree_lower_release(&diff->lower);
    free(diff->lower_path);
    free(diff->listed);
}

void tree_changes_release(struct tree_changes *changes)
{
    for (size_t i = 0; i < changes->n; i++)
        free(changes->items[i].path);
    free(changes->items);
    *changes = (struct tree_changes){.items = NULL};
}

/* `name` (may be NULL) is below the first `length` bytes of `path`. */
static int add_change(struct tree_changes *changes, enum tree_change_kind kind, const char *path,
                      size_t length, const char *name)
{
    char *copy;

    if (changes->n == TREE_CHANGES_MAX || changes->bytes > TREE_CHANGES_BYTES_MAX)
        return -E2BIG;
    if ((changes->n & (changes->n - 1)) == 0) {
        size_t n = changes->n ? 2 * changes->n : 16;
        struct tree_change *more = reallocarray(changes->items, n, sizeof(*more));

        if (!more)
            return -ENOMEM;
        changes->items = more;
    }
    copy = string_format("/%.*s%s%s", (int)length, path, name ? "/" : "", string_or(name, ""));
    if (!copy)
        return -ENOMEM;
    changes->items[changes->n++] = (struct tree_change){.path = copy, .kind = kind};
    changes->bytes += strlen(copy) + sizeof(struct tree_change);
    return 0;
}

/* Adds a change at the node or, with a name, in the directory that the node is; before it the
 * directories above, as docker does: they are needed to make the change. */
static int list_change(struct diff *diff, const struct tree_node *node, const char *name,
                       enum tree_change_kind kind)
{
    size_t above = name ? node->depth : node->depth - 1;
    const char *end = node->path;
    int r = 0;

    for (size_t depth = 1; r == 0 && depth <= above; depth++) {
        end = strchrnul(depth > 1 ? end + 1 : end, '/');
        if (!diff->listed[depth])
            r = add_change(&diff->changes, TREE_MODIFIED, node->path, (size_t)(end - node->path),
                           NULL);
        diff->listed[depth] = true;
    }
    if (r == 0)
        r = add_change(&diff->changes, kind, node->path, strlen(node->path), name);
    if (r == 0 && !name)
        diff->listed[node->depth] = true;
    return r;
}

static bool is_hidden(const struct diff *diff, const char *path)
{
    for (char *const *hidden = diff->hidden; hidden && *hidden; hidden++)
        if ((*hidden)[0] == '/' && string_equal(*hidden + 1, path))
            return true;
    return false;
}

/* Go's time has lost its fraction in some layers. */
static bool same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
    return a->tv_sec == b->tv_sec &&
           (a->tv_nsec == b->tv_nsec || a->tv_nsec == 0 || b->tv_nsec == 0);
}

static bool same_stat(const struct statx *a, const struct statx *b)
{
    if (a->stx_mode != b->stx_mode || a->stx_uid != b->stx_uid || a->stx_gid != b->stx_gid ||
        a->stx_rdev_major != b->stx_rdev_major || a->stx_rdev_minor != b->stx_rdev_minor)
        return false;
    return S_ISDIR(a->stx_mode) ||
           (same_time(&a->stx_mtime, &b->stx_mtime) && a->stx_size == b->stx_size);
}

static int same_capability(int a, int b, bool *ret)
{
    CLEANUP(tar_entry_clear) struct tar_entry of_a = {.type = TAR_FILE};
    CLEANUP(tar_entry_clear) struct tar_entry of_b = {.type = TAR_FILE};
    const struct tar_xattr *x;
    const struct tar_xattr *y;
    int r = tree_inode_read_xattrs(a, TREE_FD_PATH, TREE_XATTRS_PUBLIC, &of_a, NULL);

    if (r == 0)
        r = tree_inode_read_xattrs(b, TREE_FD_PATH, TREE_XATTRS_PUBLIC, &of_b, NULL);
    if (r < 0)
        return r;
    x = tar_entry_find_xattr(&of_a, "security.capability");
    y = tar_entry_find_xattr(&of_b, "security.capability");
    *ret = x && y ? x->size == y->size && memcmp(x->value, y->value, x->size) == 0 : !x && !y;
    return 0;
}

/* Makes diff->lower the lower side of the directory that the node is in. */
static int follow_walk(struct diff *diff, const struct tree_node *node)
{
    const char *slash = strrchr(node->path, '/');
    size_t length = slash ? (size_t)(slash - node->path) : 0;
    CLEANUP_FREE char *path = NULL;
    int r;

    if (diff->lower_path && strlen(diff->lower_path) == length &&
        strncmp(diff->lower_path, node->path, length) == 0)
        return 0;
    path = strndup(node->path, length);
    if (!path)
        return -ENOMEM;
    r = tree_lower_open(diff->layer_fds, diff->n_layers, path, &diff->lower);
    if (r < 0)
        return r;
    free(diff->lower_path);
    diff->lower_path = TAKE_PTR(path);
    return 0;
}

/* What an opaque directory has lost of the one below it. */
static int list_lost(struct diff *diff, const struct tree_node *node)
{
    CLEANUP(tree_lower_release) struct tree_lower lower = {.fds = NULL};
    CLEANUP(buffer_release) struct buffer names = BUFFER_INIT(TREE_NAMES_MAX);
    const char *end;
    int r = tree_lower_open(diff->layer_fds, diff->n_layers, node->path, &lower);

    if (r == 0)
        r = tree_lower_list(&lower, &names);
    end = buffer_string(&names) + names.length;
    for (const char *name = buffer_string(&names); r == 0 && name < end; name += strlen(name) + 1) {
        CLEANUP_CLOSE int fd = openat(node->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT)
            r = list_change(diff, node, name, TREE_DELETED);
        else if (fd < 0)
            r = -errno;
    }
    return r;
}

/* `lower`: what the lower layers have of that name, or negative. */
static int compare(struct diff *diff, const struct tree_node *node, int lower)
{
    bool whiteout =
        S_ISCHR(node->st.stx_mode) && node->st.stx_rdev_major == 0 && node->st.stx_rdev_minor == 0;
    struct statx st;
    bool same = false;
    int r = lower < 0 ? 0 : tree_walk_stat(lower, &st);

    if (r < 0)
        return r;
    if (lower < 0)
        return whiteout ? 0 : list_change(diff, node, NULL, TREE_ADDED);
    if (whiteout)
        return list_change(diff, node, NULL, TREE_DELETED);
    if (same_stat(&node->st, &st)) {
        same = true;
        if (S_ISREG(st.stx_mode))
            r = same_capability(node->fd, lower, &same);
    }
    if (r == 0 && !same)
        r = list_change(diff, node, NULL, TREE_MODIFIED);
    if (r == 0 && S_ISDIR(node->st.stx_mode) && S_ISDIR(st.stx_mode) &&
        tree_inode_is_opaque(node->fd, TREE_FD_PATH))
        r = list_lost(diff, node);
    return r;
}

static int diff_node(struct diff *diff, struct tree_walk *walk, const struct tree_node *node)
{
    const char *slash = strrchr(node->path, '/');
    CLEANUP_CLOSE int lower = -EBADF;
    int r;

    diff->listed[node->depth] = false;
    if (node->depth == 0)
        return 0;
    if (is_hidden(diff, node->path)) {
        tree_walk_prune(walk);
        return 0;
    }
    r = follow_walk(diff, node);
    if (r < 0)
        return r;
    lower = tree_lower_find(&diff->lower, slash ? slash + 1 : node->path);
    if (lower < 0 && lower != -ENOENT)
        return lower;
    return compare(diff, node, lower);
}

static int compare_paths(const void *a, const void *b)
{
    const struct tree_change *x = a;
    const struct tree_change *y = b;

    return strcmp(x->path, y->path);
}

int tree_diff(int upper_fd, const int *lower_fds, size_t n, char *const *hidden,
              struct tree_changes *ret, struct error *err)
{
    CLEANUP(diff_release)
    struct diff diff = {.layer_fds = lower_fds, .n_layers = n, .hidden = hidden};
    CLEANUP(tree_walk_cleanup) struct tree_walk *walk = NULL;
    struct tree_node node;
    int r;

    diff.listed = calloc(TREE_DEPTH_MAX + 2, sizeof(*diff.listed));
    if (!diff.listed)
        return error_oom(err);
    r = tree_walk_new(upper_fd, &walk, err);
    if (r < 0)
        return r;
    while ((r = tree_walk_next(walk, &node, err)) > 0) {
        r = diff_node(&diff, walk, &node);
        if (r == -E2BIG)
            return error_set(err, r, "there are too many changes to list");
        if (r < 0)
            return error_set_errno(err, r, "cannot compare '%.1024s'", node.path);
    }
    if (r < 0)
        return r;
    if (diff.changes.n > 0)
        qsort(diff.changes.items, diff.changes.n, sizeof(*diff.changes.items), compare_paths);
    *ret = diff.changes;
    diff.changes = (struct tree_changes){.items = NULL};
    return 0;
}
