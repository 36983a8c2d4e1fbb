#include "image/store.h"

#include <stdarg.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <archive.h>
#include <curl/curl.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strings.h"
#include "image/layer.h"
#include "image/platform.h"
#include "image/registry-hosts.h"

enum { CLAIM_POLL_MS = 250 }; /* how often a waiter for a claim looks whether it was cancelled */

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static CURLcode library_result;

static void library_start(void)
{
    library_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int image_library_init(struct error *err)
{
    pthread_once(&library_once, library_start);
    if (library_result != CURLE_OK)
        return error_set(err, -EIO, "libcurl: %s", curl_easy_strerror(library_result));
    return 0;
}

void store_lock(struct image_store *store)
{
    pthread_mutex_lock(&store->lock);
}

void store_unlock(struct image_store *store)
{
    pthread_mutex_unlock(&store->lock);
}

int store_write_error(struct error *err, int code, const char *what)
{
    if (code == -ENOSPC || code == -EDQUOT)
        return error_set(err, code, "%s: no space left on device", what);
    return error_set_errno(err, code, "%s", what);
}

int store_sync(struct image_store *store, struct error *err)
{
    if (syncfs(store->layers_fd) < 0)
        return store_write_error(err, -errno, "cannot write layers to disk");
    return 0;
}

/* --- talking to the caller of an operation --- */

bool monitor_cancelled(const struct image_monitor *monitor)
{
    return monitor && monitor->cancelled && monitor->cancelled(monitor->data);
}

void monitor_report(const struct image_monitor *monitor, const struct image_progress_event *event)
{
    if (monitor && monitor->report)
        monitor->report(monitor->data, event);
}

int monitor_check(const struct image_monitor *monitor, struct error *err)
{
    return monitor_cancelled(monitor) ? error_set(err, -ECANCELED, "context canceled") : 0;
}

enum { EVENT_TEXT_MAX = 8192 };

void monitor_stream(const struct image_monitor *monitor, const char *format, ...)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(EVENT_TEXT_MAX);
    va_list args;
    va_start(args, format);
    int r = buffer_vprintf(&text, format, args);
    va_end(args);
    if (r == 0)
        monitor_report(monitor, &(struct image_progress_event){.stream = buffer_string(&text)});
}

void monitor_status(const struct image_monitor *monitor, const char *id, const char *format, ...)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(EVENT_TEXT_MAX);
    va_list args;
    va_start(args, format);
    int r = buffer_vprintf(&text, format, args);
    va_end(args);
    if (r == 0)
        monitor_report(monitor,
                       &(struct image_progress_event){.status = buffer_string(&text), .id = id});
}

/* --- leases --- */

void store_lease_begin(struct image_store *store, struct store_lease *lease)
{
    *lease = (struct store_lease){0};
    store_lock(store);
    list_append(&store->leases, &lease->node);
    store_unlock(store);
}

int store_lease_blob(struct image_store *store, struct store_lease *lease, const char *digest)
{
    store_lock(store);
    int r = strv_append(&lease->blobs, digest);
    store_unlock(store);
    return r;
}

int store_lease_chain(struct image_store *store, struct store_lease *lease, const char *chain)
{
    store_lock(store);
    int r = strv_append(&lease->chains, chain);
    store_unlock(store);
    return r;
}

void store_lease_end(struct image_store *store, struct store_lease *lease, bool sweep)
{
    store_lock(store);
    list_remove(&lease->node);
    store_unlock(store);
    strv_free(lease->blobs);
    strv_free(lease->chains);
    lease->blobs = lease->chains = NULL;
    if (sweep)
        store_sweep(store, NULL, NULL);
}

/* --- claims --- */

static bool claim_is_taken(const struct image_store *store, const char *key)
{
    LIST_FOR_EACH (claim, &store->claims, struct store_claim, node) {
        if (strcmp(claim->key, key) == 0)
            return true;
    }
    return false;
}

int store_claim(struct image_store *store, const char *key, const struct image_monitor *monitor,
                struct store_claim *ret)
{
    char *copy = strdup(key);
    if (!copy)
        return -ENOMEM;
    store_lock(store);
    while (claim_is_taken(store, key)) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += CLAIM_POLL_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_nsec -= 1000000000L;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&store->claims_changed, &store->lock, &until);
        /* The caller's function is not ours: never under the lock. */
        store_unlock(store);
        if (monitor_cancelled(monitor)) {
            free(copy);
            return -ECANCELED;
        }
        store_lock(store);
    }
    ret->key = copy;
    list_append(&store->claims, &ret->node);
    store_unlock(store);
    return 0;
}

void store_claim_release(struct image_store *store, struct store_claim *claim)
{
    if (!claim->key)
        return;
    store_lock(store);
    list_remove(&claim->node);
    pthread_cond_broadcast(&store->claims_changed);
    store_unlock(store);
    free(claim->key);
    claim->key = NULL;
}

