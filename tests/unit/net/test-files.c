#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "net/files.h"
#include <stdbool.h>

#define WORDS(...) ((char *const *)(uintptr_t)(const char *const[]){__VA_ARGS__, NULL})

static void expect_resolv(const char *host, const struct net_resolv_config *config,
                          const char *expected)
{
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(NET_FILES_MAX);

    assert_int_equal(net_resolv_conf(host, config, &output, NULL), 0);
    assert_string_equal(buffer_string(&output), expected);
}

static void test_resolv_conf_of_the_host(void **state)
{
    struct net_resolv_config none = {0};

    (void)state;
    expect_resolv("# comment\nnameserver 10.0.0.1\nnameserver 127.0.0.53\n"
                  "nameserver fe80::1%eth0 # scope\nsearch old.example\n"
                  "domain a.example\nsearch b.example  c.example\noptions edns0\noptions trust-ad",
                  &none,
                  "nameserver 10.0.0.1\nnameserver fe80::1%eth0\n"
                  "search b.example c.example\noptions edns0 trust-ad\n");
    expect_resolv("nameserver 127.0.0.1\nnameserver ::1\n", &none,
                  "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    expect_resolv(NULL, &none, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
    expect_resolv("nameserver not-an-address\nnameserver\nsearch\n", &none,
                  "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
}

static void test_resolv_conf_of_the_user(void **state)
{
    struct net_resolv_config config = {.servers = WORDS("1.1.1.1", "127.0.0.1"),
                                       .search = WORDS("."),
                                       .options = WORDS("ndots:2")};

    (void)state;
    expect_resolv("nameserver 10.0.0.1\nsearch a.example\noptions edns0\n", &config,
                  "nameserver 1.1.1.1\nnameserver 127.0.0.1\noptions ndots:2\n");
}

static void test_resolv_conf_refuses(void **state)
{
    struct net_resolv_config bad[] = {
        {.servers = WORDS("example.com")},
        {.servers = WORDS("1.1.1.1\nsearch evil")},
        {.search = WORDS("a\nnameserver 6.6.6.6")},
        {.search = WORDS("")},
        {.options = WORDS("a b")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(NET_FILES_MAX);
        struct error err = ERROR_INIT;

        assert_int_equal(net_resolv_conf(NULL, &bad[i], &output, &err), -EINVAL);
        assert_int_equal(err.class, ERROR_INVALID);
        assert_int_equal(output.length, 0);
    }
}

static void test_which_host_file(void **state)
{
    (void)state;
    assert_string_equal(net_resolv_conf_path("nameserver 10.0.0.1\n"), "/etc/resolv.conf");
    assert_string_equal(net_resolv_conf_path(NULL), "/etc/resolv.conf");
    assert_string_equal(net_resolv_conf_path("# stub\nnameserver 127.0.0.53\noptions edns0\n"),
                        "/run/systemd/resolve/resolv.conf");
    assert_string_equal(net_resolv_conf_path("nameserver 127.0.0.53\nnameserver 10.0.0.1\n"),
                        "/etc/resolv.conf");
}

#define HOSTS_START                                                                           \
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n" \
    "ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"

static void test_hosts(void **state)
{
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(NET_FILES_MAX);
    struct net_hosts_config config = {
        .address = "172.29.0.2",
        .hostname = "web",
        .domain = "example",
        .extra = WORDS("db:10.0.0.7", "host:host-gateway", "six:2001:db8::1"),
        .gateway = "172.29.0.1",
    };

    (void)state;
    assert_int_equal(net_hosts(&config, &output, NULL), 0);
    assert_string_equal(buffer_string(&output),
                        HOSTS_START "10.0.0.7\tdb\n172.29.0.1\thost\n2001:db8::1\tsix\n"
                                    "172.29.0.2\tweb.example web\n");
    buffer_clear(&output);
    assert_int_equal(net_hosts(&(struct net_hosts_config){0}, &output, NULL), 0);
    assert_string_equal(buffer_string(&output), HOSTS_START);
}

static void test_hosts_refuses(void **state)
{
    static const char *const bad[] = {"db",           ":10.0.0.7",
                                      "db:",          "db:x",
                                      "a b:10.0.0.7", "db:10.0.0.7\n1.2.3.4 evil",
                                      "a\n:10.0.0.7", "host:host-gateway"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(NET_FILES_MAX);
        struct net_hosts_config config = {.extra = WORDS(bad[i])};

        assert_int_equal(net_hosts(&config, &output, NULL), -EINVAL);
    }
}

static void test_hostname(void **state)
{
    static const char *const bad[] = {
        "",         "-a",
        "a-",       "a..b",
        ".a",       "a.",
        "a b",      "a\n",
        "\xc3\xa4", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(NET_FILES_MAX);

    (void)state;
    assert_int_equal(net_hostname("web-1.example_x", &output, NULL), 0);
    assert_string_equal(buffer_string(&output), "web-1.example_x\n");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(net_hostname(bad[i], &output, NULL), -EINVAL);
    assert_int_equal(net_hostname(NULL, &output, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolv_conf_of_the_host),
        cmocka_unit_test(test_resolv_conf_of_the_user),
        cmocka_unit_test(test_resolv_conf_refuses),
        cmocka_unit_test(test_which_host_file),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_hosts_refuses),
        cmocka_unit_test(test_hostname),
    };

    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
