/* Directories and files of the host in the VM: mounted once each, where only hull-init's own mount
 * namespace sees them; the container's bind mounts take from there. */
#ifndef HULL_SANDBOX_GUEST_SHARES_H
#define HULL_SANDBOX_GUEST_SHARES_H

#include <jansson.h>

struct error;

enum { GUEST_SHARES_MAX = 64 };

/* Share <index> of a request, a directory; a single file is the `file` in it. */
#define GUEST_SHARES_DIR "/run/hull/shares"
/* Socket <index> (agent_proxy.h). */
#define GUEST_SOCKETS_DIR "/run/hull/sockets"

/* Mounts `shares` of a request, [{"type", "source", "read_only"}] in the order of their index:
 *     hostfs     `source` is a directory of the User-Mode Linux process's file system
 *     virtiofs   `source` is the tag of a device, which has all shares in it, each in the directory
 *                of its index; what is read-only is so on the host
 * No member is success. What was mounted stays until the VM ends. */
int guest_shares_mount(const json_t *request, struct error *err);

#endif
