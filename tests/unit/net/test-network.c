#include "base/strings.h"
#include "net/endpoint.h"
#include "net/network.h"
#include "net/publish.h"
#include "netns.h"
#include "sandbox/interface.h"
#include <net/if.h>
#include <netinet/if_ether.h>

#define ID_A "aaaaaaaaaa01"
#define ID_B "bbbbbbbbbb02"

/* What every test has: the network, two containers plugged in, and a machine outside on 10.99.0.2
 * that knows no way back to the containers' network. */
struct fixture {
    struct net *net;
    int a;
    int b;
    int outside;
    uint32_t address_a;
    uint32_t address_b;
};

static void configure(int netns, const char *link, const char *name, const char *address,
                      const char *gateway)
{
    struct sandbox_interface interface = {.n_addresses = 1, .mtu = 1400};
    struct error err = ERROR_INIT;

    string_copy(interface.link, sizeof(interface.link), link);
    string_copy(interface.name, sizeof(interface.name), name);
    assert_int_equal(netlink_address_parse(address, &interface.addresses[0]), 0);
    if (gateway)
        assert_int_equal(netlink_address_parse(gateway, &interface.gateways[0]), 0);
    interface.n_gateways = gateway != NULL;
    assert_done(sandbox_interfaces_configure(&interface, 1, netns, &err), err);
}

static int plug(struct fixture *fixture, const char *id, uint32_t address)
{
    struct net_endpoint_spec spec = {.id = id, .kind = NET_ENDPOINT_PROCESS, .address = address};
    struct net_endpoint endpoint;
    struct error err = ERROR_INIT;
    char text[NET_ADDRESS_TEXT_SIZE];
    char with_prefix[32];
    int netns = netns_make();

    assert_done(net_endpoint_create(fixture->net, &spec, &endpoint, &err), err);
    net_address_format(address, text);
    snprintf(with_prefix, sizeof(with_prefix), "%s/16", text);
    configure(netns, endpoint.guest, "eth0", with_prefix, "172.29.0.1");
    return netns;
}

static void make_outside(struct fixture *fixture)
{
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    struct netlink_veth veth = {.name = "uplink", .peer_name = "far", .peer_netns_fd = -EBADF};
    struct error err = ERROR_INIT;

    fixture->outside = netns_make();
    assert_done(netlink_open(-EBADF, &netlink, &err), err);
    assert_done(netlink_add_veth(netlink, &veth, &err), err);
    configure(-EBADF, "uplink", "uplink", "10.99.0.1/24", NULL);
    configure(fixture->outside, "far", "eth0", "10.99.0.2/24", NULL);
}

static int setup(void **state)
{
    struct net_config config = NET_CONFIG_INIT;
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct error err = ERROR_INIT;

    *state = fixture;
    if (!netns_permitted)
        return 0;
    assert_done(net_open(&config, &fixture->net, &err), err);
    fixture->address_a = net_subnet(fixture->net)->network + 2;
    fixture->address_b = net_subnet(fixture->net)->network + 3;
    make_outside(fixture);
    fixture->a = plug(fixture, ID_A, fixture->address_a);
    fixture->b = plug(fixture, ID_B, fixture->address_b);
    return 0;
}

static bool link_exists(const char *name)
{
    return if_nametoindex(name) != 0;
}

/* Nothing of the network may be left, in the kernel's own words. */
static int teardown(void **state)
{
    struct fixture *fixture = *state;
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *rules = NULL;
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    CLEANUP_FREE struct netlink_link *links = NULL;
    size_t n = 0;

    if (netns_permitted) {
        assert_done(net_close(fixture->net, &err), err);
        net_free(fixture->net);
        rules = run_output("nft", "list", "ruleset");
        assert_string_equal(rules, "");
        assert_done(netlink_open(-EBADF, &netlink, &err), err);
        assert_int_equal(netlink_delete(netlink, (int)if_nametoindex("uplink"), NULL), 0);
        assert_done(netlink_list_links(netlink, &links, &n, &err), err);
        assert_int_equal(n, 1);
        assert_string_equal(links[0].name, "lo");
        fd_close(fixture->a);
        fd_close(fixture->b);
        fd_close(fixture->outside);
    }
    free(fixture);
    return 0;
}

