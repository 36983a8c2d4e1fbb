#include "cli/format.h"

#include "base/strings.h"
#include "base/timestamp.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *scale(double value, double base, const char *const *units, size_t n_units,
                         int digits, char text[FORMAT_MAX])
{
    size_t i = 0;

    while (value >= base && i + 1 < n_units) {
        value /= base;
        i++;
    }
    snprintf(text, FORMAT_MAX, "%.*g%s", digits, value, units[i]);
    return text;
}

const char *format_size(double bytes, int digits, char text[FORMAT_MAX])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};

    return scale(bytes, 1000, units, sizeof(units) / sizeof(units[0]), digits, text);
}

const char *format_binary_size(double bytes, char text[FORMAT_MAX])
{
    static const char *const units[] = {"B",   "KiB", "MiB", "GiB", "TiB",
                                        "PiB", "EiB", "ZiB", "YiB"};

    return scale(bytes, 1024, units, sizeof(units) / sizeof(units[0]), 4, text);
}

const char *format_ago(int64_t seconds, char text[FORMAT_MAX])
{
    char phrase[FORMAT_MAX - 8];

    if (seconds <= 0 || seconds > INT64_MAX / 1000000000)
        return "N/A";
    timestamp_human_duration(timestamp_now() - seconds * 1000000000, phrase, sizeof(phrase));
    snprintf(text, FORMAT_MAX, "%s ago", phrase);
    return text;
}

const char *format_time(int64_t seconds, char text[FORMAT_MAX])
{
    struct tm parts;
    time_t when = (time_t)seconds;

    if (!localtime_r(&when, &parts) ||
        strftime(text, FORMAT_MAX, "%Y-%m-%d %H:%M:%S %z %Z", &parts) == 0)
        snprintf(text, FORMAT_MAX, "N/A");
    return text;
}

const char *format_short_id(const char *id, char text[FORMAT_MAX])
{
    const char *colon = strchr(id, ':');

    snprintf(text, FORMAT_MAX, "%.12s", colon ? colon + 1 : id);
    return text;
}
