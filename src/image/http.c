#include "image/http.h"

#include <errno.h>
#include <stdio.h>

#include <curl/curl.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "image/store.h"

enum { HEADER_MAX = 16 * 1024 };

struct exchange {
    CURL *curl;
    const struct http_request *request;
    struct http_response *response;
    struct buffer *errors;
    bool begun;
    bool refused; /* a sink said no */
};

DEFINE_CLEANUP(CURL *, curl_cleanup, curl_easy_cleanup)
DEFINE_CLEANUP(struct curl_slist *, slist_cleanup, curl_slist_free_all)

void http_response_release(struct http_response *response)
{
    challenges_release(&response->challenges);
}

static void reset_response(struct http_response *response)
{
    challenges_release(&response->challenges);
    *response = (struct http_response){.range_start = -1};
}

/* "bytes 100-199/200" (RFC 9110, 14.4) */
static int64_t parse_range_start(const char *value)
{
    int64_t start;
    if (!string_starts_with(value, "bytes "))
        return -1;
    value += strlen("bytes ");
    CLEANUP_FREE char *digits = strndup(value, strspn(value, "0123456789"));
    return digits && string_to_i64(digits, &start) == 0 ? start : -1;
}

static void take_header(struct http_response *response, const char *name, const char *value)
{
    if (string_equal_nocase(name, "content-type")) {
        string_copy(response->content_type, sizeof(response->content_type), value);
        response->content_type[strcspn(response->content_type, "; ")] = '\0';
    } else if (string_equal_nocase(name, "www-authenticate")) {
        challenges_parse(value, &response->challenges);
    } else if (string_equal_nocase(name, "content-range")) {
        response->range_start = parse_range_start(value);
    } else if (string_equal_nocase(name, "link")) {
        response->more = strstr(value, "rel=\"next\"") || strstr(value, "rel=next");
    }
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    size_t length = size * count;
    if (length > HEADER_MAX)
        return 0;
    CLEANUP_FREE char *line = strndup(data, length);
    if (!line)
        return 0;
    /* Each answer of a chain of redirects starts anew. */
    if (string_starts_with(line, "HTTP/"))
        reset_response(exchange->response);
    char *colon = strchr(line, ':');
    if (!colon)
        return length;
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    value[strcspn(value, "\r\n")] = '\0';
    take_header(exchange->response, line, value);
    return length;
}

static int deliver(struct exchange *exchange, long status, const char *data, size_t length)
{
    const struct registry_request *transfer = exchange->request->transfer;
    if (!exchange->begun) {
        bool partial = status == 206;
        exchange->begun = true;
        /* A range that starts elsewhere would be stitched together wrongly. */
        if (partial && exchange->response->range_start != transfer->offset)
            return -EINVAL;
        if (transfer->begin && transfer->begin(transfer->data, partial) < 0)
            return -ECANCELED;
    }
    return transfer->body ? buffer_append(transfer->body, data, length)
                          : transfer->sink(transfer->data, data, length);
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    struct exchange *exchange = user;
    size_t length = size * count;
    long status = 0;
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206) {
        /* What is too long for a message is cut. */
        buffer_append(exchange->errors, data, length);
        return length;
    }
    if (deliver(exchange, status, data, length) == 0)
        return length;
    exchange->refused = true;
    return CURL_WRITEFUNC_ERROR;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct exchange *exchange = user;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return monitor_cancelled(exchange->request->monitor);
}

static int add_header(struct curl_slist **list, const char *name, const char *value)
{
    CLEANUP_FREE char *line = value ? string_format("%s: %s", name, value) : NULL;
    if (!value)
        return 0;
    struct curl_slist *grown = line ? curl_slist_append(*list, line) : NULL;
    if (!grown)
        return -ENOMEM;
    *list = grown;
    return 0;
}

static int set_headers(struct exchange *exchange, struct curl_slist **list)
{
    const struct http_request *request = exchange->request;
    char range[64];
    if (add_header(list, "Accept", request->accept) < 0 ||
        add_header(list, "Authorization", request->authorization) < 0)
        return -ENOMEM;
    if (request->transfer && request->transfer->offset > 0) {
        snprintf(range, sizeof(range), "bytes=%lld-", (long long)request->transfer->offset);
        if (add_header(list, "Range", range) < 0)
            return -ENOMEM;
    }
    curl_easy_setopt(exchange->curl, CURLOPT_HTTPHEADER, *list);
    return 0;
}

static void set_options(struct exchange *exchange, char *message)
{
    CURL *curl = exchange->curl;
    const struct http_request *request = exchange->request;
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "hull/0.1.0");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, request->insecure ? "http,https" : "https,http");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, request->insecure ? "http,https" : "https");
    /* libcurl gives header and password to no other host; but a form, which holds a token, it sends
     * again wherever a 307 or 308 says. */
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, request->form ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)REGISTRY_REDIRECTS_MAX);
    curl_easy_setopt(curl, CURLOPT_UNRESTRICTED_AUTH, 0L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)REGISTRY_CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)REGISTRY_STALL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, request->insecure ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, request->insecure ? 0L : 2L);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
    if (request->username) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(curl, CURLOPT_USERNAME, request->username);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, string_or(request->password, ""));
    }
    if (request->form)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->form);
}

/* libcurl's words, or docker's where users search for them. */
static int transport_error(const struct exchange *exchange, CURLcode code, const char *message,
                           struct error *err)
{
    const char *text = *message ? message : curl_easy_strerror(code);
    if (exchange->refused)
        return error_set(err, -ECANCELED, "the transfer was stopped");
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return error_set(err, -ECANCELED, "context canceled");
    if (code == CURLE_SSL_CONNECT_ERROR && strstr(text, "wrong version number"))
        text = "http: server gave HTTP response to HTTPS client";
    return error_set_class(err, ERROR_UNAVAILABLE, "Get \"%s\": %s", exchange->request->url, text);
}

int http_get(const struct http_request *request, struct http_response *ret, struct buffer *errors,
             struct error *err)
{
    char message[CURL_ERROR_SIZE] = "";
    CLEANUP(slist_cleanup) struct curl_slist *headers = NULL;
    CLEANUP(curl_cleanup) CURL *curl = curl_easy_init();
    struct exchange exchange = {
        .curl = curl, .request = request, .response = ret, .errors = errors};
    if (!curl || set_headers(&exchange, &headers) < 0)
        return error_oom(err);
    reset_response(ret);
    set_options(&exchange, message);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
    /* 200 without a byte still begins. */
    if (code == CURLE_OK && !exchange.begun && request->transfer && request->transfer->begin &&
        (ret->status == 200 || ret->status == 206) &&
        request->transfer->begin(request->transfer->data, ret->status == 206) < 0)
        exchange.refused = true;
    if (code != CURLE_OK || exchange.refused)
        return transport_error(&exchange, code, message, err);
    return 0;
}