static void test_containers_and_host_reach_each_other(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_CLOSE int in_a = -EBADF;
    CLEANUP_CLOSE int on_host = -EBADF;
    char seen[INET_ADDRSTRLEN];

    netns_required();
    in_a = netns_listen(fixture->a, 80);
    on_host = netns_listen(-EBADF, 8081);
    assert_reaches(fixture->b, "172.29.0.2", 80, in_a, seen);
    assert_string_equal(seen, "172.29.0.3");
    assert_reaches(-EBADF, "172.29.0.2", 80, in_a, seen);
    assert_string_equal(seen, "172.29.0.1");
    assert_reaches(fixture->a, "172.29.0.1", 8081, on_host, seen);
    assert_string_equal(seen, "172.29.0.2");
    assert_null(net_warning(fixture->net));
}

static void test_outside_sees_the_hosts_address(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_CLOSE int far = -EBADF;
    char seen[INET_ADDRSTRLEN];

    netns_required();
    far = netns_listen(fixture->outside, 80);
    assert_reaches(fixture->a, "10.99.0.2", 80, far, seen);
    assert_string_equal(seen, "10.99.0.1");
}

/* The machine outside is given a route, as a stranger on the same wire would take one. */
static void test_outside_does_not_reach_unpublished_ports(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    CLEANUP_CLOSE int in_a = -EBADF;
    struct netlink_address gateway;
    struct netlink_link link;
    struct error err = ERROR_INIT;

    netns_required();
    in_a = netns_listen(fixture->a, 80);
    assert_int_equal(netlink_address_parse("10.99.0.1", &gateway), 0);
    assert_done(netlink_open(fixture->outside, &netlink, &err), err);
    assert_done(netlink_find_name(netlink, "eth0", &link, &err), err);
    assert_done(netlink_add_default_route(netlink, link.index, &gateway, &err), err);
    assert_int_equal(netns_connect(fixture->outside, "172.29.0.2", 80, NETNS_REFUSAL_MS),
                     -ETIMEDOUT);
}

static void test_published_port(void **state)
{
    struct fixture *fixture = *state;
    struct net_port ports[] = {
        {.protocol = NET_PROTOCOL_TCP, .host_port = 8080, .container_port = 80},
        {.protocol = NET_PROTOCOL_TCP, .host_address = 0x7f000001, .container_port = 80},
        {.protocol = NET_PROTOCOL_UDP, .host_port = 8080, .container_port = 53},
    };
    CLEANUP_CLOSE int in_a = -EBADF;
    struct error err = ERROR_INIT;
    char seen[INET_ADDRSTRLEN];

    netns_required();
    in_a = netns_listen(fixture->a, 80);
    assert_done(net_publish(fixture->net, ID_A, ports, 3, &err), err);
    assert_int_equal(ports[0].host_port, 8080);
    assert_true(ports[1].host_port >= 1024);
    assert_reaches(fixture->outside, "10.99.0.1", 8080, in_a, seen);
    assert_string_equal(seen, "10.99.0.2");
    assert_reaches(-EBADF, "127.0.0.1", 8080, in_a, seen);
    assert_string_equal(seen, "172.29.0.1");
    assert_reaches(-EBADF, "10.99.0.1", 8080, in_a, NULL);
    assert_reaches(-EBADF, "127.0.0.1", ports[1].host_port, in_a, NULL);
    assert_reaches(fixture->b, "10.99.0.1", 8080, in_a, NULL);
    assert_reaches(fixture->a, "10.99.0.1", 8080, in_a, NULL); /* to itself */
    assert_int_equal(
        netns_connect(fixture->outside, "10.99.0.1", ports[1].host_port, NETNS_PATIENCE_MS),
        -ECONNREFUSED);
    assert_done(net_unpublish(fixture->net, ID_A, &err), err);
    assert_int_equal(netns_connect(-EBADF, "127.0.0.1", 8080, NETNS_PATIENCE_MS), -ECONNREFUSED);
}

