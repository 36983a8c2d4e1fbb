#include "api/reply.h"

#include "api/status.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void reply_release(struct reply *reply)
{
    free(reply->body);
    free(reply->path_stat);
    if (reply->source.release)
        reply->source.release(reply->source.data);
    if (reply->hijack.release)
        reply->hijack.release(reply->hijack.data);
    *reply = (struct reply)REPLY_INIT;
}

void reply_text(struct reply *reply, unsigned status, char *text, size_t length)
{
    *reply = (struct reply){
        .kind = REPLY_BODY,
        .status = status,
        .content_type = TYPE_TEXT,
        .body = text,
        .length = length,
    };
}

int reply_empty(struct reply *reply, unsigned status)
{
    *reply = (struct reply){.kind = REPLY_BODY, .status = status};
    return 0;
}

/* The document's text with a newline, malloc'd, or NULL. */
static char *json_line(const json_t *json)
{
    CLEANUP_FREE char *text = json ? json_format(json) : NULL;

    return text ? string_format("%s\n", text) : NULL;
}

int reply_json(struct reply *reply, unsigned status, json_t *json, struct error *err)
{
    CLEANUP_JSON json_t *owned = json;
    char *text = json_line(owned);

    if (!text)
        return error_oom(err);
    reply_text(reply, status, text, strlen(text));
    reply->content_type = TYPE_JSON;
    return 0;
}

void reply_stream(struct reply *reply, const char *content_type, const struct reply_source *source)
{
    *reply = (struct reply){
        .kind = REPLY_STREAM,
        .status = 200,
        .content_type = content_type,
        .source = *source,
    };
}

void reply_hijack(struct reply *reply, const char *content_type, const struct reply_hijack *hijack)
{
    *reply = (struct reply){
        .kind = REPLY_HIJACK,
        .status = 101,
        .content_type = content_type,
        .hijack = *hijack,
    };
}

void reply_failure(struct reply *reply, unsigned status, const char *message)
{
    CLEANUP_JSON json_t *document = json_object();

    (void)reply_empty(reply, status);
    if (status == 304 || json_put_string(document, "message", message) < 0)
        return;
    reply->body = json_line(document);
    reply->length = reply->body ? strlen(reply->body) : 0;
    reply->content_type = TYPE_JSON;
}

void reply_error(struct reply *reply, const struct error *err)
{
    const char *message = err->message[0] ? err->message : strerror(-err->code);

    reply_failure(reply, status_from_error(err), message);
}