/* --- opening --- */

static int open_dir(int dirfd, const char *path, mode_t mode, int *ret, struct error *err)
{
    if (mkdirat(dirfd, path, mode) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "cannot make directory %s", path);
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open directory %s", path);
    *ret = fd;
    return 0;
}

static int write_layout_file(struct image_store *store, struct error *err)
{
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    if (faccessat(store->image_fd, "oci-layout", F_OK, 0) == 0)
        return 0;
    return file_write_atomic(store->image_fd, "oci-layout", layout, sizeof(layout) - 1, 0644, err);
}

static int open_directories(struct image_store *store, struct error *err)
{
    int blobs = -EBADF;
    int r = path_make_dirs(store->image_root, 0700, err);
    if (r < 0 || (r = path_make_dirs(store->layers_root, 0700, err)) < 0)
        return r;
    if ((r = open_dir(AT_FDCWD, store->image_root, 0700, &store->image_fd, err)) < 0 ||
        (r = open_dir(AT_FDCWD, store->layers_root, 0700, &store->layers_fd, err)) < 0 ||
        (r = store_lock_take(store->image_fd, store->image_root, &store->opener, err)) < 0 ||
        (r = open_dir(store->image_fd, "blobs", 0755, &blobs, err)) < 0)
        return r;
    r = open_dir(blobs, "sha256", 0755, &store->blobs_fd, err);
    fd_close(blobs);
    /* Whatever a killed operation left half-written is in here. */
    if (r < 0 || (r = path_remove_tree(store->image_fd, "tmp", err)) < 0)
        return r;
    if ((r = open_dir(store->image_fd, "tmp", 0700, &store->temp_fd, err)) < 0)
        return r;
    return write_layout_file(store, err);
}

static int copy_config(struct image_store *store, const struct image_store_config *config,
                       struct error *err)
{
    if (!(store->root = path_normalize(config->root)) ||
        !(store->image_root = path_join(store->root, "image")) ||
        !(store->layers_root = path_join(store->root, "layers")) ||
        !(store->mkfs_erofs = strdup(string_or(config->mkfs_erofs, "mkfs.erofs"))) ||
        !(store->insecure_registries = strv_copy(config->insecure_registries)) ||
        !(store->mirrors = strv_copy(config->registry_mirrors)))
        return error_oom(err);
    store->max_downloads = config->max_concurrent_downloads > 0 ? config->max_concurrent_downloads
                                                                : IMAGE_DOWNLOADS_DEFAULT;
    int r = registry_hosts_check(store->mirrors, store->insecure_registries, err);
    if (r < 0)
        return r;
    return platform_set(&config->platform, &store->platform, &store->platform_text, err);
}

static void init_lock(struct image_store *store)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->claims_changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

DEFINE_CLEANUP(struct image_store *, store_cleanup, image_store_close)

int image_store_open(const struct image_store_config *config, struct image_store **ret,
                     struct error *err)
{
    if (string_is_empty(config->root) || !path_is_absolute(config->root))
        return error_set(err, -EINVAL, "image store: the root must be an absolute path");
    int r = image_library_init(err);
    if (r < 0)
        return r;
    CLEANUP(store_cleanup) struct image_store *store = calloc(1, sizeof(*store));
    if (!store)
        return error_oom(err);
    store->image_fd = store->blobs_fd = store->temp_fd = store->layers_fd = -EBADF;
    store->opener = (struct store_lock)STORE_LOCK_INIT;
    init_lock(store);
    list_init(&store->leases);
    list_init(&store->holds);
    list_init(&store->claims);
    if ((r = copy_config(store, config, err)) < 0 || (r = open_directories(store, err)) < 0 ||
        (r = index_load(store, err)) < 0 || (r = holds_load(store, err)) < 0 ||
        (r = layers_clean(store, err)) < 0)
        return r;
    store_sweep(store, NULL, NULL);
    *ret = TAKE_PTR(store);
    return 0;
}

struct image_store *image_store_close(struct image_store *store)
{
    if (!store)
        return NULL;
    for (size_t i = 0; i < store->n_entries; i++)
        index_entry_release(&store->entries[i]);
    free(store->entries);
    holds_free(store);
    fd_close(store->image_fd);
    fd_close(store->blobs_fd);
    fd_close(store->temp_fd);
    fd_close(store->layers_fd);
    store_lock_release(&store->opener);
    free(store->root);
    free(store->image_root);
    free(store->layers_root);
    free(store->mkfs_erofs);
    free(store->platform_text);
    strv_free(store->insecure_registries);
    strv_free(store->mirrors);
    pthread_cond_destroy(&store->claims_changed);
    pthread_mutex_destroy(&store->lock);
    free(store);
    return NULL;
}

const struct image_platform *image_store_platform(const struct image_store *store)
{
    return &store->platform;
}
