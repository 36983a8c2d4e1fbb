/* The user's terminal: size, and raw mode that is given back on every way out. */
#ifndef HULL_CLI_TERMINAL_H
#define HULL_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

struct error;

/* Columns of the terminal behind `file`, or `otherwise`. */
size_t terminal_width(FILE *file, size_t otherwise);
/* Rows and columns of `fd`; false when it is no terminal or has no size. */
bool terminal_size(int fd, unsigned *ret_rows, unsigned *ret_columns);

/* Puts the terminal behind `fd` into raw mode (cfmakeraw(3)). The old mode comes back with
 * terminal_restore(), and by itself when the process exits. One terminal at a time. */
int terminal_make_raw(int fd, struct error *err);
/* Idempotent; safe in a signal handler. */
void terminal_restore(void);

#endif
