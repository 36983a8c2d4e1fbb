#include "image/layer.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strings.h"
#include "image/blob.h"
#include "image/store.h"
#include "image/unpack.h"
#include "spec/reference.h"

enum { LAYER_JSON_MAX = 4096 };

int layer_chain_ids(char *const *diff_ids, char ***ret)
{
    CLEANUP_STRV char **chains = strv_copy(NULL);
    char chain[DIGEST_TEXT_SIZE];
    if (!chains)
        return -ENOMEM;
    for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
        if (i == 0) {
            string_copy(chain, sizeof(chain), diff_ids[i]);
        } else {
            CLEANUP_FREE char *text = string_format("%s %s", chain, diff_ids[i]);
            if (!text)
                return -ENOMEM;
            int r = digest_of(text, strlen(text), chain);
            if (r < 0)
                return r;
        }
        if (strv_append(&chains, chain) < 0)
            return -ENOMEM;
    }
    *ret = TAKE_PTR(chains);
    return 0;
}

void layer_name(const char *chain, char name[LAYER_NAME_SIZE])
{
    string_copy(name, LAYER_NAME_SIZE, digest_hex(chain));
}

int layer_temp(struct image_store *store, char name[LAYER_TEMP_SIZE], struct error *err)
{
    snprintf(name, LAYER_TEMP_SIZE, LAYER_TEMP_PREFIX "%08x%08x", random_u32(), random_u32());
    if (mkdirat(store->layers_fd, name, 0700) < 0)
        return store_write_error(err, -errno, "cannot create a layer");
    return 0;
}

int layer_find(struct image_store *store, const char *chain, int64_t *ret_size, struct error *err)
{
    char name[LAYER_NAME_SIZE];
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(LAYER_JSON_MAX);
    CLEANUP_JSON json_t *document = NULL;
    const char *found = NULL;
    int64_t size = 0;
    if (!digest_is_valid(chain))
        return error_set_class(err, ERROR_INVALID, "invalid chain id '%s'", chain);
    layer_name(chain, name);
    CLEANUP_FREE char *path = string_format("%s/layer.json", name);
    if (!path)
        return error_oom(err);
    if (faccessat(store->layers_fd, path, F_OK, 0) < 0 && errno == ENOENT)
        return 0;
    int r = file_read(store->layers_fd, path, &text, err);
    if (r < 0 || (r = json_parse(buffer_string(&text), text.length, &document, err)) < 0 ||
        (r = json_need_string(document, "chain", &found, err)) < 0 ||
        (r = json_need_i64(document, "size", &size, err)) < 0)
        return error_wrap(err, r, "%s/%s", store->layers_root, path);
    if (strcmp(found, chain) != 0)
        return error_set_class(
            err, ERROR_CONFLICT,
            "layers %s and %s have the same first 16 digits; one of them was made "
            "to: refused",
            found, chain);
    if (ret_size)
        *ret_size = size;
    return 1;
}

static int write_layer_json(int dir_fd, const struct layer_source *source, int64_t size,
                            struct error *err)
{
    CLEANUP_JSON json_t *document = json_pack("{s:s, s:s, s:I}", "chain", source->chain, "diff",
                                              source->diff_id, "size", (json_int_t)size);
    CLEANUP_FREE char *text = document ? json_format(document) : NULL;
    if (!text)
        return error_oom(err);
    int r = file_write_atomic(dir_fd, "layer.json", text, strlen(text), 0600, err);
    return r < 0 ? store_write_error(err, r, "cannot write a layer") : 0;
}

