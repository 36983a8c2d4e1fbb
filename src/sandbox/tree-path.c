#include "sandbox/tree-path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"

enum {
    PIECE_MAX = PATH_MAX - 1,
    LINKS_MAX = 255, /* docker's */
};

char *tree_path_clean(const char *path)
{
    CLEANUP_FREE char *clean = path_normalize(path);
    const char *end = "";

    if (!clean)
        return NULL;
    if (string_ends_with(path, "/.") || string_equal(path, "."))
        end = ".";
    else if (!string_ends_with(path, "/"))
        return TAKE_PTR(clean);
    return string_format("%s%s%s", clean, string_equal(clean, "/") ? "" : "/", end);
}

char *tree_path_base(const char *clean)
{
    size_t end = strlen(clean);
    size_t start;

    while (end > 1 && clean[end - 1] == '/')
        end--;
    for (start = end; start > 0 && clean[start - 1] != '/'; start--)
        ;
    return start == end ? strdup("/") : strndup(clean + start, end - start);
}

int tree_path_clean_member(const char *name, char **ret)
{
    CLEANUP_FREE char *clean = NULL;
    char *out;
    int depth = 0;

    if (strnlen(name, TREE_NAME_MAX + 1) > TREE_NAME_MAX)
        return -ENAMETOOLONG;
    clean = malloc(strlen(name) + 1);
    if (!clean)
        return -ENOMEM;
    for (out = clean; *name;) {
        size_t length = strcspn(name, "/");

        if (length == 2 && name[0] == '.' && name[1] == '.') {
            if (depth-- == 0)
                return -EINVAL;
            while (out > clean && *--out != '/')
                ;
        } else if (length > 0 && !(length == 1 && name[0] == '.')) {
            if (++depth > TREE_DEPTH_MAX)
                return -ELOOP;
            if (out > clean)
                *out++ = '/';
            out = mempcpy(out, name, length);
        }
        name += length;
        name += strspn(name, "/");
    }
    *out = '\0';
    *ret = TAKE_PTR(clean);
    return 0;
}

/* The link's text at `path`, or 0 when there is no link. */
static ssize_t read_link(int root_fd, const char *path, char target[PATH_MAX])
{
    CLEANUP_CLOSE int fd = path_open_in_root(root_fd, path, O_PATH | O_NOFOLLOW, 0);
    ssize_t n;

    if (fd < 0)
        return 0;
    n = readlinkat(fd, "", target, PATH_MAX - 1);
    if (n < 0)
        return 0;
    target[n] = '\0';
    return n;
}

int tree_path_follow(int root_fd, const char *path, char **ret)
{
    CLEANUP_FREE char *rest = path_normalize(path);
    CLEANUP_FREE char *done = strdup("/");
    char target[PATH_MAX];
    int links = 0;

    if (!rest || !done)
        return -ENOMEM;
    while (rest[strspn(rest, "/")]) {
        const char *name = rest + strspn(rest, "/");
        size_t length = strcspn(name, "/");
        CLEANUP_FREE char *next =
            string_format("%s%s%.*s", done, done[1] ? "/" : "", (int)length, name);
        CLEANUP_FREE char *joined = NULL;
        char *expanded;

        if (!next)
            return -ENOMEM;
        if (strlen(next) >= PATH_MAX)
            return -ENAMETOOLONG;
        if (read_link(root_fd, next, target) == 0) {
            memmove(rest, name + length, strlen(name + length) + 1);
            free(done);
            done = TAKE_PTR(next);
            continue;
        }
        if (++links > LINKS_MAX)
            return -ELOOP;
        /* ".." in the link is seen from where it is, and all above that is followed already. */
        joined = string_format("%s/%s%s", target[0] == '/' ? "" : done, target, name + length);
        expanded = joined ? path_normalize(joined) : NULL;
        if (!expanded)
            return -ENOMEM;
        free(rest);
        rest = expanded;
        done[1] = '\0';
    }
    *ret = TAKE_PTR(done);
    return 0;
}

/* Length of the first components that fit into one system call; 0 when one alone does not. */
static size_t first_piece(const char *path, size_t length)
{
    if (length <= PIECE_MAX)
        return length;
    length = PIECE_MAX;
    while (length > 0 && path[length] != '/')
        length--;
    return length;
}

int tree_path_open(int root_fd, const char *path, bool follow, int flags)
{
    CLEANUP_CLOSE int at = -EBADF;
    int last = flags | (follow ? 0 : O_NOFOLLOW);
    size_t length = strlen(path);

    if (length <= PIECE_MAX)
        return path_open_in_root(root_fd, path, last, 0);
    while (length > 0) {
        size_t n = first_piece(path, length);
        CLEANUP_FREE char *piece = strndup(path, n);
        bool is_last = n == length;
        int piece_flags = is_last ? last : O_PATH | O_DIRECTORY;
        int fd;

        if (!piece)
            return -ENOMEM;
        if (n == 0)
            return -ENAMETOOLONG;
        fd = at < 0
                 ? path_open_in_root(root_fd, piece, piece_flags, 0)
                 : path_openat2(at, piece, piece_flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
        if (fd < 0)
            return fd;
        fd_close(at);
        at = fd;
        path += n;
        length -= n;
        for (; length > 0 && *path == '/'; path++)
            length--;
    }
    return TAKE_FD(at);
}

int tree_path_open_parent(int root_fd, const char *path, bool make, const char **ret_base)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    CLEANUP_FREE char *parent = NULL;
    int fd;

    if (strlen(path) <= PIECE_MAX)
        return path_open_parent_in_root(root_fd, path, make, ret_base);
    parent = strndup(path, (size_t)(base - path));
    if (!parent)
        return -ENOMEM;
    fd = tree_path_open(root_fd, parent, true, O_PATH | O_DIRECTORY);
    if (fd >= 0)
        *ret_base = base;
    return fd;
}
