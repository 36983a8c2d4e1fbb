/* The inside of image_pull(): one pull, its lock and its layers. */
#ifndef HULL_IMAGE_PULL_H
#define HULL_IMAGE_PULL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "image/registry.h"
#include "image/store.h"

struct manifest;

enum {
    PULL_ATTEMPTS_MAX = 5,  /* in a row without a byte of progress, as dockerd */
    PULL_RESUMES_MAX = 100, /* of one layer in all */
    PULL_REPORT_MS = 100,   /* at most one progress event of a layer in this time */
    PULL_TAGS_MAX = 10000,
    PULL_TAGS_BODY_MAX = 4 * 1024 * 1024,
};

struct pull {
    struct image_store *store;
    const struct image_pull_options *options;
    const struct image_monitor *caller; /* may be NULL */
    struct image_monitor monitor; /* ours: reports one at a time, and ends when `stop` is set */
    struct store_lease lease;
    struct registry registry;
    pthread_mutex_t report_lock;
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t changed;
    bool stop;
    bool answered; /* the endpoint spoke HTTP with us */
};

/* Fetches one blob into the store under the lease and checks it. `id` (may be NULL) names it in
 * progress events. */
int pull_blob(struct pull *pull, const char *digest, int64_t size, const char *id,
              struct error *err);

/* Fetches and unpacks the layers of a manifest. diff_ids has as many entries. */
int pull_layers(struct pull *pull, const struct manifest *manifest, char *const *diff_ids,
                struct error *err);

#endif
