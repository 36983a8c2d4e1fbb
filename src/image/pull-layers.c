/* The layers of one image: several are downloaded at once, and unpacked in order as they arrive. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "image/blob.h"
#include "image/layer.h"
#include "image/manifest.h"
#include "image/pull.h"

struct pull_layer {
    const struct descriptor *descriptor;
    const char *diff_id;
    const char *chain;
    char id[DIGEST_SHORT + 1];
    bool exists; /* blob and tree are in the store */
    bool done;   /* the download ended, one way or the other */
    int64_t reported;
    struct pull_layers *all;
};

struct pull_layers {
    struct pull *pull;
    struct pull_layer *layers;
    size_t n;
    size_t next;          /* the first that no thread has taken */
    struct error failure; /* the first one */
};

/* The lock is held. */
static void fail(struct pull_layers *all, const struct error *why)
{
    if (all->failure.code == 0)
        all->failure = *why;
    all->pull->stop = true;
    pthread_cond_broadcast(&all->pull->changed);
}

static void *download_thread(void *data)
{
    struct pull_layers *all = data;
    struct pull *pull = all->pull;
    pthread_mutex_lock(&pull->lock);
    while (!pull->stop && all->next < all->n) {
        struct pull_layer *layer = &all->layers[all->next++];
        struct error why = ERROR_INIT;
        if (layer->exists)
            continue;
        pthread_mutex_unlock(&pull->lock);
        int r =
            pull_blob(pull, layer->descriptor->digest, layer->descriptor->size, layer->id, &why);
        pthread_mutex_lock(&pull->lock);
        layer->done = true;
        if (r < 0)
            fail(all, &why);
        pthread_cond_broadcast(&pull->changed);
    }
    pthread_mutex_unlock(&pull->lock);
    return NULL;
}

static void report_extract(void *data, int64_t taken)
{
    struct pull_layer *layer = data;
    int64_t now = timestamp_monotonic();
    if (taken < layer->descriptor->size &&
        now - layer->reported < (int64_t)PULL_REPORT_MS * 1000000)
        return;
    layer->reported = now;
    const struct image_progress_event event = {
        .status = "Extracting",
        .id = layer->id,
        .current = taken,
        .total = layer->descriptor->size,
    };
    monitor_report(&layer->all->pull->monitor, &event);
}

static int extract(struct pull_layers *all, struct pull_layer *layer, struct error *err)
{
    struct pull *pull = all->pull;
    const struct layer_source source = {
        .blob = layer->descriptor->digest,
        .diff_id = layer->diff_id,
        .chain = layer->chain,
        .monitor = &pull->monitor,
        .progress = report_extract,
        .progress_data = layer,
    };
    int r = layer_add(pull->store, &source, err);
    if (r == 0)
        monitor_status(&pull->monitor, layer->id, "Pull complete");
    return r;
}

/* Waits for each download in turn and unpacks it. The threads are told to stop when that fails. */
static int extract_all(struct pull_layers *all, struct error *err)
{
    struct pull *pull = all->pull;
    for (size_t i = 0; i < all->n; i++) {
        struct pull_layer *layer = &all->layers[i];
        struct error why = ERROR_INIT;
        if (layer->exists)
            continue;
        pthread_mutex_lock(&pull->lock);
        while (!layer->done && !pull->stop)
            pthread_cond_wait(&pull->changed, &pull->lock);
        bool stopped = all->failure.code != 0;
        pthread_mutex_unlock(&pull->lock);
        if (stopped)
            break;
        if (extract(all, layer, &why) < 0) {
            pthread_mutex_lock(&pull->lock);
            fail(all, &why);
            pthread_mutex_unlock(&pull->lock);
            break;
        }
    }
    pthread_mutex_lock(&pull->lock);
    int r = all->failure.code != 0 ? error_copy(err, &all->failure) : 0;
    pthread_mutex_unlock(&pull->lock);
    return r;
}

static int start_threads(struct pull_layers *all, pthread_t *threads, size_t *ret_n)
{
    size_t wanted = (size_t)all->pull->store->max_downloads;
    size_t n = 0;
    if (wanted > all->n)
        wanted = all->n;
    while (n < wanted && pthread_create(&threads[n], NULL, download_thread, all) == 0)
        n++;
    *ret_n = n;
    return n > 0 || wanted == 0 ? 0 : -EAGAIN;
}

static int run(struct pull_layers *all, struct error *err)
{
    pthread_t threads[IMAGE_LAYERS_MAX];
    size_t n = 0;
    if (start_threads(all, threads, &n) < 0)
        return error_set(err, -EAGAIN, "cannot start a thread");
    int r = extract_all(all, err);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    return r;
}

/* What is there already, and docker's first lines. */
static int prepare(struct pull_layers *all, const struct manifest *manifest, char *const *diff_ids,
                   char *const *chains, struct error *err)
{
    struct pull *pull = all->pull;
    for (size_t i = 0; i < all->n; i++) {
        struct pull_layer *layer = &all->layers[i];
        layer->all = all;
        layer->descriptor = &manifest->entries[i];
        layer->diff_id = diff_ids[i];
        layer->chain = chains[i];
        digest_short(layer->descriptor->digest, layer->id);
        if (store_lease_chain(pull->store, &pull->lease, layer->chain) < 0 ||
            store_lease_blob(pull->store, &pull->lease, layer->descriptor->digest) < 0)
            return error_oom(err);
        int found = layer_find(pull->store, layer->chain, NULL, err);
        if (found < 0)
            return found;
        layer->exists = found && blob_exists(pull->store, layer->descriptor->digest, NULL);
        monitor_status(&pull->monitor, layer->id,
                       layer->exists ? "Already exists" : "Pulling fs layer");
    }
    for (size_t i = 0, busy = 0; i < all->n; i++)
        if (!all->layers[i].exists && busy++ >= (size_t)pull->store->max_downloads)
            monitor_status(&pull->monitor, all->layers[i].id, "Waiting");
    return 0;
}

int pull_layers(struct pull *pull, const struct manifest *manifest, char *const *diff_ids,
                struct error *err)
{
    CLEANUP_STRV char **chains = NULL;
    if (layer_chain_ids(diff_ids, &chains) < 0)
        return error_oom(err);
    CLEANUP_FREE struct pull_layer *layers = calloc(manifest->n + 1, sizeof(*layers));
    if (!layers)
        return error_oom(err);
    struct pull_layers all = {.pull = pull, .layers = layers, .n = manifest->n};
    int r = prepare(&all, manifest, diff_ids, chains, err);
    return r < 0 ? r : run(&all, err);
}
