#include "cli/template.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int bad(struct error *err, const char *action, size_t length)
{
    int max = length < TEMPLATE_PATH_MAX ? (int)length : TEMPLATE_PATH_MAX;
    return error_set_class(
        err, ERROR_INVALID,
        "template parsing error: {{%.*s}} is none of {{.Member}}, {{json .Member}}, "
        "{{upper .Member}}, {{lower .Member}}, {{len .Member}}, "
        "{{index .Member \"key\"}}",
        max, action);
}

/* Follows ".A.B" from value. A member that is missing is an error, as in docker. */
static int follow(const char *path, const json_t *value, const json_t **ret, struct error *err)
{
    char name[TEMPLATE_PATH_MAX];
    const char *whole = path;

    if (*path != '.')
        return bad(err, path, strlen(path));
    while (*path == '.' && path[1]) {
        size_t length = strcspn(path + 1, ".");

        if (length == 0 || length >= sizeof(name))
            return bad(err, path, strlen(path));
        if (!json_is_object(value))
            return error_set_class(err, ERROR_INVALID,
                                   "template: can't evaluate field %.*s: the value is no object",
                                   (int)length, path + 1);
        memcpy(name, path + 1, length);
        name[length] = '\0';
        value = json_object_get(value, name);
        if (!value)
            return error_set_class(err, ERROR_INVALID,
                                   "template: executing \"\" at <%s>: map has no "
                                   "entry for key \"%s\"",
                                   whole, name);
        path += length + 1;
    }
    *ret = value;
    return 0;
}

/* As Go prints values: [a b], map[k:v]. */
static int append_value(struct buffer *out, const json_t *value, int depth)
{
    const char *name = NULL;
    json_t *member = NULL;
    json_t *writable = NULL;
    size_t i = 0;
    int r = 0;

    if (!value || depth > JSON_DEPTH_MAX)
        return buffer_append_string(out, "<no value>");
    switch (json_typeof(value)) {
    case JSON_STRING:
        return text_escape_lines(out, json_string_value(value));
    case JSON_INTEGER:
        return buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return buffer_printf(out, "%.17g", json_real_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return buffer_append_string(out, json_is_true(value) ? "true" : "false");
    case JSON_NULL:
        return buffer_append_string(out, "<nil>");
    case JSON_ARRAY:
        r = buffer_append_char(out, '[');
        json_array_foreach (value, i, member) {
            if (r == 0 && i > 0)
                r = buffer_append_char(out, ' ');
            if (r == 0)
                r = append_value(out, member, depth + 1);
        }
        return r < 0 ? r : buffer_append_char(out, ']');
    case JSON_OBJECT:
        break;
    }
    r = buffer_append_string(out, "map[");
    writable = json_incref((json_t *)(uintptr_t)value); /* jansson iterates over non-const only */
    json_object_foreach (writable, name, member) {
        if (r == 0 && i++ > 0)
            r = buffer_append_char(out, ' ');
        if (r == 0)
            r = text_escape(out, name);
        if (r == 0)
            r = buffer_append_char(out, ':');
        if (r == 0)
            r = append_value(out, member, depth + 1);
    }
    json_decref(writable);
    return r < 0 ? r : buffer_append_char(out, ']');
}

static int append_json(struct buffer *out, const json_t *value, struct error *err)
{
    CLEANUP_FREE char *text = value ? json_format(value) : strdup("null");

    if (!text)
        return error_oom(err);
    return buffer_append_string(out, text);
}

static int append_cased(struct buffer *out, const json_t *value, bool upper)
{
    size_t before = out->length;
    int r = append_value(out, value, 0);

    for (size_t i = before; i < out->length; i++)
        out->data[i] = (char)(upper ? toupper((unsigned char)out->data[i])
                                    : tolower((unsigned char)out->data[i]));
    return r;
}

static int append_length(struct buffer *out, const json_t *value)
{
    size_t length = json_is_string(value)  ? json_string_length(value)
                    : json_is_array(value) ? json_array_size(value)
                                           : json_object_size(value);
    return buffer_printf(out, "%zu", length);
}

/* {{index .Path "key"}} or a number. */
static int append_index(struct buffer *out, char *const *words, const json_t *root,
                        struct error *err)
{
    const json_t *value = NULL;
    const char *key = words[2];
    uint64_t i = 0;
    int r = follow(words[1], root, &value, err);

    if (r < 0)
        return r;
    if (json_is_array(value) && string_to_u64(key, &i) >= 0) {
        value = json_array_get(value, (size_t)i);
    } else if (key[0] == '"' && strlen(key) >= 2 && string_ends_with(key, "\"")) {
        CLEANUP_FREE char *name = strndup(key + 1, strlen(key) - 2);

        if (!name)
            return error_oom(err);
        value = json_object_get(value, name);
    } else {
        return bad(err, key, strlen(key));
    }
    return append_value(out, value, 0);
}

static int append_action(struct buffer *out, const char *action, size_t length, const json_t *root,
                         struct error *err)
{
    CLEANUP_STRV char **all = NULL;
    CLEANUP_STRV char **words = NULL;
    CLEANUP_FREE char *text = strndup(action, length);
    const json_t *value = NULL;
    size_t n = 0;
    int r = 0;

    if (!text || strv_split(text, ' ', &all) < 0)
        return error_oom(err);
    for (size_t i = 0; all && all[i]; i++)
        if (*all[i] && strv_append(&words, all[i]) < 0)
            return error_oom(err);
    n = strv_length(words);
    if (n == 3 && string_equal(words[0], "index"))
        return append_index(out, words, root, err);
    if (n < 1 || n > 2)
        return bad(err, action, length);
    r = follow(words[n - 1], root, &value, err);
    if (r < 0)
        return r;
    if (n == 1)
        return append_value(out, value, 0);
    if (string_equal(words[0], "json"))
        return append_json(out, value, err);
    if (string_equal(words[0], "upper") || string_equal(words[0], "lower"))
        return append_cased(out, value, words[0][0] == 'u');
    if (string_equal(words[0], "len"))
        return append_length(out, value);
    return bad(err, action, length);
}

int template_render(const char *template, const json_t *value, char **ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(TEMPLATE_OUTPUT_MAX);
    const char *p = template;
    int r = 0;

    while (*p && r >= 0) {
        const char *end = NULL;

        if (p[0] == '\\' && (p[1] == 't' || p[1] == 'n')) {
            r = buffer_append_char(&out, p[1] == 't' ? '\t' : '\n');
            p += 2;
        } else if (p[0] != '{' || p[1] != '{') {
            r = buffer_append_char(&out, *p++);
        } else {
            end = strstr(p, "}}");
            if (!end)
                return error_set_class(err, ERROR_INVALID,
                                       "template parsing error: unclosed action");
            r = append_action(&out, p + 2, (size_t)(end - p - 2), value, err);
            if (r == -EINVAL)
                return r;
            p = end + 2;
        }
    }
    *ret = r < 0 ? NULL : buffer_take(&out);
    return *ret ? 0 : error_set(err, -ENOMEM, "the output of the template is too large");
}

int template_print(FILE *out, const char *format, const json_t *value, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    int r = 0;

    if (string_equal(format, "json")) {
        text = json_format(value);
        r = text ? 0 : error_oom(err);
    } else {
        r = template_render(format, value, &text, err);
    }
    if (r < 0)
        return r;
    fprintf(out, "%s\n", text);
    return 0;
}
