#include "sandbox/interface.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include <net/if.h>
#include <sys/socket.h>

/* --- JSON --- */

static int check_members(const json_t *json, struct error *err)
{
    static const char *const known[] = {"link", "name", "mac", "addresses", "gateway", "mtu"};
    const char *name;
    json_t *value;

    /* Iteration does not change the object; jansson's iterators are not const. */
    json_object_foreach ((json_t *)(uintptr_t)json, name, value) {
        bool found = false;

        for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
            found = found || strcmp(known[i], name) == 0;
        if (!found)
            return error_set_class(err, ERROR_INVALID, "interface has an unknown member '%.32s'",
                                   name);
    }
    return 0;
}

static int read_name(const json_t *json, const char *member, char ret[NETLINK_NAME_SIZE],
                     struct error *err)
{
    const char *text = NULL;
    int r = json_get_string(json, member, &text, err);

    if (r <= 0)
        return r;
    if (!netlink_name_is_valid(text))
        return error_set_class(err, ERROR_INVALID, "'%s' is not a valid interface name: '%.32s'",
                               member, text);
    (void)string_copy(ret, NETLINK_NAME_SIZE, text);
    return 1;
}

static int read_addresses(const json_t *json, struct sandbox_interface *interface,
                          struct error *err)
{
    CLEANUP_STRV char **texts = NULL;
    int r = json_get_strv(json, "addresses", SANDBOX_INTERFACE_ADDRESSES_MAX, &texts, err);

    if (r < 0)
        return r;
    for (size_t i = 0; texts && texts[i]; i++) {
        struct netlink_address *address = &interface->addresses[interface->n_addresses++];

        if (!strchr(texts[i], '/') || netlink_address_parse(texts[i], address) < 0)
            return error_set_class(err, ERROR_INVALID,
                                   "'addresses' must be of the form ADDRESS/PREFIX: '%.64s'",
                                   texts[i]);
    }
    return 0;
}

static int add_gateway(struct sandbox_interface *interface, const char *text, struct error *err)
{
    struct netlink_address gateway;

    if (strchr(text, '/') || netlink_address_parse(text, &gateway) < 0)
        return error_set_class(err, ERROR_INVALID, "'gateway' is not an address: '%.64s'", text);
    for (size_t i = 0; i < interface->n_gateways; i++) {
        if (interface->gateways[i].family == gateway.family)
            return error_set_class(err, ERROR_INVALID, "'gateway' has two of one family");
    }
    interface->gateways[interface->n_gateways++] = gateway;
    return 0;
}

