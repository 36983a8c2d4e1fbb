#include "api/exchange.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { RESPOND_BLOCK = 64 * 1024 }; /* bytes that libmicrohttpd asks a stream for at a time */

DEFINE_CLEANUP(struct MHD_Response *, response_cleanup, MHD_destroy_response)

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* What every answer of dockerd carries. */
static bool add_headers(const struct exchange *exchange, struct MHD_Response *response)
{
    const struct reply *reply = &exchange->reply;
    const struct server *server = exchange->server;

    return add_header(response, "Api-Version", server->version_header) &&
           add_header(response, "Docker-Experimental", "false") &&
           add_header(response, "Ostype", "linux") &&
           add_header(response, "Server", server->server_header) &&
           (!reply->path_stat ||
            add_header(response, "X-Docker-Container-Path-Stat", reply->path_stat)) &&
           (!reply->content_type || add_header(response, "Content-Type", reply->content_type)) &&
           (!reply->no_cache ||
            (add_header(response, "Cache-Control", "no-cache, no-store, must-revalidate") &&
             add_header(response, "Pragma", "no-cache") &&
             add_header(response, "Builder-Version", "1") &&
             add_header(response, "Swarm", "inactive")));
}

/* libmicrohttpd calls this only after the headers went out, on the connection's thread, and sends
 * what it gets before it asks again; so to block here is to wait, and every return is a flush. */
static ssize_t read_stream(void *data, uint64_t position, char *block, size_t max)
{
    struct exchange *exchange = data;
    struct reply_source *source = &exchange->reply.source;
    size_t n = 0;

    (void)position;
    while (exchange->pending.length == 0) {
        int r = source->fill(source->data, &exchange->pending);

        if (exchange->pending.length > 0)
            break;
        if (r == -ENODATA)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (r < 0)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (r == 0 && request_wait(&exchange->request, source->fd(source->data)) < 0)
            return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    n = exchange->pending.length < max ? exchange->pending.length : max;
    memcpy(block, exchange->pending.data, n);
    buffer_consume(&exchange->pending, n);
    return (ssize_t)n;
}

/* From here on server_stop() can end the connection. False: the server already stops. */
static bool hijack_register(struct exchange *exchange, int fd)
{
    struct server *server = exchange->server;
    bool is_stopping = false;

    pthread_mutex_lock(&server->lock);
    is_stopping = server->is_stopping;
    if (!is_stopping) {
        exchange->hijacked_fd = fd;
        list_append(&server->hijacked, &exchange->link);
    }
    pthread_mutex_unlock(&server->lock);
    return !is_stopping;
}

static void hijack_unregister(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->server->lock);
    list_remove(&exchange->link);
    exchange->hijacked_fd = -EBADF;
    pthread_mutex_unlock(&exchange->server->lock);
}

/* Runs on the connection's thread, which libmicrohttpd allows to block with a thread for each. */
static void run_hijack(void *data, struct MHD_Connection *connection, void *state,
                       const char *early, size_t early_length, MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *handle)
{
    struct exchange *exchange = data;
    struct reply_hijack *hijack = &exchange->reply.hijack;

    (void)connection;
    (void)state;
    if (hijack_register(exchange, fd)) {
        hijack->run(hijack->data, fd, early, early_length);
        hijack_unregister(exchange);
    }
    /* The client sees the end now, not when libmicrohttpd has come round to closing. */
    shutdown(fd, SHUT_RDWR);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

/* MHD_RESPMEM_PERSISTENT: the reply outlives the response, as the exchange does. */
static struct MHD_Response *make_response(struct exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    struct MHD_Response *response = NULL;

    switch (reply->kind) {
    case REPLY_STREAM:
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, RESPOND_BLOCK, read_stream,
                                                 exchange, NULL);
    case REPLY_HIJACK:
        response = MHD_create_response_for_upgrade(run_hijack, exchange);
        if (response && !add_header(response, "Upgrade", "tcp")) {
            MHD_destroy_response(response);
            return NULL;
        }
        return response;
    case REPLY_NONE:
    case REPLY_BODY:
    default:
        return MHD_create_response_from_buffer(reply->length, reply->body, MHD_RESPMEM_PERSISTENT);
    }
}

enum MHD_Result exchange_respond(struct exchange *exchange)
{
    CLEANUP(response_cleanup) struct MHD_Response *response = make_response(exchange);

    if (!response || !add_headers(exchange, response))
        return MHD_NO;
    return MHD_queue_response(exchange->connection, exchange->reply.status, response);
}
