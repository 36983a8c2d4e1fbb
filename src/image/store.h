/* The store's inside, shared by the files of this folder; users see image/image.h.
 *
 * Theory of operation. One mutex guards the index (names and images in memory, written to
 * index.json at each change), the leases, the holds and the claims. Blobs and layer trees appear
 * under their final names by rename(2), complete.
 *
 * A *lease* belongs to one operation: it names the blobs and chain ids that the operation made or
 * relies on before an image does. A *hold* belongs to a container and is a file. store_sweep()
 * removes every blob and layer that no image, lease or hold names; it looks and unlinks under the
 * lock, so what a lease was given under the lock and found to exist stays.
 *
 * A *claim* makes the work for one key (a blob's download, a layer's unpacking, an EROFS build)
 * happen once: the second asker waits and then finds it done. */
#ifndef HULL_IMAGE_STORE_H
#define HULL_IMAGE_STORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "image/image.h"
#include "image/store-lock.h"

struct error;

enum {
    STORE_IMAGES_MAX = 100000,          /* entries of index.json */
    STORE_INDEX_MAX = 64 * 1024 * 1024, /* its bytes */
};

/* One name of one image, or an image without a name. */
struct index_entry {
    char *image_id;
    char *manifest_digest;
    char *manifest_type;
    int64_t manifest_size;
    char *name;     /* full reference "docker.io/library/a:b" or "…@sha256:…"; NULL: none */
    int64_t tagged; /* when the name was given, ns; 0 for none */
    char **blobs;   /* digests of manifest, config and layers */
    char **chains;  /* chain ids, lowest first */
};

struct store_lease {
    struct list node;
    char **blobs;
    char **chains;
};

struct store_hold {
    struct list node;
    char *holder;
    char *image_id;
    char **chains; /* lowest first */
};

struct store_claim {
    struct list node;
    char *key;
};

struct image_store {
    char *root;       /* absolute */
    char *image_root; /* <root>/image */
    int image_fd;     /* O_PATH of image_root */
    int blobs_fd;     /* image/blobs/sha256 */
    int temp_fd;      /* image/tmp */
    int layers_fd;    /* <root>/layers */
    char *layers_root;
    struct store_lock opener;
    char *mkfs_erofs;
    char **insecure_registries;
    char **mirrors;
    int max_downloads;
    struct image_platform platform;
    char *platform_text; /* what platform points into */

    pthread_mutex_t lock;
    pthread_cond_t claims_changed;
    struct index_entry *entries;
    size_t n_entries;
    struct list leases;
    struct list holds;
    struct list claims;
};

void store_lock(struct image_store *store);
void store_unlock(struct image_store *store);

/* Ends when `report`/`cancelled` say so; all accept a NULL monitor. */
bool monitor_cancelled(const struct image_monitor *monitor);
void monitor_report(const struct image_monitor *monitor, const struct image_progress_event *event);
/* Reports a printf-formatted text as `stream`. */
void monitor_stream(const struct image_monitor *monitor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void monitor_status(const struct image_monitor *monitor, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* -ECANCELED with docker's "context canceled" when the caller wants no more, else 0. */
int monitor_check(const struct image_monitor *monitor, struct error *err);

/* --- leases and claims --- */

void store_lease_begin(struct image_store *store, struct store_lease *lease);
int store_lease_blob(struct image_store *store, struct store_lease *lease, const char *digest);
int store_lease_chain(struct image_store *store, struct store_lease *lease, const char *chain);
/* Gives the lease up; with `sweep` also removes what only it kept. */
void store_lease_end(struct image_store *store, struct store_lease *lease, bool sweep);

/* Waits until nobody has `key`, then takes it. 0, -ENOMEM or -ECANCELED. */
int store_claim(struct image_store *store, const char *key, const struct image_monitor *monitor,
                struct store_claim *ret);
void store_claim_release(struct image_store *store, struct store_claim *claim);

/* --- the index (index.c); callers hold the lock --- */

int index_load(struct image_store *store, struct error *err);
int index_save(struct image_store *store, struct error *err);
void index_entry_release(struct index_entry *entry);
int index_entry_copy(const struct index_entry *source, struct index_entry *ret);
/* Sets `name` (NULL: none) for the image of `entry`, whose name and time are not looked at. A name
 * that another image has moves; an image that loses its last name stays without one. The index is
 * saved, or left as it was. */
int index_set(struct image_store *store, const struct index_entry *entry, const char *name,
              int64_t now, struct error *err);
/* Removes a name; the image stays, without one if it was the last. -ENOENT if there is none. */
int index_unset(struct image_store *store, const char *name, struct error *err);
/* Removes all entries of an image. */
int index_remove_image(struct image_store *store, const char *image_id, struct error *err);
const struct index_entry *index_find_name(const struct image_store *store, const char *name);
const struct index_entry *index_find_image(const struct image_store *store, const char *image_id);

/* --- sweep.c --- */

/* Removes unnamed blobs and layers. Bytes freed are added to *ret_bytes, the chain ids of layers
 * that went are appended to *ret_chains, both if not NULL. The lock must not be held. */
void store_sweep(struct image_store *store, int64_t *ret_bytes, char ***ret_chains);

/* --- hold.c --- */

int holds_load(struct image_store *store, struct error *err);
void holds_free(struct image_store *store);

/* After an operation wrote trees and blobs: makes them durable before the index names them
 * (syncfs(2) on the layers). */
int store_sync(struct image_store *store, struct error *err);

/* Maps an errno of a write into the store to a message: a full disk says so. */
int store_write_error(struct error *err, int code, const char *what);

#endif
