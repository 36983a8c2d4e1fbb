/* Names inside a container's root as docker's file operations take them. */
#ifndef HULL_SANDBOX_TREE_PATH_H
#define HULL_SANDBOX_TREE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    TREE_DEPTH_MAX = 8192,      /* directories below each other */
    TREE_NAME_MAX = 256 * 1024, /* bytes of a path */
};

/* Absolute and lexically clean (Go's filepath.Join("/", path)), but a "/" or "/." at the end is
 * kept, as it says that a directory is meant and that a link is to be followed. malloc'd; NULL when
 * out of memory. */
char *tree_path_clean(const char *path);

/* The name that a clean path has in an archive: Go's filepath.Base(). malloc'd; NULL when out of
 * memory. */
char *tree_path_base(const char *clean);

/* A relative name from an archive: without "/" at its ends, "//" and "." (Go's filepath.Clean());
 * "" is the top itself. -EINVAL when ".." leads out of it, -ENAMETOOLONG and -ELOOP (too deep)
 * above the maxima. *ret malloc'd. */
int tree_path_clean_member(const char *name, char **ret);

/* Where `path` leads inside the root when all links, the last one too, are followed as text: clean
 * and absolute. What does not exist is no error (docker's FollowSymlinkInScope). -ELOOP,
 * -ENAMETOOLONG. The answer may be old when it arrives: it is for people, and safe to use only with
 * functions that resolve again inside the root. *ret malloc'd. */
int tree_path_follow(int root_fd, const char *path, char **ret);

/* Opens (openat2(2), CLOEXEC) what a path of any length names inside the root; `follow`: also a
 * link that the path ends in. A path longer than the kernel takes at once may go through links only
 * in its first 4 KiB. Descriptor or -errno. */
int tree_path_open(int root_fd, const char *path, bool follow, int flags);

/* As tree_path_open() of the directory above a member's clean name, *ret_base pointing to the last
 * component in `path`. `make`: missing directories are made, mode 0755, as root's. */
int tree_path_open_parent(int root_fd, const char *path, bool make, const char **ret_base);

#endif
