#include "base/cleanup.h"
#include "base/error.h"
#include "cli/credentials.h"
#include "cli/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check(const char *text, const char *full, const char *familiar, const char *tag)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP_FREE char *is_full = NULL;
    CLEANUP_FREE char *is_familiar = NULL;

    assert_int_equal(reference_parse(text, &reference, NULL), 0);
    is_full = reference_full(&reference);
    is_familiar = reference_familiar(&reference);
    assert_string_equal(is_full, full);
    assert_string_equal(is_familiar, familiar);
    assert_string_equal(reference_tag(&reference), tag);
}

static void test_names(void **state)
{
    (void)state;
    check("busybox", "docker.io/library/busybox:latest", "busybox:latest", "latest");
    check("docker.io/library/busybox:1", "docker.io/library/busybox:1", "busybox:1", "1");
    check("hull/core", "docker.io/hull/core:latest", "hull/core:latest", "latest");
    check("localhost/a", "localhost/a:latest", "localhost/a:latest", "latest");
    check("localhost:5000/a/b:x", "localhost:5000/a/b:x", "localhost:5000/a/b:x", "x");
    check("quay.io/a/b@" DIGEST, "quay.io/a/b@" DIGEST, "quay.io/a/b@" DIGEST, DIGEST);
    check("a:1@" DIGEST, "docker.io/library/a@" DIGEST, "a@" DIGEST, DIGEST);
}

static void test_refused(void **state)
{
    static const char *const texts[] = {"",     ":x", "a:", "a:-x",       "a b",           "/a",
                                        "a//b", "a/", "-a", "a@sha256:1", "a@" DIGEST "0", "a\x1b"};
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(reference_parse(texts[i], &reference, NULL), -EINVAL);
    assert_int_equal(reference_parse("X", &reference, &err), -EINVAL);
    assert_string_equal(err.message,
                        "invalid reference format: repository name (library/X) must be lowercase");
}

static void test_base64(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        CLEANUP_FREE char *encoded = base64_encode(pairs[i][0], strlen(pairs[i][0]), 0);
        CLEANUP_FREE char *decoded = base64_decode(pairs[i][1]);

        assert_string_equal(encoded, pairs[i][1]);
        assert_string_equal(decoded, pairs[i][0]);
    }
    assert_null(base64_decode("a$b"));
}

static void test_url_safe_base64(void **state)
{
    CLEANUP_FREE char *encoded = base64_encode("\xff\xff\xfe", 3, 1);

    (void)state;
    assert_string_equal(encoded, "___-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_url_safe_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
