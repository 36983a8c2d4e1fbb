/* What several commands need to know of, or do to, a container. */
#ifndef HULL_CLI_CONTAINER_H
#define HULL_CLI_CONTAINER_H

#include <jansson.h>
#include <stdbool.h>

struct cli;
struct error;
struct options;

/* Borrowed from the document. */
struct container_view {
    const char *id;
    bool tty;
    bool open_stdin;
    bool is_running;
    bool is_paused;
    bool is_restarting;
    bool auto_remove;
};

/* GET /containers/NAME/json. *ret_document is a new reference that `ret` points into. */
int container_inspect(struct cli *cli, const char *name, json_t **ret_document,
                      struct container_view *ret, struct error *err);

/* POST /containers/NAME/update; prints the warnings. Borrows `body`. */
int container_update(struct cli *cli, const char *name, json_t *body, struct error *err);

/* Runs `act` for each argument; prints the name when it went well and the error when not. Returns
 * the exit status: 0, or 1 when one failed. */
int container_each(struct cli *cli, const struct options *options,
                   int (*act)(struct cli *cli, const struct options *options, const char *name,
                              struct error *err));

#endif
