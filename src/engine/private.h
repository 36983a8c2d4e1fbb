/* What the files of engine/ share. Nothing outside engine/ includes this. */
#ifndef HULL_ENGINE_PRIVATE_H
#define HULL_ENGINE_PRIVATE_H

#include <pthread.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/loop.h"
#include "engine/container.h"
#include "engine/engine.h"

struct compute_client;
struct event_bus;
struct image_store;
struct janitor;
struct engine_pool;
struct engine_templates;
struct net;
struct store;
struct volume_table;

struct engine {
    struct engine_config config; /* owned copies of its texts */
    char **owned;                /* strv of those texts */
    char *id;                    /* of this engine, kept in the store: GET /info ID */
    char *users_dir;
    char *initramfs;
    char *x86_initramfs;
    int64_t started;

    pthread_mutex_t lock;   /* the state lock */
    pthread_cond_t changed; /* broadcast with every change of a container's status */
    struct list containers;
    size_t n_containers;
    struct list waits;            /* struct engine_wait */
    struct list execs;            /* struct exec, see exec.c */
    struct volume_table *volumes; /* volume.h */

    struct store *store;
    struct image_store *images;
    struct net *net; /* NULL: no default bridge */
    struct event_bus *events;
    struct janitor *janitor;
    struct engine_pool *pool;

    struct loop *loop;
    struct loop_source wake; /* eventfd: the loop thread has work in `adopted` */
    int wake_fd;
    struct list adopted;
    pthread_t loop_thread;
    bool loop_running;

    pthread_mutex_t probe_lock; /* one probe at a time */
    struct engine_templates *templates;
};

/* Scope lock of the state lock. */
struct engine *engine_lock(struct engine *engine);
void engine_unlock_cleanup(struct engine **engine);
#define ENGINE_STATE(owner)        \
    CLEANUP(engine_unlock_cleanup) \
    struct engine *state_guard_ __attribute__((unused)) = engine_lock(owner)

/* --- events.c --- */
struct event_bus *event_bus_new(void);
struct event_bus *event_bus_free(struct event_bus *bus);
/* Emits an event with the container's usual attributes (image, name, its labels) and `extra`
 * (consumed, may be NULL). Takes the state lock, as a rename may come between. */
void engine_emit_container(struct engine *engine, const struct container *container,
                           const char *action, json_t *extra);
/* The same, called under the state lock: events that belong to a change of state are emitted
 * together with it, so that they keep its order. */
void engine_emit_container_locked(struct engine *engine, const struct container *container,
                                  const char *action, json_t *extra);
/* type "image", "network", "daemon" ... `attributes` consumed. */
void engine_emit(struct engine *engine, const char *type, const char *action, const char *actor_id,
                 json_t *attributes);

/* --- filters.c: docker's filter documents --- */
/* Values of filter `name` in either form of the document, as a new vector (empty when absent). */
int filter_values(const json_t *filters, const char *name, char ***ret, struct error *err);
/* ERROR_INVALID "invalid filter 'x'" for a name that is not in `known` (NULL-terminated). */
int filter_check_names(const json_t *filters, const char *const *known, struct error *err);
/* True when there is no filter `name`, or one of its values equals `value`. */
bool filter_match(const json_t *filters, const char *name, const char *value);
/* `label` filters ("key" or "key=value", all must match) against an object of labels. */
bool filter_match_labels(const json_t *filters, const char *name, const json_t *labels);

/* --- top.c --- */
/* Formats the agent's process list as `ps ARGS` would (columns, titles). */
int top_format(const json_t *processes, const char *ps_args, json_t **ret, struct error *err);

/* --- logs.c --- reads json-file logs at `path` (with rotated path.1, path.2 ...). `running` is
 * asked for whether more may come. */

/* --- wait.c --- */
enum engine_notice {
    ENGINE_NOTICE_EXIT,
    ENGINE_NOTICE_NOT_STARTED, /* nothing exited, but nothing runs either */
    ENGINE_NOTICE_REMOVED,
};
/* Call under the state lock, after the state was changed. */
void engine_notify_waits(struct engine *engine, struct container *container,
                         enum engine_notice notice);

/* --- exec.c --- */
/* An exec's end, reported by a worker. */
void engine_exec_ended(struct engine *engine, const char *exec_id, int code);
/* All execs of a container are over (its end) or forgotten (its removal). */
void engine_execs_container_ended(struct engine *engine, const struct container *container);
void engine_execs_forget(struct engine *engine, const struct container *container);
json_t *engine_exec_ids(struct engine *engine, const struct container *container);

