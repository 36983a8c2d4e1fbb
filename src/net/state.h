/* What the parts of net/ share: the network's object and its endpoints. Private to this folder.
 *
 * Theory of operation. The host holds the network (links, filter tables); the object holds what
 * cannot be read back from there: which endpoint has which address and ports, and the sockets that
 * reserve the ports. The filter's elements are derived from the records: changes go out as small
 * batches (elements.h), and filter_open() can write the whole tables anew from the records at any
 * time, in one transaction, so that there is never a moment without rules. `lock` guards the
 * records and orders the transactions. A deleted endpoint's record goes from `records` to `retired`
 * until its links are gone from the host (retire.h). */
#ifndef HULL_NET_STATE_H
#define HULL_NET_STATE_H

#include "base/list.h"
#include "net/endpoint.h"
#include "net/pool.h"
#include "net/publish.h"
#include <pthread.h>
#include <stdbool.h>

struct elements;
struct error;
struct netlink;
struct retire;

enum { NET_TABLE_NAME_SIZE = NET_ENDPOINT_NAME_SIZE + sizeof("hull_") };

struct net {
    pthread_mutex_t lock;
    char bridge[NET_ENDPOINT_NAME_SIZE];
    char table[NET_TABLE_NAME_SIZE]; /* of nft, in the families ip and bridge */
    int bridge_index;
    struct net_subnet subnet;
    unsigned mtu;
    bool filter;
    bool masquerade;
    bool inter_container;
    bool guard;                /* the table of the bridge family exists */
    char *warning;             /* or NULL */
    unsigned last_port;        /* the last one chosen from the host's local range */
    struct elements *elements; /* NULL without a filter */
    struct list records;
    struct list retired;
    struct retire *retire;
};

struct net_record {
    struct list node;
    char id[NET_ENDPOINT_ID_SIZE];
    struct net_endpoint names;
    uint32_t address;
    struct net_port *ports;
    int *reservations; /* as many as ports; -EBADF where the port could not be reserved */
    size_t n_ports;
    int link;   /* retired: the index of names.host */
    bool stuck; /* retired: it could not be deleted; the next net_adopt() or net_close() tries */
};

/* The record with this id, or NULL. */
struct net_record *net_find(struct net *net, const char *id);
/* Appended to net->records. */
int net_record_new(struct net *net, const struct net_endpoint_spec *spec, struct net_record **ret,
                   struct error *err);
/* Removes it from the list, gives its ports up. Accepts NULL. */
void net_record_free(struct net_record *record);

/* Reserves `ports` (writing the choices into them) for the record; -EADDRINUSE. With `force` a port
 * that cannot be reserved on the host is taken all the same (net_adopt()). */
int net_ports_reserve(struct net *net, struct net_record *record, struct net_port *ports, size_t n,
                      bool force, struct error *err);
void net_ports_release(struct net_record *record);

/* Deletes the links of an endpoint; none is success. */
int net_links_delete(struct netlink *netlink, const struct net_endpoint *names, struct error *err);

/* for CLEANUP(): unlocks what net_lock() locked. */
struct net *net_lock(struct net *net);
void net_unlock(struct net **net);

#endif
