#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/container-config.h"
#include "cli/container-options.h"
#include "cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct cli_option table[] = {
    CONTAINER_OPTIONS_A_TO_C, CONTAINER_OPTIONS_D_TO_L, CONTAINER_OPTIONS_M_TO_R,
    CONTAINER_OPTIONS_S_TO_Z, {.name = NULL},
};

/* The parser takes an argv, whose strings are not const; literals are. */
#define ARGV(...) ((char *const *)(uintptr_t)(const char *const[]){__VA_ARGS__, NULL})

static int build(char *const *argv, bool detach, json_t **ret, struct error *err)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;

    assert_int_equal(options_parse(table, argv, OPTIONS_STOP_AT_ARGUMENT, &options, NULL), 0);
    return container_config_build(&options, detach, ret, err);
}

/* The member at "A.B" of what the options give, as compact JSON. */
static void gives(char *const *argv, const char *path, const char *expected)
{
    CLEANUP_JSON json_t *config = NULL;
    CLEANUP_FREE char *text = NULL;
    CLEANUP_FREE char *copy = strdup(path);
    const json_t *value = NULL;
    char *rest = copy;

    assert_int_equal(build(argv, false, &config, NULL), 0);
    value = config;
    while (rest) {
        char *name = strsep(&rest, ".");
        value = json_object_get(value, name);
    }
    text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS)
                 : strdup("absent");
    assert_string_equal(text, expected);
}

static void refuses(char *const *argv, const char *message)
{
    CLEANUP_JSON json_t *config = NULL;
    struct error err = ERROR_INIT;

    assert_int_equal(build(argv, false, &config, &err), -EINVAL);
    assert_null(config);
    assert_string_equal(err.message, message);
}

static void test_command(void **state)
{
    (void)state;
    gives(ARGV("x", "ls", "-l"), "Cmd", "[\"ls\",\"-l\"]");
    gives(ARGV("x"), "Cmd", "absent");
    gives(ARGV("--entrypoint", "sh", "x"), "Entrypoint", "[\"sh\"]");
    gives(ARGV("--entrypoint=", "x"), "Entrypoint", "[\"\"]");
}

static void test_streams(void **state)
{
    CLEANUP_JSON json_t *config = NULL;

    (void)state;
    gives(ARGV("x"), "AttachStdin", "false");
    gives(ARGV("x"), "AttachStdout", "true");
    gives(ARGV("-i", "x"), "StdinOnce", "true");
    gives(ARGV("-a", "stderr", "x"), "AttachStdout", "false");
    assert_int_equal(build(ARGV("-i", "x"), true, &config, NULL), 0);
    assert_true(json_is_false(json_object_get(config, "AttachStdin")));
    assert_true(json_is_true(json_object_get(config, "OpenStdin")));
}

static void test_resources(void **state)
{
    (void)state;
    gives(ARGV("-m", "64m", "x"), "HostConfig.Memory", "67108864");
    gives(ARGV("--memory-swap=-1", "x"), "HostConfig.MemorySwap", "-1");
    gives(ARGV("--cpus", "0.25", "x"), "HostConfig.NanoCpus", "250000000");
    gives(ARGV("--pids-limit", "5", "x"), "HostConfig.PidsLimit", "5");
    gives(ARGV("--ulimit", "nofile=1:2", "x"), "HostConfig.Ulimits",
          "[{\"Hard\":2,\"Name\":\"nofile\",\"Soft\":1}]");
}

static void test_ports(void **state)
{
    (void)state;
    gives(ARGV("-p", "8080:80", "x"), "HostConfig.PortBindings",
          "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"8080\"}]}");
    gives(ARGV("-p", "[::1]:53:53/udp", "x"), "HostConfig.PortBindings",
          "{\"53/udp\":[{\"HostIp\":\"::1\",\"HostPort\":\"53\"}]}");
    gives(ARGV("-p", "127.0.0.1::80", "x"), "HostConfig.PortBindings",
          "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"\"}]}");
    gives(ARGV("-p", "1-2:11-12", "x"), "ExposedPorts", "{\"11/tcp\":{},\"12/tcp\":{}}");
    refuses(ARGV("-p", "1-3:11-12", "x"),
            "invalid ranges specified for container and host Ports: 11-12 and 1-3");
    refuses(ARGV("-p", "1:99999", "x"), "invalid containerPort: 99999");
    refuses(ARGV("-p", "x:1", "x"), "invalid hostPort: x");
    refuses(ARGV("-p", "1/icmp", "x"), "invalid proto: icmp");
}

