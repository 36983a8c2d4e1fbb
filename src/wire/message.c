/* Control messages: hello, requests, answers, events. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/strings.h"
#include "wire/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Sends `message` in as many frames as it takes. */
static int send_message(struct wire_connection *connection, const json_t *message)
{
    CLEANUP_FREE char *text = json_format(message);

    if (!text)
        return -ENOMEM;
    size_t length = strlen(text);
    if (length > WIRE_MESSAGE_MAX)
        return -EMSGSIZE;
    for (size_t sent = 0; sent < length;) {
        size_t n = length - sent;
        bool more = n > FRAME_PAYLOAD_MAX;

        if (more)
            n = FRAME_PAYLOAD_MAX;
        int r =
            wire_send_frame(connection, FRAME_CONTROL, more ? FRAME_MORE : 0, 0, text + sent, n);
        if (r < 0)
            return r;
        sent += n;
    }
    return 0;
}

int wire_send_hello(struct wire_connection *connection)
{
    CLEANUP_JSON json_t *hello = json_pack("{s:{s:i,s:s}}", "hello", "protocol",
                                           WIRE_PROTOCOL_VERSION, "program", connection->program);

    return hello ? send_message(connection, hello) : -ENOMEM;
}

static void handle_hello(struct wire_connection *connection, json_t *message)
{
    json_t *hello = json_object_get(message, "hello");
    int64_t version = 0;

    if (!json_is_object(hello) || json_get_i64(hello, "protocol", &version, NULL) != 1) {
        wire_connection_violation(connection, "its first message is not a hello");
        return;
    }
    /* The client's hello goes out also when versions differ: the other end can then say so too. */
    if (connection->role == WIRE_CLIENT && wire_send_hello(connection) < 0) {
        wire_end(connection, -ENOMEM, "out of memory");
        return;
    }
    if (version != WIRE_PROTOCOL_VERSION) {
        wire_end(connection, -EPROTONOSUPPORT,
                 "%s speaks version %lld of the compute protocol, this program version %d",
                 connection->peer, (long long)version, WIRE_PROTOCOL_VERSION);
        return;
    }
    if (!wire_is_open(connection))
        return;
    connection->state = WIRE_STATE_READY;
    if (connection->handler && connection->handler->ready)
        connection->handler->ready(connection, connection->data);
}

static bool name_is_valid(const char *name)
{
    size_t length = name ? strlen(name) : 0;

    if (length == 0 || length > WIRE_NAME_MAX)
        return false;
    for (const char *c = name; *c; c++) {
        if (!(*c >= 'a' && *c <= 'z') && *c != '_' && *c != '-')
            return false;
    }
    return true;
}

/* An id is a positive integer; 0 stands for "none" in the tables. */
static uint64_t message_id(const json_t *message)
{
    json_int_t id = json_integer_value(json_object_get(message, "id"));

    return id > 0 ? (uint64_t)id : 0;
}

static void handle_request(struct wire_connection *connection, json_t *message)
{
    uint64_t id = message_id(message);
    const char *op = json_string_value(json_object_get(message, "op"));
    uint64_t *slot = NULL;

    if (!connection->handler || !connection->handler->request || id == 0 || !name_is_valid(op)) {
        wire_connection_violation(connection, "a message that is no request");
        return;
    }
    for (size_t i = 0; i < WIRE_PENDING_MAX; i++) {
        if (connection->unanswered[i] == id) {
            wire_connection_violation(connection, "a request's id is used twice");
            return;
        }
        if (connection->unanswered[i] == 0 && !slot)
            slot = &connection->unanswered[i];
    }
    if (!slot) {
        wire_connection_violation(connection, "more than %d requests at once", WIRE_PENDING_MAX);
        return;
    }
    *slot = id;
    connection->handler->request(connection, id, op, message, connection->data);
}

/* A guest may have written the text, and it ends on somebody's terminal: what would control that
 * (C0, DEL, and C1 in UTF-8) is taken out. */
