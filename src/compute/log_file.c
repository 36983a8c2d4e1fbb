#include "compute/log_file.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRY_MAX = LOG_FILE_LINE_MAX * 6 + 256 }; /* every byte as \u00XX */

static const char *const stream_names[] = {"stdout", "stderr"};

/* Length of the well-formed UTF-8 sequence at the beginning of `text`, or 0 (RFC 3629). */
static size_t utf8_length(const unsigned char *text, size_t length)
{
    size_t n = text[0] < 0x80   ? 1
               : text[0] < 0xc2 ? 0
               : text[0] < 0xe0 ? 2
               : text[0] < 0xf0 ? 3
               : text[0] < 0xf5 ? 4
                                : 0;

    if (n == 0 || n > length)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return n;
}

/* Characters that cannot stand for themselves, in the spelling of docker's encoder
 * (daemon/logger/jsonfilelog/jsonlog: <, > and & too, and U+2028, U+2029). */
static const char *escape(const unsigned char *text, size_t length, char buffer[8])
{
    switch (*text) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    default:
        break;
    }
    if (length == 1 && (*text < 0x20 || *text == '<' || *text == '>' || *text == '&')) {
        (void)snprintf(buffer, 8, "\\u%04x", *text);
        return buffer;
    }
    if (length == 3 && text[0] == 0xe2 && text[1] == 0x80 && (text[2] & 0xfe) == 0xa8) {
        (void)snprintf(buffer, 8, "\\u202%x", text[2] & 0xf);
        return buffer;
    }
    return NULL;
}

static int append_escaped(struct buffer *out, const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t plain = 0; /* start of what has not been copied */
    size_t i = 0;
    int r = 0;

    while (i < length && r >= 0) {
        char room[8];
        size_t n = utf8_length(bytes + i, length - i);
        const char *replacement = n == 0 ? "\\ufffd" : escape(bytes + i, n, room);

        if (!replacement) {
            i += n;
            continue;
        }
        r = buffer_append(out, text + plain, i - plain);
        if (r >= 0)
            r = buffer_append_string(out, replacement);
        i += n ? n : 1;
        plain = i;
    }
    return r < 0 ? r : buffer_append(out, text + plain, i - plain);
}

int log_file_format(struct buffer *out, const char *text, size_t length, bool newline,
                    enum log_stream stream, int64_t when)
{
    char time[TIMESTAMP_TEXT_MAX];
    int r = buffer_append_string(out, "{\"log\":\"");

    if (r >= 0)
        r = append_escaped(out, text, length);
    if (r >= 0)
        r = buffer_printf(out, "%s\",\"stream\":\"%s\",\"time\":\"%s\"}\n", newline ? "\\n" : "",
                          stream_names[stream], timestamp_format(when, time));
    return r;
}

/* --- the file --- */

int log_file_open(struct log_file *log, const struct compute_log *options, struct error *err)
{
    struct stat status;

    *log = (struct log_file){
        .fd = -EBADF, .max_size = options->max_size, .max_file = options->max_file};
    for (int i = 0; i < LOG_STREAM_MAX; i++)
        log->partial[i] = (struct buffer)BUFFER_INIT(LOG_FILE_LINE_MAX);
    if (options->driver == COMPUTE_LOG_NONE)
        return 0;
    if (string_replace(&log->path, options->path) < 0)
        return error_oom(err);
    log->fd = open(options->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (log->fd < 0 || fstat(log->fd, &status) < 0) {
        int r = error_set_errno(err, -errno, "opening the log %s", options->path);

        log_file_close(log);
        return r;
    }
    log->size = (uint64_t)status.st_size;
    return 0;
}

static void note_failure(struct log_file *log, int code)
{
    log->lost++;
    if (log->failure == 0)
        log->failure = code;
}

bool log_file_take_warning(struct log_file *log, int *ret_code)
{
    if (log->failure == 0 || log->warned)
        return false;
    log->warned = true;
    *ret_code = log->failure;
    return true;
}

/* path -> path.1 -> ... -> path.(max_file - 1) -> gone; with one file it starts over. */
static int rotate(struct log_file *log)
{
    for (int i = log->max_file - 1; i > 0; i--) {
        CLEANUP_FREE char *to = string_format("%s.%d", log->path, i);
        CLEANUP_FREE char *from =
            i > 1 ? string_format("%s.%d", log->path, i - 1) : string_format("%s", log->path);

        if (!to || !from)
            return -ENOMEM;
        if (rename(from, to) < 0 && errno != ENOENT)
            return -errno;
    }
    int fd =
        open(log->path, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return -errno;
    (void)fd_close(log->fd);
    log->fd = fd;
    log->size = 0;
    return 0;
}

static void write_entry(struct log_file *log, enum log_stream stream, const char *text,
                        size_t length, bool newline)
{
    CLEANUP(buffer_release) struct buffer entry = BUFFER_INIT(ENTRY_MAX);
    int r = log_file_format(&entry, text, length, newline, stream, timestamp_now());

    /* docker's rotation looks before it writes: a file may pass max-size by less than one entry. */
    if (r >= 0 && log->max_size > 0 && log->size >= log->max_size)
        r = rotate(log);
    if (r >= 0)
        r = fd_write_full(log->fd, entry.data, entry.length);
    if (r >= 0) {
        log->size += entry.length;
        return;
    }
    note_failure(log, r);
    /* Half an entry would spoil the next one, too. */
    if (ftruncate(log->fd, (off_t)log->size) < 0)
        note_failure(log, -errno);
}

void log_file_write(struct log_file *log, enum log_stream stream, const void *data, size_t length)
{
    struct buffer *partial = &log->partial[stream];
    const char *text = data;

    if (log->fd < 0)
        return;
    while (length > 0) {
        size_t room = LOG_FILE_LINE_MAX - partial->length;
        const char *newline = memchr(text, '\n', length < room ? length : room);
        size_t n = newline ? (size_t)(newline - text) : length < room ? length : room;

        if (newline && partial->length == 0) {
            write_entry(log, stream, text, n, true);
        } else if (buffer_append(partial, text, n) < 0) {
            note_failure(log, -ENOMEM);
            buffer_release(partial);
        }
        bool full = partial->length == LOG_FILE_LINE_MAX;
        if (partial->length > 0 && (newline || full)) {
            write_entry(log, stream, partial->data, partial->length, newline != NULL);
            buffer_release(partial);
        }
        text += n + (newline ? 1 : 0);
        length -= n + (newline ? 1 : 0);
    }
}

void log_file_close(struct log_file *log)
{
    for (int i = 0; i < LOG_STREAM_MAX; i++) {
        if (log->fd >= 0 && log->partial[i].length > 0)
            write_entry(log, (enum log_stream)i, log->partial[i].data, log->partial[i].length,
                        false);
        buffer_release(&log->partial[i]);
    }
    log->fd = fd_close(log->fd);
    free(log->path);
    log->path = NULL;
}