static void test_taken_ports(void **state)
{
    struct fixture *fixture = *state;
    struct net_port port = {.protocol = NET_PROTOCOL_TCP, .host_port = 80, .container_port = 8080};
    struct net_port again = port;
    struct net_port busy = {.protocol = NET_PROTOCOL_TCP, .host_port = 81, .container_port = 1};
    struct net_port range = {
        .protocol = NET_PROTOCOL_TCP, .host_port = 80, .host_port_end = 83, .container_port = 8080};
    CLEANUP_CLOSE int program = -EBADF;
    struct error err = ERROR_INIT;

    netns_required();
    program = netns_listen(-EBADF, 81);
    assert_done(net_publish(fixture->net, ID_A, &port, 1, &err), err);
    assert_int_equal(net_publish(fixture->net, ID_B, &again, 1, &err), -EADDRINUSE);
    assert_string_equal(err.message, "Bind for 0.0.0.0:80 failed: port is already allocated");
    again.host_address = 0x7f000001; /* is part of all addresses */
    assert_int_equal(net_publish(fixture->net, ID_B, &again, 1, NULL), -EADDRINUSE);
    error_clear(&err);
    assert_int_equal(net_publish(fixture->net, ID_B, &busy, 1, &err), -EADDRINUSE);
    assert_string_equal(err.message, "failed to bind host port for 0.0.0.0:81:172.29.0.3:1/tcp: "
                                     "address already in use");
    error_clear(&err);
    assert_done(net_publish(fixture->net, ID_B, &range, 1, &err), err);
    assert_int_equal(range.host_port, 82);
    assert_int_equal(range.host_port_end, 0);
    /* One of two fails: neither is published. */
    assert_int_equal(net_publish(fixture->net, "cccccccccccc", &range, 1, NULL), -ENOENT);
}

static void test_restart_keeps_what_runs(void **state)
{
    struct fixture *fixture = *state;
    struct net_config config = NET_CONFIG_INIT;
    struct net_endpoint_spec spec = {.id = ID_A, .address = fixture->address_a};
    struct net_port port = {.protocol = NET_PROTOCOL_TCP, .host_port = 8080, .container_port = 80};
    struct net_adopted adopted = {.spec = &spec, .ports = &port, .n_ports = 1};
    CLEANUP_CLOSE int in_a = -EBADF;
    struct error err = ERROR_INIT;
    size_t removed = 0;

    netns_required();
    in_a = netns_listen(fixture->a, 80);
    assert_done(net_publish(fixture->net, ID_A, &port, 1, &err), err);
    net_free(fixture->net);
    assert_reaches(fixture->outside, "10.99.0.1", 8080, in_a, NULL);
    assert_done(net_open(&config, &fixture->net, &err), err);
    assert_reaches(fixture->outside, "10.99.0.1", 8080, in_a, NULL);
    assert_done(net_adopt(fixture->net, &adopted, 1, &removed, &err), err);
    assert_int_equal(removed, 1);
    assert_false(link_exists("hvbbbbbbbbbb"));
    assert_true(link_exists("hvaaaaaaaaaa"));
    assert_reaches(fixture->outside, "10.99.0.1", 8080, in_a, NULL);
    assert_int_equal(net_publish(fixture->net, ID_A, &port, 1, NULL), -EBUSY);
    /* What somebody flushed is put back by the next change. */
    free(run_output("nft", "flush", "ruleset"));
    assert_done(net_unpublish(fixture->net, ID_A, &err), err);
    assert_done(net_publish(fixture->net, ID_A, &port, 1, &err), err);
    assert_reaches(fixture->outside, "10.99.0.1", 8080, in_a, NULL);
    assert_done(net_endpoint_delete(fixture->net, ID_A, &err), err);
    net_endpoint_settle(fixture->net);
    assert_false(link_exists("hvaaaaaaaaaa"));
    assert_done(net_endpoint_delete(fixture->net, ID_A, &err), err);
}

