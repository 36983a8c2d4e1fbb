/* The last step of every way in: an image whose blobs and layers are in the store gets its entry
 * and names. */
#ifndef HULL_IMAGE_REGISTER_H
#define HULL_IMAGE_REGISTER_H

#include "image/store.h"

struct manifest;
struct reference;

/* Fills an entry from documents; the caller releases it. */
int register_prepare(const char *image_id, const char *manifest_digest, const char *manifest_type,
                     int64_t manifest_size, char *const *layer_blobs, char *const *diff_ids,
                     struct index_entry *ret, struct error *err);

/* Gives the image one name (full form; NULL: none). *ret_old (malloc'd, may be NULL as a pointer):
 * id of another image that had the name, NULL if none had. *ret_same (may be NULL): the image had
 * it already. */
int register_name(struct image_store *store, const struct index_entry *entry, const char *name,
                  char **ret_old, bool *ret_same, struct error *err);

/* Adds a pair to what an operation brought. name NULL counts as "". 0 or -ENOMEM. */
int register_report(struct image_names *names, const char *image_id, const char *name);

#endif
