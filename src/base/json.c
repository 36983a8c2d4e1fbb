#include "base/json.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"

void json_cleanup(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

struct measure {
    size_t elements;
    int depth; /* of the deepest part */
};

/* Nesting and number of values are measured before jansson sees the text, because its own limit of
 * depth is far above ours and it has none of number. Each value but the outermost follows a comma
 * or is the first behind a bracket, so the count is never too low; that of a text that is no JSON
 * does not matter. What is inside strings does not count. */
static struct measure measure(const char *text, size_t length)
{
    struct measure found = {.elements = 1};
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < length; i++) {
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = false;
        } else if (text[i] == '"') {
            in_string = true;
        } else if (text[i] == ',') {
            found.elements++;
        } else if (text[i] == '[' || text[i] == '{') {
            found.elements++;
            if (++depth > found.depth)
                found.depth = depth;
        } else if (text[i] == ']' || text[i] == '}') {
            depth--;
        }
    }
    return found;
}

int json_parse(const char *text, size_t length, json_t **ret, struct error *err)
{
    return json_parse_limited(text, length, JSON_ELEMENTS_MAX, ret, err);
}

int json_parse_limited(const char *text, size_t length, size_t elements, json_t **ret,
                       struct error *err)
{
    json_error_t problem;
    struct measure found;
    json_t *json;

    if (length > JSON_DOCUMENT_MAX)
        return error_set_class(err, ERROR_TOO_LARGE,
                               "JSON document of %zu bytes is larger than the maximum of %d",
                               length, JSON_DOCUMENT_MAX);
    found = measure(text, length);
    if (found.depth > JSON_DEPTH_MAX)
        return error_set_class(err, ERROR_TOO_LARGE,
                               "JSON document is nested deeper than the maximum of %d",
                               JSON_DEPTH_MAX);
    if (found.elements > elements)
        return error_set_class(err, ERROR_TOO_LARGE,
                               "JSON document has more than the maximum of %zu elements", elements);
    json = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (!json && json_error_code(&problem) == json_error_out_of_memory)
        return error_oom(err);
    if (!json) {
        /* jansson quotes the document, which may be credentials, and errors are logged. */
        char *quoted = strstr(problem.text, " near '");
        if (quoted)
            *quoted = '\0';
        return error_set_class(err, ERROR_INVALID, "invalid JSON at line %d column %d: %s",
                               problem.line, problem.column, problem.text);
    }
    *ret = json;
    return 0;
}

char *json_format(const json_t *json)
{
    return json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
}

char *json_format_pretty(const json_t *json)
{
    return json_dumps(json, JSON_INDENT(4) | JSON_ENCODE_ANY);
}

/* Looks a member up: 0 absent or null, 1 found, -EINVAL when `object` is no object. */
static int find(const json_t *object, const char *name, json_t **ret, struct error *err)
{
    json_t *value;

    if (!object)
        return 0;
    if (!json_is_object(object))
        return error_set_class(err, ERROR_INVALID, "an object with a member '%s' is expected",
                               name);
    value = json_object_get(object, name);
    if (!value || json_is_null(value))
        return 0;
    *ret = value;
    return 1;
}

static int wrong_type(struct error *err, const char *name, const char *wanted)
{
    return error_set_class(err, ERROR_INVALID, "'%s' must be %s", name, wanted);
}

int json_get_string(const json_t *object, const char *name, const char **ret, struct error *err)
{
    json_t *value = NULL;
    int r = find(object, name, &value, err);

    if (r <= 0)
        return r;
    if (!json_is_string(value))
        return wrong_type(err, name, "a string");
    *ret = json_string_value(value);
    return 1;
}

int json_get_bool(const json_t *object, const char *name, bool *ret, struct error *err)
{
    json_t *value = NULL;
    int r = find(object, name, &value, err);

    if (r <= 0)
        return r;
    if (!json_is_boolean(value))
        return wrong_type(err, name, "true or false");
    *ret = json_is_true(value);
    return 1;
}

int json_get_i64(const json_t *object, const char *name, int64_t *ret, struct error *err)
{
    json_t *value = NULL;
    int r = find(object, name, &value, err);

    if (r <= 0)
        return r;
    if (!json_is_integer(value))
        return wrong_type(err, name, "an integer");
    *ret = json_integer_value(value);
    return 1;
}

int json_get_int(const json_t *object, const char *name, int min, int max, int *ret,
                 struct error *err)
{
    int64_t value;
    int r = json_get_i64(object, name, &value, err);

    if (r <= 0)
        return r;
    if (value < min || value > max)
        return error_set_class(err, ERROR_INVALID, "'%s' must be between %d and %d", name, min,
                               max);
    *ret = (int)value;
    return 1;
}

