/* The jail of a VMM, and of its file server: what a process gives up between fork and exec, before
 * it can meet a guest's first byte.
 *
 *     vm_jail_new(&spec, &jail, err)           everything that allocates or opens, in the parent
 *     vm_jail_spawn(jail, &process_spec, &process, err)
 *     vm_jail_user_namespace(jail)             for shares that are attached later (vm/share.h)
 *     vm_jail_free(jail)
 *
 * Inside, the program finds: itself as VM_JAIL_PROGRAM, /dev/null, an empty /run of its own (64
 * KiB), if asked for its shares, if asked for a /proc that shows it only its own processes, and, if
 * it needs shared libraries, the host's /usr read-only. The rest of the file system, the network,
 * System V IPC, the host's name and all processes but its own are gone. It is root of a user
 * namespace that means nothing: its ids are the host's [uid, uid + VM_JAIL_IDS), its capabilities
 * none, its system calls those of a list (vm/jail-filter.h).
 *
 * All stages need root; one that fails ends the child, never weakens it. docs/SECURITY.md lists
 * them, and what each is good for. */
#ifndef HULL_VM_JAIL_H
#define HULL_VM_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vm/jail-filter.h"

struct error;
struct process;
struct process_spec;
struct vm_jail;

#define VM_JAIL_PROGRAM "/hull-vm"
/* Where shares and disks of a jail with `files` are: directories <index>, files <index>. */
#define VM_JAIL_SHARES "/shares"
#define VM_JAIL_DISKS "/disks"

enum {
    VM_JAIL_CGROUPS_MAX = 8,
    VM_JAIL_IDS = 65536, /* user and group ids of the host that one VM owns */
};

struct vm_jail_spec {
    uid_t uid; /* never 0: the first of VM_JAIL_IDS, and root in the VM's user namespace */
    gid_t gid; /* likewise */
    const char *program; /* on the host; bound at VM_JAIL_PROGRAM */
    const char *root;    /* an existing directory over which the jail's root is mounted */
    const char *device;  /* a device node of the host to bind, e.g. "/dev/kvm"; its group is given
                          * to the program; or NULL */
    bool proc;           /* mount /proc */
    /* Files of the host may be put below VM_JAIL_SHARES and VM_JAIL_DISKS, now (vm_jail_share())
     * or later. Such a VMM keeps the four capabilities that make it root of those files. */
    bool files;
    /* With `files`: it is a file server, which also acts as the guest's other users, and has a root
     * directory of its own choice in there: four more capabilities. virtiofsd drops two of them
     * before it serves. */
    bool server;
    /* Disks, which are root's, may be put below VM_JAIL_DISKS later. To open those takes no
     * capability. */
    bool disks;
    enum vm_jail_filter filter; /* which system calls it may do */
    unsigned long personality;  /* personality(2); 0: none */
    unsigned processes_max;     /* RLIMIT_NPROC: counts all processes of the uid */
    unsigned descriptors_max;   /* RLIMIT_NOFILE */
    const int *cgroup_procs;    /* open cgroup.procs files to enter, borrowed */
    size_t n_cgroup_procs;
};

/* -EINVAL for uid or gid 0 or a range that goes past the last id. Finds out by the program's ELF
 * header whether it needs /usr. Makes the user namespace: where the host allows none, the error
 * names the sysctl that forbids it. */
int vm_jail_new(const struct vm_jail_spec *spec, struct vm_jail **ret, struct error *err);
struct vm_jail *vm_jail_free(struct vm_jail *jail);

/* The user namespace, a descriptor that is the jail's. */
int vm_jail_user_namespace(const struct vm_jail *jail);

/* Gives the jail a share, as share `index`; see vm/share.h. Consumes `mount`. Before
 * vm_jail_spawn(); -EINVAL for a jail without `files`. */
int vm_jail_share(struct vm_jail *jail, unsigned index, bool directory, int mount,
                  struct error *err);

/* process_spawn() of VM_JAIL_PROGRAM inside. Sets path, prepare and prepare_data of a copy of
 * `spec`; the process is pid 1 of a pid namespace and dies with the thread that calls this
 * (PROCESS_DIE_WITH_PARENT must not be set: it cannot see a parent from there). A failure names the
 * stage. Only once for a jail. */
int vm_jail_spawn(struct vm_jail *jail, const struct process_spec *spec, struct process *ret,
                  struct error *err);

#endif
