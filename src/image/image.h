/* Images: the store, and all that can be done with it.
 *
 * Theory of operation. <root>/image is an OCI image layout (image-spec image-layout.md): blobs
 * named by their sha256, and index.json, which is rewritten atomically and is the only truth about
 * which images and names exist. The id of an image is the digest of its configuration blob, as in
 * docker. <root>/layers has, for each chain id, the unpacked tree (made at load or pull) and, once
 * a VM needed it, an EROFS image of it. Blobs and layers that neither an image, nor a container's
 * hold, nor an operation that still runs names are swept after a removal and at open.
 *
 * Every function may be called from any thread; none holds the store's lock while it reads or
 * writes more than an index or while it runs a callback, so a callback may call back into the
 * store.
 *
 * Names are what a user types ("busybox", "reg:5000/a/b:tag", "a@sha256:...", an id or a unique
 * prefix of one). What is handed out as a name is familiar ("busybox:latest"). */
#ifndef HULL_IMAGE_IMAGE_H
#define HULL_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "spec/image_config.h"

struct error;
struct image_store;

enum {
    IMAGE_ID_LENGTH = 71,        /* "sha256:" and 64 hex digits */
    IMAGE_EROFS_MAX = 12,        /* disks that image_layers_get() gives a VM at most */
    IMAGE_DOWNLOADS_DEFAULT = 3, /* parallel layer downloads of one pull, as dockerd */
};

/* --- the store --- */

struct image_platform {
    const char *os;           /* "linux" */
    const char *architecture; /* "amd64", "arm64" as Go names them */
    const char *variant;      /* "v7" or NULL */
};

/* Texts are copied. NULL and 0 members take their defaults. */
struct image_store_config {
    const char *root; /* hull's root: image/ and layers/ are made in it */
    char *const
        *insecure_registries;      /* host, host:port or CIDR; 127.0.0.0/8, ::1, localhost always */
    char *const *registry_mirrors; /* URLs, for docker.io only, tried first, as dockerd */
    int max_concurrent_downloads;  /* 0: IMAGE_DOWNLOADS_DEFAULT */
    struct image_platform platform; /* NULL architecture: this host's */
    const char *mkfs_erofs;         /* program; NULL: "mkfs.erofs" in PATH */
};

/* Opens or makes the store, one opener at a time (an advisory lock on <root>/image; a second one
 * gets -EBUSY), and removes what an interrupted operation left. ERROR_INVALID for a mirror or
 * insecure registry that cannot be read. *ret is the caller's. */
int image_store_open(const struct image_store_config *config, struct image_store **ret,
                     struct error *err);
/* No operation may be running. Accepts NULL; returns NULL. */
struct image_store *image_store_close(struct image_store *store);

/* The platform that images are picked for; texts live as long as the store. */
const struct image_platform *image_store_platform(const struct image_store *store);

/* Reads "linux/arm64/v8", "linux/arm64", "arm64" or "linux" into fields of one malloc'd *ret_text
 * to which `ret` points. ERROR_INVALID with docker's text. Aliases (x86_64, aarch64) are
 * normalized. */
int image_platform_parse(const char *text, struct image_platform *ret, char **ret_text,
                         struct error *err);

/* --- one image --- */

/* An image as it was when it was looked up; the caller's, independent of the store. */
struct image {
    char *id;              /* "sha256:<64 hex>" */
    char **tags;           /* familiar "busybox:latest", sorted; NULL when dangling */
    char **digests;        /* familiar "busybox@sha256:..." */
    char *manifest_digest; /* of the manifest in the store (Descriptor.digest) */
    char *manifest_type;   /* its media type */
    int64_t manifest_size;
    struct image_config *config;
    char *raw_config;     /* the JSON text whose digest is `id` */
    char **chain_ids;     /* one for each config->diff_ids, lowest first */
    int64_t *layer_sizes; /* bytes of regular files in each layer, same order */
    int64_t size;         /* their sum: docker's Size */
    int64_t last_tagged;  /* nanoseconds since the epoch, 0 = never */
};

struct image *image_free(struct image *image);

/* Looks up by name, id or prefix of an id. ERROR_NOT_FOUND "No such image: X:latest" (as docker,
 * also for a prefix that several ids share, then with the reason); ERROR_INVALID "invalid reference
 * format". */
int image_find(struct image_store *store, const char *name, struct image **ret, struct error *err);

/* Is there a difference to `platform` (NULL: the store's) that forbids to run it? ERROR_INVALID:
 * "image X is for linux/arm64, but linux/amd64 is needed". An absent architecture fits.
 * With `asked` (the user named a platform) ERROR_NOT_FOUND with docker's words:
 * "image with reference X was found but its platform (A) does not match the specified platform
 * (B)". */
int image_check_platform(struct image_store *store, const struct image *image, const char *name,
                         const struct image_platform *platform, bool asked, struct error *err);

