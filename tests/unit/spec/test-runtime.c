#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "spec/runtime.h"

static const char full[] =
    "{\"ociVersion\":\"1.0.2\",\"hostname\":\"box\",\"domainname\":\"dom\","
    "\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80},"
    "\"user\":{\"uid\":1,\"gid\":2,\"umask\":18,\"additionalGids\":[3,4],\"username\":\"a:b\"},"
    "\"args\":[\"sh\",\"-c\"],\"env\":[\"A=1\"],\"cwd\":\"/x\",\"noNewPrivileges\":true,"
    "\"oomScoreAdj\":-5,\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],"
    "\"effective\":[\"CAP_KILL\"],\"ambient\":null},"
    "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1024,\"hard\":18446744073709551615}]},"
    "\"root\":{\"path\":\"/r\",\"readonly\":true},"
    "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\","
    "\"options\":[\"nosuid\",\"ro\"]}],"
    "\"hooks\":{\"poststop\":[{\"path\":\"/bin/true\",\"args\":[\"true\"],\"timeout\":3}]},"
    "\"annotations\":{\"io.hull.init\":\"true\",\"k\":\"a=b\"},"
    "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/n\"}],"
    "\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"
    "\"devices\":[{\"type\":\"c\",\"path\":\"/dev/x\",\"major\":1,\"minor\":5,\"fileMode\":438}],"
    "\"cgroupsPath\":\"/hull/x\",\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
    "{\"allow\":true,\"type\":\"c\",\"major\":1,\"access\":\"r\"}],"
    "\"memory\":{\"limit\":1048576,\"swap\":-1,\"swappiness\":0},"
    "\"cpu\":{\"shares\":512,\"quota\":50000,\"period\":100000,\"cpus\":\"0-1\"},"
    "\"pids\":{\"limit\":10},\"blockIO\":{\"weight\":300,\"throttleReadBpsDevice\":"
    "[{\"major\":8,\"minor\":0,\"rate\":1000}]},"
    "\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4096}],"
    "\"unified\":{\"memory.high\":\"1000\"}},"
    "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,"
    "\"architectures\":[\"SCMP_ARCH_X86_64\"],\"syscalls\":[{\"names\":[\"read\"],"
    "\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{\"index\":1,\"value\":18446744073709551614,"
    "\"valueTwo\":2,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]},"
    "\"sysctl\":{\"net.x\":\"1\"},\"maskedPaths\":[\"/m\"],\"readonlyPaths\":[\"/ro\"],"
    "\"rootfsPropagation\":\"rslave\",\"personality\":{\"domain\":\"LINUX32\"}},"
    "\"unknown\":{\"ignored\":[1,2,{\"x\":null}]}}";

static struct spec_runtime *parse(const char *text)
{
    struct spec_runtime *config = NULL;
    struct error error = ERROR_INIT;

    if (spec_runtime_parse(text, strlen(text), &config, &error) < 0)
        fail_msg("%s", error.message);
    return config;
}

static void check_process(const struct spec_process *process)
{
    assert_true(process->terminal && process->no_new_privileges && process->has_capabilities);
    assert_int_equal(process->console_width, 80);
    assert_int_equal(process->console_height, 24);
    assert_int_equal(process->user.umask, 18);
    assert_true(process->user.has_umask);
    assert_int_equal(process->user.n_additional_gids, 2);
    assert_int_equal(process->user.additional_gids[1], 4);
    assert_string_equal(process->user.username, "a:b");
    assert_int_equal(process->oom_score_adj, -5);
    assert_int_equal(process->capabilities.bounding, CAPABILITY_BIT(0) | CAPABILITY_BIT(5));
    assert_int_equal(process->capabilities.effective, CAPABILITY_BIT(5));
    assert_int_equal(process->n_rlimits, 1);
    assert_int_equal(process->rlimits[0].resource, RLIMIT_NOFILE);
    assert_true(process->rlimits[0].hard == UINT64_MAX);
}

static void check_resources(const struct spec_resources *resources)
{
    assert_int_equal(resources->n_devices, 2);
    assert_int_equal(resources->devices[0].type, 'a');
    assert_int_equal(resources->devices[1].minor, -1);
    assert_true(resources->devices[1].read && !resources->devices[1].write);
    assert_int_equal(resources->memory_swap, -1);
    assert_true(resources->has_swappiness);
    assert_string_equal(resources->cpus, "0-1");
    assert_int_equal(resources->throttles[SPEC_THROTTLE_READ_BPS].throttles[0].rate, 1000);
    assert_string_equal(resources->hugepages[0].page_size, "2MB");
    assert_string_equal(resources->unified[0], "memory.high=1000");
}

static void check_config(const struct spec_runtime *config)
{
    const struct spec_linux *part = &config->linux_;

    check_process(config->process);
    check_resources(&part->resources);
    assert_true(config->root_readonly);
    assert_string_equal(config->mounts[0].options[1], "ro");
    assert_int_equal(config->hooks[SPEC_HOOK_POSTSTOP].hooks[0].timeout, 3);
    assert_true(spec_runtime_annotation_is_true(config, SPEC_ANNOTATION_INIT));
    assert_string_equal(spec_runtime_annotation(config, "k"), "a=b");
    assert_true(part->namespaces[SPEC_NAMESPACE_PID].wanted);
    assert_null(part->namespaces[SPEC_NAMESPACE_PID].path);
    assert_string_equal(part->namespaces[SPEC_NAMESPACE_NETWORK].path, "/n");
    assert_false(part->namespaces[SPEC_NAMESPACE_IPC].wanted);
    assert_int_equal(part->uid_mappings[0].host_id, 100000);
    assert_int_equal(part->devices[0].file_mode, 0666);
    assert_true(part->seccomp->rules[0].arguments[0].value == UINT64_MAX - 1);
    assert_int_equal(part->seccomp->rules[0].arguments[0].operator, SPEC_SECCOMP_MASKED_EQ);
    assert_string_equal(part->sysctl[0], "net.x=1");
    assert_int_equal(part->personality, 8);
}

