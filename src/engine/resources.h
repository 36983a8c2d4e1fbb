/* Limits and the restart policy: the part of HostConfig that can be changed later. Private to
 * engine/. */
#ifndef HULL_ENGINE_RESOURCES_H
#define HULL_ENGINE_RESOURCES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "compute/job.h"

struct error;
struct spec_resources;

/* moby verifyPlatformContainerResources: checks a create request's HostConfig, or (`update`) the
 * body of an update, in docker's words. Completes what docker completes, takes away what cannot be
 * had and appends a warning. */
int engine_resources_check(json_t *host, enum compute_isolation isolation, bool update,
                           char ***warnings, struct error *err);
/* The memory that a utility VM needs at least. */
int engine_resources_check_vm(uint64_t memory, struct error *err);
int engine_restart_policy_check(const json_t *host, bool auto_remove, struct error *err);

/* Fills *resources, which the caller zeroed and releases. */
int engine_resources_build(const json_t *host, struct spec_resources *resources, struct error *err);
/* In a utility VM nothing may be asked of the guest that only makes sense on the host: processors,
 * memory nodes and disks are the host's, and swap is not there. */
void engine_resources_trim(struct spec_resources *resources);
/* Processors in 1e-9, by --cpus or by quota and period; 0: no limit. */
int64_t engine_resources_nano_cpus(const json_t *host);

#endif
