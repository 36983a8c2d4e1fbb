/* The control group of one container, on cgroup v1 (also the hybrid layout, where v2 exists beside
 * it without controllers) and v2, behind one table of operations.
 *
 * Calling sequence: cgroup_open(), cgroup_create(), cgroup_apply(); the container's first process
 * gets in by CLONE_INTO_CGROUP with cgroup_directory_fd() or, where that is -EBADF, by
 * cgroup_enter(); cgroup_kill(), cgroup_remove(), cgroup_free().
 *
 * A hierarchy in which hull may not make groups is left alone, until a limit is asked for that
 * needs it: then the error names it. */
#ifndef HULL_SANDBOX_CGROUP_H
#define HULL_SANDBOX_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct spec_resources;

enum {
    CGROUP_HIERARCHIES_MAX = 32,
    CGROUP_PIDS_MAX = 1 << 20,          /* processes of one container */
    CGROUP_FILE_MAX = 16 * 1024 * 1024, /* bytes of cgroup.procs */
};

/* One mounted hierarchy and the container's directory in it. */
struct cgroup_hierarchy {
    char *mount_point;
    char **controllers; /* v1: "cpu", "cpuacct", "name=systemd"; v2: NULL */
    char *directory;    /* mount point + path */
    int procs_fd;       /* open cgroup.procs, -EBADF before create and when not usable */
    int problem;        /* why the directory is not usable: negative errno value, else 0 */
};

struct cgroup_ops;

struct cgroup {
    const struct cgroup_ops *ops;
    char *path; /* "/hull/<id>" */
    struct cgroup_hierarchy hierarchies[CGROUP_HIERARCHIES_MAX];
    size_t n_hierarchies;
    bool is_guest;
    bool has_device_rules; /* applied once: an update need not bring them again */
    int directory_fd;      /* v2 */
};

struct cgroup_ops {
    const char *name;
    int (*create)(struct cgroup *cgroup, struct error *err);
    int (*apply)(struct cgroup *cgroup, const struct spec_resources *resources, struct error *err);
    int (*freeze)(struct cgroup *cgroup, bool frozen, struct error *err);
    int (*kill)(struct cgroup *cgroup);
    int (*oom_kills)(struct cgroup *cgroup, uint64_t *ret);
};

extern const struct cgroup_ops cgroup_v1_ops;
extern const struct cgroup_ops cgroup_v2_ops;

/* Finds out what this kernel has mounted. `path` is absolute, without ".." (ERROR_INVALID). Nothing
 * is made yet. v2_root: NULL, or the mount point of a v2 hierarchy to use in place of what is below
 * /sys/fs/cgroup (tests). A machine without any cgroup mount gives an object without hierarchies.
 */
int cgroup_open(const char *path, const char *v2_root, bool is_guest, struct cgroup **ret,
                struct error *err);
struct cgroup *cgroup_free(struct cgroup *cgroup);

bool cgroup_is_v2(const struct cgroup *cgroup);

/* Makes the directories (-EEXIST with processes in them: ERROR_CONFLICT). */
int cgroup_create(struct cgroup *cgroup, struct error *err);
/* Writes the limits that are present. */
int cgroup_apply(struct cgroup *cgroup, const struct spec_resources *resources, struct error *err);

/* Directory for clone3()'s CLONE_INTO_CGROUP, or -EBADF on v1. Borrowed. */
int cgroup_directory_fd(const struct cgroup *cgroup);
/* Moves a process in (0: the calling one). On v1 this may take a grace period of RCU, several
 * milliseconds, so it is worth doing beside something else. */
int cgroup_enter(struct cgroup *cgroup, pid_t pid, struct error *err);

int cgroup_freeze(struct cgroup *cgroup, bool frozen, struct error *err);
/* Process ids as the caller's pid namespace numbers them. */
int cgroup_pids(struct cgroup *cgroup, pid_t **ret, size_t *ret_n, struct error *err);
/* SIGKILL to all, and waits until they are gone. */
int cgroup_kill(struct cgroup *cgroup, struct error *err);
int cgroup_oom_kills(struct cgroup *cgroup, uint64_t *ret);
/* Removes the container's directories, and those above it that hull made and that are empty;
 * directories that the container made below go first. Absent is success. */
int cgroup_remove(struct cgroup *cgroup, struct error *err);

/* Takes over directories that somebody else made and left, as far as they exist. */
int cgroup_adopt(struct cgroup *cgroup, struct error *err);

/* For the backends: the usable hierarchy with a controller (v2: any), or NULL. */
struct cgroup_hierarchy *cgroup_find(struct cgroup *cgroup, const char *controller);
/* Writes one file of the hierarchy that has the controller; errors name file and value. With
 * `optional` a file that does not exist is passed over. */
int cgroup_write(struct cgroup *cgroup, const char *controller, const char *file, const char *value,
                 bool optional, struct error *err);
/* mkdir -p of the container's directory; prepare (may be NULL) runs after each new level. */
int cgroup_make_directory(struct cgroup_hierarchy *hierarchy,
                          int (*prepare)(const struct cgroup_hierarchy *hierarchy,
                                         const char *parent, const char *directory));
/* Value of "<key> <number>" lines, as memory.events has. -ENOENT. */
int cgroup_read_key(const char *directory, const char *file, const char *key, uint64_t *ret);

#endif
