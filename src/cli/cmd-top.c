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
#include "cli/text.h"

enum { TOP_CELL_MIN = 20, TOP_GAP = 3, TOP_COLUMNS_MAX = 64, TOP_CELL_MAX = 256 * 1024 };

static char *cell_text(const json_t *cell)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(TOP_CELL_MAX);

    (void)text_escape(&text, string_or(json_string_value(cell), ""));
    return buffer_take(&text);
}

static void measure(const json_t *row, size_t widths[TOP_COLUMNS_MAX])
{
    json_t *cell = NULL;
    size_t i = 0;

    json_array_foreach (row, i, cell) {
        CLEANUP_FREE char *text = cell_text(cell);
        size_t width = text_width(string_or(text, "")) + TOP_GAP;

        if (i < TOP_COLUMNS_MAX && width > widths[i])
            widths[i] = width;
    }
}

static void print_row(FILE *out, const json_t *row, const size_t widths[TOP_COLUMNS_MAX])
{
    json_t *cell = NULL;
    size_t i = 0;

    json_array_foreach (row, i, cell) {
        CLEANUP_FREE char *text = cell_text(cell);
        size_t have = text_width(string_or(text, ""));
        bool is_last = i + 1 == json_array_size(row) || i + 1 >= TOP_COLUMNS_MAX;

        fputs(string_or(text, ""), out);
        if (!is_last)
            fprintf(out, "%*s", (int)(widths[i] > have ? widths[i] - have : 0), "");
        else
            break;
    }
    fputc('\n', out);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_FREE char *ps = NULL;
    size_t widths[TOP_COLUMNS_MAX];
    json_t *titles = NULL;
    json_t *rows = NULL;
    json_t *row = NULL;
    size_t i = 0;
    int r = 0;

    query_path(&query, "/containers/%s/top", options->arguments[0]);
    if (options->arguments[1]) {
        ps = strv_join(options->arguments + 1, " ");
        if (!ps)
            return error_oom(err);
        query_add(&query, "ps_args", ps);
    }
    r = client_get(cli->client, query_text(&query), &answer, err);
    if (r >= 0)
        r = json_get_array(answer, "Titles", &titles, err);
    if (r >= 0)
        r = json_get_array(answer, "Processes", &rows, err);
    if (r < 0)
        return r;
    for (i = 0; i < TOP_COLUMNS_MAX; i++)
        widths[i] = TOP_CELL_MIN;
    measure(titles, widths);
    json_array_foreach (rows, i, row)
        measure(row, widths);
    print_row(cli->out, titles, widths);
    json_array_foreach (rows, i, row)
        print_row(cli->out, row, widths);
    return 0;
}

static const struct cli_option options_table[] = {{.name = NULL}};

const struct command command_top = {
    .name = "top",
    .aliases = "container top",
    .usage = "CONTAINER [ps OPTIONS]",
    .summary = "Display the running processes of a container",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .flags = COMMAND_OPTIONS_FIRST | COMMAND_PASS_UNKNOWN,
    .run = run,
};
