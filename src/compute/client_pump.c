/* The client's streams, and their way to and from a hijacked HTTP connection. */
#include "base/fd.h"
#include "base/strings.h"
#include "compute/client_internal.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum {
    CHUNK = 32 * 1024,
    STDCOPY_HEADER = 8,
    OUTPUT_LOW = 64 * 1024, /* credit is given back when less than this waits */
};

/* --- streams --- */

static void output_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct client_output *output = data;
    struct compute_client *client = output->client;
    int r = 0;

    (void)channel;
    output->owed += length;
    if (client->multiplexed) {
        const uint8_t header[STDCOPY_HEADER] = {
            (uint8_t)(output - client->outputs + COMPUTE_STDOUT),
            0,
            0,
            0,
            (uint8_t)(length >> 24),
            (uint8_t)(length >> 16),
            (uint8_t)(length >> 8),
            (uint8_t)length,
        };
        r = wire_queue_append(&client->output, header, sizeof(header));
    }
    if (r >= 0)
        r = wire_queue_append(&client->output, bytes, length);
    if (r < 0)
        wire_connection_violation(client->connection, "out of memory");
}

static void output_end(struct wire_channel *channel, void *data)
{
    struct client_output *output = data;

    (void)channel;
    output->channel = NULL;
}

const struct wire_channel_handler client_output_handler = {
    .data = output_data,
    .end = output_end,
    .reset = output_end,
};

static void input_reset(struct wire_channel *channel, void *data)
{
    struct compute_client *client = data;

    (void)channel;
    client->input = NULL;
}

const struct wire_channel_handler client_input_handler = {.reset = input_reset};

/* --- the pump --- */

struct pump {
    struct compute_client *client;
    int fd;
    struct wire_queue early;
    bool input_over;  /* nothing more comes from fd */
    bool output_over; /* fd takes nothing more */
    bool detached;
};

static bool outputs_open(const struct compute_client *client)
{
    return client->outputs[0].channel || client->outputs[1].channel;
}

static void give_credit(struct compute_client *client)
{
    if (client->output.length >= OUTPUT_LOW)
        return;
    for (int i = 0; i < CLIENT_OUTPUTS; i++) {
        struct client_output *output = &client->outputs[i];

        if (output->channel && output->owed > 0)
            wire_channel_grant(output->channel, output->owed);
        output->owed = 0;
    }
}

/* How many bytes of input may be taken now. Without a stdin they are read and thrown away, since
 * that is how the peer's end is noticed. */
static size_t input_room(const struct pump *pump)
{
    struct wire_channel *input = pump->client->input;

    if (!input)
        return CHUNK;
    size_t space = wire_channel_space(input);
    /* The detach filter may add the keys that it held back. */
    if (space <= DETACH_KEYS_MAX)
        return 0;
    space -= DETACH_KEYS_MAX;
    return space < CHUNK ? space : CHUNK;
}

static void pass_input(struct pump *pump, const uint8_t *bytes, size_t length)
{
    struct compute_client *client = pump->client;
    uint8_t filtered[CHUNK + DETACH_KEYS_MAX];

    if (client->terminal) {
        pump->detached = detach_keys_filter(&client->keys, bytes, length, filtered, &length);
        bytes = filtered;
    }
    if (client->input && length > 0)
        (void)wire_channel_send(client->input, bytes, length);
}

static void end_input(struct pump *pump)
{
    struct compute_client *client = pump->client;

    pump->input_over = true;
    if (!client->input)
        return;
    if (client->keys.matched > 0 && wire_channel_credit(client->input) >= client->keys.matched)
        (void)wire_channel_send(client->input, client->keys.keys, client->keys.matched);
    client->input = wire_channel_end(client->input);
}

static void pump_early(struct pump *pump)
{
    while (pump->early.length > 0 && !pump->detached) {
        size_t room = input_room(pump);
        size_t n;
        const void *bytes = wire_queue_peek(&pump->early, &n);

        if (room == 0)
            return;
        if (n > room)
            n = room;
        pass_input(pump, bytes, n);
        wire_queue_consume(&pump->early, n);
    }
}

