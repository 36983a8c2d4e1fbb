#include "net/endpoint.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/netdevice.h"
#include "base/netlink.h"
#include "base/strings.h"
#include "net/filter.h"
#include "net/network.h"
#include "net/retire.h"
#include "net/state.h"
#include <net/if.h>

/* --- records --- */

struct net *net_lock(struct net *net)
{
    pthread_mutex_lock(&net->lock);
    return net;
}

void net_unlock(struct net **net)
{
    pthread_mutex_unlock(&(*net)->lock);
}

struct net_record *net_find(struct net *net, const char *id)
{
    LIST_FOR_EACH (record, &net->records, struct net_record, node) {
        if (strcmp(record->id, id) == 0)
            return record;
    }
    return NULL;
}

int net_endpoint_names(const char *id, enum net_endpoint_kind kind, struct net_endpoint *ret)
{
    size_t length = id ? strlen(id) : 0;

    if (length < NET_ENDPOINT_ID_MIN || length >= NET_ENDPOINT_ID_SIZE ||
        !string_is_hex(id, length) || kind < 0 || kind >= NET_ENDPOINT_KIND_MAX)
        return -EINVAL;
    *ret = (struct net_endpoint){.kind = kind};
    (void)snprintf(ret->host, sizeof(ret->host), "hv%.*s", NET_ENDPOINT_ID_MIN, id);
    (void)snprintf(ret->guest, sizeof(ret->guest), "%s%.*s", kind == NET_ENDPOINT_TAP ? "hv" : "hp",
                   NET_ENDPOINT_ID_MIN, id);
    return 0;
}

int net_record_new(struct net *net, const struct net_endpoint_spec *spec, struct net_record **ret,
                   struct error *err)
{
    static const uint8_t zero[6];
    CLEANUP_FREE struct net_record *record = calloc(1, sizeof(*record));

    if (!record)
        return error_oom(err);
    list_init(&record->node);
    if (net_endpoint_names(spec->id, spec->kind, &record->names) < 0)
        return error_set_class(err, ERROR_INVALID, "'%.64s' is not an endpoint's id",
                               string_or(spec->id, ""));
    (void)string_copy(record->id, sizeof(record->id), spec->id);
    record->address = spec->address;
    if (memcmp(spec->mac, zero, sizeof(zero)) == 0)
        net_mac_from_address(spec->address, record->names.mac);
    else
        memcpy(record->names.mac, spec->mac, sizeof(spec->mac));
    list_append(&net->records, &record->node);
    *ret = TAKE_PTR(record);
    return 0;
}

void net_record_free(struct net_record *record)
{
    if (!record)
        return;
    list_remove(&record->node);
    net_ports_release(record);
    free(record);
}

/* --- links --- */

int net_links_delete(struct netlink *netlink, const struct net_endpoint *names, struct error *err)
{
    struct netlink_link link;
    struct error why = ERROR_INIT;
    int r = netlink_find_name(netlink, names->host, &link, &why);

    if (r == 0)
        r = netlink_delete(netlink, link.index, &why);
    /* It may go with its peer's namespace between the two. */
    return r == 0 || r == -ENODEV ? 0 : error_copy(err, &why);
}

static int create_veth(struct net *net, struct netlink *netlink, const struct net_record *record,
                       unsigned mtu, int peer_netns, struct error *err)
{
    /* The peer of a packet socket must not have the guest's own MAC: the host's stack would take
     * the frames for the guest as its own and route them once more. */
    bool own = record->names.kind == NET_ENDPOINT_PROCESS;
    struct netlink_veth veth = {
        .name = record->names.host,
        .peer_name = record->names.guest,
        .peer_mac = own ? record->names.mac : NULL,
        .mtu = mtu,
        .master = net->bridge_index,
        .peer_netns_fd = peer_netns,
        .up = true,
    };

    return netlink_add_veth(netlink, &veth, err);
}

static int prepare_socket_pair(const struct net_record *record, int peer_netns, struct error *err)
{
    int r = netdevice_disable_offloads(record->names.host, err);

    /* In another namespace its user does it. */
    return r < 0 || peer_netns >= 0 ? r : netdevice_prepare_socket_peer(record->names.guest, err);
}

static int create_tap(struct net *net, struct netlink *netlink, const struct net_record *record,
                      uid_t owner, unsigned mtu, struct error *err)
{
    struct netlink_change change = {
        .mtu = mtu,
        .master = net->bridge_index,
        .flags = IFF_UP,
        .flags_mask = IFF_UP,
    };
    struct netlink_link link;
    int r = netdevice_add_tap(record->names.host, owner, err);

    if (r == 0)
        r = netlink_find_name(netlink, record->names.host, &link, err);
    return r == 0 ? netlink_set(netlink, link.index, &change, err) : r;
}

static int create_kind(struct net *net, struct netlink *netlink, const struct net_record *record,
                       const struct net_endpoint_spec *spec, struct error *err)
{
    unsigned mtu = spec->mtu ? spec->mtu : net->mtu;
    int peer_netns = spec->peer_netns > 0 ? spec->peer_netns : -EBADF;
    int r;

    switch (spec->kind) {
    case NET_ENDPOINT_PROCESS:
        return create_veth(net, netlink, record, mtu, -EBADF, err);
    case NET_ENDPOINT_SOCKET:
        r = create_veth(net, netlink, record, mtu, peer_netns, err);
        return r == 0 ? prepare_socket_pair(record, peer_netns, err) : r;
    case NET_ENDPOINT_TAP:
        return create_tap(net, netlink, record, spec->owner, mtu, err);
    case NET_ENDPOINT_KIND_MAX:
        break;
    }
    return error_set(err, -EINVAL, "unknown kind of network endpoint");
}

