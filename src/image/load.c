/* docker load: docker-archive (manifest.json) and OCI image layout (index.json). */
#include <errno.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "image/blob.h"
#include "image/layer-blob.h"
#include "image/layer.h"
#include "image/load-archive.h"
#include "image/lookup.h"
#include "image/manifest.h"
#include "image/platform.h"
#include "image/register.h"
#include "spec/reference.h"

enum { LOAD_IMAGES_MAX = 1000, LOAD_TAGS_MAX = 1000 };

/* One image of the archive, complete in the store but not yet named. */
struct loaded {
    struct index_entry entry;
    char **names; /* full references */
};

struct load {
    struct image_store *store;
    struct load_archive archive;
    struct store_lease lease;
    const struct image_monitor *monitor;
    const struct image_platform *platform;
    bool quiet;
    struct loaded *images;
    size_t n;
};

static void load_release(struct load *load)
{
    for (size_t i = 0; i < load->n; i++) {
        index_entry_release(&load->images[i].entry);
        strv_free(load->images[i].names);
    }
    free(load->images);
    load_archive_release(&load->archive);
}

static int new_image(struct load *load, struct index_entry *entry, char ***names, struct error *err)
{
    struct loaded *images = reallocarray(load->images, load->n + 1, sizeof(*images));
    if (!images)
        return error_oom(err);
    load->images = images;
    images[load->n++] = (struct loaded){*entry, TAKE_PTR(*names)};
    *entry = (struct index_entry){0};
    return 0;
}

/* --- layers --- */

struct layer_progress {
    const struct load *load;
    char id[DIGEST_SHORT + 1];
    int64_t total;
};

static void report_layer(void *data, int64_t taken)
{
    const struct layer_progress *progress = data;
    const struct image_progress_event event = {
        .status = "Loading layer",
        .id = progress->id,
        .current = taken,
        .total = progress->total,
    };
    if (!progress->load->quiet)
        monitor_report(progress->load->monitor, &event);
}

