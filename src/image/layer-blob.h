/* How a layer's blob is compressed. Its media type in a manifest must say so (image-spec layer.md
 * and manifest.md), because whoever gets the image later unpacks by it. */
#ifndef HULL_IMAGE_LAYER_BLOB_H
#define HULL_IMAGE_LAYER_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "image/digest.h"

struct error;
struct image_monitor;
struct image_store;
struct store_lease;

enum { LAYER_BLOB_HEAD = 6 }; /* bytes that tell */

/* The media type of a blob with this beginning: tar, tar+gzip, tar+zstd. NULL for what image-spec
 * has no type for, xz and bzip2: layer_blob_plain(). */
const char *layer_blob_type(const void *head, size_t length);

/* Puts the decompressed content of `digest` into the store, under `lease`, and replaces digest and
 * size with its own, which is the layer's diff id. ERROR_INVALID for damage, with the digest. */
int layer_blob_plain(struct image_store *store, struct store_lease *lease,
                     const struct image_monitor *monitor, char digest[DIGEST_TEXT_SIZE],
                     int64_t *size, struct error *err);

#endif
