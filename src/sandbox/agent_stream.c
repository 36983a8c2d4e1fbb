/* The agent's streams: between pipes or a terminal and channels. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "sandbox/agent_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024 };

int agent_streams_from_json(const json_t *request, bool terminal, struct agent_streams *ret,
                            struct error *err)
{
    json_t *streams = NULL;
    int in = 0;
    int out = 0;
    int error = 0;

    int r = json_get_object(request, "streams", &streams, err);
    if (r < 0)
        return r;
    if (streams && ((r = json_get_int(streams, "stdin", 0, INT32_MAX, &in, err)) < 0 ||
                    (r = json_get_int(streams, "stdout", 0, INT32_MAX, &out, err)) < 0 ||
                    (r = json_get_int(streams, "stderr", 0, INT32_MAX, &error, err)) < 0))
        return r;
    if (terminal && error != 0)
        return error_set_class(err, ERROR_INVALID, "a terminal has no stderr of its own");
    *ret = (struct agent_streams){(uint32_t)in, (uint32_t)out, (uint32_t)error};
    return 0;
}

/* --- output --- */

static void output_watch(struct agent_output *output, bool wanted)
{
    /* A pipe whose writers have gone reports so for ever: one that may not be read for want of
     * credit is taken out of the loop, not just silenced. */
    if (!wanted)
        loop_remove(&output->source);
}

static void output_finish(struct agent_output *output)
{
    loop_remove(&output->source);
    output->fd = fd_close(output->fd);
    output->channel = wire_channel_end(output->channel);
}

static void output_event(struct loop_source *source, uint32_t events);

/* Reads while there is credit. */
static void output_pump(struct agent_output *output)
{
    static uint8_t bytes[READ_SIZE];

    while (output->fd >= 0) {
        size_t space = output->channel ? wire_channel_space(output->channel) : sizeof(bytes);

        if (space == 0) {
            output_watch(output, false);
            return;
        }
        ssize_t n = read(output->fd, bytes, space < sizeof(bytes) ? space : sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && !output->process->ended) {
            if (!output->source.loop && loop_add(output->process->agent->loop, &output->source,
                                                 output->fd, EPOLLIN, output_event, output) < 0)
                output_finish(output);
            return;
        }
        /* End of file; or a terminal without programs (EIO); or an ended program's last byte. */
        if (n <= 0) {
            output_finish(output);
            return;
        }
        if (output->channel)
            (void)wire_channel_send(output->channel, bytes, (size_t)n);
    }
}

static void output_event(struct loop_source *source, uint32_t events)
{
    struct agent_output *output = source->data;

    (void)events;
    output_pump(output);
    agent_process_settle(output->process);
}

static void output_writable(struct wire_channel *channel, void *data)
{
    struct agent_output *output = data;

    (void)channel;
    output_pump(output);
    agent_process_settle(output->process);
}

/* Nobody wants it any more: the program shall not notice. */
static void output_reset(struct wire_channel *channel, void *data)
{
    struct agent_output *output = data;

    (void)channel;
    output->channel = NULL;
    output_pump(output);
    agent_process_settle(output->process);
}

static const struct wire_channel_handler output_handler = {
    .writable = output_writable,
    .reset = output_reset,
};

/* --- input --- */

static void input_close(struct agent_input *input)
{
    loop_remove(&input->source);
    input->fd = fd_close(input->fd);
    wire_queue_release(&input->queue);
}

static void input_event(struct loop_source *source, uint32_t events);

static void input_pump(struct agent_input *input)
{
    if (input->fd < 0)
        return;
    ssize_t n = wire_queue_write(&input->queue, input->fd);
    if (n < 0) {
        /* The program closed its end: tell the sender, once. */
        input_close(input);
        input->channel = wire_channel_reset(input->channel);
        return;
    }
    if (input->channel && n > 0)
        wire_channel_grant(input->channel, (size_t)n);
    if (input->queue.length > 0) {
        if (!input->source.loop && loop_add(input->process->agent->loop, &input->source, input->fd,
                                            EPOLLOUT, input_event, input) < 0)
            input_close(input);
        return;
    }
    loop_remove(&input->source);
    /* Nobody can half-close a terminal: its programs see end of file when somebody types ^D. */
    if (input->ended && input->process->terminal < 0)
        input_close(input);
}

static void input_event(struct loop_source *source, uint32_t events)
{
    (void)events;
    input_pump(source->data);
}

