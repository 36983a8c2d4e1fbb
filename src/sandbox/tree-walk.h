/* Visits everything below a directory that somebody may be changing.
 *
 * Theory of operation. Each inode is opened (O_PATH, no link followed, a single component below the
 * open directory that named it) before it is looked at, so that what is looked at is what is used,
 * and opening has no effect on it: a name that was a file may be a device by now. Directories are
 * read as a whole and sorted, so that the order is the same every time: a directory before what is
 * in it, names by their bytes.
 *
 * The depth is bounded by a number and not by the stack or by descriptors: the innermost
 * directories are held open; those further up are found again by "..", and must be the same as
 * they were, for somebody may have moved a directory while we were inside.
 *
 * A mount in the tree is told and, unless the caller prunes it, entered. */
#ifndef HULL_SANDBOX_TREE_WALK_H
#define HULL_SANDBOX_TREE_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct error;
struct tree_walk;

enum {
    TREE_HELD_MAX = 64,                 /* directories held open */
    TREE_NAMES_MAX = 128 * 1024 * 1024, /* bytes of names in the directories being walked */
};

struct tree_node {
    const char *path; /* below the top, "" for the top */
    int fd;           /* O_PATH; both are the walk's, until its next call */
    size_t depth;     /* 0: the top */
    bool is_mount;    /* the root of another mount than its directory's */
    struct statx st;
};

/* Of what `top_fd` (borrowed, any inode, O_PATH) is. */
int tree_walk_new(int top_fd, struct tree_walk **ret, struct error *err);
struct tree_walk *tree_walk_free(struct tree_walk *walk);
void tree_walk_cleanup(struct tree_walk **walk); /* for CLEANUP() */

/* The next inode, the top first: 1, 0 when all were visited, -errno. Names that are gone since
 * their directory was read are left out. */
int tree_walk_next(struct tree_walk *walk, struct tree_node *ret, struct error *err);

/* Leaves out what is below the directory that was just visited. */
void tree_walk_prune(struct tree_walk *walk);

/* statx(2) of an open inode with what a node needs. 0 or -errno. */
int tree_walk_stat(int fd, struct statx *ret);

#endif
