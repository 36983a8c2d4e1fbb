#include "base/strings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

bool string_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool string_equal_nocase(const char *a, const char *b)
{
    return a == b || (a && b && strcasecmp(a, b) == 0);
}

bool string_starts_with(const char *text, const char *prefix)
{
    return text && prefix && strncmp(text, prefix, strlen(prefix)) == 0;
}

bool string_ends_with(const char *text, const char *suffix)
{
    size_t text_length;
    size_t suffix_length;

    if (!text || !suffix)
        return false;
    text_length = strlen(text);
    suffix_length = strlen(suffix);
    return suffix_length <= text_length && strcmp(text + text_length - suffix_length, suffix) == 0;
}

char *string_format(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    return n < 0 ? NULL : text;
}

char *string_lower(const char *text)
{
    char *lower = strdup(text);

    /* Not tolower(): names and keys are ASCII whatever the locale says. */
    for (char *c = lower; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return lower;
}

int string_replace(char **target, const char *text)
{
    char *copy = NULL;

    if (text) {
        copy = strdup(text);
        if (!copy)
            return -ENOMEM;
    }
    free(*target);
    *target = copy;
    return 0;
}

int string_to_u64(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    bool overflow = false;

    if (string_is_empty(text))
        return -EINVAL;
    /* To the end even after an overflow: "9999999999999999999999x" is malformed, not too large. */
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9')
            return -EINVAL;
        overflow = overflow || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
                   __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value);
    }
    if (overflow)
        return -ERANGE;
    *ret = value;
    return 0;
}

int string_to_i64(const char *text, int64_t *ret)
{
    bool negative = text && *text == '-';
    uint64_t magnitude;
    int r = string_to_u64(negative ? text + 1 : text, &magnitude);

    if (r < 0)
        return r;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return -ERANGE;
    *ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return 0;
}

int string_to_int(const char *text, int min, int max, int *ret)
{
    int64_t value;
    int r = string_to_i64(text, &value);

    if (r < 0)
        return r;
    if (value < min || value > max)
        return -ERANGE;
    *ret = (int)value;
    return 0;
}

/* Left shift of a size suffix (any case): "", "b", "k", "kb", "kib", ... or -EINVAL. */
static int size_suffix_shift(const char *suffix)
{
    static const char units[] = "kmgtp";
    const char *unit;
    int shift = 0;

    if (*suffix) {
        unit = strchr(units, *suffix | 0x20);
        if (unit) {
            shift = 10 * (int)(unit - units + 1);
            suffix++;
            if (string_equal_nocase(suffix, "ib"))
                return shift;
        }
    }
    if (*suffix && !string_equal_nocase(suffix, "b"))
        return -EINVAL;
    return shift;
}

int string_to_size(const char *text, uint64_t *ret)
{
    enum { FRACTION_DIGITS_MAX = 18 }; /* what fits a 64-bit numerator; further ones are ignored */
    uint64_t whole = 0;
    uint64_t fraction = 0;
    uint64_t scale = 1;
    bool overflow = false;
    bool digits = false;
    unsigned __int128 size;
    const char *c = text;
    int shift;

    if (!text)
        return -EINVAL;
    for (; *c >= '0' && *c <= '9'; c++, digits = true)
        overflow = overflow || __builtin_mul_overflow(whole, (uint64_t)10, &whole) ||
                   __builtin_add_overflow(whole, (uint64_t)(*c - '0'), &whole);
    if (*c == '.')
        for (c++; *c >= '0' && *c <= '9'; c++, digits = true)
            if (scale < 1000000000000000000ULL) {
                fraction = fraction * 10 + (uint64_t)(*c - '0');
                scale *= 10;
            }
    _Static_assert(FRACTION_DIGITS_MAX == 18, "scale stops at 10^18");
    if (!digits)
        return -EINVAL;
    if (*c == ' ')
        c++;
    shift = size_suffix_shift(c);
    if (shift < 0)
        return shift;
    size = ((unsigned __int128)whole << shift) + ((unsigned __int128)fraction << shift) / scale;
    if (overflow || size > UINT64_MAX)
        return -ERANGE;
    *ret = (uint64_t)size;
    return 0;
}

