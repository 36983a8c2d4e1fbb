/* The head of an HTTP/1.x answer, for the one request that libcurl does not make: an upgrade. */
#ifndef HULL_CLI_HTTP_HEAD_H
#define HULL_CLI_HTTP_HEAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

enum {
    HTTP_HEAD_MAX = 16 * 1024,
    HTTP_HEADERS_MAX = 100,
};

struct http_head {
    int status;
    int64_t content_length; /* -1 when not said */
};

/* Looks for a complete head at the start of `data`. Returns its length with the blank line, 0 when
 * more bytes are needed, -EPROTO when it is none or above the maxima (RFC 9112, 2 to 5). */
ssize_t http_head_parse(const char *data, size_t length, struct http_head *ret, struct error *err);

#endif
