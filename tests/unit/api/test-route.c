#include "unit.h"

#include "api/handlers.h"
#include "api/route.h"
#include "base/error.h"

#include <stdlib.h>

static const char *find(enum method method, const char *path, int expected, char **ret_name)
{
    const struct route *route = NULL;

    *ret_name = NULL;
    assert_int_equal(route_find(api_routes(), method, path, &route, ret_name), expected);
    return route ? route->pattern : NULL;
}

static void expect_route(enum method method, const char *path, const char *pattern,
                         const char *name)
{
    char *found = NULL;

    assert_string_equal(find(method, path, ROUTE_OK, &found), pattern);
    if (name)
        assert_string_equal(found, name);
    else
        assert_null(found);
    free(found);
}

static void expect_none(enum method method, const char *path, int expected)
{
    char *name = NULL;

    assert_null(find(method, path, expected, &name));
    assert_null(name);
}

static void test_paths(void **state)
{
    (void)state;
    expect_route(METHOD_GET, "/containers/json", "/containers/json", NULL);
    expect_route(METHOD_GET, "/containers/web/json", "/containers/{}/json", "web");
    expect_route(METHOD_POST, "/containers/create", "/containers/create", NULL);
    expect_route(METHOD_DELETE, "/containers/web", "/containers/{}", "web");
    expect_route(METHOD_GET, "/images/json", "/images/json", NULL);
    expect_route(METHOD_POST, "/volumes/create", "/volumes/create", NULL);
}

static void test_image_names_hold_slashes(void **state)
{
    (void)state;
    expect_route(METHOD_GET, "/images/host:5000/a/b:tag/json", "/images/{*}/json",
                 "host:5000/a/b:tag");
    expect_route(METHOD_POST, "/images/a/b/tag", "/images/{*}/tag", "a/b");
    expect_route(METHOD_DELETE, "/images/a/b", "/images/{*}", "a/b");
    expect_route(METHOD_GET, "/images/json/json", "/images/{*}/json", "json");
}

static void test_container_names_do_not(void **state)
{
    (void)state;
    expect_none(METHOD_GET, "/containers/a/b/json", ROUTE_NO_PATH);
    expect_none(METHOD_POST, "/containers//start", ROUTE_NO_PATH);
}

static void test_unknown_path(void **state)
{
    (void)state;
    expect_none(METHOD_GET, "/", ROUTE_NO_PATH);
    expect_none(METHOD_GET, "", ROUTE_NO_PATH);
    expect_none(METHOD_GET, "/containers", ROUTE_NO_PATH);
    expect_none(METHOD_GET, "/nonsense", ROUTE_NO_PATH);
    expect_none(METHOD_GET, "/version/", ROUTE_NO_PATH);
}

static void test_wrong_method(void **state)
{
    (void)state;
    expect_none(METHOD_DELETE, "/version", ROUTE_NO_METHOD);
    expect_none(METHOD_GET, "/containers/create", ROUTE_NO_METHOD);
    expect_none(METHOD_HEAD, "/containers/create", ROUTE_NO_METHOD);
}

static void test_head_finds_get(void **state)
{
    (void)state;
    expect_route(METHOD_HEAD, "/version", "/version", NULL);
    expect_route(METHOD_HEAD, "/_ping", "/_ping", NULL);
}

/* Every route can be reached: none hides behind an earlier one. */
static void test_no_route_is_hidden(void **state)
{
    const struct route_table *table = api_routes();

    (void)state;
    for (size_t i = 0; i < table->n; i++) {
        const struct route *route = NULL;
        char path[128];
        char *name = NULL;
        size_t n = 0;

        for (const char *p = table->routes[i].pattern; *p; p++) {
            if (*p == '{') {
                path[n++] = 'x';
                p = strchr(p, '}');
            } else {
                path[n++] = *p;
            }
        }
        path[n] = '\0';
        assert_int_equal(route_find(table, table->routes[i].method, path, &route, &name), ROUTE_OK);
        assert_ptr_equal(route, &table->routes[i]);
        free(name);
    }
}

static void expect_version(const char *path, int version, const char *rest)
{
    const char *found = NULL;
    int minor = 0;

    assert_int_equal(route_version(api_routes(), path, &minor, &found, NULL), 0);
    assert_int_equal(minor, version);
    assert_string_equal(found, rest);
}

static void expect_no_version(const char *path, const char *message)
{
    struct error error = ERROR_INIT;
    const char *found = NULL;
    int minor = 0;

    assert_int_equal(route_version(api_routes(), path, &minor, &found, &error), -EINVAL);
    assert_int_equal(error.class, ERROR_INVALID);
    assert_string_equal(error.message, message);
}

static void test_versions(void **state)
{
    (void)state;
    expect_version("/v1.41/info", 41, "/info");
    expect_version("/v1.50/info", 50, "/info");
    expect_version("/info", 50, "/info");
    expect_version("/version", 50, "/version");
    expect_version("/volumes", 50, "/volumes");
    expect_version("/v1.50", 50, "/v1.50");
    expect_version("/v1.99999999999999999999/x", 50, "/v1.99999999999999999999/x");
    expect_version("/v1./x", 50, "/v1./x");
    expect_no_version("/v1.40/info",
                      "client version 1.40 is too old. Minimum supported API version is 1.41, "
                      "please upgrade your client to a newer version");
    expect_no_version("/v0.99/info",
                      "client version 0.99 is too old. Minimum supported API version is 1.41, "
                      "please upgrade your client to a newer version");
    expect_no_version("/v1.99/info", "client version 1.99 is too new. Maximum supported API "
                                     "version is 1.50");
    expect_no_version("/v2.0/info", "client version 2.0 is too new. Maximum supported API version "
                                    "is 1.50");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_image_names_hold_slashes),
        cmocka_unit_test(test_container_names_do_not),
        cmocka_unit_test(test_unknown_path),
        cmocka_unit_test(test_wrong_method),
        cmocka_unit_test(test_head_finds_get),
        cmocka_unit_test(test_no_route_is_hidden),
        cmocka_unit_test(test_versions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
