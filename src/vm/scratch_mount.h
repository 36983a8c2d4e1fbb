/* Mounting a writable layer's disk on the host, while no VM has had it: mkfs made it, so there is
 * nothing in it that a guest could have written. It is how a layer that the host has gets into a
 * disk as fast as the host copies files (compute/worker_convert.c). */
#ifndef HULL_VM_SCRATCH_MOUNT_H
#define HULL_VM_SCRATCH_MOUNT_H

#include <stdbool.h>

struct error;

/* Whether this host has what it takes, as far as can be seen without doing it. */
bool vm_scratch_can_mount(void);

/* Mounts `image` on the existing directory `target`, by a loop device that goes with the mount.
 * The caller has a mount namespace of its own and so the mount ends with it. An error where the
 * host has no loop devices or no ext4. */
int vm_scratch_mount(const char *image, const char *target, struct error *err);

/* Writes everything and unmounts. */
int vm_scratch_unmount(const char *target, struct error *err);

#endif
