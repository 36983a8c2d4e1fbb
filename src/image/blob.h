/* Blobs: files named by the sha256 of their content. They are written under a temporary name,
 * hashed as they pass, made durable and renamed. */
#ifndef HULL_IMAGE_BLOB_H
#define HULL_IMAGE_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/digest.h"

struct buffer;
struct error;
struct image_store;
struct store_lease;

struct blob_writer {
    struct image_store *store;
    struct digest *digest;
    int fd;
    int64_t size;  /* bytes written */
    char name[40]; /* in the store's tmp/; "" once renamed or removed */
};

#define BLOB_WRITER_INIT \
    {                    \
        .fd = -EBADF     \
    }

int blob_create(struct image_store *store, struct blob_writer *ret, struct error *err);
int blob_write(struct blob_writer *writer, const void *data, size_t length, struct error *err);
/* Throws away what was written so far and goes on with an empty file. */
int blob_restart(struct blob_writer *writer, struct error *err);
/* Checks the digest (if `expected`; ERROR_INVALID), adds it to `lease` (may be NULL) before a sweep
 * can see the blob, and gives the blob its name. *ret: its digest. The writer is released on
 * failure as well. */
int blob_commit(struct blob_writer *writer, const char *expected, struct store_lease *lease,
                char ret[DIGEST_TEXT_SIZE], struct error *err);
/* Removes the temporary; for CLEANUP(), fine on one that was committed. */
void blob_writer_release(struct blob_writer *writer);

/* A small blob from memory. */
int blob_put(struct image_store *store, struct store_lease *lease, const void *data, size_t length,
             char ret[DIGEST_TEXT_SIZE], struct error *err);

/* Opens for reading. ERROR_NOT_FOUND. *ret_size may be NULL. */
int blob_open(struct image_store *store, const char *digest, int64_t *ret_size, struct error *err);
/* Reads a document whole (the buffer's maximum bounds it) and checks its digest. */
int blob_read(struct image_store *store, const char *digest, struct buffer *buffer,
              struct error *err);
bool blob_exists(struct image_store *store, const char *digest, int64_t *ret_size);

#endif
