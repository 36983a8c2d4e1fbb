/* Text that a stranger chose, on its way to a terminal: control characters are written as \xNN,
 * and so are bytes that are not UTF-8. */
#ifndef HULL_CLI_TEXT_H
#define HULL_CLI_TEXT_H

#include <stddef.h>
#include <stdio.h>

struct buffer;

/* Appends the printable form; 0 or a negative code of the buffer. The second keeps \n and \t. */
int text_escape(struct buffer *buffer, const char *text);
int text_escape_lines(struct buffer *buffer, const char *text);

/* Characters of a text that is UTF-8 (each counts as one column). */
size_t text_width(const char *text);

void text_print(FILE *out, const char *text);
void text_print_lines(FILE *out, const char *text);

/* The first `max` characters, the last of them being an ellipsis when text was cut. malloc'd. */
char *text_ellipsis(const char *text, size_t max);

/* The text in double quotes with ", \ and control characters escaped. malloc'd. */
char *text_quote(const char *text);

#endif
