#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/strings.h"
#include "base/timestamp.h"

enum { LOG_LINE_MAX = 4096, LOG_PROGRAM_MAX = 64 };

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

/* Written by log_open() before there are threads, only read afterwards. */
static char log_program[LOG_PROGRAM_MAX] = "hull";
static enum log_level log_threshold = LOG_LEVEL_INFO;

void log_open(const char *program, enum log_level threshold)
{
    string_copy(log_program, sizeof(log_program), program);
    log_threshold = threshold;
}

int log_level_from_string(const char *text)
{
    if (string_equal(text, "warn")) /* docker's spelling */
        return LOG_LEVEL_WARNING;
    for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
        if (string_equal(text, level_names[i]))
            return i;
    return -EINVAL;
}

/* Bytes of a control character at `c`: C0 and DEL 1, C1 in UTF-8 (terminals obey those too) 2. */
static int control_length(const unsigned char *c)
{
    if (*c < 0x20 || *c == 0x7f)
        return 1;
    return *c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f ? 2 : 0;
}

/* Appends `text` at line + used, escaped, at most up to `size`; returns the new length. */
static size_t append_escaped(char *line, size_t used, size_t size, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *c = (const unsigned char *)text;

    while (*c) {
        int control = control_length(c);

        if (*c == '\n' || *c == '\t') {
            if (used + 2 > size)
                break;
            line[used++] = '\\';
            line[used++] = *c++ == '\n' ? 'n' : 't';
            continue;
        }
        if (used + (control ? 4 * (size_t)control : 1) > size)
            break;
        if (!control)
            line[used++] = (char)*c++;
        for (; control > 0; control--, c++) {
            line[used++] = '\\';
            line[used++] = 'x';
            line[used++] = digits[*c >> 4];
            line[used++] = digits[*c & 15];
        }
    }
    return used;
}

void log_message(enum log_level level, const char *format, ...)
{
    int saved = errno;
    char message[LOG_LINE_MAX];
    char line[LOG_LINE_MAX];
    char when[TIMESTAMP_TEXT_MAX];
    size_t used;
    va_list args;
    int n;

    if (level > log_threshold)
        return;
    va_start(args, format);
    n = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (n < 0)
        message[0] = '\0';
    n = snprintf(line, sizeof(line), "%s %s %s: ", timestamp_format(timestamp_now(), when),
                 level_names[level], log_program);
    used = n < 0 ? 0 : (size_t)n;
    used = append_escaped(line, used, sizeof(line) - 1, message);
    line[used++] = '\n';
    /* One write(), so that lines of several threads and processes do not mix. */
    while (write(STDERR_FILENO, line, used) < 0 && errno == EINTR)
        ;
    errno = saved;
}
