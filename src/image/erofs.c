#include "image/erofs.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/random.h"
#include "base/strings.h"
#include "image/layer.h"
#include "image/store.h"

enum { TOOL_OUTPUT_MAX = 64 * 1024, MOUNT_OPTIONS_MAX = 4095, PIECE_SIZE = 2 * 1024 * 1024 };

/* What the child does before it becomes mkfs.erofs: see merge(). Only system calls. */
struct merge_mount {
    const char *directory; /* layers/ */
    const char *target;    /* relative to it */
    const char *options;
};

static int mount_merged(void *data)
{
    const struct merge_mount *merge = data;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        chdir(merge->directory) < 0 ||
        mount("overlay", merge->target, "overlay", MS_RDONLY | MS_NODEV | MS_NOSUID,
              merge->options) < 0)
        return -errno;
    return 0;
}

static void process_stop(struct process *process)
{
    int status;
    if (process->pid <= 0)
        return;
    process_signal(process, SIGKILL);
    process_wait(process, &status);
    process_release(process);
}

/* Reads the tool's messages to their end, keeping what fits. */
static void read_output(int fd, struct buffer *output)
{
    char block[4096];
    ssize_t n;
    while ((n = fd_read_full(fd, block, sizeof(block))) > 0)
        buffer_append(output, block, (size_t)n);
}

static int run_mkfs(struct image_store *store, const char *temp, const char *tree,
                    struct merge_mount *merge, struct error *err)
{
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(TOOL_OUTPUT_MAX);
    CLEANUP(process_stop) struct process process = PROCESS_INIT;
    int pipe_fds[2], status = 0;
    /* Without compression, files are read through the page cache that all VMs share. -x2 (also the
     * default) keeps attributes; times are kept per file by default. */
    CLEANUP_STRV char **argv = NULL;
    if (strv_append(&argv, store->mkfs_erofs) < 0 || strv_append(&argv, "--quiet") < 0 ||
        strv_append(&argv, "-x2") < 0 || strv_append(&argv, temp) < 0 ||
        strv_append(&argv, tree) < 0)
        return error_oom(err);
    int r = fd_pipe(0, pipe_fds);
    if (r < 0)
        return error_set_errno(err, r, "pipe");
    CLEANUP_CLOSE int reader = pipe_fds[0];
    CLEANUP_CLOSE int writer = pipe_fds[1];
    const struct process_fd fds[] = {{writer, 1}, {writer, 2}};
    const struct process_spec spec = {
        .argv = argv,
        .directory = store->layers_root,
        .fds = fds,
        .n_fds = 2,
        .flags = PROCESS_SEARCH_PATH,
        .prepare = merge ? mount_merged : NULL,
        .prepare_data = merge,
    };
    r = process_spawn(&spec, &process, err);
    if (r < 0)
        return error_wrap(err, r, "cannot make an EROFS image");
    writer = fd_close(writer);
    read_output(reader, &output);
    r = process_wait(&process, &status);
    process_release(&process);
    if (r < 0)
        return error_set_errno(err, r, "cannot wait for %s", store->mkfs_erofs);
    if (status != 0)
        return error_set(err, -EIO, "cannot make an EROFS image: %s (status %d): %s",
                         store->mkfs_erofs, status, buffer_string(&output));
    return 0;
}

/* mkfs.erofs writes a block at a time, and the host's page cache has the image in as small pieces:
 * what guests read in large ones takes half as long again. It has large pieces of what is written
 * in such, so the image is written once more. The first has not been on the disk yet, mostly, and
 * never will be. Where this fails the first is as good. */
