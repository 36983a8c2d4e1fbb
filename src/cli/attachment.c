#include "cli/attachment.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/query.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int attachment_check_tty(const struct cli *cli, bool in, bool tty, struct error *err)
{
    if (in && tty && !isatty(cli->in))
        return error_set_class(err, ERROR_INVALID, "the input device is not a TTY");
    return 0;
}

static void attach_target(const struct attachment_spec *spec, struct query *query)
{
    if (spec->is_exec) {
        query_path(query, "/exec/%s/start", spec->id);
        return;
    }
    query_path(query, "/containers/%s/attach", spec->id);
    if (!string_is_empty(spec->detach_keys))
        query_add(query, "detachKeys", spec->detach_keys);
    query_add_flag(query, "stderr", spec->err);
    query_add_flag(query, "stdin", spec->in);
    query_add_flag(query, "stdout", spec->out);
    query_add_flag(query, "stream", true);
}

int attachment_open(struct cli *cli, const struct attachment_spec *spec, struct attachment *ret,
                    struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    const char *keys = string_is_empty(spec->detach_keys) ? DETACH_KEYS_DEFAULT : spec->detach_keys;
    const char *kind = spec->is_exec ? "exec" : "containers";
    int r = 0;

    fflush(cli->out);
    fflush(cli->err);
    ret->cli = cli;
    ret->pump = (struct pump){
        .client = cli->client,
        .stream = &ret->stream,
        .raw = spec->tty,
        .in = spec->in ? cli->in : -EBADF,
        .out = fileno(cli->out),
        .err_out = fileno(cli->err),
        .make_raw = spec->tty && spec->in && isatty(cli->in),
        .signal_fd = -EBADF,
    };
    if (spec->tty) {
        r = detach_parse(keys, &ret->detach, err);
        if (r < 0)
            return r;
        ret->pump.detach = &ret->detach;
        ret->resize_target = string_format("/%s/%s/resize", kind, spec->id);
        ret->pump.resize_target = ret->resize_target;
    }
    if (spec->sig_proxy) {
        ret->kill_target = string_format("/containers/%s/kill", spec->id);
        ret->pump.kill_target = ret->kill_target;
    }
    if ((spec->tty && !ret->resize_target) || (spec->sig_proxy && !ret->kill_target))
        return error_oom(err);
    attach_target(spec, &query);
    return hijack_open(cli->client, query_text(&query), spec->body, &ret->stream, err);
}

int attachment_wait(struct attachment *attachment, const char *id, const char *condition,
                    struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    struct client_request request = {.method = "POST"};
    int r = 0;

    query_path(&query, "/containers/%s/wait", id);
    query_add(&query, "condition", *condition ? condition : NULL);
    request.target = query_text(&query);
    r = client_begin(attachment->cli->client, &request, &attachment->wait, err);
    if (r == 0)
        attachment->pump.wait = attachment->wait;
    return r;
}

int attachment_prepare(struct attachment *attachment, struct error *err)
{
    return pump_prepare(&attachment->pump, err);
}

int attachment_status(const json_t *answer, struct error *err)
{
    const char *message = NULL;
    json_t *problem = NULL;
    int64_t status = 0;
    int r = json_get_object(answer, "Error", &problem, err);

    if (r >= 0 && problem)
        r = json_get_string(problem, "Message", &message, err);
    if (r >= 0 && !string_is_empty(message))
        return error_set(err, -EIO, "Error waiting for container: %s", message);
    if (r >= 0)
        r = json_need_i64(answer, "StatusCode", &status, err);
    if (r < 0)
        return r;
    return (int)(status & 0xff);
}

int attachment_run(struct attachment *attachment, bool *ret_detached, struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    enum pump_end end = PUMP_ENDED;
    int r = 0;

    *ret_detached = false;
    pump_resize(&attachment->pump);
    r = pump_run(&attachment->pump, &end, err);
    pump_release(&attachment->pump);
    if (r < 0)
        return r;
    if (end == PUMP_DETACHED) {
        *ret_detached = true;
        return 0;
    }
    if (!attachment->wait)
        return 0;
    r = client_call_finish(attachment->wait, &answer, err);
    return r < 0 ? r : attachment_status(answer, err);
}

void attachment_drain_wait(struct attachment *attachment)
{
    struct error ignored = ERROR_INIT;

    if (attachment->wait)
        (void)client_call_finish(attachment->wait, NULL, &ignored);
}

void attachment_release(struct attachment *attachment)
{
    pump_release(&attachment->pump);
    attachment->wait = client_call_free(attachment->wait);
    hijack_release(&attachment->stream);
    free(attachment->resize_target);
    free(attachment->kill_target);
    attachment->resize_target = attachment->kill_target = NULL;
}
