/* What an agent says about files, checked: in a utility VM it may say anything. Private to engine/.
 */
#ifndef HULL_ENGINE_ARCHIVE_ANSWER_H
#define HULL_ENGINE_ARCHIVE_ANSWER_H

#include <jansson.h>

struct buffer;
struct error;

/* The answer to `stat-path` as docker's ContainerPathStat, made anew (new reference), and where the
 * path leads (borrowed from the answer). -EPROTO. */
int archive_answer_stat(const json_t *answer, json_t **ret, const char **ret_resolved,
                        struct error *err);

enum {
    ARCHIVE_RECORDS_MAX = 64 * 1024 * 1024, /* bytes of `changes`: a million of them */
    ARCHIVE_CHANGES_MAX = 256 * 1024 * 1024,
};

/* The records of `changes` as JSON text, [{"Path", "Kind"}], appended to `ret` (whose maximum is
 * ARCHIVE_CHANGES_MAX): as a tree of values it would take ten times the memory. -EPROTO, -E2BIG. */
int archive_answer_changes(const struct buffer *records, struct buffer *ret, struct error *err);

#endif
