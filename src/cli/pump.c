#include "cli/pump.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "cli/client.h"
#include "cli/detach.h"
#include "cli/hijack.h"
#include "cli/query.h"
#include "cli/signals.h"
#include "cli/stdcopy.h"
#include "cli/terminal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PUMP_CHUNK = 32 * 1024,
    PUMP_INPUT_MAX = PUMP_CHUNK + DETACH_KEYS_MAX,
    PUMP_READS_MAX = 16, /* reads from the engine before signals and stdin get their turn */
    PUMP_POLL_MS = 60000,
    PUMP_SYSTEM_ERROR_MAX = 1024,
};

/* What the loop knows beside the caller's wishes. */
struct state {
    struct pump *pump;
    struct buffer input; /* typed, not yet sent */
    bool input_ended;
    bool input_shut;
    bool detached;
    uint8_t from[PUMP_CHUNK];
    size_t at, end; /* what is left of `from` */
    bool stream_ended;
    struct stdcopy copy;
    struct stdcopy_part part; /* not yet written */
};

static const int proxied[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                              SIGUSR2, SIGALRM, SIGCONT, SIGTSTP};
static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

static void add_signals(sigset_t *set, const int *signals, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sigaddset(set, signals[i]);
}

int pump_prepare(struct pump *pump, struct error *err)
{
    sigset_t watched;
    sigset_t blocked;
    int r = 0;

    sigemptyset(&watched);
    if (pump->kill_target)
        add_signals(&watched, proxied, sizeof(proxied) / sizeof(proxied[0]));
    else if (pump->make_raw)
        add_signals(&watched, deadly, sizeof(deadly) / sizeof(deadly[0]));
    if (pump->resize_target)
        sigaddset(&watched, SIGWINCH);
    blocked = watched;
    sigaddset(&blocked, SIGPIPE);
    if (sigprocmask(SIG_BLOCK, &blocked, &pump->old_mask) < 0)
        return error_set_errno(err, -errno, "cannot block signals");
    pump->signal_fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (pump->signal_fd < 0) {
        r = error_set_errno(err, -errno, "cannot watch signals");
        (void)sigprocmask(SIG_SETMASK, &pump->old_mask, NULL);
        pump->signal_fd = -EBADF;
        return r;
    }
    if (pump->make_raw)
        r = terminal_make_raw(pump->in, err);
    if (r < 0)
        pump_release(pump);
    return r;
}

void pump_release(struct pump *pump)
{
    terminal_restore();
    if (pump->signal_fd < 0)
        return;
    pump->signal_fd = fd_close(pump->signal_fd);
    (void)sigprocmask(SIG_SETMASK, &pump->old_mask, NULL);
}

void pump_resize(struct pump *pump)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    unsigned rows = 0;
    unsigned columns = 0;

    if (!pump->resize_target)
        return;
    if (!terminal_size(pump->out, &rows, &columns) && !terminal_size(pump->in, &rows, &columns))
        return;
    query_path(&query, "%s", pump->resize_target);
    query_add_number(&query, "h", rows);
    query_add_number(&query, "w", columns);
    (void)client_post(pump->client, query_text(&query), NULL, NULL, NULL);
}

static void send_signal(struct pump *pump, int signal)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;

    query_path(&query, "%s", pump->kill_target);
    query_add(&query, "signal", signal_name(signal));
    /* The container may have ended meanwhile, which the wait will tell. */
    (void)client_post(pump->client, query_text(&query), NULL, NULL, NULL);
}

static void die_of(int signal_number)
{
    sigset_t only;

    terminal_restore();
    signal(signal_number, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, signal_number);
    raise(signal_number);
    (void)sigprocmask(SIG_UNBLOCK, &only, NULL);
}

static void handle_signals(struct pump *pump)
{
    struct signalfd_siginfo info;

    while (read(pump->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int number = (int)info.ssi_signo;

        if (number == SIGWINCH)
            pump_resize(pump);
        else if (pump->kill_target)
            send_signal(pump, number);
        else
            die_of(number);
    }
}

static int read_input(struct state *state, struct error *err)
{
    struct pump *pump = state->pump;
    char bytes[PUMP_CHUNK];
    ssize_t n = read(pump->in, bytes, sizeof(bytes));
    int r = 0;

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n <= 0) {
        /* EIO: the terminal is gone, which is an end as well */
        state->input_ended = true;
        return 0;
    }
    if (pump->detach)
        state->detached = detach_filter(pump->detach, bytes, (size_t)n, &state->input, &r);
    else
        r = buffer_append(&state->input, bytes, (size_t)n);
    return r < 0 ? error_set_errno(err, r, "cannot keep the input") : 0;
}

/* Sends what was typed and, after its end, half-closes. An engine that does not take input any
 * more is not an error: its own end of the stream says what happened. */
static void send_input(struct state *state)
{
    int fd = state->pump->stream->fd;

    while (state->input.length > 0) {
        ssize_t n = send(fd, state->input.data, state->input.length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            buffer_clear(&state->input);
            state->input_ended = true;
            break;
        }
        buffer_consume(&state->input, (size_t)n);
    }
    if (state->input_ended && !state->input_shut) {
        state->input_shut = true;
        (void)shutdown(fd, SHUT_WR);
    }
}

static int part_fd(const struct state *state)
{
    return state->part.stream == STDCOPY_STDERR ? state->pump->err_out : state->pump->out;
}

