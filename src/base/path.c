#include "base/path.h"

#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"

enum {
    OPENAT2_RETRIES_MAX = 128,
    LINKS_MAX = 40, /* as the kernel's MAXSYMLINKS */
    DIRECTORY_MODE = 0755,
};

char *path_join(const char *a, const char *b)
{
    size_t length = strlen(a);

    if (length == 0)
        return strdup(b);
    while (length > 0 && a[length - 1] == '/')
        length--;
    while (*b == '/')
        b++;
    if (!*b)
        return length > 0 ? strndup(a, length) : strdup("/");
    return string_format("%.*s/%s", (int)length, a, b);
}

bool path_is_absolute(const char *path)
{
    return path && path[0] == '/';
}

char *path_normalize(const char *path)
{
    size_t size = strlen(path) + 2;
    char *normal = malloc(size);
    char *end = normal;

    if (!normal)
        return NULL;
    while (*path) {
        size_t length = strcspn(path, "/");

        if (length == 2 && path[0] == '.' && path[1] == '.') {
            while (end > normal && *--end != '/')
                ;
        } else if (length > 0 && !(length == 1 && path[0] == '.')) {
            *end++ = '/';
            end = mempcpy(end, path, length);
        }
        path += length;
        path += strspn(path, "/");
    }
    if (end == normal)
        *end++ = '/';
    *end = '\0';
    return normal;
}

/* mkdir with exactly this mode, whatever the umask; -EEXIST as mkdir(2). The second step goes
 * through a descriptor: between the two somebody may have put a link in the directory's place. */
static int make_one_dir(int dirfd, const char *name, mode_t mode)
{
    CLEANUP_CLOSE int fd = -EBADF;

    if (mkdirat(dirfd, name, mode & 0777) < 0)
        return -errno;
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0
                               : -errno; /* without read permission for ourselves: umask rules */
    return fchmod(fd, mode) < 0 ? -errno : 0;
}

int path_make_dirs(const char *path, mode_t mode, struct error *err)
{
    CLEANUP_FREE char *prefix = strdup(path);
    struct stat st;

    if (!prefix)
        return error_oom(err);
    for (char *end = prefix; *end;) {
        char separator;
        int r;

        end += strspn(end, "/");
        if (!*end)
            break;
        end += strcspn(end, "/");
        separator = *end;
        *end = '\0';
        r = make_one_dir(AT_FDCWD, prefix, mode);
        if (r < 0 && r != -EEXIST)
            return error_set_errno(err, r, "cannot create directory %s", prefix);
        *end = separator;
    }
    if (stat(path, &st) < 0)
        return error_set_errno(err, -errno, "cannot create directory %s", path);
    if (!S_ISDIR(st.st_mode))
        return error_set_errno(err, -ENOTDIR, "cannot create directory %s", path);
    return 0;
}

int path_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        /* The kernel refuses a mode where nothing can be created. */
        .mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? mode & 07777 : 0,
        .resolve = resolve,
    };

    /* EAGAIN: something was renamed while ".." was resolved, the kernel could not tell whether the
     * result is inside. Who renames in a loop on purpose gets -EAGAIN at last, not an endless one
     * of ours. */
    for (int i = 0; i < OPENAT2_RETRIES_MAX; i++) {
        long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return -EAGAIN;
}

int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
    return path_openat2(root_fd, *path ? path : ".", flags, mode,
                        RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

static int open_dir_in_root(int root_fd, const char *path)
{
    return path_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0);
}

/* Replaces the symbolic link at walk[start..end) by its target, seen from `parent`. The text of
 * the link is the stranger's; what it names is again resolved inside the root. */
static int expand_link(char walk[PATH_MAX], size_t start, size_t end, int parent, const char *name)
{
    char target[PATH_MAX];
    CLEANUP_FREE char *expanded = NULL;
    ssize_t n = readlinkat(parent, name, target, sizeof(target) - 1);

    if (n < 0) /* EINVAL: it is a file, not a link */
        return errno == EINVAL ? -ENOTDIR : -errno;
    target[n] = '\0';
    if (path_is_absolute(target))
        expanded = string_format("%s%s", target, walk + end);
    else
        expanded = string_format("%.*s%s%s", (int)start, walk, target, walk + end);
    if (!expanded)
        return -ENOMEM;
    return string_copy(walk, PATH_MAX, expanded) ? 0 : -ENAMETOOLONG;
}

/* One step: makes sure that walk[0..end) is a directory in the root. Returns 0, 1 when `walk` was
 * rewritten and the walk starts again, or -errno. */
static int make_step(int root_fd, char walk[PATH_MAX], size_t start, size_t end, mode_t mode)
{
    CLEANUP_CLOSE int parent = -EBADF;
    CLEANUP_CLOSE int there = -EBADF;
    CLEANUP_FREE char *prefix = strndup(walk, end);
    int r;

    if (!prefix)
        return -ENOMEM;
    there = open_dir_in_root(root_fd, prefix);
    if (there != -ENOENT)
        return there < 0 ? there : 0;
    /* A single component below a descriptor: nothing is followed from here on. */
    CLEANUP_FREE char *above = strndup(walk, start);
    if (!above)
        return -ENOMEM;
    parent = open_dir_in_root(root_fd, above);
    if (parent < 0)
        return parent;
    r = make_one_dir(parent, prefix + start, mode);
    if (r != -EEXIST)
        return r;
    /* There, and yet not: a link to nothing, whose target is made then; or somebody was faster. */
    r = expand_link(walk, start, end, parent, prefix + start);
    if (r == -ENOTDIR || r == -ENOENT)
        return 1;
    return r < 0 ? r : 1;
}

int path_make_dirs_in_root(int root_fd, const char *path, mode_t mode)
{
    char walk[PATH_MAX];
    size_t end = 0;
    int restarts = 0;

    if (!string_copy(walk, sizeof(walk), path))
        return -ENAMETOOLONG;
    while (walk[end]) {
        size_t start = end + strspn(walk + end, "/");
        int r;

        end = start + strcspn(walk + start, "/");
        if (end == start)
            break;
        r = make_step(root_fd, walk, start, end, mode);
        if (r < 0)
            return r;
        if (r > 0) {
            if (++restarts > LINKS_MAX)
                return -ELOOP;
            end = 0;
        }
    }
    return open_dir_in_root(root_fd, walk);
}

int path_open_parent_in_root(int root_fd, const char *path, bool make_dirs, const char **ret_base)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    CLEANUP_FREE char *parent = NULL;
    int fd;

    if (!*base || string_equal(base, ".") || string_equal(base, ".."))
        return -EINVAL;
    parent = strndup(path, (size_t)(base - path));
    if (!parent)
        return -ENOMEM;
    fd = make_dirs ? path_make_dirs_in_root(root_fd, parent, DIRECTORY_MODE)
                   : open_dir_in_root(root_fd, parent);
    if (fd >= 0)
        *ret_base = base;
    return fd;
}
