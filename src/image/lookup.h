/* From names to entries of the index and images. */
#ifndef HULL_IMAGE_LOOKUP_H
#define HULL_IMAGE_LOOKUP_H

#include "image/store.h"

struct reference;

/* Resolves what a user typed to a copy of an entry (its name is the matched one, or any of the
 * image). *ret_named (may be NULL): the match was a name, not an id. Errors as image_find(). */
int lookup_entry(struct image_store *store, const char *name, struct index_entry *ret,
                 bool *ret_named, struct error *err);

/* Builds the image of an id. ERROR_NOT_FOUND when it is gone. */
int lookup_image(struct image_store *store, const char *image_id, struct image **ret,
                 struct error *err);

/* All names (full form) of an image, sorted; a new vector. 0 or -ENOMEM. */
int lookup_names(struct image_store *store, const char *image_id, char ***ret);

/* Ids of all images, each once. */
int lookup_ids(struct image_store *store, char ***ret);

/* "docker.io/library/a:b" as the user sees it ("a:b"); malloc'd. */
char *lookup_familiar(const char *full_name);

#endif
