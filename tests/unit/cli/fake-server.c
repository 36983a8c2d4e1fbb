#include "fake-server.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 16, REQUEST_MAX = 1 << 20 };

struct fake_server {
    char directory[64];
    char *path;
    char *host;
    int listener;
    int stop[2];
    const struct fake_route *routes;
    struct buffer seen;
    pthread_t thread;
};

static const struct fake_route *find(const struct fake_server *server, const char *request)
{
    for (const struct fake_route *r = server->routes; r->request; r++)
        if (string_starts_with(request, r->request))
            return r;
    return NULL;
}

static void send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        data += n;
        length -= (size_t)n;
    }
}

static void echo(int fd, const struct fake_route *route)
{
    char bytes[4096];
    ssize_t n = 0;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0)
        send_all(fd, bytes, (size_t)n);
    if (route->tail)
        send_all(fd, route->tail, route->tail_length ? route->tail_length : strlen(route->tail));
}

/* One request. False when the connection is over. */
static bool serve(struct fake_server *server, int fd)
{
    CLEANUP(buffer_release) struct buffer in = BUFFER_INIT(REQUEST_MAX);
    static const char not_found[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 28\r\n\r\n"
                                    "{\"message\":\"page not found\"}";
    const struct fake_route *route = NULL;
    const char *end = NULL;
    const char *length_at = NULL;
    size_t body = 0;
    size_t line = 0;

    while (!end || in.length < (size_t)(end - in.data) + 4 + body) {
        void *room = buffer_reserve(&in, 4096);
        ssize_t n = room ? read(fd, room, 4096) : -1;

        if (n <= 0)
            return false;
        buffer_commit(&in, (size_t)n);
        end = strstr(in.data, "\r\n\r\n");
        length_at = end ? strcasestr(in.data, "content-length: ") : NULL;
        body = length_at && length_at < end ? strtoul(length_at + 16, NULL, 10) : 0;
    }
    line = strcspn(in.data, "\r");
    line -= strlen(" HTTP/1.1");
    assert(buffer_printf(&server->seen, "%.*s %.*s\n", (int)line, in.data, (int)body, end + 4) ==
           0);
    route = find(server, in.data);
    if (!route) {
        send_all(fd, not_found, sizeof(not_found) - 1);
        return true;
    }
    send_all(fd, route->answer,
             route->answer_length ? route->answer_length : strlen(route->answer));
    if (route->after == FAKE_ECHO)
        echo(fd, route);
    return route->after == FAKE_KEEP;
}

static void *run(void *data)
{
    struct fake_server *server = data;
    struct pollfd fds[CONNECTIONS_MAX] = {{.fd = server->stop[0], .events = POLLIN},
                                          {.fd = server->listener, .events = POLLIN}};
    nfds_t n = 2;

    while (poll(fds, n, -1) >= 0 && !fds[0].revents) {
        for (nfds_t i = 2; i < n; i++) {
            if (fds[i].revents && !serve(server, fds[i].fd)) {
                fd_close(fds[i].fd);
                fds[i--] = fds[--n];
            }
        }
        if (fds[1].revents) {
            assert(n < CONNECTIONS_MAX);
            fds[n].fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
            fds[n].revents = 0;
            fds[n++].events = POLLIN;
        }
    }
    for (nfds_t i = 2; i < n; i++)
        fd_close(fds[i].fd);
    return NULL;
}

struct fake_server *fake_server_start(const struct fake_route *routes)
{
    struct fake_server *server = calloc(1, sizeof(*server));

    assert(server);
    string_copy(server->directory, sizeof(server->directory), "/tmp/cli-test-XXXXXX");
    assert(mkdtemp(server->directory));
    server->path = string_format("%s/socket", server->directory);
    server->host = string_format("unix://%s", server->path);
    server->listener = fd_listen_unix(server->path, 0600, NULL);
    server->routes = routes;
    server->seen = (struct buffer)BUFFER_INIT(REQUEST_MAX);
    assert(server->listener >= 0 && fd_pipe(0, server->stop) >= 0);
    assert(pthread_create(&server->thread, NULL, run, server) == 0);
    return server;
}

const char *fake_server_host(const struct fake_server *server)
{
    return server->host;
}

char *fake_server_stop(struct fake_server *server)
{
    char *seen = NULL;

    assert(write(server->stop[1], "x", 1) == 1);
    pthread_join(server->thread, NULL);
    seen = strdup(buffer_string(&server->seen));
    buffer_release(&server->seen);
    fd_close(server->listener);
    fd_close(server->stop[0]);
    fd_close(server->stop[1]);
    unlink(server->path);
    rmdir(server->directory);
    free(server->path);
    free(server->host);
    free(server);
    return seen;
}
