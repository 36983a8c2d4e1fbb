#include "api/attachment.h"

#include "api/reply.h"
#include "api/request.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "compute/client.h"
#include "engine/engine.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { LOGS_BATCH = 64 * 1024, PUMP_READ = 64 * 1024 };

struct attachment {
    struct compute_client *client; /* NULL: only logs */
    struct engine_logs *logs;      /* NULL: none, or over */
    char *notice;                  /* all there is to say, in place of a client's streams */
    bool multiplexed;
    /* Without an upgrade the pump has a thread, which writes into a socket pair. */
    int output_fd;
    int pump_fd;
    pthread_t thread;
    bool has_thread;
};

const char *attachment_type(const struct request *request, bool terminal)
{
    return !terminal && request->version >= REQUEST_API_STREAM_TYPES ? TYPE_MULTIPLEXED : TYPE_RAW;
}

void stdcopy_header(unsigned char header[STDCOPY_HEADER], int stream, size_t length)
{
    memset(header, 0, STDCOPY_HEADER);
    header[0] = (unsigned char)stream;
    header[4] = (unsigned char)(length >> 24);
    header[5] = (unsigned char)(length >> 16);
    header[6] = (unsigned char)(length >> 8);
    header[7] = (unsigned char)length;
}

static void attachment_free(void *data)
{
    struct attachment *attachment = data;

    if (attachment->has_thread) {
        /* The pump sees that its peer went. */
        shutdown(attachment->output_fd, SHUT_RDWR);
        pthread_join(attachment->thread, NULL);
    }
    fd_close(attachment->output_fd);
    fd_close(attachment->pump_fd);
    if (attachment->logs)
        engine_logs_close(attachment->logs);
    if (attachment->client)
        compute_client_free(attachment->client);
    free(attachment->notice);
    free(attachment);
}

/* Consumes client and logs also on failure. */
static int attachment_new(struct compute_client *client, struct engine_logs *logs, bool terminal,
                          struct attachment **ret, struct error *err)
{
    struct attachment *attachment = calloc(1, sizeof(*attachment));

    if (!attachment) {
        if (logs)
            engine_logs_close(logs);
        if (client)
            compute_client_free(client);
        return error_oom(err);
    }
    attachment->client = client;
    attachment->logs = logs;
    attachment->multiplexed = !terminal;
    attachment->output_fd = -EBADF;
    attachment->pump_fd = -EBADF;
    *ret = attachment;
    return 0;
}

/* Appends records until there are none, or enough of them: 1, 0, -ENODATA as a source's fill(). */
static int fill_logs(struct attachment *attachment, struct buffer *out)
{
    size_t before = out->length;

    while (out->length - before < LOGS_BATCH) {
        unsigned char header[STDCOPY_HEADER];
        const char *bytes = NULL;
        size_t length = 0;
        int stream = 0;
        int r = engine_logs_next(attachment->logs, &stream, &bytes, &length, NULL);

        if (r <= 0)
            return out->length > before ? 1 : r;
        stdcopy_header(header, stream, length);
        if (attachment->multiplexed && buffer_append(out, header, sizeof(header)) < 0)
            return -ENOMEM;
        if (buffer_append(out, bytes, length) < 0)
            return -ENOMEM;
    }
    return 1;
}

static int logs_fill(void *data, struct buffer *out)
{
    return fill_logs(data, out);
}

static int logs_fd(void *data)
{
    const struct attachment *attachment = data;

    return engine_logs_fd(attachment->logs);
}

int attachment_reply_logs(const struct request *request, struct engine_logs *logs, bool terminal,
                          struct reply *reply, struct error *err)
{
    struct attachment *attachment = NULL;
    struct reply_source source = {.fill = logs_fill, .fd = logs_fd, .release = attachment_free};
    int r = attachment_new(NULL, logs, terminal, &attachment, err);

    if (r < 0)
        return r;
    source.data = attachment;
    reply_stream(reply, attachment_type(request, terminal), &source);
    return 0;
}

/* Writes all of it to a socket that may be non-blocking; 0 or -errno. */
static int send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        struct pollfd writable = {.fd = fd, .events = POLLOUT};

        if (n >= 0) {
            data += n;
            length -= (size_t)n;
        } else if (errno == EAGAIN) {
            (void)poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* What was logged before the client came. */
static int send_logs(struct attachment *attachment, int fd)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(REPLY_STREAM_PENDING_MAX);

    while (attachment->logs) {
        int r = fill_logs(attachment, &out);

        if (r <= 0) {
            attachment->logs = engine_logs_close(attachment->logs);
            break;
        }
        r = send_all(fd, out.data, out.length);
        if (r < 0)
            return r;
        buffer_clear(&out);
    }
    return 0;
}