/* Where br_netfilter is loaded, a container that calls its own published port is redirected inside
 * the bridge and not by routing: the frame has to go back out of the port it came in by. */
static int create_links(struct net *net, struct netlink *netlink, const struct net_record *record,
                        const struct net_endpoint_spec *spec, struct error *err)
{
    struct netlink_link link;
    int r = create_kind(net, netlink, record, spec, err);

    if (r == 0)
        r = netlink_find_name(netlink, record->names.host, &link, err);
    return r == 0 ? netlink_set_hairpin(netlink, link.index, err) : r;
}

/* --- endpoints --- */

/* Leaves nothing of a record: links, filter elements, ports. */
static int remove_record(struct net *net, struct netlink *netlink, struct net_record *record,
                         struct error *err)
{
    int r = net_links_delete(netlink, &record->names, err);

    if (r == 0)
        r = filter_remove_endpoint(net, record, err);
    if (r == 0)
        net_record_free(record);
    return r;
}

/* Interfaces of the same name that nobody knows, or that could not be deleted before. */
static int delete_leftovers(struct net *net, struct netlink *netlink,
                            const struct net_endpoint *names, struct error *err)
{
    int r = net_links_delete(netlink, names, err);

    if (r == 0)
        net_retire_forget(net, names->host);
    return r;
}

/* Makes an endpoint powerless and leaves the rest to net/retire.h; what that cannot do is done here
 * and now. */
static int retire_record(struct net *net, struct netlink *netlink, struct net_record *record,
                         struct error *err)
{
    struct netlink_link link;
    int r;

    if (netlink_find_name(netlink, record->names.host, &link, NULL) < 0 ||
        netlink_disable_port(netlink, link.index, NULL) < 0 || net_retire_start(net) < 0)
        return remove_record(net, netlink, record, err);
    r = filter_silence(net, record, err);
    if (r < 0)
        return r;
    net_ports_release(record);
    net_retire(net, record, link.index);
    return 0;
}

int net_endpoint_create(struct net *net, const struct net_endpoint_spec *spec,
                        struct net_endpoint *ret, struct error *err)
{
    CLEANUP(net_unlock) struct net *locked = net_lock(net);
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    struct net_record *record = NULL;
    struct net_endpoint names;
    int r = netlink_open(-EBADF, &netlink, err);

    /* First of all: it gives the lock up. */
    if (r == 0 && net_endpoint_names(spec->id, spec->kind, &names) == 0)
        net_retire_wait(net, names.host);
    if (r == 0 && spec->id)
        record = net_find(locked, spec->id);
    if (r == 0 && record)
        r = remove_record(net, netlink, record, err);
    if (r == 0)
        r = net_record_new(net, spec, &record, err);
    if (r < 0)
        return r;
    r = delete_leftovers(net, netlink, &record->names, err);
    /* Before the link: a port that is in the bridge must be guarded from its first frame on. */
    if (r == 0)
        r = filter_add_endpoint(net, record, err);
    if (r < 0) {
        net_record_free(record);
        return error_wrap(err, r, "network endpoint");
    }
    r = create_links(net, netlink, record, spec, err);
    if (r < 0) {
        (void)net_links_delete(netlink, &record->names, NULL);
        (void)filter_remove_endpoint(net, record, NULL);
        net_record_free(record);
        return error_wrap(err, r, "network endpoint");
    }
    *ret = record->names;
    return 0;
}

int net_endpoint_delete(struct net *net, const char *id, struct error *err)
{
    CLEANUP(net_unlock) struct net *locked = net_lock(net);
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    struct net_record *record = net_find(locked, id);
    struct net_endpoint names;
    int r;

    if (!record && (net_endpoint_names(id, NET_ENDPOINT_PROCESS, &names) < 0 ||
                    net_retire_is_pending(net, names.host)))
        return 0;
    r = netlink_open(-EBADF, &netlink, err);
    if (r == 0)
        r = record ? retire_record(net, netlink, record, err)
                   : delete_leftovers(net, netlink, &names, err);
    return r < 0 ? error_wrap(err, r, "network endpoint %.12s", id) : 0;
}

void net_endpoint_settle(struct net *net)
{
    CLEANUP(net_unlock) struct net *locked = net_lock(net);

    net_retire_wait(locked, NULL);
}

int net_endpoint_open(const struct net_endpoint *endpoint, struct error *err)
{
    switch (endpoint->kind) {
    case NET_ENDPOINT_SOCKET:
        return netdevice_open_packet_socket(endpoint->guest, err);
    case NET_ENDPOINT_TAP:
        return netdevice_open_tap(endpoint->guest, err);
    case NET_ENDPOINT_PROCESS:
    case NET_ENDPOINT_KIND_MAX:
        break;
    }
    return error_set(err, -EINVAL, "the endpoint %s has no descriptor", endpoint->host);
}
