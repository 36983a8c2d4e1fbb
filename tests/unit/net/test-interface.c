/* sandbox/interface.h: the JSON form, and the configuration of real links. */
#include "base/json.h"
#include "base/strings.h"
#include "netns.h"
#include "sandbox/interface.h"
#include <net/if.h>

static int parse(const char *text, struct sandbox_interface **ret, size_t *ret_n, struct error *err)
{
    CLEANUP_JSON json_t *json = NULL;

    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    return sandbox_interfaces_from_json(json, ret, ret_n, err);
}

static void test_json_round_trip(void **state)
{
    static const char text[] =
        "[{\"link\":\"hp0123456789\",\"name\":\"eth0\",\"mac\":\"02:42:ac:1d:00:02\","
        "\"addresses\":[\"172.29.0.2/16\",\"fd00::2/64\"],\"gateway\":[\"172.29.0.1\",\"fd00::1\"],"
        "\"mtu\":1500},{\"name\":\"eth1\",\"mac\":\"02:42:ac:1d:00:03\",\"addresses\":[\"10.0.0.2/"
        "8\"],"
        "\"gateway\":\"10.0.0.1\"}]";
    CLEANUP_FREE struct sandbox_interface *interfaces = NULL;
    CLEANUP_JSON json_t *json = NULL;
    CLEANUP_FREE char *again = NULL;
    size_t n = 0;

    (void)state;
    assert_int_equal(parse(text, &interfaces, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(interfaces[0].n_addresses, 2);
    assert_int_equal(interfaces[0].n_gateways, 2);
    assert_string_equal(interfaces[1].link, "");
    assert_int_equal(interfaces[1].mtu, 0);
    json = sandbox_interfaces_to_json(interfaces, n);
    assert_non_null(json);
    again = json_format(json);
    assert_string_equal(again, text);
}

static void test_none_and_default_names(void **state)
{
    struct sandbox_interface *interfaces = NULL;
    size_t n = 7;

    (void)state;
    assert_int_equal(sandbox_interfaces_from_json(NULL, &interfaces, &n, NULL), 0);
    assert_int_equal(n, 0);
    assert_null(interfaces);
    assert_int_equal(parse("[{\"link\":\"a\"},{\"link\":\"b\"}]", &interfaces, &n, NULL), 0);
    assert_string_equal(interfaces[1].name, "eth1");
    free(interfaces);
}

static void test_hostile_json(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[1]",
        "[{}]",
        "[{\"link\":\"a/b\"}]",
        "[{\"link\":\"\"}]",
        "[{\"link\":\"sixteen-letters-\"}]",
        "[{\"link\":\"..\"}]",
        "[{\"link\":\"a%d\"}]",
        "[{\"link\":1}]",
        "[{\"link\":\"a\",\"name\":\"lo\"}]",
        "[{\"link\":\"a\",\"name\":\"e 0\"}]",
        "[{\"mac\":\"02:42:ac:1d:00\"}]",
        "[{\"mac\":\"03:42:ac:1d:00:02\"}]",
        "[{\"mac\":\"00:00:00:00:00:00\"}]",
        "[{\"mac\":\"02-42-ac-1d-00-02\"}]",
        "[{\"link\":\"a\",\"mtu\":67}]",
        "[{\"link\":\"a\",\"mtu\":65536}]",
        "[{\"link\":\"a\",\"mtu\":\"1500\"}]",
        "[{\"link\":\"a\",\"addresses\":\"10.0.0.1/8\"}]",
        "[{\"link\":\"a\",\"addresses\":[\"10.0.0.1\"]}]",
        "[{\"link\":\"a\",\"addresses\":[\"10.0.0.1/33\"]}]",
        "[{\"link\":\"a\",\"addresses\":[\"fe80::1/129\"]}]",
        "[{\"link\":\"a\",\"addresses\":[1]}]",
        "[{\"link\":\"a\",\"gateway\":\"10.0.0.1/8\"}]",
        "[{\"link\":\"a\",\"gateway\":5}]",
        "[{\"link\":\"a\",\"gateway\":[\"10.0.0.1\",\"10.0.0.2\"]}]",
        "[{\"link\":\"a\",\"gateway\":[\"10.0.0.1\",\"::1\",\"::2\"]}]",
        "[{\"link\":\"a\",\"surprise\":1}]",
        "[{\"link\":\"a\"},{\"link\":\"a\"}]",
        "[{\"link\":\"a\",\"name\":\"x\"},{\"link\":\"b\",\"name\":\"x\"}]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct sandbox_interface *interfaces = NULL;
        size_t n = 0;

        if (parse(bad[i], &interfaces, &n, NULL) != -EINVAL)
            fail_msg("accepted %s", bad[i]);
        assert_null(interfaces);
    }
}

static void test_maxima(void **state)
{
    CLEANUP_JSON json_t *many = json_array();
    CLEANUP_JSON json_t *long_one = json_pack("[{s:s,s:[]}]", "link", "a", "addresses");
    json_t *addresses = json_object_get(json_array_get(long_one, 0), "addresses");
    struct sandbox_interface *interfaces = NULL;
    size_t n = 0;

    (void)state;
    for (int i = 0; i <= SANDBOX_INTERFACES_MAX; i++) {
        char name[16];

        snprintf(name, sizeof(name), "link%d", i);
        json_array_append_new(many, json_pack("{s:s}", "link", name));
    }
    assert_true(sandbox_interfaces_from_json(many, &interfaces, &n, NULL) < 0);
    for (int i = 0; i <= SANDBOX_INTERFACE_ADDRESSES_MAX; i++)
        json_array_append_new(addresses, json_string("10.0.0.1/8"));
    assert_true(sandbox_interfaces_from_json(long_one, &interfaces, &n, NULL) < 0);
}

/* As in a utility VM: the link is found by its MAC and stays in this namespace. */
static void test_configure_in_place(void **state)
{
    struct sandbox_interface *interfaces = NULL;
    struct netlink *netlink = NULL;
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
    struct netlink_veth veth = {
        .name = "vec0", .peer_name = "peer0", .mac = mac, .peer_netns_fd = -EBADF, .up = true};
    struct netlink_address addresses[4];
    struct netlink_link link;
    struct error err = ERROR_INIT;
    size_t n = 0;

    (void)state;
    netns_required();
    assert_done(netlink_open(-EBADF, &netlink, &err), err);
    assert_done(netlink_add_veth(netlink, &veth, &err), err);
    assert_done(parse("[{\"mac\":\"02:00:00:00:00:09\",\"name\":\"eth0\",\"addresses\":"
                      "[\"10.5.0.2/24\",\"fd05::2/64\"],\"gateway\":\"10.5.0.1\",\"mtu\":1300}]",
                      &interfaces, &n, &err),
                err);
    assert_done(sandbox_interfaces_configure(interfaces, n, -EBADF, &err), err);
    assert_done(netlink_find_name(netlink, "eth0", &link, &err), err);
    assert_int_equal(link.mtu, 1300);
    assert_true(link.flags & IFF_UP);
    assert_done(netlink_list_addresses(netlink, link.index, addresses, 4, &n, &err), err);
    assert_int_equal(n, 1);
    /* Once more: the agent may be asked again after a failure further on. */
    assert_done(sandbox_interfaces_configure(interfaces, 1, -EBADF, &err), err);
    assert_done(netlink_delete(netlink, link.index, &err), err);
    assert_int_equal(sandbox_interfaces_configure(interfaces, 1, -EBADF, &err), -ENODEV);
    assert_string_equal(
        err.message, "network interface eth0: interface with address 02:00:00:00:00:09: not found");
    free(interfaces);
    netlink_free(netlink);
}

static void test_configure_another_namespace(void **state)
{
    CLEANUP_CLOSE int container = -EBADF;
    CLEANUP(netlink_cleanup) struct netlink *home = NULL;
    CLEANUP(netlink_cleanup) struct netlink *there = NULL;
    struct netlink_veth veth = {.name = "hv0", .peer_name = "hp0", .peer_netns_fd = -EBADF};
    struct sandbox_interface interface = {
        .link = "hp0", .name = "eth0", .has_mac = true, .mac = {2, 0, 0, 0, 0, 8}, .mtu = 1200};
    struct netlink_link link;
    struct error err = ERROR_INIT;

    (void)state;
    netns_required();
    container = netns_make();
    assert_done(netlink_open(-EBADF, &home, &err), err);
    assert_done(netlink_open(container, &there, &err), err);
    assert_done(netlink_add_veth(home, &veth, &err), err);
    assert_done(sandbox_interfaces_configure(&interface, 1, container, &err), err);
    assert_int_equal(netlink_find_name(home, "hp0", &link, NULL), -ENODEV);
    assert_done(netlink_find_name(there, "eth0", &link, &err), err);
    assert_memory_equal(link.mac, interface.mac, 6);
    assert_int_equal(link.mtu, 1200);
    assert_true(link.flags & IFF_UP);
    assert_done(netlink_find_name(there, "lo", &link, &err), err);
    assert_true(link.flags & IFF_UP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_round_trip),
        cmocka_unit_test(test_none_and_default_names),
        cmocka_unit_test(test_hostile_json),
        cmocka_unit_test(test_maxima),
        cmocka_unit_test(test_configure_in_place),
        cmocka_unit_test(test_configure_another_namespace),
    };

    return cmocka_run_group_tests_name("interface", tests, netns_setup, NULL);
}
