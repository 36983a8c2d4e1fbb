/* Which of a container's mount points a utility VM must be given by the host: bind mounts and
 * volumes. A tmpfs is the guest's own. */
#ifndef HULL_ENGINE_SHARES_H
#define HULL_ENGINE_SHARES_H

#include <jansson.h>

struct compute_job;
struct container;
struct error;

/* ERROR_INVALID for more mount points than a VM takes, ERROR_UNAVAILABLE if the host lacks what its
 * engine needs to be given any: nothing is left out in silence. Any container; success in process
 * isolation. */
int engine_shares_check(const struct container *container, const json_t *points, struct error *err);

/* The mount points as the job's shares. */
int engine_shares_add(const struct container *container, struct compute_job *job,
                      struct error *err);

#endif
