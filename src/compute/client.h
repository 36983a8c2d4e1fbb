/* The engine's half of the compute protocol: blocking calls to a container's worker, one connection
 * per client object. Use one object per thread; several objects to one worker are fine and are how
 * every attached client gets streams of its own.
 *
 *     compute_worker_spawn(&spec, err)         starts hull-worker for a job, returns when it
 * listens compute_client_connect(runtime_dir, &client, err) compute_client_start(client, &pid, err)
 */
#ifndef HULL_COMPUTE_CLIENT_H
#define HULL_COMPUTE_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

struct compute_client;
struct error;

/* Starts `worker_program` on a read-only view of its file (so that no container can write to it
 * through /proc/PID/exe), in a session of its own, for the job in `directory`/worker.json. Returns
 * when it listens on `runtime_dir`/worker.sock; what it printed on failure is in the error. */
int compute_worker_spawn(const char *worker_program, const char *directory, const char *runtime_dir,
                         pid_t *ret_pid, struct error *err);

/* Connects and shakes hands. -ENOENT/-ECONNREFUSED, class NOT_FOUND: no worker is there. */
int compute_client_connect(const char *runtime_dir, struct compute_client **ret, struct error *err);
struct compute_client *compute_client_free(struct compute_client *client);
DEFINE_CLEANUP(struct compute_client *, compute_client_cleanup, compute_client_free)
#define CLEANUP_CLIENT CLEANUP(compute_client_cleanup)

/* For an event loop: readable when compute_client_next_event() has something. */
int compute_client_fd(const struct compute_client *client);

/* One request and its answer; events that arrive meanwhile are kept. `arguments` is consumed.
 * *ret (may be NULL) is a new reference to the "ok" object. Errors of the other side arrive with
 * their class, code and message. */
int compute_client_call(struct compute_client *client, const char *op, json_t *arguments,
                        json_t **ret, struct error *err);

/* Takes the next event if there is one: 1 and a new reference, 0 when none is waiting
 * (non-blocking), -EPIPE when the worker has gone. */
int compute_client_next_event(struct compute_client *client, json_t **ret, struct error *err);
/* The same, waiting; timeout_ms -1: for ever. -ETIMEDOUT. */
int compute_client_wait_event(struct compute_client *client, int timeout_ms, json_t **ret,
                              struct error *err);

/* --- thin forms over compute_client_call --- */
int compute_client_start(struct compute_client *client, pid_t *ret_pid, struct error *err);
/* *ret_notice is changed, to malloc'd text, if the container runs though something is wrong: its
 * writable layer is damaged, or it lacks what is mounted below a share. */
int compute_client_start_heeding(struct compute_client *client, pid_t *ret_pid, char **ret_notice,
                                 struct error *err);
int compute_client_signal(struct compute_client *client, const char *exec_id, int signal, bool all,
                          struct error *err);
int compute_client_resize(struct compute_client *client, const char *exec_id, int width, int height,
                          struct error *err);
/* Ends the worker and whatever it runs. */
int compute_client_kill(struct compute_client *client, struct error *err);

/* --- streams: attach and exec --- */

enum compute_stream { COMPUTE_STDIN = 0, COMPUTE_STDOUT = 1, COMPUTE_STDERR = 2 };

/* Which streams are wanted, and the detach key sequence ("" or NULL: docker's default
 * ctrl-p,ctrl-q; only looked for in stdin of a terminal). */
struct compute_streams {
    bool in;
    bool out;
    bool err;
    const char *detach_keys;
};

int compute_client_attach(struct compute_client *client, const struct compute_streams *streams,
                          bool *ret_terminal, struct error *err);

/* `process` is an OCI process object, consumed. */
int compute_client_exec(struct compute_client *client, const char *exec_id, json_t *process,
                        const struct compute_streams *streams, pid_t *ret_pid, struct error *err);

/* Tells, from within the pump, how the exec of this connection ended; called once at most. */
typedef void compute_exit_handler(const char *exec_id, int code, void *data);
void compute_client_on_exit(struct compute_client *client, compute_exit_handler *on_exit,
                            void *data);

/* Carries bytes both ways between the attached streams and a hijacked connection until the streams
 * end, the peer goes or the user detaches. An exec's end is waited for even when its streams end
 * before it: who sees the connection close may ask for the exit status. `fd` is the connection (not
 * owned); `early` are bytes that the client had already sent. With `multiplexed`, output is framed
 * as docker's stdcopy (8-byte header: stream, 0, 0, 0, big-endian length); else raw. Half-closes
 * are passed on. */
enum compute_pump_end { COMPUTE_PUMP_ENDED, COMPUTE_PUMP_PEER_GONE, COMPUTE_PUMP_DETACHED };
int compute_client_pump(struct compute_client *client, int fd, const void *early,
                        size_t early_length, bool multiplexed, struct error *err);

#endif