/* --- what a guest may send --- */

struct arp_frame {
    struct ether_header ether;
    struct ether_arp arp;
} __attribute__((packed));

static void make_arp(struct arp_frame *frame, const uint8_t mac[6], uint32_t from, uint32_t to)
{
    *frame = (struct arp_frame){
        .ether = {.ether_type = htons(ETHERTYPE_ARP)},
        .arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                           .ar_pro = htons(ETHERTYPE_IP),
                           .ar_hln = 6,
                           .ar_pln = 4,
                           .ar_op = htons(ARPOP_REQUEST)}},
    };
    memset(frame->ether.ether_dhost, 0xff, 6);
    memcpy(frame->ether.ether_shost, mac, 6);
    memcpy(frame->arp.arp_sha, mac, 6);
    from = htonl(from);
    to = htonl(to);
    memcpy(frame->arp.arp_spa, &from, 4);
    memcpy(frame->arp.arp_tpa, &to, 4);
}

/* The address to which the next ARP reply goes. The question is repeated: the kernel starts an
 * interface's queue a moment after its carrier, and until then frames are lost. */
static uint32_t ask(int fd, const struct arp_frame *question)
{
    for (int attempt = 0; attempt < 1000;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        uint8_t bytes[2048];
        struct arp_frame frame;
        uint32_t address;
        ssize_t n;

        assert_int_equal(send(fd, question, sizeof(*question), 0), sizeof(*question));
        attempt++;
        if (poll(&wait, 1, 100) == 0)
            continue;
        n = recv(fd, bytes, sizeof(bytes), 0);
        if (n < (ssize_t)sizeof(frame))
            continue;
        memcpy(&frame, bytes, sizeof(frame));
        if (frame.ether.ether_type != htons(ETHERTYPE_ARP) ||
            frame.arp.ea_hdr.ar_op != htons(ARPOP_REPLY))
            continue;
        memcpy(&address, frame.arp.arp_tpa, 4);
        return ntohl(address);
    }
    fail_msg("no ARP reply");
    return 0;
}

/* Frames of a utility VM through its packet socket. The forged ones go first, so that an answer
 * to one of them would come before the answer to the honest one. */
static void test_packet_socket_and_forged_frames(void **state)
{
    struct fixture *fixture = *state;
    uint32_t own = net_subnet(fixture->net) ? fixture->address_b + 1 : 0;
    struct net_endpoint_spec spec = {
        .id = "cccccccccc03", .kind = NET_ENDPOINT_SOCKET, .address = own};
    struct net_endpoint endpoint;
    struct error err = ERROR_INIT;
    CLEANUP_CLOSE int guest = -EBADF;
    uint8_t other_mac[6];
    CLEANUP_FREE char *neighbours = NULL;
    char text[NET_ADDRESS_TEXT_SIZE];
    struct arp_frame frame;
    struct arp_frame honest;
    uint32_t gateway;

    netns_required();
    gateway = net_subnet(fixture->net)->gateway;
    assert_done(net_endpoint_create(fixture->net, &spec, &endpoint, &err), err);
    assert_string_equal(endpoint.guest, "hpcccccccccc");
    guest = net_endpoint_open(&endpoint, &err);
    assert_done(guest, err);
    make_arp(&honest, endpoint.mac, own, gateway);
    assert_int_equal(ask(guest, &honest), own);                  /* frames do pass */
    make_arp(&frame, endpoint.mac, fixture->address_b, gateway); /* another's address */
    assert_int_equal(send(guest, &frame, sizeof(frame), 0), sizeof(frame));
    net_mac_from_address(fixture->address_b, other_mac);
    make_arp(&frame, other_mac, own, gateway); /* another's MAC */
    assert_int_equal(send(guest, &frame, sizeof(frame), 0), sizeof(frame));
    frame = honest;
    memcpy(frame.arp.arp_sha, other_mac, 6); /* another's MAC in the message only */
    assert_int_equal(send(guest, &frame, sizeof(frame), 0), sizeof(frame));
    assert_int_equal(ask(guest, &honest), own);
    assert_int_equal(ask(guest, &honest), own);
    neighbours = run_output("cat", "/proc/net/arp");
    net_address_format(fixture->address_b, text);
    assert_null(strstr(neighbours, "02:42:ac:1d:00:03")); /* b's MAC, which b has not yet shown */
    assert_null(strstr(neighbours, text));
    /* To a process container too: both kinds are on one bridge. */
    make_arp(&frame, endpoint.mac, own, fixture->address_a);
    assert_int_equal(ask(guest, &frame), own);
    assert_done(net_endpoint_delete(fixture->net, "cccccccccc03", &err), err);
    net_endpoint_settle(fixture->net);
    assert_false(link_exists("hpcccccccccc"));
}

