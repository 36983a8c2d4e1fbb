/* The mounts of the runtime configuration, and what is hidden in them. All functions run in the
 * child's mount namespace before pivot_root: sources are the host's names, destinations are
 * resolved in root_fd, whose content is the image's and may be hostile. */
#ifndef HULL_SANDBOX_MOUNTS_H
#define HULL_SANDBOX_MOUNTS_H

#include <stdbool.h>

struct cgroup;
struct error;
struct spec_runtime;

/* cgroup may be NULL (no cgroups): mounts of type cgroup are passed over then. */
int mounts_apply(const struct spec_runtime *config, struct cgroup *cgroup, bool cgroup_namespace,
                 int root_fd, struct error *err);

/* maskedPaths, readonlyPaths, tmpfs mounts that are to be read-only in the end, and the root. */
int mounts_restrict(const struct spec_runtime *config, int root_fd, struct error *err);

/* mount(2) onto an O_PATH descriptor. */
int mounts_onto(int fd, const char *source, const char *type, unsigned long flags,
                const char *data);

#endif
