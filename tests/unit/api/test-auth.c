#include "unit.h"

#include "api/registry_auth.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <stdlib.h>

#define CLEANUP_AUTH CLEANUP(registry_auth_release)

static void test_user(void **state)
{
    CLEANUP_AUTH struct registry_auth auth = REGISTRY_AUTH_INIT;

    (void)state;
    /* {"username":"u","password":"p?>~"} with padding and the URL alphabet */
    assert_int_equal(
        registry_auth_decode("eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA_Pn4ifQ==", &auth, NULL), 0);
    assert_string_equal(auth.auth.username, "u");
    assert_string_equal(auth.auth.password, "p?>~");
    assert_null(auth.auth.identity_token);
    assert_null(auth.auth.registry_token);
}

static void test_unpadded_and_empty(void **state)
{
    CLEANUP_AUTH struct registry_auth auth = REGISTRY_AUTH_INIT;

    (void)state;
    assert_int_equal(registry_auth_decode("e30", &auth, NULL), 0); /* {} */
    assert_null(auth.auth.username);
}

static void test_tokens(void **state)
{
    CLEANUP_AUTH struct registry_auth auth = REGISTRY_AUTH_INIT;

    (void)state;
    /* {"identitytoken":"i","registrytoken":"r","username":""} */
    assert_int_equal(registry_auth_decode("eyJpZGVudGl0eXRva2VuIjoiaSIsInJlZ2lzdHJ5dG9rZW4iOiJyIiwi"
                                          "dXNlcm5hbWUiOiIifQ==",
                                          &auth, NULL),
                     0);
    assert_string_equal(auth.auth.identity_token, "i");
    assert_string_equal(auth.auth.registry_token, "r");
    assert_null(auth.auth.username);
}

static void test_combined(void **state)
{
    CLEANUP_AUTH struct registry_auth auth = REGISTRY_AUTH_INIT;

    (void)state;
    /* {"auth":"dTpw"}: u:p */
    assert_int_equal(registry_auth_decode("eyJhdXRoIjoiZFRwdyJ9", &auth, NULL), 0);
    assert_string_equal(auth.auth.username, "u");
    assert_string_equal(auth.auth.password, "p");
}

static void test_nonsense(void **state)
{
    /* not base64; "x"; []; {"username":1}; {"auth":"dQ=="} without a colon; one digit too many */
    static const char *const bad[] = {
        "%", "eA==", "W10=", "eyJ1c2VybmFtZSI6MX0=", "eyJhdXRoIjoiZFE9PSJ9", "e30xx"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct registry_auth auth = REGISTRY_AUTH_INIT;
        struct error error = ERROR_INIT;

        assert_int_equal(registry_auth_decode(bad[i], &auth, &error), -EINVAL);
        assert_int_equal(error.class, ERROR_INVALID);
        assert_null(auth.texts[0]);
    }
}

static void test_too_long(void **state)
{
    struct registry_auth auth = REGISTRY_AUTH_INIT;
    CLEANUP_FREE char *text = malloc(REGISTRY_AUTH_MAX + 2);

    (void)state;
    memset(text, 'A', REGISTRY_AUTH_MAX + 1);
    text[REGISTRY_AUTH_MAX + 1] = '\0';
    assert_int_equal(registry_auth_decode(text, &auth, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user),     cmocka_unit_test(test_unpadded_and_empty),
        cmocka_unit_test(test_tokens),   cmocka_unit_test(test_combined),
        cmocka_unit_test(test_nonsense), cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