static void disarm(char *text)
{
    unsigned char *to = (unsigned char *)text;

    for (const unsigned char *from = to; *from; from++) {
        if (from[0] == 0xc2 && from[1] >= 0x80 && from[1] <= 0x9f)
            continue; /* its second half becomes the '?' */
        bool c1 =
            from[0] >= 0x80 && from[0] <= 0x9f && from > (unsigned char *)text && from[-1] == 0xc2;
        if (*from == '\n' || *from == '\t')
            *to++ = ' ';
        else
            *to++ = *from < ' ' || *from == 0x7f || c1 ? '?' : *from;
    }
    *to = '\0';
}

/* What the peer says went wrong, in an error of ours. */
static void read_error(const json_t *member, struct error *ret)
{
    const char *message = json_string_value(json_object_get(member, "message"));
    const char *class = json_string_value(json_object_get(member, "class"));
    json_int_t code = json_integer_value(json_object_get(member, "errno"));
    int known = class ? error_class_from_string(class) : -EINVAL;

    (void)error_set(ret, code > 0 && code < 4096 ? -(int)code : -EIO, "%s",
                    string_or(message, "unknown error"));
    disarm(ret->message);
    if (known >= 0)
        (void)error_classify(ret, ret->code, (enum error_class)known);
}

static void handle_answer(struct wire_connection *connection, json_t *message)
{
    uint64_t id = message_id(message);
    json_t *ok = json_object_get(message, "ok");
    json_t *failure = json_object_get(message, "error");
    struct wire_pending pending = {.id = 0};

    for (size_t i = 0; i < WIRE_PENDING_MAX && id != 0; i++) {
        if (connection->pending[i].id != id)
            continue;
        pending = connection->pending[i];
        connection->pending[i] = (struct wire_pending){.id = 0};
        break;
    }
    if (pending.id == 0) {
        wire_connection_violation(connection, "an answer to a request that was not made");
        return;
    }
    struct error error = ERROR_INIT;
    if (json_is_object(failure)) {
        read_error(failure, &error);
    } else if (!json_is_object(ok)) {
        (void)error_set(&error, -EPROTO, "%s broke the protocol: an answer without content",
                        connection->peer);
        wire_connection_violation(connection, "an answer without content");
    }
    pending.handler(connection, error.code < 0 ? NULL : ok, error.code < 0 ? &error : NULL,
                    pending.data);
}

static void handle_event(struct wire_connection *connection, json_t *message)
{
    const char *name = json_string_value(json_object_get(message, "event"));

    if (!connection->handler || !connection->handler->event || !name_is_valid(name)) {
        wire_connection_violation(connection, "a message that is no answer and no event");
        return;
    }
    connection->handler->event(connection, name, message, connection->data);
}

static void handle_message(struct wire_connection *connection, json_t *message)
{
    if (!json_is_object(message))
        wire_connection_violation(connection, "a message that is not an object");
    else if (connection->state == WIRE_STATE_HELLO)
        handle_hello(connection, message);
    else if (connection->role == WIRE_SERVER)
        handle_request(connection, message);
    else if (json_object_get(message, "id"))
        handle_answer(connection, message);
    else
        handle_event(connection, message);
}

void wire_handle_control(struct wire_connection *connection, const struct frame *frame)
{
    struct buffer *buffer = &connection->message;
    CLEANUP_JSON json_t *message = NULL;
    struct error error = ERROR_INIT;
    const char *text = (const char *)frame->payload;
    size_t length = frame->length;

    if ((frame->flags & FRAME_MORE) || buffer->length > 0) {
        int r = buffer_append(buffer, frame->payload, frame->length);

        if (r == -EOVERFLOW)
            wire_connection_violation(connection, "a message above %d bytes", WIRE_MESSAGE_MAX);
        else if (r < 0)
            wire_end(connection, r, "out of memory");
        if (r < 0 || (frame->flags & FRAME_MORE))
            return;
        text = buffer->data;
        length = buffer->length;
    }
    int r = json_parse_limited(text, length, WIRE_ELEMENTS_MAX, &message, &error);
    buffer_release(buffer);
    if (r == -ENOMEM)
        wire_end(connection, r, "out of memory");
    else if (r < 0)
        wire_connection_violation(connection, "a message that is not JSON: %.160s", error.message);
    else
        handle_message(connection, message);
}

