/* A small synchronous rtnetlink client: links, addresses and routes, as ip(8) makes them.
 *
 * Why not libmnl: hull-init, the static pid 1 of a utility VM, configures its interface with this
 * code, and Debian ships no static libmnl. The protocol is in netlink(7), rtnetlink(7) and the
 * kernel's include/uapi/linux/{rtnetlink,if_link}.h.
 *
 * A `struct netlink` is one socket in one network namespace; it belongs to one thread at a time.
 * Requests are sent one by one and answered before the function returns; changes to one link go out
 * as one request (netlink_link_set()). Every failure carries the kernel's own words (extended
 * acknowledgement) where the kernel gave any. Replies are bounded: NETLINK_REPLY_MAX bytes a
 * datagram, NETLINK_LINKS_MAX links a listing. */
#ifndef HULL_BASE_NETLINK_H
#define HULL_BASE_NETLINK_H

#include "base/netlink-address.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct netlink;

enum {
    NETLINK_REPLY_MAX = 64 * 1024,
    NETLINK_LINKS_MAX = 16384,
};

struct netlink_link {
    int index;
    int master;     /* index of the bridge it is a port of; 0: none */
    unsigned flags; /* IFF_UP, ... of netdevice(7) */
    unsigned mtu;
    bool has_mac;
    uint8_t mac[NETLINK_MAC_SIZE];
    char name[NETLINK_NAME_SIZE];
    char kind[NETLINK_NAME_SIZE]; /* "bridge", "veth", "tun", ...; "" for hardware */
};

/* --- socket --- */

/* Opens the client in the caller's network namespace, or, with netns_fd >= 0 (a file of
 * /proc/PID/ns/net, borrowed), in that one. The latter uses setns(2) there and back: this concerns
 * only the calling thread, so it is safe in a program with threads; a thread that could not return
 * would go on in a stranger's namespace, so that ends the program. *ret is freed with
 * netlink_free(). */
int netlink_open(int netns_fd, struct netlink **ret, struct error *err);
/* Accepts NULL. */
void netlink_free(struct netlink *netlink);
void netlink_cleanup(struct netlink **netlink); /* for CLEANUP() */

/* --- looking --- */

/* -ENODEV when there is none; the message names it. */
int netlink_find_name(struct netlink *netlink, const char *name, struct netlink_link *ret,
                      struct error *err);
int netlink_find_mac(struct netlink *netlink, const uint8_t mac[NETLINK_MAC_SIZE],
                     struct netlink_link *ret, struct error *err);
/* All links as a new array (free() it). */
int netlink_list_links(struct netlink *netlink, struct netlink_link **ret, size_t *ret_n,
                       struct error *err);
/* True in *ret when an IPv4 route of the main table, other than the default one and those through
 * link `except_index` (0: none), overlaps the given network. */
int netlink_route_overlaps(struct netlink *netlink, const struct netlink_address *network,
                           int except_index, bool *ret, struct error *err);

/* --- links --- */

/* -EEXIST when the name is taken. mtu 0: the kernel's default; mac NULL: the kernel's choice. */
int netlink_add_bridge(struct netlink *netlink, const char *name, const uint8_t *mac, unsigned mtu,
                       struct error *err);

struct netlink_veth {
    const char *name;
    const char *peer_name;
    const uint8_t *mac;      /* NULL: the kernel's choice */
    const uint8_t *peer_mac; /* same */
    unsigned mtu;            /* of both; 0: the kernel's default */
    int master;              /* index of the bridge of `name`; 0: none */
    int peer_netns_fd;       /* where the peer is born; < 0: here */
    bool up;                 /* sets `name` up */
};
int netlink_add_veth(struct netlink *netlink, const struct netlink_veth *veth, struct error *err);

int netlink_delete(struct netlink *netlink, int index, struct error *err);

/* Changes to one link, in one request. A zeroed struct changes nothing; `flags`/`flags_mask` are
 * IFF_UP, IFF_NOARP, ... The kernel wants a link down to be renamed. netns_fd: 0 and negative
 * values mean "stay". */
struct netlink_change {
    const char *name;
    const uint8_t *mac;
    unsigned mtu;
    int master; /* > 0: join; -1: leave */
    unsigned flags;
    unsigned flags_mask;
    int netns_fd;
};
int netlink_set(struct netlink *netlink, int index, const struct netlink_change *change,
                struct error *err);
int netlink_set_up(struct netlink *netlink, int index, struct error *err);
int netlink_set_down(struct netlink *netlink, int index, struct error *err);

/* Lets a bridge send a frame back out of the port `index` that it came in by. */
int netlink_set_hairpin(struct netlink *netlink, int index, struct error *err);

/* Cuts the port `index` of a bridge off (IFLA_BRPORT_STATE: disabled): nothing passes any more, in
 * or out, and the bridge forgets which addresses it saw there. Other than detaching or deleting
 * the interface it does not wait for an RCU grace period. -EBUSY where the kernel's own spanning
 * tree decides on states. */
int netlink_disable_port(struct netlink *netlink, int index, struct error *err);

/* --- addresses and routes --- */

/* The same address once more is success. IPv6 addresses skip duplicate address detection. */
int netlink_add_address(struct netlink *netlink, int index, const struct netlink_address *address,
                        struct error *err);
int netlink_delete_address(struct netlink *netlink, int index,
                           const struct netlink_address *address, struct error *err);
/* The IPv4 addresses of a link, at most `max`; *ret_n says how many. */
int netlink_list_addresses(struct netlink *netlink, int index, struct netlink_address *ret,
                           size_t max, size_t *ret_n, struct error *err);
/* Default route by `gateway` (its prefix is ignored) through link `index`; replaces one. */
int netlink_add_default_route(struct netlink *netlink, int index,
                              const struct netlink_address *gateway, struct error *err);

#endif
