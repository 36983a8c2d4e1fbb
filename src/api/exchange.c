#include "api/exchange.h"

#include "api/idle.h"
#include "api/operation.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct idle_connection *idle_of(const struct exchange *exchange)
{
    return MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
        ->socket_context;
}

void exchange_await_client(struct exchange *exchange)
{
    idle_arm(idle_of(exchange));
}

void exchange_take_turn(struct exchange *exchange)
{
    idle_disarm(idle_of(exchange));
}

/* Keeps the first failure. */
static void exchange_fail(struct exchange *exchange, const struct error *error)
{
    if (exchange->error.code == 0 && exchange->failure_status == 0)
        error_copy(&exchange->error, error);
    exchange->route = NULL;
}

static const char *header(struct exchange *exchange, const char *name)
{
    return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

struct query_copy {
    struct exchange *exchange;
    struct error error;
};

static enum MHD_Result copy_parameter(void *data, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct query_copy *copy = data;

    (void)kind;
    if (request_add_query(&copy->exchange->request, name, value, &copy->error) < 0)
        return MHD_NO;
    return MHD_YES;
}

static void exchange_read_query(struct exchange *exchange)
{
    struct query_copy copy = {.exchange = exchange, .error = ERROR_INIT};

    MHD_get_connection_values(exchange->connection, MHD_GET_ARGUMENT_KIND, copy_parameter, &copy);
    if (copy.error.code < 0)
        exchange_fail(exchange, &copy.error);
}

static int exchange_read_headers(struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct request *request = &exchange->request;

    request->wants_upgrade = header(exchange, "Upgrade") != NULL;
    request->connection_fd = info ? info->connect_fd : -EBADF;
    request->stop_fd = exchange->server->stop_fd;
    if (string_replace(&request->content_type, header(exchange, "Content-Type")) < 0 ||
        string_replace(&request->registry_auth, header(exchange, "X-Registry-Auth")) < 0)
        return -ENOMEM;
    return 0;
}

/* Finds who answers; leaves exchange->route NULL and says why if nobody does. */
static void exchange_find_route(struct exchange *exchange, const char *method)
{
    const struct route_table *table = &exchange->server->config.table;
    struct error error = ERROR_INIT;
    const char *path = NULL;
    int known = method_from_string(method);
    int r = route_version(table, exchange->path, &exchange->request.version, &path, &error);

    if (r < 0) {
        exchange_fail(exchange, &error);
        return;
    }
    exchange->request.method = known < 0 ? METHOD_GET : (enum method)known;
    r = route_find(table, exchange->request.method, path, &exchange->route,
                   &exchange->request.name);
    if (r < 0) {
        error_oom(&error);
        exchange_fail(exchange, &error);
    } else if (r == ROUTE_NO_PATH) {
        exchange->failure_status = 404;
    } else if (r == ROUTE_NO_METHOD || known < 0) {
        exchange->route = NULL;
        exchange->failure_status = 405;
    } else {
        exchange->request.what = exchange->route->what;
    }
}

/* Lets the route take the body as it comes. The other end goes to the route, also in failure. */
static void exchange_begin_stream(struct exchange *exchange)
{
    struct error error = ERROR_INIT;
    int pair[2] = {-EBADF, -EBADF};
    int r = fd_socketpair(SOCK_STREAM, pair);

    if (r < 0) {
        error_set_errno(&error, r, "cannot make a socket pair");
        exchange_fail(exchange, &error);
        return;
    }
    exchange->upload_fd = pair[0];
    r = exchange->route->begin(exchange->server->config.context, &exchange->request, pair[1],
                               &error);
    if (r < 0)
        exchange_fail(exchange, &error);
}

static bool has_large_headers(const struct exchange *exchange)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    return info && info->header_size > SERVER_HEADER_MAX;
}

struct exchange *exchange_new(struct server *server, struct MHD_Connection *connection,
                              const char *path, const char *method)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    if (!exchange)
        return NULL;
    exchange->server = server;
    exchange->connection = connection;
    exchange->request = (struct request)REQUEST_INIT;
    exchange->reply = (struct reply)REPLY_INIT;
    exchange->pending = (struct buffer)BUFFER_INIT(REPLY_STREAM_PENDING_MAX);
    exchange->upload_fd = -EBADF;
    exchange->hijacked_fd = -EBADF;
    exchange->path = strdup(path);
    if (!exchange->path || exchange_read_headers(exchange) < 0)
        return exchange_free(exchange);
    if (has_large_headers(exchange))
        exchange->failure_status = 431;
    else
        exchange_find_route(exchange, method);
    if (exchange->route)
        exchange_read_query(exchange);
    if (exchange->route && exchange->route->begin)
        exchange_begin_stream(exchange);
    return exchange;
}