/* --- elements of the filter --- */

/* True if nft shows `needle` in the set or map of hull's table. */
static bool filter_has(const char *kind, const char *family, const char *set, const char *needle)
{
    CLEANUP_FREE char *text = run_output("nft", "-j", "list", kind, family, "hull_hull0", set);

    return strstr(text, needle) != NULL;
}

#define SOURCE_A "{\"concat\": [\"hvaaaaaaaaaa\", \"02:42:ac:1d:00:02\", \"172.29.0.2\"]}"
#define SOURCE_B "{\"concat\": [\"hvbbbbbbbbbb\", \"02:42:ac:1d:00:03\", \"172.29.0.3\"]}"
#define PORT_ANY "[{\"concat\": [\"tcp\", 8080]}, {\"concat\": [\"172.29.0.2\", 80]}]"
#define PORT_LOCAL \
    "[{\"concat\": [\"127.0.0.1\", \"udp\", 53]}, {\"concat\": [\"172.29.0.2\", 5353]}]"

static void test_elements_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    struct net_endpoint_spec spec = {
        .id = "cccccccccc03", .kind = NET_ENDPOINT_SOCKET, .address = fixture->address_b + 1};
    struct net_port ports[] = {
        {.protocol = NET_PROTOCOL_TCP, .host_port = 8080, .container_port = 80},
        {.protocol = NET_PROTOCOL_UDP,
         .host_address = 0x7f000001,
         .host_port = 53,
         .container_port = 5353},
    };
    struct net_endpoint endpoint;
    struct error err = ERROR_INIT;

    netns_required();
    assert_true(filter_has("set", "bridge", "sources", SOURCE_A));
    assert_true(filter_has("set", "bridge", "ports", "\"hvaaaaaaaaaa\""));
    assert_done(net_publish(fixture->net, ID_A, ports, 2, &err), err);
    assert_true(filter_has("map", "ip", "ports_any", PORT_ANY));
    assert_true(filter_has("map", "ip", "ports_address", PORT_LOCAL));
    assert_done(net_endpoint_create(fixture->net, &spec, &endpoint, &err), err);
    assert_true(filter_has("set", "ip", "peers", "\"hpcccccccccc\""));
    assert_done(net_endpoint_delete(fixture->net, ID_A, &err), err);
    assert_done(net_endpoint_delete(fixture->net, "cccccccccc03", &err), err);
    assert_false(filter_has("set", "bridge", "sources", SOURCE_A)); /* at once */
    assert_false(filter_has("map", "ip", "ports_any", "elem"));
    assert_false(filter_has("map", "ip", "ports_address", "elem"));
    net_endpoint_settle(fixture->net);
    assert_false(filter_has("set", "bridge", "ports", "hvaaaaaaaaaa"));
    assert_false(filter_has("set", "bridge", "ports", "hvcccccccccc"));
    assert_false(filter_has("set", "ip", "peers", "elem"));
    assert_true(filter_has("set", "bridge", "sources", SOURCE_B));
    assert_true(filter_has("set", "bridge", "ports", "\"hvbbbbbbbbbb\""));
}

