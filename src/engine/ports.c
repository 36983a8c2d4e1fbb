/* Published ports: HostConfig.PortBindings and ExposedPorts against net/publish.h. */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/private.h"
#include "net/network.h"
#include "net/pool.h"
#include "net/publish.h"

/* "80/tcp", "53/udp", "80". */
static int port_key_parse(const char *key, struct net_port *ret, struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    int number;
    int protocol = NET_PROTOCOL_TCP;
    if (strv_split(key, '/', &parts) < 0)
        return error_oom(err);
    size_t n = strv_length(parts);
    if (n < 1 || n > 2 || string_to_int(parts[0], 1, 65535, &number) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid containerPort: %s", key);
    if (n == 2) {
        CLEANUP_FREE char *name = string_lower(parts[1]);
        protocol = name ? net_protocol_from_string(name) : -ENOMEM;
        if (protocol < 0)
            return error_set_class(err, ERROR_INVALID, "invalid proto: %s", parts[1]);
    }
    *ret = (struct net_port){.protocol = (enum net_protocol)protocol,
                             .container_port = (uint16_t)number};
    return 0;
}

static int host_port_parse(const char *text, struct net_port *port, struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    int first = 0;
    int last = 0;
    if (string_is_empty(text))
        return 0;
    if (strv_split(text, '-', &parts) < 0)
        return error_oom(err);
    size_t n = strv_length(parts);
    if (n < 1 || n > 2 || string_to_int(parts[0], 0, 65535, &first) < 0 ||
        (n == 2 && (string_to_int(parts[1], 1, 65535, &last) < 0 || last < first)))
        return error_set_class(err, ERROR_INVALID, "invalid hostPort: %s", text);
    port->host_port = (uint16_t)first;
    port->host_port_end = (uint16_t)last;
    return 0;
}

static int ports_append(struct net_port **ports, size_t *n, const struct net_port *port,
                        struct error *err)
{
    if (*n >= NET_PORTS_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d published ports", NET_PORTS_MAX);
    struct net_port *grown = reallocarray(*ports, *n + 1, sizeof(**ports));
    if (!grown)
        return error_oom(err);
    grown[(*n)++] = *port;
    *ports = grown;
    return 0;
}

static int binding_add(const char *key, const json_t *binding, struct net_port **ports, size_t *n,
                       struct error *err)
{
    struct net_port port;
    const char *address = "";
    const char *number = "";
    int r = port_key_parse(key, &port, err);
    if (r < 0 || (r = json_get_string(binding, "HostIp", &address, err)) < 0 ||
        (r = json_get_string(binding, "HostPort", &number, err)) < 0 ||
        (r = host_port_parse(number, &port, err)) < 0)
        return r;
    if (string_equal(address, "::"))
        return 0; /* the IPv6 half of docker's pair; the bridge is IPv4 */
    if (!string_is_empty(address) && net_address_parse(address, &port.host_address) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid IP address: %s", address);
    return ports_append(ports, n, &port, err);
}

int engine_ports_parse(const json_t *host_config, const json_t *config, struct net_port **ret,
                       size_t *ret_n, struct error *err)
{
    CLEANUP_FREE struct net_port *ports = NULL;
    size_t n = 0;
    json_t *bindings = NULL;
    json_t *exposed = NULL;
    bool all = false;
    int r;
    if ((r = json_get_object(host_config, "PortBindings", &bindings, err)) < 0 ||
        (r = json_get_bool(host_config, "PublishAllPorts", &all, err)) < 0 ||
        (r = json_get_object(config, "ExposedPorts", &exposed, err)) < 0)
        return r;
    const char *key;
    json_t *value;
    json_object_foreach (bindings, key, value) {
        size_t i;
        json_t *binding;
        if (json_array_size(value) == 0 && (r = binding_add(key, NULL, &ports, &n, err)) < 0)
            return r;
        json_array_foreach (value, i, binding)
            if ((r = binding_add(key, binding, &ports, &n, err)) < 0)
                return r;
    }
    json_object_foreach (exposed, key, value) {
        struct net_port port;
        if ((r = port_key_parse(key, &port, err)) < 0)
            return r;
        if (all && !json_object_get(bindings, key) &&
            (r = ports_append(&ports, &n, &port, err)) < 0)
            return r;
    }
    *ret = TAKE_PTR(ports);
    *ret_n = n;
    return 0;
}

int engine_ports_check(const json_t *host_config, const json_t *config, struct error *err)
{
    CLEANUP_FREE struct net_port *ports = NULL;
    size_t n = 0;
    return engine_ports_parse(host_config, config, &ports, &n, err);
}

static json_t *ports_entry(json_t *object, const struct net_port *port)
{
    CLEANUP_FREE char *key = string_format("%u/%s", (unsigned)port->container_port,
                                           net_protocol_to_string(port->protocol));
    if (!key)
        return NULL;
    json_t *list = json_object_get(object, key);
    if (!json_is_array(list)) {
        list = json_array();
        if (json_put(object, key, list) < 0)
            return NULL;
    }
    return list;
}

json_t *engine_ports_to_json(const struct net_port *ports, size_t n, const json_t *config)
{
    CLEANUP_JSON json_t *object = json_object();
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get(config, "ExposedPorts"), key, value)
        if (json_put(object, key, json_null()) < 0)
            return NULL;
    for (size_t i = 0; i < n; i++) {
        char address[NET_ADDRESS_TEXT_SIZE];
        char number[8];
        json_t *list = ports_entry(object, &ports[i]);
        json_t *entry = json_object();
        if (!list || !entry) {
            json_decref(entry);
            return NULL;
        }
        net_address_format(ports[i].host_address, address);
        (void)snprintf(number, sizeof(number), "%u", (unsigned)ports[i].host_port);
        if (json_put_string(entry, "HostIp", address) < 0 ||
            json_put_string(entry, "HostPort", number) < 0 ||
            json_array_append_new(list, entry) < 0)
            return NULL;
    }
    return TAKE_PTR(object);
}

int engine_ports_from_json(const json_t *json, struct net_port **ret, size_t *ret_n,
                           struct error *err)
{
    CLEANUP_FREE struct net_port *ports = NULL;
    size_t n = 0;
    const char *key;
    json_t *list;
    json_object_foreach ((json_t *)(uintptr_t)json, key, list) {
        size_t i;
        json_t *binding;
        json_array_foreach (list, i, binding) {
            int r = binding_add(key, binding, &ports, &n, err);
            if (r < 0)
                return r;
        }
    }
    *ret = TAKE_PTR(ports);
    *ret_n = n;
    return 0;
}
