#include <time.h>

#include "base/timestamp.h"
#include "unit.h"

#define SECOND INT64_C(1000000000)

static void test_format(void **state)
{
    char text[TIMESTAMP_TEXT_MAX];

    (void)state;
    assert_string_equal(timestamp_format(0, text), "0001-01-01T00:00:00Z");
    assert_string_equal(timestamp_format(1767323045 * SECOND + 123456789, text),
                        "2026-01-02T03:04:05.123456789Z");
    assert_string_equal(timestamp_format(-1, text), "1969-12-31T23:59:59.999999999Z");
    assert_string_equal(timestamp_format(INT64_MAX, text), "2262-04-11T23:47:16.854775807Z");
    assert_string_equal(timestamp_format(INT64_MIN, text), "1677-09-21T00:12:43.145224192Z");
}

static void test_parse_points_in_time(void **state)
{
    static const struct {
        const char *text;
        int64_t when;
    } good[] = {
        {"0001-01-01T00:00:00Z", 0},
        {"2026-01-02T03:04:05Z", 1767323045 * SECOND},
        {"2026-01-02T03:04:05.123456789Z", 1767323045 * SECOND + 123456789},
        {"2026-01-02T03:04:05.5+01:00", 1767319445 * SECOND + 500000000},
        {"2026-01-02T03:04:05-00:30", 1767324845 * SECOND},
        {"2026-01-02T03:04Z", 1767323040 * SECOND},
        {"2024-02-29T00:00:00Z", 1709164800 * SECOND},
        {"1700000000", 1700000000 * SECOND},
        {"1700000000.5", 1700000000 * SECOND + 500000000},
        {"1700000000.000000001", 1700000000 * SECOND + 1},
        {"0", 0},
        {"2026-01-02T03:04:05", 1767323045 * SECOND}, /* local, which is UTC here */
        {"2026-01-02", 1767312000 * SECOND},
    };
    int64_t when;

    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        when = 1;
        assert_int_equal(timestamp_parse(good[i].text, &when), 0);
        assert_true(when == good[i].when);
    }
}

static void test_parse_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "2026-01-02T03:04:05Zx",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:04:60Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05+1:00",
        "2026-01-02 03:04:05",
        "9999-01-01T00:00:00Z",
        "1700000000.",
        "99999999999999999999",
        "9223372037",
        "-5",
        "m",
        ".m",
        "10x",
        "10m5",
        "1h m",
        "99999999999h",
    };
    int64_t when = 42;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(timestamp_parse(bad[i], &when), -EINVAL);
    assert_int_equal(timestamp_parse(NULL, &when), -EINVAL);
    assert_int_equal(when, 42);
}

static void assert_ago(const char *text, int64_t ago)
{
    int64_t before = timestamp_now();
    int64_t when = 0;

    assert_int_equal(timestamp_parse(text, &when), 0);
    assert_true(when >= before - ago && when <= timestamp_now() - ago);
}

static void test_durations_are_ago(void **state)
{
    (void)state;
    assert_ago("10m", 600 * SECOND);
    assert_ago("1h30m", 5400 * SECOND);
    assert_ago("1.5h", 5400 * SECOND);
    assert_ago(".5s", SECOND / 2);
    assert_ago("250ms", SECOND / 4);
    assert_ago("3us", 3000);
    assert_ago("3\xc2\xb5s", 3000);
    assert_ago("7ns", 7);
    assert_ago("-10m", -600 * SECOND);
}

static void test_round_trip(void **state)
{
    char text[TIMESTAMP_TEXT_MAX];
    int64_t now = timestamp_now();
    int64_t parsed = 0;

    (void)state;
    assert_int_equal(timestamp_parse(timestamp_format(now, text), &parsed), 0);
    assert_true(parsed == now);
    assert_true(timestamp_monotonic() <= timestamp_monotonic());
}

static void test_human_durations(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {
        {0, "Less than a second"}, {1, "1 second"},          {5, "5 seconds"},
        {59, "59 seconds"},        {60, "About a minute"},   {119, "About a minute"},
        {120, "2 minutes"},        {3599, "59 minutes"},     {3600, "About an hour"},
        {5399, "About an hour"},   {5400, "2 hours"},        {3 * 3600, "3 hours"},
        {47 * 3600, "47 hours"},   {48 * 3600, "2 days"},    {13 * 86400, "13 days"},
        {14 * 86400, "2 weeks"},   {60 * 86400, "2 months"}, {730 * 86400, "2 years"},
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        timestamp_human_duration(rows[i].seconds * SECOND, text, sizeof(text));
        assert_string_equal(text, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),        cmocka_unit_test(test_parse_points_in_time),
        cmocka_unit_test(test_parse_refuses), cmocka_unit_test(test_durations_are_ago),
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_human_durations),
    };

    return UNIT_RUN(tests);
}