struct exchange *exchange_free(struct exchange *exchange)
{
    /* The operation is told to stop before its input ends, so that it does not take a broken
     * upload for a whole one. */
    operation_cancel(exchange->request.operation);
    exchange->upload_fd = fd_close(exchange->upload_fd);
    reply_release(&exchange->reply);
    operation_free(exchange->request.operation);
    request_release(&exchange->request);
    buffer_release(&exchange->pending);
    free(exchange->path);
    free(exchange);
    return NULL;
}

static void exchange_too_large(struct exchange *exchange)
{
    struct error error = ERROR_INIT;

    error_set_class(&error, ERROR_TOO_LARGE, "http: request body too large (at most %d bytes)",
                    REQUEST_BODY_MAX);
    exchange_fail(exchange, &error);
}

static bool refuses_body(struct exchange *exchange)
{
    const char *text = header(exchange, "Content-Length");
    uint64_t length = 0;

    if (exchange->upload_fd >= 0 || !text || string_to_u64(text, &length) < 0 ||
        length <= REQUEST_BODY_MAX)
        return false;
    exchange_too_large(exchange);
    return true;
}

bool exchange_refuses(struct exchange *exchange)
{
    return exchange->failure_status == 431 || refuses_body(exchange);
}

/* The consumer may have ended, in error or because it had enough; the rest is then thrown away, as
 * the answer can only be sent when the body is over. */
static void upload(struct exchange *exchange, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(exchange->upload_fd, data, length, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            exchange->upload_fd = fd_close(exchange->upload_fd);
            return;
        }
        data += n;
        length -= (size_t)n;
    }
}

enum MHD_Result exchange_body(struct exchange *exchange, const char *data, size_t length)
{
    exchange_await_client(exchange);
    if (exchange->route && exchange->route->begin) {
        if (exchange->upload_fd < 0)
            return MHD_YES;
        /* A consumer that is slower than the client is no idle client. */
        exchange_take_turn(exchange);
        upload(exchange, data, length);
        exchange_await_client(exchange);
        return MHD_YES;
    }
    if (exchange->route && buffer_append(&exchange->request.body, data, length) < 0)
        exchange_too_large(exchange);
    if (exchange->route)
        return MHD_YES;
    buffer_release(&exchange->request.body);
    exchange->discarded += length;
    return exchange->discarded > SERVER_DISCARD_MAX ? MHD_NO : MHD_YES;
}

static void exchange_report(const struct exchange *exchange, const char *message)
{
    const struct server_config *config = &exchange->server->config;

    if (config->report)
        config->report(config->report_data, method_to_string(exchange->request.method),
                       exchange->path, exchange->reply.status, message);
}

static void exchange_reply_failure(struct exchange *exchange)
{
    const char *message = exchange->error.message;

    if (exchange->failure_status != 0) {
        message = exchange->failure_status == 404   ? "page not found"
                  : exchange->failure_status == 405 ? "method not allowed"
                                                    : "request header fields too large";
        reply_failure(&exchange->reply, exchange->failure_status, message);
    } else {
        reply_error(&exchange->reply, &exchange->error);
    }
    exchange_report(exchange, message);
}

enum MHD_Result exchange_answer(struct exchange *exchange)
{
    enum MHD_Result result = MHD_NO;

    exchange_take_turn(exchange);
    exchange->upload_fd = fd_close(exchange->upload_fd);
    if (exchange->route) {
        struct error error = ERROR_INIT;
        int r = exchange->route->handler(exchange->server->config.context, &exchange->request,
                                         &exchange->reply, &error);

        if (r == -ECONNRESET || r == -ESHUTDOWN) {
            /* request_wait(): there is nobody to answer. */
            if (error.code == 0)
                return MHD_NO;
        }
        if (r < 0) {
            if (error.code == 0)
                error_set_errno(&error, r, "the request failed");
            reply_release(&exchange->reply);
            exchange_fail(exchange, &error);
        }
    }
    if (!exchange->route)
        exchange_reply_failure(exchange);
    result = exchange_respond(exchange);
    if (exchange->reply.kind == REPLY_BODY)
        exchange_await_client(exchange);
    return result;
}