/* The manifest's text (JSON), malloc'd. */
int image_manifest_text(struct image_store *store, const struct image *image, char **ret,
                        struct error *err);

/* `docker history`, newest step first; texts point into `image`, except id. *ret malloc'd. */
struct image_history_entry {
    const char *id; /* image id for the newest, "<missing>" for the others */
    int64_t created;
    const char *created_by; /* never NULL */
    const char *comment;    /* never NULL */
    int64_t size;
    char *const *tags; /* of the newest; else NULL */
};
int image_history_list(const struct image *image, struct image_history_entry **ret, size_t *ret_n,
                       struct error *err);

/* --- lists --- */

/* Filters of `docker images` and `docker image prune`. Within a member any entry may match for
 * `references`, all must for labels. */
struct image_filter {
    char *const *references; /* patterns, Go path.Match on familiar names */
    char *const *labels;     /* "key" or "key=value" */
    char *const *not_labels; /* `label!` */
    const char *before;      /* an image: only older ones */
    const char *since;       /* an image: only newer ones */
    int64_t until;           /* only created before this time (ns); 0: no matter */
    int dangling;            /* 1 only dangling, 0 only others, -1 no matter */
};
#define IMAGE_FILTER_INIT \
    {                     \
        .dangling = -1    \
    }

/* Newest first; filter may be NULL. *ret is a malloc'd array of images: image_list_free(). With
 * `references`, tags and digests that do not match are left out of the images, as docker does. */
int image_list(struct image_store *store, const struct image_filter *filter, struct image ***ret,
               size_t *ret_n, struct error *err);
void image_list_free(struct image **images, size_t n);

/* For `docker info`: number of images; bytes in blobs, trees and EROFS files. */
int image_store_usage(struct image_store *store, size_t *ret_images, int64_t *ret_bytes,
                      struct error *err);

/* --- names and removal --- */

/* Gives `source` (name or id) the name `target` ("repo" or "repo:tag"); takes it from another image
 * if it had it. ERROR_INVALID "refusing to create a tag with a digest reference". */
int image_tag(struct image_store *store, const char *source, const char *target, struct error *err);

/* Which container uses image `id`? Returns 1 and fills the rest (a running one, if any, before a
 * stopped one), 0 when none does, or -errno. Called without any lock. */
struct image_users {
    int (*find)(void *data, const char *image_id, char ret_container[65], bool *ret_running);
    void *data;
};

/* What a removal did, in order. */
struct image_removal {
    bool deleted; /* false: untagged */
    char *text;   /* "busybox:latest" or "sha256:..." (image id, then chain ids of layers) */
};
struct image_removals {
    struct image_removal *entries;
    size_t n;
    int64_t space_reclaimed; /* bytes of trees, EROFS files and blobs */
};
#define IMAGE_REMOVALS_INIT \
    {                       \
        .entries = NULL     \
    }
void image_removals_release(struct image_removals *removals);

/* docker rmi. By name: removes the name, and the image with its last one. By id: the image. `force`
 * as docker: several names, stopped containers; never a running container. ERROR_CONFLICT with
 * docker's texts. `prune` (docker's !noprune) has no untagged parents to act on here. The removals
 * are appended to *ret also when a later step fails. *ret_id (malloc'd, may be NULL) is the image's
 * id. */
int image_remove(struct image_store *store, const char *name, bool force, bool prune,
                 const struct image_users *users, struct image_removals *ret, char **ret_id,
                 struct error *err);

/* Removes unused images: dangling ones, or with filter->dangling == 0 all that no container uses.
 */
int image_prune(struct image_store *store, const struct image_filter *filter,
                const struct image_users *users, struct image_removals *ret, struct error *err);

/* --- layers of a container --- */

enum image_layers_kind {
    IMAGE_LAYERS_TREE,  /* directories for an overlay on this kernel */
    IMAGE_LAYERS_EROFS, /* read-only disk images (mode 0444) for a VM, at most IMAGE_EROFS_MAX */
};

/* A hold keeps an image's layers on disk for `holder` (a container's id, [0-9a-zA-Z_.-] up to 128),
 * whatever becomes of the image, across restarts; it is a file in <root>/image/holds. Taking it
 * again replaces it. ERROR_NOT_FOUND when the image went away meanwhile. */
int image_hold(struct image_store *store, const char *holder, const char *image_id,
               struct error *err);
/* Gives the hold up and sweeps layers that nothing else names. None held is success. */
int image_release(struct image_store *store, const char *holder, struct error *err);
/* After a restart: drops the holds of all holders that are not in `holders`. */
int image_holds_retain(struct image_store *store, char *const *holders, struct error *err);

/* Bytes of regular files in the layers that `holder` holds: docker's size of the image, also when
 * the image has gone. ERROR_NOT_FOUND without a hold. */
int image_hold_size(struct image_store *store, const char *holder, int64_t *ret, struct error *err);

