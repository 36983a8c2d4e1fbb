/* Owner, mode, times and extended attributes of an inode that is held by a descriptor, so that
 * nobody can put another in its place. Needs /proc. */
#ifndef HULL_SANDBOX_TREE_INODE_H
#define HULL_SANDBOX_TREE_INODE_H

#include <stdbool.h>
#include <sys/types.h>

struct error;
struct tar_entry;

/* Which extended attributes count.
 *
 * PUBLIC: what means the same in another container: user.*, security.capability, POSIX ACLs (as
 * the kernel's system.posix_acl_*). On the way in, what this file system or kernel does not know is
 * left out, but for a capability: without it a program would not work and nobody would know why.
 *
 * RAW: all of them, for a writable layer that moves to another file system; each must be taken.
 * Of overlay's own (trusted.overlay.*, Documentation/filesystems/overlayfs.rst) opaque, whiteout,
 * protattr and those of an overlay in the container are kept; those that name things of the old
 * place are left out: origin, impure, nlink, index, upper, uuid. Any other, above all redirect and
 * metacopy, with which a layer would not be whole in itself, is refused. security.evm signs the
 * inode and is left out. */
enum tree_xattrs { TREE_XATTRS_PUBLIC, TREE_XATTRS_RAW };

/* What a descriptor is: opened for input or output, or O_PATH. */
enum tree_fd { TREE_FD_OPEN, TREE_FD_PATH };

/* Adds the attributes to the entry. 0, -errno with err filled (the message names no file); -EXDEV
 * for an attribute of overlay that is refused. */
int tree_inode_read_xattrs(int fd, enum tree_fd kind, enum tree_xattrs which, struct tar_entry *ret,
                           struct error *err);

/* Opens the inode behind an O_PATH descriptor of a regular file for reading, with its access time
 * left alone where that is allowed. proc_fd: this process's /proc/self/fd, opened by it, which is
 * quicker for many files; or negative. Descriptor or -errno. */
int tree_inode_open_content(int proc_fd, int path_fd);

/* Gives the inode what the entry says: owner, then mode (chown(2) clears set-uid), then attributes
 * (chown(2) clears capabilities). `drop_acls`: with RAW, it was made by us and loses the ACLs that
 * it got from its directory. Times are for tree_inode_set_times(). The message names no file. */
int tree_inode_apply(int fd, enum tree_fd kind, const struct tar_entry *entry,
                     enum tree_xattrs which, bool drop_acls, struct error *err);

/* Modification time, and access time if the entry has one (else the same). 0 or -errno. */
int tree_inode_set_times(int fd, const struct tar_entry *entry);

/* Whether what is made in the directory gets ACLs from it: the one behind an O_PATH descriptor, or
 * one made from the entry. */
bool tree_inode_has_default_acl(int path_fd);
bool tree_inode_hands_down(const struct tar_entry *entry);

/* Whether it is an opaque directory of overlay. */
bool tree_inode_is_opaque(int fd, enum tree_fd kind);

#endif
