#include "engine/attach_network.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "compute/job.h"
#include "engine/private.h"
#include "engine/store.h"
#include "net/endpoint.h"
#include "net/files.h"
#include "net/network.h"
#include "net/pool.h"
#include "net/publish.h"

enum { DNS_LIST_MAX = 64, MAC_TEXT_SIZE = 18 };

static bool on_bridge(const struct container *container)
{
    return string_equal(container->network, "bridge");
}

static void mac_format(const uint8_t mac[6], char text[MAC_TEXT_SIZE])
{
    (void)snprintf(text, MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                   mac[3], mac[4], mac[5]);
}

static bool address_is_leased(uint32_t address, void *data)
{
    return store_lease_is_taken(data, "address", address);
}

static void set_address(struct container *container, uint32_t address)
{
    ENGINE_STATE(container->engine);
    container->address = address;
}

static int lease_address(struct container *container, struct error *err)
{
    struct engine *engine = container->engine;
    const struct net_subnet *subnet = net_subnet(engine->net);
    uint32_t address = 0;
    if (store_lease_find(engine->store, "address", container->id, &address) == 0) {
        if (net_subnet_contains(subnet, address)) {
            set_address(container, address);
            return 0;
        }
        /* The bridge was given another network since. */
        (void)store_lease_release(engine->store, "address", container->id, NULL);
    }
    int r;
    do {
        r = net_pool_allocate(subnet, address_is_leased, engine->store, 0, &address, err);
        if (r < 0)
            return r;
        r = store_lease_take(engine->store, "address", address, container->id, err);
    } while (r == -EEXIST); /* another thread was faster */
    if (r == 0)
        set_address(container, address);
    return r;
}

static enum net_endpoint_kind endpoint_kind(const struct container *container)
{
    if (container->isolation == COMPUTE_PROCESS)
        return NET_ENDPOINT_PROCESS;
    return container->vm_engine == VM_ENGINE_UML ? NET_ENDPOINT_SOCKET : NET_ENDPOINT_TAP;
}

/* `netns` 0: the host's */
static void endpoint_spec(const struct container *container, int netns,
                          struct net_endpoint_spec *ret)
{
    *ret = (struct net_endpoint_spec){
        .id = container->id,
        .kind = endpoint_kind(container),
        .address = container->address,
        .owner = container->vm_uid,
        .peer_netns = netns,
    };
}

static int fill_interface(const struct container *container, struct compute_job *job,
                          struct error *err)
{
    const struct net_subnet *subnet = net_subnet(container->engine->net);
    char address[NET_ADDRESS_TEXT_SIZE];
    char gateway[NET_ADDRESS_TEXT_SIZE];
    char mac[MAC_TEXT_SIZE];
    net_address_format(container->address, address);
    net_address_format(subnet->gateway, gateway);
    mac_format(container->endpoint.mac, mac);
    CLEANUP_FREE char *cidr = string_format("%s/%u", address, subnet->prefix);
    if (!cidr)
        return error_oom(err);
    CLEANUP_JSON json_t *json =
        json_pack("[{s:s, s:s, s:[s], s:s, s:i}]", "name", "eth0", "mac", mac, "addresses", cidr,
                  "gateway", gateway, "mtu", (int)net_mtu(container->engine->net));
    if (!json)
        return error_oom(err);
    /* A VM finds its NIC by address: what its kernel calls it is the kernel's affair. */
    if (container->isolation == COMPUTE_PROCESS &&
        json_put_string(json_array_get(json, 0), "link", container->endpoint.guest) < 0)
        return error_oom(err);
    int r = sandbox_interfaces_from_json(json, &job->interfaces, &job->n_interfaces, err);
    if (r < 0 || container->isolation == COMPUTE_PROCESS)
        return r;
    return string_replace(&job->nic_link, container->endpoint.guest) < 0 ||
                   string_replace(&job->nic_mac, mac) < 0
               ? error_oom(err)
               : 0;
}

static int publish_ports(struct container *container, struct error *err)
{
    CLEANUP_FREE struct net_port *ports = NULL;
    size_t n = 0;
    int r = engine_ports_parse(container->host_config, container->config, &ports, &n, err);
    if (r < 0)
        return r;
    if (n > 0) {
        r = net_publish(container->engine->net, container->id, ports, n, err);
        if (r < 0)
            return error_wrap(err, r,
                              "failed to set up container networking: driver failed programming "
                              "external connectivity on endpoint %s (%s)",
                              container->name, container->id);
    }
    json_t *json = engine_ports_to_json(ports, n, container->config);
    if (!json)
        return error_oom(err);
    ENGINE_STATE(container->engine);
    json_decref(container->ports);
    container->ports = json;
    return 0;
}

