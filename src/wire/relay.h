/* A stream socket on one side, two channels on the other: what a connection to a unix socket
 * becomes on its way through the compute protocol. Both ends of the connection use it, the agent
 * in a VM for the program that connected, the worker for the host's server.
 *
 * Theory of operation. `in` is what the peer sends, written to the socket; `out` is what the socket
 * says. Each has the channel's credit: nothing is read from the socket that cannot be sent, and
 * credit is given back as the socket takes bytes, so that either side is slowed down by the other,
 * as on a socket, and at most RELAY_WINDOW bytes wait here. Each direction ends by itself: an END
 * becomes shutdown(2) for writing once all is written, end of file becomes an END. A RESET is for a
 * direction that nobody reads any more: the peer's socket can be written no longer. */
#ifndef HULL_WIRE_RELAY_H
#define HULL_WIRE_RELAY_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct loop;
struct wire_connection;
struct wire_relay;

enum { WIRE_RELAY_WINDOW = 128 * 1024 };

/* Both directions are over. Free it now or later. */
typedef void wire_relay_over(struct wire_relay *relay, void *data);

/* Opens the channels `in` (received) and `out` (sent), the lower number first, and begins to carry
 * bytes. `fd` becomes non-blocking and, on success, the relay's. `over` comes from the loop
 * or from the connection, never from inside this call. */
int wire_relay_new(struct loop *loop, struct wire_connection *connection, int fd, uint32_t in,
                   uint32_t out, wire_relay_over *over, void *data, struct wire_relay **ret,
                   struct error *err);

/* Gives up what is not over. NULL is fine. Returns NULL. */
struct wire_relay *wire_relay_free(struct wire_relay *relay);

#endif
