/* The VMM's cgroup: limits from outside, and a list of every process of the VM.
 *
 * The same relative path is made below each controller of version 1 (/sys/fs/cgroup/memory/PATH,
 * ...), or once below the unified tree of version 2. cgroups(7), Documentation/admin-guide/
 * cgroup-v1/ and cgroup-v2.rst of the kernel. */
#ifndef HULL_VM_CGROUP_H
#define HULL_VM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

enum { VM_CGROUP_TREES_MAX = 4 };

struct vm_cgroup {
    char *directories[VM_CGROUP_TREES_MAX]; /* absolute */
    size_t n;
};

struct vm_cgroup_limits {
    uint64_t memory; /* bytes */
    double cpus;     /* 0: no limit */
    unsigned processes;
};

/* Makes `path` below `mount` ("/sys/fs/cgroup") and sets the limits. A path that exists is used if
 * no process is in it. Controllers that the host lacks are left out; none at all is -ENOENT.
 * -EINVAL for a path with "..". On failure nothing is left behind. */
int vm_cgroup_create(const char *mount, const char *path, const struct vm_cgroup_limits *limits,
                     struct vm_cgroup *ret, struct error *err);

/* Sets memory and CPUs (0: no limit) of a cgroup that has processes. -EBUSY, with memory as it was:
 * they use more than that now. */
int vm_cgroup_change(const struct vm_cgroup *cgroup, const struct vm_cgroup_limits *limits,
                     struct error *err);

/* Its part of the CPUs where others want them, too: a tenth of the usual one, or that.
 * What cannot be set is left. */
void vm_cgroup_set_background(const struct vm_cgroup *cgroup, bool background);

/* Gives the cgroup another path, in the same directory. Version 1 renames; version 2 cannot, so
 * there a new one is made and the processes are moved, which leaves to the old one, and so to the
 * directory above, what memory they have until then. */
int vm_cgroup_rename(struct vm_cgroup *cgroup, const char *mount, const char *path,
                     const struct vm_cgroup_limits *limits, struct error *err);

/* Opens cgroup.procs of each tree for writing: descriptors in ret, at most VM_CGROUP_TREES_MAX.
 * Returns how many, or -errno with none open. */
int vm_cgroup_open_procs(const struct vm_cgroup *cgroup, int *ret, struct error *err);

/* How often the kernel's OOM killer struck inside; 0 if that cannot be read. */
uint64_t vm_cgroup_oom_kills(const struct vm_cgroup *cgroup);

/* Kills every process inside, waits for them and removes the directories. 0 or -errno (EBUSY when
 * processes would not go). An empty struct is fine. */
int vm_cgroup_destroy(struct vm_cgroup *cgroup);

/* Frees the struct and leaves the directories. */
void vm_cgroup_release(struct vm_cgroup *cgroup);

/* Kills every process of user `uid` on this host and waits until none is left; for a VM without a
 * cgroup. 0 or -errno (-EBUSY: after VM_KILL_TIMEOUT_MS some were left). */
enum { VM_KILL_TIMEOUT_MS = 5000 };
int vm_kill_user(uid_t uid);

#endif