static void write_again(struct image_store *store, const char *temp)
{
    CLEANUP_FREE char *name = string_format("%s.large", temp);
    CLEANUP_FREE char *piece = malloc(PIECE_SIZE);
    if (!name || !piece)
        return;
    CLEANUP_CLOSE int from = openat(store->layers_fd, temp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_CLOSE int to =
        openat(store->layers_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    ssize_t n = -1;
    while (from >= 0 && to >= 0 && (n = fd_read_full(from, piece, PIECE_SIZE)) > 0)
        if (fd_write_full(to, piece, (size_t)n) < 0)
            break;
    if (n != 0 || renameat(store->layers_fd, name, store->layers_fd, temp) < 0)
        unlinkat(store->layers_fd, name, 0);
}

/* Builds `<name>/<file>` from `tree` (relative to layers/) under a temporary name. */
static int build(struct image_store *store, const char *name, const char *file, const char *tree,
                 struct merge_mount *merge, struct error *err)
{
    CLEANUP_FREE char *temp = string_format("%s/.%s-%08x", name, file, random_u32());
    CLEANUP_FREE char *final = string_format("%s/%s", name, file);
    if (!temp || !final)
        return error_oom(err);
    int r = run_mkfs(store, temp, tree, merge, err);
    if (r == 0) {
        write_again(store, temp);
        CLEANUP_CLOSE int fd = openat(store->layers_fd, temp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchmod(fd, 0444) < 0 || fdatasync(fd) < 0 ||
            renameat(store->layers_fd, temp, store->layers_fd, final) < 0)
            r = store_write_error(err, -errno, "cannot write an EROFS image");
    }
    if (r < 0)
        unlinkat(store->layers_fd, temp, 0);
    return r;
}

/* Looks for layers/<name>/<file>; when it is missing, takes the claim on it. 1: there. 0: ours to
 * build. */
static int claim_file(struct image_store *store, const char *path, struct store_claim *claim,
                      struct error *err)
{
    if (faccessat(store->layers_fd, path, R_OK, 0) == 0)
        return 1;
    if (store_claim(store, path, NULL, claim) < 0)
        return error_oom(err);
    return faccessat(store->layers_fd, path, R_OK, 0) == 0;
}

int erofs_layer(struct image_store *store, const char *name, char **ret, struct error *err)
{
    struct store_claim claim = {0};
    CLEANUP_FREE char *path = string_format("%s/layer.erofs", name);
    CLEANUP_FREE char *tree = string_format("%s/fs", name);
    if (!path || !tree)
        return error_oom(err);
    int r = claim_file(store, path, &claim, err);
    if (r == 0)
        r = build(store, name, "layer.erofs", tree, NULL, err);
    store_claim_release(store, &claim);
    if (r < 0)
        return r;
    *ret = path_join(store->layers_root, path);
    return *ret ? 0 : error_oom(err);
}

/* The layers are joined by an overlay mount in a mount namespace of the tool's own: nothing of it
 * is seen on the host, and it goes with the process. Relative names keep the options within a page.
 */
static int merge(struct image_store *store, char *const *chains, unsigned n, const char *top,
                 struct error *err)
{
    char temp[LAYER_TEMP_SIZE], name[LAYER_NAME_SIZE];
    CLEANUP(buffer_release) struct buffer options = BUFFER_INIT(MOUNT_OPTIONS_MAX);
    int r = buffer_append_string(&options, "lowerdir=");
    for (unsigned i = n; r == 0 && i-- > 0;) {
        layer_name(chains[i], name);
        r = buffer_printf(&options, "%s/fs%s", name, i > 0 ? ":" : "");
    }
    if (r < 0)
        return error_set_errno(err, r, "too many layers to merge");
    r = layer_temp(store, temp, err);
    if (r < 0)
        return r;
    struct merge_mount mount = {store->layers_root, temp, buffer_string(&options)};
    r = build(store, top, "merged.erofs", temp, &mount, err);
    unlinkat(store->layers_fd, temp, AT_REMOVEDIR);
    return r;
}

int erofs_merged(struct image_store *store, char *const *chains, unsigned n, char **ret,
                 struct error *err)
{
    struct store_claim claim = {0};
    char top[LAYER_NAME_SIZE];
    layer_name(chains[n - 1], top);
    if (n == 1)
        return erofs_layer(store, top, ret, err);
    CLEANUP_FREE char *path = string_format("%s/merged.erofs", top);
    if (!path)
        return error_oom(err);
    int r = claim_file(store, path, &claim, err);
    if (r == 0)
        r = merge(store, chains, n, top, err);
    store_claim_release(store, &claim);
    if (r < 0)
        return r;
    *ret = path_join(store->layers_root, path);
    return *ret ? 0 : error_oom(err);
}
