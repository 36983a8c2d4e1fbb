/* Reading and writing a container's files for somebody outside: docker cp, diff and export.
 *
 * Theory of operation. Each request is the work of one child (agent_archive_child.c), because it
 * blocks and the agent must not. The bytes go through a pipe between the child and the request's
 * channel, as credit allows; what the child has to say comes over a socket: a result, which for
 * `archive-read` is there and answered before the first byte, or why it failed. When the child is
 * reaped and its bytes are through, the channel ends, or is reset if it failed, so that nobody
 * takes what is there for the whole; and the request is answered if it was not. A peer that gives
 * its channel up ends the child. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "sandbox/agent_archive.h"
#include "sandbox/agent_internal.h"
#include "sandbox/stage.h"
#include "sandbox/tree-extract.h"
#include "sandbox/tree-path.h"

enum {
    READ_SIZE = 64 * 1024,
    PIPE_SIZE = 1024 * 1024, /* fewer wake-ups; a smaller one is no harm */
    HIDDEN_MAX = 64,
    ERRNO_MAX = 4095,
};

struct agent_archive {
    struct list node;
    struct agent *agent;
    enum archive_kind kind;
    uint64_t request;
    bool answered;
    struct process process;
    struct loop_source exit;   /* the pidfd */
    struct loop_source report; /* its socket */
    struct loop_source data;   /* our end of the pipe */
    int report_fd;
    int data_fd;
    struct wire_channel *channel;
    struct wire_queue queue; /* ARCHIVE_WRITE: at most the credit that was granted */
    bool input_ended;
    bool reaped;
    bool succeeded; /* its exit status says so */
    json_t *result;
    struct error failure;
};

static bool is_output(const struct agent_archive *archive)
{
    return archive->kind == ARCHIVE_READ || archive->kind == ARCHIVE_CHANGES;
}

static void close_data(struct agent_archive *archive)
{
    loop_remove(&archive->data);
    archive->data_fd = fd_close(archive->data_fd);
    wire_queue_release(&archive->queue);
}

static void close_report(struct agent_archive *archive)
{
    loop_remove(&archive->report);
    archive->report_fd = fd_close(archive->report_fd);
}

static void archive_free(struct agent_archive *archive)
{
    if (!archive->reaped && archive->process.pidfd >= 0)
        (void)process_signal(&archive->process, SIGKILL);
    loop_remove(&archive->exit);
    close_report(archive);
    close_data(archive);
    archive->channel = wire_channel_reset(archive->channel);
    process_release(&archive->process);
    json_decref(archive->result);
    list_remove(&archive->node);
    archive->agent->n_archives--;
    free(archive);
}

void agent_archives_free(struct agent *agent)
{
    LIST_FOR_EACH (archive, &agent->archives, struct agent_archive, node)
        archive_free(archive);
}

/* --- its end --- */

static void answer(struct agent_archive *archive)
{
    struct wire_connection *connection = archive->agent->connection;

    if (archive->answered)
        return;
    archive->answered = true;
    if (archive->failure.code < 0)
        wire_connection_refuse(connection, archive->request, &archive->failure);
    else
        wire_connection_answer(connection, archive->request, TAKE_PTR(archive->result));
}

/* May free `archive`. */
static void settle(struct agent_archive *archive)
{
    if (!archive->reaped || archive->report_fd >= 0)
        return;
    if (archive->failure.code == 0 &&
        (!archive->succeeded || (!archive->result && !archive->answered)))
        (void)error_set(&archive->failure, -ECANCELED, "the files' transfer was cut short");
    if (archive->failure.code < 0)
        close_data(archive);
    if (is_output(archive) && archive->data_fd >= 0)
        return; /* the rest waits for credit */
    if (archive->failure.code < 0 && archive->answered)
        agent_log(archive->agent, archive->failure.message);
    if (archive->failure.code == 0 && is_output(archive))
        archive->channel = wire_channel_end(archive->channel);
    answer(archive);
    archive_free(archive);
}

