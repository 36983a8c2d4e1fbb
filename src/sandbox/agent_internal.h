/* The inside of the agent, shared by agent*.c. */
#ifndef HULL_SANDBOX_AGENT_INTERNAL_H
#define HULL_SANDBOX_AGENT_INTERNAL_H

#include "base/list.h"
#include "base/loop.h"
#include "base/process.h"
#include "base/trace.h"
#include "sandbox/agent.h"
#include "sandbox/sandbox.h"
#include "wire/connection.h"
#include "wire/queue.h"

struct agent_layer;
struct agent_process;
struct agent_proxies;
struct spec_process;

/* What a program writes, on its way to a channel. */
struct agent_output {
    struct agent_process *process;
    struct loop_source source;
    struct wire_channel *channel; /* NULL: read and thrown away */
    int fd;                       /* -EBADF: finished */
};

/* What a program reads. */
struct agent_input {
    struct agent_process *process;
    struct loop_source source;
    struct wire_channel *channel;
    struct wire_queue queue; /* at most the credit that was granted */
    int fd;
    bool ended; /* close when the queue is empty */
};

struct agent_process {
    struct list node; /* in agent->processes */
    struct agent *agent;
    char exec[AGENT_EXEC_ID_MAX + 1]; /* "": the container's first */
    struct process process;
    struct loop_source source; /* the pidfd */
    struct agent_input in;
    struct agent_output out;
    struct agent_output err;
    int terminal; /* the pty's master; in.fd and out.fd are duplicates */
    bool ended;   /* reaped; code and signal are valid */
    int code;
    int signal;
};

enum agent_state {
    AGENT_NONE,
    AGENT_CREATED,
    AGENT_RUNNING,
    AGENT_EXITED,
    AGENT_FILES, /* the root is mounted, and nothing will ever run in it */
    AGENT_LAYER, /* the writable layer is sent or received, nothing else */
};

struct agent {
    struct loop *loop;
    struct wire_connection *connection;
    const struct agent_ops *ops;
    void *data;
    bool is_guest;
    bool closing;     /* agent_free() is at work */
    uint64_t request; /* the one that is being served */
    bool deferred;    /* it is answered later */

    enum agent_state state;
    struct spec_runtime *config;
    struct sandbox_root root;
    struct sandbox *sandbox;
    struct agent_process *first; /* also in processes */
    struct list processes;
    size_t n_execs;
    struct loop_source drain_timer;
    struct trace trace;            /* since the last report */
    struct agent_proxies *proxies; /* sockets of the host; in a guest */
    struct list archives;
    size_t n_archives;
    struct agent_layer *layer;
};

/* --- agent_archive.c --- */

/* The operations on a container's files; each is answered later. */
int agent_op_stat_path(struct agent *agent, json_t *request, json_t **ret, struct error *err);
int agent_op_archive_read(struct agent *agent, json_t *request, json_t **ret, struct error *err);
int agent_op_archive_write(struct agent *agent, json_t *request, json_t **ret, struct error *err);
int agent_op_changes(struct agent *agent, json_t *request, json_t **ret, struct error *err);
/* Ends all of them, unanswered. */
void agent_archives_free(struct agent *agent);
/* Reaps the child of that pid if it is one of theirs. */
bool agent_archives_reap(struct agent *agent, pid_t pid);

/* --- agent_layer.c --- */
int agent_op_layer(struct agent *agent, json_t *request, json_t **ret, struct error *err);
int agent_op_layer_slot(struct agent *agent, json_t *request, json_t **ret, struct error *err);
void agent_layer_free(struct agent *agent);

/* --- agent_stream.c --- */

/* Channel numbers of a request's "streams"; 0: not wanted. */
struct agent_streams {
    uint32_t in;
    uint32_t out;
    uint32_t err;
};

/* The ends that the program gets; closed by agent_pipes_close(). */
struct agent_pipes {
    int in;
    int out;
    int err;
};

int agent_streams_from_json(const json_t *request, bool terminal, struct agent_streams *ret,
                            struct error *err);
/* Opens the channels and makes the pipes (none for a terminal). */
int agent_streams_open(struct agent_process *process, const struct agent_streams *streams,
                       bool terminal, struct agent_pipes *ret, struct error *err);
void agent_pipes_close(struct agent_pipes *pipes);
/* Begins to carry bytes. terminal: the master (now the process's), or -EBADF. */
int agent_streams_start(struct agent_process *process, int terminal, struct error *err);
/* Reads what is left of an ended program's output. */
void agent_streams_drain(struct agent_process *process);
bool agent_streams_done(const struct agent_process *process);
/* Gives up: resets the channels, closes the pipes. */
void agent_streams_abort(struct agent_process *process);

/* --- agent_process.c --- */
struct agent_process *agent_process_new(struct agent *agent, const char *exec);
struct agent_process *agent_process_free(struct agent_process *process);
struct agent_process *agent_process_find(struct agent *agent, const char *exec);
/* Starts to watch for its end. */
int agent_process_watch(struct agent_process *process, struct error *err);
/* Reaps it, if it has ended. */
void agent_process_reap(struct agent_process *process);
/* Looks whether an ended program's output is through; sends `exit` then. May free `process`. */
void agent_process_settle(struct agent_process *process);
/* What was marked since the last report. */
json_t *agent_report(struct agent *agent);
/* Adds the member `damage`, if there is some. */
void agent_report_damage(struct agent *agent, json_t *message);
/* Sends a `log` event. */
void agent_log(struct agent *agent, const char *message);

#endif
