/* Names of images as users write them, completed as docker completes them. */
#ifndef HULL_CLI_REFERENCE_H
#define HULL_CLI_REFERENCE_H

struct error;

enum { REFERENCE_MAX = 512 };

/* All malloc'd. */
struct reference {
    char *name;     /* "docker.io/library/busybox" */
    char *familiar; /* "busybox" */
    char *tag;      /* "latest" when neither tag nor digest was written */
    char *digest;   /* "sha256:..." or NULL; the tag may then be NULL */
};

#define REFERENCE_INIT \
    {                  \
        .name = NULL   \
    }

/* -EINVAL: "invalid reference format" and its relatives. */
int reference_parse(const char *text, struct reference *ret, struct error *err);
void reference_release(struct reference *reference);

/* "busybox:latest", or with digest "busybox@sha256:...". malloc'd. */
char *reference_familiar(const struct reference *reference);
/* The same with the full name. */
char *reference_full(const struct reference *reference);
/* What the API's `tag` parameter takes: the digest if there is one. Borrowed. */
const char *reference_tag(const struct reference *reference);

#endif
