/* How large containers are: `docker ps -s`, inspect with size=1, prune. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/private.h"
#include "image/image.h"

static int64_t tree_size(int dirfd, const char *name, int depth)
{
    enum { SIZE_DEPTH_MAX = 64 };
    int64_t total = 0;
    CLEANUP_CLOSE int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || depth > SIZE_DEPTH_MAX)
        return 0;
    CLEANUP_DIR DIR *directory = fdopendir(fd);
    if (!directory)
        return 0;
    int own = TAKE_FD(fd);
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        struct stat status;
        if (string_equal(entry->d_name, ".") || string_equal(entry->d_name, "..") ||
            fstatat(own, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        int64_t bytes = 0;
        if (S_ISDIR(status.st_mode))
            bytes = tree_size(own, entry->d_name, depth + 1);
        else if (S_ISREG(status.st_mode))
            bytes = status.st_size / (status.st_nlink > 1 ? (int64_t)status.st_nlink : 1);
        /* Sparse files may say that they are as long as a file can be. */
        if (__builtin_add_overflow(total, bytes, &total))
            return INT64_MAX;
    }
    return total;
}

/* What an empty disk of this size occupies: the template's blocks (vm/scratch.h), whose length is
 * that of its copies. */
static int64_t empty_disk_bytes(const struct engine *engine, off_t length)
{
    CLEANUP_FREE char *path = string_format("%s/scratch", engine->config.root);
    CLEANUP_DIR DIR *directory = path ? opendir(path) : NULL;
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        struct stat status;
        if (fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode) && status.st_size == length)
            return (int64_t)status.st_blocks * 512;
    }
    return 0;
}

int64_t engine_tree_size(const char *path)
{
    return tree_size(AT_FDCWD, path, 0);
}

int64_t engine_container_size(struct engine *engine, const char *id)
{
    struct stat status;
    CLEANUP_FREE char *upper = string_format("%s/containers/%s/upper", engine->config.root, id);
    CLEANUP_FREE char *scratch =
        string_format("%s/containers/%s/scratch.ext4", engine->config.root, id);
    if (scratch && stat(scratch, &status) == 0) {
        int64_t written =
            (int64_t)status.st_blocks * 512 - empty_disk_bytes(engine, status.st_size);
        return written > 0 ? written : 0;
    }
    return upper ? tree_size(AT_FDCWD, upper, 0) : 0;
}

int engine_put_sizes(struct engine *engine, const char *id, json_t *object)
{
    int64_t own = engine_container_size(engine, id);
    int64_t layers = 0;
    (void)image_hold_size(engine->images, id, &layers, NULL);
    int r = json_put_i64(object, "SizeRw", own);
    if (__builtin_add_overflow(layers, own, &layers))
        layers = INT64_MAX;
    return r ?: json_put_i64(object, "SizeRootFs", layers);
}
