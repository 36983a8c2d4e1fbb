/* The options of one mount of the runtime configuration (config.md#mounts, mount(8)). */
#ifndef HULL_SANDBOX_MOUNT_OPTIONS_H
#define HULL_SANDBOX_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct spec_mount;

struct mount_options {
    unsigned long flags; /* MS_* for mount(2) */
    uint64_t set;        /* MOUNT_ATTR_* for mount_setattr(2) */
    uint64_t clear;
    uint64_t set_recursive; /* "rro", "rnosuid", ... */
    uint64_t clear_recursive;
    unsigned long propagation; /* MS_SHARED..., with MS_REC; 0: as it comes */
    bool bind;
    bool recursive; /* rbind */
    char *data;     /* the rest, for the file system; "" when there is none */
};

/* ret->data is the caller's to free. */
int mount_options_parse(const struct spec_mount *mount, struct mount_options *ret,
                        struct error *err);

#endif
