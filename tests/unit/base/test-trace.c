#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/trace.h"
#include "unit.h"

#define MS INT64_C(1000000)

/* A VM that was booted for its start; times as seen from outside. */
static struct trace sample(void)
{
    struct trace trace = {.at = {0}};

    trace.at[TRACE_BEGIN] = 1000 * MS;
    trace.at[TRACE_WORKER] = 1010 * MS;
    trace.at[TRACE_REQUEST] = 1011 * MS;
    trace.at[TRACE_JAIL] = 1015 * MS;
    trace.at[TRACE_LINK] = 1100 * MS;
    return trace;
}

static json_t *report(int64_t now, int64_t kernel, int64_t init, int64_t disks)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "now", (json_int_t)now, "kernel", (json_int_t)kernel,
                     "init", (json_int_t)init, "disks", (json_int_t)disks);
}

static int64_t number(const json_t *list, size_t i, const char *name)
{
    return json_integer_value(json_object_get(json_array_get(list, i), name));
}

static const char *text(const json_t *list, size_t i, const char *name)
{
    return json_string_value(json_object_get(json_array_get(list, i), name));
}

static void test_phases_follow_each_other_and_add_up(void **state)
{
    struct trace trace = sample();

    (void)state;
    trace.at[TRACE_ENDED] = 5000 * MS;
    trace.at[TRACE_RECORD] = 5003 * MS + 999;
    CLEANUP_JSON json_t *list = trace_phases(&trace);
    assert_int_equal(json_array_size(list), 7);
    assert_string_equal(text(list, 0, "Phase"), "worker");
    assert_string_equal(text(list, 0, "Part"), "start");
    assert_int_equal(number(list, 0, "Microseconds"), 10000);
    assert_string_equal(text(list, 3, "Phase"), "link");
    assert_int_equal(number(list, 3, "Microseconds"), 85000);
    assert_int_equal(number(list, 3, "At"), 100000);
    assert_string_equal(text(list, 4, "Phase"), "total");
    assert_int_equal(number(list, 4, "Microseconds"), 100000);
    assert_string_equal(text(list, 5, "Phase"), "record");
    assert_string_equal(text(list, 5, "Part"), "end");
    assert_int_equal(number(list, 6, "Microseconds"), 3000);
}

static void test_a_mark_out_of_order_takes_no_time(void **state)
{
    struct trace trace = sample();

    (void)state;
    trace.at[TRACE_REQUEST] = 1005 * MS;
    CLEANUP_JSON json_t *list = trace_phases(&trace);
    assert_int_equal(number(list, 1, "Microseconds"), 0);
    assert_int_equal(number(list, 4, "Microseconds"), 100000);
}

static void test_nothing_marked(void **state)
{
    const struct trace trace = {.at = {0}};

    (void)state;
    CLEANUP_JSON json_t *list = trace_phases(&trace);
    assert_int_equal(json_array_size(list), 0);
}

static void test_report_of_a_guest(void **state)
{
    struct trace trace = sample();
    CLEANUP_JSON json_t *guest = report(110 * MS, 60 * MS, 70 * MS, 90 * MS);

    (void)state;
    trace_take_report(&trace, guest, 1130 * MS, true);
    assert_int_equal(trace.at[TRACE_VMM], 1020 * MS);
    assert_int_equal(trace.at[TRACE_KERNEL], 1080 * MS);
    assert_int_equal(trace.at[TRACE_INIT], 1090 * MS);
    assert_int_equal(trace.at[TRACE_DISKS], 1110 * MS);
}

