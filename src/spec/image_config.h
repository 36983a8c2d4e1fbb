/* The image configuration document: OCI image-spec config.md and docker's superset of it
 * (Healthcheck, Shell, OnBuild, ...). The digest of its bytes is the id of the image. */
#ifndef HULL_SPEC_IMAGE_CONFIG_H
#define HULL_SPEC_IMAGE_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum {
    IMAGE_CONFIG_MAX = 4 * 1024 * 1024, /* bytes of a configuration document */
    IMAGE_CONFIG_LIST_MAX = 4096,       /* entries of Env, Cmd, history, ... */
    IMAGE_LAYERS_MAX = 125,             /* rootfs.diff_ids; as docker ("max depth exceeded") */
};

/* One build step. created is 0 when the document has none. */
struct image_history {
    int64_t created; /* nanoseconds since the epoch */
    char *created_by;
    char *author;
    char *comment;
    bool empty_layer;
};

/* What a container starts with: the member "config". A NULL text or vector is absent. */
struct image_defaults {
    char *user;
    char *working_dir;
    char *stop_signal;
    char **entrypoint;
    char **cmd;
    char **env; /* NAME=VALUE */
    char **shell;
    char **on_build;
    char **exposed_ports; /* "80/tcp" */
    char **volumes;       /* paths */
    json_t *labels;       /* object of strings, or NULL */
    json_t *healthcheck;  /* the document's object as it is, or NULL */
    bool args_escaped;
};

struct image_config {
    struct image_defaults defaults;
    char *architecture;
    char *os;
    char *variant;
    char *os_version;
    char *author;
    char *comment;
    char *docker_version;
    int64_t created;               /* nanoseconds since the epoch, 0 = not said */
    char **diff_ids;               /* "sha256:...", lowest layer first */
    struct image_history *history; /* oldest first */
    size_t n_history;
};

/* Reads and checks one document. ERROR_INVALID when it is not JSON of the right shape, a diff id is
 * no sha256 digest, or a maximum is passed. "os" and "architecture" may be absent (then "linux" and
 * ""). *ret is the caller's; image_config_free(). */
int image_config_parse(const char *text, size_t length, struct image_config **ret,
                       struct error *err);
struct image_config *image_config_free(struct image_config *config);

void image_defaults_release(struct image_defaults *defaults);

/* The member "config" in docker's form, for inspect and for new documents; NULL when out of
 * memory. Absent lists are left out, but for those that docker always prints. */
json_t *image_defaults_to_json(const struct image_defaults *defaults);

#endif
