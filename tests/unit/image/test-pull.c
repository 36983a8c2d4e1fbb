/* The registry client against a small registry on loopback. */
#include "fixture.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdatomic.h>

#include "base/cleanup.h"
#include "base/strings.h"
#include "image/manifest.h"

/* How the registry behaves. */
enum {
    PLAIN,
    BEARER,
    BASIC,
    BROKEN,
    NO_RANGES,
    ENDLESS_BREAK,
    WRONG_BYTES,
    TOO_LONG,
    REDIRECT,
    DENIED
};

struct registry_server {
    struct MHD_Daemon *daemon;
    struct MHD_Daemon *other; /* where blobs are redirected to */
    int port;
    int other_port;
    int mode;
    atomic_int blob_requests;
    atomic_int ranges;
    atomic_bool leaked; /* the other host saw credentials */
    struct buffer layer;
    char layer_digest[DIGEST_TEXT_SIZE];
    char *config;
    char config_digest[DIGEST_TEXT_SIZE];
    char *manifest;
    char manifest_digest[DIGEST_TEXT_SIZE];
    char *index;
};

/* A body of which only `sent` bytes arrive. */
struct broken_body {
    const char *data;
    size_t sent;
};

static ssize_t read_broken(void *user, uint64_t position, char *out, size_t max)
{
    const struct broken_body *body = user;
    if (position >= body->sent)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = body->sent - position < max ? body->sent - position : max;
    memcpy(out, body->data + position, n);
    return (ssize_t)n;
}

static enum MHD_Result queue(struct MHD_Connection *connection, unsigned status,
                             struct MHD_Response *response, const char *name, const char *value)
{
    if (name)
        MHD_add_response_header(response, name, value);
    enum MHD_Result r = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return r;
}

static struct MHD_Response *text_response(const char *data, size_t length)
{
    CLEANUP_FREE char *copy = malloc(length + 1);
    memcpy(copy, data, length);
    return MHD_create_response_from_buffer(length, copy, MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text,
                              const char *name, const char *value)
{
    return queue(connection, status, text_response(text, strlen(text)), name, value);
}

static enum MHD_Result broken(struct MHD_Connection *connection, const char *data, size_t total,
                              size_t sent, unsigned status, const char *range)
{
    struct broken_body *body = malloc(sizeof(*body));
    *body = (struct broken_body){data, sent};
    return queue(connection, status,
                 MHD_create_response_from_callback(total, 4096, read_broken, body, free),
                 range ? "Content-Range" : NULL, range);
}

static enum MHD_Result serve_blob(struct registry_server *server, struct MHD_Connection *connection,
                                  const char *data, size_t length)
{
    const char *range = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Range");
    uint64_t start = 0;
    atomic_fetch_add(&server->blob_requests, 1);
    if (range) {
        atomic_fetch_add(&server->ranges, 1);
        CLEANUP_FREE char *digits = strndup(range + 6, strlen(range) - 7);
        assert_int_equal(string_to_u64(digits, &start), 0);
    }
    if (server->mode == ENDLESS_BREAK)
        return broken(connection, data, length, 0, 200, NULL);
    if (server->mode == BROKEN && start < length / 2) {
        /* A third at a time. */
        CLEANUP_FREE char *header =
            string_format("bytes %d-%zu/%zu", (int)start, length - 1, length);
        return broken(connection, data + start, length - start, length / 3, start ? 206 : 200,
                      start ? header : NULL);
    }
    if (server->mode == NO_RANGES && !range)
        return broken(connection, data, length, length / 2, 200, NULL);
    if (range && server->mode != NO_RANGES) {
        CLEANUP_FREE char *header =
            string_format("bytes %d-%zu/%zu", (int)start, length - 1, length);
        return queue(connection, 206, text_response(data + start, length - start), "Content-Range",
                     header);
    }
    return queue(connection, 200, text_response(data, length), NULL, NULL);
}

static enum MHD_Result serve_layer(struct registry_server *server,
                                   struct MHD_Connection *connection)
{
    if (server->mode == REDIRECT) {
        CLEANUP_FREE char *to = string_format("http://127.0.0.1:%d/layer", server->other_port);
        return answer(connection, 307, "", "Location", to);
    }
    CLEANUP_FREE char *copy = malloc(server->layer.length + 1);
    memcpy(copy, server->layer.data, server->layer.length);
    copy[server->layer.length] = 'x';
    if (server->mode == WRONG_BYTES) {
        copy[server->layer.length / 2] ^= 1;
        return serve_blob(server, connection, copy, server->layer.length);
    }
    if (server->mode == TOO_LONG)
        return serve_blob(server, connection, copy, server->layer.length + 1);
    return serve_blob(server, connection, server->layer.data, server->layer.length);
}

static enum MHD_Result serve_token(struct registry_server *server,
                                   struct MHD_Connection *connection)
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    const char *scope = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "scope");
    (void)server;
    assert_string_equal(scope, "repository:test/img:pull");
    /* user:secret */
    if (!string_equal(value, "Basic dXNlcjpzZWNyZXQ="))
        return answer(connection, 401, "{}", NULL, NULL);
    return answer(connection, 200, "{\"token\":\"good\"}", NULL, NULL);
}

