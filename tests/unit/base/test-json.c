#include "base/json.h"
#include "base/strings.h"
#include "unit.h"

static json_t *parse(const char *text)
{
    json_t *json = NULL;

    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    assert_non_null(json);
    return json;
}

static int refuse(const char *text, struct error *err)
{
    json_t *json = NULL;
    int r = json_parse(text, strlen(text), &json, err);

    assert_true(r < 0);
    assert_null(json);
    return r;
}

static void test_any_value_is_a_document(void **state)
{
    CLEANUP_JSON json_t *number = parse(" 5 \n");
    CLEANUP_JSON json_t *nothing = parse("null");

    (void)state;
    assert_true(json_is_integer(number));
    assert_true(json_is_null(nothing));
}

static void test_errors_tell_line_and_column(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(refuse("{\n  \"a\": }", &err), -EINVAL);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_non_null(strstr(err.message, "line 2 column 8"));
}

/* A broken POST /auth must not put a password into the log. */
static void test_errors_do_not_quote_the_text(void **state)
{
    static const char *const texts[] = {
        "{\"password\":\"hunter2",
        "{\"password\":hunter2}",
        "{\"password\":\"hunter2\" \"hunter2\"}",
        "{\"hunter2\":1,\"hunter2\":2}",
        "{\"hunter2",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct error err = ERROR_INIT;

        refuse(texts[i], &err);
        assert_null(strstr(err.message, "hunter"));
    }
}

static void test_hostile_documents_are_refused(void **state)
{
    (void)state;
    assert_int_equal(refuse("", NULL), -EINVAL);
    assert_int_equal(refuse("{} x", NULL), -EINVAL);
    assert_int_equal(refuse("{\"a\":1,\"a\":2}", NULL), -EINVAL);
    assert_int_equal(refuse("\"\xff\"", NULL), -EINVAL);
    assert_int_equal(refuse("\"a\\u0000b\"", NULL), -EINVAL);
    assert_int_equal(refuse("[99999999999999999999]", NULL), -EINVAL);
    assert_int_equal(refuse("[NaN]", NULL), -EINVAL);
}

static void nested(char *text, int depth)
{
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    text[2 * depth] = '\0';
}

static void test_depth_limit(void **state)
{
    char text[2 * (JSON_DEPTH_MAX + 1) + 1];
    CLEANUP_JSON json_t *deepest = NULL;

    (void)state;
    nested(text, JSON_DEPTH_MAX);
    deepest = parse(text);
    nested(text, JSON_DEPTH_MAX + 1);
    assert_int_equal(refuse(text, NULL), -E2BIG);
}

/* `n` values in an array: one of them the array itself. */
static char *crowd(size_t n, const char *value)
{
    size_t length = strlen(value);
    char *text = malloc(n * (length + 1) + 3);
    char *end = text;

    assert_non_null(text);
    *end++ = '[';
    for (size_t i = 1; i < n; i++) {
        end = mempcpy(end, value, length);
        *end++ = ',';
    }
    end[-1] = ']';
    *end = '\0';
    return text;
}

static void test_number_of_elements_limit(void **state)
{
    CLEANUP_FREE char *most = crowd(1000, "0");
    CLEANUP_FREE char *flood = crowd(JSON_ELEMENTS_MAX + 2, "0");
    CLEANUP_FREE char *objects = crowd(600, "{}");
    static const char quoted[] = "[\"[,{,\\\",[\"]";
    struct error err = ERROR_INIT;
    json_t *json = NULL;

    (void)state;
    assert_int_equal(json_parse_limited(most, strlen(most), 1000, &json, &err), 0);
    json_decref(json);
    json = NULL;
    assert_int_equal(json_parse_limited(most, strlen(most), 999, &json, &err), -E2BIG);
    assert_int_equal(err.class, ERROR_TOO_LARGE);
    assert_null(json);
    assert_int_equal(json_parse_limited(objects, strlen(objects), 599, &json, &err), -E2BIG);
    assert_int_equal(refuse(flood, &err), -E2BIG);
    assert_non_null(strstr(err.message, "elements"));
    /* What is in strings is no element. */
    assert_int_equal(json_parse_limited(quoted, strlen(quoted), 3, &json, &err), 0);
    json_decref(json);
}

