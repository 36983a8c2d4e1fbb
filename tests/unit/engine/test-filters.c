#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/private.h"

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    return json;
}

static void both_forms_of_a_document(void **state)
{
    static const char *const forms[] = {"{\"name\": [\"a\", \"b\"]}",
                                        "{\"name\": {\"a\": true, \"b\": true, \"c\": false}}"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char **values = NULL;
        json_t *filters = parse(forms[i]);
        assert_int_equal(filter_values(filters, "name", &values, NULL), 0);
        assert_int_equal(strv_length(values), 2);
        assert_true(strv_contains(values, "a"));
        assert_true(strv_contains(values, "b"));
        strv_free(values);
        assert_true(filter_match(filters, "name", "b"));
        assert_false(filter_match(filters, "name", "c"));
        assert_true(filter_match(filters, "other", "anything"));
        json_decref(filters);
    }
}

static void an_unknown_name_is_refused(void **state)
{
    static const char *const known[] = {"label", NULL};
    struct error err = ERROR_INIT;
    json_t *filters = parse("{\"label\": [\"x\"], \"nonsense\": [\"y\"]}");
    (void)state;
    assert_true(filter_check_names(filters, known, &err) < 0);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_string_equal(err.message, "invalid filter 'nonsense'");
    assert_int_equal(filter_check_names(NULL, known, NULL), 0);
    json_decref(filters);
}

static void values_of_the_wrong_type_are_refused(void **state)
{
    char **values = NULL;
    struct error err = ERROR_INIT;
    json_t *filters = parse("{\"label\": [1]}");
    (void)state;
    assert_true(filter_values(filters, "label", &values, &err) < 0);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_null(values);
    json_decref(filters);
}

static void labels_must_all_match(void **state)
{
    json_t *labels = parse("{\"a\": \"1\", \"b\": \"\"}");
    static const struct {
        const char *filters;
        bool match;
    } cases[] = {
        {"{\"label\": [\"a\"]}", true},         {"{\"label\": [\"a=1\"]}", true},
        {"{\"label\": [\"a=2\"]}", false},      {"{\"label\": [\"a\", \"b=\"]}", true},
        {"{\"label\": [\"a\", \"c\"]}", false}, {"{}", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *filters = parse(cases[i].filters);
        assert_int_equal(filter_match_labels(filters, "label", labels), cases[i].match);
        json_decref(filters);
    }
    json_decref(labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_of_a_document),
        cmocka_unit_test(an_unknown_name_is_refused),
        cmocka_unit_test(values_of_the_wrong_type_are_refused),
        cmocka_unit_test(labels_must_all_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
