/* The engine: what exists, what runs, and what happens to it. One object per hulld.
 *
 * Theory of operation. The store (SQLite) is the truth about what exists; workers are the truth
 * about what runs. Any number of API threads call in; two locks order them: a container's
 * *operation lock* is held for the length of start, rename, remove ... (one at a time per
 * container; a stop gives it up while it waits, so that whoever is less patient can kill), the
 * engine's *state lock* only for moments, to read or change fields. The loop
 * thread hears the workers' events and changes state under the state lock; what takes longer
 * (freeing the network, removal, restart policy) it hands to the janitor.
 *
 * A change of state is written to the store under the state lock, so that rows follow each other as
 * the states did and a removed container's row cannot come back. That is a write into the page
 * cache (store.h: WAL, synchronous=NORMAL); but once in some hundred changes SQLite copies its log
 * into the database and waits for the disk, and a disk that stalls then stalls everybody who asks.
 * A queue of writes would have to keep what a start and a removal rely on, that the row is on disk
 * before a worker is there and gone after its directory, and is not worth it as long as disks
 * answer.
 *
 * `reference` is a container's name, id or unique prefix of an id. Errors carry docker's words and
 * a class from which the API derives its status. JSON that is returned has the shape of the Docker
 * Engine API (api/docs v1.50) and is a new reference. */
#ifndef HULL_ENGINE_ENGINE_H
#define HULL_ENGINE_ENGINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "compute/job.h"
#include "vm/probe.h"

struct compute_client;
struct engine;
struct error;
struct image_store;

#define ENGINE_API_VERSION "1.50"
#define ENGINE_API_VERSION_MIN "1.41"

enum { ENGINE_POOL_MAX = 64 };

enum engine_vm_choice { ENGINE_VM_AUTO = -1 }; /* otherwise enum vm_engine */

struct engine_config {
    const char *root;  /* /var/lib/hull */
    const char *state; /* /run/hull */
    const char *worker_program;
    const char *init_program;         /* static hull-init */
    struct vm_files vm_files;         /* initramfs members are made by the engine: leave NULL */
    const char *vm_modules;           /* modules for Debian's cloud kernel, or NULL */
    enum compute_isolation isolation; /* the default */
    int vm_engine;                    /* enum vm_engine or ENGINE_VM_AUTO */
    const char *bridge;               /* "hull0"; "none": no default bridge */
    const char *bip;                  /* "172.29.0.1/16" or NULL: the first free of a list */
    bool closed;                      /* the bridge's containers do not reach each other */
    char *const *insecure_registries;
    char *const *registry_mirrors;
    /* Utility VM n owns the VM_JAIL_IDS (vm/jail.h) user and group ids from vm_uid_first + n *
     * VM_JAIL_IDS on; vm_uid_count VMs at most, and two more for the probe and for
     * templates. */
    uid_t vm_uid_first;
    unsigned vm_uid_count;
    char *const *log_opts;      /* default "max-size=..", strv */
    const char *log_driver;     /* "json-file" or "none" */
    unsigned vm_pool;           /* utility VMs that are kept ready, at most ENGINE_POOL_MAX */
    uint64_t memory_default;    /* of a utility VM; 0: VM_MEMORY_DEFAULT */
    uint64_t memory_overcommit; /* sum of VMs' limits to the host's memory, in 1/1024; 0: any */
};

/* Opens store, images and network, finds the workers that still run, starts the engine's threads.
 */
int engine_open(const struct engine_config *config, struct engine **ret, struct error *err);
/* Stops the threads and closes everything; containers go on. Returns NULL. */
struct engine *engine_close(struct engine *engine);

/* --- containers (engine/container*.c) --- */

/* `body`: the create request ({...Config, HostConfig, NetworkingConfig}), borrowed. `name` may be
 * NULL (a name is made up). *ret_warnings: new string vector, maybe empty. */
int engine_container_create(struct engine *engine, const char *name, const char *platform,
                            json_t *body, char ret_id[65], char ***ret_warnings, struct error *err);
