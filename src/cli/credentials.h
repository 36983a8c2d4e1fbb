/* Credentials for registries, from docker's configuration file ($DOCKER_CONFIG/config.json, else
 * ~/.docker/config.json), member "auths". Credential helpers are programs and are not run. */
#ifndef HULL_CLI_CREDENTIALS_H
#define HULL_CLI_CREDENTIALS_H

#include <stddef.h>

struct error;

enum { CREDENTIALS_FILE_MAX = 1024 * 1024 };

/* The X-Registry-Auth header for a registry ("docker.io", "host:5000"): base64url of a JSON
 * AuthConfig; *ret is malloc'd, NULL when the file or the entry does not exist. */
int credentials_find(const char *domain, char **ret, struct error *err);

/* base64 (RFC 4648, section 4) of `text`, or with the alphabet of section 5. malloc'd. */
char *base64_encode(const void *data, size_t length, int url_safe);
/* Decodes section 4's alphabet into a NUL-terminated, malloc'd string; NULL when it is none. */
char *base64_decode(const char *text);

#endif
