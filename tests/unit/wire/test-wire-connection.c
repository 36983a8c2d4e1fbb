/* Two connections back to back, by hand (bytes fed in pieces of any size) and over a socket pair.
 */
#include "wire/connection.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "wire/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PUSH = 1 << 20 };

struct end {
    struct wire_connection *connection;
    struct end *other;
    int readies;
    int closes;
    struct error reason;
    int requests;
    uint64_t last_id;
    char last_op[64];
    int events;
    int answers;
    struct error failure;
    bool hold;      /* requests are not answered */
    bool free_self; /* in closed() */
    /* streams */
    struct wire_channel *channel;
    uint64_t received;
    uint32_t sum;
    int ends;
    int resets;
    bool auto_grant;
    size_t to_send;
    uint32_t sent_sum;
    uint8_t next;
};

/* --- handlers --- */

static void on_ready(struct wire_connection *connection, void *data)
{
    (void)connection;
    ((struct end *)data)->readies++;
}

static void on_request(struct wire_connection *connection, uint64_t id, const char *op,
                       json_t *request, void *data)
{
    struct end *end = data;

    (void)request;
    end->requests++;
    end->last_id = id;
    (void)snprintf(end->last_op, sizeof(end->last_op), "%s", op);
    if (!end->hold)
        wire_connection_answer(connection, id, json_pack("{s:i}", "n", end->requests));
}

static void on_event(struct wire_connection *connection, const char *name, json_t *event,
                     void *data)
{
    (void)connection;
    (void)name;
    (void)event;
    ((struct end *)data)->events++;
}

static void on_closed(struct wire_connection *connection, const struct error *reason, void *data)
{
    struct end *end = data;

    (void)connection;
    end->closes++;
    end->reason = *reason;
    if (end->free_self)
        end->connection = wire_connection_free(end->connection);
}

static const struct wire_handler server_handler = {
    .ready = on_ready, .request = on_request, .closed = on_closed};
static const struct wire_handler client_handler = {
    .ready = on_ready, .event = on_event, .closed = on_closed};

static void on_answer(struct wire_connection *connection, json_t *ok, const struct error *error,
                      void *data)
{
    struct end *end = data;

    (void)connection;
    end->answers++;
    assert_true((ok != NULL) != (error != NULL));
    if (error)
        end->failure = *error;
}

