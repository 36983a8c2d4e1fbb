/* Checks of limits, at create and at update, and their OCI form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/resources.h"
#include "spec/resources.h"

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    return json;
}

static void assert_refused(const char *text, bool update, const char *message)
{
    CLEANUP_JSON json_t *host = parse(text);
    CLEANUP_STRV char **warnings = NULL;
    struct error error = ERROR_INIT;
    assert_true(engine_resources_check(host, COMPUTE_PROCESS, update, &warnings, &error) < 0);
    assert_int_equal(error.class, ERROR_INVALID);
    assert_string_equal(error.message, message);
}

static void refusals(void **state)
{
    (void)state;
    assert_refused("{\"Memory\": 6291455}", true, "Minimum memory limit allowed is 6MB");
    assert_refused("{\"Memory\": -1}", true, "Minimum memory limit allowed is 6MB");
    assert_refused("{\"MemoryReservation\": 5}", true, "Minimum memory reservation allowed is 6MB");
    assert_refused("{\"Memory\": 67108864, \"MemorySwap\": 33554432}", true,
                   "Minimum memoryswap limit should be larger than memory limit, see usage");
    assert_refused("{\"MemorySwap\": 33554432}", false,
                   "You should always set the Memory limit when using Memoryswap limit, see usage");
    assert_refused("{\"NanoCpus\": 1000000000, \"CpuQuota\": 5000}", true,
                   "Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
    assert_refused("{\"CpusetCpus\": \"a\"}", true, "Invalid value a for cpuset cpus");
    assert_refused("{\"CpusetCpus\": \"3-1\"}", true, "Invalid value 3-1 for cpuset cpus");
    assert_refused("{\"CpusetMems\": \"0,,1\"}", true, "Invalid value 0,,1 for cpuset mems");
    assert_refused("{\"BlkioWeight\": 9}", true, "Range of blkio weight is from 10 to 1000");
}

static void swap_is_completed_at_create_only(void **state)
{
    static const bool update[] = {false, true};
    static const json_int_t swap[] = {134217728, 0};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        CLEANUP_JSON json_t *host = parse("{\"Memory\": 67108864, \"MemorySwap\": 0}");
        CLEANUP_STRV char **warnings = NULL;
        assert_int_equal(engine_resources_check(host, COMPUTE_PROCESS, update[i], &warnings, NULL),
                         0);
        assert_int_equal(json_integer_value(json_object_get(host, "MemorySwap")), swap[i]);
    }
}

static void a_weight_that_cannot_be_is_discarded(void **state)
{
    CLEANUP_JSON json_t *host = parse("{\"BlkioWeight\": 500}");
    CLEANUP_STRV char **warnings = NULL;
    (void)state;
    assert_int_equal(engine_resources_check(host, COMPUTE_HYPERV, true, &warnings, NULL), 0);
    assert_int_equal(strv_length(warnings), 1);
    assert_int_equal(json_integer_value(json_object_get(host, "BlkioWeight")), 0);
}

static void processors(void **state)
{
    static const struct {
        const char *host;
        int64_t nano;
    } cases[] = {
        {"{}", 0},
        {"{\"NanoCpus\": 1500000000}", 1500000000},
        {"{\"CpuQuota\": 50000}", 500000000},
        {"{\"CpuQuota\": 50000, \"CpuPeriod\": 25000}", 2000000000},
        {"{\"CpuQuota\": -1, \"CpuPeriod\": 25000}", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CLEANUP_JSON json_t *host = parse(cases[i].host);
        assert_int_equal(engine_resources_nano_cpus(host), cases[i].nano);
    }
}

static void the_oci_form(void **state)
{
    CLEANUP_JSON json_t *host =
        parse("{\"Memory\": 67108864, \"MemorySwap\": -1, \"NanoCpus\": 250000000, \"PidsLimit\": "
              "7, \"CpusetCpus\": \"0\", \"BlkioWeight\": 300}");
    CLEANUP(spec_resources_release) struct spec_resources resources = {0};
    (void)state;
    assert_int_equal(engine_resources_build(host, &resources, NULL), 0);
    assert_int_equal(resources.memory_limit, 67108864);
    assert_int_equal(resources.memory_swap, -1);
    assert_int_equal(resources.cpu_quota, 25000);
    assert_int_equal(resources.cpu_period, 100000);
    assert_int_equal(resources.pids_limit, 7);
    assert_int_equal(resources.blkio_weight, 300);
    assert_string_equal(resources.cpus, "0");
    engine_resources_trim(&resources);
    assert_null(resources.cpus);
    assert_int_equal(resources.memory_swap, 0);
    assert_int_equal(resources.memory_limit, 67108864);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(swap_is_completed_at_create_only),
        cmocka_unit_test(a_weight_that_cannot_be_is_discarded),
        cmocka_unit_test(processors),
        cmocka_unit_test(the_oci_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