/* Deleted and made again without a pause, with the same id and with the same address. */
static void test_replaced_at_once(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_CLOSE int in_a = -EBADF;
    CLEANUP_CLOSE int in_other = -EBADF;
    struct error err = ERROR_INIT;

    netns_required();
    in_a = netns_listen(fixture->a, 80);
    assert_reaches(fixture->b, "172.29.0.2", 80, in_a, NULL);
    for (int i = 0; i < 4; i++) {
        const char *id = i == 3 ? "eeeeeeeeee05" : ID_A;

        assert_done(net_endpoint_delete(fixture->net, ID_A, &err), err);
        fd_close(fixture->a);
        fixture->a = plug(fixture, id, fixture->address_a);
        in_other = netns_listen(fixture->a, 80);
        assert_reaches(fixture->b, "172.29.0.2", 80, in_other, NULL);
        in_other = fd_close(in_other);
        net_endpoint_settle(fixture->net);
        assert_true(filter_has("set", "bridge", "ports", i == 3 ? "hveeeeeeeeee" : "hvaaaaaaaaaa"));
        assert_true(filter_has("set", "bridge", "sources", "\"172.29.0.2\"]}"));
    }
    assert_false(link_exists("hvaaaaaaaaaa"));
}

/* What somebody flushed or changed is put right by whatever change comes next. */
static void test_tampered_tables_are_healed(void **state)
{
    static const char theft[] =
        "add element ip hull_hull0 ports_any { tcp . 8080 : 172.29.0.3 . 80 }\n";
    struct fixture *fixture = *state;
    struct net_port port = {.protocol = NET_PROTOCOL_TCP, .host_port = 8080, .container_port = 80};
    struct error err = ERROR_INIT;

    netns_required();
    free(run_input(theft, "nft", "-f", "-"));
    assert_done(net_publish(fixture->net, ID_A, &port, 1, &err), err);
    assert_true(filter_has("map", "ip", "ports_any", PORT_ANY));
    free(run_output("nft", "flush", "set", "bridge", "hull_hull0", "sources"));
    assert_done(net_endpoint_delete(fixture->net, ID_A, &err), err);
    assert_false(filter_has("map", "ip", "ports_any", "elem"));
    assert_false(filter_has("set", "bridge", "sources", SOURCE_A));
    assert_true(filter_has("set", "bridge", "sources", SOURCE_B));
    net_endpoint_settle(fixture->net);
    assert_false(filter_has("set", "bridge", "ports", "hvaaaaaaaaaa"));
    free(run_output("nft", "flush", "ruleset"));
    fd_close(fixture->a);
    fixture->a = plug(fixture, ID_A, fixture->address_a);
    assert_true(filter_has("set", "bridge", "sources", SOURCE_A));
    assert_true(filter_has("set", "bridge", "sources", SOURCE_B));
}

/* More than may be on their way out at a time; net_free() waits for those. */
static void test_many_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    struct net_config config = NET_CONFIG_INIT;
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    CLEANUP_FREE struct netlink_link *links = NULL;
    struct error err = ERROR_INIT;
    size_t n = 0;

    netns_required();
    for (int i = 0; i < 80; i++) {
        char id[16];
        struct net_endpoint_spec spec = {.id = id, .address = fixture->address_b + 1};
        struct net_endpoint endpoint;

        snprintf(id, sizeof(id), "f%09d", i);
        assert_done(net_endpoint_create(fixture->net, &spec, &endpoint, &err), err);
        assert_done(net_endpoint_delete(fixture->net, id, &err), err);
        assert_done(net_endpoint_delete(fixture->net, id, &err), err);
    }
    net_free(fixture->net);
    assert_false(filter_has("set", "bridge", "ports", "hvf"));
    assert_false(filter_has("set", "bridge", "sources", "hvf"));
    assert_done(netlink_open(-EBADF, &netlink, &err), err);
    assert_done(netlink_list_links(netlink, &links, &n, &err), err);
    for (size_t i = 0; i < n; i++)
        assert_false(string_starts_with(links[i].name, "hvf"));
    assert_done(net_open(&config, &fixture->net, &err), err);
    assert_done(net_adopt(fixture->net, NULL, 0, NULL, &err), err);
}

