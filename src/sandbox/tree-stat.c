#include "sandbox/tree-stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "sandbox/tree-path.h"

/* go/src/io/fs: type FileMode. */
#define GO_MODE_DIR (UINT32_C(1) << 31)
#define GO_MODE_SYMLINK (UINT32_C(1) << 27)
#define GO_MODE_DEVICE (UINT32_C(1) << 26)
#define GO_MODE_NAMED_PIPE (UINT32_C(1) << 25)
#define GO_MODE_SOCKET (UINT32_C(1) << 24)
#define GO_MODE_SETUID (UINT32_C(1) << 23)
#define GO_MODE_SETGID (UINT32_C(1) << 22)
#define GO_MODE_CHAR_DEVICE (UINT32_C(1) << 21)
#define GO_MODE_STICKY (UINT32_C(1) << 20)
#define GO_MODE_IRREGULAR (UINT32_C(1) << 19)

/* Seconds of 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
#define TIME_MIN INT64_C(-62167219200)
#define TIME_MAX INT64_C(253402300799)

uint32_t tree_stat_go_mode(mode_t mode)
{
    uint32_t go = mode & 0777;

    switch (mode & S_IFMT) {
    case S_IFREG:
        break;
    case S_IFDIR:
        go |= GO_MODE_DIR;
        break;
    case S_IFLNK:
        go |= GO_MODE_SYMLINK;
        break;
    case S_IFBLK:
        go |= GO_MODE_DEVICE;
        break;
    case S_IFCHR:
        go |= GO_MODE_DEVICE | GO_MODE_CHAR_DEVICE;
        break;
    case S_IFIFO:
        go |= GO_MODE_NAMED_PIPE;
        break;
    case S_IFSOCK:
        go |= GO_MODE_SOCKET;
        break;
    default:
        go |= GO_MODE_IRREGULAR;
    }
    go |= mode & S_ISUID ? GO_MODE_SETUID : 0;
    go |= mode & S_ISGID ? GO_MODE_SETGID : 0;
    go |= mode & S_ISVTX ? GO_MODE_STICKY : 0;
    return go;
}

void tree_stat_release(struct tree_stat *stat)
{
    free(stat->name);
    free(stat->link_target);
    *stat = (struct tree_stat){.name = NULL};
}

int tree_stat(int root_fd, const char *path, struct tree_stat *ret, struct error *err)
{
    CLEANUP(tree_stat_release) struct tree_stat stat = {.name = NULL};
    CLEANUP_FREE char *clean = tree_path_clean(path);
    CLEANUP_CLOSE int fd = -EBADF;
    struct stat st;
    int r;

    if (!clean)
        return error_oom(err);
    fd = tree_path_open(root_fd, clean, false, O_PATH);
    r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;
    if (r == -ENOENT)
        return error_set_class(err, ERROR_NOT_FOUND, "no such file or directory: %s", path);
    if (r < 0)
        return error_set_errno(err, r, "cannot look at %s", path);
    if (S_ISLNK(st.st_mode)) {
        r = tree_path_follow(root_fd, clean, &stat.link_target);
        if (r < 0)
            return error_set_errno(err, r, "cannot follow %s", path);
    } else {
        stat.link_target = strdup("");
    }
    stat.name = tree_path_base(clean);
    if (!stat.name || !stat.link_target)
        return error_oom(err);
    stat.size = st.st_size;
    stat.mode = tree_stat_go_mode(st.st_mode);
    stat.mtime = st.st_mtim;
    *ret = stat;
    stat = (struct tree_stat){.name = NULL};
    return 0;
}

const char *tree_stat_format_time(struct timespec time, char text[TREE_TIME_SIZE])
{
    time_t seconds = time.tv_sec < TIME_MIN   ? TIME_MIN
                     : time.tv_sec > TIME_MAX ? TIME_MAX
                                              : time.tv_sec;
    struct tm tm;
    int n;

    gmtime_r(&seconds, &tm);
    n = snprintf(text, TREE_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%09ld", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, time.tv_nsec);
    while (n > 0 && text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    text[n] = 'Z';
    text[n + 1] = '\0';
    return text;
}

json_t *tree_stat_to_json(const struct tree_stat *stat)
{
    CLEANUP_JSON json_t *object = json_object();
    char text[TREE_TIME_SIZE];

    if (!object || json_put_string(object, "name", stat->name) < 0 ||
        json_put_i64(object, "size", stat->size) < 0 ||
        json_put_i64(object, "mode", stat->mode) < 0 ||
        json_put_string(object, "mtime", tree_stat_format_time(stat->mtime, text)) < 0 ||
        json_put_string(object, "linkTarget", stat->link_target) < 0)
        return NULL;
    return TAKE_PTR(object);
}
