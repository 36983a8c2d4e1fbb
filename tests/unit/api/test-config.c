#include "unit.h"

#include "api/daemon_config.h"
#include "api/listen.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "engine/engine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLEANUP_CONFIG CLEANUP(daemon_config_release)

static int parse(struct daemon_config *config, const char *line, struct error *err)
{
    CLEANUP_STRV char **argv = NULL;

    assert_int_equal(strv_split(line, ' ', &argv), 0);
    return daemon_config_parse(config, (int)strv_length(argv), argv, err);
}

static int merge(struct daemon_config *config, const char *text, struct error *err)
{
    CLEANUP_JSON json_t *document = NULL;

    assert_int_equal(json_parse(text, strlen(text), &document, NULL), 0);
    return daemon_config_merge(config, document, "/f", err);
}

static void test_defaults(void **state)
{
    CLEANUP_CONFIG struct daemon_config config = DAEMON_CONFIG_INIT;

    (void)state;
    assert_int_equal(parse(&config, "hulld", NULL), 0);
    assert_int_equal(daemon_config_resolve(&config, NULL), 0);
    assert_string_equal(config.root, "/var/lib/hull");
    assert_string_equal(config.state, "/run/hull");
    assert_int_equal(config.isolation, COMPUTE_PROCESS);
    assert_true(config.icc);
    assert_int_equal(config.vm_engine, ENGINE_VM_AUTO);
    assert_int_equal(config.vm_uid_first, 1879048192);
    assert_int_equal(config.vm_uid_count, 4093);
    assert_int_equal(config.log_level, LOG_LEVEL_INFO);
}

static void test_flags(void **state)
{
    CLEANUP_CONFIG struct daemon_config config = DAEMON_CONFIG_INIT;
    struct engine_config engine;

    (void)state;
    assert_int_equal(
        parse(
            &config,
            "hulld -H unix:///a --host=fd:// -Hunix:///b --root /r --exec-opt "
            "isolation=hyperv --exec-opt=vm.engine=uml --log-opt max-size=1m -D "
            "--insecure-registry a:5000 --vm-uid-range 5:7 --vm-memory-overcommit 1.5 --icc=false",
            NULL),
        0);
    assert_int_equal(daemon_config_resolve(&config, NULL), 0);
    assert_int_equal(strv_length(config.hosts), 3);
    assert_string_equal(config.hosts[2], "unix:///b");
    assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
    daemon_config_engine(&config, &engine);
    assert_string_equal(engine.root, "/r");
    assert_int_equal(engine.isolation, COMPUTE_HYPERV);
    assert_int_equal(engine.vm_engine, VM_ENGINE_UML);
    assert_string_equal(engine.log_opts[0], "max-size=1m");
    assert_string_equal(engine.insecure_registries[0], "a:5000");
    assert_int_equal(engine.vm_uid_first, 5);
    assert_int_equal(engine.vm_uid_count, 7);
    assert_int_equal(engine.memory_overcommit, 1536);
    assert_true(engine.closed);
}

static void expect_parse_error(const char *line, const char *message)
{
    CLEANUP_CONFIG struct daemon_config config = DAEMON_CONFIG_INIT;
    struct error error = ERROR_INIT;

    assert_int_equal(parse(&config, line, &error), -EINVAL);
    assert_string_equal(error.message, message);
}

static void test_bad_flags(void **state)
{
    (void)state;
    expect_parse_error("hulld --nonsense", "unknown flag: --nonsense");
    expect_parse_error("hulld --nonsense=1", "unknown flag: --nonsense");
    expect_parse_error("hulld -Z", "unknown flag: -Z");
    expect_parse_error("hulld --root", "flag needs an argument: --root");
    expect_parse_error("hulld x", "\"hulld\" accepts no arguments, but got \"x\"");
    expect_parse_error("hulld --debug=x", "invalid argument \"x\" for --debug");
    expect_parse_error("hulld --log-opt x",
                       "invalid argument \"x\" for --log-opt: it must be KEY=VALUE");
}

static void expect_resolve_error(const char *line, const char *message)
{
    CLEANUP_CONFIG struct daemon_config config = DAEMON_CONFIG_INIT;
    struct error error = ERROR_INIT;

    assert_int_equal(parse(&config, line, NULL), 0);
    assert_int_equal(daemon_config_resolve(&config, &error), -EINVAL);
    assert_string_equal(error.message, message);
}

static void test_bad_values(void **state)
{
    (void)state;
    expect_resolve_error("hulld --exec-opt isolation=x",
                         "error setting default isolation mode: invalid exec-opt value for "
                         "'isolation':'x'");
    expect_resolve_error("hulld --exec-opt other=x", "unrecognised exec-opt 'other'");
    expect_resolve_error("hulld --exec-opt other", "invalid exec-opt \"other\": it must be "
                                                   "KEY=VALUE");
    expect_resolve_error("hulld --vm-pool 65",
                         "invalid value for --vm-pool: \"65\" (it must be a number from 0 to 64)");
    expect_resolve_error("hulld --vm-engine x", "invalid value for --vm-engine: \"x\" (it must be "
                                                "kvm, uml, tcg or auto)");
    expect_resolve_error("hulld --vm-engine uml --exec-opt vm.engine=kvm",
                         "the engine of utility VMs is given twice: with --vm-engine and with "
                         "--exec-opt");
    expect_resolve_error("hulld --vm-uid-range 0:5",
                         "invalid value for --vm-uid-range: \"0:5\" (it "
                         "must be FIRST:COUNT)");
    expect_resolve_error("hulld --vm-uid-range 4294967290:99",
                         "invalid value for --vm-uid-range: \"4294967290:99\" (it must be "
                         "FIRST:COUNT)");
    expect_resolve_error("hulld --vm-memory-overcommit 2x",
                         "invalid value for --vm-memory-overcommit: \"2x\" (it must be a number "
                         "from 0 to 1000)");
    expect_resolve_error("hulld --vm-memory-overcommit 1001",
                         "invalid value for --vm-memory-overcommit: \"1001\" (it must be a number "
                         "from 0 to 1000)");
    expect_resolve_error("hulld --vm-memory-overcommit=",
                         "invalid value for --vm-memory-overcommit: \"\" (it must be a number "
                         "from 0 to 1000)");
    expect_resolve_error("hulld --log-level x", "invalid logging level: x");
    expect_resolve_error("hulld --log-driver syslog",
                         "logger: no log driver named 'syslog' is registered");
    expect_resolve_error("hulld --root x", "--root and --state must be absolute paths");
    expect_resolve_error("hulld -s zfs", "storage driver \"zfs\" is not supported");
}

