#include "cli/table.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/template.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

enum { CELL_MIN = 10, CELL_GAP = 3, CELL_MAX = 1024 * 1024 };

static void print_cell(FILE *out, const char *text, size_t width, bool is_last)
{
    size_t have = text_width(text);

    fputs(text, out);
    if (!is_last)
        fprintf(out, "%*s", (int)(width > have ? width - have : 0), "");
}

/* Lines of cells; the cells are already printable. */
static void print_grid(FILE *out, char *const *cells, size_t n_columns, size_t n_lines)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};

    for (size_t i = 0; i < n_columns * n_lines; i++) {
        size_t width = text_width(cells[i]) + CELL_GAP;

        width = width < CELL_MIN ? CELL_MIN : width;
        if (width > widths[i % n_columns])
            widths[i % n_columns] = width;
    }
    for (size_t i = 0; i < n_columns * n_lines; i++) {
        bool is_last = i % n_columns == n_columns - 1;

        print_cell(out, cells[i], widths[i % n_columns], is_last);
        if (is_last)
            fputc('\n', out);
    }
}

static int append_escaped(char ***cells, const char *text)
{
    CLEANUP(buffer_release) struct buffer cell = BUFFER_INIT(CELL_MAX);

    (void)text_escape(&cell, text);
    return strv_append(cells, buffer_string(&cell));
}

void table_print(FILE *out, const struct table_column *columns, const json_t *rows)
{
    CLEANUP_STRV char **cells = NULL;
    json_t *row = NULL;
    size_t n_columns = 0;
    size_t i = 0;

    for (; columns[n_columns].header && n_columns < TABLE_COLUMNS_MAX; n_columns++)
        if (append_escaped(&cells, columns[n_columns].header) < 0)
            return;
    json_array_foreach (rows, i, row) {
        for (size_t c = 0; c < n_columns; c++) {
            const char *text = json_string_value(json_object_get(row, columns[c].field));

            if (append_escaped(&cells, string_or(text, "")) < 0)
                return;
        }
    }
    print_grid(out, cells, n_columns, json_array_size(rows) + 1);
}

void list_print_field(FILE *out, const json_t *rows, const char *field)
{
    json_t *row = NULL;
    size_t i = 0;

    json_array_foreach (rows, i, row) {
        text_print(out, string_or(json_string_value(json_object_get(row, field)), ""));
        fputc('\n', out);
    }
}

/* Splits a rendered line at its tabs into exactly n cells. */
static int append_split(char ***cells, const char *line, size_t n)
{
    CLEANUP_STRV char **parts = NULL;
    int r = strv_split(line, '\t', &parts);

    for (size_t i = 0; r >= 0 && i < n; i++)
        r = strv_append(cells, i < strv_length(parts) ? parts[i] : "");
    return r;
}

static int print_template_table(FILE *out, const char *template, const struct table_column *names,
                                const json_t *rows, struct error *err)
{
    CLEANUP_STRV char **cells = NULL;
    CLEANUP_JSON json_t *titles = json_object();
    CLEANUP_FREE char *header = NULL;
    json_t *row = NULL;
    size_t n_columns = 1;
    size_t i = 0;
    int r = 0;

    for (; names->header; names++)
        json_put_string(titles, names->field, names->header);
    r = template_render(template, titles, &header, err);
    if (r < 0)
        return r;
    for (const char *p = header; *p; p++)
        n_columns += *p == '\t';
    if (n_columns > TABLE_COLUMNS_MAX)
        return error_set_class(err, ERROR_INVALID, "the table has too many columns");
    if (append_split(&cells, header, n_columns) < 0)
        return error_oom(err);
    json_array_foreach (rows, i, row) {
        CLEANUP_FREE char *line = NULL;

        r = template_render(template, row, &line, err);
        if (r < 0)
            return r;
        if (append_split(&cells, line, n_columns) < 0)
            return error_oom(err);
    }
    print_grid(out, cells, n_columns, json_array_size(rows) + 1);
    return 0;
}

int list_print(FILE *out, const char *format, const struct table_column *columns,
               const struct table_column *names, const json_t *rows, struct error *err)
{
    static const char table_prefix[] = "table ";
    json_t *row = NULL;
    size_t i = 0;

    if (string_is_empty(format) || string_equal(format, "table")) {
        table_print(out, columns, rows);
        return 0;
    }
    if (string_starts_with(format, table_prefix))
        return print_template_table(out, format + sizeof(table_prefix) - 1, names, rows, err);
    json_array_foreach (rows, i, row) {
        int r = template_print(out, format, row, err);
        if (r < 0)
            return r;
    }
    return 0;
}
