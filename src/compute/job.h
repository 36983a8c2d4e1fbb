/* What a worker is told to run: `worker.json` in the container's directory, written by the engine
 * and read by hull-worker. Both are hull; the file is still checked in full, since it may be an
 * older version's. */
#ifndef HULL_COMPUTE_JOB_H
#define HULL_COMPUTE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/interface.h"
#include "vm/vm.h"

struct error;

enum compute_isolation { COMPUTE_PROCESS, COMPUTE_HYPERV, COMPUTE_ISOLATION_MAX };
const char *compute_isolation_to_string(enum compute_isolation isolation); /* "process", "hyperv" */
int compute_isolation_from_string(const char *text); /* without case; "vm" too; -EINVAL */

enum compute_log_driver { COMPUTE_LOG_NONE, COMPUTE_LOG_JSON_FILE };

struct compute_log {
    enum compute_log_driver driver;
    char *path;        /* <container>/<id>-json.log */
    uint64_t max_size; /* bytes per file, 0: unlimited */
    int max_file;      /* files kept, at least 1 */
};

/* A directory, file or socket of the host that a container in a utility VM sees. */
struct compute_share {
    char *source; /* path of the host; links on the way are followed when the VM starts */
    char *target; /* which of config.json's bind mounts it is the source of */
    bool read_only;
    bool recursive; /* with what is mounted below it */
};

enum { COMPUTE_SHARES_MAX = VM_SHARES_MAX };
/* Moves a writable layer instead of running anything (worker_convert.c): out of the VM's scratch
 * disk into a directory of the host, or from there into the disk. */
enum compute_convert { COMPUTE_CONVERT_NONE, COMPUTE_CONVERT_OUT, COMPUTE_CONVERT_IN };

struct compute_job {
    char *id;
    char *name;
    char *owner; /* "hulld", for `hull compute ls` */
    enum compute_isolation isolation;
    bool files;   /* nothing is started: the container's files are served, see worker.h */
    bool pool;    /* no container is known yet: a VM is booted ahead of time, see worker_pool.c */
    bool discard; /* the container goes with its end, and its writable layer with it */
    char *directory;   /* the container's directory: config.json, exit.json */
    char *runtime_dir; /* <state>/containers/<id>: worker.sock, worker.pid */
    bool terminal;
    bool open_stdin; /* -i: stdin is a stream; else /dev/null */
    bool stdin_once; /* stdin ends when the first attached client goes */
    struct compute_log log;
    struct sandbox_interface *interfaces;
    size_t n_interfaces;

    /* process: the overlay on this kernel. hyperv: the same layers as disks, then the scratch disk.
     */
    char **lower;  /* directories, or EROFS images; topmost first */
    char *upper;   /* process, convert */
    char *work;    /* process */
    char *target;  /* process */
    char *scratch; /* hyperv: ext4 image, made by the engine */

    /* With `files`, isolation hyperv, and no `lower`. */
    enum compute_convert convert;
    char *ring;           /* a file that is made for the transfer */
    uint64_t convert_max; /* bytes of content that are taken; 0: no limit */
    bool convert_mount;   /* into the disk: the host mounts it, and there is no VM */

    /* hyperv */
    enum vm_engine engine;
    char *uml_kernel;
    char *x86_kernel;
    char *initramfs;
    char *x86_initramfs;
    char *qemu;
    char *virtiofsd;
    uint64_t memory;
    double cpus;
    char *nic_link;
    char *nic_mac;
    char *users_dir;
    uid_t uid;
    char *vmm_cgroup;
    /* A template to make the VM from, if there is one (vm/template.h): the memory as a name below
     * /proc and the inode that it must have, the state's path. */
    char *template_memory;
    char *template_state;
    uint64_t template_inode;
    struct compute_share *shares;
    size_t n_shares;
};

int compute_job_read(const char *path, struct compute_job **ret, struct error *err);
int compute_job_write(const struct compute_job *job, const char *path, struct error *err);
/* Copies. ERROR_INVALID when there are COMPUTE_SHARES_MAX already. */
int compute_job_add_share(struct compute_job *job, const char *source, const char *target,
                          bool read_only, bool recursive, struct error *err);
struct compute_job *compute_job_new(void);
struct compute_job *compute_job_free(struct compute_job *job);

#endif
