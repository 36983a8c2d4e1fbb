/* The capability sets of a program (capabilities(7)). */
#ifndef HULL_SANDBOX_CAPABILITIES_H
#define HULL_SANDBOX_CAPABILITIES_H

#include "spec/capability.h"
#include <stdbool.h>
#include <stdint.h>

struct error;
struct spec_capabilities;
struct spec_process;

/* Bounding set of the calling process. */
uint64_t capabilities_host(void);

/* The sets a program gets: those of `process`, less what `host` lacks. A missing capability is left
 * out with a line in *warnings when the whole set was asked for or `lenient` (--privileged), and is
 * otherwise ERROR_INVALID ("capability CAP_SYS_RESOURCE is not in this host's bounding set").
 * Inheritable and permitted must cover ambient, permitted must cover effective (ERROR_INVALID).
 * warnings may be NULL. */
int capabilities_check(const struct spec_process *process, uint64_t host, bool lenient,
                       struct spec_capabilities *ret, char ***warnings, struct error *err);

/* Before the user changes: reduces the bounding set. Wants CAP_SETPCAP. */
int capabilities_limit(const struct spec_capabilities *sets, struct error *err);
/* After it (with PR_SET_KEEPCAPS): effective, permitted, inheritable and ambient. */
int capabilities_set(const struct spec_capabilities *sets, struct error *err);

#endif
