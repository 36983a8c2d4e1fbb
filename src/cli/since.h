/* Points in time on the command line: --since and --until. */
#ifndef HULL_CLI_SINCE_H
#define HULL_CLI_SINCE_H

struct error;
struct query;

/* Adds name=SECONDS.NANOSECONDS for a time stamp or a duration back from now ("10m"); NULL adds
 * nothing. */
int since_to_query(struct query *query, const char *name, const char *text, struct error *err);

#endif
