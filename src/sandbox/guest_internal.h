/* Shared by guest.c and guest_disks.c. */
#ifndef HULL_SANDBOX_GUEST_INTERNAL_H
#define HULL_SANDBOX_GUEST_INTERNAL_H

#include <stdbool.h>

struct error;

/* mkdir (if missing) and mount(2). */
int guest_mount_checked(const char *source, const char *target, const char *type,
                        unsigned long flags, const char *options, struct error *err);

/* Waits until is_there() says so, asking again whenever /dev changes. */
int guest_wait_for(bool (*is_there)(void *data), void *data, const char *what, struct error *err);

/* Unmounts what guest_prepare() mounted. */
void guest_unmount_disks(void);

#endif
