/* Hot plug: giving a VM that was started as `pooled`, without disks and NIC, those of a container.
 *
 *     vm_plug(vm, &plug, plugged, data, err)
 *     ... plugged(vm, NULL or why not, data), from the loop, exactly once unless vm_free() comes
 *     first ...
 *
 * Afterwards the guest has what it would have had with the same `disks` and `nic` in its
 * vm_config: disks with the same numbers and names, the NIC with the same address. A VM is plugged
 * once: it serves one container. What fails half way leaves a VM that is good for nothing but
 * vm_kill().
 *
 * The VMM's answers are hostile and have VM_PLUG_TIMEOUT_MS each. */
#ifndef HULL_VM_PLUG_H
#define HULL_VM_PLUG_H

#include <stddef.h>

#include "vm/vm.h"

struct error;
struct vm_plugging;

enum { VM_PLUG_TIMEOUT_MS = 5000 };

struct vm_plug {
    const struct vm_disk *disks; /* as vm_config.disks; at most VM_DISKS_MAX */
    size_t n_disks;
    struct vm_nic nic;
};

typedef void vm_plugged_function(struct vm *vm, const struct error *error, void *data);

/* Opens the files and begins. `plug` and its texts may go afterwards. -EOPNOTSUPP for an engine
 * that has no hot plug, -EINVAL for a VM that was not started as `pooled`, -EALREADY the second
 * time; then `plugged` is not called. */
int vm_plug(struct vm *vm, const struct vm_plug *plug, vm_plugged_function *plugged, void *data,
            struct error *err);

/* --- for engines (struct vm_engine_ops) --- */

struct vm_plugging_disk {
    int fd; /* O_PATH */
    char *name;
    bool read_only;
};

/* One vm_plug() on its way: plain data for the engine's `plug`. */
struct vm_plugging {
    vm_plugged_function *plugged;
    void *data;
    struct vm_plugging_disk disks[VM_DISKS_MAX];
    size_t n_disks;
    char *nic_link; /* NULL: no NIC */
    char *nic_mac;  /* or NULL */
    unsigned nic_mtu;
    void *engine; /* the engine's own, which its `unplug` frees */
};

/* The engine's last word: NULL when all is there. Called once, from the loop. */
void vm_plug_done(struct vm *vm, const struct error *error);

/* For vm_free(). NULL is fine; returns NULL. */
struct vm_plugging *vm_plug_free(struct vm *vm);

#endif
