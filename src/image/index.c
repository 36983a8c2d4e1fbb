/* index.json: which images and names exist. */
#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "image/blob.h"
#include "image/layer.h"
#include "image/manifest.h"
#include "image/store.h"
#include "spec/reference.h"

#define ANNOTATION_NAME "org.opencontainers.image.ref.name"
#define ANNOTATION_ID "hull.image.id"
#define ANNOTATION_TAGGED "hull.image.tagged"

void index_entry_release(struct index_entry *entry)
{
    free(entry->image_id);
    free(entry->manifest_digest);
    free(entry->manifest_type);
    free(entry->name);
    strv_free(entry->blobs);
    strv_free(entry->chains);
    *entry = (struct index_entry){0};
}

int index_entry_copy(const struct index_entry *source, struct index_entry *ret)
{
    CLEANUP(index_entry_release)
    struct index_entry copy = {
        .manifest_size = source->manifest_size,
        .tagged = source->tagged,
    };
    if (string_replace(&copy.image_id, source->image_id) < 0 ||
        string_replace(&copy.manifest_digest, source->manifest_digest) < 0 ||
        string_replace(&copy.manifest_type, source->manifest_type) < 0 ||
        string_replace(&copy.name, source->name) < 0 || !(copy.blobs = strv_copy(source->blobs)) ||
        !(copy.chains = strv_copy(source->chains)))
        return -ENOMEM;
    *ret = copy;
    copy = (struct index_entry){0};
    return 0;
}

/* --- reading --- */

/* Finds out which blobs and layers the image of `entry` consists of. */
static int load_parts(struct image_store *store, struct index_entry *entry, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MANIFEST_MAX);
    CLEANUP(buffer_release) struct buffer config_text = BUFFER_INIT(IMAGE_CONFIG_MAX);
    CLEANUP(manifest_cleanup) struct manifest *manifest = NULL;
    struct image_config *config = NULL;
    int r = blob_read(store, entry->manifest_digest, &text, err);
    if (r < 0 || (r = manifest_parse(buffer_string(&text), text.length, entry->manifest_type,
                                     &manifest, err)) < 0)
        return r;
    if (manifest->is_index || strcmp(manifest->config.digest, entry->image_id) != 0)
        return error_set(err, -EINVAL, "manifest %s is not of image %s", entry->manifest_digest,
                         entry->image_id);
    if ((r = blob_read(store, entry->image_id, &config_text, err)) < 0 ||
        (r = image_config_parse(buffer_string(&config_text), config_text.length, &config, err)) < 0)
        return r;
    r = layer_chain_ids(config->diff_ids, &entry->chains);
    image_config_free(config);
    if (r < 0 || strv_append(&entry->blobs, entry->manifest_digest) < 0 ||
        strv_append(&entry->blobs, entry->image_id) < 0)
        return error_oom(err);
    for (size_t i = 0; i < manifest->n; i++)
        if (strv_append(&entry->blobs, manifest->entries[i].digest) < 0)
            return error_oom(err);
    return 0;
}

static int parse_entry(struct image_store *store, const json_t *object, struct index_entry *entry,
                       struct error *err)
{
    const char *digest = NULL, *type = MEDIA_OCI_MANIFEST, *id = NULL, *name = NULL, *when = NULL;
    json_t *annotations = NULL;
    int r;
    if ((r = json_need_string(object, "digest", &digest, err)) < 0 ||
        (r = json_need_i64(object, "size", &entry->manifest_size, err)) < 0 ||
        (r = json_get_string(object, "mediaType", &type, err)) < 0 ||
        (r = json_get_object(object, "annotations", &annotations, err)) < 0)
        return r;
    if (!annotations)
        return error_set(err, -EINVAL, "index entry %s has no annotations", digest);
    if ((r = json_need_string(annotations, ANNOTATION_ID, &id, err)) < 0 ||
        (r = json_get_string(annotations, ANNOTATION_NAME, &name, err)) < 0 ||
        (r = json_get_string(annotations, ANNOTATION_TAGGED, &when, err)) < 0)
        return r;
    if (when)
        timestamp_parse(when, &entry->tagged);
    if (string_replace(&entry->image_id, id) < 0 || string_replace(&entry->name, name) < 0 ||
        string_replace(&entry->manifest_digest, digest) < 0 ||
        string_replace(&entry->manifest_type, type) < 0)
        return error_oom(err);
    return load_parts(store, entry, err);
}

