/* Addresses, MACs and interface names as rtnetlink has them, and their text forms. */
#ifndef HULL_BASE_NETLINK_ADDRESS_H
#define HULL_BASE_NETLINK_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    NETLINK_NAME_SIZE = 16, /* IFNAMSIZ, the terminating NUL included */
    NETLINK_MAC_SIZE = 6,
    NETLINK_MAC_TEXT_SIZE = 18,
    NETLINK_ADDRESS_TEXT_SIZE = 64,
};

/* An IPv4 or IPv6 address with its prefix length. */
struct netlink_address {
    int family; /* AF_INET or AF_INET6; 0: none */
    unsigned prefix;
    uint8_t bytes[16]; /* network order; the first 4 for IPv4 */
};

/* "10.0.0.1/8", "fe80::1/64"; without a prefix it is 32 or 128. 0 or -EINVAL. */
int netlink_address_parse(const char *text, struct netlink_address *ret);
/* With "/prefix" when `prefix`. */
void netlink_address_format(const struct netlink_address *address, bool prefix,
                            char ret[NETLINK_ADDRESS_TEXT_SIZE]);
/* "02:42:ac:11:00:02"; 0 or -EINVAL (also for a multicast or all-zero address). */
int netlink_mac_parse(const char *text, uint8_t ret[NETLINK_MAC_SIZE]);
void netlink_mac_format(const uint8_t mac[NETLINK_MAC_SIZE], char ret[NETLINK_MAC_TEXT_SIZE]);
/* True if the kernel takes it as an interface's name: 1 to 15 characters, none of them '/', ':' or
 * white space, and neither "." nor "..". */
bool netlink_name_is_valid(const char *name);

#endif
