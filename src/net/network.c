#include "net/network.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/netlink.h"
#include "base/random.h"
#include "base/strings.h"
#include "net/elements.h"
#include "net/filter.h"
#include "net/retire.h"
#include "net/state.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>

enum {
    BRIDGE_ADDRESSES_MAX = 16, /* of the bridge that are looked at */
    SYSCTL_PATH_MAX = 128,
    SYSCTL_VALUE_MAX = 64,
    MTU_MIN = 68, /* RFC 791 */
    MTU_MAX = 65535,
};

/* Tried in this order when nobody chose. Docker takes 172.17 to 172.28 first, so hull begins
 * above. */
static const char *const default_subnets[] = {
    "172.29.0.1/16",    "172.30.0.1/16",    "172.31.0.1/16",    "10.209.0.1/16",
    "10.210.0.1/16",    "192.168.224.1/20", "192.168.208.1/20", "192.168.192.1/20",
    "192.168.176.1/20", "100.112.0.1/16",
};

/* --- object --- */

void net_free(struct net *net)
{
    if (!net)
        return;
    net_retire_free(net->retire);
    LIST_FOR_EACH (record, &net->records, struct net_record, node)
        net_record_free(record);
    LIST_FOR_EACH (record, &net->retired, struct net_record, node)
        net_record_free(record);
    elements_free(net->elements);
    pthread_mutex_destroy(&net->lock);
    free(net->warning);
    free(net);
}

DEFINE_CLEANUP(struct net *, net_cleanup, net_free)

/* The name becomes part of the filter program: only characters that mean nothing there. */
static bool bridge_name_is_valid(const char *name)
{
    if (!netlink_name_is_valid(name))
        return false;
    for (const char *c = name; *c; c++) {
        if (!isascii((unsigned char)*c) || (!isalnum((unsigned char)*c) && !strchr("._-", *c)))
            return false;
    }
    return true;
}

static int net_new(const struct net_config *config, struct net **ret, struct error *err)
{
    CLEANUP(net_cleanup) struct net *net = NULL;
    int r;

    if (!bridge_name_is_valid(config->bridge))
        return error_set_class(err, ERROR_INVALID, "'%.32s' is not a valid bridge name",
                               string_or(config->bridge, ""));
    if (config->mtu < MTU_MIN || config->mtu > MTU_MAX)
        return error_set_class(err, ERROR_INVALID, "invalid MTU: %u", config->mtu);
    if (!config->filter && !config->inter_container)
        return error_set_class(err, ERROR_INVALID,
                               "You specified --iptables=false with --icc=false. ICC=false uses "
                               "iptables to function. Please set --icc or --iptables to true");
    net = calloc(1, sizeof(*net));
    if (!net)
        return error_oom(err);
    pthread_mutex_init(&net->lock, NULL);
    list_init(&net->records);
    list_init(&net->retired);
    (void)string_copy(net->bridge, sizeof(net->bridge), config->bridge);
    (void)snprintf(net->table, sizeof(net->table), "hull_%s", config->bridge);
    net->mtu = config->mtu;
    net->filter = config->filter;
    net->masquerade = config->masquerade;
    net->inter_container = config->inter_container;
    r = net_retire_new(net, &net->retire, err);
    if (r == 0 && net->filter)
        r = elements_open(&net->elements, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(net);
    return 0;
}

const char *net_bridge(const struct net *net)
{
    return net->bridge;
}

const struct net_subnet *net_subnet(const struct net *net)
{
    return &net->subnet;
}

unsigned net_mtu(const struct net *net)
{
    return net->mtu;
}

const char *net_warning(const struct net *net)
{
    return net->warning;
}

/* --- bridge --- */

static struct netlink_address to_netlink(uint32_t address, unsigned prefix)
{
    struct netlink_address result = {.family = AF_INET, .prefix = prefix};
    uint32_t network_order = htonl(address);

    memcpy(result.bytes, &network_order, sizeof(network_order));
    return result;
}

static int choose_subnet(struct netlink *netlink, int bridge, struct net_subnet *ret,
                         struct error *err)
{
    for (size_t i = 0; i < sizeof(default_subnets) / sizeof(*default_subnets); i++) {
        struct netlink_address network;
        struct net_subnet subnet;
        bool overlaps = true;
        int r = net_subnet_parse(default_subnets[i], &subnet, err);

        if (r < 0)
            return r;
        network = to_netlink(subnet.network, subnet.prefix);
        r = netlink_route_overlaps(netlink, &network, bridge, &overlaps, err);
        if (r < 0)
            return r;
        if (!overlaps) {
            *ret = subnet;
            return 0;
        }
    }
    return error_set(err, -EADDRNOTAVAIL,
                     "every default network overlaps a route of this host; choose one with --bip");
}

/* The subnet: as asked for, or as the bridge has it, or a free one. */
static int find_subnet(struct netlink *netlink, const char *bip,
                       const struct netlink_address *existing, size_t n, int bridge,
                       struct net_subnet *ret, struct error *err)
{
    if (bip)
        return net_subnet_parse(bip, ret, err);
    for (size_t i = 0; i < n; i++) {
        char text[NETLINK_ADDRESS_TEXT_SIZE];

        netlink_address_format(&existing[i], true, text);
        if (net_subnet_parse(text, ret, NULL) == 0)
            return 0;
    }
    return choose_subnet(netlink, bridge, ret, err);
}

/* Gives the bridge its one address; others (of an earlier --bip) go. */
static int address_bridge(struct net *net, struct netlink *netlink, const char *bip,
                          struct error *err)
{
    struct netlink_address existing[BRIDGE_ADDRESSES_MAX];
    struct netlink_address own;
    size_t n = 0;
    int r =
        netlink_list_addresses(netlink, net->bridge_index, existing, BRIDGE_ADDRESSES_MAX, &n, err);

    if (r == 0)
        r = find_subnet(netlink, bip, existing, n, net->bridge_index, &net->subnet, err);
    if (r < 0)
        return r;
    own = to_netlink(net->subnet.gateway, net->subnet.prefix);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (memcmp(&existing[i], &own, sizeof(own)) != 0)
            r = netlink_delete_address(netlink, net->bridge_index, &existing[i], err);
    }
    return r == 0 ? netlink_add_address(netlink, net->bridge_index, &own, err) : r;
}

