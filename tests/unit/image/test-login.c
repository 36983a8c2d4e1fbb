/* docker login against a small registry on loopback. */
#include "fixture.h"

#include <microhttpd.h>
#include <netinet/in.h>

#include "base/cleanup.h"
#include "base/strings.h"

enum mode { OPEN, BASIC, BEARER, BROKEN, MOVED };

struct registry_server {
    struct MHD_Daemon *daemon;
    int port;
    enum mode mode;
    char token_query[8][64]; /* name=value of what the token server was asked */
    int n_query;
    int n_posts; /* to the token server */
    bool followed;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text,
                              const char *challenge)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (challenge)
        MHD_add_response_header(response, "WWW-Authenticate", challenge);
    enum MHD_Result r = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return r;
}

/* base64 of alice:secret */
static bool is_alice(struct MHD_Connection *connection)
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    return string_equal(value, "Basic YWxpY2U6c2VjcmV0");
}

static enum MHD_Result note(void *user, enum MHD_ValueKind kind, const char *name,
                            const char *value)
{
    struct registry_server *server = user;
    (void)kind;
    if (server->n_query < 8)
        snprintf(server->token_query[server->n_query++], 64, "%s=%s", name, value);
    return MHD_YES;
}

/* A token server that sends whoever has a token for it to somebody else. */
static enum MHD_Result move(struct registry_server *server, struct MHD_Connection *connection)
{
    char location[64];
    snprintf(location, sizeof(location), "http://127.0.0.1:%d/elsewhere", server->port);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Location", location);
    enum MHD_Result r = MHD_queue_response(connection, 307, response);
    MHD_destroy_response(response);
    server->n_posts++;
    return r;
}

static enum MHD_Result serve(void *user, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_size, void **context)
{
    struct registry_server *server = user;
    char challenge[128];
    (void)version;
    (void)upload;
    if (string_equal(method, "POST") && (!*context || *upload_size > 0)) {
        *context = server; /* the body comes first */
        *upload_size = 0;
        return MHD_YES;
    }
    if (string_equal(url, "/elsewhere"))
        server->followed = true;
    if (server->mode == MOVED && string_equal(url, "/token"))
        return move(server, connection);
    if (string_equal(url, "/token")) {
        MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, note, server);
        if (!is_alice(connection))
            return answer(connection, 401, "{}", NULL);
        return answer(connection, 200, "{\"token\":\"good\",\"refresh_token\":\"again\"}", NULL);
    }
    if (!string_equal(url, "/v2/"))
        return answer(connection, 404, "{}", NULL);
    const char *sent = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    switch (server->mode) {
    case OPEN:
        return answer(connection, 200, "{}", NULL);
    case BROKEN:
        return answer(connection, 503, "", NULL);
    case BASIC:
        return is_alice(connection) ? answer(connection, 200, "{}", NULL)
                                    : answer(connection, 401, "{}", "Basic realm=\"r\"");
    case BEARER:
    case MOVED:
    default:
        snprintf(challenge, sizeof(challenge),
                 "Bearer realm=\"http://127.0.0.1:%d/token\",service=\"s\"", server->port);
        return string_equal(sent, "Bearer good") ? answer(connection, 200, "{}", NULL)
                                                 : answer(connection, 401, "{}", challenge);
    }
}

static void server_release(struct registry_server *server)
{
    MHD_stop_daemon(server->daemon);
}

static void server_start(struct registry_server *server, enum mode mode)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    *server = (struct registry_server){.mode = mode};
    server->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, serve, server,
                                      MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    assert_non_null(server->daemon);
    server->port = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

static const struct image_auth good = {.username = "alice", .password = "secret"};
static const struct image_auth bad = {.username = "alice", .password = "wrong"};
static const struct image_auth nobody = {.username = NULL};

/* Logs in; the token, or NULL, is the caller's. */
static int login(void **state, const struct registry_server *server, const struct image_auth *auth,
                 char **ret_token, struct error *err)
{
    struct image_store *store = open_store(state);
    CLEANUP_FREE char *address = string_format("http://127.0.0.1:%d/v2/", server->port);
    int r = image_login(store, address, auth, NULL, ret_token, err);
    image_store_close(store);
    return r;
}

