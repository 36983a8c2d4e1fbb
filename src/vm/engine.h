/* What the kinds of VMM differ in: one file per engine and one row of the table in engine.c.
 *
 * Everything here is a function of the configuration alone, so that tests look at the exact command
 * line; vm.c opens, jails, starts and supervises. */
#ifndef HULL_VM_ENGINE_H
#define HULL_VM_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "vm/jail-filter.h"
#include "vm/vm.h"

struct error;
struct vm_plugging;

/* The VMM's descriptors. 0 is /dev/null, 1 and 2 are the console's pipe. */
enum vm_fd {
    VM_FD_LINK = 3,    /* stream socket to hull-init */
    VM_FD_CONTROL = 4, /* QMP; only with `control` */
    VM_FD_NIC = 5,     /* only with a NIC */
    VM_FD_KERNEL = 6,  /* only where the VMM loads the kernel from a file */
    VM_FD_INITRAMFS = 7,
    VM_FD_DISKS = 8,                           /* first of VM_DISKS_MAX */
    VM_FD_MEMORY = VM_FD_DISKS + VM_DISKS_MAX, /* only with a template: the guest's memory */
    VM_FD_STATE,  /* only of a VM that is made from a template: the rest of its state */
    VM_FD_SHARES, /* only where shares are served: stream socket to the file server */
};

struct vm_engine_ops {
    const char *name;
    bool one_cpu;               /* never gives a guest more than one virtual CPU */
    bool control;               /* speaks QMP on VM_FD_CONTROL */
    bool loads_kernel;          /* wants VM_FD_KERNEL; else the program is the kernel */
    bool proc;                  /* needs /proc in its jail to find its descriptors by name */
    bool shares;                /* mounts directories of the host out of its jail (hostfs) */
    bool served;                /* is served directories of the host (virtio-fs, file-server.h) */
    bool templates;             /* can be saved and made from what was saved (vm/template.h) */
    bool resizes;               /* a running guest can be given more memory, and less */
    enum vm_jail_filter filter; /* which system calls it does */
    unsigned long personality;  /* personality(2) to set before exec; 0: none */
    const char *device;         /* a host device that it opens by name, or NULL */
    unsigned processes_max;     /* processes and threads; bounds what a guest makes of the host */
    unsigned descriptors_max;
    uint64_t overhead; /* bytes that the VMM may use besides guest memory */
    uint64_t reserved; /* bytes of guest memory that its kernel keeps at any size (measured) */

    /* The files of this engine; NULL for one that was not configured. */
    const char *(*program)(const struct vm_files *files);
    const char *(*kernel)(const struct vm_files *files);
    const char *(*initramfs)(const struct vm_files *files);
    /* Why the engine cannot work here as far as looking tells; 0 if nothing speaks against it.
     * `root` is put before paths of the host ("" but in tests). The error is one for users. */
    int (*check)(const struct vm_files *files, const char *root, struct error *err);
    /* After a boot that failed: what is wrong with the files, malloc'd, or NULL. May be NULL. */
    char *(*fault)(const struct vm_files *files);
    /* Command line, argv[0] included; *ret_argv is a new vector. -ENOMEM. */
    int (*command)(const struct vm_config *config, char ***ret_argv, struct error *err);
    /* The descriptor through which the VMM reaches the NIC's link. */
    int (*open_nic)(const char *link, struct error *err);

    /* Hot plug (vm/plug.h); NULL where there is none. */
    int (*open_pooled_nic)(struct error *err); /* as open_nic, of a link to be named later; or NULL:
                                                  the VMM is given the descriptor later */
    int (*plug)(struct vm *vm, struct vm_plugging *plugging, struct error *err);
    void (*unplug)(struct vm_plugging *plugging); /* frees plugging->engine */
};

/* Never NULL for a value of the enum; NULL for another. */
const struct vm_engine_ops *vm_engine_ops(enum vm_engine engine);

extern const struct vm_engine_ops vm_engine_kvm;
extern const struct vm_engine_ops vm_engine_uml;
extern const struct vm_engine_ops vm_engine_tcg;

/* 0 if `path` names an ordinary file; else an error that says what is missing and `fix`, how to get
 * it: "no WHAT at PATH: FIX". */
int vm_engine_need_file(const char *path, const char *what, const char *fix, struct error *err);

/* Does this VM have a file server? */
bool vm_engine_serves(const struct vm_config *config);

/* Virtual CPUs without the warning. */
int vm_engine_cpus(const struct vm_engine_ops *ops, double cpus);

/* `memory` plus what the guest kernel keeps for itself, in whole MiB. User-Mode Linux is told its
 * exact MemTotal besides; with QEMU MemTotal is then `memory` within 6 MiB and 1 %, as its kernels
 * differ. */
uint64_t vm_engine_memory_mib(const struct vm_engine_ops *ops, uint64_t memory);

/* Bytes up to which a guest that boots with `memory` can be made to grow on a host with `host`
 * bytes: 8 GiB or twice of what was asked, but no more than the host has, and never less than what
 * was asked. Without `resizes` that is `memory`. */
uint64_t vm_engine_ceiling(const struct vm_engine_ops *ops, uint64_t memory, uint64_t host);

#endif