static int append_entry(struct image_store *store, struct index_entry *entry)
{
    if (store->n_entries >= STORE_IMAGES_MAX)
        return -ENOSPC;
    struct index_entry *entries =
        reallocarray(store->entries, store->n_entries + 1, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    store->entries = entries;
    entries[store->n_entries++] = *entry;
    *entry = (struct index_entry){0};
    return 0;
}

int index_load(struct image_store *store, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(STORE_INDEX_MAX);
    CLEANUP_JSON json_t *document = NULL;
    json_t *manifests = NULL;
    if (faccessat(store->image_fd, "index.json", F_OK, 0) < 0 && errno == ENOENT)
        return index_save(store, err);
    int r = file_read(store->image_fd, "index.json", &text, err);
    if (r < 0)
        return r;
    json_error_t where;
    document = json_loadb(buffer_string(&text), text.length, JSON_REJECT_DUPLICATES, &where);
    if (!document)
        return error_set(err, -EINVAL, "%s/index.json: %s", store->image_root, where.text);
    if ((r = json_get_array(document, "manifests", &manifests, err)) < 0)
        return r;
    for (size_t i = 0; manifests && i < json_array_size(manifests); i++) {
        CLEANUP(index_entry_release) struct index_entry entry = {0};
        /* An image whose documents are gone or damaged cannot be shown or run: it is left out, and
         * what remains of it is swept. */
        r = parse_entry(store, json_array_get(manifests, i), &entry, NULL);
        if (r == -ENOMEM || (r == 0 && append_entry(store, &entry) < 0))
            return error_oom(err);
    }
    return 0;
}

/* --- writing --- */

static json_t *format_entry(const struct index_entry *entry)
{
    char when[TIMESTAMP_TEXT_MAX];
    json_t *annotations = json_pack("{s:s}", ANNOTATION_ID, entry->image_id);
    if (annotations && entry->name)
        json_put_string(annotations, ANNOTATION_NAME, entry->name);
    if (annotations && entry->tagged)
        json_put_string(annotations, ANNOTATION_TAGGED, timestamp_format(entry->tagged, when));
    return json_pack("{s:s, s:s, s:I, s:o}", "mediaType", entry->manifest_type, "digest",
                     entry->manifest_digest, "size", (json_int_t)entry->manifest_size,
                     "annotations", annotations);
}

int index_save(struct image_store *store, struct error *err)
{
    json_t *manifests = json_array();
    if (!manifests)
        return error_oom(err);
    for (size_t i = 0; i < store->n_entries; i++)
        if (json_array_append_new(manifests, format_entry(&store->entries[i])) < 0) {
            json_decref(manifests);
            return error_oom(err);
        }
    CLEANUP_JSON json_t *document = json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType",
                                              MEDIA_OCI_INDEX, "manifests", manifests);
    CLEANUP_FREE char *text = document ? json_format(document) : NULL;
    if (!text)
        return error_oom(err);
    int r = file_write_atomic(store->image_fd, "index.json", text, strlen(text), 0644, err);
    if (r < 0)
        return store_write_error(err, r, "cannot write the index of images");
    return 0;
}

/* --- changing: on a copy, which takes the place of the old one once it is on disk --- */

static void entries_free(struct index_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        index_entry_release(&entries[i]);
    free(entries);
}

struct saved_index {
    struct index_entry *entries;
    size_t n;
};

/* Puts a deep copy in the store's place and returns the original in *ret. */
static int begin_change(struct image_store *store, struct saved_index *ret)
{
    struct index_entry *copy = calloc(store->n_entries + 1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < store->n_entries; i++)
        if (index_entry_copy(&store->entries[i], &copy[i]) < 0) {
            entries_free(copy, i);
            return -ENOMEM;
        }
    *ret = (struct saved_index){store->entries, store->n_entries};
    store->entries = copy;
    return 0;
}

