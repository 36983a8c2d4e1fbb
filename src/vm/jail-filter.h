/* Which system calls a VMM, or its file server, may do: a seccomp(2) filter, an allow-list for each
 * kind.
 *
 * A call that is not on the list does not exist (ENOSYS, so that a C library that tries a new call
 * goes on with the old one); a call that is there with arguments that are not (a socket of another
 * family than AF_UNIX, clone(2) of a namespace, ...) gives EPERM. It is not the answer KILL, since
 * under `seccomp=on` the system calls of the guest's programs meet this filter before User-Mode
 * Linux's own, whose answer TRAP wins over an errno but not over KILL. Calls of another
 * architecture (int $0x80) kill: no VMM does any, and a filter that looked at their numbers would
 * be wrong about all of them. */
#ifndef HULL_VM_JAIL_FILTER_H
#define HULL_VM_JAIL_FILTER_H

#include <stdbool.h>
#include <stddef.h>

struct sock_filter;

enum vm_jail_filter {
    VM_JAIL_FILTER_UML,
    VM_JAIL_FILTER_QEMU,
    VM_JAIL_FILTER_FILE_SERVER, /* virtiofsd */
    VM_JAIL_FILTER_MAX
};

enum { VM_JAIL_FILTER_SIZE = 1024 }; /* instructions, at most */

/* Writes the program to `ret`, which has room for VM_JAIL_FILTER_SIZE instructions; returns their
 * number. `files`: also the calls that change a directory tree, for shares. Takes some 20 us. */
size_t vm_jail_filter_build(enum vm_jail_filter kind, bool files, struct sock_filter *ret);

#endif
