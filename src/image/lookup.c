#include "image/lookup.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "image/blob.h"
#include "image/layer.h"
#include "image/platform.h"
#include "spec/reference.h"

struct image *image_free(struct image *image)
{
    if (!image)
        return NULL;
    free(image->id);
    strv_free(image->tags);
    strv_free(image->digests);
    free(image->manifest_digest);
    free(image->manifest_type);
    image_config_free(image->config);
    free(image->raw_config);
    strv_free(image->chain_ids);
    free(image->layer_sizes);
    free(image);
    return NULL;
}

DEFINE_CLEANUP(struct image *, image_cleanup, image_free)

char *lookup_familiar(const char *full_name)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    if (reference_parse(full_name, &reference, NULL) < 0)
        return strdup(full_name);
    return reference_familiar_string(&reference);
}

static int no_such_image(struct error *err, const char *name, const char *reason)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP_FREE char *id = NULL;
    CLEANUP_FREE char *familiar = NULL;
    int r = reference_parse_any(name, &reference, &id, NULL);
    if (r == 0 && reference_default_tag(&reference) == 0)
        familiar = reference_familiar_string(&reference);
    return error_set_class(err, ERROR_NOT_FOUND, "No such image: %s%s",
                           familiar ? familiar
                           : id     ? id
                                    : name,
                           reason);
}

/* The image whose id starts with `prefix`: 1, 0 none, -EEXIST several. The lock is held. */
static int find_prefix(const struct image_store *store, const char *prefix,
                       const struct index_entry **ret)
{
    const struct index_entry *found = NULL;
    const char *hex = digest_hex(prefix);
    size_t length = strlen(hex);
    if (length == 0 || length > 64 || strspn(hex, "0123456789abcdef") != length)
        return 0;
    for (size_t i = 0; i < store->n_entries; i++) {
        const struct index_entry *entry = &store->entries[i];
        if (strncmp(digest_hex(entry->image_id), hex, length) != 0)
            continue;
        if (found && strcmp(found->image_id, entry->image_id) != 0)
            return -EEXIST;
        found = entry;
    }
    *ret = found;
    return found != NULL;
}

/* "name:tag@digest" is looked up by digest alone, as docker does. */
static int name_key(struct reference *reference, char **ret)
{
    if (reference->digest) {
        free(reference->tag);
        reference->tag = NULL;
    }
    if (reference_default_tag(reference) < 0)
        return -ENOMEM;
    *ret = reference_string(reference);
    return *ret ? 0 : -ENOMEM;
}

int lookup_entry(struct image_store *store, const char *name, struct index_entry *ret,
                 bool *ret_named, struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP_FREE char *id = NULL;
    CLEANUP_FREE char *key = NULL;
    const struct index_entry *found = NULL;
    int r = reference_parse_any(name, &reference, &id, err);
    if (r < 0)
        return r;
    if (r == 0 && name_key(&reference, &key) < 0)
        return error_oom(err);

    store_lock(store);
    found = key ? index_find_name(store, key) : NULL;
    bool named = found != NULL;
    r = found ? 1 : find_prefix(store, name, &found);
    if (r > 0 && index_entry_copy(found, ret) < 0)
        r = -ENOMEM;
    store_unlock(store);

    if (r == -ENOMEM)
        return error_oom(err);
    if (r == -EEXIST)
        return no_such_image(err, name, " (the ids of several images start so)");
    if (r == 0)
        return no_such_image(err, name, "");
    if (ret_named)
        *ret_named = named;
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    char *const *left = a;
    char *const *right = b;
    return strcmp(*left, *right);
}

int lookup_names(struct image_store *store, const char *image_id, char ***ret)
{
    CLEANUP_STRV char **names = strv_copy(NULL);
    int r = names ? 0 : -ENOMEM;
    store_lock(store);
    for (size_t i = 0; r == 0 && i < store->n_entries; i++) {
        const struct index_entry *entry = &store->entries[i];
        if (entry->name && strcmp(entry->image_id, image_id) == 0)
            r = strv_append(&names, entry->name);
    }
    store_unlock(store);
    if (r < 0)
        return r;
    qsort(names, strv_length(names), sizeof(*names), compare_texts);
    *ret = TAKE_PTR(names);
    return 0;
}

int lookup_ids(struct image_store *store, char ***ret)
{
    CLEANUP_STRV char **ids = strv_copy(NULL);
    CLEANUP_STRV char **unique = strv_copy(NULL);
    int r = ids && unique ? 0 : -ENOMEM;
    store_lock(store);
    for (size_t i = 0; r == 0 && i < store->n_entries; i++)
        r = strv_append(&ids, store->entries[i].image_id);
    store_unlock(store);
    if (r < 0)
        return r;
    qsort(ids, strv_length(ids), sizeof(*ids), compare_texts);
    for (size_t i = 0; r == 0 && ids[i]; i++)
        if (i == 0 || strcmp(ids[i], ids[i - 1]) != 0)
            r = strv_append(&unique, ids[i]);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(unique);
    return 0;
}

