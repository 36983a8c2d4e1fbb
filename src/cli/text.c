#include "cli/text.h"

#include "base/buffer.h"
#include "base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 16 * 1024 * 1024 };

/* Length of the UTF-8 sequence at `text` (RFC 3629) and its code point, or 0 when it is none. */
static size_t decode(const char *text, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c = p[0];
    size_t n = 0;

    if (c < 0x80) {
        *ret = c;
        return 1;
    }
    n = c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc0 && c < 0xe0 ? 2 : 0;
    if (n == 0)
        return 0;
    c &= 0xffu >> (n + 1);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *ret = c;
    return n;
}

/* C0, DEL, C1, and the marks that change the direction of what follows. */
static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

static int escape(struct buffer *buffer, const char *text, const char *keep, const char *backslash)
{
    int r = 0;

    for (const char *p = text; *p && r == 0;) {
        uint32_t c = 0;
        size_t n = decode(p, &c);

        if (n == 1 && strchr(backslash, *p)) {
            r = buffer_printf(buffer, "\\%c", *p);
        } else if (n > 0 && (!is_control(c) || (n == 1 && strchr(keep, *p)))) {
            r = buffer_append(buffer, p, n);
        } else {
            n = n > 0 ? n : 1;
            for (size_t i = 0; i < n && r == 0; i++)
                r = buffer_printf(buffer, "\\x%02x", (unsigned)(unsigned char)p[i]);
        }
        p += n;
    }
    return r;
}

int text_escape(struct buffer *buffer, const char *text)
{
    return escape(buffer, text, "", "");
}

int text_escape_lines(struct buffer *buffer, const char *text)
{
    return escape(buffer, text, "\n\t", "");
}

size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static void print(FILE *out, const char *text, const char *keep)
{
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEXT_MAX);

    (void)escape(&buffer, text, keep, "");
    fputs(buffer_string(&buffer), out);
}

void text_print(FILE *out, const char *text)
{
    print(out, text, "");
}

void text_print_lines(FILE *out, const char *text)
{
    print(out, text, "\n\t");
}

char *text_ellipsis(const char *text, size_t max)
{
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEXT_MAX);
    const char *p = text;

    if (max == 0 || text_width(text) <= max)
        return strdup(text);
    for (size_t n = 0; n < max - 1; n++)
        for (p++; (*p & 0xc0) == 0x80; p++)
            ;
    if (buffer_append(&buffer, text, (size_t)(p - text)) < 0 ||
        buffer_append_string(&buffer, "\xe2\x80\xa6") < 0)
        return NULL;
    return buffer_take(&buffer);
}

char *text_quote(const char *text)
{
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(TEXT_MAX);

    if (buffer_append_char(&buffer, '"') < 0 || escape(&buffer, text, "", "\"\\") < 0 ||
        buffer_append_char(&buffer, '"') < 0)
        return NULL;
    return buffer_take(&buffer);
}
