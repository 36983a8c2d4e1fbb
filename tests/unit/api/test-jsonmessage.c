#include "unit.h"

#include "api/jsonmessage.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "image/image.h"

static void expect_line(const struct image_progress_event *event, const char *expected)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(4096);

    assert_int_equal(jsonmessage_progress(&out, event), 0);
    assert_string_equal(buffer_string(&out), expected);
}

static void test_progress(void **state)
{
    (void)state;
    expect_line(&(struct image_progress_event){.status = "Pulling fs layer", .id = "abc"},
                "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"abc\"}\r\n");
    expect_line(&(struct image_progress_event){.status = "Digest: x"},
                "{\"status\":\"Digest: x\"}\r\n");
    expect_line(&(struct image_progress_event){.stream = "Loaded image: a:b\n"},
                "{\"stream\":\"Loaded image: a:b\\n\"}\r\n");
    expect_line(
        &(struct image_progress_event){
            .status = "Downloading", .id = "abc", .current = 1500, .total = 3000},
        "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1500,\"total\":3000},"
        "\"progress\":\"[=========================>                         ]    1.5kB/3kB\","
        "\"id\":\"abc\"}\r\n");
    expect_line(&(struct image_progress_event){.status = "Downloading", .id = "abc", .current = 5},
                "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5},\"progress\":\""
                "      5B\",\"id\":\"abc\"}\r\n");
}

static void test_bar(void **state)
{
    char text[JSONMESSAGE_BAR_MAX];

    (void)state;
    jsonmessage_bar(0, 0, text);
    assert_string_equal(text, "");
    jsonmessage_bar(20, 10, text);
    assert_string_equal(text, "[==================================================>]      20B");
    jsonmessage_bar(-5, 10, text);
    assert_string_equal(text, "[>                                                  ]      -5B/10B");
    jsonmessage_bar(INT64_MAX, INT64_MAX, text);
    assert_string_equal(text, "[==================================================>]  9.223EB"
                              "/9.223EB");
}

static void test_sizes(void **state)
{
    char text[32];

    (void)state;
    jsonmessage_size(999, text, sizeof(text));
    assert_string_equal(text, "999B");
    jsonmessage_size(1000, text, sizeof(text));
    assert_string_equal(text, "1kB");
    jsonmessage_size(2219949, text, sizeof(text));
    assert_string_equal(text, "2.22MB");
}

static void test_error(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(4096);
    struct error error = ERROR_INIT;

    (void)state;
    error_set_class(&error, ERROR_NOT_FOUND, "no \"x\"");
    assert_int_equal(jsonmessage_error(&out, &error), 0);
    assert_string_equal(
        buffer_string(&out),
        "{\"errorDetail\":{\"message\":\"no \\\"x\\\"\"},\"error\":\"no \\\"x\\\"\"}\r\n");
}

/* What does not fit leaves no half line. */
static void test_overflow(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(24);
    const struct image_progress_event event = {.status = "1234567"};

    (void)state;
    assert_int_equal(jsonmessage_progress(&out, &event), 0);
    assert_int_equal(out.length, 22);
    assert_int_equal(jsonmessage_progress(&out, &event), -EOVERFLOW);
    assert_int_equal(out.length, 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_progress), cmocka_unit_test(test_bar),
        cmocka_unit_test(test_sizes),    cmocka_unit_test(test_error),
        cmocka_unit_test(test_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