static int read_gateways(const json_t *json, struct sandbox_interface *interface, struct error *err)
{
    const json_t *value = json_object_get(json, "gateway");
    size_t n = json_array_size(value);

    if (!value || json_is_null(value))
        return 0;
    if (json_is_string(value))
        return add_gateway(interface, json_string_value(value), err);
    if (!json_is_array(value) || n > SANDBOX_INTERFACE_GATEWAYS_MAX)
        return error_set_class(err, ERROR_INVALID, "'gateway' must be one or two addresses");
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(value, i);
        int r;

        if (!json_is_string(item))
            return error_set_class(err, ERROR_INVALID, "'gateway' must hold strings");
        r = add_gateway(interface, json_string_value(item), err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int interface_from_json(const json_t *json, size_t position, struct sandbox_interface *ret,
                               struct error *err)
{
    struct sandbox_interface interface = {0};
    const char *mac = NULL;
    int mtu = 0;
    int r;

    if (!json_is_object(json))
        return error_set_class(err, ERROR_INVALID, "must be an object");
    (void)snprintf(interface.name, sizeof(interface.name), "eth%zu", position);
    r = check_members(json, err);
    if (r >= 0)
        r = read_name(json, "link", interface.link, err);
    if (r >= 0)
        r = read_name(json, "name", interface.name, err);
    if (r >= 0)
        r = json_get_string(json, "mac", &mac, err);
    if (r >= 0)
        r = json_get_int(json, "mtu", SANDBOX_INTERFACE_MTU_MIN, SANDBOX_INTERFACE_MTU_MAX, &mtu,
                         err);
    if (r >= 0)
        r = read_addresses(json, &interface, err);
    if (r >= 0)
        r = read_gateways(json, &interface, err);
    if (r < 0)
        return r;
    if (mac && netlink_mac_parse(mac, interface.mac) < 0)
        return error_set_class(err, ERROR_INVALID, "'mac' is not a unicast address: '%.32s'", mac);
    interface.has_mac = mac != NULL;
    interface.mtu = (unsigned)mtu;
    if (!interface.link[0] && !interface.has_mac)
        return error_set_class(err, ERROR_INVALID, "either 'link' or 'mac' is required");
    *ret = interface;
    return 0;
}

/* Two interfaces of one name, or found by the same link or MAC, cannot both be meant. */
static int check_distinct(const struct sandbox_interface *interfaces, size_t n, struct error *err)
{
    const struct sandbox_interface *last = &interfaces[n - 1];

    if (strcmp(last->name, "lo") == 0)
        return error_set_class(err, ERROR_INVALID, "'name' must not be 'lo'");
    for (size_t i = 0; i + 1 < n; i++) {
        const struct sandbox_interface *other = &interfaces[i];

        if (strcmp(other->name, last->name) == 0)
            return error_set_class(err, ERROR_INVALID, "'name' %s repeats", last->name);
        if (last->link[0] && strcmp(other->link, last->link) == 0)
            return error_set_class(err, ERROR_INVALID, "'link' %s repeats", last->link);
        if (last->has_mac && other->has_mac &&
            memcmp(other->mac, last->mac, sizeof(last->mac)) == 0)
            return error_set_class(err, ERROR_INVALID, "'mac' repeats");
    }
    return 0;
}

int sandbox_interfaces_from_json(const json_t *json, struct sandbox_interface **ret, size_t *ret_n,
                                 struct error *err)
{
    CLEANUP_FREE struct sandbox_interface *interfaces = NULL;
    size_t n = json_array_size(json);

    if (json && !json_is_null(json) && !json_is_array(json))
        return error_set_class(err, ERROR_INVALID, "'interfaces' must be an array");
    if (n > SANDBOX_INTERFACES_MAX)
        return error_set_class(err, ERROR_INVALID, "'interfaces' has %zu members, at most %d", n,
                               (int)SANDBOX_INTERFACES_MAX);
    if (n > 0) {
        interfaces = calloc(n, sizeof(*interfaces));
        if (!interfaces)
            return error_oom(err);
    }
    for (size_t i = 0; i < n; i++) {
        int r = interface_from_json(json_array_get(json, i), i, &interfaces[i], err);

        if (r >= 0)
            r = check_distinct(interfaces, i + 1, err);
        if (r < 0)
            return error_wrap(err, r, "interfaces[%zu]", i);
    }
    *ret = TAKE_PTR(interfaces);
    *ret_n = n;
    return 0;
}

static json_t *addresses_to_json(const struct netlink_address *addresses, size_t n, bool prefix)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < n; i++) {
        char text[NETLINK_ADDRESS_TEXT_SIZE];

        netlink_address_format(&addresses[i], prefix, text);
        if (json_array_append_new(array, json_string(text)) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *gateways_to_json(const struct sandbox_interface *interface)
{
    char text[NETLINK_ADDRESS_TEXT_SIZE];

    if (interface->n_gateways != 1)
        return addresses_to_json(interface->gateways, interface->n_gateways, false);
    netlink_address_format(&interface->gateways[0], false, text);
    return json_string(text);
}

static json_t *interface_to_json(const struct sandbox_interface *interface)
{
    CLEANUP_JSON json_t *json = json_object();
    char mac[NETLINK_MAC_TEXT_SIZE];
    int r;

    if (!json)
        return NULL;
    netlink_mac_format(interface->mac, mac);
    r = json_put_string(json, "link", interface->link[0] ? interface->link : NULL);
    if (r == 0)
        r = json_put_string(json, "name", interface->name);
    if (r == 0)
        r = json_put_string(json, "mac", interface->has_mac ? mac : NULL);
    if (r == 0)
        r = json_put(json, "addresses",
                     addresses_to_json(interface->addresses, interface->n_addresses, true));
    if (r == 0 && interface->n_gateways > 0)
        r = json_put(json, "gateway", gateways_to_json(interface));
    if (r == 0 && interface->mtu > 0)
        r = json_put_i64(json, "mtu", interface->mtu);
    return r == 0 ? TAKE_PTR(json) : NULL;
}

json_t *sandbox_interfaces_to_json(const struct sandbox_interface *interfaces, size_t n)
{
    CLEANUP_JSON json_t *array = json_array();

    for (size_t i = 0; array && i < n; i++) {
        if (json_array_append_new(array, interface_to_json(&interfaces[i])) < 0)
            return NULL;
    }
    return TAKE_PTR(array);
}

/* --- configuration --- */

static int find_link(struct netlink *home, const struct sandbox_interface *interface,
                     struct netlink_link *ret, struct error *err)
{
    if (interface->link[0])
        return netlink_find_name(home, interface->link, ret, err);
    return netlink_find_mac(home, interface->mac, ret, err);
}

/* Moves, renames and starts a link in one request (the kernel goes in this order). A link that
 * stays here is taken down first: one that is up may not be renamed before Linux 6.6. */
static int place_link(struct netlink *home, const struct sandbox_interface *interface, int netns_fd,
                      struct error *err)
{
    struct netlink_change change = {
        .name = interface->name,
        .mac = interface->has_mac ? interface->mac : NULL,
        .mtu = interface->mtu,
        .flags = IFF_UP,
        .flags_mask = IFF_UP,
        .netns_fd = netns_fd,
    };
    struct netlink_link link;
    int r = find_link(home, interface, &link, err);

    if (r < 0)
        return r;
    if (netns_fd < 0 && strcmp(link.name, interface->name) == 0)
        change.name = NULL;
    else if (netns_fd < 0 && (link.flags & IFF_UP))
        r = netlink_set_down(home, link.index, err);
    if (link.has_mac && change.mac && memcmp(link.mac, change.mac, sizeof(link.mac)) == 0)
        change.mac = NULL;
    if (link.mtu == change.mtu)
        change.mtu = 0;
    return r < 0 ? r : netlink_set(home, link.index, &change, err);
}

static int configure_link(struct netlink *target, const struct sandbox_interface *interface,
                          struct error *err)
{
    struct netlink_link link;
    int r = netlink_find_name(target, interface->name, &link, err);

    for (size_t i = 0; r == 0 && i < interface->n_addresses; i++)
        r = netlink_add_address(target, link.index, &interface->addresses[i], err);
    for (size_t i = 0; r == 0 && i < interface->n_gateways; i++)
        r = netlink_add_default_route(target, link.index, &interface->gateways[i], err);
    return r;
}

int sandbox_interfaces_configure(const struct sandbox_interface *interfaces, size_t n, int netns_fd,
                                 struct error *err)
{
    CLEANUP(netlink_cleanup) struct netlink *home = NULL;
    CLEANUP(netlink_cleanup) struct netlink *other = NULL;
    struct netlink *target;
    struct netlink_link loopback;
    int r = netlink_open(-EBADF, &home, err);

    if (r == 0 && netns_fd >= 0)
        r = netlink_open(netns_fd, &other, err);
    if (r < 0)
        return r;
    target = other ? other : home;
    r = netlink_find_name(target, "lo", &loopback, err);
    if (r == 0 && !(loopback.flags & IFF_UP))
        r = netlink_set_up(target, loopback.index, err);
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = place_link(home, &interfaces[i], netns_fd, err);
        if (r == 0)
            r = configure_link(target, &interfaces[i], err);
        if (r < 0)
            return error_wrap(err, r, "network interface %s", interfaces[i].name);
    }
    return r;
}