/* --- signal.c --- */
/* "TERM", "SIGTERM", "15", "RTMIN+3"; -EINVAL. */
int engine_signal_parse(const char *text, int *ret);

/* --- ports.c: HostConfig.PortBindings and what inspect shows of them --- */
struct net_port;
int engine_ports_parse(const json_t *host_config, const json_t *config, struct net_port **ret,
                       size_t *ret_n, struct error *err);
int engine_ports_check(const json_t *host_config, const json_t *config, struct error *err);
/* NetworkSettings.Ports; NULL when out of memory. And back, for a restart of the engine. */
json_t *engine_ports_to_json(const struct net_port *ports, size_t n, const json_t *config);
int engine_ports_from_json(const json_t *json, struct net_port **ret, size_t *ret_n,
                           struct error *err);

/* --- mounts.c: Binds, Mounts, VolumesFrom, the image's volumes, Tmpfs --- */
struct spec_runtime;
/* Checks the request and fills container->mount_points. The container is not in the table yet. */
int engine_mounts_resolve(struct container *container, struct error *err);
/* For a container of an engine that had no volumes: only what it was given then. Call under the
 * state lock. */
int engine_mounts_restore(struct container *container, struct error *err);
/* What the container's isolation cannot have among its mount_points. */
int engine_mounts_check(const struct container *container, struct error *err);
int engine_mounts_add(const struct container *container, struct spec_runtime *config,
                      struct error *err);
json_t *engine_mounts_to_json(const struct container *container);

/* --- volumes.c --- */
/* The volumes with their UsageData, for /system/df. */
int engine_volume_usage(struct engine *engine, json_t **ret, struct error *err);

/* --- spec_security.c --- */
int engine_security_options_check(char *const *options, struct error *err);
int engine_security_apply(const struct container *container, struct spec_runtime *config,
                          struct error *err);

/* --- prepare.c --- */
/* --storage-opt size= of the writable layer; VM_SCRATCH_DEFAULT without. */
int engine_storage_size(const json_t *host_config, uint64_t *ret, struct error *err);
/* The log driver and its options, from the request over the daemon's; ret->path is malloc'd. */
int engine_log_options(const struct container *container, struct compute_log *ret,
                       struct error *err);

/* --- options.c / spec_builder.c / prepare.c --- */
/* Checks the create request and fills container->config/host_config with defaults and the image's
 * values; appends warnings. */
struct image;
int container_apply_request(struct container *container, const json_t *body,
                            const struct image *image, char ***warnings, struct error *err);
/* Checks a container that exists as create would in container->isolation; appends warnings. */
int container_check_isolation(struct container *container, char ***warnings, struct error *err);
/* What container_write_spec() would refuse. */
int container_check_spec(const struct container *container, struct error *err);
/* Writes config.json for the container's next run. */
int container_write_spec(struct container *container, struct error *err);
/* Makes everything ready for a worker and starts it, unless one is there. [operation] */
int container_prepare(struct container *container, struct error *err);
/* Gives back what prepare took. [operation] */
void container_cleanup(struct container *container);
/* Removes the container's directories, holds, leases. [operation] */
int container_erase(struct container *container, struct error *err);

/* Fills what a worker must know to boot the container's VM. */
int container_job_vm(struct container *container, struct compute_job *job, struct error *err);

/* Creates or replaces a file of the engine's own without fsync: it is made anew for every run. */
int engine_write_file(const char *path, const void *data, size_t length, mode_t mode,
                      struct error *err);

/* Ids of its own for a VM of `owner`, named by the first: those that it has already, or new ones.
 */
int engine_lease_uid(struct engine *engine, const char *owner, uid_t *ret, struct error *err);

/* Fills what a worker must know to reach the container's files, and makes its writable layer if
 * there is none. [operation] */
int container_job_files(struct container *container, struct compute_job *job, struct error *err);

/* --- trace.c: the points in time that `hull vm trace` shows --- */
/* A new run begins: forgets the last one's. [operation] */
void container_trace_begin(struct container *container);
void container_mark(struct container *container, enum trace_mark mark);
/* The same, and leaves the engine's marks in the container's directory. */
void container_mark_write(struct container *container, enum trace_mark mark);

/* --- files.c: the worker that serves the files of a container that does not run --- */
/* A connection to whoever serves the container's files: its worker, or one that is started for them
 * alone. Counted in container->file_users until container_files_put(). Takes the operation lock. */
int container_files_get(struct container *container, struct compute_client **ret,
                        struct error *err);