/* 0, or -errno when the peer is gone in a bad way. */
static int pump_input(struct pump *pump)
{
    uint8_t bytes[CHUNK];
    size_t room = input_room(pump);

    if (room == 0)
        return 0;
    ssize_t n = read(pump->fd, bytes, room);
    if (n > 0)
        pass_input(pump, bytes, (size_t)n);
    else if (n == 0)
        end_input(pump);
    else if (errno != EAGAIN && errno != EINTR)
        return -errno;
    return 0;
}

/* Looks for the end of this connection's exec among the events that came; nobody else wants them.
 */
static void take_exit(struct compute_client *client)
{
    size_t i;
    json_t *event;

    json_array_foreach (client->events, i, event) {
        const char *name = json_string_value(json_object_get(event, "event"));
        const char *exec = json_string_value(json_object_get(event, "exec"));

        if (!string_equal(name, "exit") || !*client->exec_id || client->exec_over ||
            !string_equal(exec, client->exec_id))
            continue;
        client->exec_over = true;
        if (client->on_exit)
            client->on_exit(exec, (int)json_integer_value(json_object_get(event, "code")),
                            client->on_exit_data);
    }
    (void)json_array_clear(client->events);
}

static bool pump_is_over(const struct pump *pump)
{
    const struct compute_client *client = pump->client;

    if (client->output.length > 0 && !pump->output_over)
        return false;
    if (wire_connection_is_closed(client->connection))
        return true;
    if (*client->exec_id && !client->exec_over)
        return false;
    return !outputs_open(client) && (client->has_outputs || !client->input);
}

/* One round; 0: go on, else enum compute_pump_end + 1, or -errno. */
static int pump_round(struct pump *pump, struct error *err)
{
    struct compute_client *client = pump->client;
    bool want_input = !pump->input_over && pump->early.length == 0 && input_room(pump) > 0;
    struct pollfd fds[] = {
        {.fd = wire_connection_fd(client->connection),
         .events = wire_connection_poll_events(client->connection)},
        {.fd = pump->fd,
         .events = (short)((want_input ? POLLIN : 0) | (client->output.length > 0 ? POLLOUT : 0))},
    };

    if (poll(fds, 2, -1) < 0)
        return errno == EINTR ? 0 : error_set_errno(err, -errno, "poll");
    /* The end of the connection is no error here: what came before is still to be written. */
    if (fds[0].revents)
        (void)wire_connection_process(client->connection, fds[0].revents, NULL);
    if ((fds[1].revents & POLLIN) && pump_input(pump) < 0)
        return COMPUTE_PUMP_PEER_GONE + 1;
    if (pump->detached)
        return COMPUTE_PUMP_DETACHED + 1;
    if ((fds[1].revents & POLLOUT) && wire_queue_write(&client->output, pump->fd) < 0)
        return COMPUTE_PUMP_PEER_GONE + 1;
    if ((fds[1].revents & (POLLHUP | POLLERR | POLLNVAL)) && !(fds[1].revents & POLLIN))
        return COMPUTE_PUMP_PEER_GONE + 1;
    pump_early(pump);
    give_credit(client);
    return 0;
}

int compute_client_pump(struct compute_client *client, int fd, const void *early,
                        size_t early_length, bool multiplexed, struct error *err)
{
    struct pump pump = {.client = client, .fd = fd};
    int r = fd_set_nonblocking(fd, true);

    if (r < 0)
        return error_set_errno(err, r, "the client's connection");
    if (early_length > 0 && wire_queue_append(&pump.early, early, early_length) < 0)
        return error_oom(err);
    client->multiplexed = multiplexed;
    for (int i = 0; i < CLIENT_OUTPUTS; i++) {
        if (client->outputs[i].channel)
            wire_channel_grant(client->outputs[i].channel, WIRE_WINDOW);
    }
    pump_early(&pump);
    r = pump.detached ? COMPUTE_PUMP_DETACHED + 1 : 0;
    while (r == 0) {
        take_exit(client);
        if (pump_is_over(&pump))
            r = COMPUTE_PUMP_ENDED + 1;
        else
            r = pump_round(&pump, err);
    }
    wire_queue_release(&pump.early);
    /* Input that was taken from the peer belongs to the container, whatever ended the pump. */
    if (!wire_connection_is_closed(client->connection))
        (void)wire_connection_flush(client->connection, 1000, NULL);
    return r < 0 ? r : r - 1;
}
