/* Holds: <root>/image/holds/<container id> keeps a container's layers, whatever becomes of its
 * image. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "image/erofs.h"
#include "image/layer.h"
#include "image/store.h"

enum { HOLD_FILE_MAX = 64 * 1024, HOLDER_MAX = 128 };

static bool holder_is_valid(const char *holder)
{
    size_t length = strnlen(holder, HOLDER_MAX + 1);
    return length > 0 && length <= HOLDER_MAX && holder[0] != '.' &&
           strspn(holder, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-") ==
               length;
}

static void hold_free(struct store_hold *hold)
{
    list_remove(&hold->node);
    free(hold->holder);
    free(hold->image_id);
    strv_free(hold->chains);
    free(hold);
}

void holds_free(struct image_store *store)
{
    if (!store->holds.next)
        return;
    LIST_FOR_EACH (hold, &store->holds, struct store_hold, node) {
        hold_free(hold);
    }
}

static struct store_hold *find_hold(const struct image_store *store, const char *holder)
{
    LIST_FOR_EACH (hold, &store->holds, struct store_hold, node) {
        if (strcmp(hold->holder, holder) == 0)
            return hold;
    }
    return NULL;
}

/* Puts a hold in place of the holder's old one. */
static int add_hold(struct image_store *store, const char *holder, const char *image_id,
                    char *const *chains)
{
    struct store_hold *hold = calloc(1, sizeof(*hold));
    if (!hold)
        return -ENOMEM;
    list_init(&hold->node);
    if (string_replace(&hold->holder, holder) < 0 ||
        string_replace(&hold->image_id, image_id) < 0 || !(hold->chains = strv_copy(chains))) {
        hold_free(hold);
        return -ENOMEM;
    }
    struct store_hold *old = find_hold(store, holder);
    if (old)
        hold_free(old);
    list_append(&store->holds, &hold->node);
    return 0;
}

static int load_hold(struct image_store *store, int dir_fd, const char *holder, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(HOLD_FILE_MAX);
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_STRV char **chains = NULL;
    const char *image_id = NULL;
    int r = file_read(dir_fd, holder, &text, err);
    if (r < 0 || (r = json_parse(buffer_string(&text), text.length, &document, err)) < 0 ||
        (r = json_need_string(document, "image", &image_id, err)) < 0 ||
        (r = json_get_strv(document, "chains", IMAGE_LAYERS_MAX, &chains, err)) < 0)
        return error_wrap(err, r, "%s/holds/%s", store->image_root, holder);
    return add_hold(store, holder, image_id, chains) < 0 ? error_oom(err) : 0;
}

