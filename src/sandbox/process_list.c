#include "sandbox/process_list.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum {
    PASSWD_MAX = 1024 * 1024,
    USERS_MAX = 8192, /* further lines of passwd are not looked at: their users show as numbers */
    USER_NAME_MAX = 64,
    FILE_MAX = 64 * 1024,
    CMDLINE_MAX = 4096,   /* as much as ps(1) of busybox and procps show on any screen */
    PROCESSES_MAX = 4096, /* the answer stays below the largest message: see RESULT_MAX */
    RESULT_MAX = 3 * 1024 * 1024,
    MAJOR_PTS = 136, /* Documentation/admin-guide/devices.txt: 136 to 143 are pty slaves */
    MAJOR_PTS_LAST = 143,
    MAJOR_TTY = 4,
};

/* Fields of /proc/PID/stat behind the name, numbered as in proc(5), which starts at 3 there. */
enum stat_field {
    STAT_PPID = 4,
    STAT_PGRP = 5,
    STAT_SESSION = 6,
    STAT_TTY = 7,
    STAT_FLAGS = 9,
    STAT_UTIME = 14,
    STAT_STIME = 15,
    STAT_PRIORITY = 18,
    STAT_NICE = 19,
    STAT_THREADS = 20,
    STAT_START = 22,
    STAT_VSIZE = 23,
    STAT_RSS = 24,
    STAT_PROCESSOR = 39,
    STAT_MAX = 40,
};

struct stat_line {
    char comm[64];
    char state;
    int64_t field[STAT_MAX];
};

/* A line of passwd(5), whose text it points into. */
struct list_user {
    int64_t id;
    const char *name;
    size_t length;
    size_t order;
};

/* What is the same for all. */
struct list_context {
    int64_t now_ms;
    int64_t boot_ms; /* when the kernel started */
    int64_t ticks;   /* a second */
    int64_t page_kib;
    struct list_user *users; /* sorted by id */
    size_t n_users;
};

/* Anything that is not printable ASCII or well-formed UTF-8 becomes '?'. */
static void make_text(char *text, size_t length)
{
    unsigned char *bytes = (unsigned char *)text;

    for (size_t i = 0; i < length;) {
        size_t more = bytes[i] < 0x80                       ? 0
                      : bytes[i] >= 0xc2 && bytes[i] < 0xe0 ? 1
                      : bytes[i] >= 0xe0 && bytes[i] < 0xf0 ? 2
                      : bytes[i] >= 0xf0 && bytes[i] < 0xf5 ? 3
                                                            : 4;
        bool good = more < 4 && i + more < length && bytes[i] >= 0x20 && bytes[i] != 0x7f;

        for (size_t k = 1; good && k <= more; k++)
            good = (bytes[i + k] & 0xc0) == 0x80;
        if (good && more == 2 &&
            ((bytes[i] == 0xe0 && bytes[i + 1] < 0xa0) ||
             (bytes[i] == 0xed && bytes[i + 1] >= 0xa0)))
            good = false;
        if (good && more == 3 &&
            ((bytes[i] == 0xf0 && bytes[i + 1] < 0x90) ||
             (bytes[i] == 0xf4 && bytes[i + 1] >= 0x90)))
            good = false;
        if (!good) {
            bytes[i++] = '?';
            continue;
        }
        i += more + 1;
    }
}

/* One number from the front of *text; false at its end. */
static bool next_number(char **text, int64_t *ret)
{
    char *end;

    errno = 0;
    *ret = (int64_t)strtoll(*text, &end, 10);
    if (end == *text)
        return false;
    *text = end;
    return true;
}

static int parse_stat(char *text, struct stat_line *ret)
{
    /* The name may hold anything, ')' included: it ends at the last one. */
    char *open = strchr(text, '(');
    char *close = strrchr(text, ')');
    char *rest;

    if (!open || !close || close < open || close[1] != ' ' || !close[2])
        return -EINVAL;
    *close = '\0';
    (void)string_copy(ret->comm, sizeof(ret->comm), open + 1);
    make_text(ret->comm, strlen(ret->comm));
    ret->state = close[2];
    rest = close + 3;
    for (int i = STAT_PPID; i < STAT_MAX; i++) {
        if (!next_number(&rest, &ret->field[i]))
            return -EINVAL;
    }
    return 0;
}