static void reap(struct agent_archive *archive)
{
    siginfo_t info = {.si_pid = 0};

    if (archive->reaped)
        return;
    if (waitid(P_PIDFD, (id_t)archive->process.pidfd, &info, WEXITED | WNOHANG) < 0)
        info.si_code = CLD_KILLED; /* somebody else reaped it */
    else if (info.si_pid == 0)
        return;
    archive->reaped = true;
    archive->succeeded = info.si_code == CLD_EXITED && info.si_status == 0;
    loop_remove(&archive->exit);
}

bool agent_archives_reap(struct agent *agent, pid_t pid)
{
    LIST_FOR_EACH (archive, &agent->archives, struct agent_archive, node) {
        if (archive->process.pid != pid || archive->reaped)
            continue;
        reap(archive);
        settle(archive);
        return true;
    }
    return false;
}

static void exit_event(struct loop_source *source, uint32_t events)
{
    struct agent_archive *archive = source->data;

    (void)events;
    reap(archive);
    settle(archive);
}

/* --- what the child says --- */

static void take_failure(struct agent_archive *archive, const struct archive_report *report)
{
    archive->failure = report->error;
    archive->failure.message[ERROR_MESSAGE_MAX - 1] = '\0';
    if (archive->failure.code >= 0 || archive->failure.code < -ERRNO_MAX)
        archive->failure.code = -EIO;
    if ((unsigned)archive->failure.class >= ERROR_CLASS_MAX)
        archive->failure.class = ERROR_SYSTEM;
}

static void take_report(struct agent_archive *archive, const struct archive_report *report,
                        size_t length)
{
    size_t header = offsetof(struct archive_report, text);

    if (length >= header + sizeof(report->error) && report->kind == ARCHIVE_REPORT_FAILED) {
        take_failure(archive, report);
    } else if (length > header && report->kind == ARCHIVE_REPORT_RESULT && !archive->result &&
               !archive->answered) {
        (void)json_parse(report->text, length - header, &archive->result, NULL);
        if (archive->result && archive->kind == ARCHIVE_READ)
            answer(archive);
    }
}

