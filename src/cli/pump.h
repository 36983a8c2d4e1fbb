/* Moves the bytes of a container between the user and a hijacked connection, until the engine
 * closes it (and, when one is given, the wait for the exit has been answered).
 *
 * Theory of operation. One poll loop over stdin, the connection, stdout or stderr while they cannot
 * take what is there, a signalfd, and the client's open calls. Nothing blocks: user's descriptors
 * stay in the mode they came in (it is shared with the shell), so a write there is at most
 * PIPE_BUF after POLLOUT. At most one buffer waits in each direction; a slow reader stops the
 * reading from the engine and nothing else. The end of stdin becomes a half-close of the
 * connection. Signals: with a kill_target they are sent to the container; with a raw terminal and
 * no kill_target the deadly ones first restore the terminal and then kill the client; SIGWINCH
 * becomes a resize. */
#ifndef HULL_CLI_PUMP_H
#define HULL_CLI_PUMP_H

#include <signal.h>
#include <stdbool.h>

struct client;
struct client_call;
struct detach;
struct error;
struct hijack;

struct pump {
    struct client *client;
    struct hijack *stream; /* NULL: only signals and the wait (run -d has neither) */
    bool raw;              /* no frames: the container has a terminal */
    int in;                /* -EBADF: nothing is sent */
    int out;
    int err_out;
    struct detach *detach;     /* NULL: no keys */
    const char *resize_target; /* "/containers/ID/resize" of a terminal, or NULL */
    const char *kill_target;   /* "/containers/ID/kill" for the signal proxy, or NULL */
    struct client_call *wait;  /* or NULL */
    bool make_raw;             /* put the terminal behind `in` into raw mode */
    sigset_t old_mask;
    int signal_fd;
};

enum pump_end { PUMP_ENDED, PUMP_DETACHED };

/* Blocks the signals that the pump handles and makes the terminal raw. Do this before the
 * container starts: a signal between start and the loop then waits for the loop. */
int pump_prepare(struct pump *pump, struct error *err);
/* Gives signals and terminal back. Idempotent. */
void pump_release(struct pump *pump);

int pump_run(struct pump *pump, enum pump_end *ret, struct error *err);

/* Tells the engine the size of the user's terminal, if there is one; failure is not an error. */
void pump_resize(struct pump *pump);

#endif