static void test_report_of_a_guest_that_lies(void **state)
{
    static const int64_t lies[][4] = {
        {110 * MS, 1, 1, 1},
        {110 * MS, INT64_MAX, INT64_MAX, INT64_MAX},
        {110 * MS, 90 * MS, 20 * MS, 10 * MS},
        {30 * MS, 29 * MS, 1, 30 * MS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct trace trace = sample();
        CLEANUP_JSON json_t *guest = report(lies[i][0], lies[i][1], lies[i][2], lies[i][3]);
        int64_t last = 0;

        trace_take_report(&trace, guest, 1130 * MS, true);
        for (int mark = 0; mark < TRACE_MARK_MAX; mark++) {
            if (trace.at[mark] == 0)
                continue;
            assert_true(trace.at[mark] >= last);
            assert_true(trace.at[mark] <= 1130 * MS);
            last = trace.at[mark];
        }
        assert_int_equal(trace.at[TRACE_LINK], 1100 * MS);
    }
}

static void test_report_without_sense_adds_nothing(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"now\": 0, \"kernel\": 5}",
        "{\"now\": -5, \"kernel\": 5}",
        "{\"now\": \"5\", \"kernel\": 5}",
        "{\"now\": 5000000, \"kernel\": -5}",
        "{\"now\": 5000000, \"kernel\": {}}",
        "{\"now\": 9223372036854775807, \"kernel\": 5}",
        "{\"now\": 5000000, \"running\": 5, \"record\": 7, \"begin\": 1}",
    };
    const struct trace before = sample();

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct trace trace = before;
        CLEANUP_JSON json_t *json = NULL;

        assert_return_code(json_parse(texts[i], strlen(texts[i]), &json, NULL), 0);
        trace_take_report(&trace, json, 1130 * MS, false);
        assert_memory_equal(&trace, &before, sizeof(trace));
    }
    struct trace trace = before;
    trace_take_report(&trace, NULL, 1130 * MS, true);
    assert_memory_equal(&trace, &before, sizeof(trace));
}

static void test_boot_before_the_start_is_none_of_it(void **state)
{
    struct trace trace = sample();
    CLEANUP_JSON json_t *guest = report(500 * MS, 60 * MS, 70 * MS, 490 * MS);

    (void)state;
    trace_take_report(&trace, guest, 1130 * MS, true);
    assert_int_equal(trace.at[TRACE_VMM], 0);
    assert_int_equal(trace.at[TRACE_KERNEL], 0);
    assert_int_equal(trace.at[TRACE_INIT], 0);
    assert_int_equal(trace.at[TRACE_DISKS], 1120 * MS);
}

static void test_report_of_this_kernel(void **state)
{
    struct trace own = {.at = {0}};
    struct trace trace = {.at = {0}};

    (void)state;
    trace_now(&trace, TRACE_BEGIN);
    trace_now(&own, TRACE_CREATE);
    CLEANUP_JSON json_t *made = trace_to_report(&own);
    trace_now(&trace, TRACE_CREATED);
    trace_take_report(&trace, made, trace.at[TRACE_CREATED], false);
    assert_in_range(trace.at[TRACE_CREATE], trace.at[TRACE_BEGIN], trace.at[TRACE_CREATED]);
    assert_int_equal(trace.at[TRACE_VMM], 0);
}

static void test_files(void **state)
{
    char directory[] = "/tmp/hull-test-trace.XXXXXX";
    struct trace trace = sample();
    struct trace read = {.at = {0}};
    struct trace more = {.at = {0}};

    (void)state;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(trace_read(directory, TRACE_WORKER_FILE, &read, NULL), -ENOENT);
    assert_return_code(trace_write(directory, TRACE_WORKER_FILE, &trace, NULL), 0);
    assert_return_code(trace_read(directory, TRACE_WORKER_FILE, &read, NULL), 0);
    assert_memory_equal(&read, &trace, sizeof(read));
    more.at[TRACE_LAYERS] = 1001 * MS;
    trace_merge(&read, &more);
    assert_int_equal(read.at[TRACE_LAYERS], 1001 * MS);
    assert_int_equal(read.at[TRACE_LINK], 1100 * MS);
    trace_remove(directory);
    assert_return_code(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phases_follow_each_other_and_add_up),
        cmocka_unit_test(test_a_mark_out_of_order_takes_no_time),
        cmocka_unit_test(test_nothing_marked),
        cmocka_unit_test(test_report_of_a_guest),
        cmocka_unit_test(test_report_of_a_guest_that_lies),
        cmocka_unit_test(test_report_without_sense_adds_nothing),
        cmocka_unit_test(test_boot_before_the_start_is_none_of_it),
        cmocka_unit_test(test_report_of_this_kernel),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
