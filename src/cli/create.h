/* Creating a container, for `create` and `run`: pull policy, warnings, --cidfile. */
#ifndef HULL_CLI_CREATE_H
#define HULL_CLI_CREATE_H

#include <jansson.h>

struct cli;
struct error;
struct options;

/* `config` is from container_config_build(). *ret_id is malloc'd. */
int create_container(struct cli *cli, const struct options *options, const json_t *config,
                     char **ret_id, struct error *err);

#endif