void container_files_put(struct container *container, struct compute_client *client);
/* Ends the one for files alone, if there is one, after waiting so long for who uses it.
 * [operation] */
int container_files_end(struct container *container, int patience_ms, struct error *err);
/* Is there one? It may be ending. [operation] */
bool container_files_exist(const struct container *container);
void container_files_forget(const struct container *container);

/* --- convert.c --- */
/* Moves the container to the other isolation, with a restart if it runs and `restart` says that it
 * may be. The same isolation is success. [operation], which is given up while it stops */
int container_convert(struct container *container, enum compute_isolation to, bool restart,
                      char ***warnings, struct error *err);
/* Removes what a conversion that was cut short has left, and what is not of the container's
 * isolation. What runs is not touched. The first error; the rest is removed all the same.
 * [operation], or before others know the container */
int container_convert_recover(struct container *container, struct error *err);
/* Removes the layer of the other isolation, which a conversion has left behind. [operation] */
void container_convert_discard(struct container *container);
/* Ends a conversion that is under way, if there is one: it fails soon. Takes no operation lock,
 * which that has. */
void container_convert_interrupt(struct container *container);

/* --- networks.c --- */
/* The 64-digit id of "bridge", "host" or "none" in this engine; malloc'd. */
char *engine_network_id(const struct engine *engine, const char *name);
/* Emits the "network" event "connect" at the beginning of a run, and "disconnect" at its end if it
 * was connected. */
void container_network_event(struct container *container, bool connect);

/* --- wait.c --- */
/* Waits until this run of the container is over, or until its worker is gone; timeout_ms -1: for
 * ever. 0 or -ETIMEDOUT. */
int container_wait_stopped(struct container *container, uint64_t run, int timeout_ms);
int container_wait_worker_gone(struct container *container, int timeout_ms);

/* --- size.c --- */
/* Bytes in the writable layer: of `process` those of its files, of `hyperv` what the disk occupies
 * beyond an empty one. 0 when it cannot be told. Not under the state lock: it may be many files. */
int64_t engine_container_size(struct engine *engine, const char *id);
/* Bytes in the files below a directory. */
int64_t engine_tree_size(const char *path);
/* Adds SizeRw and SizeRootFs, which is the image's files and those. 0 or -ENOMEM. */
int engine_put_sizes(struct engine *engine, const char *id, json_t *object);

/* --- watch.c: the loop thread and what it hears --- */
int engine_watch_open(struct engine *engine, struct error *err);
/* Starts the thread. What is handed over before waits for it. */
int engine_watch_start(struct engine *engine, struct error *err);
void engine_watch_stop(struct engine *engine);
/* Hands a connection over to the loop thread, which owns it from then on. */
int engine_watch_container(struct engine *engine, struct container *container,
                           struct compute_client *client, struct error *err);

/* --- janitor.c: threads for what takes long after a container's end --- */
enum janitor_task_kind { JANITOR_ENDED, JANITOR_RESTART, JANITOR_CONVERTED };
struct janitor *janitor_new(struct error *err);
struct janitor *janitor_free(struct janitor *janitor);
/* Queues a task for this run of the container (JANITOR_CONVERTED: for any); delay for
 * JANITOR_RESTART. */
void janitor_queue(struct janitor *janitor, enum janitor_task_kind task,
                   struct container *container, uint64_t run, int64_t delay_ms);

/* --- recover.c --- */
int engine_recover(struct engine *engine, struct error *err);

/* --- lifecycle.c --- */
/* A frozen process takes no signal, not even SIGKILL where cgroups are of version 1: thaws a paused
 * container after it was signalled, as moby does. */
void container_thaw(struct container *container, struct compute_client *client);
/* Says to the worker of a container that goes with its end that its files stay, so that what the
 * guest has in memory is written. An error if it runs and cannot be told, or has ended just now. */
int container_keep_files(struct container *container, struct error *err);
/* Stops it, for somebody who starts it again with container_start_held(): no restart policy acts
 * meanwhile, nor --rm. [operation], given up while it stops; the hold is there whatever is
 * returned. */
int container_hold_stopped(struct container *container, struct error *err);
int container_start_held(struct container *container, struct error *err);

/* --- vm choice (compute.c) --- */
/* The engine that a new hyperv container gets, or the error of row 14. Never a weaker isolation. */
int engine_vm_choose(struct engine *engine, enum vm_engine *ret, struct error *err);
void engine_vm_files(struct engine *engine, struct vm_files *ret);

#endif
