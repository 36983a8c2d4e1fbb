/* Reading json-file logs while their worker writes and rotates them.
 *
 * The files are <id>-json.log and, older, .1, .2, ... A reader holds the file it reads open; at its
 * end it looks for a newer one. Following, it sleeps on an epoll descriptor in which are the
 * directory's inotify(7) events, the container's end and a timer; the end is looked at before the
 * last read, so that nothing written before it is missed. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/private.h"

enum {
    LOG_LINE_MAX = 256 * 1024, /* one record as JSON: 16 KiB of text, escaped, and its frame */
    LOG_READ = 64 * 1024,
    LOG_FILES_MAX = 1000,
};

struct engine_logs {
    struct engine_logs_options options;
    char *path;
    int fd;       /* the file being read; -EBADF before the first */
    int64_t skip; /* lines still to be passed over because of `tail` */
    struct buffer input;
    struct buffer output;
    struct engine_wait *wait; /* following: decided when the container does not run */
    int inotify;
    int timer; /* following: expires at `until` */
    int epoll;
    bool over;
};

static char *rotated_path(const struct engine_logs *logs, int number)
{
    return number == 0 ? strdup(logs->path) : string_format("%s.%d", logs->path, number);
}

static int open_rotated(const struct engine_logs *logs, int number)
{
    CLEANUP_FREE char *path = rotated_path(logs, number);
    if (!path)
        return -ENOMEM;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static bool same_file(int a, int b)
{
    struct stat one;
    struct stat other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* --- tail --- */

static int64_t count_lines(int fd)
{
    char block[LOG_READ];
    int64_t lines = 0;
    ssize_t n;
    off_t offset = 0;
    while ((n = pread(fd, block, sizeof(block), offset)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            lines += block[i] == '\n';
        offset += n;
    }
    return lines;
}

/* Opens the file in which reading begins: the oldest one, or with `tail` the newest from which on
 * there are enough lines. */
static void open_first(struct engine_logs *logs)
{
    int64_t lines = 0;
    for (int number = 0; number < LOG_FILES_MAX; number++) {
        int fd = open_rotated(logs, number);
        if (fd < 0)
            break;
        fd_close(logs->fd);
        logs->fd = fd;
        if (logs->options.tail < 0)
            continue;
        lines += count_lines(fd);
        if (lines >= logs->options.tail)
            break;
    }
    if (logs->options.tail >= 0 && lines > logs->options.tail)
        logs->skip = lines - logs->options.tail;
}

/* At the end of a file: the next newer one, if the file was rotated away. 1: there is one. */
static int open_next(struct engine_logs *logs)
{
    int newer = -EBADF;
    if (logs->fd < 0) {
        logs->fd = open_rotated(logs, 0);
        return logs->fd >= 0;
    }
    for (int number = 0; number < LOG_FILES_MAX; number++) {
        int fd = open_rotated(logs, number);
        if (fd < 0)
            break;
        if (same_file(fd, logs->fd)) {
            fd_close(fd);
            if (newer < 0)
                return 0;
            fd_close(logs->fd);
            logs->fd = newer;
            return 1;
        }
        fd_close(newer);
        newer = fd;
    }
    /* Ours has been deleted: go on with the oldest that is left. */
    if (newer < 0)
        return 0;
    fd_close(logs->fd);
    logs->fd = newer;
    return 1;
}

/* --- opening --- */

/* A negative errno, or 0. */
static int watch_until(struct engine_logs *logs)
{
    struct epoll_event event = {.events = EPOLLIN};
    const struct itimerspec timer = {.it_value = {.tv_sec = logs->options.until / 1000000000,
                                                  .tv_nsec = logs->options.until % 1000000000}};
    if (!logs->options.until)
        return 0;
    logs->timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (logs->timer < 0 || timerfd_settime(logs->timer, TFD_TIMER_ABSTIME, &timer, NULL) < 0 ||
        epoll_ctl(logs->epoll, EPOLL_CTL_ADD, logs->timer, &event) < 0)
        return -errno;
    return 0;
}

static int follow_begin(struct engine *engine, struct engine_logs *logs, const char *id,
                        const char *directory, struct error *err)
{
    int r = engine_wait_begin(engine, id, ENGINE_WAIT_NOT_RUNNING, &logs->wait, err);
    if (r < 0)
        return r;
    logs->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    logs->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (logs->inotify < 0 || logs->epoll < 0 ||
        inotify_add_watch(logs->inotify, directory,
                          IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0 ||
        epoll_ctl(logs->epoll, EPOLL_CTL_ADD, logs->inotify, &event) < 0 ||
        epoll_ctl(logs->epoll, EPOLL_CTL_ADD, engine_wait_fd(logs->wait), &event) < 0)
        return error_set_errno(err, -errno, "cannot follow the log");
    r = watch_until(logs);
    return r < 0 ? error_set_errno(err, r, "cannot follow the log") : 0;
}

int engine_logs_open(struct engine *engine, const char *reference,
                     const struct engine_logs_options *options, struct engine_logs **ret,
                     bool *ret_terminal, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    struct compute_log log;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    if (!options->out && !options->err)
        return error_set_class(err, ERROR_INVALID,
                               "Bad parameters: you must choose at least one stream");
    r = engine_log_options(container, &log, err);
    if (r < 0)
        return r;
    if (log.driver != COMPUTE_LOG_JSON_FILE) {
        free(log.path);
        return error_set_class(err, ERROR_NOT_IMPLEMENTED,
                               "configured logging driver does not support reading");
    }
    struct engine_logs *logs = calloc(1, sizeof(*logs));
    if (!logs) {
        free(log.path);
        return error_oom(err);
    }
    *logs = (struct engine_logs){
        .options = *options,
        .path = log.path,
        .fd = -EBADF,
        .inotify = -EBADF,
        .timer = -EBADF,
        .epoll = -EBADF,
        .input = BUFFER_INIT(LOG_LINE_MAX + LOG_READ),
        .output = BUFFER_INIT(LOG_LINE_MAX + TIMESTAMP_TEXT_MAX + 2),
    };
    /* Watch first, then look, or what comes in between would be slept through. */
    if (options->follow)
        r = follow_begin(engine, logs, container->id, container->directory, err);
    if (r < 0) {
        engine_logs_close(logs);
        return r;
    }
    open_first(logs);
    *ret_terminal = container->terminal;
    *ret = logs;
    return 0;
}

struct engine_logs *engine_logs_close(struct engine_logs *logs)
{
    if (!logs)
        return NULL;
    engine_wait_end(logs->wait);
    fd_close(logs->inotify);
    fd_close(logs->timer);
    fd_close(logs->epoll);
    fd_close(logs->fd);
    buffer_release(&logs->input);
    buffer_release(&logs->output);
    free(logs->path);
    free(logs);
    return NULL;
}

int engine_logs_fd(const struct engine_logs *logs)
{
    return logs->epoll;
}

/* --- records --- */

/* Makes the next record of one line; 1 when it is wanted, 0 when not, -ENODATA past `until`. */
static int make_record(struct engine_logs *logs, const char *line, size_t length, int *ret_stream)
{
    CLEANUP_JSON json_t *json = NULL;
    const char *stream = "";
    const char *time = "";
    int64_t when = 0;
    /* A line that a full disk cut short is passed over. */
    if (json_parse(line, length, &json, NULL) < 0 ||
        json_get_string(json, "stream", &stream, NULL) < 1 ||
        json_get_string(json, "time", &time, NULL) < 1 || timestamp_parse(time, &when) < 0)
        return 0;
    const json_t *log = json_object_get(json, "log");
    bool is_error = string_equal(stream, "stderr");
    if (!json_is_string(log) || (is_error ? !logs->options.err : !logs->options.out) ||
        (logs->options.since && when < logs->options.since))
        return 0;
    if (logs->options.until && when > logs->options.until)
        return -ENODATA;
    buffer_clear(&logs->output);
    if (logs->options.timestamps) {
        char text[TIMESTAMP_TEXT_MAX];
        (void)buffer_printf(&logs->output, "%s ", timestamp_format(when, text));
    }
    if (logs->options.details)
        (void)buffer_append_char(&logs->output, ' ');
    if (buffer_append(&logs->output, json_string_value(log), json_string_length(log)) < 0)
        return 0;
    *ret_stream = is_error ? 2 : 1;
    return 1;
}

/* Takes one whole line from the input: 1 and a record, 0 when there is none, -ENODATA. */
static int next_line(struct engine_logs *logs, int *ret_stream)
{
    for (;;) {
        const char *end =
            logs->input.length ? memchr(logs->input.data, '\n', logs->input.length) : NULL;
        if (!end)
            return 0;
        size_t length = (size_t)(end - logs->input.data);
        int r = 0;
        if (logs->skip > 0)
            logs->skip--;
        else
            r = make_record(logs, logs->input.data, length, ret_stream);
        buffer_consume(&logs->input, length + 1);
        if (r != 0)
            return r;
    }
}

/* 1: something was read, 0: the end of what is there. */
static int read_more(struct engine_logs *logs, struct error *err)
{
    for (;;) {
        if (logs->fd >= 0) {
            if (logs->input.length > LOG_LINE_MAX)
                buffer_clear(&logs->input); /* no line of ours is that long */
            void *room = buffer_reserve(&logs->input, LOG_READ);
            if (!room)
                return error_oom(err);
            ssize_t n = read(logs->fd, room, LOG_READ);
            if (n < 0)
                return error_set_errno(err, -errno, "cannot read '%s'", logs->path);
            if (n > 0) {
                buffer_commit(&logs->input, (size_t)n);
                return 1;
            }
        }
        if (!open_next(logs))
            return 0;
    }
}

static void drain_inotify(const struct engine_logs *logs)
{
    char events[4096];
    while (read(logs->inotify, events, sizeof(events)) > 0)
        ;
}

int engine_logs_next(struct engine_logs *logs, int *ret_stream, const char **ret_data,
                     size_t *ret_length, struct error *err)
{
    while (!logs->over) {
        int r = next_line(logs, ret_stream);
        if (r > 0) {
            *ret_data = logs->output.data;
            *ret_length = logs->output.length;
            return 1;
        }
        if (r < 0)
            break;
        int code;
        char text[1];
        bool ended = !logs->wait || engine_wait_result(logs->wait, &code, text, sizeof(text)) > 0 ||
                     (logs->options.until && timestamp_now() > logs->options.until);
        if (logs->wait)
            drain_inotify(logs);
        r = read_more(logs, err);
        if (r < 0)
            return r;
        if (r == 0 && !ended)
            return 0;
        if (r == 0)
            break;
    }
    logs->over = true;
    return -ENODATA;
}
