#include "cli/progress.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/format.h"
#include "cli/terminal.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

enum { BAR_WIDTH = 50, BAR_COLUMNS_MIN = 110 };

struct progress {
    FILE *out;
    bool is_terminal;
    struct buffer pending; /* the start of a message */
    char **ids;            /* which line is whose */
    bool is_nested;
};

int progress_new(FILE *out, bool is_terminal, struct progress **ret, struct error *err)
{
    struct progress *progress = calloc(1, sizeof(*progress));

    if (!progress)
        return error_oom(err);
    progress->out = out;
    progress->is_terminal = is_terminal;
    progress->pending = (struct buffer)BUFFER_INIT(PROGRESS_MESSAGE_MAX);
    *ret = progress;
    return 0;
}

struct progress *progress_free(struct progress *progress)
{
    if (!progress)
        return NULL;
    buffer_release(&progress->pending);
    strv_free(progress->ids);
    free(progress);
    return NULL;
}

/* "[=====>    ]  1.2MB/3.4MB" */
static void print_bar(struct progress *progress, const json_t *detail)
{
    char now[FORMAT_MAX];
    char all[FORMAT_MAX];
    double current = json_number_value(json_object_get(detail, "current"));
    double total = json_number_value(json_object_get(detail, "total"));
    int percent = 0;

    if (current <= 0 && total <= 0)
        return;
    if (total <= 0) {
        fprintf(progress->out, "%8s", format_size(current, 4, now));
        return;
    }
    if (current > total)
        current = total;
    percent = (int)(current / total * 100) / 2;
    if (terminal_width(progress->out, BAR_COLUMNS_MIN + 1) > BAR_COLUMNS_MIN) {
        fputc('[', progress->out);
        for (int i = 0; i < percent; i++)
            fputc('=', progress->out);
        fprintf(progress->out, ">%*s] ", BAR_WIDTH - percent, "");
    }
    fprintf(progress->out, "%8s/%s", format_size(current, 4, now), format_size(total, 4, all));
}

/* The index of the line of an id, made when there is none; -1 when there are too many. */
static int line_of(struct progress *progress, const char *id, bool *ret_is_new)
{
    size_t n = strv_length(progress->ids);

    *ret_is_new = false;
    for (size_t i = 0; i < n; i++)
        if (string_equal(progress->ids[i], id))
            return (int)i;
    if (n >= PROGRESS_LINES_MAX || strv_append(&progress->ids, id) < 0)
        return -1;
    *ret_is_new = true;
    return (int)n;
}

static void print_message(struct progress *progress, const char *id, const char *status,
                          const json_t *detail)
{
    bool is_new = false;
    int line = -1;
    int up = 0;

    if (progress->is_terminal && id) {
        line = line_of(progress, id, &is_new);
        if (is_new)
            fputc('\n', progress->out);
        up = line < 0 ? 0 : (int)strv_length(progress->ids) - line;
        if (up > 0)
            fprintf(progress->out, "\033[%dA", up);
        fputs("\033[2K\r", progress->out);
    } else if (progress->is_terminal) {
        /* what follows lines with ids starts a new group below them */
        strv_free(progress->ids);
        progress->ids = NULL;
    }
    if (id) {
        text_print(progress->out, id);
        fputs(": ", progress->out);
    }
    text_print(progress->out, string_or(status, ""));
    if (progress->is_terminal && detail) {
        fputc(' ', progress->out);
        print_bar(progress, detail);
    }
    if (up > 0)
        fprintf(progress->out, "\033[%dB\r", up);
    else
        fputc('\n', progress->out);
}

static int handle(struct progress *progress, const char *text, size_t length, struct error *err)
{
    CLEANUP_JSON json_t *message = NULL;
    const char *status = NULL;
    const char *stream = NULL;
    const json_t *detail = NULL;
    const char *problem = NULL;
    int r = json_parse(text, length, &message, err);

    if (r < 0)
        return error_wrap(err, r, "the daemon's progress messages");
    problem =
        json_string_value(json_object_get(json_object_get(message, "errorDetail"), "message"));
    if (!problem)
        problem = json_string_value(json_object_get(message, "error"));
    if (problem)
        return error_set(err, -EIO, "%.1500s", problem);
    if (!progress->out)
        return 0;
    status = json_string_value(json_object_get(message, "status"));
    stream = json_string_value(json_object_get(message, "stream"));
    detail = json_object_get(message, "progressDetail");
    if (stream) {
        text_print_lines(progress->out, stream);
    } else if (status) {
        bool has_numbers = json_number_value(json_object_get(detail, "current")) > 0 ||
                           json_number_value(json_object_get(detail, "total")) > 0;

        if (progress->is_terminal || !has_numbers)
            print_message(progress, json_string_value(json_object_get(message, "id")), status,
                          has_numbers ? detail : NULL);
    }
    fflush(progress->out);
    return 0;
}

static bool is_blank(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!strchr(" \t\r", text[i]))
            return false;
    return true;
}

int progress_receive(void *data, const char *bytes, size_t length, struct error *err)
{
    struct progress *progress = data;

    while (length > 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t n = end ? (size_t)(end - bytes) + 1 : length;
        int r = buffer_append(&progress->pending, bytes, n);

        if (r < 0)
            return error_set(err, -EPROTO, "a progress message of the daemon is too long");
        bytes += n;
        length -= n;
        if (!end)
            break;
        if (!is_blank(progress->pending.data, progress->pending.length - 1))
            r = handle(progress, progress->pending.data, progress->pending.length, err);
        buffer_clear(&progress->pending);
        if (r < 0)
            return r;
    }
    return 0;
}

int progress_finish(struct progress *progress, struct error *err)
{
    int r = 0;

    if (!is_blank(buffer_string(&progress->pending), progress->pending.length))
        r = handle(progress, progress->pending.data, progress->pending.length, err);
    buffer_clear(&progress->pending);
    return r;
}
