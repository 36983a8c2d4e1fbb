/* /dev of a container: nodes, links and the console (config-linux.md#default-devices). */
#ifndef HULL_SANDBOX_DEVICES_H
#define HULL_SANDBOX_DEVICES_H

#include <stdbool.h>

struct error;
struct spec_runtime;

/* False when the configuration binds the host's /dev, which is left as it is. */
bool devices_wanted(const struct spec_runtime *config);

/* The six nodes of OCI, those of the configuration, and the links fd, stdin, stdout, stderr, core,
 * ptmx. In a user namespace, where nodes cannot be made, the host's are bound. Before pivot_root.
 */
int devices_make(const struct spec_runtime *config, int root_fd, struct error *err);

/* The container's own /dev/null, read and write, if it is that: what a container gets of the host's
 * node it could chmod. -errno otherwise. */
int devices_open_null(int root_fd);

/* A descriptor (O_PATH) of /dev/null on a read-only mount of its own, for a container that has
 * none: reading and writing work, changing the node does not. -errno. */
int devices_clone_null(void);

/* Binds the terminal onto /dev/console. Before pivot_root. */
int devices_bind_console(int root_fd, int terminal, struct error *err);

#endif