static void test_file(void **state)
{
    CLEANUP_CONFIG struct daemon_config config = DAEMON_CONFIG_INIT;

    (void)state;
    assert_int_equal(parse(&config, "hulld --bip 10.0.0.1/24", NULL), 0);
    assert_int_equal(merge(&config,
                           "{\"hosts\":[\"unix:///a\"],\"data-root\":\"/r\",\"exec-root\":\"/s\","
                           "\"log-opts\":{\"max-size\":\"1m\"},\"debug\":true,"
                           "\"exec-opts\":[\"isolation=hyperv\"]}",
                           NULL),
                     0);
    assert_int_equal(daemon_config_resolve(&config, NULL), 0);
    assert_string_equal(config.root, "/r");
    assert_string_equal(config.state, "/s");
    assert_string_equal(config.log_opts[0], "max-size=1m");
    assert_string_equal(config.bip, "10.0.0.1/24");
    assert_true(config.debug);
    assert_int_equal(config.isolation, COMPUTE_HYPERV);
}

static void expect_merge_error(const char *line, const char *text, const char *message)
{
    CLEANUP_CONFIG struct daemon_config config = DAEMON_CONFIG_INIT;
    struct error error = ERROR_INIT;

    assert_int_equal(parse(&config, line, NULL), 0);
    assert_int_equal(merge(&config, text, &error), -EINVAL);
    assert_string_equal(error.message, message);
}

static void test_bad_file(void **state)
{
    (void)state;
    expect_merge_error("hulld", "{\"foo\":1,\"bip\":\"x\",\"bar\":2}",
                       "unable to configure the hull daemon with file /f: the following directives "
                       "don't match any configuration option: foo, bar");
    expect_merge_error("hulld --data-root /x", "{\"data-root\":\"/y\"}",
                       "unable to configure the hull daemon with file /f: the following directives "
                       "are specified both as a flag and in the configuration file: data-root");
    expect_merge_error("hulld --root /x", "{\"data-root\":\"/y\"}",
                       "unable to configure the hull daemon with file /f: the following directives "
                       "are specified both as a flag and in the configuration file: data-root");
    expect_merge_error("hulld", "{\"log-opts\":{\"max-file\":3}}",
                       "unable to configure the hull daemon with file /f: 'max-file' in 'log-opts' "
                       "must be a string");
}

static void test_missing_file(void **state)
{
    CLEANUP_CONFIG struct daemon_config config = DAEMON_CONFIG_INIT;
    struct error error = ERROR_INIT;

    (void)state;
    assert_int_equal(parse(&config, "hulld --config /nonexistent/f", NULL), 0);
    assert_int_equal(daemon_config_load(&config, &error), -ENOENT);
    assert_non_null(strstr(error.message, "/nonexistent/f"));
}

static int open_one(const char *host, struct listeners *listeners, struct error *err)
{
    CLEANUP_STRV char **hosts = NULL;

    assert_int_equal(strv_append(&hosts, host), 0);
    return listeners_open(hosts, "unix:///nonexistent/x", NULL, listeners, err);
}

static void test_listen_unix(void **state)
{
    struct listeners listeners = LISTENERS_INIT;
    char folder[] = "/tmp/hull-test-api-XXXXXX";
    struct stat status;
    CLEANUP_FREE char *host = NULL;

    (void)state;
    assert_non_null(mkdtemp(folder));
    host = string_format("unix://%s/sub/hull.sock", folder);
    assert_int_equal(open_one(host, &listeners, NULL), 0);
    assert_int_equal(listeners.n, 1);
    assert_int_equal(stat(host + strlen("unix://"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    listeners_release(&listeners);
    assert_int_equal(stat(host + strlen("unix://"), &status), -1);
    assert_int_equal(path_remove_tree(AT_FDCWD, folder, NULL), 0);
}

static void test_listen_refusals(void **state)
{
    static const char *const bad[] = {
        "tcp://0.0.0.0:2375", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "tcp://example:1",
        "unix://relative",    "fd://",           "http://127.0.0.1:1",    ""};

    (void)state;
    unsetenv("LISTEN_PID");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct listeners listeners = LISTENERS_INIT;
        struct error error = ERROR_INIT;

        assert_int_equal(open_one(bad[i], &listeners, &error), -EINVAL);
        assert_int_equal(error.class, ERROR_INVALID);
        assert_int_equal(listeners.n, 0);
    }
}

static void test_listen_tcp_warns(void **state)
{
    struct listeners listeners = LISTENERS_INIT;

    (void)state;
    assert_int_equal(open_one("tcp://127.0.0.1:0", &listeners, NULL), 0);
    assert_int_equal(strv_length(listeners.warnings), 1);
    listeners_release(&listeners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_bad_flags),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_bad_file),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_listen_unix),
        cmocka_unit_test(test_listen_refusals),
        cmocka_unit_test(test_listen_tcp_warns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