/* Writes as much of the waiting part as the user's side takes now. */
static int write_part(struct state *state, struct error *err)
{
    struct pollfd target = {.fd = part_fd(state), .events = POLLOUT};

    while (state->part.length > 0) {
        size_t length = state->part.length < PIPE_BUF ? state->part.length : PIPE_BUF;
        ssize_t n = 0;

        if (poll(&target, 1, 0) == 0)
            return 0;
        n = write(target.fd, state->part.data, length);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            return 0;
        if (n < 0)
            return error_set_errno(err, -errno, "cannot write the output");
        state->part.data += n;
        state->part.length -= (size_t)n;
    }
    return 0;
}

/* Finds the next part in `from`. */
static int next_part(struct state *state, struct error *err)
{
    const uint8_t *data = state->from + state->at;
    size_t length = state->end - state->at;
    ssize_t n = 0;

    if (state->pump->raw) {
        state->part = (struct stdcopy_part){STDCOPY_STDOUT, data, length};
        state->at = state->end;
        return 0;
    }
    n = stdcopy_next(&state->copy, data, length, &state->part, err);
    if (n < 0)
        return (int)n;
    state->at += (size_t)n;
    if (state->part.stream == STDCOPY_SYSTEM_ERROR && state->part.length > 0) {
        int max = state->part.length < PUMP_SYSTEM_ERROR_MAX ? (int)state->part.length
                                                             : PUMP_SYSTEM_ERROR_MAX;
        return error_set(err, -EIO, "error from daemon in stream: %.*s", max,
                         (const char *)state->part.data);
    }
    return 0;
}

static void read_stream(struct state *state)
{
    struct hijack *stream = state->pump->stream;
    ssize_t n = 0;

    state->at = state->end = 0;
    if (stream->early.length > 0) {
        n = (ssize_t)(stream->early.length < sizeof(state->from) ? stream->early.length
                                                                 : sizeof(state->from));
        memcpy(state->from, stream->early.data, (size_t)n);
        buffer_consume(&stream->early, (size_t)n);
    } else {
        n = recv(stream->fd, state->from, sizeof(state->from), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
    }
    if (n <= 0) /* a reset is how an engine that was killed ends the stream */
        state->stream_ended = true;
    else
        state->end = (size_t)n;
}

static int move_output(struct state *state, struct error *err)
{
    for (int i = 0; i < PUMP_READS_MAX; i++) {
        int r = 0;

        while (state->part.length > 0 || state->at < state->end) {
            if (state->part.length == 0)
                r = next_part(state, err);
            if (r == 0)
                r = write_part(state, err);
            if (r < 0 || state->part.length > 0)
                return r;
        }
        if (state->stream_ended)
            return 0;
        read_stream(state);
        if (state->at == state->end && !state->stream_ended)
            return 0;
    }
    return 0;
}

static bool is_over(const struct state *state)
{
    const struct pump *pump = state->pump;

    if (pump->stream &&
        !(state->stream_ended && state->part.length == 0 && state->at == state->end))
        return false;
    return !pump->wait || client_call_is_done(pump->wait);
}

static bool wants_input(const struct state *state)
{
    return state->pump->in >= 0 && !state->input_ended && !state->stream_ended &&
           state->input.length == 0;
}

/* One wait for whatever may move; handles what did. */
static int step(struct state *state, struct error *err)
{
    enum { AT_SIGNAL, AT_STREAM, AT_INPUT, AT_OUTPUT, AT_MAX };
    struct pump *pump = state->pump;
    struct pollfd fds[AT_MAX];
    bool pending = state->part.length > 0 || state->at < state->end;
    bool readable = pump->stream && !state->stream_ended && !pending;
    int r = 0;

    fds[AT_SIGNAL] = (struct pollfd){.fd = pump->signal_fd, .events = POLLIN};
    /* poll(2) skips negative descriptors, but not so libcurl: the signalfd fills the gaps */
    for (int i = AT_STREAM; i < AT_MAX; i++)
        fds[i] = (struct pollfd){.fd = pump->signal_fd, .events = 0};
    if (readable || (pump->stream && state->input.length > 0 && !state->stream_ended)) {
        fds[AT_STREAM].fd = pump->stream->fd;
        fds[AT_STREAM].events =
            (short)((readable ? POLLIN : 0) | (state->input.length > 0 ? POLLOUT : 0));
    }
    if (pump->stream && wants_input(state))
        fds[AT_INPUT] = (struct pollfd){.fd = pump->in, .events = POLLIN};
    if (state->part.length > 0)
        fds[AT_OUTPUT] = (struct pollfd){.fd = part_fd(state), .events = POLLOUT};
    /* What was read and not yet looked at, because move_output() had its share, waits for nobody.
     */
    bool ready = pending && state->part.length == 0;
    r = client_poll(pump->client, fds, AT_MAX, ready ? 0 : PUMP_POLL_MS, err);
    if (r < 0)
        return r;
    if (fds[AT_SIGNAL].revents)
        handle_signals(pump);
    if (fds[AT_INPUT].revents & POLLIN)
        r = read_input(state, err);
    if (r == 0 && pump->stream && !state->stream_ended)
        send_input(state);
    return r;
}

int pump_run(struct pump *pump, enum pump_end *ret, struct error *err)
{
    struct state state = {.pump = pump, .input = BUFFER_INIT(PUMP_INPUT_MAX)};
    int r = 0;

    while (r == 0) {
        if (pump->stream)
            r = move_output(&state, err);
        if (r < 0 || state.detached || is_over(&state))
            break;
        /* move_output() stopped at its share, or because nothing more can move now */
        r = step(&state, err);
    }
    buffer_release(&state.input);
    if (r == 0)
        *ret = state.detached ? PUMP_DETACHED : PUMP_ENDED;
    return r;
}
