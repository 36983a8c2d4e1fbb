/* Looks at a file that is meant to be a User-Mode Linux kernel, to say what a failed boot does not.
 */
#ifndef HULL_VM_UML_KERNEL_H
#define HULL_VM_UML_KERNEL_H

/* What is wrong with the kernel at `path`, in words that name it and what to do; malloc'd. NULL if
 * nothing is seen to be: a program of this machine, a Linux for User-Mode, with hull's patches.
 * Also when it cannot be looked at. */
char *vm_uml_kernel_fault(const char *path);

#endif
