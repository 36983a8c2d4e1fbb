/* The file server of a VM of QEMU: a process beside the VMM that has the VM's shares (vm/share.h)
 * in its jail, and serves them to the guest by virtio-fs. The VMM itself has none of them and no
 * right to any.
 *
 * For vm.c. The VM and its file server end together: without its server a guest would wait for
 * ever for its files. */
#ifndef HULL_VM_FILE_SERVER_H
#define HULL_VM_FILE_SERVER_H

struct error;
struct file_server;
struct process;
struct vm;
struct vm_config;

#define FILE_SERVER_OVERHEAD (96ULL * 1024 * 1024) /* bytes of memory that it may use */

/* Starts it, jailed in the VM's cgroup, with the configuration's shares, and sets vm->server.
 * `console` (borrowed) takes what it says. *ret_socket: the socket through which the VMM is to
 * speak to it. ERROR_UNAVAILABLE if there is no such program. */
int file_server_start(struct vm *vm, const struct vm_config *config, int console, int *ret_socket,
                      struct error *err);

/* Its process, which is in the jail of the shares. */
const struct process *file_server_process(const struct file_server *server);

/* Kills and waits for it. NULL is fine. Returns NULL. */
struct file_server *file_server_free(struct file_server *server);

#endif
