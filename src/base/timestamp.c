#include "base/timestamp.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND INT64_C(1000000000)
#define ZERO_TIME_TEXT "0001-01-01T00:00:00Z"

static int64_t clock_read(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

int64_t timestamp_now(void)
{
    return clock_read(CLOCK_REALTIME);
}

int64_t timestamp_monotonic(void)
{
    return clock_read(CLOCK_BOOTTIME);
}

int64_t timestamp_awake(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

const char *timestamp_format(int64_t when, char text[TIMESTAMP_TEXT_MAX])
{
    time_t seconds = when / SECOND;
    long nanoseconds = when % SECOND;
    struct tm tm;

    if (nanoseconds < 0) { /* before 1970: round down, not towards zero */
        nanoseconds += SECOND;
        seconds--;
    }
    if (when == 0 || !gmtime_r(&seconds, &tm)) {
        memcpy(text, ZERO_TIME_TEXT, sizeof(ZERO_TIME_TEXT));
        return text;
    }
    /* The modulo only tells the compiler what 64 bits of nanoseconds allow anyway. */
    snprintf(text, TIMESTAMP_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ",
             (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100, tm.tm_hour % 100,
             tm.tm_min % 100, tm.tm_sec % 100, nanoseconds);
    return text;
}

/* Exactly `digits` digits at *text, which moves past them. */
static bool read_digits(const char **text, int digits, int *ret)
{
    int value = 0;

    for (; digits > 0; digits--, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        value = value * 10 + (**text - '0');
    }
    *ret = value;
    return true;
}

static bool read_char(const char **text, char c)
{
    if (**text != c)
        return false;
    (*text)++;
    return true;
}

/* Digits after a point as a fraction of `unit`; needs one digit at least, ignores those below one
 * nanosecond. */
static bool read_fraction(const char **text, int64_t unit, int64_t *ret)
{
    int64_t numerator = 0;
    int64_t scale = 1;
    const char *c = *text;

    for (; *c >= '0' && *c <= '9'; c++)
        if (scale < SECOND) {
            numerator = numerator * 10 + (*c - '0');
            scale *= 10;
        }
    if (c == *text)
        return false;
    *text = c;
    *ret = (int64_t)((__int128)numerator * unit / scale);
    return true;
}

/* "Z" or "+hh:mm", the difference to UTC in seconds; false when neither is there. */
static bool read_zone(const char **text, int *ret)
{
    int sign = **text == '-' ? -1 : 1;
    int hours;
    int minutes;

    if (read_char(text, 'Z') || read_char(text, 'z')) {
        *ret = 0;
        return true;
    }
    if (**text != '+' && **text != '-')
        return false;
    (*text)++;
    if (!read_digits(text, 2, &hours) || !read_char(text, ':') || !read_digits(text, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *ret = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* "T15:04[:05[.999]]" if there is one. */
static bool read_time(const char **text, struct tm *tm, int64_t *ret_fraction)
{
    if (!read_char(text, 'T') && !read_char(text, 't'))
        return **text == '\0';
    if (!read_digits(text, 2, &tm->tm_hour) || !read_char(text, ':') ||
        !read_digits(text, 2, &tm->tm_min))
        return false;
    if (!read_char(text, ':'))
        return true;
    if (!read_digits(text, 2, &tm->tm_sec))
        return false;
    return !read_char(text, '.') || read_fraction(text, SECOND, ret_fraction);
}

static bool is_calendar_date(const struct tm *tm)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = tm->tm_year + 1900;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 &&
           tm->tm_mday <= days[tm->tm_mon] + (leap && tm->tm_mon == 1) && tm->tm_hour <= 23 &&
           tm->tm_min <= 59 && tm->tm_sec <= 59;
}

static int parse_rfc3339(const char *text, int64_t *ret)
{
    struct tm tm = {.tm_isdst = -1};
    int64_t fraction = 0;
    int64_t when;
    int zone = 0;
    time_t seconds;

    if (strcmp(text, ZERO_TIME_TEXT) == 0) {
        *ret = 0;
        return 0;
    }
    if (!read_digits(&text, 4, &tm.tm_year) || !read_char(&text, '-') ||
        !read_digits(&text, 2, &tm.tm_mon) || !read_char(&text, '-') ||
        !read_digits(&text, 2, &tm.tm_mday))
        return -EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (!read_time(&text, &tm, &fraction) || !is_calendar_date(&tm))
        return -EINVAL;
    if (*text) {
        if (!read_zone(&text, &zone) || *text)
            return -EINVAL;
        seconds = timegm(&tm) - zone;
    } else {
        seconds = mktime(&tm); /* docker: without a zone it is local time */
    }
    if (__builtin_mul_overflow((int64_t)seconds, SECOND, &when) ||
        __builtin_add_overflow(when, fraction, &when))
        return -EINVAL;
    *ret = when;
    return 0;
}

/* Decimal digits, maybe none, as a multiple of `unit`; false on overflow. */
static bool read_whole(const char **text, int64_t unit, int64_t *ret)
{
    int64_t value = 0;

    for (; **text >= '0' && **text <= '9'; (*text)++)
        if (__builtin_mul_overflow(value, INT64_C(10), &value) ||
            __builtin_add_overflow(value, (int64_t)(**text - '0'), &value))
            return false;
    return !__builtin_mul_overflow(value, unit, ret);
}

static int parse_unix(const char *text, int64_t *ret)
{
    int64_t when;
    int64_t fraction = 0;

    if (*text < '0' || *text > '9' || !read_whole(&text, SECOND, &when))
        return -EINVAL;
    if (read_char(&text, '.') && !read_fraction(&text, SECOND, &fraction))
        return -EINVAL;
    if (*text || __builtin_add_overflow(when, fraction, &when))
        return -EINVAL;
    *ret = when;
    return 0;
}

/* The unit at *text, in nanoseconds; 0 when there is none. The longer names come first. */
static int64_t read_duration_unit(const char **text)
{
    static const struct {
        const char *name;
        int64_t unit;
    } units[] = {
        {"ns", 1},       {"us", 1000},  {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
        {"ms", 1000000}, {"s", SECOND}, {"m", 60 * SECOND},  {"h", 3600 * SECOND},
    };

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t length = strlen(units[i].name);

        if (strncmp(*text, units[i].name, length) == 0) {
            *text += length;
            return units[i].unit;
        }
    }
    return 0;
}

/* One "1.5h" of a duration. */
static bool read_duration_part(const char **text, int64_t *ret)
{
    const char *number = *text;
    const char *after = number + strspn(number, "0123456789.");
    int64_t unit = read_duration_unit(&after);
    int64_t whole;
    int64_t fraction = 0;

    if (unit == 0 || ((*number < '0' || *number > '9') && *number != '.') ||
        !read_whole(&number, unit, &whole))
        return false;
    if (read_char(&number, '.') && !read_fraction(&number, unit, &fraction))
        return false;
    if (read_duration_unit(&number) != unit || number != after)
        return false;
    *text = after;
    return !__builtin_add_overflow(whole, fraction, ret);
}

/* The format of Go's time.ParseDuration. */
static int parse_duration(const char *text, int64_t *ret)
{
    bool negative = *text == '-';
    int64_t total = 0;

    if (*text == '-' || *text == '+')
        text++;
    do {
        int64_t part;

        if (!read_duration_part(&text, &part) || __builtin_add_overflow(total, part, &total))
            return -EINVAL;
    } while (*text);
    *ret = negative ? -total : total;
    return 0;
}

int timestamp_parse(const char *text, int64_t *ret)
{
    int64_t ago;
    int64_t when;

    if (!text)
        return -EINVAL;
    if (parse_rfc3339(text, ret) == 0 || parse_unix(text, ret) == 0)
        return 0;
    if (parse_duration(text, &ago) < 0 || __builtin_sub_overflow(timestamp_now(), ago, &when))
        return -EINVAL;
    *ret = when;
    return 0;
}

/* The steps of docker's go-units HumanDuration. */
void timestamp_human_duration(int64_t nanoseconds, char *text, unsigned long size)
{
    int64_t seconds = nanoseconds / SECOND;
    int64_t minutes = seconds / 60;
    int64_t hours = (seconds + 1800) / 3600; /* rounded, as there */

    if (seconds < 1)
        snprintf(text, size, "Less than a second");
    else if (seconds == 1)
        snprintf(text, size, "1 second");
    else if (seconds < 60)
        snprintf(text, size, "%d seconds", (int)seconds);
    else if (minutes == 1)
        snprintf(text, size, "About a minute");
    else if (minutes < 60)
        snprintf(text, size, "%d minutes", (int)minutes);
    else if (hours == 1)
        snprintf(text, size, "About an hour");
    else if (hours < 48)
        snprintf(text, size, "%d hours", (int)hours);
    else if (hours < 24 * 7 * 2)
        snprintf(text, size, "%d days", (int)(hours / 24));
    else if (hours < 24 * 30 * 2)
        snprintf(text, size, "%d weeks", (int)(hours / 24 / 7));
    else if (hours < 24 * 365 * 2)
        snprintf(text, size, "%d months", (int)(hours / 24 / 30));
    else
        snprintf(text, size, "%d years", (int)(seconds / 3600 / 24 / 365));
}
