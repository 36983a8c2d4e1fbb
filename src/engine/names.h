/* Names for containers that were given none: an adjective and a noun of the trade. */
#ifndef HULL_ENGINE_NAMES_H
#define HULL_ENGINE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* "steady_anchor"; with `number` a digit more, for when the plain ones are taken. */
void container_random_name(char *name, size_t size, bool number);

#endif
