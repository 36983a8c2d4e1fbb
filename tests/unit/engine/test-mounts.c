#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/private.h"
#include "spec/runtime.h"

static int check(enum compute_isolation isolation, const char *bind, struct error *err)
{
    struct container container = {.isolation = isolation};
    char text[256];
    char *binds[] = {text, NULL};
    string_copy(text, sizeof(text), bind);
    return engine_mounts_check(&container, binds, NULL, err);
}

static void binds_of_a_process_container(void **state)
{
    (void)state;
    assert_int_equal(check(COMPUTE_PROCESS, "/a:/b", NULL), 0);
    assert_int_equal(check(COMPUTE_PROCESS, "/a:/b:ro", NULL), 0);
    assert_int_equal(check(COMPUTE_PROCESS, "/a:/b:ro,rslave,z", NULL), 0);
    assert_true(check(COMPUTE_PROCESS, "/a", NULL) < 0);
    assert_true(check(COMPUTE_PROCESS, "/a:b", NULL) < 0);
    assert_true(check(COMPUTE_PROCESS, "/a:/", NULL) < 0);
    assert_true(check(COMPUTE_PROCESS, "/a:/x/..", NULL) < 0);
    assert_true(check(COMPUTE_PROCESS, "/a:/b:nonsense", NULL) < 0);
    assert_true(check(COMPUTE_PROCESS, "/a:/b:ro:x", NULL) < 0);
}

static void a_vm_shares_no_directory(void **state)
{
    struct error err = ERROR_INIT;
    (void)state;
    assert_true(check(COMPUTE_HYPERV, "/a:/b", &err) < 0);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_non_null(strstr(err.message, "'/a' cannot be mounted"));
}

static void tmpfs_becomes_a_mount(void **state)
{
    struct container container = {.isolation = COMPUTE_HYPERV};
    struct spec_runtime *config = spec_runtime_new();
    (void)state;
    container.host_config =
        json_pack("{s:{s:s}, s:[{s:s, s:s, s:{s:i, s:i}}]}", "Tmpfs", "/t", "size=1m", "Mounts",
                  "Type", "tmpfs", "Target", "/u", "TmpfsOptions", "SizeBytes", 4096, "Mode", 448);
    assert_int_equal(engine_mounts_add(&container, config, NULL), 0);
    const struct spec_mount *mount = spec_runtime_find_mount(config, "/t");
    assert_non_null(mount);
    assert_true(strv_contains(mount->options, "size=1m"));
    mount = spec_runtime_find_mount(config, "/u");
    assert_non_null(mount);
    assert_true(strv_contains(mount->options, "size=4096"));
    assert_true(strv_contains(mount->options, "mode=700"));
    spec_runtime_free(config);
    json_decref(container.host_config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binds_of_a_process_container),
        cmocka_unit_test(a_vm_shares_no_directory),
        cmocka_unit_test(tmpfs_becomes_a_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