int engine_container_start(struct engine *engine, const char *reference, struct error *err);

enum { ENGINE_TIMEOUT_DEFAULT = -2, ENGINE_TIMEOUT_NONE = -1 };
/* signal NULL: the container's stop signal. timeout in seconds or one of the two above. A container
 * that does not run: class NOT_MODIFIED. */
int engine_container_stop(struct engine *engine, const char *reference, const char *signal,
                          int timeout, struct error *err);
int engine_container_restart(struct engine *engine, const char *reference, const char *signal,
                             int timeout, struct error *err);
/* signal: name with or without SIG, or number; NULL: KILL. */
int engine_container_kill(struct engine *engine, const char *reference, const char *signal,
                          struct error *err);
int engine_container_pause(struct engine *engine, const char *reference, bool paused,
                           struct error *err);
/* Changes limits and the restart policy, also of one that runs: `body` as of the API's
 * /containers/{id}/update, which is completed. hull's own members are "Isolation", to which the
 * container is converted before (engine/convert.c), and "Restart": it may be restarted for that.
 * *ret_warnings: a new vector or NULL. */
int engine_container_update(struct engine *engine, const char *reference, json_t *body,
                            char ***ret_warnings, struct error *err);
int engine_container_rename(struct engine *engine, const char *reference, const char *name,
                            struct error *err);

enum engine_remove_flags { ENGINE_REMOVE_FORCE = 1, ENGINE_REMOVE_VOLUMES = 2 };
int engine_container_remove(struct engine *engine, const char *reference, unsigned flags,
                            struct error *err);
int engine_container_resize(struct engine *engine, const char *reference, int width, int height,
                            struct error *err);
int engine_container_inspect(struct engine *engine, const char *reference, bool size, json_t **ret,
                             struct error *err);

/* filters: docker's {"name": ["x"], ...} or the older {"name": {"x": true}}; NULL: none. */
struct engine_list_options {
    bool all;
    bool size;
    int limit; /* <= 0: all */
    const json_t *filters;
};
int engine_container_list(struct engine *engine, const struct engine_list_options *options,
                          json_t **ret, struct error *err);
int engine_container_prune(struct engine *engine, const json_t *filters, json_t **ret,
                           struct error *err);
/* {"Titles": [...], "Processes": [[...], ...]}; ps_args NULL: "-ef". */
int engine_container_top(struct engine *engine, const char *reference, const char *ps_args,
                         json_t **ret, struct error *err);

/* Attaches to a created (a worker is started for it) or running container. *ret is ready for
 * compute_client_pump(); the caller frees it. NULL: there is nothing to attach to, since a created
 * container could not be made ready; its start will say why. *ret_terminal: raw stream, else
 * multiplexed. */
struct engine_attach_options {
    bool in;
    bool out;
    bool err;
    bool logs; /* send what was logged so far first (engine_logs_open) */
    const char *detach_keys;
};
int engine_container_attach(struct engine *engine, const char *reference,
                            const struct engine_attach_options *options,
                            struct compute_client **ret, bool *ret_terminal, struct error *err);

/* Says in which state the container is ("created", "running", "paused", "restarting", "removing",
 * "exited", "dead") and its full id; for handlers that must know before they answer. */
int engine_container_status(struct engine *engine, const char *reference, char ret_id[65],
                            const char **ret_status, bool *ret_terminal, struct error *err);

/* --- waiting: POST /containers/{id}/wait --- */

enum engine_wait_condition {
    ENGINE_WAIT_NOT_RUNNING,
    ENGINE_WAIT_NEXT_EXIT,
    ENGINE_WAIT_REMOVED,
};
struct engine_wait;
/* Registers interest at once, so that no exit after this call is missed. */
int engine_wait_begin(struct engine *engine, const char *reference,
                      enum engine_wait_condition condition, struct engine_wait **ret,
                      struct error *err);
