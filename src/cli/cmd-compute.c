/* compute ls and compute kill: what the containers run in (hull's own, not docker's). */
#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "cli/client.h"
#include "cli/container.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/table.h"

#include <string.h>

static const struct cli_option ls_options[] = {
    {.name = "format",
     .type = OPTION_STRING,
     .help =
         "'table' (default), 'json', 'table TEMPLATE' or 'TEMPLATE' (text with {{.Name}} and the "
         "like)"},
    {.name = "no-trunc", .type = OPTION_BOOL, .help = "Don't truncate output"},
    {.name = "output", .letter = 'o', .type = OPTION_STRING, .help = "'wide': all columns"},
    {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .help = "Only display IDs"},
    {.name = NULL},
};

/* The first four are the usual table. */
static const struct table_column wide[] = {
    {"Id", "Id"},
    {"Name", "Name"},
    {"Owner", "Owner"},
    {"Type", "Type"},
    {"Isolation", "Isolation"},
    {"Engine", "Engine"},
    {"WorkerPid", "WorkerPid"},
    {"VmmPid", "VmmPid"},
    {"User", "User"},
    {"Memory", "Memory"},
    {"Uptime", "Uptime"},
    {NULL, NULL},
};
enum { N_NARROW = 4 };

static int put_text(json_t *row, const json_t *item, const char *name)
{
    return json_put_string(row, name,
                           string_or(json_string_value(json_object_get(item, name)), ""));
}

/* A pid, or nothing for a process that there is not. */
static int put_pid(json_t *row, const json_t *item, const char *name)
{
    json_int_t pid = json_integer_value(json_object_get(item, name));
    CLEANUP_FREE char *text = pid > 0 ? string_format("%" JSON_INTEGER_FORMAT, pid) : strdup("");

    return text ? json_put_string(row, name, text) : -ENOMEM;
}

static int put_memory(json_t *row, const json_t *item)
{
    double bytes = json_number_value(json_object_get(item, "Memory"));
    char text[FORMAT_MAX];

    return json_put_string(row, "Memory", bytes > 0 ? format_binary_size(bytes, text) : "");
}

static int put_uptime(json_t *row, const json_t *item)
{
    const char *started = json_string_value(json_object_get(item, "Started"));
    char text[FORMAT_MAX] = "";
    int64_t when = 0;

    if (started && timestamp_parse(started, &when) >= 0 && when > 0)
        timestamp_human_duration(timestamp_now() - when, text, sizeof(text));
    return json_put_string(row, "Uptime", text);
}

static int append_row(json_t *rows, const json_t *item, bool truncate, struct error *err)
{
    CLEANUP_JSON json_t *row = json_object();
    const char *full = string_or(json_string_value(json_object_get(item, "Id")), "");
    char id[FORMAT_MAX];

    if (json_put_string(row, "Id", truncate ? format_short_id(full, id) : full) < 0 ||
        put_text(row, item, "Name") < 0 || put_text(row, item, "Owner") < 0 ||
        put_text(row, item, "Type") < 0 || put_text(row, item, "Isolation") < 0 ||
        put_text(row, item, "Engine") < 0 || put_pid(row, item, "WorkerPid") < 0 ||
        put_pid(row, item, "VmmPid") < 0 || put_text(row, item, "User") < 0 ||
        put_memory(row, item) < 0 || put_text(row, item, "Started") < 0 ||
        put_uptime(row, item) < 0 || json_array_append(rows, row) < 0)
        return error_oom(err);
    return 0;
}

static int run_ls(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_JSON json_t *rows = json_array();
    struct table_column narrow[N_NARROW + 1];
    const char *output = options_text(options, "output");
    const char *format = options_text(options, "format");
    json_t *item = NULL;
    size_t i = 0;
    int r = 0;

    if (!string_is_empty(output) && !string_equal(output, "wide"))
        return error_set_class(err, ERROR_INVALID, "--output takes 'wide', not '%s'", output);
    r = client_get(cli->client, "/hull/compute", &answer, err);
    if (r < 0)
        return r;
    if (string_equal(format, "json")) {
        /* what the engine said, numbers as numbers */
        return list_print(cli->out, format, wide, wide, answer, err);
    }
    json_array_foreach (answer, i, item) {
        r = append_row(rows, item, !options_flag(options, "no-trunc"), err);
        if (r < 0)
            return r;
    }
    if (options_flag(options, "quiet") && string_is_empty(format)) {
        list_print_field(cli->out, rows, "Id");
        return 0;
    }
    memcpy(narrow, wide, N_NARROW * sizeof(narrow[0]));
    narrow[N_NARROW] = (struct table_column){NULL, NULL};
    return list_print(cli->out, format, string_equal(output, "wide") ? wide : narrow, wide, rows,
                      err);
}

static int kill_one(struct cli *cli, const struct options *options, const char *name,
                    struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;

    (void)options;
    query_path(&query, "/hull/compute/%s/kill", name);
    return client_post(cli->client, query_text(&query), NULL, NULL, err);
}

static int run_kill(struct cli *cli, const struct options *options, struct error *err)
{
    (void)err;
    return container_each(cli, options, kill_one);
}

const struct command command_compute_ls = {
    .name = "compute ls",
    .aliases = "compute list",
    .usage = "[OPTIONS]",
    .summary = "List the workers and virtual machines that containers run in",
    .options = ls_options,
    .max_arguments = 0,
    .run = run_ls,
};

const struct command command_compute_kill = {
    .name = "compute kill",
    .usage = "ID [ID...]",
    .summary = "End workers or virtual machines at once",
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_kill,
};
