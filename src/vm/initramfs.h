/* The utility VM's initramfs: an uncompressed cpio (newc) with hull-init as /init, the directories
 * it mounts on, /dev/console, and for QEMU with Debian's kernel the modules it needs in load order.
 */
#ifndef HULL_VM_INITRAMFS_H
#define HULL_VM_INITRAMFS_H

struct error;

/* Writes the archive to `path` atomically, unless it is there and made of the same bytes.
 * `modules`: a directory with modules.list, file names one a line in load order, and those files
 * beside it or in its folder `modules` (as kernel/cloud leaves them); or NULL. In the guest they
 * are /modules/modules.list and /modules/NAME. Format:
 * Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. */
int vm_initramfs_write(const char *path, const char *init_program, const char *modules,
                       struct error *err);

#endif
