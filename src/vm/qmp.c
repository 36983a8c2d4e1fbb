/* Theory of operation.
 *
 *   GREETING     waits for {"QMP": ...}; then sends qmp_capabilities
 *   NEGOTIATION  waits for its answer (id 0); then what has been queued is sent
 *   READY        commands and answers, matched by id; events
 *   CLOSED       end, for whatever reason; nothing is read, sent or accepted any more
 *
 * Commands are written to `output` when they are issued; before READY the loop is only not told to
 * send them beyond the handshake: they wait in `queued`, so that the order on the wire is kept.
 *
 * A message is a line. An answer to an id that is not pending, an answer before the handshake, a
 * line that is no JSON object or is too long end the connection: a QEMU that does this is broken or
 * taken over. Unknown members are allowed by the protocol. Answers without an id are errors about
 * input that QEMU could not parse, which would be our fault: also the end. */
#include "vm/qmp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/strings.h"

enum { QMP_READ_CHUNK = 16 * 1024, QMP_NAME_MAX = 128 };

enum qmp_state { QMP_GREETING, QMP_NEGOTIATION, QMP_READY, QMP_CLOSED };

struct pending {
    struct list node;
    int64_t id;
    qmp_done *done;
    void *data;
};

struct qmp {
    enum qmp_state state;
    int fd;
    struct loop_source source;
    struct qmp_events events;
    struct buffer input;
    struct buffer output;
    struct buffer queued; /* commands issued before READY */
    struct list pending;
    size_t n_pending;
    int64_t next_id;
    bool shutdown_seen;
    int passed;       /* a descriptor that goes with the command at this place of `output` ... */
    size_t passed_at; /* ... or, before READY, of `queued` */
    unsigned depth;   /* callbacks that are on the stack */
    bool freed;       /* by one of them */
    struct error failure;
};

/* --- end --- */

static void release(struct qmp *qmp)
{
    buffer_release(&qmp->input);
    buffer_release(&qmp->output);
    buffer_release(&qmp->queued);
    free(qmp);
}

/* Around whatever may call back: a callback may free the client. */
static void enter(struct qmp *qmp)
{
    qmp->depth++;
}

static void leave(struct qmp *qmp)
{
    if (--qmp->depth == 0 && qmp->freed)
        release(qmp);
}

static void complete_all(struct qmp *qmp)
{
    /* A completion may not add commands any more (-ENOTCONN), so this ends. */
    while (!list_is_empty(&qmp->pending)) {
        struct pending *pending = LIST_ENTRY(qmp->pending.next, struct pending, node);

        list_remove(&pending->node);
        qmp->n_pending--;
        if (pending->done)
            pending->done(qmp, NULL, &qmp->failure, pending->data);
        free(pending);
    }
}

/* Ends the connection; qmp->failure is filled. */
static void shut(struct qmp *qmp)
{
    CLEANUP_JSON json_t *payload = NULL;

    if (qmp->state == QMP_CLOSED)
        return;
    qmp->state = QMP_CLOSED;
    loop_remove(&qmp->source);
    qmp->fd = fd_close(qmp->fd);
    qmp->passed = fd_close(qmp->passed);
    complete_all(qmp);
    if (qmp->shutdown_seen)
        return;
    qmp->shutdown_seen = true;
    payload = json_pack("{s:b, s:s}", "guest", 0, "reason", "disconnected");
    if (payload && qmp->events.event)
        qmp->events.event(qmp, "SHUTDOWN", payload, qmp->events.data);
}

static void fail(struct qmp *qmp, const char *what)
{
    if (qmp->state == QMP_CLOSED)
        return;
    error_set(&qmp->failure, -EPROTO, "QEMU broke the control protocol: %s", what);
    shut(qmp);
}

static void disconnect(struct qmp *qmp, int code)
{
    if (qmp->state == QMP_CLOSED)
        return;
    if (code < 0)
        error_set_errno(&qmp->failure, code, "the control connection to QEMU failed");
    else
        error_set(&qmp->failure, -ECONNRESET, "the control connection to QEMU was closed");
    shut(qmp);
}

const char *qmp_failure(const struct qmp *qmp)
{
    return qmp->state == QMP_CLOSED ? qmp->failure.message : NULL;
}

/* --- sending --- */

/* One send of what may go together: a descriptor travels with its command's first byte, so what
 * was said before goes first. */
static ssize_t send_some(struct qmp *qmp)
{
    bool passing = qmp->passed >= 0 && qmp->state == QMP_READY;
    bool before = passing && qmp->passed_at > 0;
    bool with = passing && qmp->passed_at == 0;
    size_t length = before ? qmp->passed_at : qmp->output.length;
    ssize_t n = fd_send_with_fds(qmp->fd, qmp->output.data, length, &qmp->passed, with);

    if (n <= 0)
        return n;
    if (with)
        qmp->passed = fd_close(qmp->passed);
    if (before)
        qmp->passed_at -= (size_t)n;
    buffer_consume(&qmp->output, (size_t)n);
    return n;
}

