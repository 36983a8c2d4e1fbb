/* What an agent said about a file (first byte odd), or the list of what a container changed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "engine/archive_answer.h"

enum { CHANGES_MAX = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_stat(const char *text, size_t length)
{
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_JSON json_t *stat = NULL;
    const char *resolved = NULL;

    if (json_parse(text, length, &answer, NULL) < 0 ||
        archive_answer_stat(answer, &stat, &resolved, NULL) < 0)
        return;
    const char *name = json_string_value(json_object_get(stat, "name"));
    if (*resolved != '/' || !name || (strchr(name, '/') && strcmp(name, "/") != 0))
        abort();
}

static void read_changes(const char *text, size_t length)
{
    CLEANUP(buffer_release) struct buffer records = BUFFER_INIT(CHANGES_MAX);
    CLEANUP(buffer_release) struct buffer list = BUFFER_INIT(CHANGES_MAX);
    CLEANUP_JSON json_t *json = NULL;

    if (buffer_append(&records, text, length) < 0 ||
        archive_answer_changes(&records, &list, NULL) < 0)
        return;
    /* What goes to the client is a list, whatever the paths hold. */
    if (json_parse(buffer_string(&list), list.length, &json, NULL) < 0 || !json_is_array(json))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        read_stat((const char *)data + 1, size - 1);
    else
        read_changes((const char *)data + 1, size - 1);
    return 0;
}
