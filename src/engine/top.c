/* `docker top`: the agent's process list in the shape that ps(1) of procps would give it.
 *
 * A utility VM has no ps program, and the host's cannot see into it; so the columns are made here,
 * the same for both isolations. Understood are the selections that mean "all" (-e -A -a -x, a u x),
 * the formats -f, -F, -l, u, and -o with any of the columns below and titles of one's own. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "compute/client.h"
#include "engine/private.h"

enum { COLUMNS_MAX = 64, CELL_MAX = 4096 };

struct row {
    const json_t *process;
    int64_t now;    /* ms since the epoch */
    int64_t memory; /* KiB of the kernel that runs it */
};

static int64_t number(const struct row *row, const char *name)
{
    return json_integer_value(json_object_get(row->process, name));
}

static const char *text(const struct row *row, const char *name)
{
    return string_or(json_string_value(json_object_get(row->process, name)), "");
}

static void cell_text(const struct row *row, const char *field, char *cell)
{
    string_copy(cell, CELL_MAX, text(row, field));
    /* As ps(1): a terminal is to show names, not to obey them. */
    for (unsigned char *c = (unsigned char *)cell; *c; c++) {
        if (*c < ' ' || *c == 0x7f)
            *c = '?';
        else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
            c[0] = c[1] = '?';
    }
}

static void cell_number(const struct row *row, const char *field, char *cell)
{
    (void)snprintf(cell, CELL_MAX, "%" PRId64, number(row, field));
}

/* [[dd-]hh:]mm:ss */
static void elapsed(int64_t seconds, char *cell)
{
    int64_t days = seconds / 86400;
    int hours = (int)(seconds / 3600 % 24);
    int minutes = (int)(seconds / 60 % 60);
    if (days)
        (void)snprintf(cell, CELL_MAX, "%" PRId64 "-%02d:%02d:%02d", days, hours, minutes,
                       (int)(seconds % 60));
    else if (hours)
        (void)snprintf(cell, CELL_MAX, "%02d:%02d:%02d", hours, minutes, (int)(seconds % 60));
    else
        (void)snprintf(cell, CELL_MAX, "%02d:%02d", minutes, (int)(seconds % 60));
}

static void cell_etime(const struct row *row, const char *field, char *cell)
{
    elapsed(number(row, field) / 1000, cell);
}

static void cell_etimes(const struct row *row, const char *field, char *cell)
{
    (void)snprintf(cell, CELL_MAX, "%" PRId64, number(row, field) / 1000);
}

static int64_t cpu_ms(const struct row *row)
{
    int64_t sum;
    return __builtin_add_overflow(number(row, "utime"), number(row, "stime"), &sum) ? 0 : sum;
}

/* [dd-]hh:mm:ss of ps -ef. */
static void cell_time(const struct row *row, const char *field, char *cell)
{
    int64_t seconds = cpu_ms(row) / 1000;
    (void)field;
    if (seconds >= 86400)
        (void)snprintf(cell, CELL_MAX, "%" PRId64 "-%02d:%02d:%02d", seconds / 86400,
                       (int)(seconds / 3600 % 24), (int)(seconds / 60 % 60), (int)(seconds % 60));
    else
        (void)snprintf(cell, CELL_MAX, "%02d:%02d:%02d", (int)(seconds / 3600),
                       (int)(seconds / 60 % 60), (int)(seconds % 60));
}

/* m:ss of ps u. */
static void cell_bsdtime(const struct row *row, const char *field, char *cell)
{
    int64_t seconds = cpu_ms(row) / 1000;
    (void)field;
    (void)snprintf(cell, CELL_MAX, "%" PRId64 ":%02d", seconds / 60, (int)(seconds % 60));
}

static double cpu_percent(const struct row *row)
{
    int64_t age = number(row, "elapsed");
    return age > 0 ? 100.0 * (double)cpu_ms(row) / (double)age : 0.0;
}

static void cell_cpu(const struct row *row, const char *field, char *cell)
{
    (void)field;
    (void)snprintf(cell, CELL_MAX, "%.1f", cpu_percent(row));
}

static void cell_c(const struct row *row, const char *field, char *cell)
{
    (void)field;
    (void)snprintf(cell, CELL_MAX, "%.0f", trunc(cpu_percent(row)));
}

