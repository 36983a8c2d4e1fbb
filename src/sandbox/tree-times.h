/* Times of directories, which change with each name made in them and are set when all is done. */
#ifndef HULL_SANDBOX_TREE_TIMES_H
#define HULL_SANDBOX_TREE_TIMES_H

#include "base/buffer.h"

struct error;
struct tar_entry;

enum { TREE_TIMES_MAX = 128 * 1024 * 1024 }; /* bytes of directories' names and times */

struct tree_times {
    struct buffer records;
};

#define TREE_TIMES_INIT                         \
    {                                           \
        .records = BUFFER_INIT(TREE_TIMES_MAX), \
    }

void tree_times_release(struct tree_times *times);

/* Remembers the entry's times for the directory `path` of the root. -ENOMEM; -E2BIG. */
int tree_times_add(struct tree_times *times, const char *path, const struct tar_entry *entry);

/* Sets them. A directory that is gone or no directory any more is left out. */
int tree_times_apply(const struct tree_times *times, int root_fd, struct error *err);

#endif
