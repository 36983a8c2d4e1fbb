/* The default network: one bridge on the host, with its address, packet filter and endpoints.
 *
 * Calling sequence: net_open() once when the engine starts, net_adopt() with the endpoints of the
 * containers that still run, then net_endpoint_create()/net_publish() as containers start and
 * net_endpoint_delete() as they end (endpoint.h, publish.h), and net_free() at the end. What was
 * made on the host stays when the engine ends, because containers survive it; net_close() takes it
 * away.
 *
 * All functions that take a `struct net *` may be called from any thread. */
#ifndef HULL_NET_NETWORK_H
#define HULL_NET_NETWORK_H

#include "net/pool.h"
#include <stdbool.h>
#include <stddef.h>

struct error;
struct net;
struct net_endpoint_spec;
struct net_port;

struct net_config {
    const char *bridge;   /* interface name, at most 15 characters; default "hull0" */
    const char *bip;      /* "172.29.0.1/16"; NULL: that of an existing bridge, else the first of a
                             built-in      list that no route of the host overlaps */
    unsigned mtu;         /* default 1500 */
    bool filter;          /* --iptables: let hull make packet filter rules at all */
    bool ip_forward;      /* --ip-forward: switch net.ipv4.ip_forward on */
    bool masquerade;      /* --ip-masq */
    bool inter_container; /* --icc */
};

#define NET_CONFIG_INIT                                                                         \
    {                                                                                           \
        .bridge = "hull0", .mtu = 1500, .filter = true, .ip_forward = true, .masquerade = true, \
        .inter_container = true                                                                 \
    }

/* Makes or completes the bridge and the filter table (named after the bridge, so that several
 * engines run side by side). May be repeated; keeps what works. A bip that overlaps a route of the
 * host is refused only where it was chosen by default: who sets it means it. Strings of config are
 * copied. Needs CAP_NET_ADMIN and the `nft` program. Where containers are
 * plugged in already, the tables are left to net_adopt(), which must follow. */
int net_open(const struct net_config *config, struct net **ret, struct error *err);

/* Removes the endpoints, filter tables and bridge from the host. Goes on after a failure and
 * reports the first. */
int net_close(struct net *net, struct error *err);

/* Frees the object, releases reserved host ports; leaves the host as it is, once the interfaces of
 * deleted endpoints are gone. Accepts NULL. */
void net_free(struct net *net);

const char *net_bridge(const struct net *net);
const struct net_subnet *net_subnet(const struct net *net);
unsigned net_mtu(const struct net *net);
/* NULL, or a sentence about what this host could not do (for the log and GET /info). */
const char *net_warning(const struct net *net);

/* One endpoint that lives on from before a restart of the engine. */
struct net_adopted {
    const struct net_endpoint_spec *spec;
    const struct net_port *ports; /* with definite host ports */
    size_t n_ports;
};

/* Takes over the endpoints given, and deletes all other interfaces of hull's naming that are ports
 * of this bridge (and published ports of this table). *ret_removed (may be NULL): how many
 * interfaces. A published port that a program of the host has taken meanwhile stays mapped. Writes
 * the filter tables in one transaction, so that connections do not notice. To be called once after
 * net_open(), with n = 0 too. */
int net_adopt(struct net *net, const struct net_adopted *adopted, size_t n, size_t *ret_removed,
              struct error *err);

#endif
