/* A container (or exec) with the user's terminal or pipes on it.
 *
 * Calling sequence of run and start: attachment_open(), attachment_wait(), attachment_prepare(),
 * then start the container, then attachment_run(). The stream and the wait stand before the start,
 * so that neither output nor the exit can be missed. */
#ifndef HULL_CLI_ATTACHMENT_H
#define HULL_CLI_ATTACHMENT_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/detach.h"
#include "cli/hijack.h"
#include "cli/pump.h"

struct cli;
struct client_call;
struct error;

struct attachment_spec {
    const char *id; /* container or exec */
    bool is_exec;   /* target /exec/ID/start with `body`, else /containers/ID/attach */
    const json_t *body;
    bool tty;
    bool in, out, err;
    bool sig_proxy;
    const char *detach_keys; /* NULL or "": the default */
};

struct attachment {
    struct cli *cli;
    struct hijack stream;
    struct pump pump;
    struct detach detach;
    struct client_call *wait;
    char *resize_target;
    char *kill_target;
};

#define ATTACHMENT_INIT                                       \
    {                                                         \
        .stream = HIJACK_INIT, .pump = {.signal_fd = -EBADF } \
    }

/* "the input device is not a TTY" for stdin that shall be a terminal and is none. */
int attachment_check_tty(const struct cli *cli, bool in, bool tty, struct error *err);

/* Takes the stream. *ret must be initialised; it points into itself afterwards: do not copy. */
int attachment_open(struct cli *cli, const struct attachment_spec *spec, struct attachment *ret,
                    struct error *err);
/* Begins POST /wait with a condition ("next-exit", "removed", "" for not running). `err` must live
 * until the release. */
int attachment_wait(struct attachment *attachment, const char *id, const char *condition,
                    struct error *err);
int attachment_prepare(struct attachment *attachment, struct error *err);
/* Moves bytes to the end. Returns the exit status that the wait gave (0 without a wait), or a
 * negative code. *ret_detached: the user pressed the detach keys. */
int attachment_run(struct attachment *attachment, bool *ret_detached, struct error *err);
/* Blocks for the wait alone, and drops its answer. */
void attachment_drain_wait(struct attachment *attachment);
void attachment_release(struct attachment *attachment);

/* Exit status from the answer of /wait; -EIO when that is none. */
int attachment_status(const json_t *answer, struct error *err);

#endif
