/* Endpoints: where a container is plugged into the bridge.
 *
 *   PROCESS  a veth pair: one end is a port of the bridge, the other waits in the host's network
 *            namespace, down, until the sandbox moves it into the container's.
 *   SOCKET   a veth pair with both ends on the host, for User-Mode Linux: an AF_PACKET socket is
 *            bound to the other end, which has no part in the host's own networking (no ARP, no
 * IPv6, what the filter sees from it is dropped). Offloads are off, so that frames fit the MTU. TAP
 * a persistent tap device that is a port of the bridge, for QEMU.
 *
 * Interface names come from the endpoint's id: "hv" and its first 10 digits on the bridge, "hp" and
 * the same for the other end.
 *
 * Where the kernel knows nftables' bridge family, a port may send only IPv4 and ARP, and only from
 * the MAC and address that it was given: no container takes over another's address or the
 * gateway's. */
#ifndef HULL_NET_ENDPOINT_H
#define HULL_NET_ENDPOINT_H

#include <stdint.h>
#include <sys/types.h>

struct error;
struct net;

enum {
    NET_ENDPOINT_ID_MIN = 10, /* hexadecimal digits that name the interfaces */
    NET_ENDPOINT_ID_SIZE = 65,
    NET_ENDPOINT_NAME_SIZE = 16,
};

enum net_endpoint_kind {
    NET_ENDPOINT_PROCESS,
    NET_ENDPOINT_SOCKET,
    NET_ENDPOINT_TAP,
    NET_ENDPOINT_KIND_MAX,
};

struct net_endpoint_spec {
    const char *id; /* 10 to 64 digits [0-9a-f] */
    enum net_endpoint_kind kind;
    uint32_t address; /* the container's, host byte order */
    uint8_t mac[6];   /* the container's; all zero: net_mac_from_address(address) */
    unsigned mtu;     /* 0: the network's */
    uid_t owner;      /* TAP: who may attach to it */
    /* SOCKET: a network namespace (descriptor, borrowed) in which `guest` is made, for its user to
     * prepare (netdevice_prepare_socket_peer()); 0: the host's */
    int peer_netns;
};

/* Plain data. */
struct net_endpoint {
    enum net_endpoint_kind kind;
    uint8_t mac[6];                    /* what the container's interface has or must have */
    char host[NET_ENDPOINT_NAME_SIZE]; /* port of the bridge */
    /* PROCESS: the `link` of sandbox/interface.h; SOCKET: for the packet socket; TAP: the tap
     * itself */
    char guest[NET_ENDPOINT_NAME_SIZE];
};

/* Interfaces left over under the same id are replaced. On failure nothing is left. */
int net_endpoint_create(struct net *net, const struct net_endpoint_spec *spec,
                        struct net_endpoint *ret, struct error *err);

/* Deletes the endpoint with its interfaces and its published ports. One that does not exist is
 * success (the interface of a process container goes with its namespace). On return the endpoint
 * can neither send nor receive, and its id, address and ports are free to be used again; the
 * interfaces themselves disappear some milliseconds later (net_endpoint_settle()). */
int net_endpoint_delete(struct net *net, const char *id, struct error *err);

/* Waits until the interfaces of deleted endpoints are gone from the host. */
void net_endpoint_settle(struct net *net);

/* The names that an id gives, without a look at the host. -EINVAL for a bad id. */
int net_endpoint_names(const char *id, enum net_endpoint_kind kind, struct net_endpoint *ret);

/* SOCKET: an AF_PACKET socket bound to `guest`; TAP: the attached tap. A descriptor for the VMM, of
 * which there is one per endpoint, or -errno. A library that may not use net/ calls
 * netdevice_open_packet_socket() or netdevice_open_tap() with the name `guest`: it is the same. */
int net_endpoint_open(const struct net_endpoint *endpoint, struct error *err);

#endif
