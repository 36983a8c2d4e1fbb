/* Inodes with several names, by what they were called first. */
#ifndef HULL_SANDBOX_TREE_LINKS_H
#define HULL_SANDBOX_TREE_LINKS_H

#include <stddef.h>
#include <stdint.h>

struct statx;

enum { TREE_LINKS_MAX = 256 * 1024 * 1024 }; /* bytes */

struct tree_link;

/* Zeroed is empty. */
struct tree_links {
    struct tree_link *slots;
    size_t n;
    size_t capacity; /* a power of two, or 0 */
    size_t bytes;
};

void tree_links_release(struct tree_links *links);

/* The name that this inode had when it was given before: 1; or remembers `path` for it: 0. -ENOMEM;
 * -E2BIG above the maximum. *ret is the table's. */
int tree_links_find(struct tree_links *links, const struct statx *st, const char *path,
                    const char **ret);

#endif
