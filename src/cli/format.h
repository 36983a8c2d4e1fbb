/* Sizes, times and ids in docker's words. */
#ifndef HULL_CLI_FORMAT_H
#define HULL_CLI_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum { FORMAT_MAX = 64 };

/* 1234567 as "1.23MB" (powers of 1000, that many significant digits). */
const char *format_size(double bytes, int digits, char text[FORMAT_MAX]);
/* 8123456789 as "7.566GiB". */
const char *format_binary_size(double bytes, char text[FORMAT_MAX]);
/* Unix seconds as "3 years ago"; "N/A" for 0. */
const char *format_ago(int64_t seconds, char text[FORMAT_MAX]);
/* Unix seconds as "2023-11-14 22:13:20 +0000 UTC" in the local zone. */
const char *format_time(int64_t seconds, char text[FORMAT_MAX]);
/* "sha256:abcd..." or "abcd..." as its first 12 digits. */
const char *format_short_id(const char *id, char text[FORMAT_MAX]);

#endif
