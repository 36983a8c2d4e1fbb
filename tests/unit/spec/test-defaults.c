#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "spec/defaults.h"
#include "spec/runtime.h"

static void test_capability_names(void **state)
{
    (void)state;
    assert_int_equal(capability_from_string("CAP_SYS_ADMIN"), CAP_SYS_ADMIN);
    assert_int_equal(capability_from_string("net_raw"), CAP_NET_RAW);
    assert_int_equal(capability_from_string("CAP_NONE"), -EINVAL);
    assert_string_equal(capability_to_string(CAP_LAST_CAP), "CAP_CHECKPOINT_RESTORE");
    assert_null(capability_to_string(CAPABILITY_MAX));
    /* What docker's containers show as CapBnd. */
    assert_int_equal(spec_default_capabilities(), 0xa80425fb);
}

static uint64_t apply(const char *add, const char *drop)
{
    CLEANUP_STRV char **added = NULL;
    CLEANUP_STRV char **dropped = NULL;
    uint64_t mask = 0;

    strv_split(add, ',', &added);
    strv_split(drop, ',', &dropped);
    assert_int_equal(capability_apply(spec_default_capabilities(), *add ? added : NULL,
                                      *drop ? dropped : NULL, &mask, NULL),
                     0);
    return mask;
}

static void test_capability_apply(void **state)
{
    uint64_t start = spec_default_capabilities();
    char unknown[] = "CAP_X";
    char *list[] = {unknown, NULL};
    struct error error = ERROR_INIT;
    uint64_t mask;

    (void)state;
    assert_int_equal(apply("", ""), start);
    assert_int_equal(apply("SYS_ADMIN", "chown"),
                     (start | CAPABILITY_BIT(CAP_SYS_ADMIN)) & ~CAPABILITY_BIT(CAP_CHOWN));
    assert_int_equal(apply("ALL", "CAP_KILL"), CAPABILITY_ALL & ~CAPABILITY_BIT(CAP_KILL));
    assert_int_equal(apply("kill", "all"), CAPABILITY_BIT(CAP_KILL));
    assert_int_equal(capability_apply(start, list, NULL, &mask, &error), -EINVAL);
    assert_string_equal(error.message, "invalid CapAdd: unknown capability: \"CAP_X\"");
    assert_int_equal(capability_apply(start, NULL, list, &mask, &error), -EINVAL);
    assert_string_equal(error.message, "invalid CapDrop: unknown capability: \"CAP_X\"");
}

static void test_apply(void **state)
{
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = spec_runtime_new();
    CLEANUP_JSON json_t *json = NULL;

    (void)state;
    assert_int_equal(spec_defaults_apply(config, 1 << 20, true), 0);
    assert_true(config->linux_.namespaces[SPEC_NAMESPACE_CGROUP].wanted);
    assert_false(config->linux_.namespaces[SPEC_NAMESPACE_USER].wanted);
    assert_true(
        strv_contains(spec_runtime_find_mount(config, "/dev/shm")->options, "size=1048576"));
    assert_true(strv_contains(spec_runtime_find_mount(config, "/sys")->options, "ro"));
    assert_true(strv_contains(config->linux_.masked_paths, "/proc/kcore"));
    assert_true(strv_contains(config->linux_.readonly_paths, "/proc/sys"));
    assert_false(config->linux_.resources.devices[0].allow);
    assert_int_equal(config->process->capabilities.inheritable, 0);
    json = spec_runtime_to_json(config);
    assert_non_null(json);
    assert_int_equal(spec_defaults_apply_privileged(config), 0);
    assert_null(config->linux_.masked_paths);
    assert_true(strv_contains(spec_runtime_find_mount(config, "/sys")->options, "rw"));
    assert_int_equal(config->linux_.resources.n_devices, 1);
    assert_true(config->linux_.resources.devices[0].allow);
    assert_int_equal(config->process->capabilities.bounding, CAPABILITY_ALL);
    assert_true(spec_runtime_annotation_is_true(config, SPEC_ANNOTATION_PRIVILEGED));
    assert_int_equal(spec_defaults_add_host_devices(config), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_capability_names),
        cmocka_unit_test(test_capability_apply),
        cmocka_unit_test(test_apply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
