#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char document[] =
    "{\"Name\":\"/x\",\"State\":{\"Pid\":7,\"Running\":true,\"Nil\":null},\"List\":[\"a\",\"b\"],"
    "\"Labels\":{\"k.v\":\"w\"},\"Evil\":\"\\u001b[2J\"}";

static void renders(const char *template, const char *expected)
{
    CLEANUP_JSON json_t *value = NULL;
    CLEANUP_FREE char *text = NULL;

    assert_int_equal(json_parse(document, strlen(document), &value, NULL), 0);
    assert_int_equal(template_render(template, value, &text, NULL), 0);
    assert_string_equal(text, expected);
}

static void test_render(void **state)
{
    (void)state;
    renders("plain", "plain");
    renders("{{.Name}}\\t{{ .State.Pid }}\\n", "/x\t7\n");
    renders("{{.State.Running}} {{.State.Nil}}", "true <nil>");
    renders("{{.List}} {{.Labels}}", "[a b] map[k.v:w]");
    renders("{{json .State}} {{json .List}}",
            "{\"Pid\":7,\"Running\":true,\"Nil\":null} [\"a\",\"b\"]");
    renders("{{upper .Name}} {{len .List}}", "/X 2");
    renders("{{index .Labels \"k.v\"}} {{index .List 1}}", "w b");
    renders("{{.Evil}}", "\\x1b[2J");
    renders("{ {{.Name}} }", "{ /x }");
}

static void test_refused(void **state)
{
    static const char *const templates[] = {
        "{{",           "{{.Name",         "{{}}",        "{{range .List}}", "{{.Name | upper}}",
        "{{Name}}",     "{{.Missing}}",    "{{.Name.X}}", "{{.State..Pid}}", "{{nosuch .Name}}",
        "{{.State.X}}", "{{index .List}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        CLEANUP_JSON json_t *value = NULL;
        CLEANUP_FREE char *text = NULL;

        assert_int_equal(json_parse(document, strlen(document), &value, NULL), 0);
        assert_int_equal(template_render(templates[i], value, &text, NULL), -EINVAL);
        assert_null(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
