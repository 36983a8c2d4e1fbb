#include "cli/hijack.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/http-head.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { HIJACK_READ = 4096, HIJACK_ERROR_SECONDS = 5 };

/* send(2) and not write(2): a daemon that went away must be an error, not SIGPIPE. */
static int send_all(int fd, const char *data, size_t length, struct error *err)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, -errno, "cannot send to the daemon");
        data += n;
        length -= (size_t)n;
    }
    return 0;
}

static int send_request(int fd, struct client *client, const char *target, const json_t *body,
                        struct error *err)
{
    CLEANUP_FREE char *content = body ? json_format(body) : NULL;
    CLEANUP_FREE char *request = NULL;
    const char *prefix = NULL;
    int r = client_api_prefix(client, &prefix, err);

    if (r < 0)
        return r;
    if (body && !content)
        return error_oom(err);
    request = string_format("POST %s%s HTTP/1.1\r\nHost: hull\r\nContent-Type: %s\r\n"
                            "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: %zu\r\n\r\n%s",
                            prefix, target, body ? "application/json" : "text/plain",
                            content ? strlen(content) : 0, string_or(content, ""));
    if (!request)
        return error_oom(err);
    return send_all(fd, request, strlen(request), err);
}

/* Appends one read; 0 at the end of the stream. */
static ssize_t read_some(int fd, struct buffer *buffer, struct error *err)
{
    void *room = buffer_reserve(buffer, HIJACK_READ);
    ssize_t n = 0;

    if (!room)
        return error_set(err, -EPROTO, "the daemon's answer is too long");
    do
        n = read(fd, room, HIJACK_READ);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set_errno(err, -errno, "cannot read from the daemon");
    buffer_commit(buffer, (size_t)n);
    return n;
}

/* Is the JSON object of an error answer complete? Chunk sizes around it (RFC 9112, 7.1) are left
 * out: an error fits into one chunk. */
static bool find_object(const struct buffer *buffer, const char **ret, size_t *ret_length)
{
    CLEANUP_JSON json_t *document = NULL;
    const char *start = strchr(buffer_string(buffer), '{');
    const char *end = strrchr(buffer_string(buffer), '}');

    if (!start || !end || end < start ||
        json_parse(start, (size_t)(end - start) + 1, &document, NULL) < 0)
        return false;
    *ret = start;
    *ret_length = (size_t)(end - start) + 1;
    return true;
}

/* The text of an error answer. The connection may stay open behind it, so the end is where the
 * length says, where the object is complete, or where nothing more comes in time. */
static int read_failure(int fd, const struct http_head *head, struct buffer *buffer,
                        struct error *err)
{
    const struct timeval patience = {.tv_sec = HIJACK_ERROR_SECONDS};
    const char *text = NULL;
    size_t length = 0;

    if (head->status < 400)
        return error_set(err, -EPROTO, "unable to upgrade to tcp, received %d", head->status);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    while (!find_object(buffer, &text, &length)) {
        bool is_whole =
            head->content_length >= 0 && buffer->length >= (uint64_t)head->content_length;

        if (is_whole || read_some(fd, buffer, NULL) <= 0) {
            text = buffer_string(buffer);
            length = buffer->length;
            break;
        }
    }
    return client_error_from_answer(head->status, text, length, err);
}

int hijack_open(struct client *client, const char *target, const json_t *body, struct hijack *ret,
                struct error *err)
{
    CLEANUP(hijack_release) struct hijack hijack = HIJACK_INIT;
    struct http_head head = {.status = 0};
    ssize_t n = 0;
    int r = 0;

    if (!target)
        return error_oom(err);
    hijack.fd = client_connect(client, err);
    if (hijack.fd < 0)
        return hijack.fd;
    r = send_request(hijack.fd, client, target, body, err);
    if (r < 0)
        return r;
    while (n == 0) {
        n = read_some(hijack.fd, &hijack.early, err);
        if (n == 0)
            return error_set(err, -EPROTO, "the daemon closed the connection");
        if (n > 0)
            n = http_head_parse(hijack.early.data, hijack.early.length, &head, err);
        if (n < 0)
            return (int)n;
    }
    buffer_consume(&hijack.early, (size_t)n);
    if (head.status != 101 && head.status != 200)
        return read_failure(hijack.fd, &head, &hijack.early, err);
    r = fd_set_nonblocking(hijack.fd, true);
    if (r < 0)
        return error_set_errno(err, r, "cannot prepare the connection");
    *ret = hijack;
    hijack = (struct hijack)HIJACK_INIT;
    return 0;
}

void hijack_release(struct hijack *hijack)
{
    hijack->fd = fd_close(hijack->fd);
    buffer_release(&hijack->early);
}