static void input_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct agent_input *input = data;

    if (input->fd < 0) {
        wire_channel_grant(channel, length);
        return;
    }
    if (wire_queue_append(&input->queue, bytes, length) < 0) {
        input_close(input);
        input->channel = wire_channel_reset(channel);
        return;
    }
    input_pump(input);
}

static void input_end(struct wire_channel *channel, void *data)
{
    struct agent_input *input = data;

    (void)channel;
    input->channel = NULL;
    input->ended = true;
    input_pump(input);
}

static const struct wire_channel_handler input_handler = {
    .data = input_data,
    .end = input_end,
    .reset = input_end,
};

/* --- all three --- */

static int open_one(struct agent_process *process, uint32_t id, enum wire_direction direction,
                    const struct wire_channel_handler *handler, void *data,
                    struct wire_channel **channel, struct error *err)
{
    if (id == 0)
        return 0;
    return wire_channel_open(process->agent->connection, id, direction, handler, data, channel,
                             err);
}

/* A pipe of which our end does not block. */
static int make_pipe(int *ours, int *theirs, bool we_write, struct error *err)
{
    int ends[2];
    int r = fd_pipe(0, ends);

    if (r >= 0) {
        *ours = ends[we_write ? 1 : 0];
        *theirs = ends[we_write ? 0 : 1];
        r = fd_set_nonblocking(*ours, true);
    }
    return r < 0 ? error_set_errno(err, r, "making a pipe") : 0;
}

int agent_streams_open(struct agent_process *process, const struct agent_streams *streams,
                       bool terminal, struct agent_pipes *ret, struct error *err)
{
    struct agent_pipes pipes = {-EBADF, -EBADF, -EBADF};
    int r = open_one(process, streams->in, WIRE_RECEIVE, &input_handler, &process->in,
                     &process->in.channel, err);

    if (r >= 0)
        r = open_one(process, streams->out, WIRE_SEND, &output_handler, &process->out,
                     &process->out.channel, err);
    if (r >= 0)
        r = open_one(process, streams->err, WIRE_SEND, &output_handler, &process->err,
                     &process->err.channel, err);
    if (r >= 0 && !terminal && streams->in)
        r = make_pipe(&process->in.fd, &pipes.in, true, err);
    if (r >= 0 && !terminal && streams->out)
        r = make_pipe(&process->out.fd, &pipes.out, false, err);
    if (r >= 0 && !terminal && streams->err)
        r = make_pipe(&process->err.fd, &pipes.err, false, err);
    if (r < 0) {
        agent_pipes_close(&pipes);
        return r;
    }
    *ret = pipes;
    return 0;
}

void agent_pipes_close(struct agent_pipes *pipes)
{
    pipes->in = fd_close(pipes->in);
    pipes->out = fd_close(pipes->out);
    pipes->err = fd_close(pipes->err);
}

static int adopt_terminal(struct agent_process *process, int terminal)
{
    process->terminal = terminal;
    int r = fd_set_nonblocking(terminal, true);
    if (r < 0)
        return r;
    /* Two descriptors, since the loop watches a descriptor for one purpose. */
    process->out.fd = fd_dup(terminal);
    if (process->out.fd < 0)
        return process->out.fd;
    if (process->in.channel) {
        process->in.fd = fd_dup(terminal);
        if (process->in.fd < 0)
            return process->in.fd;
    }
    return 0;
}

int agent_streams_start(struct agent_process *process, int terminal, struct error *err)
{
    int r = terminal >= 0 ? adopt_terminal(process, terminal) : 0;

    if (r < 0)
        return error_set_errno(err, r, "taking over the terminal");
    if (process->in.channel)
        wire_channel_grant(process->in.channel, WIRE_WINDOW);
    output_pump(&process->out);
    output_pump(&process->err);
    return 0;
}

void agent_streams_drain(struct agent_process *process)
{
    input_close(&process->in);
    process->in.channel = wire_channel_reset(process->in.channel);
    output_pump(&process->out);
    output_pump(&process->err);
}

bool agent_streams_done(const struct agent_process *process)
{
    return process->out.fd < 0 && process->err.fd < 0;
}

static void output_abort(struct agent_output *output)
{
    loop_remove(&output->source);
    output->fd = fd_close(output->fd);
    output->channel = wire_channel_reset(output->channel);
}

void agent_streams_abort(struct agent_process *process)
{
    input_close(&process->in);
    process->in.channel = wire_channel_reset(process->in.channel);
    output_abort(&process->out);
    output_abort(&process->err);
    process->terminal = fd_close(process->terminal);
}
