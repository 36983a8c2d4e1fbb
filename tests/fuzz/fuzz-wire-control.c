/* A whole connection, both roles, as a hostile peer sees it: the first byte chooses the role and
 * the size of the pieces, the rest is what the peer says after a correct hello. */
#include "base/error.h"
#include "wire/connection.h"
#include "wire/frame.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct peer {
    struct wire_channel *channels[4];
    int closed;
    int answers;
};

static void on_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    (void)bytes;
    (void)data;
    wire_channel_grant(channel, length / 2);
}

static void on_over(struct wire_channel *channel, void *data)
{
    struct peer *peer = data;

    for (size_t i = 0; i < 4; i++) {
        if (peer->channels[i] == channel)
            peer->channels[i] = NULL;
    }
}

static void on_writable(struct wire_channel *channel, void *data)
{
    static const uint8_t bytes[1024] = {0};
    size_t n = wire_channel_space(channel);

    (void)data;
    (void)wire_channel_send(channel, bytes, n < sizeof(bytes) ? n : sizeof(bytes));
}

static const struct wire_channel_handler handler = {
    .data = on_data, .end = on_over, .writable = on_writable, .reset = on_over};

static void open_channels(struct wire_connection *connection, struct peer *peer)
{
    for (uint32_t i = 0; i < 4; i++) {
        if (peer->channels[i] ||
            wire_channel_open(connection, wire_connection_next_channel(connection),
                              i % 2 ? WIRE_SEND : WIRE_RECEIVE, &handler, peer, &peer->channels[i],
                              NULL) < 0)
            continue;
        if (i % 2 == 0)
            wire_channel_grant(peer->channels[i], 100);
    }
}

static void on_request(struct wire_connection *connection, uint64_t id, const char *op,
                       json_t *request, void *data)
{
    struct error error = ERROR_INIT;

    (void)request;
    if (*op == 'h')
        return; /* left without an answer */
    open_channels(connection, data);
    if (*op == 'r') {
        (void)error_set(&error, -EINVAL, "no");
        wire_connection_refuse(connection, id, &error);
    } else {
        wire_connection_answer(connection, id, NULL);
    }
}

static void on_answer(struct wire_connection *connection, json_t *ok, const struct error *error,
                      void *data)
{
    struct peer *peer = data;

    (void)connection;
    if (!ok == !error)
        abort();
    peer->answers++;
}

static void on_ready(struct wire_connection *connection, void *data)
{
    (void)data;
    (void)connection;
}

static void on_event(struct wire_connection *connection, const char *name, json_t *event,
                     void *data)
{
    (void)name;
    (void)event;
    open_channels(connection, data);
}

static void on_closed(struct wire_connection *connection, const struct error *reason, void *data)
{
    struct peer *peer = data;

    (void)connection;
    if (peer->closed++ || reason->code >= 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] = "{\"hello\":{\"protocol\":1}}";
    static uint8_t sink[65536];
    struct peer peer = {.closed = 0};
    struct wire_connection *connection = NULL;
    uint8_t header[FRAME_HEADER_SIZE];

    if (size < 2)
        return 0;
    bool server = data[0] & 1;
    size_t piece = (size_t)(data[0] >> 1) + 1;
    const struct wire_handler connection_handler = {.ready = on_ready,
                                                    .request = server ? on_request : NULL,
                                                    .event = server ? NULL : on_event,
                                                    .closed = on_closed};
    if (wire_connection_new(server ? WIRE_SERVER : WIRE_CLIENT, "fuzz", "peer", &connection_handler,
                            &peer, &connection, NULL) < 0)
        return 0;
    frame_encode_header(header, FRAME_CONTROL, 0, sizeof(hello) - 1, 0);
    (void)wire_connection_feed(connection, header, sizeof(header), NULL);
    (void)wire_connection_feed(connection, hello, sizeof(hello) - 1, NULL);
    int requests = 0;
    if (!server)
        requests = wire_connection_request(connection, "poke", NULL, on_answer, &peer, NULL) == 0;
    for (size_t used = 1; used < size && !peer.closed; used += piece) {
        size_t n = size - used < piece ? size - used : piece;

        (void)wire_connection_feed(connection, data + used, n, NULL);
        if (wire_connection_queued(connection) > 32 * 1024)
            (void)wire_connection_take_output(connection, sink, sizeof(sink));
    }
    wire_connection_free(connection);
    if (peer.answers != requests)
        abort();
    return 0;
}
