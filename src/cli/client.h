/* The engine, as seen from the command line: HTTP over a unix socket.
 *
 * Theory of operation. Every request runs through libcurl's multi interface, one easy handle each,
 * so that a request may stay open (wait, events) while others are made from the same thread. The
 * first request is preceded by `GET /_ping`, whose Api-Version header settles the version prefix:
 * the smaller of the engine's and our own. An answer of 400 and above is an error with the text
 * that the engine sent ("Error response from daemon: ..."), and its class from the status. The
 * engine is not trusted with memory: heads, collected bodies and messages have maxima. */
#ifndef HULL_CLI_CLIENT_H
#define HULL_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct client;
struct client_call;
struct error;
struct pollfd;

enum {
    CLIENT_BODY_MAX = 64 * 1024 * 1024, /* of a body that is collected */
    CLIENT_ERROR_BODY_MAX = 64 * 1024,
    CLIENT_CONNECT_TIMEOUT_MS = 30000,
};

/* Gets each piece of a successful body. Negative: ends the request with that code; `err`, which
 * is the one given to client_perform(), must be filled. */
typedef int client_receiver(void *data, const char *bytes, size_t length, struct error *err);

struct client_request {
    const char *method;
    const char *target;        /* path and query without version prefix; NULL is out of memory */
    const json_t *body;        /* sent as JSON; borrowed, may be NULL */
    int upload;                /* descriptor whose content is the body, when content_type is set */
    const char *content_type;  /* of the upload */
    const char *registry_auth; /* X-Registry-Auth header or NULL */
    char **ret_path_stat;      /* NULL, or gets X-Docker-Container-Path-Stat, malloc'd */
    client_receiver *receive;  /* NULL: the body is collected */
    void *data;
};

/* `host` is unix://PATH. Does not connect yet. */
int client_new(const char *host, struct client **ret, struct error *err);
struct client *client_free(struct client *client);

/* Runs a request to its end. ret_body (may be NULL) gets the collected body parsed as JSON, NULL
 * for an empty one; new reference. Returns the HTTP status (200 to 399) or a negative code. */
int client_perform(struct client *client, const struct client_request *request, json_t **ret_body,
                   struct error *err);

/* Short forms. */
int client_get(struct client *client, const char *target, json_t **ret_body, struct error *err);
int client_post(struct client *client, const char *target, const json_t *body, json_t **ret_body,
                struct error *err);

/* Starts a request and returns when the head of its answer has come: from then on the engine is
 * known to be at it. An error answer is an error here. `err` must outlive the call. */
int client_begin(struct client *client, const struct client_request *request,
                 struct client_call **ret, struct error *err);
bool client_call_is_done(const struct client_call *call);
/* Blocks until the call is done; as client_perform(). */
int client_call_finish(struct client_call *call, json_t **ret_body, struct error *err);
/* Also ends one that is still running. */
struct client_call *client_call_free(struct client_call *call);

/* poll(2) that keeps the begun calls moving as well; returns when one of `fds` is ready, a call
 * got something, or the time is over. 0 or a negative code. */
int client_poll(struct client *client, struct pollfd *fds, size_t n_fds, int timeout_ms,
                struct error *err);

/* For hijacked connections: a new connection, and the prefix ("/v1.47") that the target needs. */
int client_connect(struct client *client, struct error *err);
int client_api_prefix(struct client *client, const char **ret, struct error *err);
/* Version parts of the negotiated API, after client_api_prefix(). */
bool client_api_at_least(const struct client *client, int minor);

/* Fills `err` for an error answer: the "message" of the JSON body, else the body, else the status.
 */
int client_error_from_answer(int status, const char *body, size_t length, struct error *err);

#endif
