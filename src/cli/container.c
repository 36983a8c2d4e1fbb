#include "cli/container.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/text.h"

int container_inspect(struct cli *cli, const char *name, json_t **ret_document,
                      struct container_view *ret, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *document = NULL;
    struct container_view view = {.id = NULL};
    json_t *config = NULL;
    json_t *state = NULL;
    json_t *host = NULL;
    int r = 0;

    query_path(&query, "/containers/%s/json", name);
    r = client_get(cli->client, query_text(&query), &document, err);
    if (r >= 0)
        r = json_need_string(document, "Id", &view.id, err);
    if (r < 0)
        return r;
    config = json_object_get(document, "Config");
    state = json_object_get(document, "State");
    host = json_object_get(document, "HostConfig");
    view.tty = json_is_true(json_object_get(config, "Tty"));
    view.open_stdin = json_is_true(json_object_get(config, "OpenStdin"));
    view.is_running = json_is_true(json_object_get(state, "Running"));
    view.is_paused = json_is_true(json_object_get(state, "Paused"));
    view.is_restarting = json_is_true(json_object_get(state, "Restarting"));
    view.auto_remove = json_is_true(json_object_get(host, "AutoRemove"));
    *ret = view;
    *ret_document = TAKE_PTR(document);
    return 0;
}

int container_update(struct cli *cli, const char *name, json_t *body, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *answer = NULL;
    json_t *warning;
    size_t i;
    int r;

    query_path(&query, "/containers/%s/update", name);
    r = client_post(cli->client, query_text(&query), body, &answer, err);
    if (r < 0)
        return r;
    json_array_foreach (json_object_get(answer, "Warnings"), i, warning) {
        text_print_lines(cli->err, string_or(json_string_value(warning), ""));
        fputc('\n', cli->err);
    }
    return 0;
}

int container_each(struct cli *cli, const struct options *options,
                   int (*act)(struct cli *cli, const struct options *options, const char *name,
                              struct error *err))
{
    int status = 0;

    for (char *const *name = options->arguments; *name; name++) {
        struct error err = ERROR_INIT;

        if (act(cli, options, *name, &err) < 0) {
            status = 1;
            text_print_lines(cli->err, err.message);
            fputc('\n', cli->err);
        } else {
            text_print(cli->out, *name);
            fputc('\n', cli->out);
            fflush(cli->out);
        }
    }
    return status;
}
