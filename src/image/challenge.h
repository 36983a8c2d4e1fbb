/* WWW-Authenticate (RFC 9110, 11.6.1) as registries send it: Bearer with realm, service, scope; or
 * Basic. */
#ifndef HULL_IMAGE_CHALLENGE_H
#define HULL_IMAGE_CHALLENGE_H

#include <stddef.h>

enum {
    CHALLENGES_MAX = 8,        /* in one header */
    CHALLENGE_TEXT_MAX = 8192, /* bytes of the header's value */
};

/* Absent parameters are NULL. */
struct challenge {
    char *scheme; /* lower case */
    char *realm;
    char *service;
    char *scope;
    char *error;
    char *error_description;
};

struct challenges {
    struct challenge items[CHALLENGES_MAX];
    size_t n;
};

/* Adds what `text` has to *ret (zeroed before the first call). 0, -EINVAL for what is no challenge
 * (those before the fault are kept), -E2BIG, -ENOMEM. */
int challenges_parse(const char *text, struct challenges *ret);
void challenges_release(struct challenges *challenges);
/* The first of a scheme, or NULL. */
const struct challenge *challenges_find(const struct challenges *challenges, const char *scheme);

#endif