static int add_layers(struct load *load, const struct load_item *const *items,
                      const struct image_config *config, struct error *err)
{
    CLEANUP_STRV char **chains = NULL;
    if (layer_chain_ids(config->diff_ids, &chains) < 0)
        return error_oom(err);
    for (size_t i = 0; chains[i]; i++) {
        struct layer_progress progress = {.load = load, .total = items[i]->size};
        digest_short(config->diff_ids[i], progress.id);
        const struct layer_source source = {
            .blob = items[i]->digest,
            .diff_id = config->diff_ids[i],
            .chain = chains[i],
            .monitor = load->monitor,
            .progress = report_layer,
            .progress_data = &progress,
        };
        if (store_lease_chain(load->store, &load->lease, chains[i]) < 0)
            return error_oom(err);
        int r = layer_add(load->store, &source, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_config(const struct load *load, const char *digest, struct image_config **ret,
                       struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(IMAGE_CONFIG_MAX);
    int r = blob_read(load->store, digest, &text, err);
    if (r < 0 || (r = image_config_parse(buffer_string(&text), text.length, ret, err)) < 0)
        return error_wrap(err, r, "image %s", digest);
    if (strcmp((*ret)->os, load->store->platform.os) != 0) {
        r = error_set_class(err, ERROR_INVALID, "cannot load %s image on %s", (*ret)->os,
                            load->store->platform.os);
        *ret = image_config_free(*ret);
    }
    return r;
}

/* --- docker-archive --- */

static bool is_manifest_of(const struct manifest *manifest, const char *config_digest,
                           const struct load_item *const *items, size_t n)
{
    if (manifest->is_index || manifest->n != n ||
        strcmp(manifest->config.digest, config_digest) != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(manifest->entries[i].digest, items[i]->digest) != 0)
            return false;
    return true;
}

/* The manifest that the archive itself has for this configuration (docker 25 and later write both).
 * *ret_digest is "" when there is none. */
static int find_own_manifest(const struct load *load, const char *config_digest,
                             const struct load_item *const *items, size_t n,
                             char ret_digest[DIGEST_TEXT_SIZE], const char **ret_type,
                             struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MANIFEST_MAX);
    CLEANUP(manifest_cleanup) struct manifest *index = NULL;
    ret_digest[0] = '\0';
    if (!load_archive_find(&load->archive, "index.json"))
        return 0;
    if (load_archive_document(&load->archive, "index.json", &text, NULL) < 0 ||
        manifest_parse(buffer_string(&text), text.length, MEDIA_OCI_INDEX, &index, NULL) < 0)
        return 0;
    for (size_t i = 0; i < index->n; i++) {
        CLEANUP(buffer_release) struct buffer body = BUFFER_INIT(MANIFEST_MAX);
        CLEANUP(manifest_cleanup) struct manifest *manifest = NULL;
        const struct load_item *item =
            load_archive_find_blob(&load->archive, index->entries[i].digest);
        if (!item || item->size > MANIFEST_MAX)
            continue;
        int r = blob_read(load->store, item->digest, &body, err);
        if (r < 0)
            return r;
        if (manifest_parse(buffer_string(&body), body.length, index->entries[i].media_type,
                           &manifest, NULL) < 0 ||
            !is_manifest_of(manifest, config_digest, items, n))
            continue;
        string_copy(ret_digest, DIGEST_TEXT_SIZE, item->digest);
        *ret_type = string_equal(manifest->media_type, MEDIA_DOCKER_MANIFEST)
                        ? MEDIA_DOCKER_MANIFEST
                        : MEDIA_OCI_MANIFEST;
        return 0;
    }
    return 0;
}

static int make_manifest(struct load *load, const struct load_item *config,
                         const struct load_item *const *items, size_t n, char ret[DIGEST_TEXT_SIZE],
                         int64_t *ret_size, struct error *err)
{
    struct layer_blob layers[IMAGE_LAYERS_MAX];
    for (size_t i = 0; i < n; i++) {
        layers[i].digest = items[i]->digest;
        layers[i].size = items[i]->size;
        layers[i].media_type = items[i]->media_type;
    }
    CLEANUP_FREE char *text = manifest_format(config->digest, config->size, layers, n);
    if (!text)
        return error_oom(err);
    *ret_size = (int64_t)strlen(text);
    return blob_put(load->store, &load->lease, text, strlen(text), ret, err);
}

static int parse_tags(const json_t *object, char ***ret, struct error *err)
{
    CLEANUP_STRV char **tags = NULL;
    CLEANUP_STRV char **names = strv_copy(NULL);
    int r = json_get_strv(object, "RepoTags", LOAD_TAGS_MAX, &tags, err);
    if (r < 0)
        return r;
    for (size_t i = 0; tags && tags[i]; i++) {
        CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
        r = reference_parse(tags[i], &reference, err);
        if (r < 0)
            return error_wrap(err, r, "%s", tags[i]);
        if (reference_default_tag(&reference) < 0 ||
            strv_append_take(&names, reference_string(&reference)) < 0)
            return error_oom(err);
    }
    if (!names)
        return error_oom(err);
    *ret = TAKE_PTR(names);
    return 0;
}

/* Makes a layer what a manifest can name. An OCI layout has a manifest of its own, which says what
 * it says; for docker's, one is made. */
static int settle_compression(struct load *load, const struct load_item *found, struct error *err)
{
    struct load_item *item = &load->archive.items[found - load->archive.items];
    if (item->media_type)
        return 0;
    int r =
        layer_blob_plain(load->store, &load->lease, load->monitor, item->digest, &item->size, err);
    if (r == 0)
        item->media_type = MEDIA_OCI_LAYER;
    return r;
}

static int find_layers(struct load *load, const json_t *object,
                       const struct load_item *items[IMAGE_LAYERS_MAX], size_t *ret_n,
                       struct error *err)
{
    CLEANUP_STRV char **layers = NULL;
    int r = json_get_strv(object, "Layers", IMAGE_LAYERS_MAX, &layers, err);
    if (r < 0)
        return r;
    size_t n = strv_length(layers);
    for (size_t i = 0; i < n; i++) {
        items[i] = load_archive_find(&load->archive, layers[i]);
        if (!items[i])
            return error_set_class(err, ERROR_INVALID, "archive has no layer '%s'", layers[i]);
        if ((r = settle_compression(load, items[i], err)) < 0)
            return r;
    }
    *ret_n = n;
    return 0;
}

static int finish_image(struct load *load, const struct load_item *config_item,
                        const struct load_item *const *items, size_t n, const char *manifest_digest,
                        const char *manifest_type, int64_t manifest_size,
                        const struct image_config *config, char ***names, struct error *err)
{
    CLEANUP_STRV char **blobs = strv_copy(NULL);
    CLEANUP(index_entry_release) struct index_entry entry = {0};
    for (size_t i = 0; i < n; i++)
        if (strv_append(&blobs, items[i]->digest) < 0)
            return error_oom(err);
    int r = register_prepare(config_item->digest, manifest_digest, manifest_type, manifest_size,
                             blobs, config->diff_ids, &entry, err);
    return r < 0 ? r : new_image(load, &entry, names, err);
}

DEFINE_CLEANUP(struct image_config *, config_cleanup, image_config_free)

static int load_docker_image(struct load *load, const json_t *object, struct error *err)
{
    const struct load_item *items[IMAGE_LAYERS_MAX];
    char manifest_digest[DIGEST_TEXT_SIZE];
    const char *config_name = NULL, *manifest_type = MEDIA_OCI_MANIFEST;
    CLEANUP(config_cleanup) struct image_config *config = NULL;
    CLEANUP_STRV char **names = NULL;
    size_t n = 0;
    int64_t manifest_size = 0;
    int r;
    if ((r = json_need_string(object, "Config", &config_name, err)) < 0 ||
        (r = parse_tags(object, &names, err)) < 0 ||
        (r = find_layers(load, object, items, &n, err)) < 0)
        return r;
    const struct load_item *config_item = load_archive_find(&load->archive, config_name);
    if (!config_item)
        return error_set_class(err, ERROR_INVALID, "archive has no file '%s'", config_name);
    if ((r = read_config(load, config_item->digest, &config, err)) < 0)
        return r;
    if (strv_length(config->diff_ids) != n)
        return error_set_class(err, ERROR_INVALID,
                               "invalid manifest, layers length mismatch: expected %zu, got %zu",
                               strv_length(config->diff_ids), n);
    if ((r = add_layers(load, items, config, err)) < 0 ||
        (r = find_own_manifest(load, config_item->digest, items, n, manifest_digest, &manifest_type,
                               err)) < 0)
        return r;
    if (manifest_digest[0])
        blob_exists(load->store, manifest_digest, &manifest_size);
    else if ((r = make_manifest(load, config_item, items, n, manifest_digest, &manifest_size,
                                err)) < 0)
        return r;
    return finish_image(load, config_item, items, n, manifest_digest, manifest_type, manifest_size,
                        config, &names, err);
}

static int load_docker(struct load *load, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MANIFEST_MAX);
    CLEANUP_JSON json_t *document = NULL;
    int r = load_archive_document(&load->archive, "manifest.json", &text, err);
    if (r < 0 || (r = json_parse(buffer_string(&text), text.length, &document, err)) < 0)
        return error_classify(err, r, ERROR_INVALID);
    if (!json_is_array(document) || json_array_size(document) > LOAD_IMAGES_MAX)
        return error_set_class(err, ERROR_INVALID, "manifest.json must be an array of images");
    for (size_t i = 0; i < json_array_size(document); i++) {
        r = load_docker_image(load, json_array_get(document, i), err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- OCI layout --- */

/* containerd and docker annotate the whole name; other tools write it, or only a tag, into
 * ref.name. */
static int layout_names(const struct descriptor *descriptor, char ***ret, struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP_STRV char **names = strv_copy(NULL);
    const char *text = descriptor->name;
    if (!names)
        return error_oom(err);
    if (!text && descriptor->ref_name && strpbrk(descriptor->ref_name, ":/"))
        text = descriptor->ref_name;
    if (text && reference_parse(text, &reference, NULL) == 0 && !reference.digest) {
        if (reference_default_tag(&reference) < 0 ||
            strv_append_take(&names, reference_string(&reference)) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(names);
    return 0;
}

static int read_manifest(const struct load *load, const struct descriptor *descriptor,
                         const struct load_item **ret_item, struct manifest **ret,
                         struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MANIFEST_MAX);
    const struct load_item *item = load_archive_find_blob(&load->archive, descriptor->digest);
    if (!item)
        return error_set_class(err, ERROR_INVALID, "archive has no blob %s", descriptor->digest);
    int r = blob_read(load->store, item->digest, &text, err);
    if (r < 0 || (r = manifest_parse(buffer_string(&text), text.length, descriptor->media_type, ret,
                                     err)) < 0)
        return error_wrap(err, r, "manifest %s", descriptor->digest);
    *ret_item = item;
    return 0;
}

static int load_manifest(struct load *load, const struct load_item *item,
                         const struct manifest *manifest, char ***names, struct error *err)
{
    const struct load_item *items[IMAGE_LAYERS_MAX];
    CLEANUP(config_cleanup) struct image_config *config = NULL;
    const struct load_item *config_item =
        load_archive_find_blob(&load->archive, manifest->config.digest);
    if (!config_item)
        return error_set_class(err, ERROR_INVALID, "archive has no blob %s",
                               manifest->config.digest);
    int r = read_config(load, config_item->digest, &config, err);
    if (r < 0)
        return r;
    if (strv_length(config->diff_ids) != manifest->n)
        return error_set_class(err, ERROR_INVALID,
                               "invalid manifest, layers length mismatch: expected %zu, got %zu",
                               strv_length(config->diff_ids), manifest->n);
    for (size_t i = 0; i < manifest->n; i++) {
        items[i] = load_archive_find_blob(&load->archive, manifest->entries[i].digest);
        if (!items[i])
            return error_set_class(err, ERROR_INVALID, "archive has no blob %s",
                                   manifest->entries[i].digest);
    }
    if ((r = add_layers(load, items, config, err)) < 0)
        return r;
    return finish_image(load, config_item, items, manifest->n, item->digest, manifest->media_type,
                        item->size, config, names, err);
}

/* A descriptor of index.json: a manifest, or an index of platforms (one level, as docker writes
 * it). */
static int load_descriptor(struct load *load, const struct descriptor *descriptor,
                           struct error *err)
{
    CLEANUP(manifest_cleanup) struct manifest *manifest = NULL;
    CLEANUP_STRV char **names = NULL;
    const struct load_item *item = NULL;
    int r = layout_names(descriptor, &names, err);
    if (r < 0 || (r = read_manifest(load, descriptor, &item, &manifest, err)) < 0)
        return r;
    if (manifest->is_index) {
        char text[PLATFORM_TEXT_MAX];
        CLEANUP(manifest_cleanup) struct manifest *picked = NULL;
        const struct descriptor *entry = manifest_pick(manifest, load->platform);
        if (!entry)
            return error_set_class(err, ERROR_NOT_FOUND,
                                   "no matching manifest for %s in the manifest list entries",
                                   platform_format(load->platform, text));
        r = read_manifest(load, entry, &item, &picked, err);
        if (r < 0)
            return r;
        if (picked->is_index)
            return error_set_class(err, ERROR_INVALID, "index within an index: %s", entry->digest);
        return load_manifest(load, item, picked, &names, err);
    }
    return load_manifest(load, item, manifest, &names, err);
}

static int load_layout(struct load *load, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MANIFEST_MAX);
    CLEANUP(manifest_cleanup) struct manifest *index = NULL;
    int r = load_archive_document(&load->archive, "index.json", &text, err);
    if (r < 0 ||
        (r = manifest_parse(buffer_string(&text), text.length, MEDIA_OCI_INDEX, &index, err)) < 0)
        return error_wrap(err, r, "index.json");
    for (size_t i = 0; i < index->n; i++) {
        if (index->entries[i].attestation)
            continue;
        r = load_descriptor(load, &index->entries[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- naming, once all is well --- */

static int announce(const struct load *load, const char *familiar, const char *old_id)
{
    if (old_id)
        monitor_stream(load->monitor,
                       "The image %s already exists, renaming the old one with ID %s to empty "
                       "string\n",
                       familiar, old_id);
    monitor_stream(load->monitor, "Loaded image: %s\n", familiar);
    return 0;
}

static int name_image(const struct load *load, const struct loaded *image, struct image_names *ret,
                      struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && image->names && image->names[i]; i++) {
        CLEANUP_FREE char *familiar = lookup_familiar(image->names[i]);
        CLEANUP_FREE char *old = NULL;
        if (!familiar)
            return error_oom(err);
        r = register_name(load->store, &image->entry, image->names[i], &old, NULL, err);
        if (r == 0)
            announce(load, familiar, old);
        if (r == 0 && register_report(ret, image->entry.image_id, familiar) < 0)
            r = error_oom(err);
    }
    if (r < 0 || strv_length(image->names) > 0)
        return r;
    r = register_name(load->store, &image->entry, NULL, NULL, NULL, err);
    if (r < 0)
        return r;
    monitor_stream(load->monitor, "Loaded image ID: %s\n", image->entry.image_id);
    return register_report(ret, image->entry.image_id, NULL) < 0 ? error_oom(err) : 0;
}

static int run_load(struct load *load, int fd, struct image_names *ret, struct error *err)
{
    int r = load_archive_read(&load->archive, fd, load->monitor, err);
    if (r < 0)
        return r;
    if (load_archive_find(&load->archive, "manifest.json"))
        r = load_docker(load, err);
    else if (load_archive_find(&load->archive, "index.json"))
        r = load_layout(load, err);
    else
        r = error_set_class(err, ERROR_INVALID,
                            "archive is neither of docker save nor an OCI image layout: it has no "
                            "manifest.json and no index.json");
    if (r < 0 || (r = store_sync(load->store, err)) < 0)
        return r;
    for (size_t i = 0; r == 0 && i < load->n; i++)
        r = name_image(load, &load->images[i], ret, err);
    return r;
}

int image_load(struct image_store *store, int fd, bool quiet, const struct image_platform *platform,
               const struct image_monitor *monitor, struct image_names *ret, struct error *err)
{
    struct image_names names = IMAGE_NAMES_INIT;
    struct load load = {
        .store = store,
        .monitor = monitor,
        .platform = platform ? platform : &store->platform,
        .quiet = quiet,
    };
    store_lease_begin(store, &load.lease);
    load.archive.store = store;
    load.archive.lease = &load.lease;
    int r = run_load(&load, fd, ret ? ret : &names, err);
    load_release(&load);
    image_names_release(&names);
    /* Also after success: manifest.json and the like became blobs, too. */
    store_lease_end(store, &load.lease, true);
    return r;
}