static void check_accepted(void **state, enum mode mode, const struct image_auth *auth,
                           const char *token)
{
    CLEANUP(server_release) struct registry_server server;
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *got = NULL;
    server_start(&server, mode);
    if (login(state, &server, auth, &got, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(string_or(got, ""), token);
}

static void check_refused(void **state, enum mode mode, const struct image_auth *auth,
                          enum error_class class, const char *before, const char *after)
{
    CLEANUP(server_release) struct registry_server server;
    struct error err = ERROR_INIT;
    char *got = (char *)(uintptr_t) "untouched";
    server_start(&server, mode);
    CLEANUP_FREE char *text =
        string_format("%shttp://127.0.0.1:%d/v2/%s", before, server.port, after);
    assert_true(login(state, &server, auth, &got, &err) < 0);
    assert_string_equal(got, "untouched");
    assert_string_equal(err.message, text);
    assert_int_equal(err.class, class);
}

static void test_open(void **state)
{
    check_accepted(state, OPEN, &bad, "");
}

static void test_basic(void **state)
{
    check_accepted(state, BASIC, &good, "");
    check_refused(state, BASIC, &bad, ERROR_UNAUTHORIZED, "login attempt to ",
                  " failed with status: 401 Unauthorized");
    check_refused(state, BASIC, &nobody, ERROR_UNAUTHORIZED, "Get \"",
                  "\": no basic auth credentials");
}

static void test_token(void **state)
{
    check_accepted(state, BEARER, &good, "again");
    check_refused(state, BEARER, &bad, ERROR_UNAUTHORIZED, "Get \"",
                  "\": unauthorized: incorrect username or password");
}

static bool was_asked(const struct registry_server *server, const char *pair)
{
    for (int i = 0; i < server->n_query; i++)
        if (string_equal(server->token_query[i], pair))
            return true;
    return false;
}

/* A login is for no repository, and for longer than an hour. */
static void test_token_request(void **state)
{
    CLEANUP(server_release) struct registry_server server;
    CLEANUP_FREE char *got = NULL;
    server_start(&server, BEARER);
    assert_int_equal(login(state, &server, &good, &got, NULL), 0);
    assert_true(was_asked(&server, "service=s"));
    assert_true(was_asked(&server, "account=alice"));
    assert_true(was_asked(&server, "offline_token=true"));
    for (int i = 0; i < server.n_query; i++)
        assert_false(string_starts_with(server.token_query[i], "scope="));
}

/* The form with the refresh token goes to the host that it is for, and to no other. */
static void test_token_is_not_sent_on(void **state)
{
    static const struct image_auth holder = {.identity_token = "again"};
    CLEANUP(server_release) struct registry_server server;
    struct error err = ERROR_INIT;
    char *got = NULL;
    server_start(&server, MOVED);
    assert_true(login(state, &server, &holder, &got, &err) < 0);
    assert_non_null(strstr(err.message, "/token answered with status 307"));
    assert_int_equal(server.n_posts, 1);
    assert_false(server.followed);
}

static void test_broken(void **state)
{
    check_refused(state, BROKEN, &good, ERROR_UNAVAILABLE, "login attempt to ",
                  " failed with status: 503 Service Unavailable");
}

static void test_bad_address(void **state)
{
    struct image_store *store = open_store(state);
    struct error err = ERROR_INIT;
    char *token = NULL;
    assert_true(image_login(store, "https://a b/", &good, NULL, &token, &err) < 0);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_true(image_login(store, "https://alice:secret@a/", &good, NULL, &token, &err) < 0);
    assert_string_equal(err.message, "unable to parse server address");
    image_store_close(store);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_open),
        TEST(test_basic),
        TEST(test_token),
        TEST(test_token_request),
        TEST(test_broken),
        TEST(test_bad_address),
        TEST(test_token_is_not_sent_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
