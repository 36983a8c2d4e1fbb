#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "engine/private.h"

/* One process, asleep for two days, and the kernel's side of the numbers. */
static json_t *processes(void)
{
    return json_pack("{s:I, s:i, s:[{s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:s, s:i, s:I, s:I, "
                     "s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s}]}",
                     "now", (json_int_t)1700000000000, "memory", 1000, "processes", "pid", 7,
                     "ppid", 1, "pgid", 7, "sid", 7, "uid", 1000, "gid", 1000, "user", "app",
                     "state", "S", "tty", "pts/0", "flags", 0, "utime", (json_int_t)90000, "stime",
                     (json_int_t)30000, "start", (json_int_t)1699827200000, "elapsed",
                     (json_int_t)172800000, "vsz", 4000, "rss", 25, "nice", 0, "pri", 19, "nlwp", 2,
                     "cpu", 0, "comm", "sleep", "cmdline", "sleep inf");
}

static void assert_table(const char *arguments, const char *titles, const char *row)
{
    json_t *json = processes();
    json_t *top = NULL;
    assert_int_equal(top_format(json, arguments, &top, NULL), 0);
    char *got = json_format(json_object_get(top, "Titles"));
    assert_string_equal(got, titles);
    free(got);
    json_t *rows = json_object_get(top, "Processes");
    assert_int_equal(json_array_size(rows), 1);
    got = json_format(json_array_get(rows, 0));
    assert_string_equal(got, row);
    free(got);
    json_decref(top);
    json_decref(json);
}

static void the_formats_people_use(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    assert_table(NULL, "[\"UID\",\"PID\",\"PPID\",\"C\",\"STIME\",\"TTY\",\"TIME\",\"CMD\"]",
                 "[\"app\",\"7\",\"1\",\"0\",\"Nov12\",\"pts/0\",\"00:02:00\",\"sleep inf\"]");
    assert_table("-eo pid,comm", "[\"PID\",\"COMMAND\"]", "[\"7\",\"sleep\"]");
    assert_table("-o pid,user=WHO", "[\"PID\",\"WHO\"]", "[\"7\",\"app\"]");
    assert_table("-o pid -o etime", "[\"PID\",\"ELAPSED\"]", "[\"7\",\"2-00:00:00\"]");
    assert_table("aux",
                 "[\"USER\",\"PID\",\"%CPU\",\"%MEM\",\"VSZ\",\"RSS\",\"TTY\",\"STAT\",\"START\","
                 "\"TIME\",\"COMMAND\"]",
                 "[\"app\",\"7\",\"0.1\",\"2.5\",\"4000\",\"25\",\"pts/0\",\"Ssl\",\"Nov12\","
                 "\"2:00\",\"sleep inf\"]");
    assert_table("-A", "[\"PID\",\"TTY\",\"TIME\",\"CMD\"]",
                 "[\"7\",\"pts/0\",\"00:02:00\",\"sleep\"]");
}

static void what_cannot_be_answered(void **state)
{
    static const struct {
        const char *arguments;
        const char *message;
    } cases[] = {
        {"-o comm", "Couldn't find PID field in ps output"},
        {"-o pid,nonsense", "ps: error: unknown user-defined format specifier \"nonsense\""},
        {"-Q", "ps: unsupported option '-Q'"},
        {"-o", "ps: -o needs a list of columns"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = ERROR_INIT;
        json_t *top = NULL;
        json_t *json = processes();
        assert_true(top_format(json, cases[i].arguments, &top, &err) < 0);
        assert_string_equal(err.message, cases[i].message);
        assert_null(top);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_formats_people_use),
        cmocka_unit_test(what_cannot_be_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
