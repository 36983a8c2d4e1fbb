/* The stream of progress messages that pull, load and import answer with: one JSON object after the
 * other, {"id","status","progressDetail":{"current","total"},"stream","error"}.
 *
 * On a terminal each id has a line of its own that is rewritten; elsewhere only changes of status
 * are printed, and no bars. */
#ifndef HULL_CLI_PROGRESS_H
#define HULL_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct error;
struct progress;

enum {
    PROGRESS_LINES_MAX = 256, /* ids with a line on a terminal; more get lines in sequence */
    PROGRESS_MESSAGE_MAX = 1024 * 1024, /* bytes of one message */
};

/* out NULL: prints nothing, errors are still found (-q). */
int progress_new(FILE *out, bool is_terminal, struct progress **ret, struct error *err);
struct progress *progress_free(struct progress *progress);

/* A client_receiver; data is the struct progress. An error message in the stream ends it. */
int progress_receive(void *data, const char *bytes, size_t length, struct error *err);
/* After the end of the stream: a message cut short is an error. */
int progress_finish(struct progress *progress, struct error *err);

#endif
