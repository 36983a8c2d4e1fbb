#include "cli/http-head.h"

#include "base/error.h"
#include "base/strings.h"

#include <string.h>

static int broken(struct error *err, const char *what)
{
    return error_set(err, -EPROTO, "the daemon's answer is not HTTP: %s", what);
}

/* "HTTP/1.1 101 UPGRADED" */
static int parse_status(const char *line, size_t length, int *ret, struct error *err)
{
    static const char version[] = "HTTP/1.";
    const size_t at = sizeof(version) + 1; /* after the minor digit and the blank */
    int status = 0;

    if (length < at + 3 || memcmp(line, version, sizeof(version) - 1) != 0 || line[at - 1] != ' ')
        return broken(err, "bad status line");
    if (length > at + 3 && line[at + 3] != ' ')
        return broken(err, "bad status line");
    for (size_t i = at; i < at + 3; i++) {
        if (line[i] < '0' || line[i] > '9')
            return broken(err, "bad status");
        status = status * 10 + (line[i] - '0');
    }
    if (status < 100 || status > 599)
        return broken(err, "bad status");
    *ret = status;
    return 0;
}

static int parse_header(const char *line, size_t length, struct http_head *head, struct error *err)
{
    static const char name[] = "content-length:";
    const size_t name_length = sizeof(name) - 1;
    char text[24];
    size_t start = name_length;
    size_t end = length;
    uint64_t value = 0;

    if (!memchr(line, ':', length) || line[0] == ':')
        return broken(err, "bad header");
    if (length < name_length || strncasecmp(line, name, name_length) != 0)
        return 0;
    while (start < end && (line[start] == ' ' || line[start] == '\t'))
        start++;
    while (end > start && (line[end - 1] == ' ' || line[end - 1] == '\t'))
        end--;
    if (end - start >= sizeof(text))
        return broken(err, "bad content length");
    memcpy(text, line + start, end - start);
    text[end - start] = '\0';
    if (string_to_u64(text, &value) < 0 || value > INT64_MAX)
        return broken(err, "bad content length");
    head->content_length = (int64_t)value;
    return 0;
}

ssize_t http_head_parse(const char *data, size_t length, struct http_head *ret, struct error *err)
{
    struct http_head head = {.content_length = -1};
    size_t at = 0;

    for (int n = 0; n <= HTTP_HEADERS_MAX + 1; n++) {
        const char *line = data + at;
        const char *end = memchr(line, '\n', length - at);
        size_t line_length = 0;
        int r = 0;

        if (!end || (size_t)(end - data) >= HTTP_HEAD_MAX)
            return length >= HTTP_HEAD_MAX ? broken(err, "head too long") : 0;
        line_length = (size_t)(end - line);
        at += line_length + 1;
        if (line_length > 0 && line[line_length - 1] == '\r')
            line_length--;
        if (n == 0) {
            r = parse_status(line, line_length, &head.status, err);
        } else if (line_length == 0) {
            *ret = head;
            return (ssize_t)at;
        } else {
            r = parse_header(line, line_length, &head, err);
        }
        if (r < 0)
            return r;
    }
    return broken(err, "too many headers");
}
