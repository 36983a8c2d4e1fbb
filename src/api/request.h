/* One request as the handlers see it: no HTTP library in sight, so that it can be made by hand in a
 * test.
 *
 * Everything in it was chosen by the client. The accessors read query parameters as dockerd does
 * and say in docker's words what is wrong with them (ERROR_INVALID). */
#ifndef HULL_API_REQUEST_H
#define HULL_API_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct error;
struct operation;

enum {
    REQUEST_BODY_MAX = 4 * 1024 * 1024, /* bytes of an ordinary body; more is 413 */
    REQUEST_QUERY_MAX = 512,            /* parameters; more is 400 */
    REQUEST_FILTERS_MAX = 256 * 1024,   /* bytes of `filters` */
    REQUEST_FILTER_VALUES_MAX = 1024,   /* values in all filters together */
    REQUEST_API_STREAM_TYPES = 42,      /* API 1.42 names the framing of a stream in its type */
};

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_MAX };
const char *method_to_string(enum method method);
int method_from_string(const char *text); /* -EINVAL for one that no route has */

struct request_parameter {
    char *name;
    char *value; /* never NULL */
};

struct request {
    enum method method;
    int version; /* the 50 of API 1.50 */
    char *name;  /* what {} in the route's pattern stands for, or NULL */
    struct request_parameter *query;
    size_t n_query;
    char *content_type;  /* or NULL */
    char *registry_auth; /* header X-Registry-Auth, or NULL */
    bool wants_upgrade;  /* header Upgrade was sent */
    const char *what;    /* the route's words for what is asked, or NULL; borrowed */
    struct buffer body;
    struct operation *operation; /* of a route whose body is a stream; the request's */

    /* Borrowed: the connection, and a descriptor that is readable when the server stops. -EBADF:
     * there is none. */
    int connection_fd;
    int stop_fd;
};

#define REQUEST_INIT                                                                      \
    {                                                                                     \
        .body = BUFFER_INIT(REQUEST_BODY_MAX), .connection_fd = -EBADF, .stop_fd = -EBADF \
    }

void request_release(struct request *request);

/* Appends a parameter. 0, -ENOMEM, or ERROR_INVALID beyond REQUEST_QUERY_MAX. */
int request_add_query(struct request *request, const char *name, const char *value,
                      struct error *err);

/* First value of a parameter; NULL when absent. The vector form has all of them, in order. */
const char *request_query(const struct request *request, const char *name);
int request_query_all(const struct request *request, const char *name, char ***ret,
                      struct error *err);

/* docker's BoolValue: "", "0", "no", "false", "none" in any case are false, and so is an absent
 * one; all else is true. */
bool request_bool(const struct request *request, const char *name);
bool request_bool_or(const struct request *request, const char *name, bool otherwise);

/* 1 when read, 0 when absent or empty (then *ret is untouched), else ERROR_INVALID in the words of
 * Go's strconv. */
int request_int(const struct request *request, const char *name, int min, int max, int *ret,
                struct error *err);
/* A point in time: Unix seconds with an optional fraction (timestamp.h has the other forms). As
 * request_int(); "0" is never. */
int request_time(const struct request *request, const char *name, int64_t *ret, struct error *err);

/* `filters`: *ret is a new object in docker's form {"name": ["value", ...]} (the older {"name":
 * {"value": true}} is turned into it), or NULL when there are none. ERROR_INVALID for all else. */
int request_filters(const struct request *request, json_t **ret, struct error *err);
int request_parse_filters(const char *text, json_t **ret, struct error *err);

/* The body as a JSON object, a new reference; NULL when there is none and it may be left out.
 * Checks the Content-Type as dockerd does. */
int request_json(const struct request *request, bool required, json_t **ret, struct error *err);

/* Waits until `fd` is readable. 0; -ECONNRESET when the client has gone, -ESHUTDOWN when the server
 * stops, so that no thread lives on for nobody. */
int request_wait(const struct request *request, int fd);
/* Would request_wait() say so now? */
bool request_is_forsaken(const struct request *request);

#endif