static int end_change(struct image_store *store, struct saved_index *saved, int r,
                      struct error *err)
{
    if (r == 0)
        r = index_save(store, err);
    if (r < 0) {
        entries_free(store->entries, store->n_entries);
        store->entries = saved->entries;
        store->n_entries = saved->n;
    } else {
        entries_free(saved->entries, saved->n);
    }
    return r;
}

static void drop_at(struct image_store *store, size_t i)
{
    index_entry_release(&store->entries[i]);
    memmove(&store->entries[i], &store->entries[i + 1],
            (store->n_entries - i - 1) * sizeof(store->entries[0]));
    store->n_entries--;
}

static size_t count_entries(const struct image_store *store, const char *image_id)
{
    size_t n = 0;
    for (size_t i = 0; i < store->n_entries; i++)
        n += strcmp(store->entries[i].image_id, image_id) == 0;
    return n;
}

/* Takes the name off entry i; the last entry of an image stays, nameless. */
static void unname_at(struct image_store *store, size_t i)
{
    if (count_entries(store, store->entries[i].image_id) > 1) {
        drop_at(store, i);
        return;
    }
    free(store->entries[i].name);
    store->entries[i].name = NULL;
    store->entries[i].tagged = 0;
}

static int apply_set(struct image_store *store, const struct index_entry *entry, const char *name,
                     int64_t now)
{
    CLEANUP(index_entry_release) struct index_entry added = {0};
    if (!name && index_find_image(store, entry->image_id))
        return 0;
    for (size_t i = store->n_entries; name && i-- > 0;)
        if (string_equal(store->entries[i].name, name))
            unname_at(store, i);
    /* A nameless entry of the image is replaced by the named one. */
    for (size_t i = store->n_entries; i-- > 0;)
        if (!store->entries[i].name && strcmp(store->entries[i].image_id, entry->image_id) == 0)
            drop_at(store, i);
    if (index_entry_copy(entry, &added) < 0 || string_replace(&added.name, name) < 0)
        return -ENOMEM;
    added.tagged = name ? now : 0;
    return append_entry(store, &added);
}

int index_set(struct image_store *store, const struct index_entry *entry, const char *name,
              int64_t now, struct error *err)
{
    struct saved_index saved;
    CLEANUP(index_entry_release) struct index_entry copy = {0};
    /* `entry` may point into the array that is about to be replaced. */
    if (index_entry_copy(entry, &copy) < 0 || begin_change(store, &saved) < 0)
        return error_oom(err);
    int r = apply_set(store, &copy, name, now);
    if (r < 0)
        error_set_errno(err, r, "cannot name the image");
    return end_change(store, &saved, r, err);
}

int index_unset(struct image_store *store, const char *name, struct error *err)
{
    struct saved_index saved;
    if (!index_find_name(store, name))
        return error_set_class(err, ERROR_NOT_FOUND, "reference does not exist");
    if (begin_change(store, &saved) < 0)
        return error_oom(err);
    for (size_t i = store->n_entries; i-- > 0;)
        if (string_equal(store->entries[i].name, name))
            unname_at(store, i);
    return end_change(store, &saved, 0, err);
}

int index_remove_image(struct image_store *store, const char *image_id, struct error *err)
{
    struct saved_index saved;
    if (begin_change(store, &saved) < 0)
        return error_oom(err);
    for (size_t i = store->n_entries; i-- > 0;)
        if (strcmp(store->entries[i].image_id, image_id) == 0)
            drop_at(store, i);
    return end_change(store, &saved, 0, err);
}

const struct index_entry *index_find_name(const struct image_store *store, const char *name)
{
    for (size_t i = 0; i < store->n_entries; i++)
        if (string_equal(store->entries[i].name, name))
            return &store->entries[i];
    return NULL;
}

const struct index_entry *index_find_image(const struct image_store *store, const char *image_id)
{
    for (size_t i = 0; i < store->n_entries; i++)
        if (strcmp(store->entries[i].image_id, image_id) == 0)
            return &store->entries[i];
    return NULL;
}