/* The state in which a deleted endpoint's port waits for its end: nothing passes. */
static void test_a_disabled_port(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    CLEANUP_CLOSE int in_a = -EBADF;
    struct netlink_link link;
    struct error err = ERROR_INIT;

    netns_required();
    in_a = netns_listen(fixture->a, 80);
    assert_reaches(fixture->b, "172.29.0.2", 80, in_a, NULL);
    assert_done(netlink_open(-EBADF, &netlink, &err), err);
    assert_done(netlink_find_name(netlink, "hvaaaaaaaaaa", &link, &err), err);
    assert_done(netlink_disable_port(netlink, link.index, &err), err);
    assert_int_equal(netns_connect(fixture->b, "172.29.0.2", 80, NETNS_REFUSAL_MS), -ETIMEDOUT);
    assert_int_equal(netns_connect(fixture->a, "172.29.0.3", 80, NETNS_REFUSAL_MS), -ETIMEDOUT);
    assert_done(netlink_find_name(netlink, "uplink", &link, &err), err);
    assert_true(netlink_disable_port(netlink, link.index, NULL) < 0); /* not a port */
}

static void test_tap(void **state)
{
    struct fixture *fixture = *state;
    struct net_endpoint_spec spec = {
        .id = "dddddddddd04", .kind = NET_ENDPOINT_TAP, .address = fixture->address_b + 2};
    struct net_endpoint endpoint;
    struct error err = ERROR_INIT;
    CLEANUP_CLOSE int tap = -EBADF;
    CLEANUP_CLOSE int second = -EBADF;

    netns_required();
    if (access("/dev/net/tun", R_OK | W_OK) < 0) {
        print_message("no /dev/net/tun\n");
        skip();
    }
    assert_done(net_endpoint_create(fixture->net, &spec, &endpoint, &err), err);
    assert_string_equal(endpoint.guest, "hvdddddddddd");
    tap = net_endpoint_open(&endpoint, &err);
    assert_done(tap, err);
    second = net_endpoint_open(&endpoint, NULL);
    assert_int_equal(second, -EBUSY);
    assert_done(net_endpoint_delete(fixture->net, "dddddddddd04", &err), err);
    net_endpoint_settle(fixture->net);
    assert_false(link_exists("hvdddddddddd"));
}

/* --- other settings --- */

static void test_forward_policy_drop_of_another_table(void **state)
{
    static const char firewall[] =
        "table ip filter {\n"
        " chain FORWARD { type filter hook forward priority 0; policy drop;\n"
        " }\n"
        "}\n";
    struct fixture *fixture = *state;
    CLEANUP_CLOSE int far = -EBADF;
    CLEANUP_FREE char *rules = NULL;
    CLEANUP_FREE char *after = NULL;
    struct error err = ERROR_INIT;

    netns_required();
    free(run_input(firewall, "nft", "-f", "-"));
    far = netns_listen(fixture->outside, 80);
    assert_int_equal(netns_connect(fixture->a, "10.99.0.2", 80, NETNS_REFUSAL_MS), -ETIMEDOUT);
    assert_done(net_adopt(fixture->net, NULL, 0, NULL, &err), err);
    assert_done(net_adopt(fixture->net, NULL, 0, NULL, &err), err);
    rules = run_output("nft", "list", "chain", "ip", "filter", "FORWARD");
    assert_non_null(strstr(rules, "iifname \"hull0\" accept comment \"hull_hull0\""));
    assert_null(strstr(strstr(rules, "iifname \"hull0\"") + 1, "iifname \"hull0\""));
    assert_reaches(fixture->a, "10.99.0.2", 80, far, NULL);
    assert_done(net_close(fixture->net, &err), err);
    after = run_output("nft", "list", "chain", "ip", "filter", "FORWARD");
    assert_null(strstr(after, "hull0"));
    free(run_output("nft", "delete", "table", "ip", "filter"));
    net_free(fixture->net);
    assert_done(net_open(&(struct net_config)NET_CONFIG_INIT, &fixture->net, &err), err);
}

