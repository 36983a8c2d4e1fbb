/* Shared by guest*.c. */
#ifndef HULL_SANDBOX_GUEST_INTERNAL_H
#define HULL_SANDBOX_GUEST_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;

/* The word after `name` ("hull.link=") in the kernel's command line; -ENOENT: it is not there. */
int guest_option(const char *name, char *value, size_t size, struct error *err);

/* mkdir (if missing) and mount(2). */
int guest_mount_checked(const char *source, const char *target, const char *type,
                        unsigned long flags, const char *options, struct error *err);

/* Waits until is_there() says so, asking again whenever the kernel finds or changes a device. */
int guest_wait_for(bool (*is_there)(void *data), void *data, const char *what, struct error *err);

/* Has the kernel look for a SCSI disk or PCI device that was plugged in meanwhile, in case that
 * nobody told it. */
void guest_scan_disk(int index);
void guest_scan_pci(void);

/* /dev/NAME of SCSI disk `index`, false while there is none. */
bool guest_find_scsi_disk(int index, char *path, size_t size);

/* Waits for the links that a create request's `interfaces` name by address. */
int guest_wait_links(const json_t *request, struct error *err);

/* Unmounts what guest_prepare() mounted. */
void guest_unmount_disks(void);

#endif
