/* The worker: runs one container for the engine and outlives it. It owns the container's streams,
 * log and exit record, and speaks the compute protocol both ways: server to any number of clients
 * on <runtime_dir>/worker.sock, client of the agent.
 *
 * Theory of operation. IDLE -> STARTING -> RUNNING -> ENDING -> EXITED, once.
 *
 *   IDLE      listens; clients may attach, so that nothing of the first output is missed. Without a
 *             client for WORKER_IDLE_MS it ends: whoever started it has changed its mind, or died.
 *   STARTING  a `start` came. process: an agent in this process, at the other end of a socketpair.
 *             hyperv: the VM boots, its agent says hello within WORKER_BOOT_MS. Then `create`,
 * `start`. RUNNING   output goes to the log and to every attached client. ENDING    the container's
 * `exit` came; a VM is asked to power off within WORKER_POWER_OFF_MS, then killed. EXITED exit.json
 * is written, then clients are told, what they have not read is flushed for at most
 * WORKER_DRAIN_MS, and the worker is done.
 *
 * Backpressure. The agent may send what it has credit for. A client that cannot take its copy at
 * once gets a backlog, and as long as any has one, no new credit is given; so a backlog never
 * passes one window, a slow client slows the container as a slow terminal does, and a client that
 * vanishes takes its backlog with it. Streams of `exec` have one reader: credit is handed through
 * end to end, and nothing is kept here.
 *
 * Stdin comes from every attached client that asked for it, in the order of arrival. With
 * stdin_once and no terminal it is closed when the first of them has finished or gone; otherwise it
 * stays open.
 *
 * A worker whose job says `files` serves the files of a container that does not run: `start` makes
 * the agent mount the root (`files`) and nothing else, there is no log and no exit record, and it
 * ends in good order when it has had no client for WORKER_FILES_IDLE_MS, or at `kill`: what was
 * written must be on a VM's disk before the next one is given that.
 *
 * One whose job also says `convert` moves the writable layer (worker_convert.c): what its record
 * says when it ends is the outcome.
 *
 * The guest of a VM is hostile: a violation of the protocol, its silence at the start or at the
 * end, and that it does not end by SIGKILL, end the VM, and the container's record is code 137 with
 * the reason. Silence about any other request is the client's error after WORKER_ANSWER_MS.
 *
 * Everything happens in one loop; state changes that free what a handler may be called from are
 * made between its rounds, in worker_run(). */
#ifndef HULL_COMPUTE_WORKER_H
#define HULL_COMPUTE_WORKER_H

struct error;
struct loop;
struct worker;

enum {
    WORKER_CLIENTS_MAX = 64,
    WORKER_IDLE_MS = 30 * 1000,
    WORKER_FILES_IDLE_MS = 5 * 1000, /* docker cp makes several requests */
    WORKER_BOOT_MS = 30 * 1000,
    WORKER_BOOT_TCG_MS = 90 * 1000,
    WORKER_POWER_OFF_MS = 10 * 1000, /* in which the VMM writes nothing */
    WORKER_POWER_OFF_ROUNDS = 90,    /* of these at most */
    WORKER_DRAIN_MS = 10 * 1000,
    WORKER_STALL_MS =
        10 * 1000, /* a client that reads nothing after the container's end is dropped */
    WORKER_ANSWER_MS = 30 * 1000, /* a guest's time to answer what a client asked it */
    WORKER_SIGNAL_MS = 8 * 1000,  /* to take a signal, and then to end by SIGKILL */
    WORKER_CONVERT_MS =
        600 * 1000,             /* to take or give a piece of a layer, or bring it to its disk */
    WORKER_TCG_FACTOR = 3,      /* in software all takes longer */
    WORKER_STOP_MS = 10 * 1000, /* from SIGTERM to SIGKILL when the worker itself is to end */
    WORKER_CONSOLE_TAIL = 1024, /* bytes of the guest's console in an error */
};

/* For worker.log: one line that somebody should see. */
typedef void worker_log_function(const char *text, void *data);

/* Says where the program's own arguments are, which ps(1) shows; without this they stay as they
 * are.
 */
void worker_keep_arguments(int argc, char **argv);
/* Makes `directory`, as much of it as there is room for, the argument that is shown. */
void worker_set_title(const char *directory);

/* Reads <directory>/worker.json, makes runtime_dir, listens. */
int worker_new(struct loop *loop, const char *directory, worker_log_function *log, void *log_data,
               struct worker **ret, struct error *err);

/* Runs the loop until the worker is done. 0 or -errno. */
int worker_run(struct worker *worker);

/* Ends the container in good order (SIGTERM, later SIGKILL) and then the worker. */
void worker_stop(struct worker *worker);

struct worker *worker_free(struct worker *worker);

#endif
