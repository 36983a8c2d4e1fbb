/* Which of a container's mount points a utility VM must be given by the host: bind mounts and
 * volumes. A tmpfs is the guest's own. */
#ifndef HULL_ENGINE_SHARES_H
#define HULL_ENGINE_SHARES_H

#include <jansson.h>
#include <stdbool.h>

struct compute_job;
struct container;
struct error;

/* Is it a container in a VM whose engine cannot share files with its guest? Those that cannot:
 * nothing that somebody asked for is left out in silence. */
bool engine_shares_nothing(const struct container *container);
/* ERROR_INVALID if it has a mount point that needs a share, or `asked` (volumes of the request, an
 * object by path, or NULL) names one. */
int engine_shares_refuse(const struct container *container, const json_t *points,
                         const json_t *asked, struct error *err);
/* ERROR_INVALID for more mount points than a VM takes. Any container; success in process isolation.
 */
int engine_shares_check(const struct container *container, const json_t *points, struct error *err);

/* The mount points as the job's shares. */
int engine_shares_add(const struct container *container, struct compute_job *job,
                      struct error *err);

#endif
