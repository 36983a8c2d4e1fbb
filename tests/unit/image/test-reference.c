#include "fixture.h"

#include "base/cleanup.h"
#include "spec/reference.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check(const char *text, const char *full, const char *familiar)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    struct error err = ERROR_INIT;
    if (reference_parse(text, &reference, &err) < 0)
        fail_msg("%s: %s", text, err.message);
    CLEANUP_FREE char *string = reference_string(&reference);
    CLEANUP_FREE char *short_string = reference_familiar_string(&reference);
    assert_string_equal(string, full);
    assert_string_equal(short_string, familiar);
}

static void check_bad(const char *text, const char *message)
{
    struct reference reference = REFERENCE_INIT;
    struct error err = ERROR_INIT;
    assert_true(reference_parse(text, &reference, &err) < 0);
    assert_string_equal(err.message, message);
    assert_int_equal(err.class, ERROR_INVALID);
}

static void test_normalizes(void **state)
{
    (void)state;
    check("busybox", "docker.io/library/busybox", "busybox");
    check("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36");
    check("a/b", "docker.io/a/b", "a/b");
    check("docker.io/busybox", "docker.io/library/busybox", "busybox");
    check("index.docker.io/a/b:t", "docker.io/a/b:t", "a/b:t");
    check("docker.io/library/x", "docker.io/library/x", "x");
    check("localhost/x", "localhost/x", "localhost/x");
    check("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y");
    check("reg.example/a/b_c__d--e.f:T_1", "reg.example/a/b_c__d--e.f:T_1",
          "reg.example/a/b_c__d--e.f:T_1");
    check("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x");
    check("UP/x", "UP/x", "UP/x");
    check("x@sha256:" HEX64, "docker.io/library/x@sha256:" HEX64, "x@sha256:" HEX64);
    check("x:t@sha256:" HEX64, "docker.io/library/x:t@sha256:" HEX64, "x:t@sha256:" HEX64);
}

static void test_refuses(void **state)
{
    (void)state;
    const char *bad[] = {"",     ":",     "a:",          "a@",      "-a",      "a-",
                         "a..b", "a___b", "a//b",        "/a",      "a/",      "a:b:c",
                         "a:-x", "a b",   "a@sha256:12", "re-/x:.", "a.-b.c/x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_bad(bad[i], "invalid reference format");
    check_bad("Busybox", "invalid reference format: repository name (Busybox) must be lowercase");
    check_bad(HEX64,
              "invalid repository name (" HEX64 "), cannot specify 64-byte hexadecimal strings");
}

static void test_limits(void **state)
{
    char text[400];
    struct reference reference = REFERENCE_INIT;
    (void)state;
    memset(text, 'a', sizeof(text));
    text[255 - strlen("docker.io/library/")] = '\0';
    assert_int_equal(reference_parse(text, &reference, NULL), 0);
    reference_release(&reference);
    text[strlen(text)] = 'a';
    text[256 - strlen("docker.io/library/")] = '\0';
    check_bad(text, "repository name must not be more than 255 characters");
    memset(text, 'a', sizeof(text));
    text[1] = ':';
    text[2 + 128] = '\0';
    assert_int_equal(reference_parse(text, &reference, NULL), 0);
    reference_release(&reference);
    text[2 + 128] = 'a';
    text[2 + 129] = '\0';
    check_bad(text, "invalid reference format");
}

static void test_ids(void **state)
{
    struct reference reference = REFERENCE_INIT;
    CLEANUP_FREE char *id = NULL;
    CLEANUP_FREE char *same = NULL;
    (void)state;
    assert_int_equal(reference_parse_any(HEX64, &reference, &id, NULL), 1);
    assert_string_equal(id, "sha256:" HEX64);
    assert_int_equal(reference_parse_any("sha256:" HEX64, &reference, &same, NULL), 1);
    assert_string_equal(same, "sha256:" HEX64);
}

static bool matches(const char *name, const char *pattern)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    assert_int_equal(reference_parse(name, &reference, NULL), 0);
    return reference_matches(&reference, pattern);
}

static void test_matches(void **state)
{
    (void)state;
    assert_true(matches("busybox:latest", "busybox"));
    assert_true(matches("busybox:latest", "busy*:latest"));
    assert_true(matches("a/b:t", "a/*"));
    assert_false(matches("a/b:t", "*"));
    assert_false(matches("busybox:latest", "busy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalizes), cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_ids),
        cmocka_unit_test(test_matches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