/* NULL: let through. */
static const char *challenge(const struct registry_server *server,
                             struct MHD_Connection *connection, char text[256])
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    if (server->mode == BEARER || server->mode == REDIRECT) {
        snprintf(text, 256,
                 "Bearer realm=\"http://127.0.0.1:%d/token\",service=\"s\",scope=\"repository:test/"
                 "img:pull\"",
                 server->port);
        return string_equal(value, "Bearer good") ? NULL : text;
    }
    if (server->mode == BASIC)
        return string_equal(value, "Basic dXNlcjpzZWNyZXQ=") ? NULL : "Basic realm=\"r\"";
    return NULL;
}

static enum MHD_Result serve(void *user, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_size, void **context)
{
    struct registry_server *server = user;
    char text[256];
    (void)method;
    (void)version;
    (void)upload;
    (void)upload_size;
    (void)context;
    if (strcmp(url, "/token") == 0)
        return serve_token(server, connection);
    if (server->mode == DENIED)
        return answer(connection, 401,
                      "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"requested access to the "
                      "resource is denied\"}]}",
                      "WWW-Authenticate", "Basic realm=\"r\"");
    const char *wanted = challenge(server, connection, text);
    if (wanted)
        return answer(connection, 401, "", "WWW-Authenticate", wanted);
    if (strcmp(url, "/v2/test/img/manifests/latest") == 0 ||
        (strstr(url, "manifests/") && strstr(url, server->manifest_digest)))
        return answer(connection, 200, server->manifest, "Content-Type", MEDIA_OCI_MANIFEST);
    if (strcmp(url, "/v2/test/img/manifests/arm") == 0)
        return answer(connection, 200, server->index, "Content-Type", MEDIA_OCI_INDEX);
    if (strstr(url, server->config_digest))
        return answer(connection, 200, server->config, NULL, NULL);
    if (strstr(url, server->layer_digest))
        return serve_layer(server, connection);
    return answer(connection, 404,
                  "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}",
                  NULL, NULL);
}

static enum MHD_Result serve_other(void *user, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_size, void **context)
{
    struct registry_server *server = user;
    (void)url;
    (void)method;
    (void)version;
    (void)upload;
    (void)upload_size;
    (void)context;
    if (MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization"))
        server->leaked = true;
    return queue(connection, 200, text_response(server->layer.data, server->layer.length), NULL,
                 NULL);
}

static struct MHD_Daemon *start(struct registry_server *server, MHD_AccessHandlerCallback handler,
                                int *ret_port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handler, server,
                         MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    assert_non_null(daemon);
    *ret_port = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return daemon;
}

/* An image of one layer: some 300 kB of noise, so that it does not shrink. */
static void make_image(struct registry_server *server)
{
    CLEANUP(buffer_release) struct buffer plain = BUFFER_INIT(FIXTURE_TAR_MAX);
    char diff_id[DIGEST_TEXT_SIZE];
    size_t size = 300000;
    CLEANUP_FREE char *noise = malloc(size);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++)
        noise[i] = (char)((state = state * 1664525 + 1013904223) >> 24);
    const struct entry entries[] = {{"noise", 'f', noise, .size = (int64_t)size}};
    make_tar(&plain, entries, 1, 0);
    make_tar(&server->layer, entries, 1, 'g');
    digest_of(plain.data, plain.length, diff_id);
    digest_of(server->layer.data, server->layer.length, server->layer_digest);
    server->config = string_format("{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{"
                                   "\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
                                   diff_id);
    digest_of(server->config, strlen(server->config), server->config_digest);
    const struct layer_blob layer = {server->layer_digest, (int64_t)server->layer.length,
                                     MEDIA_OCI_LAYER "+gzip"};
    server->manifest =
        manifest_format(server->config_digest, (int64_t)strlen(server->config), &layer, 1);
    digest_of(server->manifest, strlen(server->manifest), server->manifest_digest);
    server->index = string_format("{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":"
                                  "1,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}}]}",
                                  server->manifest_digest);
}

