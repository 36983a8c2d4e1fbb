#include "api/server.h"

#include "api/exchange.h"
#include "api/idle.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum { SERVER_COMPLAINT_MAX = 512 };

static enum MHD_Result handle_access(void *data, struct MHD_Connection *connection,
                                     const char *path, const char *method, const char *version,
                                     const char *upload, size_t *upload_size, void **state)
{
    struct server *server = data;
    struct exchange *exchange = *state;

    (void)version;
    if (!exchange) {
        exchange = exchange_new(server, connection, path, method);
        if (!exchange)
            return MHD_NO;
        *state = exchange;
        return exchange_refuses(exchange) ? exchange_answer(exchange) : MHD_YES;
    }
    if (*upload_size > 0) {
        enum MHD_Result result = exchange_body(exchange, upload, *upload_size);

        *upload_size = 0;
        return result;
    }
    return exchange_answer(exchange);
}

static void handle_completed(void *data, struct MHD_Connection *connection, void **state,
                             enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *state;

    (void)data;
    (void)connection;
    (void)code;
    if (!exchange)
        return;
    exchange_await_client(exchange);
    *state = exchange_free(exchange);
}

/* The socket is open still when libmicrohttpd says that it is closed. */
static void handle_connection(void *data, struct MHD_Connection *connection, void **context,
                              enum MHD_ConnectionNotificationCode code)
{
    struct server *server = data;
    int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = idle_add(server->idle, fd);
        if (!*context)
            shutdown(fd, SHUT_RDWR);
    } else {
        idle_remove(*context);
    }
}

static void handle_complaint(void *data, const char *format, va_list args)
{
    const struct server *server = data;
    char text[SERVER_COMPLAINT_MAX];

    if (!server->config.complain)
        return;
    (void)vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    server->config.complain(server->config.report_data, text);
}

/* poll and not select: descriptors pass FD_SETSIZE where hundreds of clients are attached. The
 * daemon closes its descriptor when it stops. */
static struct MHD_Daemon *start_daemon(struct server *server, int listen_fd)
{
    int fd = fd_dup(listen_fd);
    const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL_INTERNAL_THREAD |
                           MHD_USE_ITC | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG;

    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    /* The logger comes first: options are read in order and may complain. */
    return MHD_start_daemon(
        flags, 0, NULL, NULL, handle_access, server, MHD_OPTION_EXTERNAL_LOGGER, handle_complaint,
        server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)SERVER_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)SERVER_POOL_SIZE, MHD_OPTION_THREAD_STACK_SIZE, (size_t)SERVER_STACK_SIZE,
        MHD_OPTION_NOTIFY_COMPLETED, handle_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        handle_connection, server, MHD_OPTION_END);
}

static struct server *server_free(struct server *server)
{
    for (size_t i = 0; i < server->n_daemons; i++)
        MHD_stop_daemon(server->daemons[i]);
    idle_stop(server->idle);
    fd_close(server->stop_fd);
    pthread_mutex_destroy(&server->lock);
    free(server->server_header);
    free(server->version_header);
    free(server);
    return NULL;
}

static int server_new(const struct server_config *config, struct server **ret, struct error *err)
{
    struct server *server = calloc(1, sizeof(*server));
    int r = 0;

    if (!server)
        return error_oom(err);
    server->config = *config;
    if (server->config.idle_seconds == 0)
        server->config.idle_seconds = SERVER_IDLE_SECONDS;
    list_init(&server->hijacked);
    pthread_mutex_init(&server->lock, NULL);
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->server_header = string_format("Hull/%s (linux)", config->version);
    server->version_header = string_format("1.%d", config->table.version_max);
    if (server->stop_fd < 0 || !server->server_header || !server->version_header) {
        int code = server->stop_fd < 0 ? -errno : -ENOMEM;

        server_free(server);
        return error_set_errno(err, code, "cannot set up the API server");
    }
    r = idle_start(server->config.idle_seconds, &server->idle, err);
    if (r < 0) {
        server_free(server);
        return r;
    }
    *ret = server;
    return 0;
}

int server_start(const struct server_config *config, struct server **ret, struct error *err)
{
    struct server *server = NULL;
    int r = 0;

    if (config->n_listen_fds > SERVER_LISTENERS_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d addresses to listen on",
                               SERVER_LISTENERS_MAX);
    r = server_new(config, &server, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < config->n_listen_fds; i++) {
        server->daemons[i] = start_daemon(server, config->listen_fds[i]);
        if (!server->daemons[i]) {
            r = error_set_errno(err, errno > 0 ? -errno : -EIO, "cannot start the API server");
            server_stop(server);
            return r;
        }
        server->n_daemons++;
    }
    *ret = server;
    return 0;
}

struct server *server_stop(struct server *server)
{
    const uint64_t one = 1;

    if (!server)
        return NULL;
    pthread_mutex_lock(&server->lock);
    server->is_stopping = true;
    (void)fd_write_full(server->stop_fd, &one, sizeof(one));
    /* libmicrohttpd waits for these threads but does not wake them. */
    LIST_FOR_EACH (exchange, &server->hijacked, struct exchange, link)
        shutdown(exchange->hijacked_fd, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    return server_free(server);
}