bool container_network_is_late(const struct container *container)
{
    return on_bridge(container) && endpoint_kind(container) == NET_ENDPOINT_SOCKET;
}

int container_network_connect(struct container *container, int netns, struct error *err)
{
    struct net_endpoint_spec spec;
    endpoint_spec(container, netns, &spec);
    int r = net_endpoint_create(container->engine->net, &spec, &container->endpoint, err);
    if (r < 0)
        return r;
    {
        ENGINE_STATE(container->engine);
        container->has_endpoint = true;
    }
    r = publish_ports(container, err);
    if (r < 0)
        container_network_detach(container);
    return r;
}

int container_network_attach(struct container *container, struct compute_job *job,
                             struct error *err)
{
    if (string_equal(container->network, "host") || string_equal(container->network, "none"))
        return 0;
    if (!on_bridge(container))
        return error_set_class(err, ERROR_NOT_FOUND,
                               "failed to set up container networking: network %s not found",
                               container->network);
    if (!container->engine->net)
        return error_set_class(err, ERROR_NOT_FOUND,
                               "network bridge not found: the engine was started without a bridge");
    int r = lease_address(container, err);
    if (r < 0)
        return r;
    (void)net_endpoint_names(container->id, endpoint_kind(container), &container->endpoint);
    net_mac_from_address(container->address, container->endpoint.mac);
    {
        ENGINE_STATE(container->engine);
        memcpy(container->mac, container->endpoint.mac, sizeof(container->mac));
    }
    r = fill_interface(container, job, err);
    if (r < 0 || container_network_is_late(container))
        return r;
    return container_network_connect(container, 0, err);
}

void container_network_detach(struct container *container)
{
    if (container->has_endpoint && container->engine->net)
        (void)net_endpoint_delete(container->engine->net, container->id, NULL);
    ENGINE_STATE(container->engine);
    container->has_endpoint = false;
    json_decref(container->ports);
    container->ports = NULL;
}

/* --- files --- */

static int write_file(const struct container *container, const char *name,
                      const struct buffer *text, struct error *err)
{
    CLEANUP_FREE char *path = string_format("%s/%s", container->directory, name);
    if (!path)
        return error_oom(err);
    return engine_write_file(path, text->data, text->length, 0644, err);
}

static int make_hosts(const struct container *container, struct buffer *text, struct error *err)
{
    CLEANUP_STRV char **extra = NULL;
    char address[NET_ADDRESS_TEXT_SIZE];
    char gateway[NET_ADDRESS_TEXT_SIZE] = "";
    int r = json_get_strv(container->host_config, "ExtraHosts", NET_HOSTS_EXTRA_MAX, &extra, err);
    if (r < 0)
        return r;
    net_address_format(container->address, address);
    if (container->engine->net)
        net_address_format(net_subnet(container->engine->net)->gateway, gateway);
    struct net_hosts_config config = {
        .address = on_bridge(container) ? address : NULL,
        .hostname = json_string_value(json_object_get(container->config, "Hostname")),
        .domain = json_string_value(json_object_get(container->config, "Domainname")),
        .extra = extra,
        .gateway = gateway[0] ? gateway : NULL,
    };
    return net_hosts(&config, text, err);
}

static int make_resolv_conf(const struct container *container, struct buffer *text,
                            struct error *err)
{
    CLEANUP_STRV char **servers = NULL;
    CLEANUP_STRV char **search = NULL;
    CLEANUP_STRV char **options = NULL;
    CLEANUP(buffer_release) struct buffer host = BUFFER_INIT(NET_FILES_MAX);
    int r;
    if ((r = json_get_strv(container->host_config, "Dns", DNS_LIST_MAX, &servers, err)) < 0 ||
        (r = json_get_strv(container->host_config, "DnsSearch", DNS_LIST_MAX, &search, err)) < 0 ||
        (r = json_get_strv(container->host_config, "DnsOptions", DNS_LIST_MAX, &options, err)) < 0)
        return r;
    /* A host without the file, or with one that cannot be read, has no nameservers to hand on. */
    (void)file_read(AT_FDCWD, "/etc/resolv.conf", &host, NULL);
    const char *path = net_resolv_conf_path(buffer_string(&host));
    if (!string_equal(path, "/etc/resolv.conf")) {
        buffer_clear(&host);
        (void)file_read(AT_FDCWD, path, &host, NULL);
    }
    struct net_resolv_config config = {.servers = servers, .search = search, .options = options};
    return net_resolv_conf(buffer_string(&host), &config, text, err);
}

