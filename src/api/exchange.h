/* One request and its answer, between libmicrohttpd and the handlers. Private to the server. */
#ifndef HULL_API_EXCHANGE_H
#define HULL_API_EXCHANGE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>

#include "api/reply.h"
#include "api/request.h"
#include "api/route.h"
#include "api/server.h"
#include "base/error.h"
#include "base/list.h"

struct server {
    struct server_config config;
    char *server_header;
    char *version_header;
    struct MHD_Daemon *daemons[SERVER_LISTENERS_MAX];
    size_t n_daemons;
    struct idle *idle;
    int stop_fd; /* eventfd, readable once the server stops */
    pthread_mutex_t lock;
    struct list hijacked; /* under the lock */
    bool is_stopping;     /* under the lock */
};

struct exchange {
    struct server *server;
    struct MHD_Connection *connection;
    struct request request;
    struct reply reply;
    const struct route
        *route; /* NULL: nothing answers this; `error` or `failure_status` says why */
    char *path; /* as the client wrote it, for reports */
    struct error error;
    unsigned failure_status; /* 404 or 405 of no route, 431; 0: by `error` */
    int upload_fd;           /* where a streamed body goes; -EBADF: nowhere */
    size_t discarded;
    struct buffer pending; /* bytes of a stream that the client has not been sent */
    struct list link;      /* in server->hijacked while it runs */
    int hijacked_fd;
};

/* Begins an exchange; NULL when out of memory. A request that cannot be answered well is one all
 * the same: its error is sent when its body is over. */
struct exchange *exchange_new(struct server *server, struct MHD_Connection *connection,
                              const char *path, const char *method);
struct exchange *exchange_free(struct exchange *exchange);

/* Are the headers too large, or is the body known to be before it comes? Then the answer is sent at
 * once. */
bool exchange_refuses(struct exchange *exchange);
/* A piece of the body. MHD_NO drops the connection. */
enum MHD_Result exchange_body(struct exchange *exchange, const char *data, size_t length);
/* The body is over, or refused: runs the handler and answers. */
enum MHD_Result exchange_answer(struct exchange *exchange);

/* Sends exchange->reply (respond.c). */
enum MHD_Result exchange_respond(struct exchange *exchange);

/* Whose turn it is, the client's or ours: its silence counts only in the first case (api/idle.h).
 */
void exchange_await_client(struct exchange *exchange);
void exchange_take_turn(struct exchange *exchange);

#endif