static uint32_t add_sum(uint32_t sum, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static void on_data(struct wire_channel *channel, const void *bytes, size_t length, void *data)
{
    struct end *end = data;

    end->received += length;
    end->sum = add_sum(end->sum, bytes, length);
    if (end->auto_grant)
        wire_channel_grant(channel, length);
}

static void on_end(struct wire_channel *channel, void *data)
{
    struct end *end = data;

    (void)channel;
    end->ends++;
    end->channel = NULL;
}

static void on_reset(struct wire_channel *channel, void *data)
{
    struct end *end = data;

    (void)channel;
    end->resets++;
    end->channel = NULL;
}

static void send_some(struct end *end)
{
    static uint8_t bytes[100 * 1000];

    while (end->channel && end->to_send > 0) {
        size_t n = wire_channel_space(end->channel);

        if (n == 0)
            return;
        if (n > sizeof(bytes))
            n = sizeof(bytes);
        if (n > end->to_send)
            n = end->to_send;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(end->next++ * 7 + (i >> 8));
        end->sent_sum = add_sum(end->sent_sum, bytes, n);
        end->to_send -= n;
        assert_int_equal(wire_channel_send(end->channel, bytes, n), 0);
    }
    if (end->channel && end->to_send == 0)
        end->channel = wire_channel_end(end->channel);
}

static void on_writable(struct wire_channel *channel, void *data)
{
    (void)channel;
    send_some(data);
}

static const struct wire_channel_handler receiver = {
    .data = on_data, .end = on_end, .reset = on_reset};
static const struct wire_channel_handler sender = {.writable = on_writable, .reset = on_reset};

/* --- fixture --- */

static void end_init(struct end *end, enum wire_role role)
{
    *end = (struct end){.connection = NULL};
    assert_int_equal(wire_connection_new(role, "test", role == WIRE_SERVER ? "client" : "server",
                                         role == WIRE_SERVER ? &server_handler : &client_handler,
                                         end, &end->connection, NULL),
                     0);
}

/* Moves what one has to say to the other, in pieces of at most `piece` bytes; true if anything. */
static bool move(struct end *from, struct end *to, size_t piece)
{
    static uint8_t bytes[PUSH];
    bool any = false;
    size_t n;

    while (from->connection && to->connection && !wire_connection_is_closed(to->connection) &&
           (n = wire_connection_take_output(from->connection, bytes, piece)) > 0) {
        (void)wire_connection_feed(to->connection, bytes, n, NULL);
        any = true;
    }
    return any;
}

static void settle(struct end *a, struct end *b, size_t piece)
{
    while (move(a, b, piece) || move(b, a, piece))
        ;
}

static void pair(struct end *server, struct end *client)
{
    end_init(server, WIRE_SERVER);
    end_init(client, WIRE_CLIENT);
    settle(server, client, PUSH);
    assert_int_equal(server->readies, 1);
    assert_int_equal(client->readies, 1);
}

static void unpair(struct end *server, struct end *client)
{
    server->connection = wire_connection_free(server->connection);
    client->connection = wire_connection_free(client->connection);
}

static void feed_frame(struct end *end, enum frame_type type, unsigned flags, uint32_t channel,
                       const void *payload, size_t length)
{
    uint8_t header[FRAME_HEADER_SIZE];

    frame_encode_header(header, type, flags, length, channel);
    (void)wire_connection_feed(end->connection, header, sizeof(header), NULL);
    if (length > 0 && !wire_connection_is_closed(end->connection))
        (void)wire_connection_feed(end->connection, payload, length, NULL);
}

static void feed_text(struct end *end, const char *text)
{
    feed_frame(end, FRAME_CONTROL, 0, 0, text, strlen(text));
}

/* --- tests --- */

static void test_handshake_in_pieces(void **state)
{
    struct end server;
    struct end client;

    (void)state;
    for (size_t piece = 1; piece < 40; piece += 3) {
        end_init(&server, WIRE_SERVER);
        end_init(&client, WIRE_CLIENT);
        /* The client is silent until it has heard the server. */
        assert_int_equal(wire_connection_queued(client.connection), 0);
        settle(&server, &client, piece);
        assert_true(wire_connection_is_ready(server.connection));
        assert_true(wire_connection_is_ready(client.connection));
        unpair(&server, &client);
    }
}

static void test_version(void **state)
{
    struct end client;

    (void)state;
    end_init(&client, WIRE_CLIENT);
    feed_text(&client, "{\"hello\":{\"protocol\":2}}");
    assert_int_equal(client.closes, 1);
    assert_int_equal(client.readies, 0);
    assert_int_equal(client.reason.code, -EPROTONOSUPPORT);
    assert_string_equal(client.reason.message,
                        "server speaks version 2 of the compute protocol, this program version 1");
    client.connection = wire_connection_free(client.connection);
}

static void test_requests(void **state)
{
    struct end server;
    struct end client;

    (void)state;
    pair(&server, &client);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(
            wire_connection_request(client.connection, "poke", NULL, on_answer, &client, NULL), 0);
        settle(&server, &client, 7);
    }
    assert_int_equal(client.answers, 200);
    assert_int_equal(client.failure.code, 0);
    assert_string_equal(server.last_op, "poke");
    assert_int_equal(wire_connection_event(server.connection, "boo", NULL), 0);
    settle(&server, &client, 7);
    assert_int_equal(client.events, 1);
    unpair(&server, &client);
}

static void test_refusal_carries_class_and_code(void **state)
{
    struct end server;
    struct end client;
    struct error error = ERROR_INIT;

    (void)state;
    pair(&server, &client);
    server.hold = true;
    (void)wire_connection_request(client.connection, "poke", NULL, on_answer, &client, NULL);
    settle(&server, &client, PUSH);
    (void)error_set_class(&error, ERROR_CONFLICT, "it is so");
    error.code = -ENOENT;
    wire_connection_refuse(server.connection, server.last_id, &error);
    settle(&server, &client, PUSH);
    assert_int_equal(client.failure.class, ERROR_CONFLICT);
    assert_int_equal(client.failure.code, -ENOENT);
    assert_string_equal(client.failure.message, "it is so");
    unpair(&server, &client);
}

