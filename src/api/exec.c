/* Further programs in containers. */
#include "api/attachment.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/engine.h"

enum { CONSOLE_CELLS_MAX = 65535 };

int api_exec_create(void *context, struct request *request, struct reply *reply, struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    char id[65] = "";
    int r = request_json(request, true, &body, err);

    if (r < 0)
        return r;
    if (json_array_size(json_object_get(body, "Cmd")) == 0)
        return error_set_class(err, ERROR_INVALID, "No exec command specified");
    r = engine_exec_create(context, request->name, body, id, err);
    return r < 0 ? r : reply_json(reply, 201, json_pack("{s:s}", "Id", id), err);
}

struct exec_options {
    bool detach;
    bool terminal;
    int width;
    int height;
};

/* ConsoleSize is [height, width]. */
static int read_console_size(const json_t *body, struct exec_options *options, struct error *err)
{
    json_t *size = NULL;
    int r = json_get_array(body, "ConsoleSize", &size, err);

    if (r <= 0)
        return r;
    if (!options->terminal)
        return error_set_class(err, ERROR_INVALID,
                               "console size is only supported when 'Tty' is enabled");
    for (size_t i = 0; i < 2; i++) {
        const json_t *cells = json_array_get(size, i);

        if (json_array_size(size) != 2 || !json_is_integer(cells) ||
            json_integer_value(cells) < 0 || json_integer_value(cells) > CONSOLE_CELLS_MAX)
            return error_set_class(err, ERROR_INVALID,
                                   "'ConsoleSize' must be two numbers, height and width");
    }
    options->height = (int)json_integer_value(json_array_get(size, 0));
    options->width = (int)json_integer_value(json_array_get(size, 1));
    return 0;
}

int api_exec_start(void *context, struct request *request, struct reply *reply, struct error *err)
{
    CLEANUP_JSON json_t *body = NULL;
    struct exec_options options = {.detach = false};
    struct compute_client *client = NULL;
    struct error failure = ERROR_INIT;
    bool terminal = false;
    int r = request_json(request, false, &body, err);

    if (r >= 0)
        r = json_get_bool(body, "Detach", &options.detach, err);
    if (r >= 0)
        r = json_get_bool(body, "Tty", &options.terminal, err);
    if (r >= 0)
        r = read_console_size(body, &options, err);
    if (r < 0)
        return r;
    r = engine_exec_start(context, request->name, options.detach, options.width, options.height,
                          NULL, &client, &terminal, &failure);
    /* moby has taken the connection over by the time the program turns out not to start: the reason
     * is output, and the exit status (126 or 127) is what the client asks for next. In place of an
     * answer that is no upgrade docker's client shows nothing but its number. */
    if (r < 0 && !options.detach && failure.class != ERROR_NOT_FOUND &&
        failure.class != ERROR_CONFLICT)
        return attachment_reply_notice(request, failure.message, terminal, reply, err);
    if (r < 0)
        return error_copy(err, &failure);
    if (options.detach)
        return reply_empty(reply, 200);
    return attachment_reply(request, client, terminal, NULL, reply, err);
}

int api_exec_inspect(void *context, struct request *request, struct reply *reply, struct error *err)
{
    json_t *exec = NULL;
    int r = engine_exec_inspect(context, request->name, &exec, err);

    return r < 0 ? r : reply_json(reply, 200, exec, err);
}
