#include "api/request.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const method_names[METHOD_MAX] = {
    [METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD",     [METHOD_POST] = "POST",
    [METHOD_PUT] = "PUT", [METHOD_DELETE] = "DELETE",
};

const char *method_to_string(enum method method)
{
    return (unsigned)method < METHOD_MAX ? method_names[method] : "?";
}

int method_from_string(const char *text)
{
    for (int i = 0; i < METHOD_MAX; i++) {
        if (string_equal(text, method_names[i]))
            return i;
    }
    return -EINVAL;
}

void request_release(struct request *request)
{
    for (size_t i = 0; i < request->n_query; i++) {
        free(request->query[i].name);
        free(request->query[i].value);
    }
    free(request->query);
    free(request->name);
    free(request->content_type);
    free(request->registry_auth);
    buffer_release(&request->body);
    *request = (struct request)REQUEST_INIT;
}

int request_add_query(struct request *request, const char *name, const char *value,
                      struct error *err)
{
    struct request_parameter *grown = NULL;
    CLEANUP_FREE char *name_copy = strdup(name);
    CLEANUP_FREE char *value_copy = strdup(string_or(value, ""));

    if (request->n_query >= REQUEST_QUERY_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d query parameters",
                               REQUEST_QUERY_MAX);
    if (!name_copy || !value_copy)
        return error_oom(err);
    grown = reallocarray(request->query, request->n_query + 1, sizeof(*grown));
    if (!grown)
        return error_oom(err);
    request->query = grown;
    request->query[request->n_query++] = (struct request_parameter){
        .name = TAKE_PTR(name_copy),
        .value = TAKE_PTR(value_copy),
    };
    return 0;
}

const char *request_query(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->n_query; i++) {
        if (string_equal(request->query[i].name, name))
            return request->query[i].value;
    }
    return NULL;
}

int request_query_all(const struct request *request, const char *name, char ***ret,
                      struct error *err)
{
    CLEANUP_STRV char **values = NULL;

