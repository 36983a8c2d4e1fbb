/* The container's log in docker's json-file format: one JSON object a line,
 *
 *     {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}
 *
 * A line of output above LOG_FILE_LINE_MAX bytes becomes several entries, of which only the last
 * ends in "\n", as docker's copier makes them. What is no UTF-8 becomes U+FFFD, a byte at a time,
 * as Go's encoder does it.
 *
 * A log that cannot be written does not stop the container: what is lost is counted, and
 * log_file_take_warning() says so once. Writing goes on when there is room again. */
#ifndef HULL_COMPUTE_LOG_FILE_H
#define HULL_COMPUTE_LOG_FILE_H

#include "base/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compute_log;
struct error;

enum { LOG_FILE_LINE_MAX = 16 * 1024 };

enum log_stream { LOG_STDOUT, LOG_STDERR, LOG_STREAM_MAX };

struct log_file {
    int fd; /* -EBADF: no log is kept */
    char *path;
    uint64_t size;
    uint64_t max_size;
    int max_file;
    struct buffer partial[LOG_STREAM_MAX]; /* a line whose end has not come */
    uint64_t lost;                         /* entries */
    int failure;                           /* -errno of the first loss, 0: none */
    bool warned;
};

/* Opens (appends to) the log that `options` describe; driver none: everything is thrown away. */
int log_file_open(struct log_file *log, const struct compute_log *options, struct error *err);
/* Writes what is left of unfinished lines and closes. Fine on a zeroed struct with fd -EBADF. */
void log_file_close(struct log_file *log);

/* Output of the container. */
void log_file_write(struct log_file *log, enum log_stream stream, const void *data, size_t length);

/* True once, when something was lost: *ret_code says why (-ENOSPC). */
bool log_file_take_warning(struct log_file *log, int *ret_code);

/* Appends one entry to `out`; for log_file_write() and tests. 0 or -errno of the buffer. */
int log_file_format(struct buffer *out, const char *text, size_t length, bool newline,
                    enum log_stream stream, int64_t when);

#endif
