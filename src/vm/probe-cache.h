/* Remembered verdicts of the probe: a JSON file
 *     {"version": 1, "engines": {"uml": {"key": "...", "works": true, "boot_ms": 31, "reason":
 * ""}}} in which `key` is all that the verdict depends on, as text. */
#ifndef HULL_VM_PROBE_CACHE_H
#define HULL_VM_PROBE_CACHE_H

#include <stdbool.h>

struct error;
struct vm_probe_config;
struct vm_verdict;
struct vm_engine_ops;

/* malloc'd: identity (path, device, inode, size, times) of the engine's files, release and boot id
 * of the host's kernel, and of /dev/kvm where the engine uses it. NULL when out of memory. */
char *vm_probe_key(const struct vm_probe_config *config, const struct vm_engine_ops *ops);

/* True if a verdict with this key is there. A file that makes no sense holds none. */
bool vm_probe_cache_find(const char *path, const char *engine, const char *key,
                         struct vm_verdict *ret);

/* Replaces the engine's verdict, keeps the others'. 0 or -errno. */
int vm_probe_cache_store(const char *path, const char *engine, const char *key,
                         const struct vm_verdict *verdict, struct error *err);

#endif
