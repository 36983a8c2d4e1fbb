/* Manifests and indexes: OCI image-spec manifest.md and image-index.md, and docker's schema 2
 * twins. */
#ifndef HULL_IMAGE_MANIFEST_H
#define HULL_IMAGE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct image_platform;

enum {
    MANIFEST_MAX = 4 * 1024 * 1024, /* bytes, as registries have it */
    MANIFEST_ENTRIES_MAX = 1000,    /* descriptors in an index */
};

#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"

struct descriptor {
    char *media_type; /* "" when absent */
    char *digest;
    int64_t size; /* >= 0 */
    char *os;     /* platform; NULL when absent */
    char *architecture;
    char *variant;
    char *name;       /* annotation io.containerd.image.name, or NULL */
    char *ref_name;   /* annotation org.opencontainers.image.ref.name, or NULL */
    bool attestation; /* annotated as such by BuildKit: never an image to run */
    bool foreign;     /* has urls / a non-distributable type */
};

/* Either an index (is_index; `entries` are manifests) or a manifest (`entries` are layers). */
struct manifest {
    bool is_index;
    char *media_type;
    struct descriptor config;
    struct descriptor *entries;
    size_t n;
};

/* Reads and checks a document; `media_type` (may be NULL) is what the transport said and wins when
 * the document does not say. ERROR_INVALID. */
int manifest_parse(const char *text, size_t length, const char *media_type, struct manifest **ret,
                   struct error *err);
struct manifest *manifest_free(struct manifest *manifest);
void manifest_cleanup(struct manifest **manifest);

/* The entry of an index that suits `platform` best, or NULL. Entries without a platform suit only
 * when nothing else is there. */
const struct descriptor *manifest_pick(const struct manifest *index,
                                       const struct image_platform *platform);

/* Is this media type (or an absent one, with a look at the document) an index? */
bool media_type_is_index(const char *media_type);
bool media_type_is_manifest(const char *media_type);

/* Makes the text of an OCI manifest for a configuration and layer blobs; malloc'd. */
struct layer_blob {
    const char *digest;
    int64_t size;
    const char *media_type;
};
char *manifest_format(const char *config_digest, int64_t config_size,
                      const struct layer_blob *layers, size_t n);

#endif
