/* The container's view of its control groups: a mount of type "cgroup". */
#ifndef HULL_SANDBOX_CGROUP_MOUNT_H
#define HULL_SANDBOX_CGROUP_MOUNT_H

#include <stdbool.h>

struct cgroup;
struct error;
struct mount_options;

/* v2: cgroup2 on `destination`; without a cgroup namespace the container's own directory is bound
 * there. v1: a tmpfs with the container's own directory of each hierarchy. */
int cgroup_mount(struct cgroup *cgroup, bool has_namespace, const char *destination,
                 const struct mount_options *options, int root_fd, struct error *err);

#endif
