#include "base/strings.h"
#include "unit.h"

static void test_comparisons(void **state)
{
    (void)state;
    assert_true(string_equal(NULL, NULL));
    assert_false(string_equal(NULL, ""));
    assert_true(string_equal_nocase("Docker", "dOCKER"));
    assert_true(string_starts_with("sha256:ab", "sha256:"));
    assert_false(string_starts_with("sh", "sha"));
    assert_true(string_ends_with("a.tar", ".tar"));
    assert_false(string_ends_with("tar", ".tar"));
    assert_false(string_ends_with(NULL, ""));
}

static void test_u64_is_strict(void **state)
{
    static const char *const bad[] = {
        "", " 1", "1 ", "+1", "-1", "0x10", "1a", "1.0", "99999999999999999999999x"};
    uint64_t value = 42;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(string_to_u64(bad[i], &value), -EINVAL);
    assert_int_equal(string_to_u64(NULL, &value), -EINVAL);
    assert_int_equal(string_to_u64("18446744073709551616", &value), -ERANGE);
    assert_int_equal(value, 42);
    assert_int_equal(string_to_u64("18446744073709551615", &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(string_to_u64("007", &value), 0);
    assert_int_equal(value, 7);
}

static void test_i64_limits(void **state)
{
    int64_t value = 42;

    (void)state;
    assert_int_equal(string_to_i64("-9223372036854775808", &value), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(string_to_i64("9223372036854775807", &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(string_to_i64("9223372036854775808", &value), -ERANGE);
    assert_int_equal(string_to_i64("-9223372036854775809", &value), -ERANGE);
    assert_int_equal(string_to_i64("-", &value), -EINVAL);
    assert_int_equal(string_to_i64("--1", &value), -EINVAL);
}

static void test_int_range(void **state)
{
    int value = 42;

    (void)state;
    assert_int_equal(string_to_int("65536", 0, 65535, &value), -ERANGE);
    assert_int_equal(string_to_int("-1", 0, 65535, &value), -ERANGE);
    assert_int_equal(value, 42);
    assert_int_equal(string_to_int("-3", -5, 5, &value), 0);
    assert_int_equal(value, -3);
}

static void test_sizes_as_docker_reads_them(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
    } good[] = {
        {"0", 0},
        {"100", 100},
        {"100b", 100},
        {"64k", 65536},
        {"512m", 536870912},
        {"512M", 536870912},
        {"512MB", 536870912},
        {"512MiB", 536870912},
        {"1.5g", 1610612736},
        {".5k", 512},
        {"2 k", 2048},
        {"1t", UINT64_C(1) << 40},
        {"1p", UINT64_C(1) << 50},
        {"18446744073709551615", UINT64_MAX},
        {"0.0009765625k", 1},
    };
    static const char *const bad[] = {"",    ".",   "k",    "-1k",   "1x",  "1kk", "1 kx",
                                      " 1k", "1k ", "1  k", "1.2.3", "1e3", "1i",  "1bb"};
    uint64_t size = 42;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(string_to_size(good[i].text, &size), 0);
        assert_true(size == good[i].size);
    }
    size = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(string_to_size(bad[i], &size), -EINVAL);
    assert_int_equal(string_to_size("18446744073709551616", &size), -ERANGE);
    assert_int_equal(string_to_size("16384p", &size), -ERANGE);
    assert_int_equal(size, 42);
}

static void test_copy_truncates_and_terminates(void **state)
{
    char small[4] = "zzz";

    (void)state;
    assert_true(string_copy(small, sizeof(small), "abc"));
    assert_string_equal(small, "abc");
    assert_false(string_copy(small, sizeof(small), "wxyz"));
    assert_string_equal(small, "wxy");
    assert_false(string_copy(small, 0, ""));
}

static void test_hex(void **state)
{
    char out[7];

    (void)state;
    string_hex(out, "\x00\xab\xff", 3);
    assert_string_equal(out, "00abff");
    assert_true(string_is_hex("00abff", 6));
    assert_false(string_is_hex("00ABFF", 6));
    assert_false(string_is_hex("00abf", 6));
    assert_false(string_is_hex("00abff0", 6));
    assert_false(string_is_hex("00abfg", 6));
}

static void test_replace_and_lower(void **state)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_FREE char *lower = string_lower("AbC-\xc3\x84");

    (void)state;
    assert_string_equal(lower, "abc-\xc3\x84");
    assert_int_equal(string_replace(&text, "one"), 0);
    assert_int_equal(string_replace(&text, text), 0);
    assert_string_equal(text, "one");
    assert_int_equal(string_replace(&text, NULL), 0);
    assert_null(text);
}

static void test_vector_grows(void **state)
{
    CLEANUP_STRV char **v = NULL;
    CLEANUP_STRV char **copy = NULL;

    (void)state;
    assert_int_equal(strv_length(NULL), 0);
    assert_int_equal(strv_append(&v, "a"), 0);
    assert_int_equal(strv_appendf(&v, "%d", 5), 0);
    assert_int_equal(strv_append_take(&v, NULL), -ENOMEM);
    assert_int_equal(strv_extend(&v, v), 0);
    assert_int_equal(strv_extend(&v, NULL), 0);
    assert_int_equal(strv_length(v), 4);
    assert_string_equal(v[3], "5");
    assert_true(strv_contains(v, "a"));
    assert_false(strv_contains(v, "b"));
    assert_false(strv_contains(NULL, "a"));
    copy = strv_copy(v);
    assert_int_equal(strv_length(copy), 4);
    assert_ptr_not_equal(copy[0], v[0]);
}

static void test_copy_of_nothing_is_an_empty_vector(void **state)
{
    CLEANUP_STRV char **copy = strv_copy(NULL);

    (void)state;
    assert_non_null(copy);
    assert_null(copy[0]);
}

static void test_split_keeps_empty_parts(void **state)
{
    CLEANUP_STRV char **parts = NULL;
    CLEANUP_STRV char **one = NULL;
    CLEANUP_FREE char *joined = NULL;

    (void)state;
    assert_int_equal(strv_split(":a::b:", ':', &parts), 0);
    assert_int_equal(strv_length(parts), 5);
    assert_string_equal(parts[0], "");
    assert_string_equal(parts[1], "a");
    assert_string_equal(parts[4], "");
    joined = strv_join(parts, "--");
    assert_string_equal(joined, "--a----b--");
    assert_int_equal(strv_split("", ':', &one), 0);
    assert_int_equal(strv_length(one), 1);
}

static void test_join_of_nothing(void **state)
{
    CLEANUP_FREE char *joined = strv_join(NULL, ",");

    (void)state;
    assert_string_equal(joined, "");
}

static void test_environment(void **state)
{
    CLEANUP_STRV char **env = NULL;

    (void)state;
    assert_int_equal(strv_env_set(&env, "PATH=/bin"), 0);
    assert_int_equal(strv_env_set(&env, "PATHS=x"), 0);
    assert_int_equal(strv_env_set(&env, "PATH=/usr/bin=1"), 0);
    assert_int_equal(strv_length(env), 2);
    assert_string_equal(strv_env_get(env, "PATH"), "/usr/bin=1");
    assert_null(strv_env_get(env, "PAT"));
    assert_null(strv_env_get(NULL, "PATH"));
    assert_int_equal(strv_env_set(&env, "NAME"), -EINVAL);
    assert_int_equal(strv_env_set(&env, "=x"), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_u64_is_strict),
        cmocka_unit_test(test_i64_limits),
        cmocka_unit_test(test_int_range),
        cmocka_unit_test(test_sizes_as_docker_reads_them),
        cmocka_unit_test(test_copy_truncates_and_terminates),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_replace_and_lower),
        cmocka_unit_test(test_vector_grows),
        cmocka_unit_test(test_copy_of_nothing_is_an_empty_vector),
        cmocka_unit_test(test_split_keeps_empty_parts),
        cmocka_unit_test(test_join_of_nothing),
        cmocka_unit_test(test_environment),
    };

    return UNIT_RUN(tests);
}
