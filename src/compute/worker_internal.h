/* The inside of the worker, shared by worker*.c. */
#ifndef HULL_COMPUTE_WORKER_INTERNAL_H
#define HULL_COMPUTE_WORKER_INTERNAL_H

#include "base/error.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/trace.h"
#include "compute/exit_record.h"
#include "compute/job.h"
#include "compute/log_file.h"
#include "compute/worker.h"
#include "vm/plug.h"
#include "wire/connection.h"
#include "wire/queue.h"

struct agent;
struct worker_attachment;
struct worker_proxies;
struct worker_shares;
struct worker_convert;

#define WORKER_NO_ANSWER "the container's virtual machine does not answer"

enum worker_status {
    WORKER_BOOTING, /* worker_pool.c: no container is known yet */
    WORKER_POOLED,
    WORKER_IDLE,
    WORKER_STARTING,
    WORKER_RUNNING,
    WORKER_ENDING,
    WORKER_EXITED,
    WORKER_STATUS_MAX,
};

/* What the one timer is set for. */
enum worker_deadline {
    WORKER_NO_DEADLINE,
    WORKER_DEADLINE_IDLE,
    WORKER_DEADLINE_BOOT,
    WORKER_DEADLINE_STOP,
    WORKER_DEADLINE_KILL,
    WORKER_DEADLINE_CONVERT,
    WORKER_DEADLINE_POWER_OFF,
    WORKER_DEADLINE_DRAIN,
};

/* A pooled VM gets its container's disks and NIC. */
enum worker_plug { WORKER_NOT_PLUGGED, WORKER_PLUGGING, WORKER_PLUGGED, WORKER_UNFIT };

struct worker_client {
    struct list node;
    struct worker *worker;
    uint64_t serial; /* names the client where it may be gone by the time it is looked for */
    struct wire_connection *connection;
    uint64_t wait_id; /* of an unanswered `wait`, 0: none */
    struct worker_attachment *attachment;
};

/* One of the container's output streams. */
struct worker_output {
    struct worker *worker;
    struct wire_channel *channel; /* from the agent */
    size_t owed;                  /* bytes for which no credit was given back yet */
    bool ended;
};

struct worker {
    struct loop *loop;
    struct compute_job *job;
    worker_log_function *log_function;
    void *log_data;
    enum worker_status status;
    bool done;
    bool listening;

    struct loop_source listener;
    struct list clients;
    size_t n_clients;
    uint64_t last_serial;

    struct loop_source timer;
    enum worker_deadline deadline;
    struct loop_source stall_timer;

    /* placement */
    struct wire_connection *link;
    struct agent *agent; /* process */
    struct vm *vm;       /* hyperv */
    struct worker_shares *shares;
    struct worker_proxies *proxies;
    bool vm_ended;
    bool ended;       /* the container's program has; its exit is told after its output */
    uint64_t written; /* bytes by the VMM, when it was last asked */
    unsigned power_off_rounds;
    bool discarded;              /* the VM was not to write what it had left */
    struct vm_template template; /* descriptors, while `from_template` */
    bool from_template;          /* the VM was made from one and has not got its disks yet */
    bool template_spent;         /* there was one, which did not work */
    bool updating;               /* an `update` is on its way to the guest */
    json_t *resources; /* worker_update.c: of the container's cgroup; NULL: not looked at */
    bool user_published;
    struct worker_convert *convert;
    struct error lost; /* why the link or the VM was lost, found in a handler */

    /* of the pool */
    uint64_t booter; /* serial of the client that asked for the boot, 0: it was answered */
    uint64_t boot_id;
    enum worker_plug plug;

    /* start */
    uint64_t starter; /* serial of the client that asked */
    uint64_t start_id;
    pid_t pid;
    json_t *warnings;
    char damage[256]; /* of the writable layer, as the guest says; "": none */
    char notice[512]; /* of the shares: what the container does not have; "": nothing */

    /* streams */
    struct log_file log;
    struct worker_output output[LOG_STREAM_MAX];
    struct wire_channel *input; /* to the agent */
    bool input_closed;
    struct list attachments;
    struct list execs;
    size_t n_execs;
    uint64_t last_freeze; /* serial of the last request to freeze or to thaw */

    struct exit_record record;
    struct trace trace;
    bool finishing; /* the record is complete: finish between two rounds of the loop */
};

