/* What a handler answers with. A handler that fails fills its error instead and leaves this alone.
 *
 * Three kinds: a body that is complete; a *stream*, whose headers go out at once and whose bytes
 * follow as they come into being; and a *hijack*, after which the connection carries raw bytes both
 * ways. Streams and hijacks run on the connection's own thread and may block in request_wait(). */
#ifndef HULL_API_REPLY_H
#define HULL_API_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct buffer;
struct error;
struct request;

enum { REPLY_STREAM_PENDING_MAX = 8 * 1024 * 1024 }; /* bytes that one fill() may append */

#define TYPE_JSON "application/json"
#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_RAW "application/vnd.docker.raw-stream"
#define TYPE_MULTIPLEXED "application/vnd.docker.multiplexed-stream"

/* Where the bytes of a stream come from. */
struct reply_source {
    /* Appends what there is: 1; 0 when there is nothing now (then `fd` is waited for); -ENODATA at
     * the end; another negative value cuts the connection, so that the client sees that it is not
     * whole. */
    int (*fill)(void *data, struct buffer *out);
    int (*fd)(void *data);
    void (*release)(void *data); /* also when the stream was never begun */
    void *data;
};

/* What takes a connection over. `early` are bytes that the client sent along with its request. */
struct reply_hijack {
    void (*run)(void *data, int fd, const void *early, size_t early_length);
    void (*release)(void *data);
    void *data;
};

enum reply_kind { REPLY_NONE, REPLY_BODY, REPLY_STREAM, REPLY_HIJACK };

struct reply {
    enum reply_kind kind;
    unsigned status;
    const char *content_type; /* static text, or NULL: no such header */
    bool no_cache;            /* as docker's _ping */
    char *path_stat;          /* X-Docker-Container-Path-Stat, malloc'd, or NULL */
    char *body;
    size_t length;
    struct reply_source source;
    struct reply_hijack hijack;
};

#define REPLY_INIT         \
    {                      \
        .kind = REPLY_NONE \
    }

/* Frees what was not used up. */
void reply_release(struct reply *reply);

/* Return 0 or -ENOMEM; `json` is consumed also on failure, a NULL is -ENOMEM. JSON bodies end with
 * a newline, as dockerd's do. */
int reply_json(struct reply *reply, unsigned status, json_t *json, struct error *err);
int reply_empty(struct reply *reply, unsigned status);
/* `text` is malloc'd and consumed. */
void reply_text(struct reply *reply, unsigned status, char *text, size_t length);
void reply_stream(struct reply *reply, const char *content_type, const struct reply_source *source);
void reply_hijack(struct reply *reply, const char *content_type, const struct reply_hijack *hijack);

/* {"message": "..."} with the status of the error's class; nothing but the status for 304. */
void reply_error(struct reply *reply, const struct error *err);
/* The same for a status that no class stands for (405). */
void reply_failure(struct reply *reply, unsigned status, const char *message);

#endif
