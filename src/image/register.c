#include "image/register.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "image/layer.h"

int register_prepare(const char *image_id, const char *manifest_digest, const char *manifest_type,
                     int64_t manifest_size, char *const *layer_blobs, char *const *diff_ids,
                     struct index_entry *ret, struct error *err)
{
    CLEANUP(index_entry_release) struct index_entry entry = {.manifest_size = manifest_size};
    if (string_replace(&entry.image_id, image_id) < 0 ||
        string_replace(&entry.manifest_digest, manifest_digest) < 0 ||
        string_replace(&entry.manifest_type, manifest_type) < 0 ||
        strv_append(&entry.blobs, image_id) < 0 || strv_append(&entry.blobs, manifest_digest) < 0 ||
        strv_extend(&entry.blobs, layer_blobs) < 0 || layer_chain_ids(diff_ids, &entry.chains) < 0)
        return error_oom(err);
    *ret = entry;
    entry = (struct index_entry){0};
    return 0;
}

int register_name(struct image_store *store, const struct index_entry *entry, const char *name,
                  char **ret_old, bool *ret_same, struct error *err)
{
    CLEANUP_FREE char *old = NULL;
    bool same = false;
    int r = 0;
    store_lock(store);
    const struct index_entry *found = name ? index_find_name(store, name) : NULL;
    if (found && strcmp(found->image_id, entry->image_id) == 0)
        same = true;
    else if (found && string_replace(&old, found->image_id) < 0)
        r = error_oom(err);
    if (r == 0)
        r = index_set(store, entry, name, timestamp_now(), err);
    store_unlock(store);
    if (r < 0)
        return r;
    if (ret_old)
        *ret_old = TAKE_PTR(old);
    if (ret_same)
        *ret_same = same;
    return 0;
}

void image_names_release(struct image_names *names)
{
    strv_free(names->ids);
    strv_free(names->names);
    *names = (struct image_names)IMAGE_NAMES_INIT;
}

int register_report(struct image_names *names, const char *image_id, const char *name)
{
    if (strv_append(&names->ids, image_id) < 0 ||
        strv_append(&names->names, string_or(name, "")) < 0)
        return -ENOMEM;
    return 0;
}
