/* What a container changed: `docker diff`, from the layers of its overlay.
 *
 * As docker (moby pkg/archive, changes.go) it compares what the upper layer has with what is seen
 * of the lower ones: type, mode, owner, device and capability; of all but directories also size and
 * modification time. A file that was copied up and not changed is no change. What is below a
 * directory that is gone is not listed; the directories above a change are, as modified. An opaque
 * directory is the old one with what it lacks deleted. */
#ifndef HULL_SANDBOX_TREE_DIFF_H
#define HULL_SANDBOX_TREE_DIFF_H

#include <stddef.h>

struct error;

enum {
    TREE_CHANGES_MAX = 4 * 1000 * 1000,
    TREE_CHANGES_BYTES_MAX = 256 * 1024 * 1024, /* of their paths */
};

/* The numbers of docker's API. */
enum tree_change_kind {
    TREE_MODIFIED = 0,
    TREE_ADDED = 1,
    TREE_DELETED = 2,
};

struct tree_change {
    char *path; /* absolute, bytes */
    enum tree_change_kind kind;
};

/* Owns the changes, which are sorted by the bytes of their paths. Zeroed is empty. */
struct tree_changes {
    struct tree_change *items;
    size_t n;
    size_t bytes;
};

void tree_changes_release(struct tree_changes *changes);

/* upper_fd, and the n lower layers, topmost first, are borrowed; O_PATH will do. `hidden` (NULL:
 * none): absolute paths that the engine made itself, as mount points, and are not the container's
 * changes, nor what is below them. -E2BIG above the maxima. */
int tree_diff(int upper_fd, const int *lower_fds, size_t n, char *const *hidden,
              struct tree_changes *ret, struct error *err);

#endif
