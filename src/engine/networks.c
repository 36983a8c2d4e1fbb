/* The three networks that always exist: bridge, host, none. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/private.h"
#include "net/network.h"
#include "net/pool.h"

static const char *const network_names[] = {"bridge", "host", "none"};
static const char *const network_drivers[] = {"bridge", "host", "null"};
enum { NETWORKS = 3 };

/* The ids are the engine's own for ever: they are made of its id and the name. */
char *engine_network_id(const struct engine *engine, const char *name)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    CLEANUP_FREE char *text = string_format("%s/%s", engine->id, name);
    char *id = malloc(ID_LENGTH + 1);
    if (!text || !id || EVP_Digest(text, strlen(text), digest, &length, EVP_sha256(), NULL) != 1) {
        free(id);
        return NULL;
    }
    string_hex(id, digest, ID_LENGTH / 2);
    return id;
}

void container_network_event(struct container *container, bool connect)
{
    struct engine *engine = container->engine;
    CLEANUP_FREE char *id = engine_network_id(engine, container->network);
    const char *driver = "";
    {
        ENGINE_STATE(engine);
        if (container->connected == connect)
            return;
        container->connected = connect;
    }
    for (size_t i = 0; i < NETWORKS; i++)
        if (string_equal(network_names[i], container->network))
            driver = network_drivers[i];
    if (id)
        engine_emit(engine, "network", connect ? "connect" : "disconnect", id,
                    json_pack("{s:s, s:s, s:s}", "container", container->id, "name",
                              container->network, "type", driver));
}

static json_t *ipam_json(const struct engine *engine)
{
    char subnet[NET_SUBNET_TEXT_SIZE];
    char gateway[NET_ADDRESS_TEXT_SIZE];
    if (!engine->net)
        return json_pack("{s:s, s:n, s:[]}", "Driver", "default", "Options", "Config");
    net_subnet_format(net_subnet(engine->net), subnet);
    net_address_format(net_subnet(engine->net)->gateway, gateway);
    return json_pack("{s:s, s:n, s:[{s:s, s:s}]}", "Driver", "default", "Options", "Config",
                     "Subnet", subnet, "Gateway", gateway);
}

static json_t *bridge_options(const struct engine *engine)
{
    char mtu[12];
    (void)snprintf(mtu, sizeof(mtu), "%u", net_mtu(engine->net));
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "com.docker.network.bridge.default_bridge",
                     "true", "com.docker.network.bridge.enable_icc",
                     engine->config.closed ? "false" : "true", "com.docker.network.bridge.name",
                     net_bridge(engine->net), "com.docker.network.bridge.enable_ip_masquerade",
                     "true", "com.docker.network.driver.mtu", mtu);
}

/* Containers plugged into it now. Call under the state lock. */
static json_t *members_json(struct engine *engine, const char *name)
{
    json_t *members = json_object();
    LIST_FOR_EACH (container, &engine->containers, struct container, node) {
        char address[NET_ADDRESS_TEXT_SIZE] = "";
        char mac[18] = "";
        if (!string_equal(container->network, name) || !container_is_running(container))
            continue;
        if (container->has_endpoint && engine->net) {
            net_address_format(container->address, address);
            (void)snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", container->mac[0],
                           container->mac[1], container->mac[2], container->mac[3],
                           container->mac[4], container->mac[5]);
        }
        json_t *cidr = address[0] ? json_sprintf("%s/%u", address, net_subnet(engine->net)->prefix)
                                  : json_string("");
        (void)json_put(members, container->id,
                       json_pack("{s:s, s:s, s:s, s:o, s:s}", "Name", container->name, "EndpointID",
                                 container->id, "MacAddress", mac, "IPv4Address", cidr,
                                 "IPv6Address", ""));
    }
    return members;
}

static json_t *network_json(struct engine *engine, size_t i, bool with_members)
{
    char created[TIMESTAMP_TEXT_MAX];
    bool bridge = i == 0;
    CLEANUP_FREE char *id = engine_network_id(engine, network_names[i]);
    if (!id)
        return NULL;
    ENGINE_STATE(engine);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:o, s:b, s:b, s:b, s:{s:s}, s:b, s:o, s:o, s:{}}",
        "Name", network_names[i], "Id", id, "Created", timestamp_format(engine->started, created),
        "Scope", "local", "Driver", network_drivers[i], "EnableIPv4", 1, "EnableIPv6", 0, "IPAM",
        bridge ? ipam_json(engine)
               : json_pack("{s:s, s:n, s:[]}", "Driver", "default", "Options", "Config"),
        "Internal", 0, "Attachable", 0, "Ingress", 0, "ConfigFrom", "Network", "", "ConfigOnly", 0,
        "Containers", with_members ? members_json(engine, network_names[i]) : json_object(),
        "Options", bridge && engine->net ? bridge_options(engine) : json_object(), "Labels");
}

static bool network_exists(const struct engine *engine, size_t i)
{
    return i != 0 || engine->net;
}

static bool network_matches(const struct engine *engine, size_t i, const json_t *filters)
{
    CLEANUP_STRV char **names = NULL;
    CLEANUP_STRV char **ids = NULL;
    CLEANUP_FREE char *id = engine_network_id(engine, network_names[i]);
    if (!id || filter_values(filters, "name", &names, NULL) < 0 ||
        filter_values(filters, "id", &ids, NULL) < 0)
        return false;
    bool name_fits = names == NULL;
    for (char **name = names; name && *name; name++)
        name_fits = name_fits || strstr(network_names[i], *name);
    bool id_fits = ids == NULL;
    for (char **prefix = ids; prefix && *prefix; prefix++)
        id_fits = id_fits || string_starts_with(id, *prefix);
    return name_fits && id_fits && filter_match(filters, "driver", network_drivers[i]) &&
           filter_match(filters, "scope", "local") && filter_match(filters, "type", "builtin") &&
           (!json_object_get(filters, "label"));
}

int engine_network_list(struct engine *engine, const json_t *filters, json_t **ret,
                        struct error *err)
{
    static const char *const known[] = {"name", "id",    "driver",   "scope",
                                        "type", "label", "dangling", NULL};
    int r = filter_check_names(filters, known, err);
    if (r < 0)
        return r;
    CLEANUP_JSON json_t *list = json_array();
    if (!list)
        return error_oom(err);
    for (size_t i = 0; i < NETWORKS; i++)
        if (network_exists(engine, i) && network_matches(engine, i, filters) &&
            json_array_append_new(list, network_json(engine, i, false)) < 0)
            return error_oom(err);
    *ret = TAKE_PTR(list);
    return 0;
}

int engine_network_inspect(struct engine *engine, const char *reference, json_t **ret,
                           struct error *err)
{
    for (size_t i = 0; i < NETWORKS; i++) {
        CLEANUP_FREE char *id = engine_network_id(engine, network_names[i]);
        if (!id)
            return error_oom(err);
        if (!network_exists(engine, i) || (!string_equal(network_names[i], reference) &&
                                           !(reference[0] && string_starts_with(id, reference))))
            continue;
        json_t *network = network_json(engine, i, true);
        if (!network)
            return error_oom(err);
        *ret = network;
        return 0;
    }
    return error_set_class(err, ERROR_NOT_FOUND, "network %s not found", reference);
}
