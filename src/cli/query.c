#include "cli/query.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void append(struct query *query, const char *text, size_t length)
{
    if (buffer_append(&query->text, text, length) < 0)
        query->failed = true;
}

static void append_encoded(struct query *query, const char *text, const char *also)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (const char *p = text; *p; p++) {
        char code[4];

        if (strchr(plain, *p) || strchr(also, *p)) {
            append(query, p, 1);
            continue;
        }
        snprintf(code, sizeof(code), "%%%02X", (unsigned)(unsigned char)*p);
        append(query, code, 3);
    }
}

void query_path(struct query *query, const char *format, ...)
{
    va_list args;

    buffer_clear(&query->text);
    query->has_member = false;
    query->failed = false;
    va_start(args, format);
    for (const char *p = format; *p; p++) {
        if (p[0] == '%' && p[1] == 's') {
            append_encoded(query, va_arg(args, const char *), "/:@");
            p++;
        } else {
            append(query, p, 1);
        }
    }
    va_end(args);
}

void query_add(struct query *query, const char *name, const char *value)
{
    if (!value)
        return;
    append(query, query->has_member ? "&" : "?", 1);
    query->has_member = true;
    append_encoded(query, name, "");
    append(query, "=", 1);
    append_encoded(query, value, "");
}

void query_add_flag(struct query *query, const char *name, bool flag)
{
    query_add(query, name, flag ? "1" : NULL);
}

void query_add_number(struct query *query, const char *name, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, value);
    query_add(query, name, text);
}

const char *query_text(const struct query *query)
{
    return query->failed || query->text.length == 0 ? NULL : query->text.data;
}

void query_release(struct query *query)
{
    buffer_release(&query->text);
}