int json_get_object(const json_t *object, const char *name, json_t **ret, struct error *err)
{
    json_t *value = NULL;
    int r = find(object, name, &value, err);

    if (r <= 0)
        return r;
    if (!json_is_object(value))
        return wrong_type(err, name, "an object");
    *ret = value;
    return 1;
}

int json_get_array(const json_t *object, const char *name, json_t **ret, struct error *err)
{
    json_t *value = NULL;
    int r = find(object, name, &value, err);

    if (r <= 0)
        return r;
    if (!json_is_array(value))
        return wrong_type(err, name, "an array");
    *ret = value;
    return 1;
}

int json_get_strv(const json_t *object, const char *name, size_t max, char ***ret,
                  struct error *err)
{
    CLEANUP_STRV char **strv = NULL;
    json_t *array = NULL;
    size_t n;
    int r = find(object, name, &array, err);

    if (r <= 0)
        return r;
    if (!json_is_array(array))
        return wrong_type(err, name, "an array of strings");
    n = json_array_size(array);
    if (n > max) {
        error_set(err, -E2BIG, "'%s' has %zu elements, more than the maximum of %zu", name, n, max);
        return error_classify(err, -E2BIG, ERROR_INVALID);
    }
    strv = calloc(n + 1, sizeof(*strv));
    if (!strv)
        return error_oom(err);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(array, i));

        if (!text)
            return wrong_type(err, name, "an array of strings");
        strv[i] = strdup(text);
        if (!strv[i])
            return error_oom(err);
    }
    *ret = TAKE_PTR(strv);
    return 1;
}

int json_need_string(const json_t *object, const char *name, const char **ret, struct error *err)
{
    int r = json_get_string(object, name, ret, err);

    if (r == 0)
        return error_set_class(err, ERROR_INVALID, "'%s' is missing", name);
    return r < 0 ? r : 0;
}

int json_need_i64(const json_t *object, const char *name, int64_t *ret, struct error *err)
{
    int r = json_get_i64(object, name, ret, err);

    if (r == 0)
        return error_set_class(err, ERROR_INVALID, "'%s' is missing", name);
    return r < 0 ? r : 0;
}

/* Length of the well-formed UTF-8 sequence at `c` (RFC 3629: no overlong forms, no surrogates,
 * nothing above U+10FFFF), 0 when there is none. */
static size_t utf8_length(const unsigned char *c)
{
    if (c[0] < 0x80)
        return 1;
    if (c[0] < 0xc2 || c[0] > 0xf4 || (c[1] & 0xc0) != 0x80)
        return 0;
    if (c[0] < 0xe0)
        return 2;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f) || (c[2] & 0xc0) != 0x80)
        return 0;
    if (c[0] < 0xf0)
        return 3;
    return (c[3] & 0xc0) == 0x80 ? 4 : 0;
}

/* A malloc'd copy with each byte that is not UTF-8 replaced by U+FFFD. File names, environments
 * and error texts are bytes; jansson refuses what is not UTF-8, and a member that silently failed
 * would make a whole answer fail. Go's encoder, hence docker, does the same. */
static char *utf8_repair(const char *text)
{
    char *copy = calloc(strlen(text) + 1, 3);
    char *out = copy;
    const unsigned char *c = (const unsigned char *)text;

    while (copy && *c) {
        size_t n = utf8_length(c);

        out = n ? mempcpy(out, c, n) : mempcpy(out, "\xef\xbf\xbd", 3);
        c += n ? n : 1;
    }
    return copy;
}

static json_t *string_value(const char *text)
{
    CLEANUP_FREE char *repaired = NULL;
    json_t *value = json_string(text);

    if (value)
        return value;
    repaired = utf8_repair(text);
    return repaired ? json_string(repaired) : NULL;
}

int json_put(json_t *object, const char *name, json_t *value)
{
    CLEANUP_FREE char *repaired = NULL;

    if (!json_is_object(object)) {
        json_decref(value);
        return -EINVAL;
    }
    repaired = utf8_repair(name);
    if (!value || !repaired) {
        json_decref(value);
        return -ENOMEM;
    }
    return json_object_set_new_nocheck(object, repaired, value) < 0 ? -ENOMEM : 0;
}

int json_put_string(json_t *object, const char *name, const char *value)
{
    return value ? json_put(object, name, string_value(value)) : 0;
}

int json_put_strv(json_t *object, const char *name, char *const *value)
{
    return value ? json_put(object, name, json_from_strv(value)) : 0;
}

int json_put_i64(json_t *object, const char *name, int64_t value)
{
    return json_put(object, name, json_integer(value));
}

int json_put_bool(json_t *object, const char *name, bool value)
{
    return json_put(object, name, json_boolean(value));
}

json_t *json_from_strv(char *const *strv)
{
    CLEANUP_JSON json_t *array = json_array();

    for (; array && strv && *strv; strv++)
        if (json_array_append_new(array, string_value(*strv)) < 0)
            return NULL;
    return TAKE_PTR(array);
}
