#include "engine/archive_answer.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"

enum { NAME_LENGTH_MAX = 255, TIME_LENGTH_MAX = 64 };

/* A guest said it: what goes on to the client is made anew of what was asked for. */
int archive_answer_stat(const json_t *answer, json_t **ret, const char **ret_resolved,
                        struct error *err)
{
    const char *name = NULL;
    const char *mtime = NULL;
    const char *target = NULL;
    int64_t size = -1;
    int64_t mode = -1;
    if (json_get_string(answer, "name", &name, NULL) <= 0 ||
        json_get_string(answer, "mtime", &mtime, NULL) <= 0 ||
        json_get_string(answer, "linkTarget", &target, NULL) <= 0 ||
        json_get_string(answer, "resolved", ret_resolved, NULL) <= 0 ||
        json_get_i64(answer, "size", &size, NULL) <= 0 ||
        json_get_i64(answer, "mode", &mode, NULL) <= 0 || strlen(name) > NAME_LENGTH_MAX ||
        (strchr(name, '/') && !string_equal(name, "/")) || strlen(mtime) > TIME_LENGTH_MAX ||
        strlen(target) >= PATH_MAX || strlen(*ret_resolved) >= PATH_MAX || size < 0 || mode < 0 ||
        mode > UINT32_MAX || **ret_resolved != '/')
        return error_set(err, -EPROTO, "the container's agent gave a wrong answer about a file");
    json_t *stat = json_pack("{s:s, s:I, s:I, s:s, s:s}", "name", name, "size", (json_int_t)size,
                             "mode", (json_int_t)mode, "mtime", mtime, "linkTarget", target);
    if (!stat)
        return error_oom(err);
    *ret = stat;
    return 0;
}

static int wrong_list(struct error *err)
{
    return error_set(err, -EPROTO, "the container's agent gave a wrong list of changes");
}

static int too_long(struct error *err)
{
    return error_set(err, -E2BIG, "the container has changed too much to list it");
}

static int add_change(struct buffer *text, const char *record, const char *separator,
                      struct error *err)
{
    CLEANUP_JSON json_t *change = json_object();

    if (record[0] < '0' || record[0] > '2' || record[1] != '/')
        return wrong_list(err);
    if (json_put_string(change, "Path", record + 1) < 0 ||
        json_put_i64(change, "Kind", record[0] - '0') < 0)
        return error_oom(err);
    CLEANUP_FREE char *line = json_format(change);
    if (!line)
        return error_oom(err);
    return buffer_printf(text, "%s%s", separator, line) < 0 ? too_long(err) : 0;
}

int archive_answer_changes(const struct buffer *records, struct buffer *ret, struct error *err)
{
    size_t at = 0;
    int r = buffer_append_string(ret, "[");

    while (r >= 0 && at < records->length) {
        const char *record = (const char *)records->data + at;
        size_t length = strnlen(record, records->length - at);

        if (at + length == records->length)
            return wrong_list(err);
        r = add_change(ret, record, at > 0 ? "," : "", err);
        if (r < 0)
            return r;
        at += length + 1;
    }
    return r < 0 || buffer_append_string(ret, "]\n") < 0 ? too_long(err) : 0;
}
