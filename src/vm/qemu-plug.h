/* Hot plug with QEMU: vm_engine_ops.plug and .unplug (vm/plug.h). */
#ifndef HULL_VM_QEMU_PLUG_H
#define HULL_VM_QEMU_PLUG_H

struct error;
struct vm;
struct vm_plugging;

/* What the command line of a `pooled` machine calls the SCSI controller that takes its disks, and
 * the PCI Express port that takes its NIC. */
#define QEMU_DISKS "disks"
#define QEMU_PORT "nic-port"

int qemu_plug(struct vm *vm, struct vm_plugging *plugging, struct error *err);
void qemu_unplug(struct vm_plugging *plugging);

#endif
