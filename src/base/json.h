/* Access helpers over jansson for documents that somebody else wrote.
 *
 * A missing member and a JSON null are the same to the optional getters; a member of the wrong
 * type is always -EINVAL (ERROR_INVALID) with a message that names it ("'Memory' must be an
 * integer"); callers that are deeper in the document wrap it. A NULL object has no members.
 * Borrowed values live as long as the document. */
#ifndef HULL_BASE_JSON_H
#define HULL_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum {
    JSON_DOCUMENT_MAX = 8 * 1024 * 1024, /* bytes of text that json_parse() accepts */
    JSON_DEPTH_MAX = 128,                /* jansson's own limit is 2048; deeper is refused here */
    /* Values that json_parse() accepts: each takes up to 250 bytes of memory, whatever its text. */
    JSON_ELEMENTS_MAX = 512 * 1024,
};

void json_cleanup(json_t **json); /* for CLEANUP() */
#define CLEANUP_JSON CLEANUP(json_cleanup)

/* Parses one document (any value) and nothing after it but white space. Duplicate members are
 * refused, so are strings that hold U+0000. -EINVAL with line and column, and without a
 * word of the text, which may be a secret; -E2BIG (ERROR_TOO_LARGE) above the maxima. *ret is a new
 * reference. */
int json_parse(const char *text, size_t length, json_t **ret, struct error *err);

/* As json_parse(), for a document of at most `elements` values; a member counts as one. */
int json_parse_limited(const char *text, size_t length, size_t elements, json_t **ret,
                       struct error *err);

/* Compact text, or indented by four; malloc'd; NULL when out of memory. */
char *json_format(const json_t *json);
char *json_format_pretty(const json_t *json);

/* Optional members: 0 when absent (then *ret is untouched), 1 when read, -EINVAL. */
int json_get_string(const json_t *object, const char *name, const char **ret, struct error *err);
int json_get_bool(const json_t *object, const char *name, bool *ret, struct error *err);
int json_get_i64(const json_t *object, const char *name, int64_t *ret, struct error *err);
int json_get_int(const json_t *object, const char *name, int min, int max, int *ret,
                 struct error *err);
int json_get_object(const json_t *object, const char *name, json_t **ret, struct error *err);
int json_get_array(const json_t *object, const char *name, json_t **ret, struct error *err);
/* An array of strings as a new vector (strings.h); at most `max` of them (-E2BIG). */
int json_get_strv(const json_t *object, const char *name, size_t max, char ***ret,
                  struct error *err);

/* Required members: 0, or -EINVAL that says which is missing. */
int json_need_string(const json_t *object, const char *name, const char **ret, struct error *err);
int json_need_i64(const json_t *object, const char *name, int64_t *ret, struct error *err);

/* Set a member, copying; a NULL string or vector sets nothing. Bytes that are not UTF-8 become
 * U+FFFD, as in Go's encoder. 0, -ENOMEM, or -EINVAL when `object` is none. */
int json_put_string(json_t *object, const char *name, const char *value);
int json_put_strv(json_t *object, const char *name, char *const *value);
int json_put_i64(json_t *object, const char *name, int64_t value);
int json_put_bool(json_t *object, const char *name, bool value);
/* Consumes `value` also on failure; a NULL value is -ENOMEM. */
int json_put(json_t *object, const char *name, json_t *value);

/* JSON array from a vector (NULL: empty array). */
json_t *json_from_strv(char *const *strv);

#endif
