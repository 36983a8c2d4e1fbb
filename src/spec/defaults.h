/* Docker's defaults, as data that the engine starts from (moby 28: daemon/pkg/oci/defaults.go,
 * oci/caps, profiles/seccomp). Everything is written into a struct spec_runtime; the sandbox itself
 * has no defaults of its own. */
#ifndef HULL_SPEC_DEFAULTS_H
#define HULL_SPEC_DEFAULTS_H

#include <stdbool.h>
#include <stdint.h>

struct spec_resources;
struct spec_runtime;
struct spec_seccomp;

/* The 14 capabilities of an ordinary container. */
uint64_t spec_default_capabilities(void);

/* Sets bounding, effective and permitted to `mask`, inheritable and ambient to nothing, as docker
 * does since CVE-2022-24769. */
void spec_set_capabilities(struct spec_runtime *config, uint64_t mask);

/* Everything docker puts into the configuration of an ordinary container: namespaces (mount, pid,
 * network, ipc, uts, and cgroup on cgroup v2 as docker's default is "private" there and "host" on
 * v1), mounts, device rules, masked and read-only paths, capabilities. shm_size in bytes, 0: 64
 * MiB. Seccomp is not part of it, because it depends on the final capabilities. 0 or -ENOMEM. */
int spec_defaults_apply(struct spec_runtime *config, uint64_t shm_size, bool cgroup_namespace);

/* The --privileged variant, on a configuration with the defaults applied: all capabilities, all
 * devices allowed, /sys and cgroup writable, nothing masked or read-only, no seccomp, and the
 * annotation SPEC_ANNOTATION_PRIVILEGED. The host's device nodes are not added here:
 * spec_defaults_add_host_devices() does that. */
int spec_defaults_apply_privileged(struct spec_runtime *config);

/* Adds every device node below /dev of this host but for those that are the container's own
 * (pts, shm, mqueue, console, fd links). 0 or -errno. */
int spec_defaults_add_host_devices(struct spec_runtime *config);

/* The device nodes that every container gets from the sandbox (null, zero, full, random, urandom,
 * tty) need no entry in linux.devices. The rules of the device cgroup do: deny all, mknod of
 * anything, and the usual six, console, ptmx, pts and tun not included, as docker. */
int spec_default_device_rules(struct spec_resources *resources);

/* docker 28's lists, NULL-terminated, static. */
const char *const *spec_default_masked_paths(void);
const char *const *spec_default_readonly_paths(void);

/* Docker's default seccomp profile for a process with these capabilities (bounding set) on this
 * machine's architecture and kernel; free with spec_seccomp_free(). NULL when out of memory. */
struct spec_seccomp *spec_default_seccomp(uint64_t capabilities);

#endif
