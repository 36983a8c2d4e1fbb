/* One container as the engine knows it, and the table of all. Private to engine/.
 *
 * Locking: fields marked [state] are read and changed under engine->lock only; those marked
 * [operation] by whoever holds container->operation; the rest do not change after creation. A
 * `struct container *` obtained from engine_container_get() holds a reference; release it with
 * container_put(). The order is operation lock first, then state lock. */
#ifndef HULL_ENGINE_CONTAINER_H
#define HULL_ENGINE_CONTAINER_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/trace.h"
#include "compute/job.h"
#include "net/endpoint.h"

struct compute_client;
struct container;
struct engine;
struct error;

enum container_status {
    CONTAINER_CREATED,
    CONTAINER_RUNNING,
    CONTAINER_PAUSED,
    CONTAINER_RESTARTING,
    CONTAINER_REMOVING,
    CONTAINER_EXITED,
    CONTAINER_DEAD,
    CONTAINER_STATUS_MAX,
};
const char *container_status_to_string(enum container_status status); /* docker's words */
int container_status_from_string(const char *text);                   /* -EINVAL */

enum { CONTAINER_NAME_MAX = 255, CONTAINER_ERROR_MAX = 1024 };

struct container {
    struct engine *engine;
    struct list node;    /* [state] in engine->containers, newest last */
    unsigned references; /* atomic; the table holds one */
    pthread_mutex_t operation;

    char id[65];
    char *name;          /* [state] without the leading slash */
    json_t *config;      /* API "Config", complete after merging the image's */
    json_t *host_config; /* [state] API "HostConfig" with every default filled in */
    char *image_name;    /* as the user typed it */
    char *image_id;      /* sha256:... */
    char *path;          /* first word of the command line */
    char **args;         /* the rest */
    /* These two are changed by the holder of both locks (convert.c), and so read under either. */
    enum compute_isolation isolation;
    int vm_engine; /* enum vm_engine; -1 for process */
    int64_t created;
    bool terminal; /* Config.Tty */
    bool open_stdin;
    bool stdin_once;
    bool auto_remove;
    char *network; /* "bridge", "none", "host" */
    /* mounts.c. What it is does not change; the members "hull" are [state]. NULL in what an engine
     * without volumes has stored, until its next start. */
    json_t *mount_points;
    char *directory;   /* <root>/containers/<id> */
    char *runtime_dir; /* <state>/containers/<id> */

    enum container_status status;    /* [state] */
    pid_t pid;                       /* [state] pid 1 as its kernel numbers it; 0 */
    pid_t worker_pid;                /* [state] 0 when there is none */
    int exit_code;                   /* [state] */
    bool oom_killed;                 /* [state] */
    char error[CONTAINER_ERROR_MAX]; /* [state] State.Error */
    int64_t started;                 /* [state] */
    int64_t finished;                /* [state] */
    int restart_count;               /* [state] */
    int restart_backoff;             /* [state] restarts since it last ran for a while */
    bool stopped_by_user;            /* [state] moby's HasBeenManuallyStopped */
    bool no_restart;                 /* [state] no restart policy acts at the end of this run */
    bool worker_spent;    /* [state] the worker has had its run: it ends, and serves no other */
    uint64_t run;         /* [state] number of the current or last run: guards late clean-up */
    bool converting;      /* [state] a conversion is under way, */
    bool cancelled;       /* [state] which is not wanted any more */
    bool cleaned;         /* [state] the last run's network and directories are given back */
    bool in_table;        /* [state] false once removed */
    bool start_requested; /* [state] between start and its outcome */
    struct trace trace;   /* [state] the engine's marks of this run */
    unsigned file_users;  /* [state] transfers of its files that are under way */
    unsigned restarts;    /* [state] restarts under way: --rm does not act */
    bool connected;       /* [state] the network event "connect" was emitted for this run */

    /* These three are changed by the holder of both locks, and so read under either. */
    uint32_t address; /* host byte order, 0 none; leased in the store */
    uint8_t mac[6];
    bool has_endpoint;
    struct net_endpoint endpoint; /* [operation] */
    json_t *ports;                /* [state] NetworkSettings.Ports while running, or NULL */
    bool vm_adopted;      /* [state] while there is a worker: it came with a VM of the pool */
    uint64_t vm_promised; /* [state] memory for a VM that is starting, admission.h */
    uid_t vm_uid;         /* [operation] leased user id of the VMM, 0 none */
    bool volumes_mounted; /* [operation] this run's volumes are counted */

    struct compute_client *events; /* loop thread: the connection that events arrive on */
    struct loop_source source;     /* loop thread */
};

/* Finds by name, id or unique id prefix. ERROR_NOT_FOUND "No such container: X". *ret carries a
 * reference. */
int engine_container_get(struct engine *engine, const char *reference, struct container **ret,
                         struct error *err);
struct container *container_ref(struct container *container);
void container_put(struct container *container);
void container_put_cleanup(struct container **container);
#define CLEANUP_CONTAINER CLEANUP(container_put_cleanup)

/* Is its first process there (running, paused)? Call under the state lock. */
bool container_is_running(const struct container *container);

/* Writes the row, unless the container has left the table: a late change must not bring it back.
 * Call with the state lock held or before other threads know the container. */
int container_save(struct container *container, struct error *err);

/* Fills the fields that follow from config, host_config and id. */
int container_derive(struct container *container, struct error *err);

/* JSON of what the store keeps, and back. */
json_t *container_to_document(const struct container *container);
int container_from_document(struct engine *engine, const json_t *document, struct container **ret,
                            struct error *err);

/* Takes it out of the table (the last reference may be the caller's). */
void container_leave_table(struct container *container);

/* Starts it for its restart policy, unless `run` is no longer its last or somebody stopped it
 * while it waited. [operation] */
int container_restart_locked(struct container *container, uint64_t run, struct error *err);
/* Removes it for good. [operation] flags: enum engine_remove_flags. */
int container_remove_locked(struct container *container, unsigned flags, struct error *err);

struct container *container_new(struct engine *engine);
struct container *container_free(struct container *container);

/* Takes the operation lock for a scope. */
void container_unlock_cleanup(struct container **container);
#define CONTAINER_OPERATION(target)   \
    CLEANUP(container_unlock_cleanup) \
    struct container *operation_guard_ __attribute__((unused)) = container_lock(target)
struct container *container_lock(struct container *container);

#endif
