/* Removing what nothing names any more. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "image/digest.h"
#include "image/layer.h"
#include "image/store.h"

/* A sorted set of borrowed names. */
struct names {
    const char **items;
    size_t n;
    size_t capacity;
};

static void names_release(struct names *names)
{
    free(names->items);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

static int names_add(struct names *names, char *const *strv)
{
    for (; strv && *strv; strv++) {
        if (names->n == names->capacity) {
            size_t capacity = names->capacity ? 2 * names->capacity : 64;
            const char **items = reallocarray(names->items, capacity, sizeof(*items));
            if (!items)
                return -ENOMEM;
            names->items = items;
            names->capacity = capacity;
        }
        names->items[names->n++] = digest_hex(*strv);
    }
    return 0;
}

/* `prefix`: compare only the digits that a layer's directory has. */
static bool names_has(const struct names *names, const char *name, size_t prefix)
{
    size_t low = 0, high = names->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = prefix ? strncmp(names->items[middle], name, prefix)
                           : strcmp(names->items[middle], name);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* All that images, leases and holds name. The lock is held, so the borrowed texts stay. */
static int collect(const struct image_store *store, struct names *blobs, struct names *chains)
{
    int r = 0;
    for (size_t i = 0; i < store->n_entries; i++) {
        r |= names_add(blobs, store->entries[i].blobs);
        r |= names_add(chains, store->entries[i].chains);
    }
    LIST_FOR_EACH (lease, &store->leases, struct store_lease, node) {
        r |= names_add(blobs, lease->blobs);
        r |= names_add(chains, lease->chains);
    }
    LIST_FOR_EACH (hold, &store->holds, struct store_hold, node) {
        r |= names_add(chains, hold->chains);
    }
    if (r < 0)
        return -ENOMEM;
    if (blobs->n > 0)
        qsort(blobs->items, blobs->n, sizeof(*blobs->items), compare_names);
    if (chains->n > 0)
        qsort(chains->items, chains->n, sizeof(*chains->items), compare_names);
    return 0;
}

static DIR *open_listing(int dirfd)
{
    CLEANUP_CLOSE int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir)
        (void)TAKE_FD(fd);
    return dir;
}

static void sweep_blobs(struct image_store *store, const struct names *blobs, int64_t *bytes)
{
    CLEANUP_DIR DIR *dir = open_listing(store->blobs_fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct stat st;
        if (entry->d_name[0] == '.' || names_has(blobs, entry->d_name, 0) ||
            fstatat(store->blobs_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (unlinkat(store->blobs_fd, entry->d_name, 0) == 0)
            *bytes += (int64_t)st.st_blocks * 512;
    }
}

/* The chain id of a layer's directory, malloc'd, or NULL. */
static char *read_chain(struct image_store *store, const char *name)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(4096);
    CLEANUP_JSON json_t *document = NULL;
    const char *chain = NULL;
    CLEANUP_FREE char *path = string_format("%s/layer.json", name);
    if (!path || file_read(store->layers_fd, path, &text, NULL) < 0 ||
        json_parse(buffer_string(&text), text.length, &document, NULL) < 0 ||
        json_need_string(document, "chain", &chain, NULL) < 0)
        return NULL;
    return strdup(chain);
}

/* Moves unnamed layers out of sight; they are deleted without the lock. */
static void hide_layers(struct image_store *store, const struct names *chains, char ***trash,
                        char ***ret_chains)
{
    CLEANUP_DIR DIR *dir = open_listing(store->layers_fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char temp[LAYER_TEMP_SIZE];
        if (!string_is_hex(entry->d_name, LAYER_NAME_SIZE - 1) ||
            names_has(chains, entry->d_name, LAYER_NAME_SIZE - 1))
            continue;
        if (ret_chains) {
            char *chain = read_chain(store, entry->d_name);
            if (chain)
                strv_append_take(ret_chains, chain);
        }
        if (layer_temp(store, temp, NULL) < 0)
            continue;
        if (renameat(store->layers_fd, entry->d_name, store->layers_fd, temp) < 0)
            unlinkat(store->layers_fd, temp, AT_REMOVEDIR);
        else
            strv_append(trash, temp);
    }
}

void store_sweep(struct image_store *store, int64_t *ret_bytes, char ***ret_chains)
{
    CLEANUP_STRV char **trash = NULL;
    int64_t bytes = 0;
    CLEANUP(names_release) struct names blobs = {0};
    CLEANUP(names_release) struct names chains = {0};

    store_lock(store);
    if (collect(store, &blobs, &chains) == 0) {
        sweep_blobs(store, &blobs, &bytes);
        hide_layers(store, &chains, &trash, ret_chains);
    }
    store_unlock(store);
    for (size_t i = 0; trash && trash[i]; i++) {
        if (ret_bytes)
            bytes += tree_bytes(store->layers_fd, trash[i]);
        /* What cannot go now goes at the next start (layers_clean()). */
        path_remove_tree(store->layers_fd, trash[i], NULL);
    }
    if (ret_bytes)
        *ret_bytes += bytes;
}
