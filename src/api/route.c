#include "api/route.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ROUTE_VERSION_DIGITS = 4 }; /* of major and minor each; more is no version */

/* Reads digits; NULL when there are none or too many. */
static const char *read_number(const char *text, int *ret)
{
    int number = 0;
    size_t n = strspn(text, "0123456789");

    if (n == 0 || n > ROUTE_VERSION_DIGITS)
        return NULL;
    for (size_t i = 0; i < n; i++)
        number = number * 10 + (text[i] - '0');
    *ret = number;
    return text + n;
}

int route_version(const struct route_table *table, const char *path, int *ret_version,
                  const char **ret_path, struct error *err)
{
    const char *rest = path;
    int major = 0;
    int minor = 0;

    *ret_version = table->version_max;
    *ret_path = path;
    if (!string_starts_with(path, "/v"))
        return 0;
    rest = read_number(path + 2, &major);
    if (!rest || *rest != '.')
        return 0;
    rest = read_number(rest + 1, &minor);
    if (!rest || *rest != '/')
        return 0;
    if (major < 1 || (major == 1 && minor < table->version_min))
        return error_set_class(err, ERROR_INVALID,
                               "client version %d.%d is too old. Minimum supported API version is "
                               "1.%d, please upgrade your client to a newer version",
                               major, minor, table->version_min);
    if (major > 1 || minor > table->version_max)
        return error_set_class(
            err, ERROR_INVALID,
            "client version %d.%d is too new. Maximum supported API version is 1.%d", major, minor,
            table->version_max);
    *ret_version = minor;
    *ret_path = rest;
    return 0;
}

/* Does `path` have the pattern's form? The name is the bytes that {} stands for. */
static bool pattern_matches(const char *pattern, const char *path, const char **ret_name,
                            size_t *ret_length)
{
    const char *hole = strchr(pattern, '{');
    const char *tail = NULL;
    size_t length = strlen(path);
    size_t before = 0;
    size_t after = 0;

    *ret_name = NULL;
    *ret_length = 0;
    if (!hole)
        return strcmp(pattern, path) == 0;
    tail = strchr(hole, '}') + 1;
    before = (size_t)(hole - pattern);
    after = strlen(tail);
    if (length <= before + after || strncmp(pattern, path, before) != 0 ||
        strcmp(path + length - after, tail) != 0)
        return false;
    *ret_name = path + before;
    *ret_length = length - before - after;
    return hole[1] == '*' || !memchr(*ret_name, '/', *ret_length);
}

int route_find(const struct route_table *table, enum method method, const char *path,
               const struct route **ret, char **ret_name)
{
    const struct route *as_get = NULL;
    bool is_known = false;
    const char *name = NULL;
    size_t length = 0;

    for (size_t i = 0; i < table->n; i++) {
        const struct route *route = &table->routes[i];

        if (!pattern_matches(route->pattern, path, &name, &length))
            continue;
        is_known = true;
        if (route->method == METHOD_GET && !as_get)
            as_get = route;
        if (route->method == method) {
            as_get = route;
            break;
        }
    }
    if (!is_known)
        return ROUTE_NO_PATH;
    if (!as_get || (as_get->method != method && method != METHOD_HEAD))
        return ROUTE_NO_METHOD;
    (void)pattern_matches(as_get->pattern, path, &name, &length);
    if (name) {
        *ret_name = strndup(name, length);
        if (!*ret_name)
            return -ENOMEM;
    } else {
        *ret_name = NULL;
    }
    *ret = as_get;
    return ROUTE_OK;
}
