/* `layer` and `layer-slot`: see agent_layer.h. An agent that serves them has no container, and does
 * nothing else in its life. */
#include "sandbox/agent_layer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "sandbox/agent_internal.h"
#include "sandbox/stage.h"

enum { ERRNO_MAX = 4095 };

struct agent_layer {
    struct agent *agent;
    struct layer_task task;
    struct process process;
    struct loop_source source; /* our end of the port */
    int port;
    uint64_t pending[LAYER_SLOTS_MAX]; /* requests that wait, oldest first */
    size_t n_pending;
    bool ended;
    struct error failure;
};

static void close_port(struct agent_layer *layer)
{
    loop_remove(&layer->source);
    layer->port = fd_close(layer->port);
}

static void layer_free(struct agent_layer *layer)
{
    close_port(layer);
    (void)process_signal(&layer->process, SIGKILL);
    (void)process_wait(&layer->process, NULL);
    process_release(&layer->process);
    free(layer->task.directory);
    free(layer->task.ring);
    free(layer->task.source);
    free(layer->task.disk);
    free(layer);
}

void agent_layer_free(struct agent *agent)
{
    if (agent->layer)
        layer_free(agent->layer);
    agent->layer = NULL;
}

/* --- answers --- */

static uint64_t take_oldest(struct agent_layer *layer)
{
    uint64_t id = layer->pending[0];

    layer->n_pending--;
    memmove(layer->pending, layer->pending + 1, layer->n_pending * sizeof(layer->pending[0]));
    return id;
}

static void fail(struct agent_layer *layer, const struct error *failure)
{
    layer->failure = *failure;
    close_port(layer);
    while (layer->n_pending > 0)
        wire_connection_refuse(layer->agent->connection, take_oldest(layer), &layer->failure);
}

static json_t *end_to_json(const struct layer_reply *reply)
{
    return json_pack("{s:b,s:I,s:I}", "end", 1, "entries", (json_int_t)reply->entries, "bytes",
                     (json_int_t)reply->bytes);
}

static void take_reply(struct agent_layer *layer, struct layer_reply *reply)
{
    struct wire_connection *connection = layer->agent->connection;

    if (reply->kind == LAYER_FAILED) {
        reply->error.message[ERROR_MESSAGE_MAX - 1] = '\0';
        if (reply->error.code >= 0 || reply->error.code < -ERRNO_MAX)
            reply->error.code = -EIO;
        if ((unsigned)reply->error.class >= ERROR_CLASS_MAX)
            reply->error.class = ERROR_SYSTEM;
        fail(layer, &reply->error);
        return;
    }
    layer->ended = reply->kind == LAYER_ENDED;
    if (layer->n_pending > 0)
        wire_connection_answer(connection, take_oldest(layer),
                               layer->ended
                                   ? end_to_json(reply)
                                   : json_pack("{s:I}", "length", (json_int_t)reply->length));
    if (!layer->ended)
        return;
    close_port(layer);
    while (layer->n_pending > 0)
        wire_connection_answer(connection, take_oldest(layer), end_to_json(reply));
}