static void test_pending_limit_and_disconnect(void **state)
{
    struct end server;
    struct end client;

    (void)state;
    pair(&server, &client);
    server.hold = true;
    for (int i = 0; i < WIRE_PENDING_MAX; i++)
        assert_int_equal(
            wire_connection_request(client.connection, "poke", NULL, on_answer, &client, NULL), 0);
    assert_int_equal(
        wire_connection_request(client.connection, "poke", NULL, on_answer, &client, NULL), -EBUSY);
    settle(&server, &client, PUSH);
    /* Freeing answers all; closed() is not called. */
    client.connection = wire_connection_free(client.connection);
    assert_int_equal(client.answers, WIRE_PENDING_MAX);
    assert_int_equal(client.failure.code, -ECANCELED);
    assert_int_equal(client.closes, 0);
    unpair(&server, &client);
}

static void test_large_message(void **state)
{
    struct end server;
    struct end client;
    char *text = malloc(WIRE_MESSAGE_MAX + 1);

    (void)state;
    pair(&server, &client);
    assert_non_null(text);
    memset(text, 'x', WIRE_MESSAGE_MAX);
    text[WIRE_MESSAGE_MAX] = '\0';
    assert_int_equal(wire_connection_request(client.connection, "poke",
                                             json_pack("{s:s}", "text", text), on_answer, &client,
                                             NULL),
                     -EMSGSIZE);
    text[WIRE_MESSAGE_MAX - 100] = '\0';
    assert_int_equal(wire_connection_request(client.connection, "poke",
                                             json_pack("{s:s}", "text", text), on_answer, &client,
                                             NULL),
                     0);
    settle(&server, &client, 4099);
    assert_int_equal(client.answers, 1);
    free(text);
    unpair(&server, &client);
}

struct violation {
    const char *text;
    const char *part; /* of the reason */
};

