/* Request targets: path and query with everything foreign percent-encoded (RFC 3986, 2.3). */
#ifndef HULL_CLI_QUERY_H
#define HULL_CLI_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum { QUERY_MAX = 64 * 1024 };

/* Errors (out of memory, too long) are remembered; query_text() then gives NULL. */
struct query {
    struct buffer text;
    bool has_member;
    bool failed;
};

/* CLEANUP(query_release) struct query q = QUERY_INIT; */
#define QUERY_INIT                     \
    {                                  \
        .text = BUFFER_INIT(QUERY_MAX) \
    }

/* Starts over with a path made from `format`, in which each %s is one path segment, encoded ('/'
 * stays, as image names contain it). No other conversion is allowed. */
void query_path(struct query *query, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add "name=value". A NULL value adds nothing. */
void query_add(struct query *query, const char *name, const char *value);
void query_add_flag(struct query *query, const char *name, bool flag); /* "=1" when true */
void query_add_number(struct query *query, const char *name, int64_t value);

/* The target, borrowed; NULL after an error. */
const char *query_text(const struct query *query);
void query_release(struct query *query);

#endif