bool string_copy(char *destination, size_t size, const char *source)
{
    size_t length = strlen(source);
    bool fits = length < size;

    if (size == 0)
        return false;
    if (!fits)
        length = size - 1;
    memcpy(destination, source, length);
    destination[length] = '\0';
    return fits;
}

void string_hex(char *out, const void *data, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * length] = '\0';
}

bool string_is_hex(const char *text, size_t length)
{
    size_t i = 0;

    if (!text)
        return false;
    for (; i < length; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return text[i] == '\0';
}

size_t strv_length(char *const *strv)
{
    size_t n = 0;

    while (strv && strv[n])
        n++;
    return n;
}

void strv_free(char **strv)
{
    for (char **item = strv; item && *item; item++)
        free(*item);
    free(strv);
}

void strv_cleanup(char ***strv)
{
    int saved = errno;

    strv_free(*strv);
    *strv = NULL;
    errno = saved;
}

char **strv_copy(char *const *strv)
{
    size_t n = strv_length(strv);
    CLEANUP_STRV char **copy = calloc(n + 1, sizeof(*copy));

    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = strdup(strv[i]);
        if (!copy[i])
            return NULL;
    }
    return TAKE_PTR(copy);
}

int strv_append(char ***strv, const char *text)
{
    return strv_append_take(strv, strdup(text));
}

int strv_append_take(char ***strv, char *text)
{
    size_t n = strv_length(*strv);
    char **bigger;

    if (!text)
        return -ENOMEM;
    bigger = reallocarray(*strv, n + 2, sizeof(*bigger));
    if (!bigger) {
        free(text);
        return -ENOMEM;
    }
    bigger[n] = text;
    bigger[n + 1] = NULL;
    *strv = bigger;
    return 0;
}

int strv_appendf(char ***strv, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int n;

    va_start(args, format);
    n = vasprintf(&text, format, args);
    va_end(args);
    return strv_append_take(strv, n < 0 ? NULL : text);
}

int strv_extend(char ***strv, char *const *more)
{
    size_t n = strv_length(*strv);
    size_t m = strv_length(more);
    CLEANUP_STRV char **copies = strv_copy(more);
    char **bigger;

    if (!copies)
        return -ENOMEM;
    bigger = reallocarray(*strv, n + m + 1, sizeof(*bigger));
    if (!bigger)
        return -ENOMEM;
    memcpy(bigger + n, copies, (m + 1) * sizeof(*copies));
    copies[0] = NULL; /* the strings moved */
    *strv = bigger;
    return 0;
}

bool strv_contains(char *const *strv, const char *text)
{
    for (; strv && *strv; strv++)
        if (strcmp(*strv, text) == 0)
            return true;
    return false;
}

int strv_split(const char *text, char separator, char ***ret)
{
    CLEANUP_STRV char **parts = NULL;

    for (;;) {
        const char *end = strchrnul(text, separator);
        int r = strv_append_take(&parts, strndup(text, (size_t)(end - text)));

        if (r < 0)
            return r;
        if (!*end)
            break;
        text = end + 1;
    }
    *ret = TAKE_PTR(parts);
    return 0;
}

char *strv_join(char *const *strv, const char *separator)
{
    size_t separator_length = strlen(separator);
    size_t length = 1;
    char *text;
    char *end;

    for (char *const *item = strv; item && *item; item++)
        length += strlen(*item) + separator_length;
    text = malloc(length);
    if (!text)
        return NULL;
    end = text;
    for (char *const *item = strv; item && *item; item++) {
        if (item != strv)
            end = mempcpy(end, separator, separator_length);
        end = mempcpy(end, *item, strlen(*item));
    }
    *end = '\0';
    return text;
}

static bool env_has_name(const char *entry, const char *name, size_t length)
{
    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

const char *strv_env_get(char *const *env, const char *name)
{
    size_t length = strlen(name);

    for (; env && *env; env++)
        if (env_has_name(*env, name, length))
            return *env + length + 1;
    return NULL;
}

int strv_env_set(char ***env, const char *assignment)
{
    const char *equals = strchr(assignment, '=');

    if (!equals || equals == assignment)
        return -EINVAL;
    for (char **entry = *env; entry && *entry; entry++)
        if (env_has_name(*entry, assignment, (size_t)(equals - assignment)))
            return string_replace(entry, assignment);
    return strv_append(env, assignment);
}
