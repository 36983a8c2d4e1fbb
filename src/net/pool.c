#include "net/pool.h"
#include "base/error.h"
#include "base/strings.h"
#include <arpa/inet.h>

static uint32_t subnet_mask(unsigned prefix)
{
    return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

static uint32_t subnet_broadcast(const struct net_subnet *subnet)
{
    return subnet->network | ~subnet_mask(subnet->prefix);
}

int net_address_parse(const char *text, uint32_t *ret)
{
    struct in_addr address;

    if (inet_pton(AF_INET, text, &address) != 1)
        return -EINVAL;
    *ret = ntohl(address.s_addr);
    return 0;
}

void net_address_format(uint32_t address, char ret[NET_ADDRESS_TEXT_SIZE])
{
    (void)snprintf(ret, NET_ADDRESS_TEXT_SIZE, "%u.%u.%u.%u", address >> 24, (address >> 16) & 255,
                   (address >> 8) & 255, address & 255);
}

int net_subnet_parse(const char *text, struct net_subnet *ret, struct error *err)
{
    struct net_subnet subnet = {0};
    char copy[NET_SUBNET_TEXT_SIZE];
    char *slash = NULL;
    int prefix = 0;

    if (string_copy(copy, sizeof(copy), text))
        slash = strchr(copy, '/');
    if (slash)
        *slash++ = '\0';
    if (!slash || net_address_parse(copy, &subnet.gateway) < 0 ||
        string_to_int(slash, 0, 32, &prefix) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid CIDR address: %.64s", text);
    if (prefix < NET_PREFIX_MIN || prefix > NET_PREFIX_MAX)
        return error_set_class(err, ERROR_INVALID, "network %s/%d: the prefix must be %d to %d",
                               copy, prefix, (int)NET_PREFIX_MIN, (int)NET_PREFIX_MAX);
    subnet.prefix = (unsigned)prefix;
    subnet.network = subnet.gateway & subnet_mask(subnet.prefix);
    if (subnet.gateway == subnet.network || subnet.gateway == subnet_broadcast(&subnet))
        return error_set_class(err, ERROR_INVALID,
                               "%s/%d is a network's own or broadcast address; give the bridge's, "
                               "as 172.29.0.1/16",
                               copy, prefix);
    if (subnet.network >> 24 == 127 || subnet.network >> 28 == 14 || subnet.network >> 24 == 0)
        return error_set_class(err, ERROR_INVALID, "%s/%d: not a network for hosts", copy, prefix);
    *ret = subnet;
    return 0;
}

static void format_with_prefix(uint32_t address, unsigned prefix, char ret[NET_SUBNET_TEXT_SIZE])
{
    char text[NET_ADDRESS_TEXT_SIZE];

    net_address_format(address, text);
    (void)snprintf(ret, NET_SUBNET_TEXT_SIZE, "%s/%u", text, prefix & 63);
}

void net_subnet_format(const struct net_subnet *subnet, char ret[NET_SUBNET_TEXT_SIZE])
{
    format_with_prefix(subnet->network, subnet->prefix, ret);
}

void net_subnet_format_gateway(const struct net_subnet *subnet, char ret[NET_SUBNET_TEXT_SIZE])
{
    format_with_prefix(subnet->gateway, subnet->prefix, ret);
}

bool net_subnet_contains(const struct net_subnet *subnet, uint32_t address)
{
    return (address & subnet_mask(subnet->prefix)) == subnet->network;
}

static int allocate_wanted(const struct net_subnet *subnet,
                           bool (*is_used)(uint32_t address, void *data), void *data,
                           uint32_t wanted, uint32_t *ret, struct error *err)
{
    char address[NET_ADDRESS_TEXT_SIZE];
    char network[NET_SUBNET_TEXT_SIZE];

    net_address_format(wanted, address);
    net_subnet_format(subnet, network);
    if (!net_subnet_contains(subnet, wanted) || wanted == subnet->network ||
        wanted == subnet_broadcast(subnet))
        return error_set_class(err, ERROR_INVALID, "address %s is not one of network %s", address,
                               network);
    if (wanted == subnet->gateway || (is_used && is_used(wanted, data)))
        return error_set_class(err, ERROR_FORBIDDEN, "Address already in use");
    *ret = wanted;
    return 0;
}

int net_pool_allocate(const struct net_subnet *subnet,
                      bool (*is_used)(uint32_t address, void *data), void *data, uint32_t wanted,
                      uint32_t *ret, struct error *err)
{
    uint32_t end = subnet_broadcast(subnet);
    char network[NET_SUBNET_TEXT_SIZE];

    if (wanted != 0)
        return allocate_wanted(subnet, is_used, data, wanted, ret, err);
    for (uint32_t address = subnet->network + 1; address < end; address++) {
        if (address == subnet->gateway || (is_used && is_used(address, data)))
            continue;
        *ret = address;
        return 0;
    }
    net_subnet_format(subnet, network);
    return error_set(err, -ENOSPC, "no available IPv4 addresses on this network: %s", network);
}

void net_mac_from_address(uint32_t address, uint8_t ret[6])
{
    uint32_t network_order = htonl(address);

    ret[0] = 0x02;
    ret[1] = 0x42;
    memcpy(ret + 2, &network_order, sizeof(network_order));
}
