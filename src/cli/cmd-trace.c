/* vm trace (hull's own, not docker's). */
#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/table.h"

#include <errno.h>

static const struct cli_option trace_options[] = {
    {.name = "format",
     .type = OPTION_STRING,
     .help = "'table' (default), 'json' (times in microseconds), 'table TEMPLATE' or 'TEMPLATE' "
             "(text with {{.Phase}} and the like)"},
    {.name = NULL},
};

static const struct table_column columns[] = {
    {"Part", "Part"}, {"Phase", "Phase"}, {"Where", "Where"}, {"Ms", "Ms"},
    {"At", "At"},     {"What", "What"},   {NULL, NULL},
};

/* Right-aligned, so that the eye can compare. */
static int put_ms(json_t *row, const char *name, const json_t *microseconds)
{
    json_int_t us = json_integer_value(microseconds);
    CLEANUP_FREE char *text = string_format("%6" JSON_INTEGER_FORMAT ".%03d", us / 1000,
                                            (int)(us % 1000 < 0 ? 0 : us % 1000));

    return text ? json_put_string(row, name, text) : -ENOMEM;
}

static int append_row(json_t *rows, const json_t *phase)
{
    static const char *const texts[] = {"Part", "Phase", "Where", "What"};
    json_t *row = json_object();

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (json_put_string(row, texts[i],
                            string_or(json_string_value(json_object_get(phase, texts[i])), "")) < 0)
            goto fail;
    if (put_ms(row, "Ms", json_object_get(phase, "Microseconds")) < 0 ||
        put_ms(row, "At", json_object_get(phase, "At")) < 0)
        goto fail;
    return json_array_append_new(rows, row);
fail:
    json_decref(row);
    return -ENOMEM;
}

static int run_trace(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_JSON json_t *rows = json_array();
    const char *format = options_text(options, "format");
    json_t *phase;
    size_t i;
    int r;

    query_path(&query, "/hull/vm/%s/trace", options->arguments[0]);
    r = client_get(cli->client, query_text(&query), &answer, err);
    if (r < 0)
        return r;
    if (string_equal(format, "json"))
        return list_print(cli->out, format, columns, columns, answer, err);
    json_array_foreach (answer, i, phase)
        if (append_row(rows, phase) < 0)
            return error_oom(err);
    return list_print(cli->out, format, columns, columns, rows, err);
}

const struct command command_vm_trace = {
    .name = "vm trace",
    .usage = "[OPTIONS] CONTAINER",
    .summary = "Print where the time of a container's last start, and of its end, went",
    .options = trace_options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_trace,
};
