#include "sandbox/tree-lower.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"
#include "sandbox/tree-inode.h"

void tree_lower_release(struct tree_lower *lower)
{
    for (size_t i = 0; i < lower->n; i++)
        fd_close(lower->fds[i]);
    free(lower->fds);
    *lower = (struct tree_lower){.fds = NULL};
}

/* What ends the search at `fd`: nothing below a file or whiteout is seen, and nothing below an
 * opaque directory. */
struct step {
    bool is_directory;
    bool ends;
};

static int look(int fd, struct step *ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    ret->is_directory = S_ISDIR(st.st_mode);
    ret->ends = !ret->is_directory || tree_inode_is_opaque(fd, TREE_FD_PATH);
    return 0;
}

static int add(struct tree_lower *lower, int fd)
{
    int *more = reallocarray(lower->fds, lower->n + 1, sizeof(*more));

    if (!more)
        return -ENOMEM;
    lower->fds = more;
    more[lower->n++] = fd;
    return 0;
}

static int step_down(const int *fds, size_t n, const char *name, struct tree_lower *ret)
{
    struct step step = {.ends = false};
    int r = 0;

    for (size_t i = 0; r == 0 && i < n && !step.ends; i++) {
        CLEANUP_CLOSE int fd = openat(fds[i], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT)
            continue;
        r = fd < 0 ? -errno : look(fd, &step);
        if (r == 0 && step.is_directory) {
            r = add(ret, fd);
            if (r == 0)
                fd = -EBADF;
        }
    }
    return r;
}

int tree_lower_open(const int *layer_fds, size_t n, const char *path, struct tree_lower *ret)
{
    CLEANUP(tree_lower_release) struct tree_lower at = {.fds = NULL};
    const int *fds = layer_fds;
    int r;

    for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
        CLEANUP(tree_lower_release) struct tree_lower next = {.fds = NULL};
        CLEANUP_FREE char *name = strndup(path, strcspn(path, "/"));

        r = name ? step_down(fds, n, name, &next) : -ENOMEM;
        if (r < 0)
            return r;
        tree_lower_release(&at);
        at = next;
        next = (struct tree_lower){.fds = NULL};
        fds = at.fds;
        n = at.n;
        path += strcspn(path, "/");
    }
    for (size_t i = 0; fds == layer_fds && i < n; i++) {
        int fd = fcntl(layer_fds[i], F_DUPFD_CLOEXEC, 3);

        r = fd < 0 ? -errno : add(&at, fd);
        if (r < 0) {
            fd_close(fd);
            return r;
        }
    }
    tree_lower_release(ret);
    *ret = at;
    at = (struct tree_lower){.fds = NULL};
    return 0;
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

int tree_lower_find(const struct tree_lower *lower, const char *name)
{
    for (size_t i = 0; i < lower->n; i++) {
        CLEANUP_CLOSE int fd = openat(lower->fds[i], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0 || fstat(fd, &st) < 0)
            return -errno;
        return is_whiteout(&st) ? -ENOENT : TAKE_FD(fd);
    }
    return -ENOENT;
}

/* Names of one directory that are not whiteouts and not hidden by one above. */
static int list_one(const struct tree_lower *lower, size_t i, struct buffer *ret)
{
    CLEANUP_DIR DIR *directory = NULL;
    int fd = openat(lower->fds[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent *entry;
    int r = 0;

    directory = fd < 0 ? NULL : fdopendir(fd);
    if (!directory) {
        r = -errno;
        fd_close(fd);
        return r;
    }
    while (r == 0 && (errno = 0, entry = readdir(directory))) {
        const struct tree_lower above = {.fds = lower->fds, .n = i};
        struct stat st;
        bool seen = false;

        if (string_equal(entry->d_name, ".") || string_equal(entry->d_name, ".."))
            continue;
        /* Any inode of that name above, whiteout or not, has said what there is to say. */
        for (size_t k = 0; k < above.n && !seen; k++)
            seen = fstatat(above.fds[k], entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (seen || fstatat(lower->fds[i], entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            is_whiteout(&st))
            continue;
        r = buffer_append(ret, entry->d_name, strlen(entry->d_name) + 1);
    }
    return r < 0 ? r : -errno;
}

int tree_lower_list(const struct tree_lower *lower, struct buffer *ret)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < lower->n; i++)
        r = list_one(lower, i, ret);
    return r;
}
