#include "unit.h"

static void test_set_returns_its_code(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(error_set(&err, -ENOENT, "no %s", "thing"), -ENOENT);
    assert_int_equal(err.code, -ENOENT);
    assert_int_equal(err.class, ERROR_SYSTEM);
    assert_string_equal(err.message, "no thing");
}

static void test_null_object_is_fine(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, -EPERM, "x"), -EPERM);
    assert_int_equal(error_set_errno(NULL, -EPERM, "x"), -EPERM);
    assert_int_equal(error_set_class(NULL, ERROR_NOT_FOUND, "x"), -ENOENT);
    assert_int_equal(error_wrap(NULL, -EPERM, "x"), -EPERM);
    assert_int_equal(error_classify(NULL, -EPERM, ERROR_CONFLICT), -EPERM);
    assert_int_equal(error_oom(NULL), -ENOMEM);
    error_clear(NULL);
}

static void test_success_as_code_is_still_failure(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(error_set(&err, 0, "x"), -EIO);
    assert_int_equal(err.code, -EIO);
    assert_int_equal(error_wrap(NULL, 7, "x"), -EIO);
}

static void test_errno_text_is_appended(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    error_set_errno(&err, -ENOENT, "cannot open %s", "/x");
    assert_string_equal(err.message, "cannot open /x: No such file or directory");
    error_set_errno(&err, -99999, "strange");
    assert_string_equal(err.message, "strange: error 99999");
}

static void test_wrap_prefixes_and_keeps_class(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    error_set_class(&err, ERROR_CONFLICT, "is running");
    assert_int_equal(error_wrap(&err, -EIO, "container %d", 7), -EBUSY);
    assert_string_equal(err.message, "container 7: is running");
    assert_int_equal(err.class, ERROR_CONFLICT);
}

static void test_wrap_of_unfilled_uses_code(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(error_wrap(&err, -EACCES, "layer"), -EACCES);
    assert_string_equal(err.message, "layer: Permission denied");
}

static void test_arguments_may_point_into_the_object(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    error_set(&err, -EIO, "inner");
    error_set(&err, -EIO, "<%s>", err.message);
    assert_string_equal(err.message, "<inner>");
    error_wrap(&err, -EIO, "again %s", err.message);
    assert_string_equal(err.message, "again <inner>: <inner>");
}

static void test_long_message_is_cut(void **state)
{
    struct error err = ERROR_INIT;
    char text[2 * ERROR_MESSAGE_MAX];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    error_set(&err, -EIO, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
    error_wrap(&err, -EIO, "front");
    assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
    assert_memory_equal(err.message, "front: x", 8);
}

static void test_cut_does_not_split_characters(void **state)
{
    struct error err = ERROR_INIT;
    char text[2 * ERROR_MESSAGE_MAX];

    (void)state;
    for (size_t i = 0; i + 3 < sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 4); /* EURO SIGN */
    error_set(&err, -EIO, "%s", text);
    assert_int_equal(strlen(err.message) % 3, 0);
    assert_true(strlen(err.message) > ERROR_MESSAGE_MAX - 4);
}

static void test_copy_and_clear(void **state)
{
    struct error a = ERROR_INIT;
    struct error b = ERROR_INIT;

    (void)state;
    error_set_class(&a, ERROR_NOT_FOUND, "gone");
    assert_int_equal(error_copy(&b, &a), -ENOENT);
    assert_string_equal(b.message, "gone");
    assert_int_equal(b.class, ERROR_NOT_FOUND);
    assert_int_equal(error_copy(NULL, &a), -ENOENT);
    assert_int_equal(error_copy(&b, NULL), 0);
    error_clear(&b);
    assert_int_equal(b.code, 0);
    assert_string_equal(b.message, "");
}

static void test_classes_have_distinct_names_and_codes(void **state)
{
    (void)state;
    for (int i = 0; i < ERROR_CLASS_MAX; i++) {
        assert_int_equal(error_class_from_string(error_class_to_string((enum error_class)i)), i);
        assert_true(error_set_class(NULL, (enum error_class)i, "x") < 0);
    }
    assert_string_equal(error_class_to_string(ERROR_NOT_FOUND), "not-found");
    assert_int_equal(error_class_from_string("no-such"), -EINVAL);
    assert_int_equal(error_class_from_string(NULL), -EINVAL);
}

static void test_classify(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    error_set(&err, -E2BIG, "long");
    assert_int_equal(error_classify(&err, -EIO, ERROR_INVALID), -E2BIG);
    assert_int_equal(err.class, ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_returns_its_code),
        cmocka_unit_test(test_null_object_is_fine),
        cmocka_unit_test(test_success_as_code_is_still_failure),
        cmocka_unit_test(test_errno_text_is_appended),
        cmocka_unit_test(test_wrap_prefixes_and_keeps_class),
        cmocka_unit_test(test_wrap_of_unfilled_uses_code),
        cmocka_unit_test(test_arguments_may_point_into_the_object),
        cmocka_unit_test(test_long_message_is_cut),
        cmocka_unit_test(test_cut_does_not_split_characters),
        cmocka_unit_test(test_copy_and_clear),
        cmocka_unit_test(test_classes_have_distinct_names_and_codes),
        cmocka_unit_test(test_classify),
    };

    return UNIT_RUN(tests);
}
