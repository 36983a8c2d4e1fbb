/* The root file system of a container: the overlay on the host, names inside it, pivot_root. */
#ifndef HULL_SANDBOX_ROOT_H
#define HULL_SANDBOX_ROOT_H

#include <stdbool.h>
#include <sys/types.h>

struct error;
struct sandbox_root;

enum {
    ROOT_LOWER_MAX = 500, /* the kernel's own, OVL_MAX_STACK */
};

/* Mounts the overlay on root->target in the caller's mount namespace, private. Nothing when there
 * is no `lower`. A single lower layer without upper is bound read-only, as overlay wants two. */
int root_mount(const struct sandbox_root *root, struct error *err);
/* Undoes it; not mounted is success. The kernel writes the whole file system below `upper` to disk
 * when an overlay ends, which takes as long as the host has dirty data: with `background` the mount
 * is gone from sight on return and a process of its own waits for the rest. */
int root_unmount(const struct sandbox_root *root, bool background, struct error *err);

/* Options text of mount(2) for an overlay with these paths: ',', ':' and '\' escaped. NULL when out
 * of memory. lower is relative to the directory that mount(2) is called in. */
char *root_overlay_options(char *const *lower, const char *upper, const char *work);

/* Child, in its own mount namespace: sets the propagation of everything, makes target a mount of
 * this namespace if it is none (`inherited`: in a new user namespace mounts of before are locked),
 * and returns it as O_PATH descriptor. */
int root_open(const struct sandbox_root *root, const char *propagation, bool inherited,
              struct error *err);

/* A directory, or an empty file, in the root at `path`, which may exist; missing parents are made.
 * All links, dangling ones too, are resolved inside the root. O_PATH descriptor or -errno. */
int root_make_directory(int root_fd, const char *path);
int root_make_file(int root_fd, const char *path);

/* Child: the root becomes "/", the old one is unmounted, the working directory is "/". */
int root_pivot(int root_fd, const char *propagation, struct error *err);

/* MS_* of "shared", "rslave", ...; 0 when unknown. */
unsigned long root_propagation_flags(const char *name);

#endif
