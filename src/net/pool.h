/* IPv4 networks and the choice of addresses in them: pure functions, no state.
 *
 * Which addresses are in use is the store's knowledge; the caller lends it as a function.
 * Addresses here are uint32_t in host byte order. */
#ifndef HULL_NET_POOL_H
#define HULL_NET_POOL_H

#include <stdbool.h>
#include <stdint.h>

struct error;

enum {
    NET_ADDRESS_TEXT_SIZE = 16, /* "255.255.255.255" */
    NET_SUBNET_TEXT_SIZE = 20,  /* the same with "/32" */
    NET_PREFIX_MIN = 8,
    NET_PREFIX_MAX = 30, /* a gateway and one container must fit */
};

struct net_subnet {
    uint32_t network; /* host bits are zero */
    uint32_t gateway; /* the bridge's own address */
    unsigned prefix;
};

/* "172.29.0.1/16": the gateway's address and the prefix, as `--bip`. An address that is the
 * network's own or its broadcast address is refused (ERROR_INVALID). */
int net_subnet_parse(const char *text, struct net_subnet *ret, struct error *err);
void net_subnet_format(const struct net_subnet *subnet,
                       char ret[NET_SUBNET_TEXT_SIZE]); /* network/prefix */
void net_subnet_format_gateway(const struct net_subnet *subnet,
                               char ret[NET_SUBNET_TEXT_SIZE]); /* gateway/prefix */
bool net_subnet_contains(const struct net_subnet *subnet, uint32_t address);

int net_address_parse(const char *text, uint32_t *ret); /* 0 or -EINVAL */
void net_address_format(uint32_t address, char ret[NET_ADDRESS_TEXT_SIZE]);

/* Chooses `wanted`, or with 0 the lowest free address: never the network's, the gateway's or the
 * broadcast address, nor one for which is_used(address, data) says true (NULL: none is).
 * A wanted address outside gives ERROR_INVALID, one in use ERROR_FORBIDDEN ("Address already in
 * use", docker's words), a full network -ENOSPC. */
int net_pool_allocate(const struct net_subnet *subnet,
                      bool (*is_used)(uint32_t address, void *data), void *data, uint32_t wanted,
                      uint32_t *ret, struct error *err);

/* 02:42 and the four bytes of the address, as docker: unique in a network without a table. */
void net_mac_from_address(uint32_t address, uint8_t ret[6]);

#endif
