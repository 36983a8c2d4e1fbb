/* A raw HTTP client for tests: the bytes are the test's own, so that they can be wrong. */
#ifndef HULL_TESTS_UNIT_API_CLIENT_H
#define HULL_TESTS_UNIT_API_CLIENT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "api/server.h"
#include "base/buffer.h"
#include "base/fd.h"
#include "unit.h"

enum { CLIENT_PATIENCE = 10, CLIENT_ANSWER_MAX = 64 * 1024 * 1024 };

struct harness {
    struct server *server;
    char folder[64];
    char path[128];
    int listen_fd;
};

static inline void harness_start(struct harness *harness, const struct route *routes, size_t n,
                                 void *context, unsigned idle_seconds)
{
    struct server_config config = {
        .table = {.routes = routes, .n = n, .version_min = 41, .version_max = 50},
        .context = context,
        .n_listen_fds = 1,
        .version = "1.2.3",
        .idle_seconds = idle_seconds,
    };

    (void)snprintf(harness->folder, sizeof(harness->folder), "/tmp/hull-test-api-XXXXXX");
    assert_non_null(mkdtemp(harness->folder));
    (void)snprintf(harness->path, sizeof(harness->path), "%s/s", harness->folder);
    harness->listen_fd = fd_listen_unix(harness->path, 0600, NULL);
    assert_true(harness->listen_fd >= 0);
    config.listen_fds = &harness->listen_fd;
    assert_int_equal(server_start(&config, &harness->server, NULL), 0);
}

static inline void harness_stop(struct harness *harness)
{
    harness->server = server_stop(harness->server);
    close(harness->listen_fd);
    unlink(harness->path);
    rmdir(harness->folder);
}

/* Connects; reads that take longer than CLIENT_PATIENCE fail the test. */
static inline int client_connect(const struct harness *harness)
{
    const struct timeval patience = {.tv_sec = CLIENT_PATIENCE};
    int fd = fd_connect_unix(harness->path, NULL);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    return fd;
}

/* Sends; an answer that comes before all was sent may close the connection. */
static inline void client_send(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        data += n;
        length -= (size_t)n;
    }
}

static inline void client_say(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

/* Appends what comes until `text` is there; false at the end of the connection. */
static inline bool client_read_until(int fd, struct buffer *answer, const char *text)
{
    while (!strstr(buffer_string(answer), text)) {
        void *room = buffer_reserve(answer, 4096);
        ssize_t n = room ? read(fd, room, 4096) : -1;

        if (n <= 0)
            return false;
        buffer_commit(answer, (size_t)n);
    }
    return true;
}

/* Reads to the end of the connection. False: it did not end in time. */
static inline bool client_read_all(int fd, struct buffer *answer)
{
    for (;;) {
        void *room = buffer_reserve(answer, 4096);
        ssize_t n = room ? read(fd, room, 4096) : -1;

        if (n == 0)
            return true;
        if (n < 0)
            return false;
        buffer_commit(answer, (size_t)n);
    }
}

/* One request on a connection of its own, which it asks to be closed; the answer's status. */
static inline int client_ask(const struct harness *harness, const char *request,
                             struct buffer *answer)
{
    int fd = client_connect(harness);
    const char *rest = strstr(request, "\r\n") + 2;

    client_send(fd, request, (size_t)(rest - request));
    client_say(fd, "Connection: close\r\n");
    client_say(fd, rest);
    (void)client_read_all(fd, answer);
    close(fd);
    return answer->length > 12 ? (int)strtol(buffer_string(answer) + 9, NULL, 10) : 0;
}

#endif
