/* Points in time as the Docker API and logs write them. */
#ifndef HULL_BASE_TIMESTAMP_H
#define HULL_BASE_TIMESTAMP_H

#include <stdint.h>

enum { TIMESTAMP_TEXT_MAX = 40 };

/* Nanoseconds since the epoch. 0 stands for "never" and prints as "0001-01-01T00:00:00Z", the zero
 * time of Go, which is what docker's clients expect. */
int64_t timestamp_now(void);
/* Monotonic nanoseconds (CLOCK_BOOTTIME). */
int64_t timestamp_monotonic(void);
/* Monotonic nanoseconds without those of a suspended machine (CLOCK_MONOTONIC): the clock that
 * pthread_cond_timedwait(3) takes. */
int64_t timestamp_awake(void);

/* RFC 3339 in UTC with nine fractional digits ("2026-01-02T03:04:05.123456789Z"). */
const char *timestamp_format(int64_t when, char text[TIMESTAMP_TEXT_MAX]);
/* RFC 3339 with optional time, seconds, fraction and zone (without a zone it is local time, as in
 * docker), or Unix seconds with optional fraction
 * ("1700000000.5"), or a Go duration meaning that long ago ("10m", "1h30m"). 0 or -EINVAL. */
int timestamp_parse(const char *text, int64_t *ret);

/* "Up 5 minutes" style phrase of docker: "Less than a second", "5 seconds", "About a minute",
 * "3 hours", "2 weeks". */
void timestamp_human_duration(int64_t nanoseconds, char *text, unsigned long size);

#endif
