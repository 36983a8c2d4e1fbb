/* The device rules of a container as the cgroup is to enforce them. */
#ifndef HULL_SANDBOX_DEVICE_RULES_H
#define HULL_SANDBOX_DEVICE_RULES_H

#include <stddef.h>

struct error;
struct spec_device_rule;

enum { DEVICE_RULES_MAX = 512 };

/* From linux.resources.devices (config-linux.md#allowed-device-list) a list, the caller's to free,
 * of which the last rule that names a device and an access decides about that access:
 *   - it begins with an 'a', which allows or denies everything; one that denies is put there when
 *     the configuration has none, as runc starts from nothing;
 *   - all other rules are 'b' or 'c'; one without a type but with numbers, or that allows only some
 *     accesses, becomes two (to the kernel's "a" numbers and accesses do not matter: it would allow
 *     everything);
 *   - the default devices that every container has (runtime.md: null, zero, ..., pts, and mknod)
 * are allowed at the end, unless they are anyway, as runc and crun do. ERROR_INVALID for a type
 * that no cgroup knows ('p') and for more than DEVICE_RULES_MAX. */
int device_rules_effective(const struct spec_device_rule *rules, size_t n,
                           struct spec_device_rule **ret, size_t *ret_n, struct error *err);

/* cgroup v1 forgets a rule that takes back a part of a wider one ("c *:* rwm", then not "c 1:3 w").
 * The first such rule of a list from above, or NULL. */
const struct spec_device_rule *device_rules_find_hole(const struct spec_device_rule *rules,
                                                      size_t n);

#endif