int wire_connection_request(struct wire_connection *connection, const char *op, json_t *arguments,
                            wire_answer_handler *handler, void *data, struct error *err)
{
    CLEANUP_JSON json_t *message = arguments ? arguments : json_object();
    struct wire_pending *slot = NULL;
    int r;

    if (connection->state != WIRE_STATE_READY || connection->freed)
        return connection->reason.code < 0
                   ? error_copy(err, &connection->reason)
                   : error_set(err, -ENOTCONN, "%s is not connected", connection->peer);
    for (size_t i = 0; i < WIRE_PENDING_MAX && !slot; i++) {
        if (connection->pending[i].id == 0)
            slot = &connection->pending[i];
    }
    if (!slot)
        return error_set(err, -EBUSY, "%s has too many requests to answer", connection->peer);
    uint64_t id = connection->last_id + 1;
    if (!message || json_put_i64(message, "id", (int64_t)id) < 0 ||
        json_put_string(message, "op", op) < 0)
        return error_oom(err);
    r = send_message(connection, message);
    if (r == -EMSGSIZE)
        return error_set(err, r, "the request '%s' is larger than %d bytes", op, WIRE_MESSAGE_MAX);
    if (r < 0)
        return error_set_errno(err, r, "sending '%s' to %s", op, connection->peer);
    connection->last_id = id;
    *slot = (struct wire_pending){.id = id, .handler = handler, .data = data};
    return 0;
}

static bool take_unanswered(struct wire_connection *connection, uint64_t id)
{
    if (connection->state != WIRE_STATE_READY || connection->freed)
        return false;
    for (size_t i = 0; i < WIRE_PENDING_MAX; i++) {
        if (connection->unanswered[i] == id) {
            connection->unanswered[i] = 0;
            return true;
        }
    }
    return false;
}

static void send_refusal(struct wire_connection *connection, uint64_t id, const struct error *error)
{
    CLEANUP_JSON json_t *message = json_object();
    json_t *details = json_object();

    /* The message may quote a stranger: json_put_string() makes it UTF-8. */
    if (json_put_string(details, "class", error_class_to_string(error->class)) < 0 ||
        json_put_i64(details, "errno", -error->code) < 0 ||
        json_put_string(details, "message", error->message) < 0 ||
        json_put_i64(message, "id", (int64_t)id) < 0) {
        json_decref(details);
        details = NULL;
    }
    if (json_put(message, "error", details) < 0 || send_message(connection, message) < 0)
        wire_end(connection, -ENOMEM, "an answer to %s could not be sent", connection->peer);
}

void wire_connection_refuse(struct wire_connection *connection, uint64_t id,
                            const struct error *error)
{
    if (take_unanswered(connection, id))
        send_refusal(connection, id, error);
}

void wire_connection_answer(struct wire_connection *connection, uint64_t id, json_t *ok)
{
    CLEANUP_JSON json_t *content = ok ? ok : json_object();
    struct error error = ERROR_INIT;

    if (!take_unanswered(connection, id))
        return;
    CLEANUP_JSON json_t *message =
        content ? json_pack("{s:I,s:O}", "id", (json_int_t)id, "ok", content) : NULL;
    int r = message ? send_message(connection, message) : -ENOMEM;
    if (r >= 0)
        return;
    (void)error_set_errno(&error, r, "the answer could not be sent");
    send_refusal(connection, id, &error);
}

int wire_connection_event(struct wire_connection *connection, const char *name, json_t *members)
{
    CLEANUP_JSON json_t *message = members ? members : json_object();

    if (connection->state != WIRE_STATE_READY || connection->freed)
        return -ENOTCONN;
    if (!message || json_put_string(message, "event", name) < 0)
        return -ENOMEM;
    return send_message(connection, message);
}

void wire_fail_pending(struct wire_connection *connection, const struct error *reason)
{
    for (size_t i = 0; i < WIRE_PENDING_MAX; i++) {
        struct wire_pending pending = connection->pending[i];

        if (pending.id == 0)
            continue;
        connection->pending[i] = (struct wire_pending){.id = 0};
        pending.handler(connection, NULL, reason, pending.data);
    }
}