static void report_event(struct loop_source *source, uint32_t events)
{
    static struct archive_report report;
    struct agent_archive *archive = source->data;

    (void)events;
    for (;;) {
        ssize_t n = recv(archive->report_fd, &report, sizeof(report), MSG_DONTWAIT);

        if (n > 0) {
            take_report(archive, &report, (size_t)n);
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        break;
    }
    close_report(archive);
    settle(archive);
}

/* --- bytes that go out --- */

static void output_event(struct loop_source *source, uint32_t events);

static void output_pump(struct agent_archive *archive)
{
    static uint8_t bytes[READ_SIZE];

    while (archive->data_fd >= 0 && archive->channel) {
        size_t space = wire_channel_space(archive->channel);
        ssize_t n;

        if (space == 0) { /* a pipe whose writer has gone would wake us for ever */
            loop_remove(&archive->data);
            return;
        }
        n = read(archive->data_fd, bytes, space < sizeof(bytes) ? space : sizeof(bytes));
        if (n > 0) {
            (void)wire_channel_send(archive->channel, bytes, (size_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN &&
            (archive->data.loop || loop_add(archive->agent->loop, &archive->data, archive->data_fd,
                                            EPOLLIN, output_event, archive) >= 0))
            return;
        close_data(archive);
    }
}

static void output_event(struct loop_source *source, uint32_t events)
{
    struct agent_archive *archive = source->data;

    (void)events;
    output_pump(archive);
    settle(archive);
}

static void output_writable(struct wire_channel *channel, void *data)
{
    struct agent_archive *archive = data;

    (void)channel;
    output_pump(archive);
    settle(archive);
}

/* Nobody wants it any more: the child is ended, and what it did not say is told as that. */
static void cancel(struct wire_channel *channel, void *data)
{
    struct agent_archive *archive = data;

    (void)channel;
    archive->channel = NULL;
    close_data(archive);
    (void)process_signal(&archive->process, SIGKILL);
    if (archive->failure.code == 0)
        (void)error_set(&archive->failure, -ECANCELED, "the files' transfer was given up");
    settle(archive);
}

static const struct wire_channel_handler output_handler = {
    .writable = output_writable,
    .reset = cancel,
};

/* --- bytes that come in --- */

static void input_event(struct loop_source *source, uint32_t events);

static void input_pump(struct agent_archive *archive)
{
    if (archive->data_fd < 0)
        return;
    ssize_t n = wire_queue_write(&archive->queue, archive->data_fd);
    if (n < 0) {
        /* The child wants no more: it has failed, and will say why. */
        close_data(archive);
        archive->channel = wire_channel_reset(archive->channel);
        return;
    }
    if (archive->channel && n > 0)
        wire_channel_grant(archive->channel, (size_t)n);
    if (archive->queue.length > 0) {
        if (!archive->data.loop && loop_add(archive->agent->loop, &archive->data, archive->data_fd,
                                            EPOLLOUT, input_event, archive) < 0)
            close_data(archive);
        return;
    }
    loop_remove(&archive->data);
    if (archive->input_ended)
        close_data(archive);
}

static void input_event(struct loop_source *source, uint32_t events)
{
    (void)events;
    input_pump(source->data);
}

static void input_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct agent_archive *archive = data;

    if (archive->data_fd >= 0 && wire_queue_append(&archive->queue, bytes, length) < 0)
        (void)process_signal(&archive->process, SIGKILL);
    if (archive->data_fd < 0) {
        archive->channel = wire_channel_reset(channel);
        return;
    }
    input_pump(archive);
}

static void input_end(struct wire_channel *channel, void *data)
{
    struct agent_archive *archive = data;

    (void)channel;
    archive->channel = NULL;
    archive->input_ended = true;
    input_pump(archive);
}

static const struct wire_channel_handler input_handler = {
    .data = input_data,
    .end = input_end,
    .reset = cancel,
};

/* --- its beginning --- */

/* The ends of the child's. */
struct ends {
    int data;
    int report;
};

static void ends_close(struct ends *ends)
{
    ends->data = fd_close(ends->data);
    ends->report = fd_close(ends->report);
}

static int open_ends(struct agent_archive *archive, struct ends *ret, struct error *err)
{
    bool output = is_output(archive);
    int pair[2];
    int r = fd_socketpair(SOCK_SEQPACKET, pair);

    if (r >= 0) {
        archive->report_fd = pair[0];
        ret->report = pair[1];
        r = archive->kind == ARCHIVE_STAT ? 0 : fd_pipe(0, pair);
    }
    if (r >= 0 && archive->kind != ARCHIVE_STAT) {
        archive->data_fd = pair[output ? 0 : 1];
        ret->data = pair[output ? 1 : 0];
        (void)fcntl(archive->data_fd, F_SETPIPE_SZ, PIPE_SIZE);
        r = fd_set_nonblocking(archive->data_fd, true);
    }
    return r < 0 ? error_set_errno(err, r, "making a pipe") : 0;
}

static int open_channel(struct agent_archive *archive, const json_t *request, struct error *err)
{
    struct agent_streams streams;
    int r = agent_streams_from_json(request, false, &streams, err);

    if (r < 0 || archive->kind == ARCHIVE_STAT)
        return r;
    uint32_t id = is_output(archive) ? streams.out : streams.in;
    if (id == 0)
        return error_set_class(err, ERROR_INVALID, "'streams' lacks the one for the files");
    return wire_channel_open(
        archive->agent->connection, id, is_output(archive) ? WIRE_SEND : WIRE_RECEIVE,
        is_output(archive) ? &output_handler : &input_handler, archive, &archive->channel, err);
}

static int start_child(struct agent_archive *archive, const struct archive_task *task,
                       struct error *err)
{
    CLEANUP(ends_close) struct ends ends = {.data = -EBADF, .report = -EBADF};
    struct loop *loop = archive->agent->loop;
    int r = open_ends(archive, &ends, err);

    if (r < 0)
        return r;
    archive->process.pid = stage_clone(0, -EBADF, &archive->process.pidfd);
    if (archive->process.pid == 0)
        agent_archive_child(task, ends.data, ends.report);
    if (archive->process.pid < 0) {
        r = (int)archive->process.pid;
        archive->process = (struct process)PROCESS_INIT;
        return error_set_errno(err, r, "making a process");
    }
    r = loop_add(loop, &archive->exit, archive->process.pidfd, EPOLLIN, exit_event, archive);
    if (r >= 0)
        r = loop_add(loop, &archive->report, archive->report_fd, EPOLLIN, report_event, archive);
    return r < 0 ? error_set_errno(err, r, "watching a process") : 0;
}

static int check_state(const struct agent *agent, struct error *err)
{
    if (agent->state != AGENT_FILES && (agent->state != AGENT_RUNNING || !agent->sandbox))
        return error_set_class(err, ERROR_CONFLICT, "the container's files are not there");
    if (agent->n_archives >= AGENT_ARCHIVES_MAX)
        return error_set_class(err, ERROR_UNAVAILABLE,
                               "%d transfers of the container's files are under way already",
                               AGENT_ARCHIVES_MAX);
    return 0;
}

static int begin(struct agent *agent, struct archive_task *task, const json_t *request,
                 struct error *err)
{
    int r = check_state(agent, err);

    if (r < 0)
        return r;
    struct agent_archive *archive = calloc(1, sizeof(*archive));
    if (!archive)
        return error_oom(err);
    archive->agent = agent;
    archive->kind = task->kind;
    archive->request = agent->request;
    archive->process = (struct process)PROCESS_INIT;
    archive->exit = archive->report = archive->data = (struct loop_source)LOOP_SOURCE_INIT;
    archive->report_fd = archive->data_fd = -EBADF;
    list_append(&agent->archives, &archive->node);
    agent->n_archives++;
    task->config = agent->config;
    task->root = &agent->root;
    r = open_channel(archive, request, err);
    if (r >= 0)
        r = start_child(archive, task, err);
    if (r < 0) {
        archive_free(archive);
        return r;
    }
    agent->deferred = true;
    if (archive->kind == ARCHIVE_WRITE)
        wire_channel_grant(archive->channel, WIRE_WINDOW);
    else
        output_pump(archive);
    return 0;
}

/* --- requests --- */

static int need_path(const json_t *request, const char **ret, struct error *err)
{
    int r = json_need_string(request, "path", ret, err);

    if (r < 0)
        return r;
    if (**ret != '/' || strlen(*ret) > TREE_NAME_MAX)
        return error_set_class(err, ERROR_INVALID, "'path' is not an absolute path");
    return 0;
}

int agent_op_stat_path(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    struct archive_task task = {.kind = ARCHIVE_STAT};
    int r = need_path(request, &task.path, err);

    (void)ret;
    return r < 0 ? r : begin(agent, &task, request, err);
}

int agent_op_archive_read(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    struct archive_task task = {.kind = ARCHIVE_READ};
    int r;

    (void)ret;
    if ((r = need_path(request, &task.path, err)) < 0 ||
        (r = json_get_string(request, "name", &task.name, err)) < 0 ||
        (r = json_get_bool(request, "follow", &task.follow, err)) < 0 ||
        (r = json_get_bool(request, "layers", &task.layers, err)) < 0)
        return r;
    return begin(agent, &task, request, err);
}

int agent_op_archive_write(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    struct archive_task task = {.kind = ARCHIVE_WRITE};
    bool keep_types = false;
    bool devices = false;
    int r;

    (void)ret;
    if ((r = need_path(request, &task.path, err)) < 0 ||
        (r = json_get_bool(request, "keep_types", &keep_types, err)) < 0 ||
        (r = json_get_bool(request, "devices", &devices, err)) < 0 ||
        (r = json_get_bool(request, "own", &task.own, err)) < 0)
        return r;
    task.extract_flags =
        (keep_types ? TREE_EXTRACT_KEEP_TYPES : 0U) | (devices ? TREE_EXTRACT_DEVICES : 0U);
    return begin(agent, &task, request, err);
}

int agent_op_changes(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    CLEANUP_STRV char **hidden = NULL;
    struct archive_task task = {.kind = ARCHIVE_CHANGES};
    int r = json_get_strv(request, "hidden", HIDDEN_MAX, &hidden, err);

    (void)ret;
    task.hidden = hidden;
    return r < 0 ? r : begin(agent, &task, request, err);
}
