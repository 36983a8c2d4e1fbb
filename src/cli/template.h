/* The small part of Go's text/template that --format needs: text with {{.Member.Member}},
 * {{json .Member}}, {{lower .M}}, {{upper .M}}, {{len .M}}, {{index .M "key"}} and {{.}}. In the
 * text \t and \n stand for a tab and a new line. Anything else between the braces is an error that
 * says so. */
#ifndef HULL_CLI_TEMPLATE_H
#define HULL_CLI_TEMPLATE_H

#include <jansson.h>
#include <stdio.h>

struct error;

enum { TEMPLATE_OUTPUT_MAX = 16 * 1024 * 1024, TEMPLATE_PATH_MAX = 256 };

/* *ret is malloc'd, printable (text.h). -EINVAL for what is no template, or names a member of
 * something that has none. */
int template_render(const char *template, const json_t *value, char **ret, struct error *err);

/* "json" prints the value as a line of JSON, everything else is a template; a new line follows. */
int template_print(FILE *out, const char *format, const json_t *value, struct error *err);

#endif
