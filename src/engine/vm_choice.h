/* Which VM engine new hyperv containers get. Private to engine/. */
#ifndef HULL_ENGINE_VM_CHOICE_H
#define HULL_ENGINE_VM_CHOICE_H

#include <stddef.h>

#include "vm/probe.h"

struct engine;

/* The verdicts that are known already, without booting anything; at most VM_ENGINE_MAX. */
size_t engine_vm_verdicts(struct engine *engine, struct vm_verdict *ret);

#endif
