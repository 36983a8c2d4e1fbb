/* Hot plug with User-Mode Linux: vm_engine_ops.plug and .unplug (vm/plug.h). */
#ifndef HULL_VM_UML_PLUG_H
#define HULL_VM_UML_PLUG_H

struct error;
struct vm;
struct vm_plugging;

int uml_plug(struct vm *vm, struct vm_plugging *plugging, struct error *err);
void uml_unplug(struct vm_plugging *plugging);

#endif
