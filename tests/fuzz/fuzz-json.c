/* json_parse() and what reads its result: a document that is accepted is within the limits, and its
 * text is accepted again. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/strings.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS_MAX = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const json_t *json, int depth)
{
    size_t n = 1;
    size_t i;
    const char *key;
    json_t *value;

    if (depth > JSON_DEPTH_MAX)
        abort();
    if (json_is_array(json)) {
        json_array_foreach (json, i, value)
            n += count(value, depth + 1);
    } else if (json_is_object(json)) {
        json_object_foreach ((json_t *)(uintptr_t)json, key, value)
            n += count(value, depth + 1);
    }
    return n;
}

static void read_members(const json_t *json)
{
    CLEANUP_STRV char **strv = NULL;
    const char *text;
    json_t *part;
    int64_t number;
    bool flag;

    (void)json_get_string(json, "s", &text, NULL);
    (void)json_get_i64(json, "i", &number, NULL);
    (void)json_get_bool(json, "b", &flag, NULL);
    (void)json_get_object(json, "o", &part, NULL);
    (void)json_get_array(json, "a", &part, NULL);
    (void)json_get_strv(json, "a", 16, &strv, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_JSON json_t *json = NULL;
    CLEANUP_JSON json_t *again = NULL;
    CLEANUP_FREE char *text = NULL;

    if (json_parse_limited((const char *)data, size, ELEMENTS_MAX, &json, NULL) < 0)
        return 0;
    if (count(json, 0) > ELEMENTS_MAX)
        abort();
    read_members(json);
    text = json_format(json);
    if (!text || json_parse(text, strlen(text), &again, NULL) < 0 || !json_equal(json, again))
        abort();
    return 0;
}