static int read_proc(pid_t pid, const char *name, struct buffer *buffer)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    buffer_clear(buffer);
    return file_read(AT_FDCWD, path, buffer, NULL);
}

/* The effective id (second number) of a line "Uid:\t..." of /proc/PID/status. */
static int64_t status_id(const char *status, const char *name)
{
    const char *line = strstr(status, name);
    int64_t id = 0;

    if (!line)
        return 0;
    char *end;
    (void)strtoll(line + strlen(name), &end, 10);
    (void)next_number(&end, &id);
    return id;
}

/* --- names of users --- */

static bool read_user(const char *line, const char *end, size_t order, struct list_user *ret)
{
    const char *colon = memchr(line, ':', (size_t)(end - line));
    const char *second = colon ? memchr(colon + 1, ':', (size_t)(end - colon - 1)) : NULL;
    char *after;

    if (!second || colon == line || second[1] < '0' || second[1] > '9' ||
        (size_t)(colon - line) >= USER_NAME_MAX)
        return false;
    *ret = (struct list_user){.id = strtoll(second + 1, &after, 10),
                              .name = line,
                              .length = (size_t)(colon - line),
                              .order = order};
    return *after == ':';
}

/* Of several lines with one id the first one counts, getpwuid(3). */
static int compare_users(const void *left, const void *right)
{
    const struct list_user *a = left;
    const struct list_user *b = right;

    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int compare_id(const void *key, const void *element)
{
    const struct list_user *user = element;
    int64_t id = *(const int64_t *)key;

    return id < user->id ? -1 : id > user->id;
}

/* Once for all processes: the first USERS_MAX entries of passwd(5)'s text, by id, each id once. */
static int read_users(const char *passwd, struct list_context *context)
{
    size_t n = 0;
    size_t kept = 0;

    context->users = calloc(USERS_MAX, sizeof(*context->users));
    if (!context->users)
        return -ENOMEM;
    for (const char *line = passwd; line && *line && n < USERS_MAX;) {
        const char *end = strchrnul(line, '\n');

        if (read_user(line, end, n, &context->users[n]))
            n++;
        line = *end ? end + 1 : NULL;
    }
    if (n > 0)
        qsort(context->users, n, sizeof(*context->users), compare_users);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || context->users[kept - 1].id != context->users[i].id)
            context->users[kept++] = context->users[i];
    context->n_users = kept;
    return 0;
}

static void format_user(const struct list_context *context, int64_t uid, char name[USER_NAME_MAX])
{
    const struct list_user *user = NULL;

    if (context->n_users > 0)
        user = bsearch(&uid, context->users, context->n_users, sizeof(*context->users), compare_id);
    if (!user) {
        (void)snprintf(name, USER_NAME_MAX, "%lld", (long long)uid);
        return;
    }
    memcpy(name, user->name, user->length);
    name[user->length] = '\0';
    make_text(name, user->length);
}

static void format_tty(int64_t device, char *text, size_t size)
{
    /* proc(5): minor in bits 31 to 20 and 7 to 0, major in 15 to 8. */
    int64_t major = (device >> 8) & 0xff;
    int64_t minor = (device & 0xff) | ((device >> 12) & 0xfff00);

    if (major >= MAJOR_PTS && major <= MAJOR_PTS_LAST)
        (void)snprintf(text, size, "pts/%lld", (long long)(minor + (major - MAJOR_PTS) * 256));
    else if (major == MAJOR_TTY)
        (void)snprintf(text, size, minor < 64 ? "tty%lld" : "ttyS%lld",
                       (long long)(minor < 64 ? minor : minor - 64));
    else
        (void)string_copy(text, size, "?");
}

static void format_cmdline(struct buffer *buffer, const char *comm, char *text, size_t size)
{
    size_t length = buffer->length < size ? buffer->length : size - 1;

    while (length > 0 && buffer->data[length - 1] == '\0')
        length--;
    if (length == 0) {
        (void)snprintf(text, size, "[%s]", comm);
        return;
    }
    memcpy(text, buffer->data, length);
    text[length] = '\0';
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\0')
            text[i] = ' ';
    }
    make_text(text, length);
}

