/* Removal of directory trees: path_remove_tree() of base/path.h.
 *
 * Theory of operation. The tree is somebody else's work: arbitrarily deep (deeper than PATH_MAX
 * and than our stack or our descriptors), full of links, maybe with something still mounted in it,
 * maybe changing while we work. So:
 *
 * - One descriptor only, that of the directory at hand. Down is openat2() of a single component
 *   with RESOLVE_NO_XDEV, which refuses to step into another mount within the system call that
 *   does the step (comparing mount ids afterwards would look at a directory that may have been
 *   mounted over since). Up is openat2("..").
 * - A directory that was moved while we were inside has another "..". Each level therefore
 *   remembers device and inode of the directory it came from, and going up to anything else is
 *   an error, never a removal.
 * - Names are not remembered: after going up the directory is read again from its start, where
 *   the child, empty by now, goes with the next rmdir. What is removed is not read twice.
 *
 * A directory is always tried with rmdir before it is entered, which also finds mount points
 * (EBUSY) before anything below them is touched. */
#include <dirent.h>
#include <errno.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"

enum {
    TREE_DEPTH_MAX = 1 << 20,
    TREE_LEVELS_STEP = 64,
    TREE_FRUITLESS_MAX = 16, /* visits in a row to directories that are empty yet cannot go */
    ENTRIES_SIZE = 32 * 1024,
};

struct level {
    dev_t device;
    ino_t inode;
};

struct removal {
    int fd;               /* the directory at hand */
    struct level *levels; /* of its ancestors inside the tree, outermost first */
    size_t depth;
    size_t n_allocated;
    bool removed_here; /* something, since the last step down */
    int fruitless;
    char *entries; /* ENTRIES_SIZE bytes for getdents64() */
};

static void removal_release(struct removal *removal)
{
    removal->fd = fd_close(removal->fd);
    free(removal->levels);
    free(removal->entries);
}

/* Opens one component, itself a directory of the same mount. */
static int open_step(int dirfd, const char *name)
{
    int fd = path_openat2(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
                          RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);

    return fd == -EXDEV ? -EBUSY : fd;
}

/* Removes a file or an empty directory. -ENOTEMPTY: a directory to be entered. Whether it is a
 * directory is only a guess, and may change between two calls. */
