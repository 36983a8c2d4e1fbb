#include "cli/client.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/version.h"

#include <curl/curl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { HEAD_LINE_MAX = 16 * 1024, PREFIX_MAX = 16, POLL_FDS_MAX = 8 };

struct client {
    CURLM *multi;
    char *host; /* as given, for messages */
    char *path;
    char *curl_path; /* the same, short enough for sun_path */
    int directory;   /* behind curl_path when that goes through /proc/self/fd */
    bool is_negotiated;
    int api_minor; /* of 1.x */
    char prefix[PREFIX_MAX];
};

struct client_call {
    struct client *client;
    CURL *easy;
    struct curl_slist *headers;
    char *body_text;
    int upload;
    client_receiver *receive;
    void *data;
    struct error *err;
    struct buffer collected;
    struct buffer failure; /* body of an error answer */
    int receiver_code;
    long status;
    bool has_head;
    bool is_done;
    CURLcode result;
    int server_minor; /* from the Api-Version header, -1 without */
    char **path_stat; /* where that header goes, or NULL */
};

/* sockaddr_un has room for 107 characters; a longer path goes through its directory. */
static int shorten_path(struct client *client, struct error *err)
{
    const struct sockaddr_un address;
    CLEANUP_FREE char *directory = NULL;
    const char *slash = strrchr(client->path, '/');

    if (strlen(client->path) < sizeof(address.sun_path) || !slash) {
        client->curl_path = strdup(client->path);
        return client->curl_path ? 0 : error_oom(err);
    }
    directory = strndup(client->path, (size_t)(slash - client->path) + 1);
    if (!directory)
        return error_oom(err);
    client->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (client->directory < 0)
        return error_set_errno(err, -errno, "cannot open %s", directory);
    client->curl_path = string_format("/proc/self/fd/%d/%s", client->directory, slash + 1);
    return client->curl_path ? 0 : error_oom(err);
}

int client_new(const char *host, struct client **ret, struct error *err)
{
    static const char scheme[] = "unix://";
    struct client *client = NULL;
    int r = 0;

    if (!string_starts_with(host, scheme) || host[sizeof(scheme) - 1] != '/')
        return error_set_class(err, ERROR_INVALID,
                               "host '%s' is not supported: unix:///path/of/socket is", host);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, -ENOMEM, "cannot initialise libcurl");
    client = calloc(1, sizeof(*client));
    if (!client)
        return error_oom(err);
    client->directory = -EBADF;
    client->multi = curl_multi_init();
    client->host = strdup(host);
    client->path = strdup(host + sizeof(scheme) - 1);
    if (!client->multi || !client->host || !client->path)
        r = error_oom(err);
    if (r == 0)
        r = shorten_path(client, err);
    if (r < 0) {
        client_free(client);
        return r;
    }
    *ret = client;
    return 0;
}

struct client *client_free(struct client *client)
{
    if (!client)
        return NULL;
    if (client->multi)
        curl_multi_cleanup(client->multi);
    fd_close(client->directory);
    free(client->host);
    free(client->path);
    free(client->curl_path);
    free(client);
    return NULL;
}

static int cannot_connect(const struct client *client, struct error *err)
{
    return error_set(err, -ECONNREFUSED,
                     "Cannot connect to the hull daemon at %s. Is the hull daemon running?",
                     client->host);
}

int client_error_from_answer(int status, const char *body, size_t length, struct error *err)
{
    static const struct {
        int status;
        enum error_class class;
    } classes[] = {
        {400, ERROR_INVALID},         {401, ERROR_UNAUTHORIZED}, {403, ERROR_FORBIDDEN},
        {404, ERROR_NOT_FOUND},       {409, ERROR_CONFLICT},     {413, ERROR_TOO_LARGE},
        {501, ERROR_NOT_IMPLEMENTED}, {503, ERROR_UNAVAILABLE},
    };
    CLEANUP_JSON json_t *document = NULL;
    const char *message = NULL;
    enum error_class class = ERROR_SYSTEM;
    int max = 1500;

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (classes[i].status == status)
            class = classes[i].class;
    if (json_parse(string_or(body, ""), length, &document, NULL) >= 0 && json_is_object(document))
        message = json_string_value(json_object_get(document, "message"));
    if (!message && length > 0 && length < (size_t)max && !memchr(body, 0, length)) {
        message = body;
        max = (int)length;
    }
    if (!message)
        message = "request returned with an error that says nothing";
    return error_set_class(err, class, "Error response from daemon: %.*s%s", max, message,
                           message[0] ? "" : "no message");
}