static void server_release(struct registry_server *server)
{
    MHD_stop_daemon(server->daemon);
    MHD_stop_daemon(server->other);
    buffer_release(&server->layer);
    free(server->config);
    free(server->manifest);
    free(server->index);
}

static void server_start(struct registry_server *server, int mode)
{
    *server = (struct registry_server){.mode = mode, .layer = BUFFER_INIT(FIXTURE_TAR_MAX)};
    make_image(server);
    server->daemon = start(server, serve, &server->port);
    server->other = start(server, serve_other, &server->other_port);
}

static int pull(struct image_store *store, const struct registry_server *server, const char *suffix,
                const struct image_auth *auth, const struct image_monitor *monitor,
                struct error *err)
{
    CLEANUP_FREE char *reference = string_format("127.0.0.1:%d/test/img%s", server->port, suffix);
    const struct image_pull_options options = {.reference = reference, .auth = auth};
    return image_pull(store, &options, monitor, NULL, err);
}

static const struct image_auth user = {.username = "user", .password = "secret"};

static void check_empty(struct image_store *store)
{
    struct image **images;
    size_t n;
    int64_t bytes = 0;
    assert_int_equal(image_list(store, NULL, &images, &n, NULL), 0);
    image_list_free(images, n);
    assert_int_equal(n, 0);
    assert_int_equal(image_store_usage(store, NULL, &bytes, NULL), 0);
    assert_int_equal(bytes, 0);
}

