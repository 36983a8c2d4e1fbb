/* The jail of a VMM: what a process gives up between fork and exec, before it can meet a guest's
 * first byte.
 *
 *     vm_jail_new(&spec, &jail, err)           everything that allocates or opens, in the parent
 *     process_spawn({.prepare = vm_jail_enter, .prepare_data = jail, .path = VM_JAIL_PROGRAM ...})
 *     vm_jail_failure(jail)                    which stage failed, if one did
 *     vm_jail_free(jail)
 *
 * Inside, the program finds: itself as VM_JAIL_PROGRAM, /dev/null, an empty /run of its own (64
 * KiB), if asked for a /proc that shows it only its own processes, and, if it needs shared
 * libraries, the host's /usr read-only. The rest of the file system, the network, System V IPC and
 * the host's name are gone. All stages need root; one that fails ends the child, never weakens it.
 */
#ifndef HULL_VM_JAIL_H
#define HULL_VM_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct vm_jail;

#define VM_JAIL_PROGRAM "/hull-vm"

enum { VM_JAIL_CGROUPS_MAX = 8 };

struct vm_jail_spec {
    uid_t uid; /* never 0 */
    gid_t gid;
    const char *program; /* on the host; bound at VM_JAIL_PROGRAM */
    const char *root;    /* an existing directory over which the jail's root is mounted */
    const char *device;  /* a device node of the host to bind, e.g. "/dev/kvm"; its group is given
                          * to the program; or NULL */
    bool proc;           /* mount /proc */
    unsigned long personality; /* personality(2); 0: none */
    unsigned processes_max;    /* RLIMIT_NPROC: counts all processes of the uid */
    unsigned descriptors_max;  /* RLIMIT_NOFILE */
    const int *cgroup_procs;   /* open cgroup.procs files to enter, borrowed */
    size_t n_cgroup_procs;
};

/* -EINVAL for uid or gid 0. Finds out by the program's ELF header whether it needs /usr. */
int vm_jail_new(const struct vm_jail_spec *spec, struct vm_jail **ret, struct error *err);
struct vm_jail *vm_jail_free(struct vm_jail *jail);

/* For process_spec.prepare: async-signal-safe. 0 or -errno. */
int vm_jail_enter(void *jail);

/* After a failed spawn: the stage in words ("drop capabilities"), or NULL if no stage failed. */
const char *vm_jail_failure(const struct vm_jail *jail);

#endif