static void flush(struct qmp *qmp)
{
    if (qmp->fd < 0 || !qmp->source.loop)
        return;
    while (qmp->output.length > 0) {
        ssize_t n = send_some(qmp);

        if (n < 0 && n != -EAGAIN) {
            disconnect(qmp, (int)n);
            return;
        }
        if (n < 0)
            break;
    }
    loop_modify(&qmp->source, qmp->output.length > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int append_command(struct buffer *buffer, const char *name, json_t *arguments, int64_t id)
{
    CLEANUP_JSON json_t *command = json_pack("{s:s, s:I, s:O*}", "execute", name, "id",
                                             (json_int_t)id, "arguments", arguments);
    CLEANUP_FREE char *text = command ? json_format(command) : NULL;
    size_t before = buffer->length;
    int r;

    if (!text)
        return -ENOMEM;
    r = buffer_append_string(buffer, text);
    if (r == 0)
        r = buffer_append_char(buffer, '\n');
    if (r < 0) {
        buffer->length = before; /* no half command on the wire */
        if (buffer->data)
            buffer->data[before] = '\0';
    }
    return r == -EOVERFLOW ? -ENOBUFS : r;
}

int qmp_command(struct qmp *qmp, const char *name, json_t *arguments, qmp_done *done, void *data,
                struct error *err)
{
    return qmp_command_fd(qmp, name, arguments, -EBADF, done, data, err);
}

int qmp_command_fd(struct qmp *qmp, const char *name, json_t *arguments, int fd, qmp_done *done,
                   void *data, struct error *err)
{
    CLEANUP_JSON json_t *owned = arguments;
    CLEANUP_CLOSE int passed = fd;
    size_t at;
    struct buffer *target = qmp->state == QMP_READY ? &qmp->output : &qmp->queued;
    struct pending *pending;
    int r;

    if (qmp->state == QMP_CLOSED)
        return error_set(err, -ENOTCONN, "cannot send '%s' to QEMU: %s", name,
                         qmp->failure.message);
    if (qmp->n_pending >= QMP_PENDING_MAX)
        return error_set(err, -ENOBUFS, "cannot send '%s' to QEMU: it does not answer", name);
    if (passed >= 0 && qmp->passed >= 0)
        return error_set(err, -EBUSY, "cannot send '%s' to QEMU: another descriptor is on its way",
                         name);
    at = target->length;
    pending = calloc(1, sizeof(*pending));
    if (!pending)
        return error_oom(err);
    r = append_command(target, name, owned, qmp->next_id);
    if (r < 0) {
        free(pending);
        return error_set_errno(err, r, "cannot send '%s' to QEMU", name);
    }
    *pending = (struct pending){.id = qmp->next_id++, .done = done, .data = data};
    list_append(&qmp->pending, &pending->node);
    qmp->n_pending++;
    if (passed >= 0) {
        qmp->passed = TAKE_FD(passed);
        qmp->passed_at = at;
    }
    /* An error while sending must not complete commands below their issuer: the loop will send. */
    if (qmp->state == QMP_READY && qmp->source.loop)
        loop_modify(&qmp->source, EPOLLIN | EPOLLOUT);
    return 0;
}

/* --- receiving --- */

static void on_greeting(struct qmp *qmp, const json_t *message)
{
    if (!json_is_object(json_object_get(message, "QMP"))) {
        fail(qmp, "no greeting");
        return;
    }
    if (append_command(&qmp->output, "qmp_capabilities", NULL, 0) < 0) {
        disconnect(qmp, -ENOMEM);
        return;
    }
    qmp->state = QMP_NEGOTIATION;
    flush(qmp);
}

static void on_negotiated(struct qmp *qmp, const json_t *message)
{
    if (json_integer_value(json_object_get(message, "id")) != 0 ||
        !json_object_get(message, "return")) {
        fail(qmp, "the handshake was refused");
        return;
    }
    qmp->state = QMP_READY;
    qmp->passed_at += qmp->output.length;
    if (buffer_append(&qmp->output, buffer_string(&qmp->queued), qmp->queued.length) < 0) {
        disconnect(qmp, -ENOBUFS);
        return;
    }
    buffer_release(&qmp->queued);
    flush(qmp);
}

static void on_event(struct qmp *qmp, const json_t *message, const char *name)
{
    CLEANUP_JSON json_t *none = NULL;
    const json_t *payload = json_object_get(message, "data");

    if (strlen(name) > QMP_NAME_MAX) {
        fail(qmp, "an event with a name that long");
        return;
    }
    if (string_equal(name, "SHUTDOWN")) {
        if (qmp->shutdown_seen)
            return;
        qmp->shutdown_seen = true;
    }
    if (!json_is_object(payload)) {
        none = json_object();
        payload = none;
    }
    if (payload && qmp->events.event)
        qmp->events.event(qmp, name, payload, qmp->events.data);
}

static void on_answer(struct qmp *qmp, const json_t *message)
{
    const json_t *id = json_object_get(message, "id");
    const json_t *result = json_object_get(message, "return");
    const char *description =
        json_string_value(json_object_get(json_object_get(message, "error"), "desc"));
    struct pending *found = NULL;
    struct error refused = ERROR_INIT;

    LIST_FOR_EACH (pending, &qmp->pending, struct pending, node)
        if (json_is_integer(id) && pending->id == json_integer_value(id)) {
            found = pending;
            break;
        }
    if (!found || (!result && !description)) {
        fail(qmp, "an answer that belongs to nothing");
        return;
    }
    list_remove(&found->node);
    qmp->n_pending--;
    if (!result)
        error_set(&refused, -EIO, "QEMU: %.512s", description);
    if (found->done)
        found->done(qmp, result, result ? NULL : &refused, found->data);
    free(found);
}

static void on_line(struct qmp *qmp, const char *line, size_t length)
{
    CLEANUP_JSON json_t *message = NULL;
    const char *event;

    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length == 0)
        return;
    if (json_parse(line, length, &message, NULL) < 0 || !json_is_object(message)) {
        fail(qmp, "a line that is no JSON object");
        return;
    }
    event = json_string_value(json_object_get(message, "event"));
    if (qmp->state == QMP_GREETING)
        on_greeting(qmp, message);
    else if (event)
        on_event(qmp, message, event);
    else if (qmp->state == QMP_NEGOTIATION)
        on_negotiated(qmp, message);
    else
        on_answer(qmp, message);
}

static void consume_lines(struct qmp *qmp)
{
    size_t start = 0;

    while (qmp->state != QMP_CLOSED && start < qmp->input.length) {
        const char *line = qmp->input.data + start;
        const char *end = memchr(line, '\n', qmp->input.length - start);

        if (!end)
            break;
        on_line(qmp, line, (size_t)(end - line));
        start += (size_t)(end - line) + 1;
    }
    if (qmp->state != QMP_CLOSED)
        buffer_consume(&qmp->input, start);
}

void qmp_receive(struct qmp *qmp, const void *data, size_t length)
{
    if (qmp->state == QMP_CLOSED)
        return;
    enter(qmp);
    if (buffer_append(&qmp->input, data, length) < 0)
        fail(qmp, "a line that long");
    else
        consume_lines(qmp);
    leave(qmp);
}

/* True if there may be more. */
static bool read_socket(struct qmp *qmp)
{
    char chunk[QMP_READ_CHUNK];
    ssize_t n = recv(qmp->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n > 0)
        qmp_receive(qmp, chunk, (size_t)n);
    else if (n == 0)
        disconnect(qmp, 0);
    else if (errno != EAGAIN && errno != EINTR)
        disconnect(qmp, -errno);
    return n > 0 && qmp->state != QMP_CLOSED;
}

void qmp_drain(struct qmp *qmp)
{
    if (!qmp)
        return;
    enter(qmp);
    /* A socket's buffer is finite, and its other end is dead. */
    while (qmp->state != QMP_CLOSED && read_socket(qmp))
        ;
    leave(qmp);
}

static void on_socket(struct loop_source *source, uint32_t events)
{
    struct qmp *qmp = source->data;

    enter(qmp);
    if (events & EPOLLOUT)
        flush(qmp);
    if (qmp->state != QMP_CLOSED && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        (void)read_socket(qmp);
    leave(qmp);
}

/* --- life --- */

int qmp_new(int fd, struct loop *loop, const struct qmp_events *events, struct qmp **ret,
            struct error *err)
{
    struct qmp *qmp = calloc(1, sizeof(*qmp));
    int r = 0;

    if (!qmp)
        return error_oom(err);
    qmp->source = (struct loop_source)LOOP_SOURCE_INIT;
    qmp->events = *events;
    qmp->input = (struct buffer)BUFFER_INIT(QMP_LINE_MAX);
    qmp->output = (struct buffer)BUFFER_INIT(QMP_OUTPUT_MAX);
    qmp->queued = (struct buffer)BUFFER_INIT(QMP_OUTPUT_MAX / 2);
    qmp->next_id = 1;
    qmp->passed = -EBADF;
    list_init(&qmp->pending);
    if (loop)
        r = loop_add(loop, &qmp->source, fd, EPOLLIN, on_socket, qmp);
    if (r < 0) {
        free(qmp);
        return error_set_errno(err, r, "cannot watch the control connection to QEMU");
    }
    qmp->fd = fd;
    *ret = qmp;
    return 0;
}

struct qmp *qmp_free(struct qmp *qmp)
{
    if (!qmp)
        return NULL;
    loop_remove(&qmp->source);
    qmp->fd = fd_close(qmp->fd);
    qmp->passed = fd_close(qmp->passed);
    LIST_FOR_EACH (pending, &qmp->pending, struct pending, node) {
        list_remove(&pending->node);
        free(pending);
    }
    qmp->n_pending = 0;
    qmp->state = QMP_CLOSED;
    qmp->shutdown_seen = true; /* nothing is called back any more */
    qmp->freed = true;
    if (qmp->depth == 0)
        release(qmp);
    return NULL;
}