int container_network_files(struct container *container, struct error *err)
{
    CLEANUP(buffer_release) struct buffer hosts = BUFFER_INIT(NET_FILES_MAX);
    CLEANUP(buffer_release) struct buffer resolv = BUFFER_INIT(NET_FILES_MAX);
    CLEANUP(buffer_release) struct buffer hostname = BUFFER_INIT(NET_FILES_MAX);
    const char *name = json_string_value(json_object_get(container->config, "Hostname"));
    int r;
    if ((r = make_hosts(container, &hosts, err)) < 0 ||
        (r = write_file(container, "hosts", &hosts, err)) < 0 ||
        (r = make_resolv_conf(container, &resolv, err)) < 0 ||
        (r = write_file(container, "resolv.conf", &resolv, err)) < 0)
        return r;
    if (!string_is_empty(name) && (r = net_hostname(name, &hostname, err)) < 0)
        return r;
    return write_file(container, "hostname", &hostname, err);
}

/* --- after a restart of the engine --- */

struct adoption {
    struct net_adopted *adopted;
    struct net_endpoint_spec *specs;
    size_t n;
};

static void adoption_release(struct adoption *adoption)
{
    for (size_t i = 0; i < adoption->n; i++)
        free((void *)(uintptr_t)adoption->adopted[i].ports);
    free(adoption->adopted);
    free(adoption->specs);
}

int engine_network_adopt(struct engine *engine, struct error *err)
{
    CLEANUP(adoption_release) struct adoption adoption = {0};
    if (!engine->net)
        return 0;
    adoption.adopted = calloc(engine->n_containers + 1, sizeof(*adoption.adopted));
    adoption.specs = calloc(engine->n_containers + 1, sizeof(*adoption.specs));
    if (!adoption.adopted || !adoption.specs)
        return error_oom(err);
    LIST_FOR_EACH (container, &engine->containers, struct container, node) {
        if (!container->worker_pid || !container->has_endpoint)
            continue;
        struct net_port *ports = NULL;
        size_t n_ports = 0;
        int r = engine_ports_from_json(container->ports, &ports, &n_ports, err);
        if (r < 0)
            return r;
        endpoint_spec(container, 0, &adoption.specs[adoption.n]);
        adoption.adopted[adoption.n] = (struct net_adopted){
            .spec = &adoption.specs[adoption.n], .ports = ports, .n_ports = n_ports};
        adoption.n++;
        net_mac_from_address(container->address, container->mac);
        (void)net_endpoint_names(container->id, endpoint_kind(container), &container->endpoint);
        memcpy(container->endpoint.mac, container->mac, sizeof(container->mac));
    }
    return net_adopt(engine->net, adoption.adopted, adoption.n, NULL, err);
}

/* --- inspect --- */

json_t *container_network_settings(const struct container *container)
{
    bool up = container->has_endpoint && container_is_running(container);
    const struct net_subnet *subnet =
        container->engine->net ? net_subnet(container->engine->net) : NULL;
    char address[NET_ADDRESS_TEXT_SIZE] = "";
    char gateway[NET_ADDRESS_TEXT_SIZE] = "";
    char mac[MAC_TEXT_SIZE] = "";
    if (up && subnet) {
        net_address_format(container->address, address);
        net_address_format(subnet->gateway, gateway);
        mac_format(container->mac, mac);
    }
    CLEANUP_FREE char *network_id = engine_network_id(container->engine, container->network);
    CLEANUP_FREE char *sandbox_key = NULL;
    if (up && container->isolation == COMPUTE_PROCESS)
        sandbox_key = string_format("/proc/%d/ns/net", (int)container->pid);
    if (!network_id)
        return NULL;
    json_t *ports = container->ports && up ? json_incref(container->ports) : json_object();
    int prefix = up && subnet ? (int)subnet->prefix : 0;
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:s, s:i, s:o, s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:s, s:n, s:n, "
        "s:{s:{s:n, s:n, s:n, s:s, s:n, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:n, s:i}}}",
        "Bridge", "", "SandboxID", up ? container->id : "", "SandboxKey",
        string_or(sandbox_key, ""), "HairpinMode", 0, "LinkLocalIPv6Address", "",
        "LinkLocalIPv6PrefixLen", 0, "Ports", ports, "EndpointID", up ? container->id : "",
        "Gateway", gateway, "GlobalIPv6Address", "", "IPv6Gateway", "", "GlobalIPv6PrefixLen", 0,
        "IPAddress", address, "IPPrefixLen", prefix, "MacAddress", mac, "SecondaryIPAddresses",
        "SecondaryIPv6Addresses", "Networks", container->network, "IPAMConfig", "Links", "Aliases",
        "MacAddress", mac, "DriverOpts", "NetworkID", network_id, "EndpointID",
        up ? container->id : "", "Gateway", gateway, "IPAddress", address, "IPPrefixLen", prefix,
        "IPv6Gateway", "", "GlobalIPv6Address", "", "GlobalIPv6PrefixLen", 0, "DNSNames",
        "GwPriority", 0);
}
