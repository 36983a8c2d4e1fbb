/* Layers on disk: <root>/layers/<first 16 hex digits of the chain id>/ holds
 *     layer.json   chain id, diff id, size
 *     fs/          the unpacked tree, a lower layer for overlay
 *     layer.erofs  the same as a disk image, made when a VM first needed it
 *     merged.erofs all layers up to this one in one image (more than IMAGE_EROFS_MAX layers)
 * The directory appears complete, by rename. layers/ is 0700: in the trees are set-uid programs and
 * device nodes. */
#ifndef HULL_IMAGE_LAYER_H
#define HULL_IMAGE_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct image_monitor;
struct image_store;

enum { LAYER_NAME_SIZE = 17 };

#define LAYER_TEMP_PREFIX ".tmp-"
#define LAYER_EMPTY "empty" /* directory of the layer of an image that has none */

/* image-spec config.md "Layer ChainID". *ret is a new vector, empty for no layers. 0, -ENOMEM,
 * -EIO. */
int layer_chain_ids(char *const *diff_ids, char ***ret);

/* The directory's name in layers/. */
void layer_name(const char *chain, char name[LAYER_NAME_SIZE]);

/* 1 when the layer is there, 0 when not; ERROR_CONFLICT when another chain id has the same name.
 * *ret_size (may be NULL): bytes of its regular files. */
int layer_find(struct image_store *store, const char *chain, int64_t *ret_size, struct error *err);

/* Unpacks a blob as layer `chain` unless it is there. The blob's content must have `diff_id`; an
 * error names blob and diff id. `progress` as in stream.h. */
struct layer_source {
    const char *blob;
    const char *diff_id;
    const char *chain;
    const struct image_monitor *monitor;
    void (*progress)(void *data, int64_t taken);
    void *progress_data;
};
int layer_add(struct image_store *store, const struct layer_source *source, struct error *err);

/* Removes what interrupted operations left in layers/. */
int layers_clean(struct image_store *store, struct error *err);

/* A new temporary directory in layers/; its name in `name`. */
enum { LAYER_TEMP_SIZE = 40 };
int layer_temp(struct image_store *store, char name[LAYER_TEMP_SIZE], struct error *err);

/* Allocated bytes of a tree, for reports. */
int64_t tree_bytes(int dirfd, const char *path);

#endif
