#include "base/fd.h"
#include "base/netdevice.h"
#include "base/netlink.h"
#include "unit.h"
#include <net/if.h>
#include <poll.h>
#include <sched.h>

/* Links are only ever made in a network namespace of the test's own. */
static bool permitted;

static int enter_namespace(void **state)
{
    (void)state;
    permitted = unshare(CLONE_NEWNET) == 0;
    if (!permitted)
        print_message("links are not tested: unshare(CLONE_NEWNET): %s\n", strerror(errno));
    return 0;
}

#define NAMESPACE_REQUIRED() \
    do {                     \
        if (!permitted)      \
            skip();          \
    } while (0)

static struct netlink *open_client(int netns)
{
    struct netlink *netlink = NULL;
    struct error err = ERROR_INIT;

    if (netlink_open(netns, &netlink, &err) < 0)
        fail_msg("%s", err.message);
    return netlink;
}

static void test_addresses(void **state)
{
    static const char *const good[] = {"10.0.0.1/8", "0.0.0.0/0", "fe80::1/64", "::/0",
                                       "255.255.255.255/32"};
    static const char *const bad[] = {
        "",        "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/",   "10.0.0/8",
        "::1/129", "10.0.0.1/8 ", "a",           "10.0.0.1/8/8"};
    struct netlink_address address;
    char text[NETLINK_ADDRESS_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(netlink_address_parse(good[i], &address), 0);
        netlink_address_format(&address, true, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(netlink_address_parse(bad[i], &address), -EINVAL);
    assert_int_equal(netlink_address_parse("fe80::1", &address), 0);
    assert_int_equal(address.prefix, 128);
}

static void test_macs(void **state)
{
    static const char *const bad[] = {"",
                                      "02:42:ac:11:00",
                                      "02:42:ac:11:00:0",
                                      "02:42:ac:11:00:02:",
                                      "02:42:ac:11:00:0g",
                                      "02.42.ac.11.00.02",
                                      "01:00:5e:00:00:01",
                                      "ff:ff:ff:ff:ff:ff",
                                      "00:00:00:00:00:00"};
    uint8_t mac[NETLINK_MAC_SIZE];
    char text[NETLINK_MAC_TEXT_SIZE];

    (void)state;
    assert_int_equal(netlink_mac_parse("02:42:AC:11:00:fe", mac), 0);
    netlink_mac_format(mac, text);
    assert_string_equal(text, "02:42:ac:11:00:fe");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(netlink_mac_parse(bad[i], mac), -EINVAL);
}

static void test_names(void **state)
{
    (void)state;
    assert_true(netlink_name_is_valid("eth0"));
    assert_true(netlink_name_is_valid("fifteen-letters"));
    assert_false(netlink_name_is_valid("sixteen-letters-"));
    assert_false(netlink_name_is_valid(NULL));
    assert_false(netlink_name_is_valid(""));
    assert_false(netlink_name_is_valid("."));
    assert_false(netlink_name_is_valid(".."));
    assert_false(netlink_name_is_valid("a/b"));
    assert_false(netlink_name_is_valid("a b"));
    assert_false(netlink_name_is_valid("eth0:1"));
    assert_false(netlink_name_is_valid("eth%d"));
    assert_false(netlink_name_is_valid("a\"b"));
}

static void test_bridge_and_port(void **state)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    struct netlink_veth veth = {
        .name = "port0", .peer_name = "peer0", .peer_mac = mac, .mtu = 1400, .up = true};
    struct netlink_link bridge;
    struct netlink_link link;
    struct error err = ERROR_INIT;

    (void)state;
    NAMESPACE_REQUIRED();
    netlink = open_client(-EBADF);
    assert_int_equal(netlink_add_bridge(netlink, "bridge0", NULL, 1450, &err), 0);
    assert_int_equal(netlink_add_bridge(netlink, "bridge0", NULL, 0, &err), -EEXIST);
    assert_int_equal(netlink_find_name(netlink, "bridge0", &bridge, NULL), 0);
    assert_string_equal(bridge.kind, "bridge");
    assert_int_equal(bridge.mtu, 1450);
    veth.master = bridge.index;
    veth.peer_netns_fd = -EBADF;
    assert_int_equal(netlink_add_veth(netlink, &veth, NULL), 0);
    assert_int_equal(netlink_find_name(netlink, "port0", &link, NULL), 0);
    assert_int_equal(link.master, bridge.index);
    assert_int_equal(link.mtu, 1400);
    assert_true(link.flags & IFF_UP);
    assert_int_equal(netlink_set_hairpin(netlink, link.index, NULL), 0);
    assert_int_equal(netlink_find_mac(netlink, mac, &link, NULL), 0);
    assert_string_equal(link.name, "peer0");
    assert_int_equal(link.mtu, 1400);
    assert_int_equal(netlink_delete(netlink, link.index, NULL), 0);
    assert_int_equal(netlink_find_name(netlink, "port0", &link, NULL), -ENODEV);
    assert_int_equal(netlink_delete(netlink, bridge.index, NULL), 0);
}

static void test_errors_carry_the_kernels_words(void **state)
{
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    NAMESPACE_REQUIRED();
    netlink = open_client(-EBADF);
    /* net/core/dev.c: dev_set_mtu_ext() says so in an extended acknowledgement. */
    assert_int_equal(netlink_add_bridge(netlink, "bridge0", NULL, 0, NULL), 0);
    assert_true(netlink_set(netlink, (int)if_nametoindex("bridge0"),
                            &(struct netlink_change){.mtu = 1u << 20}, &err) < 0);
    assert_non_null(strstr(err.message, "(mtu greater than device maximum)"));
    assert_int_equal(netlink_delete(netlink, (int)if_nametoindex("bridge0"), NULL), 0);
    error_clear(&err);
    assert_int_equal(netlink_delete(netlink, 12345, &err), -ENODEV);
    assert_non_null(strstr(err.message, "cannot delete interface 12345: No such device"));
}

static void test_peer_in_another_namespace(void **state)
{
    CLEANUP_CLOSE int home = -EBADF;
    CLEANUP_CLOSE int other = -EBADF;
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    CLEANUP(netlink_cleanup) struct netlink *there = NULL;
    struct netlink_veth veth = {.name = "here0", .peer_name = "there0"};
    struct netlink_link link;

    (void)state;
    NAMESPACE_REQUIRED();
    home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    other = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    netlink = open_client(-EBADF);
    there = open_client(other);
    veth.peer_netns_fd = other;
    assert_int_equal(netlink_add_veth(netlink, &veth, NULL), 0);
    assert_int_equal(netlink_find_name(netlink, "there0", &link, NULL), -ENODEV);
    assert_int_equal(netlink_find_name(there, "there0", &link, NULL), 0);
    assert_true(if_nametoindex("here0") > 0); /* and we are back at home */
    assert_int_equal(netlink_find_name(netlink, "here0", &link, NULL), 0);
    assert_int_equal(netlink_set(netlink, link.index,
                                 &(struct netlink_change){.name = "moved0", .netns_fd = other},
                                 NULL),
                     0);
    assert_int_equal(netlink_find_name(there, "moved0", &link, NULL), 0);
}

static void test_addresses_and_routes(void **state)
{
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    struct netlink_address address;
    struct netlink_address gateway;
    struct netlink_address inside;
    struct netlink_address outside;
    struct netlink_address seen[4];
    struct error err = ERROR_INIT;
    bool overlaps = false;
    size_t n = 0;
    int index;

    (void)state;
    NAMESPACE_REQUIRED();
    netlink = open_client(-EBADF);
    assert_int_equal(netlink_add_bridge(netlink, "bridge0", NULL, 0, NULL), 0);
    index = (int)if_nametoindex("bridge0");
    assert_int_equal(netlink_set_up(netlink, index, NULL), 0);
    netlink_address_parse("10.1.0.1/16", &address);
    netlink_address_parse("10.1.0.254", &gateway);
    netlink_address_parse("10.1.200.0/24", &inside);
    netlink_address_parse("10.2.0.0/16", &outside);
    assert_true(netlink_add_default_route(netlink, index, &gateway, &err) < 0); /* unreachable */
    assert_int_equal(netlink_add_address(netlink, index, &address, NULL), 0);
    assert_int_equal(netlink_add_address(netlink, index, &address, NULL), 0);
    assert_int_equal(netlink_list_addresses(netlink, index, seen, 4, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_memory_equal(&seen[0], &address, sizeof(address));
    assert_int_equal(netlink_add_default_route(netlink, index, &gateway, NULL), 0);
    assert_int_equal(netlink_add_default_route(netlink, index, &gateway, NULL), 0);
    assert_int_equal(netlink_route_overlaps(netlink, &inside, 0, &overlaps, NULL), 0);
    assert_true(overlaps);
    assert_int_equal(netlink_route_overlaps(netlink, &inside, index, &overlaps, NULL), 0);
    assert_false(overlaps);
    assert_int_equal(netlink_route_overlaps(netlink, &outside, 0, &overlaps, NULL), 0);
    assert_false(overlaps); /* the default route does not count */
    assert_int_equal(netlink_delete_address(netlink, index, &address, NULL), 0);
    assert_int_equal(netlink_delete(netlink, index, NULL), 0);
}

/* More links than fit into one datagram. */
static void test_long_listing(void **state)
{
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    CLEANUP_FREE struct netlink_link *links = NULL;
    size_t n = 0;

    (void)state;
    NAMESPACE_REQUIRED();
    netlink = open_client(-EBADF);
    for (int i = 0; i < 60; i++) {
        char name[NETLINK_NAME_SIZE];

        snprintf(name, sizeof(name), "many%d", i);
        assert_int_equal(netlink_add_bridge(netlink, name, NULL, 0, NULL), 0);
    }
    assert_int_equal(netlink_list_links(netlink, &links, &n, NULL), 0);
    assert_int_equal(n, 61);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(links[i].name, "lo") != 0)
            assert_int_equal(netlink_delete(netlink, links[i].index, NULL), 0);
    }
}

static void test_packet_socket(void **state)
{
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    struct netlink_veth veth = {
        .name = "left0", .peer_name = "right0", .peer_netns_fd = -EBADF, .up = true};
    CLEANUP_CLOSE int left = -EBADF;
    CLEANUP_CLOSE int right = -EBADF;
    struct error err = ERROR_INIT;
    char frame[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x12, 0x34, 'x'};
    char seen[128] = "";

    (void)state;
    NAMESPACE_REQUIRED();
    netlink = open_client(-EBADF);
    assert_int_equal(netdevice_open_packet_socket("left0", &err), -ENODEV);
    assert_int_equal(netlink_add_veth(netlink, &veth, NULL), 0);
    assert_int_equal(netlink_set_up(netlink, (int)if_nametoindex("right0"), NULL), 0);
    assert_int_equal(netdevice_disable_offloads("left0", NULL), 0);
    assert_int_equal(netdevice_disable_offloads("right0", NULL), 0);
    left = netdevice_open_packet_socket("left0", NULL);
    right = netdevice_open_packet_socket("right0", NULL);
    assert_true(left >= 0);
    assert_true(right >= 0);
    assert_int_equal(fd_set_nonblocking(right, true), 0);
    /* The kernel starts an interface's queue a moment after its carrier: until then frames are
     * lost. Its own IPv6 messages may come first. */
    for (int attempt = 0; attempt < 100 && seen[12] != 0x12; attempt++) {
        struct pollfd wait = {.fd = right, .events = POLLIN};

        assert_int_equal(write(left, frame, sizeof(frame)), sizeof(frame));
        assert_true(poll(&wait, 1, 100) >= 0);
        while (seen[12] != 0x12 && read(right, seen, sizeof(seen)) > 0)
            ;
    }
    assert_memory_equal(seen, frame, sizeof(frame));
    assert_int_equal(netlink_delete(netlink, (int)if_nametoindex("left0"), NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_macs),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bridge_and_port),
        cmocka_unit_test(test_errors_carry_the_kernels_words),
        cmocka_unit_test(test_peer_in_another_namespace),
        cmocka_unit_test(test_addresses_and_routes),
        cmocka_unit_test(test_long_listing),
        cmocka_unit_test(test_packet_socket),
    };

    return cmocka_run_group_tests_name("netlink", tests, enter_namespace, NULL);
}