static void test_a_default_subnet_that_is_in_use_is_passed_over(void **state)
{
    struct net_config config = NET_CONFIG_INIT;
    struct net *second = NULL;
    struct error err = ERROR_INIT;
    char text[NET_SUBNET_TEXT_SIZE];

    (void)state;
    netns_required();
    config.bridge = "hull1";
    assert_done(net_open(&config, &second, &err), err);
    net_subnet_format_gateway(net_subnet(second), text);
    assert_string_equal(text, "172.30.0.1/16");
    net_free(second);
    second = NULL;
    assert_done(net_open(&config, &second, &err), err); /* keeps what the bridge has */
    net_subnet_format_gateway(net_subnet(second), text);
    assert_string_equal(text, "172.30.0.1/16");
    net_free(second);
    config.bip = "10.77.0.1/24"; /* replaces it */
    assert_done(net_open(&config, &second, &err), err);
    net_subnet_format(net_subnet(second), text);
    assert_string_equal(text, "10.77.0.0/24");
    assert_done(net_close(second, &err), err);
    net_free(second);
}

static void test_icc_false_keeps_containers_apart(void **state)
{
    struct fixture *fixture = *state;
    struct net_config config = NET_CONFIG_INIT;
    struct net_endpoint_spec specs[] = {{.id = ID_A, .address = fixture->address_a},
                                        {.id = ID_B, .address = fixture->address_b}};
    struct net_adopted adopted[] = {{.spec = &specs[0]}, {.spec = &specs[1]}};
    CLEANUP_CLOSE int in_a = -EBADF;
    struct error err = ERROR_INIT;

    netns_required();
    in_a = netns_listen(fixture->a, 80);
    config.inter_container = false;
    net_free(fixture->net);
    assert_done(net_open(&config, &fixture->net, &err), err);
    assert_done(net_adopt(fixture->net, adopted, 2, NULL, &err), err);
    assert_reaches(-EBADF, "172.29.0.2", 80, in_a, NULL);
    assert_int_equal(netns_connect(fixture->b, "172.29.0.2", 80, NETNS_REFUSAL_MS), -ETIMEDOUT);
}

static void test_bad_configurations(void **state)
{
    struct net_config bridge = NET_CONFIG_INIT;
    struct net_config bip = NET_CONFIG_INIT;
    struct net_config icc = NET_CONFIG_INIT;
    struct net *net = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    bridge.bridge = "a\"b";
    assert_int_equal(net_open(&bridge, &net, &err), -EINVAL);
    bridge.bridge = "sixteen-letters-";
    assert_int_equal(net_open(&bridge, &net, NULL), -EINVAL);
    icc.inter_container = icc.filter = false;
    assert_int_equal(net_open(&icc, &net, NULL), -EINVAL);
    netns_required();
    bip.bip = "172.29.0.0/16";
    assert_int_equal(net_open(&bip, &net, NULL), -EINVAL);
    assert_null(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_containers_and_host_reach_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outside_sees_the_hosts_address, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outside_does_not_reach_unpublished_ports, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_published_port, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_keeps_what_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_packet_socket_and_forged_frames, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_elements_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tampered_tables_are_healed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_disabled_port, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forward_policy_drop_of_another_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_default_subnet_that_is_in_use_is_passed_over, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_icc_false_keeps_containers_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_configurations, setup, teardown),
    };

    return cmocka_run_group_tests_name("network", tests, netns_setup, NULL);
}