static void send_notice(const struct attachment *attachment, int fd)
{
    unsigned char header[STDCOPY_HEADER];
    size_t length = strlen(attachment->notice);

    if (length == 0)
        return;
    stdcopy_header(header, 1, length);
    if (!attachment->multiplexed || send_all(fd, (const char *)header, sizeof(header)) == 0)
        (void)send_all(fd, attachment->notice, length);
}

static void run(void *data, int fd, const void *early, size_t early_length)
{
    struct attachment *attachment = data;

    if (attachment->notice) {
        send_notice(attachment, fd);
        return;
    }
    /* A failure here has no reader but the client, who sees the connection end. */
    if (send_logs(attachment, fd) == 0)
        (void)compute_client_pump(attachment->client, fd, early, early_length,
                                  attachment->multiplexed, NULL);
}

static void *pump_main(void *data)
{
    struct attachment *attachment = data;

    run(attachment, attachment->pump_fd, NULL, 0);
    /* The reader of the other end sees that this was all. */
    shutdown(attachment->pump_fd, SHUT_RDWR);
    return NULL;
}

static int pump_fill(void *data, struct buffer *out)
{
    const struct attachment *attachment = data;
    void *room = buffer_reserve(out, PUMP_READ);
    ssize_t n = 0;

    if (!room)
        return -ENOMEM;
    n = recv(attachment->output_fd, room, PUMP_READ, MSG_DONTWAIT);
    if (n > 0) {
        buffer_commit(out, (size_t)n);
        return 1;
    }
    if (n == 0)
        return -ENODATA;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static int pump_source_fd(void *data)
{
    const struct attachment *attachment = data;

    return attachment->output_fd;
}

static int start_pump(struct attachment *attachment, struct error *err)
{
    int pair[2] = {-EBADF, -EBADF};
    int r = fd_socketpair(SOCK_STREAM, pair);

    if (r < 0)
        return error_set_errno(err, r, "cannot make a socket pair");
    attachment->output_fd = pair[0];
    attachment->pump_fd = pair[1];
    /* Such a client can send nothing: standard input is at its end. */
    shutdown(attachment->output_fd, SHUT_WR);
    r = -pthread_create(&attachment->thread, NULL, pump_main, attachment);
    if (r < 0)
        return error_set_errno(err, r, "cannot start a thread");
    attachment->has_thread = true;
    return 0;
}

/* Consumes the attachment also on failure. */
static int hand_over(const struct request *request, struct attachment *attachment,
                     struct reply *reply, struct error *err)
{
    bool terminal = !attachment->multiplexed;
    int r;

    if (request->wants_upgrade) {
        const struct reply_hijack hijack = {
            .run = run,
            .release = attachment_free,
            .data = attachment,
        };

        reply_hijack(reply, attachment_type(request, terminal), &hijack);
        return 0;
    }
    r = start_pump(attachment, err);
    if (r < 0) {
        attachment_free(attachment);
        return r;
    }
    reply_stream(reply, attachment_type(request, terminal),
                 &(const struct reply_source){
                     .fill = pump_fill,
                     .fd = pump_source_fd,
                     .release = attachment_free,
                     .data = attachment,
                 });
    return 0;
}

int attachment_reply(const struct request *request, struct compute_client *client, bool terminal,
                     struct engine_logs *logs, struct reply *reply, struct error *err)
{
    struct attachment *attachment = NULL;
    int r = attachment_new(client, logs, terminal, &attachment, err);

    return r < 0 ? r : hand_over(request, attachment, reply, err);
}

int attachment_reply_notice(const struct request *request, const char *text, bool terminal,
                            struct reply *reply, struct error *err)
{
    struct attachment *attachment = NULL;
    int r = attachment_new(NULL, NULL, terminal, &attachment, err);

    if (r < 0 || !attachment)
        return r;
    attachment->notice = text ? string_format("%s\r\n", text) : strdup("");
    if (!attachment->notice) {
        attachment_free(attachment);
        return error_oom(err);
    }
    return hand_over(request, attachment, reply, err);
}
