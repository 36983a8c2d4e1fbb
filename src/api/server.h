/* HTTP server for a route table: one thread per connection, whose handlers may block.
 *
 * Theory of operation. libmicrohttpd accepts, parses and frames; here is what it does not know: the
 * route and version of a request, bodies that are collected up to a maximum or handed on as a
 * stream, answers that go on for hours, and connections that stop being HTTP. A thread that has
 * nothing to do waits in request_wait() for its source, for its client's end and for the server's,
 * so it ends with whichever comes first. The idle time-out is for clients that neither ask nor read
 * an ordinary answer; it does not run while a handler works, nor in a stream. */
#ifndef HULL_API_SERVER_H
#define HULL_API_SERVER_H

#include <stddef.h>

#include "api/route.h"

struct error;
struct server;

enum {
    SERVER_LISTENERS_MAX = 16,
    SERVER_CONNECTIONS_MAX = 4096,  /* at once, on each listening socket */
    SERVER_HEADER_MAX = 256 * 1024, /* request line and headers; more is 431 */
    /* What libmicrohttpd may keep of a request's head. It refuses more by itself, with a 431 whose
     * page no program can choose (0.9.75, 1.0.1); so it gets room for more than is allowed, and the
     * refusal of what fits in is Docker's. */
    SERVER_POOL_SIZE = SERVER_HEADER_MAX + 1024 * 1024,
    SERVER_STACK_SIZE = 1024 * 1024, /* of a connection's thread; touched pages count */
    SERVER_IDLE_SECONDS = 300,
    SERVER_DISCARD_MAX = 64 * 1024 * 1024, /* bytes read of a body that is too large anyway */
};

struct server_config {
    struct route_table table;
    void *context;         /* of the handlers */
    const int *listen_fds; /* listening stream sockets; duplicated, the caller closes these */
    size_t n_listen_fds;
    const char *version;   /* "0.1.0", for the Server header */
    unsigned idle_seconds; /* 0: SERVER_IDLE_SECONDS */
    /* Every failed request; called by any thread. May be NULL. */
    void (*report)(void *data, const char *method, const char *path, unsigned status,
                   const char *message);
    /* What libmicrohttpd has to say; may be NULL. */
    void (*complain)(void *data, const char *text);
    void *report_data;
};

/* Begins to serve. The config is copied, the texts and tables it points to are not. SIGPIPE must be
 * ignored. */
int server_start(const struct server_config *config, struct server **ret, struct error *err);

/* Stops accepting, ends streams and hijacked connections, waits for handlers that still work. NULL
 * is fine. Returns NULL. */
struct server *server_stop(struct server *server);

#endif