static void port_event(struct loop_source *source, uint32_t events)
{
    static struct layer_reply reply;
    struct agent_layer *layer = source->data;
    struct error error = ERROR_INIT;

    (void)events;
    while (layer->port >= 0) {
        ssize_t n = recv(layer->port, &reply, sizeof(reply), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        /* It ended with commands unread: told once, and before what it had said. */
        if (n < 0 && errno == ECONNRESET)
            continue;
        if (n == (ssize_t)sizeof(reply)) {
            take_reply(layer, &reply);
            continue;
        }
        (void)error_set(&error, -ECANCELED, "the layer's transfer was cut short");
        fail(layer, &error);
    }
}

/* --- requests --- */

static int start_child(struct agent_layer *layer, struct error *err)
{
    int ends[2];
    int r = fd_socketpair(SOCK_SEQPACKET, ends);

    if (r < 0)
        return error_set_errno(err, r, "making a socket pair");
    CLEANUP_CLOSE int theirs = ends[1];
    layer->port = ends[0];
    layer->process.pid = stage_clone(0, -EBADF, &layer->process.pidfd);
    if (layer->process.pid == 0)
        agent_layer_child(&layer->task, theirs);
    if (layer->process.pid < 0) {
        r = (int)layer->process.pid;
        layer->process = (struct process)PROCESS_INIT;
        return error_set_errno(err, r, "making a process");
    }
    r = loop_add(layer->agent->loop, &layer->source, layer->port, EPOLLIN, port_event, layer);
    return r < 0 ? error_set_errno(err, r, "watching a process") : 0;
}

static int read_number(const json_t *request, const char *name, int64_t min, int64_t max,
                       int64_t *ret, struct error *err)
{
    int r = json_need_i64(request, name, ret, err);

    if (r >= 0 && (*ret < min || *ret > max))
        return error_set_class(err, ERROR_INVALID, "'%s' is out of range", name);
    return r;
}

static int read_paths(struct agent *agent, const json_t *request, struct layer_task *task,
                      struct error *err)
{
    const char *directory = NULL;
    const char *ring = NULL;
    int r;

    if (agent->ops->prepare_layer)
        return agent->ops->prepare_layer(request, &task->directory, &task->ring, agent->data, err);
    if ((r = json_need_string(request, "directory", &directory, err)) < 0 ||
        (r = json_need_string(request, "ring", &ring, err)) < 0)
        return r;
    if (*directory != '/' || *ring != '/')
        return error_set_class(err, ERROR_INVALID, "'directory' and 'ring' must be absolute paths");
    if (string_replace(&task->directory, directory) < 0 || string_replace(&task->ring, ring) < 0)
        return error_oom(err);
    return 0;
}

static int read_content(struct agent *agent, const json_t *request, struct layer_task *task,
                        struct error *err)
{
    const char *how = "";
    const char *source = NULL;
    const char *disk = NULL;
    int r;

    if ((r = json_get_string(request, "content", &how, err)) < 0 ||
        (r = json_get_string(request, "source", &source, err)) < 0 ||
        (r = json_get_string(request, "disk", &disk, err)) < 0)
        return r;
    task->content = string_equal(how, "disk")   ? TREE_CONTENT_DISK
                    : string_equal(how, "path") ? TREE_CONTENT_PATH
                                                : TREE_CONTENT_HERE;
    if (*how && task->content == TREE_CONTENT_HERE)
        return error_set_class(err, ERROR_INVALID, "unknown 'content'");
    if (task->receive && *how && (agent->is_guest || string_is_empty(source) || *source != '/'))
        return error_set_class(err, ERROR_INVALID, "'source' is not an absolute path");
    if (disk && (!task->receive || agent->is_guest || *disk != '/'))
        return error_set_class(err, ERROR_INVALID, "'disk' is not an absolute path");
    if (string_replace(&task->source, source) < 0 || string_replace(&task->disk, disk) < 0)
        return error_oom(err);
    return 0;
}

static int read_task(struct agent *agent, const json_t *request, struct layer_task *task,
                     struct error *err)
{
    int64_t slots = 0;
    int64_t slot_size = 0;
    int64_t max_bytes = 0;
    int r;

    if ((r = json_get_bool(request, "receive", &task->receive, err)) < 0 ||
        (r = read_content(agent, request, task, err)) < 0 ||
        (r = read_number(request, "slots", 1, LAYER_SLOTS_MAX, &slots, err)) < 0 ||
        (r = read_number(request, "slot_size", LAYER_SLOT_ALIGN, LAYER_SLOT_MAX, &slot_size, err)) <
            0 ||
        (r = read_number(request, "max_bytes", 0, INT64_MAX, &max_bytes, err)) < 0)
        return r;
    if (slot_size % LAYER_SLOT_ALIGN)
        return error_set_class(err, ERROR_INVALID, "'slot_size' is no multiple of %d",
                               LAYER_SLOT_ALIGN);
    task->slots = (uint32_t)slots;
    task->slot_size = (uint32_t)slot_size;
    task->max_bytes = (uint64_t)max_bytes;
    task->is_guest = agent->is_guest;
    return read_paths(agent, request, task, err);
}

int agent_op_layer(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    struct agent_layer *layer;
    int r;

    (void)ret;
    if (agent->state != AGENT_NONE)
        return error_set_class(err, ERROR_CONFLICT, "the container exists already");
    layer = calloc(1, sizeof(*layer));
    if (!layer)
        return error_oom(err);
    layer->agent = agent;
    layer->port = -EBADF;
    layer->source = (struct loop_source)LOOP_SOURCE_INIT;
    layer->process = (struct process)PROCESS_INIT;
    r = read_task(agent, request, &layer->task, err);
    if (r >= 0)
        r = start_child(layer, err);
    if (r < 0) {
        layer_free(layer);
        return r;
    }
    agent->layer = layer;
    agent->state = AGENT_LAYER;
    return 0;
}

int agent_op_layer_slot(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    struct agent_layer *layer = agent->layer;
    struct layer_command command = {0};
    int64_t slot = 0;
    int64_t length = 0;
    int r;

    (void)ret;
    if (!layer || layer->ended)
        return error_set_class(err, ERROR_CONFLICT, "no layer is under way");
    if (layer->failure.code < 0)
        return error_copy(err, &layer->failure);
    if ((r = read_number(request, "slot", 0, layer->task.slots - 1, &slot, err)) < 0 ||
        (r = json_get_i64(request, "length", &length, err)) < 0)
        return r;
    if (length < 0 || length > layer->task.slot_size || layer->n_pending >= layer->task.slots)
        return error_set_class(err, ERROR_INVALID, "'length' is out of range, or too many slots");
    command.slot = (uint32_t)slot;
    command.length = (uint32_t)length;
    if (send(layer->port, &command, sizeof(command), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
        errno != EPIPE) /* what it said before it ended is read yet */
        return error_set_errno(err, -errno, "asking for a slot");
    layer->pending[layer->n_pending++] = agent->request;
    agent->deferred = true;
    return 0;
}