static void test_brackets_in_strings_are_not_depth(void **state)
{
    char text[JSON_DEPTH_MAX * 4];
    CLEANUP_JSON json_t *json = NULL;

    (void)state;
    memset(text, '[', sizeof(text));
    memcpy(text, "\"\\\"", 3);
    memcpy(text + sizeof(text) - 2, "\"", 2);
    json = parse(text);
    assert_true(json_is_string(json));
}

static void test_size_limit(void **state)
{
    char *text = malloc(JSON_DOCUMENT_MAX + 1);
    json_t *json = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', JSON_DOCUMENT_MAX + 1);
    text[0] = '1';
    assert_int_equal(json_parse(text, JSON_DOCUMENT_MAX + 1, &json, &err), -E2BIG);
    assert_int_equal(err.class, ERROR_TOO_LARGE);
    assert_int_equal(json_parse(text, JSON_DOCUMENT_MAX, &json, &err), 0);
    json_decref(json);
    free(text);
}

static void test_text_need_not_be_terminated(void **state)
{
    json_t *json = NULL;

    (void)state;
    assert_int_equal(json_parse("[1]garbage", 3, &json, NULL), 0);
    assert_int_equal(json_array_size(json), 1);
    json_decref(json);
}

static void test_optional_members(void **state)
{
    CLEANUP_JSON json_t *json =
        parse("{\"s\":\"x\",\"n\":null,\"i\":5,\"b\":false,\"o\":{},\"a\":[]}");
    const char *text = "old";
    int64_t number = 1;
    int small = 1;
    bool flag = true;
    json_t *value = NULL;

    (void)state;
    assert_int_equal(json_get_string(json, "s", &text, NULL), 1);
    assert_string_equal(text, "x");
    assert_int_equal(json_get_string(json, "n", &text, NULL), 0);
    assert_int_equal(json_get_string(json, "missing", &text, NULL), 0);
    assert_string_equal(text, "x");
    assert_int_equal(json_get_i64(json, "i", &number, NULL), 1);
    assert_int_equal(number, 5);
    assert_int_equal(json_get_int(json, "i", 0, 5, &small, NULL), 1);
    assert_int_equal(small, 5);
    assert_int_equal(json_get_bool(json, "b", &flag, NULL), 1);
    assert_false(flag);
    assert_int_equal(json_get_object(json, "o", &value, NULL), 1);
    assert_true(json_is_object(value));
    assert_int_equal(json_get_array(json, "a", &value, NULL), 1);
    assert_true(json_is_array(value));
    assert_int_equal(json_get_string(NULL, "s", &text, NULL), 0);
}

static void test_wrong_types_are_named(void **state)
{
    CLEANUP_JSON json_t *json = parse("{\"m\":\"x\",\"i\":1.5}");
    CLEANUP_JSON json_t *array = parse("[]");
    struct error err = ERROR_INIT;
    const char *text = NULL;
    int64_t number = 1;
    bool flag = true;
    json_t *value = NULL;

    (void)state;
    assert_int_equal(json_get_i64(json, "m", &number, &err), -EINVAL);
    assert_string_equal(err.message, "'m' must be an integer");
    assert_int_equal(err.class, ERROR_INVALID);
    assert_int_equal(json_get_i64(json, "i", &number, &err), -EINVAL);
    assert_int_equal(json_get_bool(json, "m", &flag, &err), -EINVAL);
    assert_int_equal(json_get_object(json, "m", &value, &err), -EINVAL);
    assert_int_equal(json_get_array(json, "m", &value, &err), -EINVAL);
    assert_int_equal(json_get_string(json, "i", &text, &err), -EINVAL);
    assert_string_equal(err.message, "'i' must be a string");
    assert_int_equal(json_get_string(array, "i", &text, &err), -EINVAL);
    assert_int_equal(number, 1);
}

static void test_integer_range(void **state)
{
    CLEANUP_JSON json_t *json = parse("{\"port\":65536,\"big\":4294967296}");
    struct error err = ERROR_INIT;
    int value = 1;

    (void)state;
    assert_int_equal(json_get_int(json, "port", 0, 65535, &value, &err), -EINVAL);
    assert_string_equal(err.message, "'port' must be between 0 and 65535");
    assert_int_equal(json_get_int(json, "big", INT_MIN, INT_MAX, &value, &err), -EINVAL);
    assert_int_equal(value, 1);
}