static void test_read(void **state)
{
    struct spec_runtime *config = parse(full);

    (void)state;
    check_config(config);
    spec_runtime_free(config);
}

static void test_round_trip(void **state)
{
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = parse(full);
    CLEANUP_JSON json_t *json = spec_runtime_to_json(config);
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *again = NULL;
    CLEANUP_JSON json_t *second = NULL;
    CLEANUP(spec_process_cleanup) struct spec_process *copy = NULL;

    (void)state;
    assert_non_null(json);
    assert_int_equal(spec_runtime_from_json(json, &again, NULL), 0);
    check_config(again);
    second = spec_runtime_to_json(again);
    assert_true(json_equal(json, second));
    copy = spec_process_copy(config->process);
    assert_non_null(copy);
    check_process(copy);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {"[]", "must be an object"},
        {"{}", "ociVersion"},
        {"{\"ociVersion\":\"2.0\"}", "is not supported"},
        {"{\"ociVersion\":\"1.0\",\"process\":{\"cwd\":\"x\"}}", "not an absolute path"},
        {"{\"ociVersion\":\"1.0\",\"process\":{\"args\":[1]}}", "args"},
        {"{\"ociVersion\":\"1.0\",\"process\":{\"user\":{\"uid\":-1}}}", "uid"},
        {"{\"ociVersion\":\"1.0\",\"process\":{\"capabilities\":{\"bounding\":[\"CAP_X\"]}}}",
         "unknown capability: \"CAP_X\""},
        {"{\"ociVersion\":\"1.0\",\"process\":{\"rlimits\":[{\"type\":\"X\"}]}}", "'X'"},
        {"{\"ociVersion\":\"1.0\",\"process\":{\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":2,"
         "\"hard\":1}]}}",
         "above the hard one"},
        {"{\"ociVersion\":\"1.0\",\"mounts\":[{}]}", "mounts[0]"},
        {"{\"ociVersion\":\"1.0\",\"linux\":{\"namespaces\":[{\"type\":\"pid\"},"
         "{\"type\":\"pid\"}]}}",
         "appears twice"},
        {"{\"ociVersion\":\"1.0\",\"linux\":{\"namespaces\":[{\"type\":\"moon\"}]}}", "'moon'"},
        {"{\"ociVersion\":\"1.0\",\"linux\":{\"resources\":{\"unified\":{\"../x\":\"1\"}}}}",
         "unified"},
        {"{\"ociVersion\":\"1.0\",\"linux\":{\"seccomp\":{\"defaultAction\":\"NO\"}}}",
         "unknown action"},
        {"{\"ociVersion\":\"1.0\",\"annotations\":{\"a=b\":\"c\"}}", "invalid key"},
        {"{\"ociVersion\":\"1.0\",\"process\":{\"oomScoreAdj\":1001}}", "oomScoreAdj"},
        {"{\"ociVersion\":\"1.0\",\"x\":99999999999999999999999}", "line 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct spec_runtime *config = NULL;
        struct error error = ERROR_INIT;

        assert_int_equal(spec_runtime_parse(rows[i].text, strlen(rows[i].text), &config, &error),
                         -EINVAL);
        assert_null(config);
        assert_int_equal(error.class, ERROR_INVALID);
        if (!strstr(error.message, rows[i].message))
            fail_msg("'%s' expected in '%s'", rows[i].message, error.message);
    }
}

static void test_builders(void **state)
{
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = spec_runtime_new();

    (void)state;
    assert_int_equal(spec_runtime_add_mount(config, "/a", "tmpfs", "a", "ro,size=1m"), 0);
    assert_int_equal(spec_runtime_add_mount(config, "/b", "bind", "/src", NULL), 0);
    assert_string_equal(spec_runtime_find_mount(config, "/a")->options[1], "size=1m");
    assert_true(spec_runtime_remove_mount(config, "/a"));
    assert_false(spec_runtime_remove_mount(config, "/a"));
    assert_string_equal(config->mounts[0].destination, "/b");
    assert_int_equal(spec_process_add_rlimit(config->process, RLIMIT_CPU, 1, 2), 0);
    assert_int_equal(spec_process_add_rlimit(config->process, RLIMIT_CPU, 3, 4), 0);
    assert_int_equal(config->process->n_rlimits, 1);
    assert_int_equal(config->process->rlimits[0].hard, 4);
    assert_int_equal(spec_process_add_rlimit(config->process, 99, 3, 4), -EINVAL);
    assert_int_equal(spec_runtime_set_annotation(config, "x", "1"), 0);
    assert_int_equal(spec_runtime_set_annotation(config, "x", "2"), 0);
    assert_string_equal(spec_runtime_annotation(config, "x"), "2");
    assert_null(spec_runtime_annotation(config, "y"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_builders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
