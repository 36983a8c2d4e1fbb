#include "compute/exit_record.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_SIZE_MAX = 16 * 1024 };

#define RECORD_NAME "exit.json"

int exit_record_write(const char *directory, const struct exit_record *record, struct error *err)
{
    CLEANUP_FREE char *path = path_join(directory, RECORD_NAME);
    CLEANUP_JSON json_t *json =
        json_pack("{s:i,s:b,s:I,s:I}", "code", record->code, "oom", record->oom_killed, "started",
                  (json_int_t)record->started, "finished", (json_int_t)record->finished);

    if (!path || !json || json_put_string(json, "reason", record->reason) < 0)
        return error_oom(err);
    CLEANUP_FREE char *text = json_format(json);
    if (!text)
        return error_oom(err);
    return file_replace(AT_FDCWD, path, text, strlen(text), 0600, err);
}

int exit_record_read(const char *directory, struct exit_record *ret, struct error *err)
{
    CLEANUP_FREE char *path = path_join(directory, RECORD_NAME);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(RECORD_SIZE_MAX);
    CLEANUP_JSON json_t *json = NULL;
    struct exit_record record = {.code = 0};
    const char *reason = "";
    int r;

    if (!path)
        return error_oom(err);
    if ((r = file_read(AT_FDCWD, path, &text, err)) < 0)
        return r;
    if ((r = json_parse(buffer_string(&text), text.length, &json, err)) < 0 ||
        (r = json_get_int(json, "code", 0, 255, &record.code, err)) < 0 ||
        (r = json_get_bool(json, "oom", &record.oom_killed, err)) < 0 ||
        (r = json_get_i64(json, "started", &record.started, err)) < 0 ||
        (r = json_get_i64(json, "finished", &record.finished, err)) < 0 ||
        (r = json_get_string(json, "reason", &reason, err)) < 0)
        return error_wrap(err, r, "%s", path);
    (void)string_copy(record.reason, sizeof(record.reason), reason);
    *ret = record;
    return 0;
}

int exit_record_remove(const char *directory)
{
    CLEANUP_FREE char *path = path_join(directory, RECORD_NAME);

    if (!path)
        return -ENOMEM;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}
