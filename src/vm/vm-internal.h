/* The inside of a VM, shared by vm.c and what is done to a running one (plug.c and the engines'
 * part of it). */
#ifndef HULL_VM_VM_INTERNAL_H
#define HULL_VM_VM_INTERNAL_H

#include <jansson.h>

#include "base/loop.h"
#include "base/process.h"
#include "vm/cgroup.h"
#include "vm/vm.h"

struct qmp;
struct vm_console;
struct vm_engine_ops;
struct vm_plugging;

struct vm {
    const struct vm_engine_ops *ops;
    struct loop *loop;
    struct vm_events events;
    uid_t uid;
    struct process process;
    struct loop_source process_source;
    struct vm_cgroup cgroup;
    struct vm_console *console;
    int console_fd;
    struct loop_source console_source;
    int link;
    int control;        /* until the QMP client owns it */
    int user_namespace; /* of a jail that takes shares later */
    struct qmp *qmp;
    /* Whoever else is to hear of QEMU's events (template.c); may free the VM. */
    void (*control_event)(struct vm *vm, const char *name, const json_t *payload, void *data);
    void *control_data;
    struct vm_plugging *plugging; /* vm/plug.h; once made it stays */
    int nic;                      /* VM_FD_NIC */
    uint64_t memory_ceiling;
    bool pooled;
    bool takes_shares;
    bool powered_off; /* QEMU said that the guest did that */
    char *kill_reason;
};

#endif
