/* The PORTS column of ps. */
#ifndef HULL_CLI_PORTS_H
#define HULL_CLI_PORTS_H

#include <jansson.h>

enum { PORTS_MAX = 4096 };

/* From the "Ports" of a container in a list: "443-444/tcp, 0.0.0.0:8080->80/tcp". Ranges of
 * neighbours with the same number on both sides are joined. malloc'd; NULL when out of memory. */
char *ports_text(const json_t *ports);

#endif
