/* sha256 of what streams by (OpenSSL EVP). */
#ifndef HULL_IMAGE_DIGEST_H
#define HULL_IMAGE_DIGEST_H

#include <stddef.h>

struct digest;
struct error;

enum {
    DIGEST_TEXT_SIZE = 72, /* "sha256:" + 64 hex digits + NUL */
    DIGEST_SHORT = 12,     /* digits that docker shows of one */
};

int digest_new(struct digest **ret, struct error *err);
struct digest *digest_free(struct digest *digest);
void digest_cleanup(struct digest **digest);

/* Starts over; for a download that begins again. 0 or -EIO. */
int digest_reset(struct digest *digest);
int digest_update(struct digest *digest, const void *data, size_t length);
/* Writes "sha256:<hex>"; the object may only be reset or freed afterwards. */
int digest_finish(struct digest *digest, char text[DIGEST_TEXT_SIZE]);

/* Of a block of memory, in one go. 0 or -EIO/-ENOMEM. */
int digest_of(const void *data, size_t length, char text[DIGEST_TEXT_SIZE]);

/* The hex digits of "sha256:<hex>", and the first DIGEST_SHORT of them as docker shows an id. */
const char *digest_hex(const char *digest);
void digest_short(const char *digest, char text[DIGEST_SHORT + 1]);

#endif