static void take_path_stat(struct client_call *call, const char *bytes, size_t length)
{
    static const char name[] = "x-docker-container-path-stat:";
    size_t skip = sizeof(name) - 1;

    if (!call->path_stat || length <= skip || strncasecmp(bytes, name, skip) != 0)
        return;
    while (skip < length && bytes[skip] == ' ')
        skip++;
    while (length > skip && strchr("\r\n ", bytes[length - 1]))
        length--;
    free(*call->path_stat);
    *call->path_stat = strndup(bytes + skip, length - skip);
}

static size_t on_header(char *bytes, size_t size, size_t count, void *data)
{
    static const char name[] = "api-version:";
    struct client_call *call = data;
    size_t length = size * count;
    char line[64];

    if (length > HEAD_LINE_MAX)
        return 0;
    take_path_stat(call, bytes, length);
    if (length <= 2 && call->status != 100) {
        call->has_head = true;
    } else if (length >= 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &call->status);
    } else if (length > sizeof(name) && length < sizeof(line) &&
               strncasecmp(bytes, name, sizeof(name) - 1) == 0) {
        char *value = line + sizeof(name) - 1;
        int minor = 0;

        memcpy(line, bytes, length);
        line[length] = '\0';
        value += strspn(value, " ");
        value[strcspn(value, "\r\n ")] = '\0';
        if (string_starts_with(value, "1.") && string_to_int(value + 2, 0, 999, &minor) >= 0)
            call->server_minor = minor;
    }
    return length;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
    struct client_call *call = data;
    size_t length = size * count;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &call->status);
    if (call->status >= 400) {
        size_t room = CLIENT_ERROR_BODY_MAX - call->failure.length;

        (void)buffer_append(&call->failure, bytes, length < room ? length : room);
        return length;
    }
    if (call->receive)
        call->receiver_code = call->receive(call->data, bytes, length, call->err);
    else if (buffer_append(&call->collected, bytes, length) < 0)
        call->receiver_code = error_set(call->err, -E2BIG, "the daemon's answer is too large");
    return call->receiver_code < 0 ? 0 : length;
}

static size_t on_upload(char *bytes, size_t size, size_t count, void *data)
{
    struct client_call *call = data;
    ssize_t n = 0;

    do
        n = read(call->upload, bytes, size * count);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        call->receiver_code = error_set_errno(call->err, -errno, "cannot read the input");
        return CURL_READFUNC_ABORT;
    }
    return (size_t)n;
}

struct client_call *client_call_free(struct client_call *call)
{
    if (!call)
        return NULL;
    if (call->easy) {
        curl_multi_remove_handle(call->client->multi, call->easy);
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->headers);
    buffer_release(&call->collected);
    buffer_release(&call->failure);
    free(call->body_text);
    free(call);
    return NULL;
}

DEFINE_CLEANUP(struct client_call *, client_call_cleanup, client_call_free)

static int add_header(struct client_call *call, const char *name, const char *value,
                      struct error *err)
{
    /* "Name:" takes a header away that libcurl would add */
    CLEANUP_FREE char *line = string_format(*value ? "%s: %s" : "%s:%s", name, value);
    struct curl_slist *longer = line ? curl_slist_append(call->headers, line) : NULL;

    if (!longer)
        return error_oom(err);
    call->headers = longer;
    return 0;
}

/* The part of a request that carries bytes to the engine. */
static int set_upload(struct client_call *call, const struct client_request *request,
                      struct error *err)
{
    struct stat info;
    int r = 0;

    if (request->content_type) {
        call->upload = request->upload;
        curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(call->easy, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(call->easy, CURLOPT_READDATA, call);
        if (fstat(call->upload, &info) == 0 && S_ISREG(info.st_mode) &&
            lseek(call->upload, 0, SEEK_CUR) == 0)
            curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)info.st_size);
        else
            r = add_header(call, "Transfer-Encoding", "chunked", err);
        return r < 0 ? r : add_header(call, "Content-Type", request->content_type, err);
    }
    if (request->body) {
        call->body_text = json_format(request->body);
        if (!call->body_text)
            return error_oom(err);
        r = add_header(call, "Content-Type", "application/json", err);
    } else if (string_equal(request->method, "POST")) {
        /* libcurl would call an empty body a form */
        r = add_header(call, "Content-Type", "", err);
    }
    if (request->body || string_equal(request->method, "POST")) {
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, string_or(call->body_text, ""));
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)strlen(string_or(call->body_text, "")));
    }
    return r;
}