/* Readable (poll(2)) when the result is there. */
int engine_wait_fd(const struct engine_wait *wait);
/* 1: *ret_code is the exit code and `text` (of `size`) State.Error or ""; 0: not yet. */
int engine_wait_result(struct engine_wait *wait, int *ret_code, char *text, size_t size);
struct engine_wait *engine_wait_end(struct engine_wait *wait);

/* --- exec (engine/exec.c) --- */
int engine_exec_create(struct engine *engine, const char *reference, json_t *body, char ret_id[65],
                       struct error *err);
/* Starts it. With detach *ret is NULL. Else as engine_container_attach(). */
int engine_exec_start(struct engine *engine, const char *exec_id, bool detach, int width,
                      int height, const char *detach_keys, struct compute_client **ret,
                      bool *ret_terminal, struct error *err);
int engine_exec_resize(struct engine *engine, const char *exec_id, int width, int height,
                       struct error *err);
int engine_exec_inspect(struct engine *engine, const char *exec_id, json_t **ret,
                        struct error *err);

/* --- logs (engine/logs.c) --- */
struct engine_logs_options {
    bool out;
    bool err;
    bool follow;
    bool timestamps;
    bool details;
    int64_t since; /* timestamps; 0: none */
    int64_t until;
    int64_t tail; /* lines; -1: all */
};
struct engine_logs;
int engine_logs_open(struct engine *engine, const char *reference,
                     const struct engine_logs_options *options, struct engine_logs **ret,
                     bool *ret_terminal, struct error *err);
/* Next record: 1 with *ret_stream (1 stdout, 2 stderr) and the bytes, borrowed until the next call,
 * with the timestamp prefix already there if asked for; 0: nothing now (wait on engine_logs_fd());
 * -ENODATA: the end. */
int engine_logs_next(struct engine_logs *logs, int *ret_stream, const char **ret_data,
                     size_t *ret_length, struct error *err);
int engine_logs_fd(const struct engine_logs *logs);
struct engine_logs *engine_logs_close(struct engine_logs *logs);

/* --- events (engine/events.c) --- */
struct engine_subscription;
/* since/until: timestamps, 0: from now / without end. Events of the last while are kept (bounded).
 */
int engine_events_subscribe(struct engine *engine, int64_t since, int64_t until,
                            const json_t *filters, struct engine_subscription **ret,
                            struct error *err);
int engine_events_fd(const struct engine_subscription *subscription);
/* 1: *ret is the next event (new reference, API shape); 0: none now; -ENODATA: `until` passed. */
int engine_events_next(struct engine_subscription *subscription, json_t **ret);
struct engine_subscription *engine_events_unsubscribe(struct engine_subscription *subscription);

/* --- files, seen from outside (engine/archive.c) ---
 *
 * The same whether the container runs, in either isolation: its agent does the work. `path` is the
 * client's; a missing one is ERROR_NOT_FOUND in docker's words. */

/* {"name", "size", "mode", "mtime", "linkTarget"}: docker's ContainerPathStat. */
int engine_container_stat_path(struct engine *engine, const char *reference, const char *path,
                               json_t **ret, struct error *err);

/* A tar stream out of the container; of a path, or of all but its volumes. */
struct engine_archive;
int engine_archive_open(struct engine *engine, const char *reference, const char *path,
                        struct engine_archive **ret, json_t **ret_stat, struct error *err);
int engine_export_open(struct engine *engine, const char *reference, struct engine_archive **ret,
                       struct error *err);
/* Next bytes, borrowed until the next call: 1; 0: none now (wait on engine_archive_fd()); -ENODATA:
 * the end; another error: it is not whole. */
int engine_archive_next(struct engine_archive *archive, const void **ret, size_t *ret_length,
                        struct error *err);
int engine_archive_fd(const struct engine_archive *archive);
struct engine_archive *engine_archive_close(struct engine_archive *archive);

/* Makes the files of the tar that `fd` (borrowed) gives to its end, compressed or not, below a
 * directory. A read-only root or volume is ERROR_FORBIDDEN. */
