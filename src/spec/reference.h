/* Names of images: `[domain/]path[:tag][@digest]`, as github.com/distribution/reference (the
 * grammar that docker uses) reads and shortens them.
 *
 * "busybox" is short for "docker.io/library/busybox"; the short form is called familiar and is what
 * users see. Limits: NAME_MAX 255 bytes for domain/path, 128 for a tag. */
#ifndef HULL_SPEC_REFERENCE_H
#define HULL_SPEC_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

struct error;

enum {
    REFERENCE_NAME_MAX = 255, /* domain + "/" + path */
    REFERENCE_TAG_MAX = 128,
    REFERENCE_TEXT_MAX = 4096, /* anything longer is refused unread */
    DIGEST_SHA256_LENGTH = 71, /* "sha256:" and 64 hex digits */
    DIGEST_PREFIX_LENGTH = 7,  /* "sha256:" */
};

struct reference {
    char *domain; /* "docker.io", "localhost:5000"; never NULL in a parsed reference */
    char *path;   /* "library/busybox" */
    char *tag;    /* or NULL */
    char *digest; /* "sha256:..." or NULL */
};

#define REFERENCE_INIT \
    {                  \
        .domain = NULL \
    }

void reference_release(struct reference *reference);
int reference_copy(const struct reference *source, struct reference *ret);

/* ParseNormalizedNamed: adds the default domain and "library/". Class ERROR_INVALID with docker's
 * texts: "invalid reference format", "invalid reference format: repository name (X) must be
 * lowercase", "repository name must not be more than 255 characters", "invalid repository name
 * (X), cannot specify 64-byte hexadecimal strings". On success the caller owns *ret. */
int reference_parse(const char *text, struct reference *ret, struct error *err);

/* ParseAnyReference: 64 hex digits or "sha256:<64 hex>" give an id (*ret_id, malloc'd, with the
 * "sha256:" prefix; *ret untouched; returns 1); all else as reference_parse() (returns 0). */
int reference_parse_any(const char *text, struct reference *ret, char **ret_id, struct error *err);

/* TagNameOnly: adds "latest" when there is neither tag nor digest. 0 or -ENOMEM. */
int reference_default_tag(struct reference *reference);

/* malloc'd texts; NULL when out of memory. Full: "docker.io/library/busybox:latest". Familiar:
 * "busybox:latest". The _name ones are without tag and digest. */
char *reference_name(const struct reference *reference);
char *reference_string(const struct reference *reference);
char *reference_familiar_name(const struct reference *reference);
char *reference_familiar_string(const struct reference *reference);

/* FamiliarMatch: Go's path.Match of a pattern on the familiar string, or on the familiar name. */
bool reference_matches(const struct reference *reference, const char *pattern);

bool reference_tag_is_valid(const char *tag);
/* "sha256:" and 64 lower-case hex digits; hull accepts no other algorithm. */
bool digest_is_valid(const char *digest);

#endif
