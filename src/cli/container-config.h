/* From the options of create and run to the body of POST /containers/create. */
#ifndef HULL_CLI_CONTAINER_CONFIG_H
#define HULL_CLI_CONTAINER_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

struct error;
struct options;

enum {
    CONFIG_FILE_MAX = 4 * 1024 * 1024, /* --env-file, --label-file, a seccomp profile */
    CONFIG_PORTS_MAX = 65536,          /* ports that one -p range may name */
};

/* `options` is of a table with the rows of container-options.h; its arguments are IMAGE [COMMAND
 * [ARG...]]. `detach`: nothing is attached. *ret is a new reference. Wrong values are -EINVAL in
 * docker's words. */
int container_config_build(const struct options *options, bool detach, json_t **ret,
                           struct error *err);

/* Environment from --env and --env-file: NAME alone takes the value from our environment. *ret is a
 * JSON array (new reference), NULL when there is none. */
int container_config_env(const struct options *options, json_t **ret, struct error *err);

/* Parsers of single values, each into `host` (the HostConfig) and `config`. */
int container_config_port(const char *text, json_t *config, json_t *host, struct error *err);
int container_config_volume(const char *text, json_t *config, json_t *host, struct error *err);
int container_config_mount(const char *text, json_t *config, json_t *host, struct error *err);
int container_config_device(const char *text, json_t *host, struct error *err);
int container_config_ulimit(const char *text, json_t *host, struct error *err);

/* The array or object member `name` of `object`, made when it is not there; borrowed, NULL when
 * out of memory. */
json_t *container_config_array(json_t *object, const char *name);
json_t *container_config_object(json_t *object, const char *name);

/* Reads "no", "always", "unless-stopped", "on-failure[:N]" into host's RestartPolicy. */
int container_config_restart(const char *text, json_t *host, struct error *err);

#endif
