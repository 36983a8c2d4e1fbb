/* Shared by the two halves of the jail: jail.c prepares in the parent, jail-stages.c acts in the
 * child. */
#ifndef HULL_VM_JAIL_INTERNAL_H
#define HULL_VM_JAIL_INTERNAL_H

#include <linux/filter.h>

#include "vm/jail.h"
#include "vm/share.h"

enum { RUN_OPTIONS_MAX = 128, SHARE_PATH_MAX = 64 };

struct jail_shared {
    volatile int stage; /* index + 1 of the stage being done; 0 before and after */
};

struct jail_share {
    char path[SHARE_PATH_MAX];   /* relative to the new root */
    char target[SHARE_PATH_MAX]; /* likewise: the same, or the file in it */
    int mount;
};

struct vm_jail {
    struct vm_jail_spec spec; /* strings are this object's */
    char *program;
    char *root;
    char *device;
    int cgroup_procs[VM_JAIL_CGROUPS_MAX];
    bool usr;           /* the program needs shared libraries */
    gid_t device_group; /* 0: none */
    char run_options[RUN_OPTIONS_MAX];
    int user_namespace;
    pid_t user_namespace_maker;
    int parent; /* pidfd of this process */
    struct jail_share shares[VM_SHARES_MAX];
    size_t n_shares;
    struct sock_filter filter[VM_JAIL_FILTER_SIZE];
    struct sock_fprog filter_program;
    struct jail_shared *shared;
};

/* For process_spec.prepare: async-signal-safe. 0 or -errno. */
int jail_enter(void *jail);

/* After a failed spawn: the stage in words ("drop capabilities"), or NULL if no stage failed. */
const char *jail_failure(const struct vm_jail *jail);

/* A user namespace whose ids 0 to VM_JAIL_IDS - 1 are the host's from `uid` and `gid` on. A
 * descriptor or -errno. *ret_maker, set also on failure: a child that has been killed and is to be
 * waited for by jail_end_maker(). Not at once: on a busy host it takes a while to have its last
 * turn, and the VM's start need not wait for that. 0: none. */
int jail_make_user_namespace(uid_t uid, gid_t gid, pid_t *ret_maker, struct error *err);
void jail_end_maker(pid_t maker);

#endif
