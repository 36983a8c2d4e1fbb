#include "base/netlink-address.h"
#include "base/strings.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>

int netlink_address_parse(const char *text, struct netlink_address *ret)
{
    struct netlink_address address = {0};
    char copy[NETLINK_ADDRESS_TEXT_SIZE];
    char *slash;
    int prefix;

    if (!string_copy(copy, sizeof(copy), text))
        return -EINVAL;
    slash = strchr(copy, '/');
    if (slash)
        *slash++ = '\0';
    address.family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(address.family, copy, address.bytes) != 1)
        return -EINVAL;
    prefix = address.family == AF_INET6 ? 128 : 32;
    if (slash && string_to_int(slash, 0, prefix, &prefix) < 0)
        return -EINVAL;
    address.prefix = (unsigned)prefix;
    *ret = address;
    return 0;
}

void netlink_address_format(const struct netlink_address *address, bool prefix,
                            char ret[NETLINK_ADDRESS_TEXT_SIZE])
{
    char text[INET6_ADDRSTRLEN] = "";

    (void)inet_ntop(address->family, address->bytes, text, sizeof(text));
    if (prefix)
        (void)snprintf(ret, NETLINK_ADDRESS_TEXT_SIZE, "%s/%u", text, address->prefix);
    else
        (void)string_copy(ret, NETLINK_ADDRESS_TEXT_SIZE, text);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int netlink_mac_parse(const char *text, uint8_t ret[NETLINK_MAC_SIZE])
{
    static const uint8_t zero[NETLINK_MAC_SIZE];
    uint8_t mac[NETLINK_MAC_SIZE];

    if (strlen(text) != NETLINK_MAC_TEXT_SIZE - 1)
        return -EINVAL;
    for (size_t i = 0; i < NETLINK_MAC_SIZE; i++) {
        int high = hex_digit(text[3 * i]);
        int low = hex_digit(text[3 * i + 1]);

        if (high < 0 || low < 0 || (i + 1 < NETLINK_MAC_SIZE && text[3 * i + 2] != ':'))
            return -EINVAL;
        mac[i] = (uint8_t)(high * 16 + low);
    }
    if ((mac[0] & 1) || memcmp(mac, zero, sizeof(mac)) == 0)
        return -EINVAL;
    memcpy(ret, mac, sizeof(mac));
    return 0;
}

void netlink_mac_format(const uint8_t mac[NETLINK_MAC_SIZE], char ret[NETLINK_MAC_TEXT_SIZE])
{
    (void)snprintf(ret, NETLINK_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
                   mac[2], mac[3], mac[4], mac[5]);
}

/* dev_valid_name() of the kernel's net/core/dev.c; control characters and quotes are refused as
 * well. */
bool netlink_name_is_valid(const char *name)
{
    size_t length = name ? strlen(name) : 0;

    if (length == 0 || length >= NETLINK_NAME_SIZE)
        return false;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isgraph((unsigned char)name[i]) || strchr("/:%\"'\\", name[i]))
            return false;
    }
    return true;
}
