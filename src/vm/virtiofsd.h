/* virtiofsd, the program that serves a QEMU guest files of the host (virtio-fs over vhost-user).
 * There are two of that name: the one in C came with QEMU up to 7.2 (Debian 12: package
 * qemu-system-common, /usr/lib/qemu/virtiofsd), the one in Rust took its place (Debian 13: package
 * virtiofsd, /usr/libexec/virtiofsd, to which the other path is a link there). */
#ifndef HULL_VM_VIRTIOFSD_H
#define HULL_VM_VIRTIOFSD_H

struct error;
struct vm_files;

/* 0, or an error that names the package to install (ERROR_UNAVAILABLE). */
int virtiofsd_check(const struct vm_files *files, struct error *err);

/* The command line to serve `directory` of its file system to whoever has connected to the
 * listening socket `fd`. *ret_argv is a new vector. -ENOMEM. */
int virtiofsd_command(const struct vm_files *files, const char *directory, int fd, char ***ret_argv,
                      struct error *err);

#endif