static void cell_mem(const struct row *row, const char *field, char *cell)
{
    double share = row->memory > 0 ? 100.0 * (double)number(row, "rss") / (double)row->memory : 0;
    (void)field;
    (void)snprintf(cell, CELL_MAX, "%.1f", share);
}

/* ps: the time today, the day this year, else the year. */
static void cell_start(const struct row *row, const char *field, char *cell)
{
    time_t start = (time_t)(number(row, field) / 1000);
    time_t now = (time_t)(row->now / 1000);
    struct tm started;
    struct tm today;
    (void)localtime_r(&start, &started);
    (void)localtime_r(&now, &today);
    const char *format = started.tm_year != today.tm_year   ? "%Y"
                         : started.tm_yday != today.tm_yday ? "%b%d"
                                                            : "%H:%M";
    if (strftime(cell, CELL_MAX, format, &started) == 0)
        cell[0] = '\0';
}

static void cell_lstart(const struct row *row, const char *field, char *cell)
{
    time_t start = (time_t)(number(row, field) / 1000);
    struct tm started;
    (void)localtime_r(&start, &started);
    if (strftime(cell, CELL_MAX, "%a %b %e %H:%M:%S %Y", &started) == 0)
        cell[0] = '\0';
}

static void cell_stat(const struct row *row, const char *field, char *cell)
{
    (void)field;
    (void)snprintf(cell, CELL_MAX, "%s%s%s%s", text(row, "state"),
                   number(row, "nice") < 0   ? "<"
                   : number(row, "nice") > 0 ? "N"
                                             : "",
                   number(row, "pid") == number(row, "sid") ? "s" : "",
                   number(row, "nlwp") > 1 ? "l" : "");
}

static void cell_pages(const struct row *row, const char *field, char *cell)
{
    (void)snprintf(cell, CELL_MAX, "%" PRId64, number(row, field) / 4);
}

static void cell_dash(const struct row *row, const char *field, char *cell)
{
    (void)row;
    (void)field;
    string_copy(cell, CELL_MAX, "-");
}

static const struct column {
    const char *name;
    const char *title;
    void (*format)(const struct row *row, const char *field, char *cell);
    const char *field;
} columns[] = {
    {"pid", "PID", cell_number, "pid"},
    {"tgid", "TGID", cell_number, "pid"},
    {"ppid", "PPID", cell_number, "ppid"},
    {"pgid", "PGID", cell_number, "pgid"},
    {"pgrp", "PGRP", cell_number, "pgid"},
    {"sid", "SID", cell_number, "sid"},
    {"sess", "SESS", cell_number, "sid"},
    {"user", "USER", cell_text, "user"},
    {"euser", "EUSER", cell_text, "user"},
    {"ruser", "RUSER", cell_text, "user"},
    {"uname", "USER", cell_text, "user"},
    {"uid_hack", "UID", cell_text, "user"},
    {"uid", "UID", cell_number, "uid"},
    {"euid", "EUID", cell_number, "uid"},
    {"ruid", "RUID", cell_number, "uid"},
    {"gid", "GID", cell_number, "gid"},
    {"egid", "EGID", cell_number, "gid"},
    {"s", "S", cell_text, "state"},
    {"state", "S", cell_text, "state"},
    {"stat", "STAT", cell_stat, ""},
    {"tty", "TT", cell_text, "tty"},
    {"tt", "TT", cell_text, "tty"},
    {"tname", "TTY", cell_text, "tty"},
    {"time", "TIME", cell_time, ""},
    {"cputime", "TIME", cell_time, ""},
    {"bsdtime", "TIME", cell_bsdtime, ""},
    {"etime", "ELAPSED", cell_etime, "elapsed"},
    {"etimes", "ELAPSED", cell_etimes, "elapsed"},
    {"start", "STARTED", cell_start, "start"},
    {"start_time", "START", cell_start, "start"},
    {"bsdstart", "START", cell_start, "start"},
    {"stime", "STIME", cell_start, "start"},
    {"lstart", "STARTED", cell_lstart, "start"},
    {"c", "C", cell_c, ""},
    {"pcpu", "%CPU", cell_cpu, ""},
    {"%cpu", "%CPU", cell_cpu, ""},
    {"pmem", "%MEM", cell_mem, ""},
    {"%mem", "%MEM", cell_mem, ""},
    {"vsz", "VSZ", cell_number, "vsz"},
    {"vsize", "VSZ", cell_number, "vsz"},
    {"rss", "RSS", cell_number, "rss"},
    {"rssize", "RSS", cell_number, "rss"},
    {"sz", "SZ", cell_pages, "vsz"},
    {"ni", "NI", cell_number, "nice"},
    {"nice", "NI", cell_number, "nice"},
    {"pri", "PRI", cell_number, "pri"},
    {"nlwp", "NLWP", cell_number, "nlwp"},
    {"thcount", "THCNT", cell_number, "nlwp"},
    {"psr", "PSR", cell_number, "cpu"},
    {"f", "F", cell_number, "flags"},
    {"wchan", "WCHAN", cell_dash, ""},
    {"addr", "ADDR", cell_dash, ""},
    {"comm", "COMMAND", cell_text, "comm"},
    {"ucmd", "CMD", cell_text, "comm"},
    {"args", "COMMAND", cell_text, "cmdline"},
    {"cmd", "CMD", cell_text, "cmdline"},
    {"command", "COMMAND", cell_text, "cmdline"},
};

