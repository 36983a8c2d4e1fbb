/* engine/archive_answer: answers of an agent that lies. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/archive_answer.h"

static const char good[] =
    "{\"name\":\"f\",\"size\":6,\"mode\":420,\"mtime\":\"2001-02-03T04:05:06Z\","
    "\"linkTarget\":\"\",\"resolved\":\"/f\",\"more\":\"x\"}";

static int check(const char *member, json_t *value, json_t **ret)
{
    CLEANUP_JSON json_t *answer = NULL;
    const char *resolved = NULL;

    assert_int_equal(json_parse(good, strlen(good), &answer, NULL), 0);
    if (member && value)
        assert_int_equal(json_object_set_new(answer, member, value), 0);
    else if (member)
        json_object_del(answer, member);
    return archive_answer_stat(answer, ret, &resolved, NULL);
}

static void test_stat(void **state)
{
    CLEANUP_JSON json_t *stat = NULL;

    (void)state;
    assert_int_equal(check(NULL, NULL, &stat), 0);
    assert_int_equal(json_object_size(stat), 5);
    assert_string_equal(json_string_value(json_object_get(stat, "name")), "f");
    assert_null(json_object_get(stat, "more"));
}

static void test_wrong_stat(void **state)
{
    static const char *const members[] = {"name",  "size",       "mode",
                                          "mtime", "linkTarget", "resolved"};
    char name[400];
    json_t *stat = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        assert_int_equal(check(members[i], NULL, &stat), -EPROTO);
        assert_int_equal(check(members[i], json_array(), &stat), -EPROTO);
    }
    assert_int_equal(check("size", json_integer(-1), &stat), -EPROTO);
    assert_int_equal(check("mode", json_integer(INT64_C(1) << 32), &stat), -EPROTO);
    assert_int_equal(check("mode", json_integer(-1), &stat), -EPROTO);
    assert_int_equal(check("name", json_string("../f"), &stat), -EPROTO);
    assert_int_equal(check("resolved", json_string("f"), &stat), -EPROTO);
    assert_int_equal(check("linkTarget", json_sprintf("%0*d", PATH_MAX, 0), &stat), -EPROTO);
    assert_int_equal(check("resolved", json_sprintf("/%0*d", PATH_MAX, 0), &stat), -EPROTO);
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(check("name", json_string(name), &stat), -EPROTO);
    assert_int_equal(check("mtime", json_string(name), &stat), -EPROTO);
    assert_null(stat);
}

static int parse(const char *bytes, size_t length, json_t **ret)
{
    CLEANUP(buffer_release) struct buffer records = BUFFER_INIT(1024);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(1024);
    int r;

    assert_int_equal(buffer_append(&records, bytes, length), 0);
    r = archive_answer_changes(&records, &text, NULL);
    if (r == 0)
        assert_int_equal(json_parse(text.data, text.length, ret, NULL), 0);
    return r;
}

static void test_changes(void **state)
{
    static const char records[] = "0/etc\0"
                                  "1/new \xff\0"
                                  "2/gone";
    CLEANUP_JSON json_t *list = NULL;
    CLEANUP_JSON json_t *empty = NULL;

    (void)state;
    assert_int_equal(parse(records, sizeof(records), &list), 0);
    assert_int_equal(json_array_size(list), 3);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 2), "Kind")), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 2), "Path")),
                        "/gone");
    assert_int_equal(parse("", 0, &empty), 0);
    assert_int_equal(json_array_size(empty), 0);
}

static void test_wrong_changes(void **state)
{
    json_t *list = NULL;

    (void)state;
    assert_int_equal(parse("0/cut", 5, &list), -EPROTO); /* without its end */
    assert_int_equal(parse("3/kind", 7, &list), -EPROTO);
    assert_int_equal(parse("1relative", 10, &list), -EPROTO);
    assert_int_equal(parse("1", 2, &list), -EPROTO);
    assert_int_equal(parse("\0\0", 2, &list), -EPROTO);
    assert_null(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat),
        cmocka_unit_test(test_wrong_stat),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_wrong_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
