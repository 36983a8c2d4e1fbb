/* linux.sysctl of the configuration: kernel parameters that belong to a namespace. */
#ifndef HULL_SANDBOX_SYSCTL_H
#define HULL_SANDBOX_SYSCTL_H

struct error;

/* ERROR_INVALID for a parameter that would change the host because its namespace (CLONE_NEW* bits
 * of `namespaces`) is not the container's own: `sysctl "x" is not in a separate kernel namespace`.
 */
int sysctl_check(char *const *sysctl, unsigned namespaces, struct error *err);

/* Child: writes them through the host's /proc, whose /proc/sys shows the caller's namespaces. */
int sysctl_apply(char *const *sysctl, struct error *err);

#endif
