/* Theory of operation.
 *
 * The console answers to the address that a request comes from. An abstract one means something
 * only in the network namespace it was bound in, so the socket is made in the VMM's, by this
 * thread, which comes back at once; a thread that could not come back would be of no use to the
 * host any more and ends the process. The socket is connected, so the kernel drops what others than
 * the console send.
 *
 * Nothing is read while nothing was asked: a console that talks on fills its own queue. */
#include "vm/mconsole.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/strings.h"

/* arch/um/drivers/mconsole.h: struct mconsole_request and struct mconsole_reply. */
enum { MAGIC = (int)0xcafebabe, VERSION = 2, DATA_MAX = 512, TEXT_MAX = 256 };

struct request {
    uint32_t magic;
    int32_t version;
    int32_t length;
    char data[DATA_MAX];
};

struct reply {
    int32_t error;
    int32_t more;
    int32_t length;
    char data[DATA_MAX];
};

struct mconsole {
    struct loop *loop;
    int fd;
    struct loop_source source; /* added while an answer is due */
    struct loop_source timer;
    mconsole_answered *answered;
    void *data;
    unsigned pieces;
    char text[TEXT_MAX]; /* the beginning of the answer, printable */
};

/* --- the socket --- */

static int open_socket(const struct sockaddr_un *peer)
{
    struct sockaddr_un own = {.sun_family = AF_UNIX};
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    /* An address of the family alone: the kernel makes an abstract one up (unix(7), autobind). */
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(sa_family_t)) < 0 ||
        connect(fd, (const struct sockaddr *)peer, sizeof(*peer)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int open_socket_there(int pidfd, const struct sockaddr_un *peer)
{
    CLEANUP_CLOSE int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int fd;

    if (home < 0 || setns(pidfd, CLONE_NEWNET) < 0)
        return -errno;
    fd = open_socket(peer);
    if (setns(home, CLONE_NEWNET) < 0)
        abort(); /* see above */
    return fd;
}

int mconsole_new(int console, int pidfd, struct loop *loop, struct mconsole **ret,
                 struct error *err)
{
    struct sockaddr_un peer = {.sun_family = AF_UNIX};
    struct mconsole *mconsole = calloc(1, sizeof(*mconsole));
    int r;

    if (!mconsole)
        return error_oom(err);
    mconsole->loop = loop;
    mconsole->source = mconsole->timer = (struct loop_source)LOOP_SOURCE_INIT;
    (void)snprintf(peer.sun_path, sizeof(peer.sun_path), "/proc/self/fd/%d", console);
    mconsole->fd = open_socket_there(pidfd, &peer);
    r = mconsole->fd < 0 ? mconsole->fd : 0;
    if (r < 0) {
        mconsole_free(mconsole);
        return error_set_errno(err, r, "cannot reach the VM's management console");
    }
    *ret = mconsole;
    return 0;
}

struct mconsole *mconsole_free(struct mconsole *mconsole)
{
    if (!mconsole)
        return NULL;
    loop_remove(&mconsole->source);
    loop_remove(&mconsole->timer);
    fd_close(mconsole->fd);
    free(mconsole);
    return NULL;
}

/* --- question and answer --- */

/* The callee may free the client: the last thing that a handler does. */
static void end(struct mconsole *mconsole, const struct error *error)
{
    mconsole_answered *answered = mconsole->answered;

    loop_remove(&mconsole->source);
    loop_remove(&mconsole->timer);
    mconsole->answered = NULL;
    answered(error, mconsole->data);
}

static void fail(struct mconsole *mconsole, int code, const char *text)
{
    struct error error = ERROR_INIT;

    (void)error_set(&error, code, "the VM's management console %s", text);
    end(mconsole, &error);
}

static void timed_out(struct loop_source *source, uint32_t events)
{
    (void)events;
    fail(source->data, -ETIMEDOUT, "does not answer");
}

/* Keeps the beginning of the text. */
static void keep_text(struct mconsole *mconsole, const struct reply *reply, size_t length)
{
    size_t used = strlen(mconsole->text);

    for (size_t i = 0; i < length && used < TEXT_MAX - 1 && reply->data[i]; i++)
        mconsole->text[used++] =
            reply->data[i] >= ' ' && reply->data[i] <= '~' ? reply->data[i] : ' ';
    mconsole->text[used] = '\0';
}

/* True when that was the last piece. */
static bool take(struct mconsole *mconsole, const struct reply *reply, size_t size)
{
    struct error error = ERROR_INIT;

    if (size < offsetof(struct reply, data) || reply->length < 0 ||
        (size_t)reply->length > size - offsetof(struct reply, data) ||
        ++mconsole->pieces > MCONSOLE_PIECES_MAX) {
        fail(mconsole, -EPROTO, "breaks its protocol");
        return true;
    }
    keep_text(mconsole, reply, (size_t)reply->length);
    if (reply->more)
        return false;
    if (reply->error) {
        (void)error_set(&error, -EIO, "the VM's management console refuses: %s",
                        *mconsole->text ? mconsole->text : "no reason given");
        end(mconsole, &error);
    } else {
        end(mconsole, NULL);
    }
    return true;
}

static void readable(struct loop_source *source, uint32_t events)
{
    struct mconsole *mconsole = source->data;
    struct reply reply;
    ssize_t n = recv(mconsole->fd, &reply, sizeof(reply), MSG_TRUNC);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0 || (size_t)n > sizeof(reply))
        fail(mconsole, -EPROTO, n < 0 ? "has gone" : "breaks its protocol");
    else
        (void)take(mconsole, &reply, (size_t)n);
}

static int send_request(struct mconsole *mconsole, const char *command)
{
    struct request request = {.magic = (uint32_t)MAGIC, .version = VERSION};
    size_t length = strlen(command);

    if (length > MCONSOLE_REQUEST_MAX)
        return -E2BIG;
    memcpy(request.data, command, length);
    request.length = (int32_t)length;
    return send(mconsole->fd, &request, sizeof(request), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int mconsole_ask(struct mconsole *mconsole, const char *command, unsigned timeout_ms,
                 mconsole_answered *answered, void *data, struct error *err)
{
    int r;

    if (mconsole->answered)
        return error_set(err, -EBUSY, "the VM's management console is in use");
    mconsole->pieces = 0;
    mconsole->text[0] = '\0';
    r = loop_add(mconsole->loop, &mconsole->source, mconsole->fd, EPOLLIN, readable, mconsole);
    if (r == 0)
        r = loop_add_timer(mconsole->loop, &mconsole->timer, timed_out, mconsole);
    if (r == 0)
        r = loop_timer_set(&mconsole->timer, timeout_ms);
    if (r == 0)
        r = send_request(mconsole, command);
    if (r < 0) {
        loop_remove(&mconsole->source);
        loop_remove(&mconsole->timer);
        return error_set_errno(err, r, "cannot speak to the VM's management console");
    }
    mconsole->answered = answered;
    mconsole->data = data;
    return 0;
}