/* Tags and digests in their familiar form, and when the last name was given. */
static int fill_names(struct image_store *store, struct image *image)
{
    CLEANUP_STRV char **names = NULL;
    int r = lookup_names(store, image->id, &names);
    for (size_t i = 0; r == 0 && names[i]; i++) {
        bool digested = strchr(names[i], '@') != NULL;
        r = strv_append_take(digested ? &image->digests : &image->tags, lookup_familiar(names[i]));
    }
    store_lock(store);
    for (size_t i = 0; i < store->n_entries; i++)
        if (strcmp(store->entries[i].image_id, image->id) == 0 &&
            store->entries[i].tagged > image->last_tagged)
            image->last_tagged = store->entries[i].tagged;
    store_unlock(store);
    return r;
}

static int fill_layers(struct image_store *store, struct image *image, struct error *err)
{
    size_t n = strv_length(image->chain_ids);
    image->layer_sizes = calloc(n + 1, sizeof(*image->layer_sizes));
    if (!image->layer_sizes)
        return error_oom(err);
    for (size_t i = 0; i < n; i++) {
        int r = layer_find(store, image->chain_ids[i], &image->layer_sizes[i], err);
        if (r < 0)
            return r;
        image->size += image->layer_sizes[i];
    }
    return 0;
}

static int fill_image(struct image_store *store, const struct index_entry *entry,
                      struct image *image, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(IMAGE_CONFIG_MAX);
    int r = blob_read(store, entry->image_id, &text, err);
    if (r < 0 ||
        (r = image_config_parse(buffer_string(&text), text.length, &image->config, err)) < 0)
        return error_wrap(err, r, "image %s", entry->image_id);
    image->manifest_size = entry->manifest_size;
    if (string_replace(&image->id, entry->image_id) < 0 ||
        string_replace(&image->manifest_digest, entry->manifest_digest) < 0 ||
        string_replace(&image->manifest_type, entry->manifest_type) < 0 ||
        !(image->chain_ids = strv_copy(entry->chains)) ||
        !(image->raw_config = buffer_take(&text)) || fill_names(store, image) < 0)
        return error_oom(err);
    return fill_layers(store, image, err);
}

int lookup_image(struct image_store *store, const char *image_id, struct image **ret,
                 struct error *err)
{
    CLEANUP(index_entry_release) struct index_entry entry = {0};
    store_lock(store);
    const struct index_entry *found = index_find_image(store, image_id);
    int r = found ? index_entry_copy(found, &entry) : -ENOENT;
    store_unlock(store);
    if (r == -ENOENT)
        return error_set_class(err, ERROR_NOT_FOUND, "No such image: %s", image_id);
    CLEANUP(image_cleanup) struct image *image = calloc(1, sizeof(*image));
    if (r < 0 || !image)
        return error_oom(err);
    r = fill_image(store, &entry, image, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(image);
    return 0;
}

int image_find(struct image_store *store, const char *name, struct image **ret, struct error *err)
{
    CLEANUP(index_entry_release) struct index_entry entry = {0};
    int r = lookup_entry(store, name, &entry, NULL, err);
    return r < 0 ? r : lookup_image(store, entry.image_id, ret, err);
}

int image_manifest_text(struct image_store *store, const struct image *image, char **ret,
                        struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(IMAGE_CONFIG_MAX);
    int r = blob_read(store, image->manifest_digest, &text, err);
    if (r < 0)
        return r;
    *ret = buffer_take(&text);
    return *ret ? 0 : error_oom(err);
}

int image_check_platform(struct image_store *store, const struct image *image, const char *name,
                         const struct image_platform *platform, bool asked, struct error *err)
{
    char have_text[PLATFORM_TEXT_MAX], need_text[PLATFORM_TEXT_MAX];
    const struct image_platform *need = platform ? platform : &store->platform;
    struct image_platform have = {image->config->os, image->config->architecture,
                                  image->config->variant};
    if (platform_fits(&have, need))
        return 0;
    platform_format(&have, have_text);
    platform_format(need, need_text);
    if (asked)
        return error_set_class(err, ERROR_NOT_FOUND,
                               "image with reference %s was found but its platform (%s) does not "
                               "match the specified platform (%s)",
                               name, have_text, need_text);
    return error_set_class(err, ERROR_INVALID, "image %s is for %s, but %s is needed", name,
                           have_text, need_text);
}

int image_history_list(const struct image *image, struct image_history_entry **ret, size_t *ret_n,
                       struct error *err)
{
    size_t n = image->config->n_history;
    size_t layer = strv_length(image->chain_ids);
    struct image_history_entry *entries = calloc(n + 1, sizeof(*entries));
    if (!entries)
        return error_oom(err);
    for (size_t i = 0; i < n; i++) {
        const struct image_history *step = &image->config->history[n - 1 - i];
        entries[i] = (struct image_history_entry){
            .id = i == 0 ? image->id : "<missing>",
            .created = step->created,
            .created_by = string_or(step->created_by, ""),
            .comment = string_or(step->comment, ""),
            .size = !step->empty_layer && layer > 0 ? image->layer_sizes[--layer] : 0,
            .tags = i == 0 ? image->tags : NULL,
        };
    }
    *ret = entries;
    *ret_n = n;
    return 0;
}
