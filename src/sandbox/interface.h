/* The network interfaces of a container, as the compute protocol's `interfaces` member names them:
 *
 *     {"link": "hp0123456789", "name": "eth0", "mac": "02:42:ac:1d:00:02",
 *      "addresses": ["172.29.0.2/16"], "gateway": "172.29.0.1", "mtu": 1500}
 *
 * `link` is the interface's name on the agent's kernel now; without it the interface is found by
 * `mac` (the guest of a utility VM does not know how its kernel names the NIC). `name` is what the
 * container sees (default: "eth<position>"). `gateway` may be absent; it is one address, or an
 * array of at most one for IPv4 and one for IPv6. */
#ifndef HULL_SANDBOX_INTERFACE_H
#define HULL_SANDBOX_INTERFACE_H

#include "base/netlink.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum {
    SANDBOX_INTERFACES_MAX = 32,
    SANDBOX_INTERFACE_ADDRESSES_MAX = 16,
    SANDBOX_INTERFACE_GATEWAYS_MAX = 2,
    SANDBOX_INTERFACE_MTU_MIN = 68, /* RFC 791 */
    SANDBOX_INTERFACE_MTU_MAX = 65535,
};

/* Plain data: copied by assignment, owns nothing. */
struct sandbox_interface {
    char link[NETLINK_NAME_SIZE]; /* "": find it by mac */
    char name[NETLINK_NAME_SIZE];
    bool has_mac;
    uint8_t mac[NETLINK_MAC_SIZE];
    struct netlink_address addresses[SANDBOX_INTERFACE_ADDRESSES_MAX];
    size_t n_addresses;
    struct netlink_address gateways[SANDBOX_INTERFACE_GATEWAYS_MAX];
    size_t n_gateways;
    unsigned mtu; /* 0: as it is */
};

/* Reads the array `json` (NULL or JSON null: none). *ret is a new array (free() it; NULL when
 * *ret_n is 0). Members are checked against the maxima above; unknown ones, names that repeat and
 * an interface with neither link nor mac are -EINVAL, and the message says which. */
int sandbox_interfaces_from_json(const json_t *json, struct sandbox_interface **ret, size_t *ret_n,
                                 struct error *err);

/* New reference to an array, or NULL when out of memory. */
json_t *sandbox_interfaces_to_json(const struct sandbox_interface *interfaces, size_t n);

/* Finds each link in the caller's network namespace, moves it into netns_fd (borrowed; -EBADF: it
 * stays in the caller's), renames it, sets mac, mtu, addresses, up and default route. The loopback
 * interface of the target is set up in any case, so n may be 0. On failure links may have been
 * moved already; they go with the namespace. Single-threaded or not: see netlink_open(). */
int sandbox_interfaces_configure(const struct sandbox_interface *interfaces, size_t n, int netns_fd,
                                 struct error *err);

#endif
