/* Shares: directories and files of the host that a User-Mode Linux guest mounts (hostfs).
 *
 * A share is made from a descriptor that its owner has opened already, so that no name is looked up
 * a second time: a detached mount of exactly that file or directory, without what is mounted below
 * it (open_tree(2)), mapped to the VM's ids (mount_setattr(2), MOUNT_ATTR_IDMAP: what belongs to
 * user 1000 on the disk belongs to user 1000 of the VM, and a file that the VM makes belongs to
 * users below 65536 on the disk), attached in the jail as
 *
 *     /shares/<index>           a directory
 *     /shares/<index>/file      a single file: hostfs mounts directories only, so the guest mounts
 *                               /shares/<index> somewhere private and binds `file` from there
 *     /disks/<index>            a file or block device that is to be a disk (`ubdN=/disks/<index>`)
 *
 * at start, or later into the living jail. The index is the caller's; no text of a user is ever
 * part of a name in the jail. A guest can name all that is below its root, shares of other
 * containers included, so a VM has shares of one container only. */
#ifndef HULL_VM_SHARE_H
#define HULL_VM_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct error;

enum { VM_SHARES_MAX = 64 };

enum vm_share_kind { VM_SHARE_DIRECTORY, VM_SHARE_FILE, VM_SHARE_DISK };

struct vm_share {
    int fd;           /* O_PATH is enough; borrowed */
    const char *name; /* for messages: what the user called it */
    bool read_only;
};

/* Makes the detached mount of a share. `kind` is found out: a directory, or a file of any other
 * type but a symbolic link. Returns a descriptor (CLOEXEC; closing it undoes the mount), or -errno:
 * -EOPNOTSUPP when the file system has no id-mapped mounts (the message names both), -EINVAL for a
 * symbolic link. */
int vm_share_mount(const struct vm_share *share, int user_namespace, enum vm_share_kind *ret_kind,
                   struct error *err);

/* Name in the jail, of the directory and of what is mounted, without the leading slash. */
void vm_share_path(enum vm_share_kind kind, unsigned index, char *path, char *target, size_t size);

/* Attaches a mount in the jail of the process `pidfd`, which vm_jail_spawn() started with `files`:
 * a child of ours goes there. Borrows `mount`, which is used up. -EEXIST: the index is taken. */
int vm_share_attach(int pidfd, int mount, enum vm_share_kind kind, unsigned index,
                    struct error *err);

/* The same for what is mounted on the host below the directory of a share that is attached already:
 * `path` is relative to that, and what is mounted there is covered. */
int vm_share_attach_below(int pidfd, int mount, unsigned index, const char *path,
                          struct error *err);
/* Puts something empty and read-only there instead, which belongs to `owner`: for what cannot be
 * shared, so that the guest does not see what is below it on the host's disk either. */
int vm_share_cover_below(int pidfd, unsigned index, const char *path, uid_t owner,
                         struct error *err);

#endif
