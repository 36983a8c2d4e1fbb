/* The lower layers of an overlay, read without mounting it
 * (Documentation/filesystems/overlayfs.rst: whiteouts, opaque directories). */
#ifndef HULL_SANDBOX_TREE_LOWER_H
#define HULL_SANDBOX_TREE_LOWER_H

#include <stddef.h>

struct buffer;

/* The directories, topmost first, that are merged into one. Owns its descriptors (O_PATH). Zeroed
 * is empty: the directory does not exist. */
struct tree_lower {
    int *fds;
    size_t n;
};

void tree_lower_release(struct tree_lower *lower);

/* Those that are merged at `path` ("" is the root) of the layers; replaces *ret. 0, also when there
 * is no such directory; -errno. */
int tree_lower_open(const int *layer_fds, size_t n, const char *path, struct tree_lower *ret);

/* Opens (O_PATH, links not followed) what is seen as `name` in the directory. Descriptor; -ENOENT,
 * also when a whiteout is there; -errno. */
int tree_lower_find(const struct tree_lower *lower, const char *name);

/* Appends the names that are seen in the directory, in no order, each with its NUL. 0 or -errno;
 * -EOVERFLOW when they pass the buffer's maximum. */
int tree_lower_list(const struct tree_lower *lower, struct buffer *ret);

#endif