static int remove_entry(int dirfd, const char *name, bool directory)
{
    for (int i = 0; i < 4; i++) {
        if (unlinkat(dirfd, name, directory ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT)
            return 0;
        if (errno == EEXIST) /* POSIX allows this for ENOTEMPTY */
            return -ENOTEMPTY;
        if (errno != (directory ? ENOTDIR : EISDIR))
            return -errno;
        directory = !directory;
    }
    return -EBUSY;
}

static int removal_descend(struct removal *removal, const char *name)
{
    CLEANUP_CLOSE int child = -EBADF;
    struct stat st;

    if (removal->depth >= TREE_DEPTH_MAX)
        return -ELOOP;
    if (removal->depth == removal->n_allocated) {
        size_t n = removal->n_allocated * 2 + TREE_LEVELS_STEP;
        struct level *more = reallocarray(removal->levels, n, sizeof(*more));

        if (!more)
            return -ENOMEM;
        removal->levels = more;
        removal->n_allocated = n;
    }
    if (fstat(removal->fd, &st) < 0)
        return -errno;
    child = open_step(removal->fd, name);
    if (child < 0)
        return child == -ENOENT || child == -ENOTDIR ? 0 : child; /* gone or replaced: read again */
    removal->removed_here = false;
    removal->levels[removal->depth++] = (struct level){.device = st.st_dev, .inode = st.st_ino};
    fd_close(removal->fd);
    removal->fd = TAKE_FD(child);
    return 0;
}

static int removal_ascend(struct removal *removal)
{
    const struct level *level = &removal->levels[removal->depth - 1];
    CLEANUP_CLOSE int parent = open_step(removal->fd, "..");
    struct stat st;

    if (parent < 0)
        return parent;
    if (fstat(parent, &st) < 0)
        return -errno;
    if (st.st_dev != level->device || st.st_ino != level->inode)
        return -EBUSY;
    removal->fruitless = removal->removed_here ? 0 : removal->fruitless + 1;
    if (removal->fruitless > TREE_FRUITLESS_MAX)
        return -ENOTEMPTY;
    removal->depth--;
    fd_close(removal->fd);
    removal->fd = TAKE_FD(parent);
    return 0;
}

/* Removes what can be removed of the directory at hand. 0: it is empty; 1: another directory is at
 * hand now; or -errno. */
static int removal_scan(struct removal *removal)
{
    for (;;) {
        ssize_t n = getdents64(removal->fd, removal->entries, ENTRIES_SIZE);

        if (n <= 0)
            return n < 0 ? -errno : 0;
        for (ssize_t i = 0; i < n;) {
            const struct dirent64 *entry = (const void *)(removal->entries + i);
            const char *name = entry->d_name;
            int r;

            i += entry->d_reclen;
            if (string_equal(name, ".") || string_equal(name, ".."))
                continue;
            r = remove_entry(removal->fd, name, entry->d_type == DT_DIR);
            if (r == -ENOTEMPTY) {
                r = removal_descend(removal, name);
                return r < 0 ? r : 1;
            }
            if (r < 0)
                return r;
            removal->removed_here = true;
        }
    }
}

/* Empties the directory `name` of `parent`. */
static int remove_content(int parent, const char *name)
{
    CLEANUP(removal_release) struct removal removal = {.fd = open_step(parent, name)};
    int r;

    if (removal.fd < 0)
        return removal.fd == -ENOENT ? 0 : removal.fd;
    removal.entries = malloc(ENTRIES_SIZE);
    if (!removal.entries)
        return -ENOMEM;
    for (;;) {
        if (lseek(removal.fd, 0, SEEK_SET) < 0)
            return -errno;
        r = removal_scan(&removal);
        if (r < 0 || (r == 0 && removal.depth == 0))
            return r;
        if (r == 0)
            r = removal_ascend(&removal);
        if (r < 0)
            return r;
    }
}

/* Opens the directory above the last component of `path`, which *ret_base names. */
static int open_above(int dirfd, const char *path, char **ret_base)
{
    size_t end = strlen(path);
    size_t start;
    CLEANUP_FREE char *above = NULL;
    CLEANUP_FREE char *base = NULL;
    int fd;

    while (end > 0 && path[end - 1] == '/')
        end--;
    for (start = end; start > 0 && path[start - 1] != '/'; start--)
        ;
    base = strndup(path + start, end - start);
    above = start > 0 ? strndup(path, start) : strdup(".");
    if (!base || !above)
        return -ENOMEM;
    if (!*base || string_equal(base, ".") || string_equal(base, ".."))
        return -EINVAL;
    fd = openat(dirfd, above, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_base = TAKE_PTR(base);
    return fd;
}

int path_remove_tree(int dirfd, const char *path, struct error *err)
{
    CLEANUP_CLOSE int parent = -EBADF;
    CLEANUP_FREE char *base = NULL;
    int r;

    parent = open_above(dirfd, path, &base);
    if (parent == -ENOENT)
        return 0;
    if (parent < 0)
        return error_set_errno(err, parent, "cannot remove %s", path);
    r = remove_entry(parent, base, true);
    if (r == -ENOTEMPTY) {
        r = remove_content(parent, base);
        if (r == 0)
            r = remove_entry(parent, base, true);
    }
    if (r == -EBUSY)
        return error_set_errno(err, r, "cannot remove %s: something is mounted or in use there",
                               path);
    return r < 0 ? error_set_errno(err, r, "cannot remove %s", path) : 0;
}
