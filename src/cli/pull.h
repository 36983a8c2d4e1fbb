/* Pulling an image through the engine, for `pull` and for `run` and `create` of a missing one. */
#ifndef HULL_CLI_PULL_H
#define HULL_CLI_PULL_H

#include <stdio.h>

struct client;
struct error;

/* Pulls what `text` names; progress to `out`, NULL for none. The credentials that docker's own
 * configuration file has for the registry are passed on. platform may be NULL. */
int pull_image(struct client *client, const char *text, const char *platform, FILE *out,
               struct error *err);

#endif
