/* The packet filter: tables of hull's own, written by `nft` (libnftables is GPL-2 and so is run as
 * a program, not linked). Single elements of their sets and maps, which change with every
 * container, go to the kernel directly (elements.h). Private to net/.
 *
 * Theory of operation. Table `hull_<bridge>` of family ip:
 *   raw          drops what guests' packet-socket interfaces show to the host's stack, and
 *                127.0.0.0/8 from the bridge, which route_localnet would let in
 *   prerouting, output    published ports: two maps, with and without a host address
 *   postrouting  masquerade for what leaves, for containers that reach themselves or each other
 *                through a published port (the answer must come back this way), and for 127.0.0.1
 *   forward      accepts what the bridge may send and receive, drops what comes in from elsewhere
 *                without a published port
 * and of family bridge: what a port of the bridge may send (endpoint.h), and --icc=false.
 *
 * nftables evaluates every base chain of a hook, and a drop in any of them is final: an accept in
 * our chain cannot lift another table's `policy drop` (as docker and ufw set for FORWARD). Where
 * the table of iptables-nft has such a policy, two accept rules with our comment go into that
 * chain; they are the only thing outside our own tables, and filter_close() removes them. */
#ifndef HULL_NET_FILTER_H
#define HULL_NET_FILTER_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct net;
struct net_record;

/* Writes the tables with all that the records say. */
int filter_open(struct net *net, struct error *err);
/* Removes the tables and the rules in iptables' chain; none is success. */
int filter_close(struct net *net, struct error *err);

/* Change the elements of one endpoint. Where the tables are not as they should be, they are written
 * anew. Removing an endpoint removes its published ports too; the record stays the caller's. */
int filter_add_endpoint(struct net *net, const struct net_record *record, struct error *err);
int filter_remove_endpoint(struct net *net, struct net_record *record, struct error *err);
/* The first step of removing one whose interfaces are still there (retire.h): takes its published
 * ports away and the right to send anything at all. What makes the filter look at its interfaces
 * stays until filter_remove_retired(), when they are gone. */
int filter_silence(struct net *net, struct net_record *record, struct error *err);
int filter_remove_retired(struct net *net, struct net_record *record, struct error *err);
int filter_add_ports(struct net *net, const struct net_record *record, struct error *err);
int filter_remove_ports(struct net *net, struct net_record *record, struct error *err);

#endif
