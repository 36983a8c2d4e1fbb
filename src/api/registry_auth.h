/* docker's X-Registry-Auth header: a JSON document in base64url (RFC 4648, 5; padding optional). */
#ifndef HULL_API_REGISTRY_AUTH_H
#define HULL_API_REGISTRY_AUTH_H

#include <jansson.h>

#include "image/image.h"

struct error;

enum { REGISTRY_AUTH_MAX = 128 * 1024 };

/* Owns the texts that `auth` points to. */
struct registry_auth {
    struct image_auth auth;
    char *texts[4];
};
#define REGISTRY_AUTH_INIT \
    {                      \
        .texts = { NULL }  \
    }

void registry_auth_release(struct registry_auth *auth);

/* Decodes the header; members that are empty become NULL; the older member "auth" (base64 of
 * user:password) is read too. ERROR_INVALID. */
int registry_auth_decode(const char *header, struct registry_auth *ret, struct error *err);
/* The same from the document itself, as POST /auth has it. */
int registry_auth_read(const json_t *document, struct registry_auth *ret, struct error *err);

#endif