static void test_server_violations(void **state)
{
    static const struct violation cases[] = {
        {"[1]", "not an object"},
        {"nonsense", "not JSON"},
        {"{\"id\":0,\"op\":\"x\"}", "no request"},
        {"{\"id\":-5,\"op\":\"x\"}", "no request"},
        {"{\"id\":1}", "no request"},
        {"{\"id\":1,\"op\":\"\"}", "no request"},
        {"{\"id\":1,\"op\":\"UPPER\"}", "no request"},
        {"{\"id\":1,\"op\":7}", "no request"},
        {"{\"id\":\"1\",\"op\":\"x\"}", "no request"},
        {"{\"event\":\"x\"}", "no request"},
        {"{\"id\":1,\"id\":2,\"op\":\"x\"}", "not JSON"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct end server;
        struct end client;

        pair(&server, &client);
        feed_text(&server, cases[i].text);
        assert_int_equal(server.closes, 1);
        assert_int_equal(server.reason.code, -EPROTO);
        assert_non_null(strstr(server.reason.message, cases[i].part));
        unpair(&server, &client);
    }
}

static void test_client_violations(void **state)
{
    static const struct violation cases[] = {
        {"{\"id\":9,\"ok\":{}}", "not made"},
        {"{\"id\":1,\"ok\":[]}", "without content"},
        {"{\"id\":1}", "without content"},
        {"{\"id\":0,\"ok\":{}}", "not made"},
        {"{\"event\":\"\"}", "no answer and no event"},
        {"{\"event\":5}", "no answer and no event"},
        {"{}", "no answer and no event"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct end server;
        struct end client;

        pair(&server, &client);
        (void)wire_connection_request(client.connection, "poke", NULL, on_answer, &client, NULL);
        feed_text(&client, cases[i].text);
        assert_int_equal(client.closes, 1);
        assert_int_equal(client.answers, 1);
        assert_int_equal(client.reason.code, -EPROTO);
        assert_non_null(strstr(client.reason.message, cases[i].part));
        unpair(&server, &client);
    }
}

static void test_first_message_must_be_hello(void **state)
{
    struct end server;

    (void)state;
    end_init(&server, WIRE_SERVER);
    feed_text(&server, "{\"id\":1,\"op\":\"poke\"}");
    assert_non_null(strstr(server.reason.message, "not a hello"));
    server.connection = wire_connection_free(server.connection);

    end_init(&server, WIRE_SERVER);
    feed_frame(&server, FRAME_DATA, 0, 1, "x", 1);
    assert_non_null(strstr(server.reason.message, "before the handshake"));
    server.connection = wire_connection_free(server.connection);
}

static void test_request_flood(void **state)
{
    struct end server;
    struct end client;
    char text[64];

    (void)state;
    pair(&server, &client);
    server.hold = true;
    for (int i = 1; i <= WIRE_PENDING_MAX + 1; i++) {
        (void)snprintf(text, sizeof(text), "{\"id\":%d,\"op\":\"poke\"}", i);
        feed_text(&server, text);
    }
    assert_int_equal(server.requests, WIRE_PENDING_MAX);
    assert_non_null(strstr(server.reason.message, "requests at once"));
    unpair(&server, &client);

    pair(&server, &client);
    server.hold = true;
    feed_text(&server, "{\"id\":1,\"op\":\"poke\"}");
    feed_text(&server, "{\"id\":1,\"op\":\"poke\"}");
    assert_non_null(strstr(server.reason.message, "used twice"));
    unpair(&server, &client);
}

static void test_message_too_large(void **state)
{
    static const uint8_t bytes[FRAME_PAYLOAD_MAX] = {0};
    struct end server;
    struct end client;

    (void)state;
    pair(&server, &client);
    for (size_t sent = 0; sent <= WIRE_MESSAGE_MAX && server.closes == 0; sent += sizeof(bytes))
        feed_frame(&server, FRAME_CONTROL, FRAME_MORE, 0, bytes, sizeof(bytes));
    assert_int_equal(server.closes, 1);
    assert_non_null(strstr(server.reason.message, "a message above"));
    unpair(&server, &client);
}

static void test_unread_answers(void **state)
{
    struct end server;
    struct end client;
    json_t *big = json_object();
    char *text = calloc(1, 1 << 20);
    int n = 0;

    (void)state;
    pair(&server, &client);
    memset(text, 'y', (1 << 20) - 1);
    (void)json_object_set_new(big, "text", json_string(text));
    while (n < 100 && wire_connection_event(server.connection, "big", json_copy(big)) == 0)
        n++;
    assert_true(n >= 15 && n <= 18);
    assert_int_equal(server.closes, 0); /* never inside a sending call */
    (void)wire_connection_feed(server.connection, "", 0, NULL);
    assert_int_equal(server.closes, 1);
    assert_int_equal(server.reason.code, -ENOBUFS);
    json_decref(big);
    free(text);
    unpair(&server, &client);
}

/* --- channels --- */

static void open_stream(struct end *from, struct end *to, uint32_t id, size_t credit)
{
    assert_int_equal(
        wire_channel_open(to->connection, id, WIRE_RECEIVE, &receiver, to, &to->channel, NULL), 0);
    assert_int_equal(
        wire_channel_open(from->connection, id, WIRE_SEND, &sender, from, &from->channel, NULL), 0);
    if (credit > 0)
        wire_channel_grant(to->channel, credit);
}

static void test_stream_in_random_pieces(void **state)
{
    static uint8_t bytes[70000];
    struct end server;
    struct end client;
    uint32_t seed = 12345;

    (void)state;
    pair(&server, &client);
    server.auto_grant = true;
    client.to_send = 3 * 1000 * 1000 + 17;
    open_stream(&client, &server, 1, WIRE_WINDOW);
    for (;;) {
        seed = seed * 1664525 + 1013904223;
        size_t piece = 1 + (seed >> 8) % ((seed & 1) ? 40 : sizeof(bytes) - 1);
        size_t n = wire_connection_take_output(client.connection, bytes, piece);

        assert_true(wire_connection_queued(client.connection) <=
                    WIRE_QUEUE_SOFT_MAX + WIRE_WINDOW + 100000);
        (void)wire_connection_feed(server.connection, bytes, n, NULL);
        (void)move(&server, &client, 1 + (seed >> 20) % 50);
        if (n == 0 && wire_connection_queued(client.connection) == 0)
            break;
    }
    assert_int_equal(server.received, 3 * 1000 * 1000 + 17);
    assert_int_equal(server.sum, client.sent_sum);
    assert_int_equal(server.ends, 1);
    assert_int_equal(server.closes + client.closes, 0);
    unpair(&server, &client);
}

static void test_no_data_without_credit(void **state)
{
    struct end server;
    struct end client;

    (void)state;
    pair(&server, &client);
    client.to_send = 1000;
    open_stream(&client, &server, 1, 0);
    send_some(&client);
    settle(&server, &client, PUSH);
    assert_int_equal(server.received, 0);
    wire_channel_grant(server.channel, 400);
    settle(&server, &client, PUSH);
    assert_int_equal(server.received, 400);
    wire_channel_grant(server.channel, 600);
    settle(&server, &client, PUSH);
    assert_int_equal(server.received, 1000);
    assert_int_equal(server.ends, 1);
    unpair(&server, &client);
}

static void test_stream_violations(void **state)
{
    struct end server;
    struct end client;
    uint8_t credit[4];

    (void)state;
    pair(&server, &client);
    open_stream(&client, &server, 1, 3);
    feed_frame(&server, FRAME_DATA, 0, 1, "four", 4);
    assert_non_null(strstr(server.reason.message, "more data than was granted on channel 1"));
    assert_int_equal(server.resets, 1);
    assert_int_equal(server.closes, 1);
    unpair(&server, &client);

    pair(&server, &client);
    feed_frame(&server, FRAME_DATA, 0, 1, "x", 1);
    assert_non_null(strstr(server.reason.message, "data on channel 1, which is not open"));
    unpair(&server, &client);

    pair(&server, &client);
    open_stream(&client, &server, 1, 0);
    feed_frame(&client, FRAME_DATA, 0, 1, "x", 1);
    assert_non_null(strstr(client.reason.message, "against its direction"));
    unpair(&server, &client);

    pair(&server, &client);
    open_stream(&client, &server, 1, 0);
    frame_encode_credit(credit, WIRE_WINDOW_MAX + 1);
    feed_frame(&client, FRAME_CREDIT, 0, 1, credit, sizeof(credit));
    assert_non_null(strstr(client.reason.message, "of credit on channel 1"));
    unpair(&server, &client);

    pair(&server, &client);
    open_stream(&client, &server, 1, 0);
    frame_encode_credit(credit, 5);
    feed_frame(&server, FRAME_CREDIT, 0, 1, credit, sizeof(credit));
    assert_non_null(strstr(server.reason.message, "against its direction"));
    unpair(&server, &client);
}

static void test_channel_numbers(void **state)
{
    struct end server;
    struct end client;
    struct wire_channel *channel = NULL;

    (void)state;
    pair(&server, &client);
    assert_int_equal(wire_connection_next_channel(client.connection), 1);
    open_stream(&client, &server, 5, 0);
    assert_int_equal(wire_connection_next_channel(client.connection), 7);
    static const uint32_t wrong[] = {0, 5, 3, 8, 0x80000001};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(wire_channel_open(client.connection, wrong[i], WIRE_SEND, &sender, &client,
                                           &channel, NULL),
                         -EINVAL);
    for (int i = 0; i < WIRE_CHANNELS_MAX - 1; i++)
        assert_int_equal(wire_channel_open(client.connection, 7U + 2U * (uint32_t)i, WIRE_SEND,
                                           &sender, &client, &channel, NULL),
                         0);
    assert_int_equal(
        wire_channel_open(client.connection, 99999, WIRE_SEND, &sender, &client, &channel, NULL),
        -ENOBUFS);
    unpair(&server, &client);
    assert_int_equal(client.resets, WIRE_CHANNELS_MAX);
}

static void test_late_frames_are_ignored(void **state)
{
    struct end server;
    struct end client;
    uint8_t credit[4];

    (void)state;
    pair(&server, &client);
    client.to_send = 1000;
    open_stream(&client, &server, 1, 100);
    settle(&server, &client, PUSH);
    server.channel = wire_channel_reset(server.channel);
    feed_frame(&server, FRAME_DATA, 0, 1, "late", 4);
    feed_frame(&server, FRAME_END, 0, 1, NULL, 0);
    feed_frame(&server, FRAME_RESET, 0, 99, NULL, 0);
    frame_encode_credit(credit, 5);
    feed_frame(&server, FRAME_CREDIT, 0, 77, credit, sizeof(credit));
    assert_int_equal(server.closes, 0);
    settle(&server, &client, PUSH);
    assert_int_equal(client.resets, 1);
    unpair(&server, &client);
}

/* --- over a socket pair --- */

static void test_slow_reader_over_socket(void **state)
{
    const size_t total = 100 * 1000 * 1000;
    struct end server;
    struct end client;
    struct loop *loop = NULL;
    int ends[2];

    (void)state;
    end_init(&server, WIRE_SERVER);
    end_init(&client, WIRE_CLIENT);
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(fd_socketpair(SOCK_STREAM, ends), 0);
    assert_int_equal(wire_connection_attach(server.connection, ends[0], true, loop, NULL), 0);
    assert_int_equal(wire_connection_attach(client.connection, ends[1], true, loop, NULL), 0);
    while (!client.readies || !server.readies)
        assert_int_equal(loop_run_once(loop, 1000), 0);
    client.to_send = total;
    open_stream(&client, &server, 1, WIRE_WINDOW);
    uint64_t consumed = 0;
    for (int round = 0; server.ends == 0; round++) {
        assert_int_equal(loop_run_once(loop, 0), 0);
        /* The consumer takes something every third round, of what has come. */
        uint64_t have = server.received - consumed;
        if (round % 3 == 0 && have > 0 && server.channel) {
            size_t n = have > 50000 ? 50000 : (size_t)have;

            wire_channel_grant(server.channel, n);
            consumed += n;
        }
        assert_true(have <= WIRE_WINDOW);
        assert_true(wire_connection_queued(client.connection) <= WIRE_QUEUE_SOFT_MAX + WIRE_WINDOW);
    }
    assert_int_equal(server.received, total);
    assert_int_equal(server.sum, client.sent_sum);
    unpair(&server, &client);
    loop_free(loop);
}

static void test_last_words_are_heard(void **state)
{
    struct end server;
    struct end client;
    int ends[2];

    (void)state;
    end_init(&server, WIRE_SERVER);
    end_init(&client, WIRE_CLIENT);
    assert_int_equal(fd_socketpair(SOCK_STREAM, ends), 0);
    assert_int_equal(wire_connection_attach(server.connection, ends[0], true, NULL, NULL), 0);
    assert_int_equal(wire_connection_attach(client.connection, ends[1], true, NULL, NULL), 0);
    assert_int_equal(wire_connection_flush(server.connection, 1000, NULL), 0);
    assert_int_equal(wire_connection_wait(client.connection, 1000, NULL), 1);
    assert_int_equal(wire_connection_wait(server.connection, 1000, NULL), 1);
    /* The server says something and goes; the client writes first, fails, and still reads. */
    assert_int_equal(wire_connection_event(server.connection, "bye", NULL), 0);
    server.connection = wire_connection_free(server.connection);
    assert_int_equal(
        wire_connection_request(client.connection, "poke", NULL, on_answer, &client, NULL), 0);
    while (client.closes == 0)
        (void)wire_connection_wait(client.connection, 1000, NULL);
    assert_int_equal(client.events, 1);
    assert_int_equal(client.answers, 1);
    assert_int_equal(client.reason.code, -ECONNRESET);
    unpair(&server, &client);
}

static void test_free_in_closed_handler(void **state)
{
    struct end server;
    struct end client;
    struct loop *loop = NULL;
    int ends[2];

    (void)state;
    end_init(&server, WIRE_SERVER);
    end_init(&client, WIRE_CLIENT);
    client.free_self = true;
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(fd_socketpair(SOCK_STREAM, ends), 0);
    assert_int_equal(wire_connection_attach(server.connection, ends[0], true, loop, NULL), 0);
    assert_int_equal(wire_connection_attach(client.connection, ends[1], true, loop, NULL), 0);
    while (!client.readies || !server.readies)
        assert_int_equal(loop_run_once(loop, 1000), 0);
    /* An end that is found while sending is told by the loop. */
    wire_connection_violation(client.connection, "something");
    assert_int_equal(client.closes, 0);
    while (client.closes == 0 || server.closes == 0)
        assert_int_equal(loop_run_once(loop, 1000), 0);
    assert_null(client.connection);
    assert_string_equal(client.reason.message, "server broke the protocol: something");
    unpair(&server, &client);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_in_pieces),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_refusal_carries_class_and_code),
        cmocka_unit_test(test_pending_limit_and_disconnect),
        cmocka_unit_test(test_large_message),
        cmocka_unit_test(test_server_violations),
        cmocka_unit_test(test_client_violations),
        cmocka_unit_test(test_first_message_must_be_hello),
        cmocka_unit_test(test_request_flood),
        cmocka_unit_test(test_message_too_large),
        cmocka_unit_test(test_unread_answers),
        cmocka_unit_test(test_stream_in_random_pieces),
        cmocka_unit_test(test_no_data_without_credit),
        cmocka_unit_test(test_stream_violations),
        cmocka_unit_test(test_channel_numbers),
        cmocka_unit_test(test_late_frames_are_ignored),
        cmocka_unit_test(test_slow_reader_over_socket),
        cmocka_unit_test(test_last_words_are_heard),
        cmocka_unit_test(test_free_in_closed_handler),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
