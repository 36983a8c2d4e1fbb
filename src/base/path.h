/* Paths: joining, making, removing, and resolving names that a stranger chose. */
#ifndef HULL_BASE_PATH_H
#define HULL_BASE_PATH_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

/* malloc'd "a/b" with exactly one slash between; when one of them is empty, the other. NULL when
 * out of memory. */
char *path_join(const char *a, const char *b);

/* mkdir -p: all missing components get exactly `mode`, whatever the umask; those that exist keep
 * theirs. For paths of the host: links are followed. 0 or -errno. */
int path_make_dirs(const char *path, mode_t mode, struct error *err);

/* rm -rf below dirfd, never following a symbolic link and never crossing into another mount (a
 * mount point, `path` itself or found inside, gives -EBUSY and is left alone; what was removed
 * before it stays removed). Any depth. A name that does not exist is success; a file or link is
 * removed. -EINVAL for a path whose last component is "", "." or "..". */
int path_remove_tree(int dirfd, const char *path, struct error *err);

/* Opens `path` as if `root_fd` were "/": symbolic links, "..", absolute links stay inside
 * (openat2(2) RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS); "" is the root. Descriptor (CLOEXEC added)
 * or -errno; -EAGAIN when somebody keeps renaming things on the way. */
int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode);

/* As path_open_in_root() for the parent of `path`, opened O_PATH, created as needed with mode 0755
 * and our own owner when `make_dirs`; *ret_base is the last component, pointing into `path`.
 * -EINVAL for a path whose last component is "", "." or "..". */
int path_open_parent_in_root(int root_fd, const char *path, bool make_dirs, const char **ret_base);

/* Creates directory `path` (and parents, all with exactly `mode`) inside the root; opens it O_PATH.
 * Links are followed inside the root, those to nothing have their target made. Descriptor or
 * -errno: -ENOTDIR, -ELOOP, -ENAMETOOLONG, ... */
int path_make_dirs_in_root(int root_fd, const char *path, mode_t mode);

/* openat2(2) with any resolve flags; CLOEXEC is added, `mode` dropped where nothing can be created.
 * -ENOSYS where the kernel lacks it (< 5.6). */
int path_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve);

bool path_is_absolute(const char *path);
/* Lexically normal and absolute: no "//", "." or ".." parts. malloc'd; NULL when out of memory. */
char *path_normalize(const char *path);

#endif