struct chosen {
    const struct column *column;
    char *title;
};

struct selection {
    struct chosen chosen[COLUMNS_MAX];
    size_t n;
};

static void selection_release(struct selection *selection)
{
    for (size_t i = 0; i < selection->n; i++)
        free(selection->chosen[i].title);
}

static int select_column(struct selection *selection, const char *name, const char *title,
                         struct error *err)
{
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        if (!string_equal(columns[i].name, name))
            continue;
        if (selection->n == COLUMNS_MAX)
            return error_set_class(err, ERROR_INVALID, "ps: more than %d columns", COLUMNS_MAX);
        struct chosen *chosen = &selection->chosen[selection->n];
        chosen->column = &columns[i];
        chosen->title = strdup(title ? title : columns[i].title);
        if (!chosen->title)
            return error_oom(err);
        selection->n++;
        return 0;
    }
    return error_set_class(err, ERROR_INVALID,
                           "ps: error: unknown user-defined format specifier "
                           "\"%s\"",
                           name);
}

/* "pid,comm=NAME": all after an "=" is the title of the last column, as POSIX has it. */
static int select_list(struct selection *selection, const char *list, struct error *err)
{
    CLEANUP_STRV char **names = NULL;
    const char *equals = strchr(list, '=');
    CLEANUP_FREE char *plain = strndup(list, equals ? (size_t)(equals - list) : strlen(list));
    if (!plain || strv_split(plain, ',', &names) < 0)
        return error_oom(err);
    for (char **name = names; name && *name; name++) {
        bool last = !name[1];
        if (!**name)
            continue;
        int r = select_column(selection, *name, last && equals ? equals + 1 : NULL, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int select_format(struct selection *selection, const char *names, const char *titles,
                         struct error *err)
{
    CLEANUP_STRV char **name = NULL;
    CLEANUP_STRV char **title = NULL;
    if (strv_split(names, ',', &name) < 0 || strv_split(titles, ',', &title) < 0)
        return error_oom(err);
    for (size_t i = 0; name[i]; i++) {
        int r = select_column(selection, name[i], title[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

enum ps_format { PS_PLAIN, PS_FULL, PS_LONG, PS_USER };

static int select_standard(struct selection *selection, enum ps_format format, struct error *err)
{
    switch (format) {
    case PS_FULL:
        return select_format(selection, "uid_hack,pid,ppid,c,stime,tty,time,cmd",
                             "UID,PID,PPID,C,STIME,TTY,TIME,CMD", err);
    case PS_LONG:
        return select_format(selection, "f,s,uid,pid,ppid,c,pri,ni,addr,sz,wchan,tty,time,ucmd",
                             "F,S,UID,PID,PPID,C,PRI,NI,ADDR,SZ,WCHAN,TTY,TIME,CMD", err);
    case PS_USER:
        return select_format(selection,
                             "user,pid,%cpu,%mem,vsz,rss,tty,stat,start_time,bsdtime,args",
                             "USER,PID,%CPU,%MEM,VSZ,RSS,TTY,STAT,START,TIME,COMMAND", err);
    case PS_PLAIN:
        break;
    }
    return select_format(selection, "pid,tty,time,ucmd", "PID,TTY,TIME,CMD", err);
}

/* One word of options; *list is set where the next word is the list of -o. */
static int parse_word(struct selection *selection, const char *word, enum ps_format *format,
                      bool *list, struct error *err)
{
    bool dash = *word == '-';
    for (const char *c = dash ? word + 1 : word; *c; c++) {
        if (*c == 'o') {
            *list = c[1] == '\0';
            return c[1] ? select_list(selection, c + 1, err) : 0;
        }
        if (*c == 'f' || *c == 'F')
            *format = PS_FULL;
        else if (*c == 'l')
            *format = PS_LONG;
        else if (*c == 'u' && !dash)
            *format = PS_USER;
        else if (!strchr(dash ? "eAaxwHcy" : "axwe", *c))
            return error_set_class(err, ERROR_INVALID, "ps: unsupported option '%s'", word);
    }
    return 0;
}

static int parse_arguments(struct selection *selection, const char *arguments, struct error *err)
{
    CLEANUP_STRV char **words = NULL;
    enum ps_format format = PS_PLAIN;
    bool list = false;
    if (strv_split(arguments, ' ', &words) < 0)
        return error_oom(err);
    for (char **word = words; word && *word; word++) {
        if (!**word)
            continue;
        bool is_list = list;
        list = false;
        int r = is_list ? select_list(selection, *word, err)
                        : parse_word(selection, *word, &format, &list, err);
        if (r < 0)
            return r;
    }
    if (list)
        return error_set_class(err, ERROR_INVALID, "ps: -o needs a list of columns");
    return selection->n ? 0 : select_standard(selection, format, err);
}

static int add_row(json_t *rows, const struct selection *selection, const struct row *row)
{
    char cell[CELL_MAX];
    CLEANUP_JSON json_t *cells = json_array();
    for (size_t i = 0; i < selection->n; i++) {
        const struct column *column = selection->chosen[i].column;
        column->format(row, column->field, cell);
        /* Cutting at CELL_MAX may have split a character. */
        json_t *value = json_string(cell);
        if (!value)
            value = json_stringn_nocheck(cell, strnlen(cell, CELL_MAX - 8));
        if (json_array_append_new(cells, value) < 0)
            return -ENOMEM;
    }
    return json_array_append(rows, cells);
}

int top_format(const json_t *processes, const char *ps_args, json_t **ret, struct error *err)
{
    CLEANUP(selection_release) struct selection selection = {0};
    CLEANUP_JSON json_t *titles = json_array();
    CLEANUP_JSON json_t *rows = json_array();
    bool has_pid = false;
    int r = parse_arguments(&selection, string_is_empty(ps_args) ? "-ef" : ps_args, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < selection.n; i++) {
        has_pid = has_pid || string_equal(selection.chosen[i].title, "PID");
        if (json_array_append_new(titles, json_string(selection.chosen[i].title)) < 0)
            return error_oom(err);
    }
    if (!has_pid)
        return error_set(err, -EINVAL, "Couldn't find PID field in ps output");
    struct row row = {
        .now = json_integer_value(json_object_get(processes, "now")),
        .memory = json_integer_value(json_object_get(processes, "memory")),
    };
    size_t i;
    json_t *process;
    json_array_foreach (json_object_get(processes, "processes"), i, process) {
        row.process = process;
        if (add_row(rows, &selection, &row) < 0)
            return error_oom(err);
    }
    json_t *document = json_pack("{s:O, s:O}", "Titles", titles, "Processes", rows);
    if (!document)
        return error_oom(err);
    *ret = document;
    return 0;
}

int engine_container_top(struct engine *engine, const char *reference, const char *ps_args,
                         json_t **ret, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_JSON json_t *processes = NULL;
    struct compute_client *client = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    {
        ENGINE_STATE(engine);
        if (!container_is_running(container))
            return error_set_class(err, ERROR_CONFLICT, "container %s is not running",
                                   container->id);
    }
    r = compute_client_connect(container->runtime_dir, &client, err);
    if (r == 0)
        r = compute_client_call(client, "processes", NULL, &processes, err);
    compute_client_free(client);
    return r < 0 ? r : top_format(processes, ps_args, ret, err);
}