static void test_required_members(void **state)
{
    CLEANUP_JSON json_t *json = parse("{\"s\":\"x\",\"n\":null}");
    struct error err = ERROR_INIT;
    const char *text = NULL;
    int64_t number = 0;

    (void)state;
    assert_int_equal(json_need_string(json, "s", &text, &err), 0);
    assert_int_equal(json_need_string(json, "n", &text, &err), -EINVAL);
    assert_string_equal(err.message, "'n' is missing");
    assert_int_equal(json_need_i64(json, "x", &number, &err), -EINVAL);
}

static void test_string_vectors(void **state)
{
    CLEANUP_JSON json_t *json = parse("{\"v\":[\"a\",\"b\"],\"e\":[],\"mix\":[\"a\",null]}");
    CLEANUP_STRV char **v = NULL;
    CLEANUP_STRV char **e = NULL;
    char **none = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(json_get_strv(json, "v", 2, &v, NULL), 1);
    assert_int_equal(strv_length(v), 2);
    assert_int_equal(json_get_strv(json, "e", 2, &e, NULL), 1);
    assert_non_null(e);
    assert_int_equal(json_get_strv(json, "v", 1, &none, &err), -E2BIG);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_int_equal(json_get_strv(json, "mix", 2, &none, &err), -EINVAL);
    assert_int_equal(json_get_strv(json, "missing", 2, &none, &err), 0);
    assert_null(none);
}

static void test_putting_members(void **state)
{
    CLEANUP_JSON json_t *json = json_object();
    char a[] = "a";
    char *const v[] = {a, NULL};
    CLEANUP_FREE char *text = NULL;

    (void)state;
    assert_int_equal(json_put_string(json, "s", "x"), 0);
    assert_int_equal(json_put_string(json, "none", NULL), 0);
    assert_int_equal(json_put_strv(json, "none", NULL), 0);
    assert_int_equal(json_put_strv(json, "v", v), 0);
    assert_int_equal(json_put_i64(json, "i", INT64_MIN), 0);
    assert_int_equal(json_put_bool(json, "b", true), 0);
    assert_int_equal(json_put(json, "e", json_from_strv(NULL)), 0);
    assert_int_equal(json_put(json, "x", NULL), -ENOMEM);
    text = json_format(json);
    assert_string_equal(
        text, "{\"s\":\"x\",\"v\":[\"a\"],\"i\":-9223372036854775808,\"b\":true,\"e\":[]}");
}

static void test_put_consumes_on_failure(void **state)
{
    CLEANUP_JSON json_t *array = json_array();
    CLEANUP_JSON json_t *value = json_string("x");

    (void)state;
    assert_int_equal(json_put(array, "n", json_incref(value)), -EINVAL);
    assert_int_equal(value->refcount, 1);
}

static void test_bytes_that_are_not_utf8_are_replaced(void **state)
{
    CLEANUP_JSON json_t *json = json_object();
    CLEANUP_FREE char *text = NULL;

    (void)state;
    assert_int_equal(json_put_string(json, "k\xff",
                                     "a\xc0\x80"
                                     "b\xed\xa0\x80\xe2\x82\xac"),
                     0);
    text = json_format(json);
    assert_string_equal(text, "{\"k\xef\xbf\xbd\":\"a\xef\xbf\xbd\xef\xbf\xbd"
                              "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xe2\x82\xac\"}");
}

static void test_pretty_text(void **state)
{
    CLEANUP_JSON json_t *json = parse("{\"a\":[]}");
    CLEANUP_FREE char *text = json_format_pretty(json);

    (void)state;
    assert_string_equal(text, "{\n    \"a\": []\n}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_value_is_a_document),
        cmocka_unit_test(test_errors_tell_line_and_column),
        cmocka_unit_test(test_errors_do_not_quote_the_text),
        cmocka_unit_test(test_hostile_documents_are_refused),
        cmocka_unit_test(test_depth_limit),
        cmocka_unit_test(test_number_of_elements_limit),
        cmocka_unit_test(test_brackets_in_strings_are_not_depth),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_text_need_not_be_terminated),
        cmocka_unit_test(test_optional_members),
        cmocka_unit_test(test_wrong_types_are_named),
        cmocka_unit_test(test_integer_range),
        cmocka_unit_test(test_required_members),
        cmocka_unit_test(test_string_vectors),
        cmocka_unit_test(test_putting_members),
        cmocka_unit_test(test_put_consumes_on_failure),
        cmocka_unit_test(test_bytes_that_are_not_utf8_are_replaced),
        cmocka_unit_test(test_pretty_text),
    };

    return UNIT_RUN(tests);
}
