/* Layers as EROFS disk images for VMs, made by mkfs.erofs (erofs-utils) from the unpacked trees. */
#ifndef HULL_IMAGE_EROFS_H
#define HULL_IMAGE_EROFS_H

struct error;
struct image_store;

/* Absolute path of layers/<name>/layer.erofs for the layer in directory `name`, built when missing.
 * *ret malloc'd. */
int erofs_layer(struct image_store *store, const char *name, char **ret, struct error *err);

/* One image of the layers `chains[0..n)` (lowest first) on top of each other, kept as merged.erofs
 * with the highest of them. *ret malloc'd. */
int erofs_merged(struct image_store *store, char *const *chains, unsigned n, char **ret,
                 struct error *err);

#endif
