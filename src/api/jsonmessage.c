#include "api/jsonmessage.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "image/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BAR_WIDTH = 50, SIZE_TEXT_MAX = 32 };

void jsonmessage_size(int64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000.0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1000.0;
        unit++;
    }
    (void)snprintf(text, size, "%.4g%s", value, units[unit]);
}

void jsonmessage_bar(int64_t current, int64_t total, char text[JSONMESSAGE_BAR_MAX])
{
    char current_text[SIZE_TEXT_MAX];
    char total_text[SIZE_TEXT_MAX];
    char line[] = "==================================================";
    int done = 0;

    text[0] = '\0';
    if (current <= 0 && total <= 0)
        return;
    jsonmessage_size(current, current_text, sizeof(current_text));
    if (total <= 0) {
        (void)snprintf(text, JSONMESSAGE_BAR_MAX, "%8s", current_text);
        return;
    }
    jsonmessage_size(total, total_text, sizeof(total_text));
    done = (int)((double)current / (double)total * 100.0) / 2;
    if (done > BAR_WIDTH)
        done = BAR_WIDTH;
    if (done < 0)
        done = 0;
    line[done] = '\0';
    (void)snprintf(text, JSONMESSAGE_BAR_MAX, "[%s>%*s] %8s%s%s", line, BAR_WIDTH - done, "",
                   current_text, current > total ? "" : "/", current > total ? "" : total_text);
}

static int put_progress(json_t *line, const struct image_progress_event *event)
{
    json_t *detail = json_object();
    char bar[JSONMESSAGE_BAR_MAX];
    int r = json_put(line, "progressDetail", detail);

    if (r < 0 || (event->current <= 0 && event->total <= 0))
        return r;
    r = json_put_i64(detail, "current", event->current);
    if (r == 0 && event->total > 0)
        r = json_put_i64(detail, "total", event->total);
    jsonmessage_bar(event->current, event->total, bar);
    return r < 0 ? r : json_put_string(line, "progress", bar);
}

static int append_line(struct buffer *out, const json_t *line)
{
    CLEANUP_FREE char *text = json_format(line);
    size_t before = out->length;
    int r = 0;

    if (!text)
        return -ENOMEM;
    r = buffer_append_string(out, text);
    /* The line's end is CR LF in docker's stream. */
    if (r == 0)
        r = buffer_append_string(out, "\r\n");
    if (r < 0)
        out->length = before; /* never half a line */
    return r;
}

int jsonmessage_progress(struct buffer *out, const struct image_progress_event *event)
{
    CLEANUP_JSON json_t *line = json_object();
    int r = 0;

    if (!line)
        return -ENOMEM;
    if (event->stream) {
        r = json_put_string(line, "stream", event->stream);
        return r < 0 ? r : append_line(out, line);
    }
    r = json_put_string(line, "status", string_or(event->status, ""));
    if (r == 0 && (event->id || event->current > 0 || event->total > 0))
        r = put_progress(line, event);
    if (r == 0)
        r = json_put_string(line, "id", event->id);
    return r < 0 ? r : append_line(out, line);
}

int jsonmessage_error(struct buffer *out, const struct error *err)
{
    CLEANUP_JSON json_t *line = json_object();
    json_t *detail = json_object();
    int r = 0;

    if (!line) {
        json_decref(detail);
        return -ENOMEM;
    }
    r = json_put(line, "errorDetail", detail);
    if (r == 0)
        r = json_put_string(detail, "message", err->message);
    if (r == 0)
        r = json_put_string(line, "error", err->message);
    return r < 0 ? r : append_line(out, line);
}
