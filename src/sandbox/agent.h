/* The agent: serves the compute protocol (ARCHITECTURE.md) for the one container of this kernel or,
 * on the host, of this worker. It is the server of a connection and lives in somebody's event loop:
 * of hull-worker for `process`, of hull-init, pid 1 of the utility VM, for `hyperv`.
 *
 * Theory of operation. One container goes through NONE -> CREATED -> RUNNING -> EXITED, once. Every
 * program (the first one, and those of `exec`) is a `struct agent_process`: a pidfd, and up to
 * three streams between its pipes, or its terminal, and channels. Output is read only when the
 * channel has credit, so a program whose readers are slow waits in write(2), as it would on any
 * pipe.
 *
 * When a program ends it is reaped at once (the container's pid 1 cannot go before programs of
 * `exec` are reaped, see zap_pid_ns_processes() in the kernel), and then its output is drained:
 * until end of file, or until nothing is left to read, because a descendant that lives on may hold
 * the pipe. Only then `exit` is sent. For the container it is sent after what `exec` started is
 * over too, and its connections to sockets of the host (at most AGENT_EXEC_DRAIN_MS later), and
 * after sandbox_destroy(): whoever hears of it
 * may take the file systems away. If the output of an ended program waits for credit, `ended` is
 * sent before.
 *
 * `files` in place of `create` mounts the root of a container that does not run; nothing can be
 * started in it afterwards. In both states the container's files are read and written from outside,
 * each time by a child of the agent's own (agent_archive.c).
 *
 * `layer` in place of `create` sends or receives a writable layer (agent_layer.h). */
#ifndef HULL_SANDBOX_AGENT_H
#define HULL_SANDBOX_AGENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/trace.h"

struct agent;
struct error;
struct loop;
struct sandbox_root;

enum {
    AGENT_EXECS_MAX = 256,      /* at once */
    AGENT_EXEC_ID_MAX = 64,     /* characters */
    AGENT_EXEC_DRAIN_MS = 2000, /* how long unread output of an exec holds the container's exit */
    AGENT_LAYERS_MAX = 128,
    AGENT_ARCHIVES_MAX = 16, /* reads and writes of files at once */
};

/* What differs between host and guest. All may be NULL but closed. */
struct agent_ops {
    /* Before the container is made: fills *ret (strings malloc'd, agent_root_release() frees them)
     * from the `create` request. NULL: only {"type": "overlay"} is served, as it stands. */
    int (*prepare)(const json_t *request, struct sandbox_root *ret, void *data, struct error *err);
    /* For `layer`: where the writable layer's files and the ring are, malloc'd. NULL: the request's
     * own `directory` and `ring`. */
    int (*prepare_layer)(const json_t *request, char **ret_directory, char **ret_ring, void *data,
                         struct error *err);
    /* What is wrong with the file system of the writable layer, malloc'd; NULL: nothing is known to
     * be. Asked after prepare() and when everything is unmounted. */
    char *(*damage)(void *data);
    /* `shutdown` was asked for. NULL: it is answered and has no effect. */
    void (*shutdown)(void *data);
    /* The connection is over; the agent does nothing more. Last call. */
    void (*closed)(const struct error *reason, void *data);
};

/* Serves on `fd`, closed at the end when `own`. is_guest: see struct sandbox_spec. `ops` is
 * borrowed. */
int agent_new(struct loop *loop, int fd, bool own, bool is_guest, const struct agent_ops *ops,
              void *data, struct agent **ret, struct error *err);

/* Destroys the container if there is one, and frees everything. Accepts NULL, returns NULL. */
struct agent *agent_free(struct agent *agent);

/* Adds a mark (base/trace.h) that the answer to `create` will report. */
void agent_mark(struct agent *agent, enum trace_mark mark, int64_t when);

/* For a pid 1: reaps every child that has ended, the agent's own with its status kept. `agent` may
 * be NULL. */
void agent_reap(struct agent *agent);

/* Reads {"type": "overlay", "lower", "upper", "work", "target"}. */
int agent_root_from_json(const json_t *rootfs, struct sandbox_root *ret, struct error *err);
void agent_root_release(struct sandbox_root *root);

#endif