static int set_options(struct client_call *call, const struct client_request *request,
                       struct error *err)
{
    struct client *client = call->client;
    CLEANUP_FREE char *url = string_format("http://hull%s%s", client->prefix, request->target);
    int r = 0;

    if (!url)
        return error_oom(err);
    curl_easy_setopt(call->easy, CURLOPT_URL, url);
    curl_easy_setopt(call->easy, CURLOPT_UNIX_SOCKET_PATH, client->curl_path);
    curl_easy_setopt(call->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(call->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "hull/" HULL_VERSION);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CLIENT_CONNECT_TIMEOUT_MS);
    curl_easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
    r = set_upload(call, request, err);
    if (r == 0)
        r = add_header(call, "Expect", "", err);
    if (r == 0 && request->registry_auth)
        r = add_header(call, "X-Registry-Auth", request->registry_auth, err);
    if (r < 0)
        return r;
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    /* last: POSTFIELDS and POST set a method of their own */
    curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (string_equal(request->method, "HEAD"))
        curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
    return 0;
}

static int call_new(struct client *client, const struct client_request *request,
                    struct client_call **ret, struct error *err)
{
    CLEANUP(client_call_cleanup) struct client_call *call = NULL;
    int r = 0;

    if (!request->target)
        return error_oom(err);
    call = calloc(1, sizeof(*call));
    if (!call)
        return error_oom(err);
    call->client = client;
    call->upload = -EBADF;
    call->server_minor = -1;
    call->path_stat = request->ret_path_stat;
    call->receive = request->receive;
    call->data = request->data;
    call->err = err;
    call->collected = (struct buffer)BUFFER_INIT(CLIENT_BODY_MAX);
    call->failure = (struct buffer)BUFFER_INIT(CLIENT_ERROR_BODY_MAX);
    call->easy = curl_easy_init();
    if (!call->easy)
        return error_oom(err);
    r = set_options(call, request, err);
    if (r < 0)
        return r;
    if (curl_multi_add_handle(client->multi, call->easy) != CURLM_OK)
        return error_set(err, -EIO, "libcurl refuses the request");
    *ret = TAKE_PTR(call);
    return 0;
}

/* Moves all calls and notes which are over. */
static int advance(struct client *client, struct error *err)
{
    const CURLMsg *message = NULL;
    int running = 0;
    int left = 0;

    if (curl_multi_perform(client->multi, &running) != CURLM_OK)
        return error_set(err, -EIO, "libcurl failed");
    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct client_call *call = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &call->status);
        call->is_done = true;
        call->result = message->data.result;
    }
    return 0;
}

int client_poll(struct client *client, struct pollfd *fds, size_t n_fds, int timeout_ms,
                struct error *err)
{
    struct curl_waitfd extra[POLL_FDS_MAX];
    int n = 0;

    for (size_t i = 0; i < n_fds && i < POLL_FDS_MAX; i++) {
        extra[i].fd = fds[i].fd;
        extra[i].events = (short)(((fds[i].events & POLLIN) ? CURL_WAIT_POLLIN : 0) |
                                  ((fds[i].events & POLLOUT) ? CURL_WAIT_POLLOUT : 0));
        extra[i].revents = 0;
        fds[i].revents = 0;
    }
    /* A request that was only just added makes this return at once. Moving the calls before the
     * wait as well would sleep over a call that the move has finished. */
    if (curl_multi_poll(client->multi, extra, (unsigned)n_fds, timeout_ms, &n) != CURLM_OK)
        return error_set(err, -EIO, "libcurl failed to wait");
    for (size_t i = 0; i < n_fds && i < POLL_FDS_MAX; i++) {
        if (extra[i].revents & CURL_WAIT_POLLIN)
            fds[i].revents |= POLLIN;
        if (extra[i].revents & CURL_WAIT_POLLOUT)
            fds[i].revents |= POLLOUT;
    }
    return advance(client, err);
}