/* Pulls in `mode` with credentials; the store must have the image afterwards. */
static void check_pull(void **state, struct registry_server *server, int mode)
{
    need_root();
    struct error err = ERROR_INIT;
    struct image_store *store = open_store(state);
    struct image *image = NULL;
    server_start(server, mode);
    if (pull(store, server, "", &user, NULL, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(image_find(store, server->config_digest, &image, NULL), 0);
    assert_int_equal(image->size, 300000);
    assert_int_equal(strv_length(image->digests), 1);
    image_free(image);
    image_store_close(store);
}

static void check_failure(void **state, int mode, const struct image_auth *auth, const char *suffix,
                          enum error_class class, const char *part)
{
    need_root();
    CLEANUP(server_release) struct registry_server server;
    struct error err = ERROR_INIT;
    struct image_store *store = open_store(state);
    server_start(&server, mode);
    assert_true(pull(store, &server, suffix, auth, NULL, &err) < 0);
    if (!strstr(err.message, part))
        fail_msg("unexpected: %s", err.message);
    assert_int_equal(err.class, class);
    check_empty(store);
    image_store_close(store);
}

static void test_plain(void **state)
{
    CLEANUP(server_release) struct registry_server server = {0};
    check_pull(state, &server, PLAIN);
}

static void test_bearer(void **state)
{
    CLEANUP(server_release) struct registry_server server = {0};
    check_pull(state, &server, BEARER);
}

static void test_basic(void **state)
{
    CLEANUP(server_release) struct registry_server server = {0};
    check_pull(state, &server, BASIC);
}

static void test_resumes(void **state)
{
    CLEANUP(server_release) struct registry_server server = {0};
    check_pull(state, &server, BROKEN);
    assert_int_equal(server.ranges, 2);
}

static void test_restarts_without_ranges(void **state)
{
    CLEANUP(server_release) struct registry_server server = {0};
    check_pull(state, &server, NO_RANGES);
    assert_int_equal(server.blob_requests, 2);
}

static void test_redirect_does_not_leak(void **state)
{
    CLEANUP(server_release) struct registry_server server = {0};
    check_pull(state, &server, REDIRECT);
    assert_false(server.leaked);
}

static void test_no_credentials(void **state)
{
    check_failure(state, BASIC, NULL, "", ERROR_UNAUTHORIZED, "no basic auth credentials");
}

static void test_wrong_credentials(void **state)
{
    const struct image_auth wrong = {.username = "user", .password = "x"};
    check_failure(state, BEARER, &wrong, "", ERROR_UNAUTHORIZED, "unauthorized");
}

static void test_denied(void **state)
{
    check_failure(state, DENIED, &user, "", ERROR_NOT_FOUND,
                  "test/img, repository does not exist or may require 'docker login': denied: "
                  "requested access to the resource is denied");
}

static void test_unknown(void **state)
{
    check_failure(state, PLAIN, NULL, ":nope", ERROR_NOT_FOUND,
                  "test/img:nope not found: manifest unknown: manifest unknown");
}

static void test_other_platform(void **state)
{
    check_failure(state, PLAIN, NULL, ":arm", ERROR_NOT_FOUND,
                  "no matching manifest for linux/amd64 in the manifest list entries");
}

static void test_wrong_bytes(void **state)
{
    check_failure(state, WRONG_BYTES, NULL, "", ERROR_INVALID,
                  "filesystem layer verification failed for digest sha256:");
}

static void test_too_long(void **state)
{
    check_failure(state, TOO_LONG, NULL, "", ERROR_INVALID, "longer than");
}

static void test_refused_connection(void **state)
{
    need_root();
    struct registry_server nowhere = {.port = 1};
    struct error err = ERROR_INIT;
    struct image_store *store = open_store(state);
    assert_true(pull(store, &nowhere, "", NULL, NULL, &err) < 0);
    assert_int_equal(err.class, ERROR_UNAVAILABLE);
    image_store_close(store);
}

struct watch {
    atomic_bool retrying;
    char last[256];
};

static void on_report(void *data, const struct image_progress_event *event)
{
    struct watch *watch = data;
    if (event->status && string_starts_with(event->status, "Retrying"))
        watch->retrying = true;
    string_copy(watch->last, sizeof(watch->last), string_or(event->status, ""));
}

static bool on_cancelled(void *data)
{
    struct watch *watch = data;
    return watch->retrying;
}

/* Cancelled while it waits to try again. */
static void test_cancel(void **state)
{
    need_root();
    CLEANUP(server_release) struct registry_server server;
    struct watch watch = {0};
    const struct image_monitor monitor = {on_report, on_cancelled, &watch};
    struct image_store *store = open_store(state);
    server_start(&server, ENDLESS_BREAK);
    assert_int_equal(pull(store, &server, "", NULL, &monitor, NULL), -ECANCELED);
    check_empty(store);
    image_store_close(store);
}

static void test_up_to_date(void **state)
{
    need_root();
    CLEANUP(server_release) struct registry_server server;
    struct watch watch = {0};
    const struct image_monitor monitor = {on_report, NULL, &watch};
    struct image_store *store = open_store(state);
    server_start(&server, PLAIN);
    assert_int_equal(pull(store, &server, "", NULL, &monitor, NULL), 0);
    assert_true(string_starts_with(watch.last, "Status: Downloaded newer image for 127.0.0.1:"));
    assert_int_equal(pull(store, &server, "", NULL, &monitor, NULL), 0);
    assert_true(string_starts_with(watch.last, "Status: Image is up to date for 127.0.0.1:"));
    assert_int_equal(server.blob_requests, 1);
    image_store_close(store);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_plain),
        TEST(test_bearer),
        TEST(test_basic),
        TEST(test_resumes),
        TEST(test_restarts_without_ranges),
        TEST(test_redirect_does_not_leak),
        TEST(test_no_credentials),
        TEST(test_wrong_credentials),
        TEST(test_denied),
        TEST(test_unknown),
        TEST(test_other_platform),
        TEST(test_wrong_bytes),
        TEST(test_too_long),
        TEST(test_refused_connection),
        TEST(test_cancel),
        TEST(test_up_to_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
