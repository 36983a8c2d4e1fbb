/* A client of the QEMU Machine Protocol (qemu's docs/interop/qmp-spec): one connection as a state
 * machine on an event loop. QEMU is on the guest's side of the jail, so what it says is hostile.
 *
 *     qmp_new(fd, loop, &events, &qmp, err)
 *     qmp_command(qmp, "query-status", NULL, done, data, err)   at once; sent after the handshake
 *     ... done(result, NULL, data) or done(NULL, error, data), from the loop, exactly once ...
 *     qmp_free(qmp)
 *
 * When the connection ends, or QEMU breaks the protocol, each pending command is completed with an
 * error, then one event SHUTDOWN {"guest": false, "reason": "disconnected"} is delivered unless
 * QEMU had sent a SHUTDOWN itself; so SHUTDOWN is seen exactly once. */
#ifndef HULL_VM_QMP_H
#define HULL_VM_QMP_H

#include <jansson.h>
#include <stddef.h>

struct error;
struct loop;
struct qmp;

enum {
    QMP_LINE_MAX = 256 * 1024,  /* longest message of QEMU */
    QMP_OUTPUT_MAX = 64 * 1024, /* bytes waiting to be sent */
    QMP_PENDING_MAX = 64,       /* commands without an answer */
};

struct qmp_events {
    /* `payload` (never NULL) is borrowed. May issue commands, or free the client. */
    void (*event)(struct qmp *qmp, const char *name, const json_t *payload, void *data);
    void *data;
};

/* `result` (QEMU's "return") is borrowed, NULL on failure; then `error` says why. Same rule. */
typedef void qmp_done(struct qmp *qmp, const json_t *result, const struct error *error, void *data);

/* Owns fd, a connected non-blocking stream socket, from success on. `loop` NULL: no descriptor is
 * watched and nothing is sent; messages come by qmp_receive() (tests, fuzzing). */
int qmp_new(int fd, struct loop *loop, const struct qmp_events *events, struct qmp **ret,
            struct error *err);

/* Pending commands are forgotten without completion. NULL is fine. Returns NULL. */
struct qmp *qmp_free(struct qmp *qmp);

/* Queues a command; `arguments` (object or NULL) is consumed also on failure. done may be NULL.
 * -ENOTCONN after the end, -ENOBUFS when a maximum is reached. */
int qmp_command(struct qmp *qmp, const char *name, json_t *arguments, qmp_done *done, void *data,
                struct error *err);

/* The same with a descriptor of ours (SCM_RIGHTS), for commands that take one (add-fd, getfd). fd
 * is consumed also on failure; -EBADF: none. One at a time: -EBUSY while the one before has not
 * been sent, which an answer to its command says. */
int qmp_command_fd(struct qmp *qmp, const char *name, json_t *arguments, int fd, qmp_done *done,
                   void *data, struct error *err);

/* Takes bytes as if they had come from the socket. */
void qmp_receive(struct qmp *qmp, const void *data, size_t length);

/* Reads what the socket holds now, without waiting; for a QEMU that has ended. NULL is fine. */
void qmp_drain(struct qmp *qmp);

/* NULL while the connection stands, else why it ended. */
const char *qmp_failure(const struct qmp *qmp);

#endif