static int unpack_into(struct image_store *store, const struct layer_source *source, int dir_fd,
                       struct error *err)
{
    struct unpack_result result = {0};
    CLEANUP_CLOSE int blob = blob_open(store, source->blob, NULL, err);
    if (blob < 0)
        return blob;
    if (mkdirat(dir_fd, "fs", 0755) < 0)
        return store_write_error(err, -errno, "cannot create a layer");
    CLEANUP_CLOSE int root = openat(dir_fd, "fs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || fchmod(root, 0755) < 0)
        return store_write_error(err, -errno, "cannot create a layer");
    struct stream_options options = {
        .fd = blob,
        .limits = UNPACK_LIMITS,
        .monitor = source->monitor,
        .progress = source->progress,
        .progress_data = source->progress_data,
    };
    int r = unpack_layer(&options, root, &result, err);
    if (r < 0)
        return r;
    if (strcmp(result.diff_id, source->diff_id) != 0)
        return error_set_class(err, ERROR_INVALID,
                               "its content has diff id %s, but the image says %s", result.diff_id,
                               source->diff_id);
    return write_layer_json(dir_fd, source, result.size, err);
}

static int add_new(struct image_store *store, const struct layer_source *source, struct error *err)
{
    char temp[LAYER_TEMP_SIZE], name[LAYER_NAME_SIZE];
    int r = layer_temp(store, temp, err);
    if (r < 0)
        return r;
    CLEANUP_CLOSE int dir_fd = openat(store->layers_fd, temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return error_set_errno(err, -errno, "cannot open a new layer");
    r = unpack_into(store, source, dir_fd, err);
    if (r < 0) {
        error_wrap(err, r, "failed to register layer %s (diff id %s)", source->blob,
                   source->diff_id);
    } else {
        layer_name(source->chain, name);
        /* What a crash left without layer.json is in the way. */
        path_remove_tree(store->layers_fd, name, NULL);
        if (renameat(store->layers_fd, temp, store->layers_fd, name) < 0)
            r = store_write_error(err, -errno, "cannot place a layer");
    }
    if (r < 0)
        path_remove_tree(store->layers_fd, temp, NULL);
    return r;
}

/* The tree is there, perhaps from another blob: this one must still be what the image says, because
 * it is kept. */
static int verify_blob(struct image_store *store, const struct layer_source *source,
                       struct error *err)
{
    CLEANUP(stream_cleanup) struct stream *stream = NULL;
    char diff_id[DIGEST_TEXT_SIZE];
    if (strcmp(source->blob, source->diff_id) == 0)
        return 0;
    CLEANUP_CLOSE int fd = blob_open(store, source->blob, NULL, err);
    if (fd < 0)
        return fd;
    const struct stream_options options = {
        .fd = fd,
        .limits = UNPACK_LIMITS,
        .monitor = source->monitor,
    };
    int r = stream_open(&options, &stream, err);
    if (r == 0)
        r = stream_finish(stream, diff_id, err);
    if (r == 0 && strcmp(diff_id, source->diff_id) != 0)
        r = error_set_class(err, ERROR_INVALID, "its content has diff id %s, but the image says %s",
                            diff_id, source->diff_id);
    return r < 0 ? error_wrap(err, r, "failed to register layer %s (diff id %s)", source->blob,
                              source->diff_id)
                 : 0;
}

int layer_add(struct image_store *store, const struct layer_source *source, struct error *err)
{
    struct store_claim claim = {0};
    int r = store_claim(store, source->chain, source->monitor, &claim);
    if (r < 0)
        return r == -ECANCELED ? error_set(err, r, "context canceled") : error_oom(err);
    r = layer_find(store, source->chain, NULL, err);
    if (r == 0)
        r = add_new(store, source, err);
    else if (r > 0)
        r = verify_blob(store, source, err);
    store_claim_release(store, &claim);
    return r < 0 ? r : 0;
}

int layers_clean(struct image_store *store, struct error *err)
{
    CLEANUP_CLOSE int fd = openat(store->layers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_DIR DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return error_set_errno(err, -errno, "cannot read %s", store->layers_root);
    (void)TAKE_FD(fd);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!string_starts_with(entry->d_name, LAYER_TEMP_PREFIX))
            continue;
        int r = path_remove_tree(store->layers_fd, entry->d_name, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int64_t sum_dir(int dirfd, const char *path, int depth)
{
    int64_t bytes = 0;
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_DIR DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return 0;
    int own = TAKE_FD(fd);
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(own, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        bytes += (int64_t)st.st_blocks * 512 /
                 (st.st_nlink > 1 && !S_ISDIR(st.st_mode) ? (int64_t)st.st_nlink : 1);
        if (S_ISDIR(st.st_mode) && depth > 0)
            bytes += sum_dir(own, entry->d_name, depth - 1);
    }
    return bytes;
}

int64_t tree_bytes(int dirfd, const char *path)
{
    return sum_dir(dirfd, path, UNPACK_DEPTH_MAX + 4);
}
