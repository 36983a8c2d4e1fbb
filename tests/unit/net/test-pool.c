#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/pool.h"

static void test_subnet(void **state)
{
    struct net_subnet subnet;
    char text[NET_SUBNET_TEXT_SIZE];

    (void)state;
    assert_int_equal(net_subnet_parse("172.29.3.1/16", &subnet, NULL), 0);
    net_subnet_format(&subnet, text);
    assert_string_equal(text, "172.29.0.0/16");
    net_subnet_format_gateway(&subnet, text);
    assert_string_equal(text, "172.29.3.1/16");
    assert_true(net_subnet_contains(&subnet, 0xac1dffff));
    assert_false(net_subnet_contains(&subnet, 0xac1e0000));
}

static void test_bad_subnets(void **state)
{
    static const char *const bad[] = {"",
                                      "172.29.0.1",
                                      "172.29.0.1/",
                                      "172.29.0.1/33",
                                      "10.0.0.1/7",
                                      "10.0.0.1/31",
                                      "10.0.0.0/8",
                                      "10.255.255.255/8",
                                      "x/16",
                                      "127.0.0.1/8",
                                      "224.0.0.1/16",
                                      "0.1.0.1/16",
                                      "::1/64",
                                      "10.0.0.1/+16",
                                      "172.29.000.1/16",
                                      "10.0.0.1/16/16",
                                      " 10.0.0.1/16",
                                      "10.0.0.1/16 ",
                                      "123.123.123.123/16xxxxxxxx"};
    struct net_subnet subnet;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct error err = ERROR_INIT;

        if (net_subnet_parse(bad[i], &subnet, &err) == 0)
            fail_msg("accepted '%s'", bad[i]);
        assert_int_equal(err.class, ERROR_INVALID);
    }
}

static bool below(uint32_t address, void *data)
{
    return address < *(uint32_t *)data;
}

static void test_allocation(void **state)
{
    struct net_subnet subnet;
    uint32_t address = 0;
    uint32_t free_from;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(net_subnet_parse("10.0.0.1/29", &subnet, NULL), 0);
    assert_int_equal(net_pool_allocate(&subnet, NULL, NULL, 0, &address, NULL), 0);
    assert_int_equal(address, 0x0a000002);
    free_from = 0x0a000005;
    assert_int_equal(net_pool_allocate(&subnet, below, &free_from, 0, &address, NULL), 0);
    assert_int_equal(address, 0x0a000005);
    free_from = 0x0a000007; /* only the broadcast address is free */
    assert_int_equal(net_pool_allocate(&subnet, below, &free_from, 0, &address, &err), -ENOSPC);
    assert_string_equal(err.message, "no available IPv4 addresses on this network: 10.0.0.0/29");
}

static void test_wanted_address(void **state)
{
    struct net_subnet subnet;
    uint32_t address = 0;
    uint32_t free_from = 0x0a000004;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(net_subnet_parse("10.0.0.1/29", &subnet, NULL), 0);
    assert_int_equal(net_pool_allocate(&subnet, below, &free_from, 0x0a000006, &address, NULL), 0);
    assert_int_equal(address, 0x0a000006);
    assert_true(net_pool_allocate(&subnet, below, &free_from, 0x0a000003, &address, &err) < 0);
    assert_string_equal(err.message, "Address already in use");
    assert_int_equal(err.class, ERROR_FORBIDDEN);
    assert_true(net_pool_allocate(&subnet, NULL, NULL, 0x0a000001, &address, NULL) < 0);
    assert_int_equal(net_pool_allocate(&subnet, NULL, NULL, 0x0a000000, &address, NULL), -EINVAL);
    assert_int_equal(net_pool_allocate(&subnet, NULL, NULL, 0x0a000007, &address, NULL), -EINVAL);
    assert_int_equal(net_pool_allocate(&subnet, NULL, NULL, 0x0a000008, &address, NULL), -EINVAL);
    assert_int_equal(address, 0x0a000006);
}

static void test_mac(void **state)
{
    static const uint8_t expected[6] = {0x02, 0x42, 172, 29, 0, 2};
    uint8_t mac[6];

    (void)state;
    net_mac_from_address(0xac1d0002, mac);
    assert_memory_equal(mac, expected, sizeof(mac));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subnet),     cmocka_unit_test(test_bad_subnets),
        cmocka_unit_test(test_allocation), cmocka_unit_test(test_wanted_address),
        cmocka_unit_test(test_mac),
    };

    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
