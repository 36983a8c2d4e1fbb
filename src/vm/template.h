/* Templates: a VM that was booted once and saved, from which others are made in the time that it
 * takes to map its memory.
 *
 *     vm_template_make(&config, memory, state, stop, err)   boots and saves; blocks
 *     vm_start() with vm_config.template                    as often as wanted
 *
 * The guest is saved by itself, without disks, NIC and anything of a container, at the place where
 * hull-init waits before its first word (wire/wake.h). A VM that is made from it is told to go on
 * there, with random numbers and a clock of its own, and then is as any VM that was started as
 * `pooled`: it says its hello and is given disks and NIC by vm_plug().
 *
 * The memory is a memfd. Once it is made it must be sealed (vm_template_seal()), which is verified
 * before a VM is made from it: VMs map it privately, so they share what none of them has written
 * to, and none, whatever becomes of its VMM, can change what others are made from. */
#ifndef HULL_VM_TEMPLATE_H
#define HULL_VM_TEMPLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/vm.h"

struct error;

enum { VM_TEMPLATE_TIMEOUT_MS = 120 * 1000 }; /* to boot, with low priority, and be saved */

/* Can this engine's VMs be made from templates? */
bool vm_has_templates(enum vm_engine engine);

/* All that a template depends on, as text (malloc'd, NULL: out of memory): the identity of QEMU,
 * kernel and initramfs (path, inode, size, time), the host's kernel and processor, and the command
 * line. The same text: the same template. Looks at engine, files, memory and cpus. */
char *vm_template_identity(const struct vm_config *config);

/* A memfd of the right size for the guest's memory. */
int vm_template_new_memory(const struct vm_config *config, struct error *err);

/* Boots the guest on a loop of this thread's own, and saves it to `memory` and `state` (an empty
 * file open for writing), both borrowed. `config` is as for vm_start(), with neither pooled nor
 * template nor anything of a container. `stop` (or -EBADF): a descriptor that is borrowed; when it
 * becomes readable the result is -ECANCELED. */
int vm_template_make(const struct vm_config *config, int memory, int state, int stop,
                     struct error *err);

/* Makes the memory unchangeable, for whoever has a descriptor of it and for ever. */
int vm_template_seal(int memory, struct error *err);
/* 0, or -EINVAL if it could still be changed, or is not `size` bytes long (0: any). */
int vm_template_check_memory(int memory, uint64_t size, struct error *err);

/* --- for vm.c --- */

/* Asks the VMM to load the state. When the guest goes on, it is woken. What goes wrong ends the VM.
 */
int vm_template_wake(struct vm *vm, struct error *err);

#endif