int holds_load(struct image_store *store, struct error *err)
{
    if (mkdirat(store->image_fd, "holds", 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "cannot make %s/holds", store->image_root);
    CLEANUP_CLOSE int fd = openat(store->image_fd, "holds", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_DIR DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return error_set_errno(err, -errno, "cannot read %s/holds", store->image_root);
    int dir_fd = TAKE_FD(fd);
    for (struct dirent *entry; (entry = readdir(dir));) {
        /* The temporaries of an atomic write begin with a dot. */
        if (!holder_is_valid(entry->d_name))
            continue;
        int r = load_hold(store, dir_fd, entry->d_name, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int write_hold(struct image_store *store, const char *holder,
                      const struct index_entry *entry, struct error *err)
{
    CLEANUP_JSON json_t *document =
        json_pack("{s:s, s:o}", "image", entry->image_id, "chains", json_from_strv(entry->chains));
    CLEANUP_FREE char *text = document ? json_format(document) : NULL;
    CLEANUP_FREE char *path = string_format("holds/%s", holder);
    if (!text || !path)
        return error_oom(err);
    int r = file_replace(store->image_fd, path, text, strlen(text), 0600, err);
    return r < 0 ? store_write_error(err, r, "cannot hold an image") : 0;
}

int image_hold(struct image_store *store, const char *holder, const char *image_id,
               struct error *err)
{
    if (!holder_is_valid(holder))
        return error_set_class(err, ERROR_INVALID, "invalid holder '%s'", holder);
    store_lock(store);
    const struct index_entry *entry = index_find_image(store, image_id);
    int r = entry ? write_hold(store, holder, entry, err)
                  : error_set_class(err, ERROR_NOT_FOUND, "No such image: %s", image_id);
    if (r == 0 && add_hold(store, holder, entry->image_id, entry->chains) < 0)
        r = error_oom(err);
    store_unlock(store);
    return r;
}

/* The lock is held. */
static int drop_hold(struct image_store *store, struct store_hold *hold, struct error *err)
{
    CLEANUP_FREE char *path = string_format("holds/%s", hold->holder);
    if (!path)
        return error_oom(err);
    if (unlinkat(store->image_fd, path, 0) < 0 && errno != ENOENT)
        return error_set_errno(err, -errno, "cannot release the image of %s", hold->holder);
    hold_free(hold);
    return 0;
}

/* A sweep reads directories; most holds go while their image stays, and then there is nothing to
 * find. */
static bool image_remains(const struct image_store *store, const char *image_id)
{
    return index_find_image(store, image_id) != NULL;
}

int image_release(struct image_store *store, const char *holder, struct error *err)
{
    bool sweep = false;
    int r = 0;
    store_lock(store);
    struct store_hold *hold = find_hold(store, holder);
    if (hold) {
        sweep = !image_remains(store, hold->image_id);
        r = drop_hold(store, hold, err);
    }
    store_unlock(store);
    if (r == 0 && sweep)
        store_sweep(store, NULL, NULL);
    return r;
}

int image_holds_retain(struct image_store *store, char *const *holders, struct error *err)
{
    int r = 0;
    store_lock(store);
    LIST_FOR_EACH (hold, &store->holds, struct store_hold, node) {
        if (r == 0 && !strv_contains(holders, hold->holder))
            r = drop_hold(store, hold, err);
    }
    store_unlock(store);
    if (r == 0)
        store_sweep(store, NULL, NULL);
    return r;
}

/* --- paths of layers --- */

/* An image without layers still needs something to mount. */
static int empty_layer(struct image_store *store, struct error *err)
{
    if (mkdirat(store->layers_fd, LAYER_EMPTY, 0700) < 0 && errno != EEXIST)
        return store_write_error(err, -errno, "cannot create a layer");
    if (mkdirat(store->layers_fd, LAYER_EMPTY "/fs", 0755) < 0 && errno != EEXIST)
        return store_write_error(err, -errno, "cannot create a layer");
    return 0;
}

static int add_tree(struct image_store *store, const char *name, char ***paths, struct error *err)
{
    return strv_appendf(paths, "%s/%s/fs", store->layers_root, name) < 0 ? error_oom(err) : 0;
}

static int add_erofs(struct image_store *store, const char *name, char ***paths, struct error *err)
{
    char *path = NULL;
    int r = erofs_layer(store, name, &path, err);
    if (r < 0)
        return r;
    return strv_append_take(paths, path) < 0 ? error_oom(err) : 0;
}

static int add_merged(struct image_store *store, char *const *chains, unsigned n, char ***paths,
                      struct error *err)
{
    char *path = NULL;
    int r = erofs_merged(store, chains, n, &path, err);
    if (r < 0)
        return r;
    return strv_append_take(paths, path) < 0 ? error_oom(err) : 0;
}

static int list_layers(struct image_store *store, char *const *chains, enum image_layers_kind kind,
                       char ***ret, struct error *err)
{
    CLEANUP_STRV char **paths = NULL;
    char name[LAYER_NAME_SIZE];
    bool erofs = kind == IMAGE_LAYERS_EROFS;
    size_t n = strv_length(chains);
    /* The lowest ones that go into one image; 0 or 1 means that none are merged. */
    size_t merged = erofs && n > IMAGE_EROFS_MAX ? n - IMAGE_EROFS_MAX + 1 : 0;
    int r = 0;
    for (size_t i = n; r >= 0 && i-- > merged;) {
        r = layer_find(store, chains[i], NULL, err);
        if (r == 0)
            return error_set_class(err, ERROR_NOT_FOUND, "layer %s is not in the store", chains[i]);
        layer_name(chains[i], name);
        if (r > 0)
            r = erofs ? add_erofs(store, name, &paths, err) : add_tree(store, name, &paths, err);
    }
    if (r >= 0 && merged > 0)
        r = add_merged(store, chains, (unsigned)merged, &paths, err);
    if (r >= 0 && n == 0 && (r = empty_layer(store, err)) == 0)
        r = erofs ? add_erofs(store, LAYER_EMPTY, &paths, err)
                  : add_tree(store, LAYER_EMPTY, &paths, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(paths);
    return 0;
}

int image_layers_get(struct image_store *store, const struct image *image,
                     enum image_layers_kind kind, char ***ret, struct error *err)
{
    return list_layers(store, image->chain_ids, kind, ret, err);
}

static int held_chains(struct image_store *store, const char *holder, char ***ret,
                       struct error *err)
{
    CLEANUP_STRV char **chains = NULL;
    store_lock(store);
    const struct store_hold *hold = find_hold(store, holder);
    bool found = hold != NULL;
    if (found)
        chains = strv_copy(hold->chains);
    store_unlock(store);
    if (!found)
        return error_set_class(err, ERROR_NOT_FOUND, "container %s holds no image", holder);
    if (!chains)
        return error_oom(err);
    *ret = TAKE_PTR(chains);
    return 0;
}

int image_hold_layers(struct image_store *store, const char *holder, enum image_layers_kind kind,
                      char ***ret, struct error *err)
{
    CLEANUP_STRV char **chains = NULL;
    int r = held_chains(store, holder, &chains, err);
    return r < 0 ? r : list_layers(store, chains, kind, ret, err);
}

int image_hold_size(struct image_store *store, const char *holder, int64_t *ret, struct error *err)
{
    CLEANUP_STRV char **chains = NULL;
    int64_t total = 0;
    int r = held_chains(store, holder, &chains, err);
    for (size_t i = 0; r >= 0 && chains[i]; i++) {
        int64_t size = 0;
        r = layer_find(store, chains[i], &size, err);
        if (r > 0 && __builtin_add_overflow(total, size, &total))
            total = INT64_MAX;
    }
    if (r < 0)
        return r;
    *ret = total;
    return 0;
}