struct engine_put_options {
    const char *path;
    bool keep_types; /* no directory takes the place of something else, nor the other way round */
    bool own;        /* everything becomes the container's user's, if it has one */
};
struct image_monitor;
int engine_archive_put(struct engine *engine, const char *reference,
                       const struct engine_put_options *options, int fd,
                       const struct image_monitor *monitor, struct error *err);

/* JSON text, malloc'd: [{"Path", "Kind": 0 modified, 1 added, 2 deleted}]. */
int engine_container_changes(struct engine *engine, const char *reference, char **ret,
                             size_t *ret_length, struct error *err);

/* --- images (engine/images.c): the image library plus what only the engine knows --- */
struct image_store *engine_images(struct engine *engine);
/* Emits an "image" event: action pull, load, import, tag, untag, delete. */
void engine_image_event(struct engine *engine, const char *action, const char *image_id,
                        const char *reference);
/* [{"Untagged": ..}, {"Deleted": ..}]; refuses what containers use, with docker's words. */
int engine_image_remove(struct engine *engine, const char *reference, bool force, bool prune,
                        json_t **ret, struct error *err);
int engine_image_list(struct engine *engine, bool all, const json_t *filters, json_t **ret,
                      struct error *err);
int engine_image_inspect(struct engine *engine, const char *reference, json_t **ret,
                         struct error *err);
int engine_image_history(struct engine *engine, const char *reference, json_t **ret,
                         struct error *err);
int engine_image_prune(struct engine *engine, const json_t *filters, json_t **ret,
                       struct error *err);

/* --- networks (engine/networks.c): bridge, host, none --- */
int engine_network_list(struct engine *engine, const json_t *filters, json_t **ret,
                        struct error *err);
int engine_network_inspect(struct engine *engine, const char *reference, json_t **ret,
                           struct error *err);

/* --- volumes (engine/volumes.c): driver "local" --- */
/* {"Volumes", "Warnings"} */
int engine_volume_list(struct engine *engine, const json_t *filters, json_t **ret,
                       struct error *err);
int engine_volume_inspect(struct engine *engine, const char *name, json_t **ret, struct error *err);
/* `body`: {"Name", "Driver", "DriverOpts", "Labels"}, may be NULL. One that exists is success. */
int engine_volume_create(struct engine *engine, const json_t *body, json_t **ret,
                         struct error *err);
/* force: one that does not exist is success. One that a container refers to is ERROR_CONFLICT. */
int engine_volume_remove(struct engine *engine, const char *name, bool force, struct error *err);
/* `named`: also those that somebody named, as before API 1.42; the filter "all" overrides it. */
int engine_volume_prune(struct engine *engine, const json_t *filters, bool named, json_t **ret,
                        struct error *err);

/* --- system (engine/system.c) --- */
int engine_info(struct engine *engine, json_t **ret, struct error *err);
int engine_version(struct engine *engine, json_t **ret, struct error *err);
int engine_disk_usage(struct engine *engine, json_t **ret, struct error *err);

/* --- hull's own: compute systems and utility VMs (engine/compute.c) --- */
/* [{"Id","Name","Owner","Type","Isolation","Engine","WorkerPid","VmmPid","User","Memory","Started"}]
 */
int engine_compute_list(struct engine *engine, json_t **ret, struct error *err);
int engine_compute_kill(struct engine *engine, const char *id, struct error *err);
/* The phases of its last start and end, see trace_phases(). */
int engine_vm_trace(struct engine *engine, const char *reference, json_t **ret, struct error *err);
/* Last bytes of the guest's console; malloc'd. */
int engine_vm_console(struct engine *engine, const char *reference, char **ret, size_t *ret_length,
                      struct error *err);
/* [{"Engine","Works","Reason","BootMs"}] for every engine. */
int engine_vm_probe(struct engine *engine, bool refresh, json_t **ret, struct error *err);

#endif
