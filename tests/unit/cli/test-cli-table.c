#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/ports.h"
#include "cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct table_column columns[] = {{"ID", "Id"}, {"NAMES", "Names"}, {NULL, NULL}};

static void prints(const char *format, const char *expected)
{
    static const char text[] = "[{\"Id\":\"1\",\"Names\":\"one\"},"
                               "{\"Id\":\"a long \\u001b id\",\"Names\":\"\\u00e4\"}]";
    CLEANUP_JSON json_t *rows = NULL;
    CLEANUP_FREE char *content = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&content, &size);

    assert_non_null(out);
    assert_int_equal(json_parse(text, strlen(text), &rows, NULL), 0);
    assert_int_equal(list_print(out, format, columns, columns, rows, NULL), 0);
    fclose(out);
    assert_string_equal(content, expected);
}

static void test_table(void **state)
{
    (void)state;
    prints(NULL, "ID               NAMES\n"
                 "1                one\n"
                 "a long \\x1b id   \xc3\xa4\n");
}

static void test_table_template(void **state)
{
    (void)state;
    prints("table {{.Names}}\\t{{.Id}}", "NAMES     ID\n"
                                         "one       1\n"
                                         "\xc3\xa4         a long \\x1b id\n");
}

static void test_template_and_json(void **state)
{
    (void)state;
    prints("{{.Id}}!", "1!\na long \\x1b id!\n");
    prints("json", "{\"Id\":\"1\",\"Names\":\"one\"}\n"
                   "{\"Id\":\"a long \\u001B id\",\"Names\":\"\xc3\xa4\"}\n");
}

static void test_unknown_member(void **state)
{
    CLEANUP_JSON json_t *rows = json_array();

    (void)state;
    assert_int_equal(list_print(stdout, "table {{.Nope}}", columns, columns, rows, NULL), -EINVAL);
}

static void port(const char *json, const char *expected)
{
    CLEANUP_JSON json_t *ports = NULL;
    CLEANUP_FREE char *text = NULL;

    assert_int_equal(json_parse(json, strlen(json), &ports, NULL), 0);
    text = ports_text(ports);
    assert_string_equal(text, expected);
}

static void test_ports(void **state)
{
    (void)state;
    port("[]", "");
    port("[{\"PrivatePort\":444,\"Type\":\"tcp\"},{\"PrivatePort\":443,\"Type\":\"tcp\"}]",
         "443-444/tcp");
    port("[{\"PrivatePort\":1,\"Type\":\"tcp\"},{\"PrivatePort\":3,\"Type\":\"tcp\"},"
         "{\"PrivatePort\":1,\"Type\":\"udp\"}]",
         "1/tcp, 3/tcp, 1/udp");
    port("[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"},"
         "{\"IP\":\"::\",\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"}]",
         "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    port("[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":80,\"Type\":\"tcp\"},"
         "{\"IP\":\"0.0.0.0\",\"PrivatePort\":81,\"PublicPort\":81,\"Type\":\"tcp\"}]",
         "0.0.0.0:80-81->80-81/tcp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_template),
        cmocka_unit_test(test_template_and_json),
        cmocka_unit_test(test_unknown_member),
        cmocka_unit_test(test_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