static json_t *process_to_json(const struct list_context *context, pid_t pid, struct buffer *buffer,
                               size_t *size)
{
    struct stat_line stat = {.state = '?'};
    char user[USER_NAME_MAX];
    char tty[32];
    char command[CMDLINE_MAX];
    char state[2] = "?";

    if (read_proc(pid, "stat", buffer) < 0 || buffer->length == 0 ||
        parse_stat(buffer->data, &stat) < 0 || read_proc(pid, "status", buffer) < 0)
        return NULL;
    const char *status = buffer_string(buffer);
    int64_t uid = status_id(status, "\nUid:");
    int64_t gid = status_id(status, "\nGid:");
    format_user(context, uid, user);
    format_tty(stat.field[STAT_TTY], tty, sizeof(tty));
    (void)read_proc(pid, "cmdline", buffer);
    format_cmdline(buffer, stat.comm, command, sizeof(command));
    if (stat.state > ' ' && stat.state < 0x7f)
        state[0] = stat.state;

    int64_t start = context->boot_ms + stat.field[STAT_START] * 1000 / context->ticks;
    int64_t elapsed = context->now_ms > start ? context->now_ms - start : 0;
    *size += strlen(command) + 512;
    return json_pack(
        "{s:i,s:I,s:I,s:I,s:I,s:I,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:s}",
        "pid", (int)pid, "ppid", (json_int_t)stat.field[STAT_PPID], "pgid",
        (json_int_t)stat.field[STAT_PGRP], "sid", (json_int_t)stat.field[STAT_SESSION], "uid",
        (json_int_t)uid, "gid", (json_int_t)gid, "user", user, "state", state, "tty", tty, "flags",
        (json_int_t)stat.field[STAT_FLAGS], "utime",
        (json_int_t)(stat.field[STAT_UTIME] * 1000 / context->ticks), "stime",
        (json_int_t)(stat.field[STAT_STIME] * 1000 / context->ticks), "start", (json_int_t)start,
        "elapsed", (json_int_t)elapsed, "vsz", (json_int_t)(stat.field[STAT_VSIZE] / 1024), "rss",
        (json_int_t)(stat.field[STAT_RSS] * context->page_kib), "nice",
        (json_int_t)stat.field[STAT_NICE], "pri", (json_int_t)(39 - stat.field[STAT_PRIORITY]),
        "nlwp", (json_int_t)stat.field[STAT_THREADS], "cpu", (json_int_t)stat.field[STAT_PROCESSOR],
        "comm", stat.comm, "cmdline", command);
}

static void read_passwd(int root_fd, struct buffer *buffer)
{
    CLEANUP_CLOSE int fd = -EBADF;
    struct stat status;
    char path[64];

    if (root_fd < 0)
        return;
    /* The container may have put a fifo or a device there. */
    fd = path_open_in_root(root_fd, "etc/passwd", O_PATH, 0);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void)file_read(AT_FDCWD, path, buffer, NULL);
}

int process_list_read(const pid_t *pids, size_t n, int root_fd, json_t **ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer buffer = BUFFER_INIT(FILE_MAX);
    CLEANUP(buffer_release) struct buffer passwd = BUFFER_INIT(PASSWD_MAX);
    CLEANUP_JSON json_t *list = json_array();
    struct sysinfo info = {0};
    size_t size = 0;

    if (!list)
        return error_oom(err);
    read_passwd(root_fd, &passwd);
    (void)sysinfo(&info);
    struct list_context context = {
        .now_ms = timestamp_now() / 1000000,
        .ticks = sysconf(_SC_CLK_TCK),
        .page_kib = sysconf(_SC_PAGESIZE) / 1024,
    };
    CLEANUP_FREE struct list_user *users = NULL;
    if (read_users(buffer_string(&passwd), &context) < 0)
        return error_oom(err);
    users = context.users;
    context.boot_ms = context.now_ms - timestamp_monotonic() / 1000000;
    for (size_t i = 0; i < n && i < PROCESSES_MAX && size < RESULT_MAX; i++) {
        json_t *process = process_to_json(&context, pids[i], &buffer, &size);

        if (process && json_array_append_new(list, process) < 0)
            return error_oom(err);
    }
    *ret = json_pack("{s:I,s:I,s:O}", "now", (json_int_t)context.now_ms, "memory",
                     (json_int_t)(info.totalram / 1024 * info.mem_unit), "processes", list);
    return *ret ? 0 : error_oom(err);
}
