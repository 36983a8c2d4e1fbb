/* The `filters` parameter of lists: --filter NAME=VALUE, several per name. */
#ifndef HULL_CLI_FILTERS_H
#define HULL_CLI_FILTERS_H

#include <jansson.h>

struct error;
struct query;

/* Adds to `filters` (an object, name to object of value to true, as docker's client sends). */
int filters_add(json_t *filters, const char *name, const char *value, struct error *err);
/* Each "name=value" of a list option; docker's words for one without '='. */
int filters_add_list(json_t *filters, char *const *list, struct error *err);
/* Adds filters=JSON to the query unless there are none. */
int filters_to_query(const json_t *filters, struct query *query, struct error *err);

#endif
