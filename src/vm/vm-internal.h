/* The inside of a VM, shared by vm.c and what is done to a running one (plug.c and the engines'
 * part of it). */
#ifndef HULL_VM_VM_INTERNAL_H
#define HULL_VM_VM_INTERNAL_H

#include <jansson.h>

#include "base/loop.h"
#include "base/process.h"
#include "vm/cgroup.h"
#include "vm/vm.h"

struct file_server;
struct qmp;
struct vm_console;
struct vm_engine_ops;
struct vm_jail;
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
    int control;                /* until the QMP client owns it */
    struct file_server *server; /* or NULL */
    int user_namespace;         /* of a jail that takes shares later */
    struct qmp *qmp;
    /* Whoever else is to hear of QEMU's events (template.c); may free the VM. */
    void (*control_event)(struct vm *vm, const char *name, const json_t *payload, void *data);
    void *control_data;
    struct vm_plugging *plugging; /* vm/plug.h; once made it stays */
    int nic;                      /* VM_FD_NIC */
    uint64_t memory_ceiling;
    uint64_t overhead; /* bytes that its processes may use besides guest memory */
    bool pooled;
    bool takes_shares;
    bool powered_off; /* QEMU said that the guest did that */
    char *kill_reason;
};

/* What every process of a VM is started with. */
extern char *const vm_environment[];

/* Descriptors of the cgroup.procs files, for a jail. */
struct vm_procs {
    int fds[VM_CGROUP_TREES_MAX];
    size_t n;
};
int vm_open_procs(const struct vm *vm, struct vm_procs *ret, struct error *err);
void vm_close_procs(struct vm_procs *procs);

/* Puts the configuration's shares into a jail that is to be spawned, and keeps what
 * vm_attach_share() needs. */
int vm_add_shares(struct vm *vm, const struct vm_config *config, struct vm_jail *jail,
                  struct error *err);
void vm_free_jail(struct vm_jail **jail);

#endif
