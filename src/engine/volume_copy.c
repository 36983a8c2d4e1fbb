/* The image's content as the first content of a volume.
 *
 * The files go through the same two functions as those of `docker cp`: one thread writes a tar
 * stream into a pipe, the other makes files of it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "engine/volume.h"
#include "sandbox/archive-entry.h"
#include "sandbox/tree-extract.h"
#include "sandbox/tree-inode.h"
#include "sandbox/tree-path.h"
#include "sandbox/tree-write.h"

struct copy {
    int root_fd;
    const char *path;
    int pipe_fd;
    int result;
    struct error err;
};

static void *copy_out(void *data)
{
    struct copy *copy = data;
    const struct tree_write_options options = {.flags = TREE_WRITE_FOLLOW};
    const struct tar_sink sink = tar_sink_fd(&copy->pipe_fd);
    copy->result = tree_write(copy->root_fd, copy->path, &options, &sink, &copy->err);
    copy->pipe_fd = fd_close(copy->pipe_fd);
    return NULL;
}

static int copy_through(struct copy *copy, int volume_fd, int read_end, struct error *err)
{
    const struct tree_extract_options options = {.flags = TREE_EXTRACT_DEVICES};
    CLEANUP_CLOSE int from = read_end;
    const struct tar_source source = tar_source_fd(&from);
    pthread_t thread;
    int r = pthread_create(&thread, NULL, copy_out, copy);
    if (r) {
        fd_close(copy->pipe_fd);
        return error_set_errno(err, -r, "cannot start a thread");
    }
    struct error failure = ERROR_INIT;
    r = tree_extract(volume_fd, "/", &options, &source, NULL, &failure);
    from = fd_close(from); /* so that the writer does not wait for a reader that has given up */
    pthread_join(thread, NULL);
    if (copy->result < 0 && copy->result != -EPIPE)
        return error_copy(err, &copy->err);
    return r < 0 ? error_copy(err, &failure) : 0;
}

/* What extraction leaves alone: the volume's own directory becomes what the image's is. */
static int copy_top(int top, const struct stat *status, int volume_fd, struct error *err)
{
    CLEANUP(tar_entry_clear)
    struct tar_entry entry = {
        .type = TAR_DIRECTORY,
        .mode = status->st_mode & 07777,
        .uid = status->st_uid,
        .gid = status->st_gid,
        .mtime = status->st_mtim,
    };
    int r = tree_inode_read_xattrs(top, TREE_FD_PATH, TREE_XATTRS_PUBLIC, &entry, err);
    if (r == 0)
        r = tree_inode_apply(volume_fd, TREE_FD_OPEN, &entry, TREE_XATTRS_PUBLIC, false, err);
    if (r < 0)
        return r;
    r = tree_inode_set_times(volume_fd, &entry);
    return r < 0 ? error_set_errno(err, r, "cannot set times") : 0;
}

int volume_copy(int root_fd, const char *path, int volume_fd, struct error *err)
{
    struct stat status;
    int ends[2];
    CLEANUP_CLOSE int top = tree_path_open(root_fd, path, true, O_PATH | O_CLOEXEC);
    if (top == -ENOENT)
        return 0;
    if (top < 0 || fstat(top, &status) < 0)
        return error_set_errno(err, top < 0 ? top : -errno, "cannot look at %s in the image", path);
    if (!S_ISDIR(status.st_mode))
        return error_set_class(err, ERROR_INVALID,
                               "cannot mount volume over existing file, file exists %s", path);
    int r = fd_pipe(0, ends);
    if (r < 0)
        return error_set_errno(err, r, "cannot make a pipe");
    struct copy copy = {.root_fd = root_fd, .path = path, .pipe_fd = ends[1]};
    r = copy_through(&copy, volume_fd, ends[0], err);
    if (r == 0)
        r = copy_top(top, &status, volume_fd, err);
    return r < 0 ? error_wrap(err, r, "failed to copy %s of the image into the volume", path) : 0;
}
