/* vm console and vm probe (hull's own, not docker's). */
#include "cli/command.h"
#include "cli/commands.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/table.h"
#include "cli/text.h"

#include <stdlib.h>
#include <unistd.h>

enum { CONSOLE_MAX = CLIENT_BODY_MAX };

static const struct cli_option probe_options[] = {
    {.name = "format",
     .type = OPTION_STRING,
     .help = "'table' (default), 'json', 'table TEMPLATE' or 'TEMPLATE' (text with {{.Engine}} and "
             "the like)"},
    {.name = NULL},
};

static const struct table_column columns[] = {
    {"Engine", "Engine"}, {"Works", "Works"}, {"BootMs", "BootMs"},
    {"Reason", "Reason"}, {NULL, NULL},
};

static int collect(void *data, const char *bytes, size_t length, struct error *err)
{
    struct buffer *console = data;

    if (buffer_append(console, bytes, length) < 0)
        return error_set(err, -E2BIG, "the console is too long");
    return 0;
}

/* A guest wrote this: on a terminal its control characters are shown, not obeyed. */
static int run_console(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP(buffer_release) struct buffer console = BUFFER_INIT(CONSOLE_MAX);
    struct client_request request = {.method = "GET", .receive = collect, .data = &console};
    char *p = NULL;
    size_t n = 0;
    int r = 0;

    query_path(&query, "/hull/vm/%s/console", options->arguments[0]);
    request.target = query_text(&query);
    r = client_perform(cli->client, &request, NULL, err);
    if (r < 0)
        return r;
    if (!isatty(fileno(cli->out))) {
        fwrite(buffer_string(&console), 1, console.length, cli->out);
        return 0;
    }
    /* Lines end in \r\n on a console. */
    p = console.data;
    for (size_t i = 0; i < console.length; i++)
        if (p[i] && !(p[i] == '\r' && p[i + 1] == '\n'))
            p[n++] = p[i];
    if (p)
        p[n] = '\0';
    text_print_lines(cli->out, string_or(p, ""));
    return 0;
}

static int append_row(json_t *rows, const json_t *item, struct error *err)
{
    CLEANUP_JSON json_t *row = json_object();
    json_int_t boot = json_integer_value(json_object_get(item, "BootMs"));
    CLEANUP_FREE char *text =
        boot > 0 ? string_format("%" JSON_INTEGER_FORMAT, boot) : string_format("%s", "");

    if (!text ||
        json_put_string(row, "Engine",
                        string_or(json_string_value(json_object_get(item, "Engine")), "")) < 0 ||
        json_put_string(row, "Works", json_is_true(json_object_get(item, "Works")) ? "yes" : "no") <
            0 ||
        json_put_string(row, "Reason",
                        string_or(json_string_value(json_object_get(item, "Reason")), "")) < 0 ||
        json_put_string(row, "BootMs", text) < 0 || json_array_append(rows, row) < 0)
        return error_oom(err);
    return 0;
}

static int run_probe(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_JSON json_t *rows = json_array();
    const char *format = options_text(options, "format");
    json_t *item = NULL;
    size_t i = 0;
    int r = client_get(cli->client, "/hull/vm/probe", &answer, err);

    if (r < 0)
        return r;
    if (string_equal(format, "json"))
        return list_print(cli->out, format, columns, columns, answer, err);
    json_array_foreach (answer, i, item) {
        r = append_row(rows, item, err);
        if (r < 0)
            return r;
    }
    return list_print(cli->out, format, columns, columns, rows, err);
}

const struct command command_vm_console = {
    .name = "vm console",
    .usage = "CONTAINER",
    .summary = "Print what the kernel of a container's virtual machine wrote on its console",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_console,
};

const struct command command_vm_probe = {
    .name = "vm probe",
    .usage = "[OPTIONS]",
    .summary = "Try which engines can run a virtual machine here, and say why the others cannot",
    .options = probe_options,
    .max_arguments = 0,
    .run = run_probe,
};