bool client_call_is_done(const struct client_call *call)
{
    return call->is_done;
}

int client_call_finish(struct client_call *call, json_t **ret_body, struct error *err)
{
    struct client *client = call->client;
    int r = 0;

    while (!call->is_done) {
        r = client_poll(client, NULL, 0, 1000, err);
        if (r < 0)
            return r;
    }
    if (call->receiver_code < 0)
        return error_copy(err == call->err ? NULL : err, call->err), call->receiver_code;
    if (call->result == CURLE_COULDNT_CONNECT || call->result == CURLE_COULDNT_RESOLVE_HOST)
        return cannot_connect(client, err);
    /* An error answer that comes while an upload is under way may cut the connection. */
    if (call->status >= 400)
        return client_error_from_answer((int)call->status, buffer_string(&call->failure),
                                        call->failure.length, err);
    if (call->result != CURLE_OK)
        return error_set(err, -EIO, "error during connect: %s", curl_easy_strerror(call->result));
    if (ret_body && call->collected.length > 0) {
        r = json_parse(call->collected.data, call->collected.length, ret_body, err);
        if (r < 0)
            return error_wrap(err, r, "the daemon's answer");
    }
    return (int)call->status;
}

static int negotiate(struct client *client, struct error *err)
{
    CLEANUP(client_call_cleanup) struct client_call *call = NULL;
    const struct client_request request = {.method = "HEAD", .target = "/_ping"};
    int r = 0;

    if (client->is_negotiated)
        return 0;
    r = call_new(client, &request, &call, err);
    if (r < 0)
        return r;
    r = client_call_finish(call, NULL, err);
    if (r < 0)
        return r;
    client->api_minor = CLI_API_MINOR;
    if (call->server_minor >= 0 && call->server_minor < CLI_API_MINOR)
        client->api_minor = call->server_minor;
    if (client->api_minor < CLI_API_MINOR_MIN)
        return error_set(err, -EPROTO,
                         "the daemon speaks API 1.%d, the oldest that will do is 1.%d",
                         client->api_minor, CLI_API_MINOR_MIN);
    snprintf(client->prefix, sizeof(client->prefix), "/v1.%d", client->api_minor);
    client->is_negotiated = true;
    return 0;
}

int client_begin(struct client *client, const struct client_request *request,
                 struct client_call **ret, struct error *err)
{
    CLEANUP(client_call_cleanup) struct client_call *call = NULL;
    int r = negotiate(client, err);

    if (r == 0)
        r = call_new(client, request, &call, err);
    while (r == 0 && !call->has_head && !call->is_done)
        r = client_poll(client, NULL, 0, 1000, err);
    if (r < 0)
        return r;
    if (call->status >= 400 || (call->is_done && call->result != CURLE_OK)) {
        r = client_call_finish(call, NULL, err);
        return r < 0 ? r : -EIO;
    }
    *ret = TAKE_PTR(call);
    return 0;
}

int client_perform(struct client *client, const struct client_request *request, json_t **ret_body,
                   struct error *err)
{
    CLEANUP(client_call_cleanup) struct client_call *call = NULL;
    struct error local = ERROR_INIT;
    struct error *e = err ? err : &local;
    int r = negotiate(client, e);

    if (r == 0)
        r = call_new(client, request, &call, e);
    return r < 0 ? r : client_call_finish(call, ret_body, e);
}

int client_get(struct client *client, const char *target, json_t **ret_body, struct error *err)
{
    const struct client_request request = {.method = "GET", .target = target};
    return client_perform(client, &request, ret_body, err);
}

int client_post(struct client *client, const char *target, const json_t *body, json_t **ret_body,
                struct error *err)
{
    const struct client_request request = {.method = "POST", .target = target, .body = body};
    return client_perform(client, &request, ret_body, err);
}

int client_connect(struct client *client, struct error *err)
{
    int fd = fd_connect_unix(client->path, NULL);

    return fd < 0 ? cannot_connect(client, err) : fd;
}

int client_api_prefix(struct client *client, const char **ret, struct error *err)
{
    int r = negotiate(client, err);

    if (r == 0)
        *ret = client->prefix;
    return r;
}

bool client_api_at_least(const struct client *client, int minor)
{
    return client->api_minor >= minor;
}
