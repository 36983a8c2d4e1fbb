/* Published ports: a port of the host that leads to a port of a container.
 *
 * Traffic is redirected by nftables maps (prerouting for what arrives, output for what the host
 * itself sends, 127.0.0.1 included), without a process in between. The port is also reserved on the
 * host with a bound socket that the engine holds, so that it conflicts with other programs at once
 * and not in silence. IPv4 only. */
#ifndef HULL_NET_PUBLISH_H
#define HULL_NET_PUBLISH_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct net;

enum {
    NET_PORTS_MAX = 4096, /* of one endpoint */
};

enum net_protocol {
    NET_PROTOCOL_TCP,
    NET_PROTOCOL_UDP,
    NET_PROTOCOL_SCTP,
    NET_PROTOCOL_MAX,
};

const char *net_protocol_to_string(enum net_protocol protocol); /* "tcp" */
int net_protocol_to_number(enum net_protocol protocol);         /* IPPROTO_TCP */
int net_protocol_from_string(const char *text);                 /* -EINVAL if unknown */

struct net_port {
    enum net_protocol protocol;
    uint32_t host_address;  /* host byte order; 0: all (0.0.0.0) */
    uint16_t host_port;     /* 0: any free one of net.ipv4.ip_local_port_range */
    uint16_t host_port_end; /* 0, or the end of a range of which the first free one is taken */
    uint16_t container_port;
};

/* Publishes all or none for an endpoint that exists. On success host_port of each entry says what
 * was taken and host_port_end is 0. A port that another container has gives -EADDRINUSE and
 * docker's "Bind for 0.0.0.0:80 failed: port is already allocated"; one that a program of the host
 * has, "failed to bind host port for 0.0.0.0:80:172.29.0.2:80/tcp: address already in use". */
int net_publish(struct net *net, const char *endpoint_id, struct net_port *ports, size_t n,
                struct error *err);

/* Withdraws all ports of an endpoint (net_endpoint_delete() does so too). None is success. */
int net_unpublish(struct net *net, const char *endpoint_id, struct error *err);

#endif