/* A MAC of our own: without one the bridge takes the lowest of its ports', and it would change,
 * with all neighbours' ARP caches, as containers come and go. */
static int create_bridge(struct net *net, struct netlink *netlink, struct error *err)
{
    uint8_t mac[NETLINK_MAC_SIZE];

    random_bytes(mac, sizeof(mac));
    mac[0] = 0x02;
    return netlink_add_bridge(netlink, net->bridge, mac, net->mtu, err);
}

static int open_bridge(struct net *net, struct netlink *netlink, const char *bip, struct error *err)
{
    struct netlink_link link;
    struct netlink_change change = {.flags = IFF_UP, .flags_mask = IFF_UP};
    int r = netlink_find_name(netlink, net->bridge, &link, NULL);

    if (r == -ENODEV) {
        r = create_bridge(net, netlink, err);
        if (r < 0)
            return r;
    }
    r = netlink_find_name(netlink, net->bridge, &link, err);
    if (r < 0)
        return r;
    if (strcmp(link.kind, "bridge") != 0)
        return error_set_class(err, ERROR_CONFLICT, "interface %s exists and is not a bridge",
                               net->bridge);
    net->bridge_index = link.index;
    r = address_bridge(net, netlink, bip, err);
    if (link.mtu != net->mtu)
        change.mtu = net->mtu;
    return r == 0 ? netlink_set(netlink, link.index, &change, err) : r;
}

/* --- kernel settings --- */

/* Writes only where the value differs: /proc/sys may be read-only and right already. */
static int set_sysctl(const char *path, const char *value, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(SYSCTL_VALUE_MAX);

    if (file_read(AT_FDCWD, path, &text, NULL) == 0 && text.length > 0 &&
        strncmp(text.data, value, strlen(value)) == 0 && text.data[strlen(value)] == '\n')
        return 0;
    return file_write(AT_FDCWD, path, value, err);
}

static int open_sysctls(struct net *net, const struct net_config *config, struct error *err)
{
    char path[SYSCTL_PATH_MAX];
    int r = 0;

    if (config->ip_forward)
        r = set_sysctl("/proc/sys/net/ipv4/ip_forward", "1", err);
    if (r < 0 || !config->filter)
        return r;
    /* Lets 127.0.0.1 reach published ports; what it would also let in from the bridge is dropped
     * by the filter, which is written before. */
    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet", net->bridge);
    return set_sysctl(path, "1", err);
}

/* --- life --- */

static bool is_port_name(const char *name)
{
    return string_starts_with(name, "hv") && string_is_hex(name + 2, NET_ENDPOINT_ID_MIN);
}

/* True in *ret when containers of an earlier engine are plugged in. */
static int has_endpoints(struct net *net, struct netlink *netlink, bool *ret, struct error *err)
{
    CLEANUP_FREE struct netlink_link *links = NULL;
    size_t n = 0;
    int r = netlink_list_links(netlink, &links, &n, err);

    *ret = false;
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (links[i].master == net->bridge_index && is_port_name(links[i].name))
            *ret = true;
    }
    return r;
}

