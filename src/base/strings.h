/* Small string helpers and NULL-terminated string vectors ("strv"). */
#ifndef HULL_BASE_STRINGS_H
#define HULL_BASE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool string_is_empty(const char *text)
{
    return !text || !*text;
}

static inline const char *string_or(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

bool string_equal(const char *a, const char *b); /* NULL equals only NULL */
bool string_equal_nocase(const char *a, const char *b);
bool string_starts_with(const char *text, const char *prefix);
bool string_ends_with(const char *text, const char *suffix);

/* malloc'd; NULL when out of memory. */
char *string_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *string_lower(const char *text);

/* Sets *target to a copy of text (NULL clears); frees the old value. Returns 0 or -ENOMEM. */
int string_replace(char **target, const char *text);

/* Strict decimal parse of the whole text. Return 0, -EINVAL, -ERANGE. */
int string_to_u64(const char *text, uint64_t *ret);
int string_to_i64(const char *text, int64_t *ret);
int string_to_int(const char *text, int min, int max, int *ret);

/* "512m", "1.5g", "64k", "2 KiB", "100" (bytes) with binary units up to "p" in any case, as
 * docker's -m (go-units RAMInBytes); rounds down. 0, -EINVAL, -ERANGE. */
int string_to_size(const char *text, uint64_t *ret);

/* Copies with truncation, always terminates; returns false when it had to cut. */
bool string_copy(char *destination, size_t size, const char *source);

/* Lower-case hex; out holds 2 * length + 1. */
void string_hex(char *out, const void *data, size_t length);

/* Only [0-9a-f], of exactly this length. */
bool string_is_hex(const char *text, size_t length);

/* --- string vectors: char **, NULL-terminated, or NULL for empty --- */
size_t strv_length(char *const *strv);
void strv_free(char **strv);
void strv_cleanup(char ***strv);     /* for CLEANUP() */
char **strv_copy(char *const *strv); /* NULL when out of memory; of an empty one: an empty vector */
int strv_append(char ***strv, const char *text); /* copies; 0 or -ENOMEM */
int strv_append_take(char ***strv, char *text);  /* consumes text, also on failure */
int strv_appendf(char ***strv, const char *format, ...) __attribute__((format(printf, 2, 3)));
int strv_extend(char ***strv, char *const *more);
bool strv_contains(char *const *strv, const char *text);
/* Splits at each separator; empty parts are kept. *ret is newly allocated. */
int strv_split(const char *text, char separator, char ***ret);
char *strv_join(char *const *strv, const char *separator);
/* Value of NAME in a list of NAME=VALUE, or NULL. Sets or replaces NAME=VALUE (whole entry): 0,
 * -ENOMEM, or -EINVAL when it has no name or no "=". */
const char *strv_env_get(char *const *env, const char *name);
int strv_env_set(char ***env, const char *assignment);

#define CLEANUP_STRV CLEANUP(strv_cleanup)

#endif