/* Paths of an image's layers, topmost first; *ret is a new vector (an image without layers gives
 * the empty tree of its own kind, so there is always at least one). EROFS images are built on
 * demand, once even when asked by several threads; more than IMAGE_EROFS_MAX layers have the lowest
 * merged into one. */
int image_layers_get(struct image_store *store, const struct image *image,
                     enum image_layers_kind kind, char ***ret, struct error *err);
/* The same for what `holder` holds. ERROR_NOT_FOUND without a hold. */
int image_hold_layers(struct image_store *store, const char *holder, enum image_layers_kind kind,
                      char ***ret, struct error *err);

/* --- bringing images in --- */

/* One event of docker's progress stream. The API writes {"stream": stream} when that is set, else
 * {"status","id","progressDetail":{"current","total"}} (progressDetail only when current or total
 * is > 0, `{}` otherwise when id is set). Texts are valid during the call. */
struct image_progress_event {
    const char *stream; /* "Loaded image: busybox:latest\n", or NULL */
    const char *status; /* "Downloading", "Digest: sha256:..." */
    const char *id;     /* 12 digits of a layer, or a tag; or NULL */
    int64_t current;
    int64_t total;
};

/* How an operation talks to its caller; both members may be NULL. `report` is never called by two
 * threads of one operation at once. `cancelled` may be called from several; true ends the operation
 * with -ECANCELED within a second and leaves nothing behind. */
struct image_monitor {
    void (*report)(void *data, const struct image_progress_event *event);
    bool (*cancelled)(void *data);
    void *data;
};

/* What an operation brought, for events: ids ("sha256:...") and familiar names, in step (a name is
 * "" for an image without one). */
struct image_names {
    char **ids;
    char **names;
};
#define IMAGE_NAMES_INIT \
    {                    \
        .ids = NULL      \
    }
void image_names_release(struct image_names *names);

/* docker load: reads a docker-archive or OCI layout tar, plain, gzip, xz, bzip2 or zstd, from `fd`
 * (not closed) once and to its end. `quiet` leaves out the layers' progress. Ends with "Loaded
 * image: X" or "Loaded image ID: sha256:...". platform NULL: the store's, for archives with
 * several. Damage is ERROR_INVALID and names the digest; nothing of a failed load stays. */
int image_load(struct image_store *store, int fd, bool quiet, const struct image_platform *platform,
               const struct image_monitor *monitor, struct image_names *ret, struct error *err);

/* docker import: makes an image of one layer from a root file system tar. `reference` may be NULL
 * or "repo[:tag]"; `changes` are Dockerfile lines (CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL
 * ONBUILD STOPSIGNAL USER VOLUME WORKDIR); message may be NULL ("Imported from -"). *ret_id
 * malloc'd. */
struct image_import_options {
    const char *reference;
    const char *message;
    char *const *changes;
    struct image_platform platform; /* NULL members: the store's */
};
int image_import(struct image_store *store, int fd, const struct image_import_options *options,
                 const struct image_monitor *monitor, char **ret_id, struct error *err);

/* Members of docker's X-Registry-Auth document; any may be NULL. */
struct image_auth {
    const char *username;
    const char *password;
    const char *identity_token; /* OAuth2 refresh token */
    const char *registry_token; /* bearer token, sent as it is */
};

struct image_pull_options {
    const char *reference; /* "busybox", "a/b:tag", "a@sha256:..." */
    bool all_tags;         /* docker pull -a */
    const struct image_platform
        *platform;                 /* NULL: the store's, and a mismatch is no error at pull */
    const struct image_auth *auth; /* or NULL */
};

/* docker pull from a v2 registry (OCI distribution-spec). Errors in docker's words: ERROR_NOT_FOUND
 * "pull access denied for X, repository does not exist or may require 'docker login'", "manifest
 * for X not found: manifest unknown: manifest unknown", "no matching manifest for linux/amd64 in
 * the manifest list entries"; ERROR_UNAUTHORIZED "no basic auth credentials"; ERROR_UNAVAILABLE
 * when the registry cannot be reached. */
int image_pull(struct image_store *store, const struct image_pull_options *options,
               const struct image_monitor *monitor, struct image_names *ret, struct error *err);

/* docker login: asks the registry of `server` ("" for Docker Hub, "reg:5000",
 * "https://index.docker.io/v1/") whether it takes these credentials. *ret_token (malloc'd): the
 * refresh token that its token server gave for them, NULL if none. ERROR_UNAUTHORIZED in dockerd's
 * words when they are refused; ERROR_UNAVAILABLE; ERROR_INVALID "unable to parse server address".
 */
int image_login(struct image_store *store, const char *server, const struct image_auth *auth,
                const struct image_monitor *monitor, char **ret_token, struct error *err);

/* Used by hulld at start, before threads: libcurl and OpenSSL set-up. Safe to call again. */
int image_library_init(struct error *err);

#endif