    for (size_t i = 0; i < request->n_query; i++) {
        if (!string_equal(request->query[i].name, name))
            continue;
        if (strv_append(&values, request->query[i].value) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(values);
    return 0;
}

bool request_bool(const struct request *request, const char *name)
{
    const char *value = request_query(request, name);

    return !string_is_empty(value) && strcmp(value, "0") != 0 && strcasecmp(value, "no") != 0 &&
           strcasecmp(value, "false") != 0 && strcasecmp(value, "none") != 0;
}

bool request_bool_or(const struct request *request, const char *name, bool otherwise)
{
    return request_query(request, name) ? request_bool(request, name) : otherwise;
}

int request_int(const struct request *request, const char *name, int min, int max, int *ret,
                struct error *err)
{
    const char *value = request_query(request, name);
    int number = 0;
    int r = 0;

    if (string_is_empty(value))
        return 0;
    r = string_to_int(value, min, max, &number);
    if (r < 0)
        return error_set_class(err, ERROR_INVALID, "strconv.Atoi: parsing \"%.64s\": %s", value,
                               r == -ERANGE ? "value out of range" : "invalid syntax");
    *ret = number;
    return 1;
}

int request_time(const struct request *request, const char *name, int64_t *ret, struct error *err)
{
    const char *value = request_query(request, name);
    int64_t when = 0;

    if (string_is_empty(value))
        return 0;
    if (timestamp_parse(value, &when) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid value for '%s': \"%.64s\" is no time",
                               name, value);
    *ret = when;
    return 1;
}

/* One filter's values: an array of strings, or the object form of API 1.21 and older, in which
 * docker's own clients still send some of them. */
static int normalize_filter(const json_t *values, json_t *into, size_t *count, struct error *err)
{
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    if (json_is_array(values)) {
        json_array_foreach (values, i, value) {
            if (!json_is_string(value))
                return error_set_class(err, ERROR_INVALID, "invalid filter");
            if (json_array_append(into, value) < 0)
                return error_oom(err);
        }
    } else if (json_is_object(values)) {
        void *iterator = json_object_iter((json_t *)(uintptr_t)values);

        for (; iterator; iterator = json_object_iter_next((json_t *)(uintptr_t)values, iterator)) {
            key = json_object_iter_key(iterator);
            value = json_object_iter_value(iterator);
            if (!json_is_boolean(value))
                return error_set_class(err, ERROR_INVALID, "invalid filter");
            if (json_is_true(value) && json_array_append_new(into, json_string(key)) < 0)
                return error_oom(err);
        }
    } else {
        return error_set_class(err, ERROR_INVALID, "invalid filter");
    }
    *count += json_array_size(into);
    if (*count > REQUEST_FILTER_VALUES_MAX)
        return error_set_class(err, ERROR_INVALID, "invalid filter: more than %d values",
                               REQUEST_FILTER_VALUES_MAX);
    return 0;
}

int request_parse_filters(const char *text, json_t **ret, struct error *err)
{
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_JSON json_t *filters = json_object();
    const char *name = NULL;
    json_t *values = NULL;
    size_t count = 0;

    if (!filters)
        return error_oom(err);
    if (strlen(text) > REQUEST_FILTERS_MAX)
        return error_set_class(err, ERROR_INVALID, "invalid filter: longer than %d bytes",
                               REQUEST_FILTERS_MAX);
    if (json_parse(text, strlen(text), &document, NULL) < 0 || !json_is_object(document))
        return error_set_class(err, ERROR_INVALID, "invalid filter");
    json_object_foreach (document, name, values) {
        json_t *list = json_array();
        int r = 0;

        if (json_object_set_new(filters, name, list) < 0)
            return error_oom(err);
        r = normalize_filter(values, list, &count, err);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(filters);
    return 0;
}

int request_filters(const struct request *request, json_t **ret, struct error *err)
{
    const char *text = request_query(request, "filters");

    if (string_is_empty(text)) {
        *ret = NULL;
        return 0;
    }
    return request_parse_filters(text, ret, err);
}

/* moby's httputils.CheckForJSON: parameters after ";" do not matter, case neither. */
static int check_content_type(const char *type, struct error *err)
{
    size_t length = 0;

    if (string_is_empty(type))
        return error_set_class(err, ERROR_INVALID,
                               "malformed Content-Type header (): mime: no media type");
    length = strcspn(type, "; \t");
    if (length != strlen("application/json") || strncasecmp(type, "application/json", length) != 0)
        return error_set_class(
            err, ERROR_INVALID,
            "unsupported Content-Type header (%.128s): must be 'application/json'", type);
    return 0;
}

int request_json(const struct request *request, bool required, json_t **ret, struct error *err)
{
    CLEANUP_JSON json_t *document = NULL;
    struct error problem = ERROR_INIT;
    int r = 0;

    if (request->body.length == 0 && !required && string_is_empty(request->content_type)) {
        *ret = NULL;
        return 0;
    }
    r = check_content_type(request->content_type, err);
    if (r < 0)
        return r;
    if (request->body.length == 0 && !required) {
        *ret = NULL;
        return 0;
    }
    if (request->body.length == 0)
        return error_set_class(err, ERROR_INVALID,
                               "invalid JSON: got EOF while reading request body");
    r = json_parse(request->body.data, request->body.length, &document, &problem);
    if (r < 0) {
        const char *what = problem.message;

        /* json_parse() says so too. */
        if (string_starts_with(what, "invalid JSON "))
            what += strlen("invalid JSON ");
        return error_set_class(err, problem.class, "invalid JSON: %s", what);
    }
    if (!json_is_object(document))
        return error_set_class(err, ERROR_INVALID, "invalid JSON: the body must be an object");
    *ret = TAKE_PTR(document);
    return 0;
}

bool request_is_forsaken(const struct request *request)
{
    struct pollfd fds[] = {
        {.fd = request->connection_fd, .events = POLLRDHUP},
        {.fd = request->stop_fd, .events = POLLIN},
    };

    return poll(fds, sizeof(fds) / sizeof(fds[0]), 0) > 0;
}

int request_wait(const struct request *request, int fd)
{
    struct pollfd fds[] = {
        {.fd = fd, .events = POLLIN},
        {.fd = request->connection_fd, .events = POLLRDHUP},
        {.fd = request->stop_fd, .events = POLLIN},
    };

    for (;;) {
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (fds[2].revents)
            return -ESHUTDOWN;
        if (fds[1].revents)
            return -ECONNRESET;
        if (fds[0].revents)
            return 0;
    }
}