static void test_volumes_and_devices(void **state)
{
    (void)state;
    gives(ARGV("-v", "/a:/b:ro", "-v", "name:/c", "x"), "HostConfig.Binds",
          "[\"/a:/b:ro\",\"name:/c\"]");
    gives(ARGV("-v", "/c", "x"), "Volumes", "{\"/c\":{}}");
    gives(ARGV("--tmpfs", "/run:size=1m", "x"), "HostConfig.Tmpfs", "{\"/run\":\"size=1m\"}");
    gives(
        ARGV("--device", "/dev/a:/dev/b:r", "x"), "HostConfig.Devices",
        "[{\"CgroupPermissions\":\"r\",\"PathInContainer\":\"/dev/b\",\"PathOnHost\":\"/dev/a\"}]");
    refuses(ARGV("--device", "/dev/a:/dev/b:z", "x"), "invalid device mode: z");
    refuses(ARGV("-v", ":/x", "x"), "invalid volume specification: ':/x'");
}

static void test_mounts(void **state)
{
    (void)state;
    gives(ARGV("--mount", "type=bind,src=/a,dst=/b,ro,bind-propagation=rslave", "x"),
          "HostConfig.Mounts",
          "[{\"BindOptions\":{\"Propagation\":\"rslave\"},\"ReadOnly\":true,\"Source\":\"/a\","
          "\"Target\":\"/b\",\"Type\":\"bind\"}]");
    gives(ARGV("--mount", "source=v,target=/b,volume-opt=o=a=b,volume-nocopy", "x"),
          "HostConfig.Mounts",
          "[{\"Source\":\"v\",\"Target\":\"/b\",\"Type\":\"volume\",\"VolumeOptions\":{"
          "\"DriverConfig\":{\"Options\":{\"o\":\"a=b\"}},\"NoCopy\":true}}]");
    gives(ARGV("--mount", "type=tmpfs,dst=/b,tmpfs-size=1m,tmpfs-mode=700", "x"),
          "HostConfig.Mounts",
          "[{\"Target\":\"/b\",\"TmpfsOptions\":{\"Mode\":448,\"SizeBytes\":1048576},"
          "\"Type\":\"tmpfs\"}]");
    refuses(ARGV("--mount", "type=bind,src=/a", "x"),
            "invalid argument \"type=bind,src=/a\" for \"--mount\" flag: target is required");
    refuses(ARGV("--mount", "dst=/a,what=b", "x"),
            "invalid argument \"dst=/a,what=b\" for \"--mount\" flag: unexpected key 'what' in "
            "'what=b'");
    refuses(ARGV("--mount", "type=bind,dst=/a,volume-nocopy", "x"),
            "invalid argument \"type=bind,dst=/a,volume-nocopy\" for \"--mount\" flag: cannot mix "
            "'volume-*' options with mount type 'bind'");
}

static void test_network_and_names(void **state)
{
    (void)state;
    gives(ARGV("x"), "HostConfig.NetworkMode", "\"default\"");
    gives(ARGV("--network", "n", "--ip", "1.2.3.4", "x"), "NetworkingConfig.EndpointsConfig",
          "{\"n\":{\"IPAMConfig\":{\"IPv4Address\":\"1.2.3.4\"}}}");
    gives(ARGV("--add-host", "a=1.2.3.4", "x"), "HostConfig.ExtraHosts", "[\"a:1.2.3.4\"]");
    gives(ARGV("--isolation", "hyperv", "x"), "HostConfig.Isolation", "\"hyperv\"");
    gives(ARGV("-l", "a=b=c", "-l", "d", "x"), "Labels", "{\"a\":\"b=c\",\"d\":\"\"}");
    refuses(ARGV("--add-host", "nonsense", "x"), "bad format for add-host: \"nonsense\"");
}

static void test_policies(void **state)
{
    (void)state;
    gives(ARGV("--restart", "on-failure:3", "x"), "HostConfig.RestartPolicy",
          "{\"MaximumRetryCount\":3,\"Name\":\"on-failure\"}");
    gives(ARGV("--log-opt", "max-size=1m", "x"), "HostConfig.LogConfig.Config",
          "{\"max-size\":\"1m\"}");
    gives(ARGV("--security-opt", "seccomp=unconfined", "x"), "HostConfig.SecurityOpt",
          "[\"seccomp=unconfined\"]");
    refuses(ARGV("--rm", "--restart", "always", "x"),
            "conflicting options: cannot specify both --restart and --rm");
    refuses(ARGV("--restart", "on-failure:x", "x"),
            "invalid restart policy format: maximum retry count must be an integer");
    refuses(ARGV("--log-opt", "x", "x"), "invalid logging opts: x");
}

static void test_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("CLI_TEST_VALUE", "here", 1), 0);
    assert_int_equal(unsetenv("CLI_TEST_ABSENT"), 0);
    gives(ARGV("-e", "A=1", "-e", "CLI_TEST_VALUE", "-e", "CLI_TEST_ABSENT", "x"), "Env",
          "[\"A=1\",\"CLI_TEST_VALUE=here\",\"CLI_TEST_ABSENT\"]");
    refuses(ARGV("-e", "=x", "x"), "invalid environment variable: =x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_volumes_and_devices),
        cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_network_and_names),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