/* worker.c */
void worker_note(struct worker *worker, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void worker_set_deadline(struct worker *worker, enum worker_deadline deadline, unsigned ms);
/* Writes worker.pid and listens, in the job's runtime directory. */
int worker_open_runtime(struct worker *worker, struct error *err);
/* What the exit record will say, as of now. */
void worker_set_record(struct worker *worker, int code, const char *reason);
/* The container is over: 137 and `reason`, unless a record was complete already. */
void worker_lose(struct worker *worker, const struct error *reason);
/* Nobody is connected: it waits for a while and ends. */
void worker_await_client(struct worker *worker);
/* create or start failed. */
void worker_start_failed(struct worker *worker, const struct error *error);
void worker_started(struct worker *worker, pid_t pid);
/* Leaves what was marked so far in the container's directory. */
void worker_write_trace(struct worker *worker);
void worker_begin_end(struct worker *worker);
void worker_kill(struct worker *worker, const char *reason);
const char *worker_status_name(const struct worker *worker);

/* worker_client.c */
int worker_listen(struct worker *worker, struct error *err);
void worker_stop_listening(struct worker *worker);
struct worker_client *worker_client_find(struct worker *worker, uint64_t serial);
void worker_clients_free(struct worker *worker);
/* Sends an event to every client; consumes members. */
void worker_broadcast(struct worker *worker, const char *name, json_t *members);
json_t *worker_exit_event(const struct worker *worker);
bool worker_clients_drained(const struct worker *worker);

/* worker_pool.c */
/* Goes to a network namespace of its own if the VM's NIC is to be a packet socket; nothing there
 * has an IPv6 address or speaks to the host. Before the engine is told that the worker is there. */
int worker_leave_network(const struct worker *worker, struct error *err);
/* Makes the far end of the container's veth pair ready for that socket. */
int worker_prepare_nic(const struct worker *worker, struct error *err);
int worker_pool_boot(struct worker_client *client, uint64_t id, struct error *err);
int worker_pool_adopt(struct worker_client *client, json_t *request, struct error *err);
/* The agent of a pooled VM has said hello. */
void worker_pool_booted(struct worker *worker);
/* The link or the VM is lost. False when the worker has its VM not from the pool, or when its
 * container runs already: then that is lost. */
bool worker_pool_lost(struct worker *worker, const struct error *reason);
/* Ends the VM of a container that waits for its start, which then boots another one. */
void worker_pool_drop(struct worker *worker);
/* At a start: 1 when the VM is there and will be used; 0: it must be booted. */
int worker_pool_place(struct worker *worker);

/* worker_place.c */
/* Milliseconds for a VM that is booted until its container runs. */
unsigned worker_boot_time(const struct worker *worker);
char *worker_console_path(const struct compute_job *job);
int worker_place(struct worker *worker, struct error *err);
void worker_displace(struct worker *worker);
/* The layers and then the writable layer, in the order in which the guest numbers them. -EINVAL
 * (class INVALID) when a VM cannot have as many. */
int worker_disks(const struct compute_job *job, struct vm_disk disks[VM_DISKS_MAX], size_t *ret_n,
                 struct error *err);
/* Gives a VM that was started without them its disks and its NIC (vm/plug.h). */
int worker_plug(struct worker *worker, vm_plugged_function *plugged, struct error *err);
/* Ends a VM that has nothing of the container in it yet. */
void worker_drop_vm(struct worker *worker);
/* Makes a guest's text fit for one line of an error. */
void worker_make_line(char *text);
/* Adds the end of the guest's console to the error's message. */
void worker_quote_console(const struct worker *worker, struct error *error);

/* worker_template.c */
/* Changes the configuration to that of a VM that is made from the job's template. False: there is
 * none that can be used, and the VM is to be booted. */
bool worker_template_use(struct worker *worker, struct vm_config *config);
/* The agent has said hello. True when disks and NIC have to be plugged in first; worker_create()
 * follows, or another VM. */
bool worker_template_plug(struct worker *worker);
/* The VM is lost, or does not answer. True when another one is booted in its place. */
bool worker_template_lost(struct worker *worker, const struct error *reason);
void worker_template_close(struct worker *worker);

/* worker_link.c */
/* Sends create, or files; the link is ready. */
void worker_create(struct worker *worker);
int worker_link_open(struct worker *worker, int fd, bool own, const char *peer, struct error *err);

/* worker_stream.c */
/* Opens the container's channels on the link, after `create` was sent with these numbers. */
json_t *worker_streams_plan(struct worker *worker);
int worker_streams_open(struct worker *worker, const json_t *plan, struct error *err);
int worker_attach(struct worker_client *client, const json_t *request, struct error *err);
/* The client has gone; what it sent before is still passed on. */
void worker_detach(struct worker_client *client);
/* No more output will come. */
void worker_streams_finish(struct worker *worker);
bool worker_streams_drained(const struct worker *worker);
/* Drops clients that hold the container's end up. */
void worker_drop_stalled(struct worker *worker);
void worker_streams_free(struct worker *worker);

/* worker_convert.c */
/* Makes the ring, before the VM is given it as a disk. */
int worker_convert_prepare(const struct compute_job *job, struct error *err);
/* Mounts the new disk: then an agent of this process's fills it, and no VM is needed. */
int worker_convert_mount(struct worker *worker, struct error *err);
/* The agent that has the disk is there. */
void worker_convert_start(struct worker *worker);
/* Nothing has moved for WORKER_CONVERT_MS. */
void worker_convert_stalled(struct worker *worker);
void worker_convert_vm_ended(struct worker *worker, bool clean, const char *reason);
void worker_convert_free(struct worker *worker);

/* worker_update.c */
/* Serves `update` of a container in a utility VM; 1: it is answered later. */
int worker_update_vm(struct worker_client *client, uint64_t id, json_t *request, struct error *err);
/* Bytes of the VM. */
uint64_t worker_memory(const struct compute_job *job);

/* worker_exec.c */
/* Passes a request to the agent and its answer back; opens and joins its streams. */
void worker_forward(struct worker_client *client, uint64_t id, const char *op, json_t *request);
/* Milliseconds that this worker's guest has for what takes `ms` with hardware's speed. */
unsigned worker_patience(const struct worker *worker, unsigned ms);
/* 1: its client is to hear of it; 0: nobody is, who was told that it does not run; -ENOENT. */
int worker_exec_ended(struct worker *worker, const char *id);
json_t *worker_exec_ids(const struct worker *worker);
void worker_execs_free(struct worker *worker);

#endif
