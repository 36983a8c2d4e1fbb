#include "base/error.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int code;
} classes[] = {
    [ERROR_SYSTEM] = {"system-error", -EIO},
    [ERROR_INVALID] = {"invalid", -EINVAL},
    [ERROR_UNAUTHORIZED] = {"unauthorized", -EACCES},
    [ERROR_FORBIDDEN] = {"forbidden", -EPERM},
    [ERROR_NOT_FOUND] = {"not-found", -ENOENT},
    [ERROR_CONFLICT] = {"conflict", -EBUSY},
    [ERROR_NOT_MODIFIED] = {"not-modified", -EALREADY},
    [ERROR_TOO_LARGE] = {"too-large", -E2BIG},
    [ERROR_UNAVAILABLE] = {"unavailable", -ECONNREFUSED},
    [ERROR_NOT_IMPLEMENTED] = {"not-implemented", -EOPNOTSUPP},
};
_Static_assert(sizeof(classes) / sizeof(classes[0]) == ERROR_CLASS_MAX, "a class lacks its row");

/* A caller that passes no error must not turn the failure into success. */
static int failure_code(int code)
{
    return code < 0 ? code : -EIO;
}

/* Cutting may have split the last UTF-8 sequence, which JSON encoders refuse: drop its rest. */
static void utf8_trim_end(char *text)
{
    size_t length = strlen(text);
    size_t start = length;
    size_t want;

    while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (want > length - start + 1)
        text[start - 1] = '\0';
}

static void format_message(char text[ERROR_MESSAGE_MAX], const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void format_message(char text[ERROR_MESSAGE_MAX], const char *format, va_list args)
{
    int n = vsnprintf(text, ERROR_MESSAGE_MAX, format, args);

    if (n < 0)
        text[0] = '\0';
    else if (n >= ERROR_MESSAGE_MAX)
        utf8_trim_end(text);
}

/* text += separator + more, cut at the maximum. */
static void append_message(char text[ERROR_MESSAGE_MAX], const char *separator, const char *more)
{
    size_t used = strlen(text);
    int n = snprintf(text + used, ERROR_MESSAGE_MAX - used, "%s%s", separator, more);

    if (n >= 0 && (size_t)n >= ERROR_MESSAGE_MAX - used)
        utf8_trim_end(text);
}

static void append_errno(char text[ERROR_MESSAGE_MAX], int code)
{
    char number[32];
    /* strerror() is not safe between threads; this one returns constant, untranslated text. */
    const char *description = strerrordesc_np(-code);

    if (!description) {
        snprintf(number, sizeof(number), "error %d", -code);
        description = number;
    }
    append_message(text, ": ", description);
}

/* `text` is a buffer of its own, not err->message: the arguments of the format may point there. */
static int fill(struct error *err, int code, enum error_class class,
                const char text[ERROR_MESSAGE_MAX])
{
    err->code = code;
    err->class = class;
    memcpy(err->message, text, strlen(text) + 1);
    return code;
}

int error_set(struct error *err, int code, const char *format, ...)
{
    char text[ERROR_MESSAGE_MAX];
    va_list args;

    code = failure_code(code);
    if (!err)
        return code;
    va_start(args, format);
    format_message(text, format, args);
    va_end(args);
    return fill(err, code, ERROR_SYSTEM, text);
}

int error_set_errno(struct error *err, int code, const char *format, ...)
{
    char text[ERROR_MESSAGE_MAX];
    va_list args;

    code = failure_code(code);
    if (!err)
        return code;
    va_start(args, format);
    format_message(text, format, args);
    va_end(args);
    append_errno(text, code);
    return fill(err, code, ERROR_SYSTEM, text);
}

int error_set_class(struct error *err, enum error_class class, const char *format, ...)
{
    char text[ERROR_MESSAGE_MAX];
    va_list args;

    if ((unsigned)class >= ERROR_CLASS_MAX)
        class = ERROR_SYSTEM;
    if (!err)
        return classes[class].code;
    va_start(args, format);
    format_message(text, format, args);
    va_end(args);
    return fill(err, classes[class].code, class, text);
}

int error_wrap(struct error *err, int code, const char *format, ...)
{
    char text[ERROR_MESSAGE_MAX];
    va_list args;

    code = failure_code(code);
    if (!err)
        return code;
    va_start(args, format);
    format_message(text, format, args);
    va_end(args);
    if (err->code == 0) {
        append_errno(text, code);
        return fill(err, code, ERROR_SYSTEM, text);
    }
    append_message(text, ": ", err->message);
    return fill(err, err->code, err->class, text);
}

int error_classify(struct error *err, int code, enum error_class class)
{
    if (!err || err->code == 0)
        return failure_code(code);
    err->class = class;
    return err->code;
}

int error_oom(struct error *err)
{
    return error_set(err, -ENOMEM, "out of memory");
}

int error_copy(struct error *dst, const struct error *src)
{
    if (!src)
        return 0;
    if (dst && dst != src)
        fill(dst, src->code, src->class, src->message);
    return src->code;
}

void error_clear(struct error *err)
{
    if (!err)
        return;
    err->code = 0;
    err->class = ERROR_SYSTEM;
    err->message[0] = '\0';
}

const char *error_class_to_string(enum error_class class)
{
    return (unsigned)class < ERROR_CLASS_MAX ? classes[class].name : classes[ERROR_SYSTEM].name;
}

int error_class_from_string(const char *text)
{
    for (int i = 0; text && i < ERROR_CLASS_MAX; i++)
        if (strcmp(classes[i].name, text) == 0)
            return i;
    return -EINVAL;
}
