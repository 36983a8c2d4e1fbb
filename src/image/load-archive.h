/* Reads the outer archive of `docker load` once, from a pipe: each file in it becomes a blob under
 * a lease, because what it is for (manifest.json, index.json) may come last. */
#ifndef HULL_IMAGE_LOAD_ARCHIVE_H
#define HULL_IMAGE_LOAD_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/digest.h"

struct buffer;
struct error;
struct image_monitor;
struct image_store;
struct store_lease;

enum {
    LOAD_ENTRIES_MAX = 20000, /* files in the archive */
    LOAD_LINKS_MAX = 8,       /* links followed from one name to its file */
};

struct load_item {
    char *name;   /* clean, relative */
    char *target; /* of a link: the name it stands for; else NULL */
    char digest[DIGEST_TEXT_SIZE];
    int64_t size;
    const char *media_type; /* of a layer with such a beginning (layer_blob_type()) */
};

struct load_archive {
    struct image_store *store;
    struct store_lease *lease;
    struct load_item *items;
    size_t n;
};

/* Reads `fd` to its end. Damage is ERROR_INVALID; a blob whose name is a digest must have it. */
int load_archive_read(struct load_archive *archive, int fd, const struct image_monitor *monitor,
                      struct error *err);
void load_archive_release(struct load_archive *archive);

/* The file of a name, links followed; NULL when there is none. */
const struct load_item *load_archive_find(const struct load_archive *archive, const char *name);
/* The file with this digest at its place in an OCI layout. */
const struct load_item *load_archive_find_blob(const struct load_archive *archive,
                                               const char *digest);

/* Reads a file as a document; ERROR_INVALID when there is none. */
int load_archive_document(const struct load_archive *archive, const char *name,
                          struct buffer *buffer, struct error *err);

/* load-damage.c: an archive ended or broke in the file `name` (NULL: between two). Gives the digest
 * of the layer that is damaged or missing by what the archive said before: docker's manifest.json
 * and configurations. False when that does not tell. */
bool load_damaged_layer(const struct load_archive *archive, const char *name,
                        char ret[DIGEST_TEXT_SIZE]);

#endif
