/* Ends connections whose client has been silent for too long. Private to the server.
 *
 * libmicrohttpd's own time-out cannot be used: it must not count while a handler works or a stream
 * has nothing to say, and MHD_CONNECTION_OPTION_TIMEOUT, which should say so, is ignored by
 * libmicrohttpd 1.0 where each connection has a thread. */
#ifndef HULL_API_IDLE_H
#define HULL_API_IDLE_H

struct error;
struct idle;
struct idle_connection;

/* Starts a thread that shuts down each connection that is armed for `seconds` without being armed
 * anew. */
int idle_start(unsigned seconds, struct idle **ret, struct error *err);
/* Ends the thread. All connections have been removed. Returns NULL; NULL is allowed. */
struct idle *idle_stop(struct idle *idle);

/* A new connection, armed; the descriptor stays the caller's, who calls idle_remove() before it is
 * closed. NULL when out of memory: all here take it for a connection that nothing is known of. */
struct idle_connection *idle_add(struct idle *idle, int fd);
void idle_remove(struct idle_connection *connection);

/* It is the client's turn: the time starts, or starts anew. */
void idle_arm(struct idle_connection *connection);
/* It is ours, and takes as long as it takes. */
void idle_disarm(struct idle_connection *connection);

#endif
