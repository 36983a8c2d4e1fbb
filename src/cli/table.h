/* Lists: a table for people, one JSON object a line or a template for programs. */
#ifndef HULL_CLI_TABLE_H
#define HULL_CLI_TABLE_H

#include <jansson.h>
#include <stdio.h>

struct error;

enum { TABLE_COLUMNS_MAX = 16 };

/* A row of the list is a JSON object; a column shows one member of it. */
struct table_column {
    const char *header;
    const char *field;
};

/* Prints as docker's tables are: at least 10 wide, three blanks between. `columns` ends with a
 * NULL header, at most TABLE_COLUMNS_MAX. Cells are escaped (text.h). */
void table_print(FILE *out, const struct table_column *columns, const json_t *rows);

/* Prints `rows` (an array of objects) as --format says: NULL, "" or "table": the table of
 * `columns`; "json": a line each; "table TEMPLATE"; "TEMPLATE" (template.h). `names` are all the
 * columns that a "table TEMPLATE" may show, for its header. */
int list_print(FILE *out, const char *format, const struct table_column *columns,
               const struct table_column *names, const json_t *rows, struct error *err);

/* Prints the member `field` of each row, a line each (-q). */
void list_print_field(FILE *out, const json_t *rows, const char *field);

#endif