int net_open(const struct net_config *config, struct net **ret, struct error *err)
{
    CLEANUP(net_cleanup) struct net *net = NULL;
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    bool busy = false;
    int r = net_new(config, &net, err);

    if (r == 0)
        r = netlink_open(-EBADF, &netlink, err);
    if (r == 0)
        r = open_bridge(net, netlink, config->bip, err);
    if (r == 0)
        r = has_endpoints(net, netlink, &busy, err);
    /* The published ports of running containers are in the tables of the engine before: they stay
     * until net_adopt() knows them and writes the tables anew. */
    if (r == 0 && !busy)
        r = filter_open(net, err);
    if (r == 0)
        r = open_sysctls(net, config, err);
    if (r < 0)
        return error_wrap(err, r, "default network");
    *ret = TAKE_PTR(net);
    return 0;
}

static bool is_recorded(struct net *net, const char *name)
{
    LIST_FOR_EACH (record, &net->records, struct net_record, node) {
        if (strcmp(record->names.host, name) == 0)
            return true;
    }
    return false;
}

/* Deletes the ports of the bridge that have a name of ours and no record. *ret_others: ports that
 * are not ours. */
static int delete_strays(struct net *net, struct netlink *netlink, size_t *ret_removed,
                         size_t *ret_others, struct error *err)
{
    CLEANUP_FREE struct netlink_link *links = NULL;
    size_t n = 0;
    int r = netlink_list_links(netlink, &links, &n, err);

    *ret_removed = *ret_others = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct error why = ERROR_INIT;

        if (links[i].master != net->bridge_index)
            continue;
        if (!is_port_name(links[i].name)) {
            ++*ret_others;
            continue;
        }
        if (is_recorded(net, links[i].name))
            continue;
        r = netlink_delete(netlink, links[i].index, &why);
        if (r == -ENODEV)
            r = 0;
        else if (r < 0)
            return error_copy(err, &why);
        ++*ret_removed;
    }
    return r;
}

static int adopt_one(struct net *net, const struct net_adopted *adopted, struct error *err)
{
    CLEANUP_FREE struct net_port *ports = NULL;
    struct net_record *record = NULL;
    int r = 0;

    if (net_find(net, adopted->spec->id))
        return 0;
    r = net_record_new(net, adopted->spec, &record, err);
    if (r < 0 || adopted->n_ports == 0)
        return r;
    ports = calloc(adopted->n_ports, sizeof(*ports));
    if (!ports)
        return error_oom(err);
    memcpy(ports, adopted->ports, adopted->n_ports * sizeof(*ports));
    return net_ports_reserve(net, record, ports, adopted->n_ports, true, err);
}

int net_adopt(struct net *net, const struct net_adopted *adopted, size_t n, size_t *ret_removed,
              struct error *err)
{
    CLEANUP(net_unlock) struct net *locked = net_lock(net);
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    size_t removed = 0;
    size_t others = 0;
    int r = netlink_open(-EBADF, &netlink, err);

    net_retire_wait(net, NULL);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = adopt_one(locked, &adopted[i], err);
    if (r == 0)
        r = delete_strays(net, netlink, &removed, &others, err);
    if (r == 0)
        net_retire_forget(net, NULL);
    if (r == 0)
        r = filter_open(net, err);
    if (r == 0 && ret_removed)
        *ret_removed = removed;
    return r < 0 ? error_wrap(err, r, "cannot take over the network of running containers") : r;
}

static int close_links(struct net *net, struct error *err)
{
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    size_t removed = 0;
    size_t others = 0;
    int r = netlink_open(-EBADF, &netlink, err);

    if (r == 0)
        r = delete_strays(net, netlink, &removed, &others, err);
    /* Somebody else's port in it makes it somebody else's bridge. */
    if (r == 0 && others == 0)
        r = netlink_delete(netlink, net->bridge_index, err);
    return r;
}

int net_close(struct net *net, struct error *err)
{
    CLEANUP(net_unlock) struct net *locked = net_lock(net);
    struct error first = ERROR_INIT;
    struct error *report = &first;
    int r;

    net_retire_wait(net, NULL);
    LIST_FOR_EACH (record, &locked->records, struct net_record, node)
        net_record_free(record);
    r = close_links(net, report);
    net_retire_forget(net, NULL);
    if (r == 0)
        r = filter_close(net, report);
    else
        (void)filter_close(net, NULL);
    return r < 0 ? error_wrap(err, error_copy(err, report), "cannot remove network %s", net->bridge)
                 : 0;
}
