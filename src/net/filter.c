#include "net/filter.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/netlink-address.h"
#include "base/process.h"
#include "base/strings.h"
#include "net/elements.h"
#include "net/state.h"
#include <arpa/inet.h>
#include <linux/netfilter.h>

enum {
    PROGRAM_MAX = 16 * 1024 * 1024, /* nft program: 4096 ports of 1000 endpoints fit */
    OUTPUT_MAX = 1024 * 1024,       /* of `nft list` */
    NFT_TIMEOUT_MS = 30 * 1000,
    HANDLES_MAX = 64, /* rules of ours in a foreign chain; two are normal */
};

static char *nft_path(void)
{
    static char fixed[] = "/usr/sbin/nft";
    static char searched[] = "nft";

    return access(fixed, X_OK) == 0 ? fixed : searched;
}

static int nft_run(const char *program, struct error *err)
{
    char file_flag[] = "-f";
    char from_stdin[] = "-";
    char *argv[] = {nft_path(), file_flag, from_stdin, NULL};

    return process_run(argv, program, NULL, NFT_TIMEOUT_MS, err);
}

/* Runs the program that was collected, unless appending to it failed with `r`. */
static int run_program(const struct buffer *program, int r, struct error *err)
{
    if (r < 0)
        return error_set_errno(err, r, "cannot compose the packet filter");
    if (program->length == 0)
        return 0;
    return nft_run(buffer_string(program), err);
}

/* --- elements of a program --- */

static int put_peer(struct buffer *program, const struct net *net, const struct net_record *record)
{
    if (record->names.kind != NET_ENDPOINT_SOCKET)
        return 0;
    return buffer_printf(program, "add element ip %s peers { \"%s\" }\n", net->table,
                         record->names.guest);
}

static int put_guard(struct buffer *program, const struct net *net, const struct net_record *record)
{
    return buffer_printf(program, "add element bridge %s ports { \"%s\" }\n", net->table,
                         record->names.host);
}

static int put_source(struct buffer *program, const struct net *net,
                      const struct net_record *record)
{
    char address[NET_ADDRESS_TEXT_SIZE];
    char mac[NETLINK_MAC_TEXT_SIZE];

    net_address_format(record->address, address);
    netlink_mac_format(record->names.mac, mac);
    return buffer_printf(program, "add element bridge %s sources { \"%s\" . %s . %s }\n",
                         net->table, record->names.host, mac, address);
}

static int put_port(struct buffer *program, const struct net *net, const struct net_record *record,
                    const struct net_port *port)
{
    const char *protocol = net_protocol_to_string(port->protocol);
    char host[NET_ADDRESS_TEXT_SIZE];
    char address[NET_ADDRESS_TEXT_SIZE];

    net_address_format(port->host_address, host);
    net_address_format(record->address, address);
    if (port->host_address == 0)
        return buffer_printf(program, "add element ip %s ports_any { %s . %u : %s . %u }\n",
                             net->table, protocol, port->host_port, address, port->container_port);
    return buffer_printf(program, "add element ip %s ports_address { %s . %s . %u : %s . %u }\n",
                         net->table, host, protocol, port->host_port, address,
                         port->container_port);
}

static int put_ports(struct buffer *program, const struct net *net, const struct net_record *record)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < record->n_ports; i++)
        r = put_port(program, net, record, &record->ports[i]);
    return r;
}

/* --- tables --- */

/* The first line makes the second succeed; with the rest they are one transaction. */
static int put_table_start(struct buffer *program, const char *family, const char *table)
{
    return buffer_printf(program, "add table %s %s\ndelete table %s %s\ntable %s %s {\n", family,
                         table, family, table, family, table);
}

static int put_ip_nat(struct buffer *program, const struct net *net)
{
    char network[NET_SUBNET_TEXT_SIZE];
    int r;

    net_subnet_format(&net->subnet, network);
    r = buffer_append_string(
        program, "map ports_any { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
                 "map ports_address {"
                 " type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
                 "chain published {\n"
                 " dnat ip to ip daddr . meta l4proto . th dport map @ports_address\n"
                 " dnat ip to meta l4proto . th dport map @ports_any\n"
                 "}\n"
                 "chain prerouting { type nat hook prerouting priority -100; policy accept;\n"
                 " meta l4proto { tcp, udp, sctp } fib daddr type local jump published\n"
                 "}\n"
                 "chain output { type nat hook output priority -100; policy accept;\n"
                 " meta l4proto { tcp, udp, sctp } fib daddr type local jump published\n"
                 "}\n"
                 "chain postrouting { type nat hook postrouting priority 100; policy accept;\n");
    if (r == 0 && net->masquerade)
        r = buffer_printf(program, " ip saddr %s oifname != \"%s\" masquerade\n", network,
                          net->bridge);
    if (r == 0)
        r = buffer_printf(program,
                          " ip saddr %s oifname \"%s\" ct status dnat masquerade\n"
                          " ip saddr 127.0.0.0/8 oifname \"%s\" masquerade\n"
                          "}\n",
                          network, net->bridge, net->bridge);
    return r;
}

static int put_ip_filter(struct buffer *program, const struct net *net)
{
    const char *bridge = net->bridge;

    return buffer_printf(program,
                         "set peers { type ifname; }\n"
                         "chain raw { type filter hook prerouting priority -300; policy accept;\n"
                         " iifname @peers drop\n"
                         " iifname \"%s\" ip daddr 127.0.0.0/8 drop\n"
                         " iifname \"%s\" ip saddr 127.0.0.0/8 drop\n"
                         "}\n"
                         "chain forward { type filter hook forward priority 0; policy accept;\n"
                         " iifname \"%s\" oifname \"%s\" accept\n"
                         " oifname \"%s\" ct state established,related accept\n"
                         " oifname \"%s\" ct status dnat accept\n"
                         " oifname \"%s\" drop\n"
                         " iifname \"%s\" accept\n"
                         "}\n",
                         bridge, bridge, bridge, bridge, bridge, bridge, bridge, bridge);
}

static int write_ip_table(struct net *net, struct error *err)
{
    CLEANUP(buffer_release) struct buffer program = BUFFER_INIT(PROGRAM_MAX);
    int r = put_table_start(&program, "ip", net->table);

    if (r == 0)
        r = put_ip_nat(&program, net);
    if (r == 0)
        r = put_ip_filter(&program, net);
    if (r == 0)
        r = buffer_append_string(&program, "}\n");
    LIST_FOR_EACH (record, &net->records, struct net_record, node) {
        if (r == 0)
            r = put_peer(&program, net, record);
        if (r == 0)
            r = put_ports(&program, net, record);
    }
    LIST_FOR_EACH (record, &net->retired, struct net_record, node) {
        if (r == 0)
            r = put_peer(&program, net, record);
    }
    r = run_program(&program, r, err);
    return r < 0 ? error_wrap(err, r, "packet filter of %s", net->bridge) : 0;
}

/* ARP names the sender twice, in the frame and in the message: both must be the port's own. */
static int write_bridge_table(struct net *net, struct error *err)
{
    CLEANUP(buffer_release) struct buffer program = BUFFER_INIT(PROGRAM_MAX);
    int r = put_table_start(&program, "bridge", net->table);

    if (r == 0)
        r = buffer_append_string(
            &program,
            "set ports { type ifname; }\n"
            "set sources { type ifname . ether_addr . ipv4_addr; }\n"
            "chain prerouting { type filter hook prerouting priority -300; policy accept;\n"
            " iifname != @ports accept\n"
            " ether type ip iifname . ether saddr . ip saddr @sources accept\n"
            " ether type arp iifname . ether saddr . arp saddr ip @sources"
            " iifname . arp saddr ether . arp saddr ip @sources accept\n"
            " drop\n"
            "}\n");
    if (r == 0 && !net->inter_container)
        r = buffer_append_string(
            &program, "chain forward { type filter hook forward priority -200; policy accept;\n"
                      " iifname @ports oifname @ports drop\n"
                      "}\n");
    if (r == 0)
        r = buffer_append_string(&program, "}\n");
    LIST_FOR_EACH (record, &net->records, struct net_record, node) {
        if (r == 0)
            r = put_guard(&program, net, record);
        if (r == 0)
            r = put_source(&program, net, record);
    }
    LIST_FOR_EACH (record, &net->retired, struct net_record, node) {
        if (r == 0)
            r = put_guard(&program, net, record);
    }
    return run_program(&program, r, err);
}

/* --- iptables' forward chain --- */

/* `nft -j -a list chain ip filter FORWARD`; a chain that does not exist is an empty document. */
static int list_foreign(json_t **ret)
{
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(OUTPUT_MAX);
    char words[][8] = {"-j", "-a", "list", "chain", "ip", "filter", "FORWARD"};
    char *argv[] = {nft_path(), words[0], words[1], words[2], words[3],
                    words[4],   words[5], words[6], NULL};
    json_t *document = NULL;

    if (process_run(argv, NULL, &output, NFT_TIMEOUT_MS, NULL) < 0 ||
        json_parse(output.data, output.length, &document, NULL) < 0)
        document = json_object();
    if (!document)
        return -ENOMEM;
    *ret = document;
    return 0;
}

/* What matters of it: whether the policy is drop, and the handles of our rules. */
struct foreign {
    bool drops;
    json_int_t handles[HANDLES_MAX];
    size_t n_handles;
};

static void read_foreign(const json_t *document, const char *comment, struct foreign *ret)
{
    const json_t *items = json_object_get(document, "nftables");

    *ret = (struct foreign){0};
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        const json_t *rule = json_object_get(item, "rule");
        const char *policy =
            json_string_value(json_object_get(json_object_get(item, "chain"), "policy"));

        if (string_equal(policy, "drop"))
            ret->drops = true;
        if (rule && ret->n_handles < HANDLES_MAX &&
            string_equal(json_string_value(json_object_get(rule, "comment")), comment))
            ret->handles[ret->n_handles++] = json_integer_value(json_object_get(rule, "handle"));
    }
}

static int open_foreign(struct net *net, struct error *err)
{
    CLEANUP(buffer_release) struct buffer program = BUFFER_INIT(PROGRAM_MAX);
    CLEANUP_JSON json_t *document = NULL;
    struct foreign foreign;
    int r = list_foreign(&document);

    if (r < 0)
        return error_oom(err);
    read_foreign(document, net->table, &foreign);
    if (!foreign.drops || foreign.n_handles >= 2)
        return 0;
    r = buffer_printf(&program,
                      "insert rule ip filter FORWARD iifname \"%s\" accept comment \"%s\"\n"
                      "insert rule ip filter FORWARD oifname \"%s\" accept comment \"%s\"\n",
                      net->bridge, net->table, net->bridge, net->table);
    return run_program(&program, r, err);
}

static int close_foreign(struct net *net, struct error *err)
{
    CLEANUP(buffer_release) struct buffer program = BUFFER_INIT(PROGRAM_MAX);
    CLEANUP_JSON json_t *document = NULL;
    struct foreign foreign;
    int r = list_foreign(&document);

    if (r < 0)
        return error_oom(err);
    read_foreign(document, net->table, &foreign);
    for (size_t i = 0; r == 0 && i < foreign.n_handles; i++)
        r = buffer_printf(&program, "delete rule ip filter FORWARD handle %lld\n",
                          (long long)foreign.handles[i]);
    return run_program(&program, r, err);
}

/* --- all --- */

int filter_open(struct net *net, struct error *err)
{
    struct error why = ERROR_INIT;
    int r;

    if (!net->filter)
        return 0;
    r = write_ip_table(net, err);
    if (r < 0)
        return r;
    net->guard = write_bridge_table(net, &why) == 0;
    /* Containers that were to be kept apart must not be joined in silence. */
    if (!net->guard && !net->inter_container) {
        r = error_copy(err, &why);
        return error_wrap(err, r, "--icc=false needs nftables' bridge family");
    }
    free(net->warning);
    net->warning = net->guard ? NULL
                              : string_format("containers can forge each other's addresses: no "
                                              "bridge family in nftables: %s",
                                              why.message);
    return open_foreign(net, err);
}

int filter_close(struct net *net, struct error *err)
{
    CLEANUP(buffer_release) struct buffer program = BUFFER_INIT(PROGRAM_MAX);
    int r;

    if (!net->filter)
        return 0;
    r = buffer_printf(&program, "add table ip %s\ndelete table ip %s\n", net->table, net->table);
    if (r == 0 && net->guard)
        r = buffer_printf(&program, "add table bridge %s\ndelete table bridge %s\n", net->table,
                          net->table);
    r = run_program(&program, r, err);
    return r < 0 ? r : close_foreign(net, err);
}

/* --- changes --- */

/* The fields of keys and data are those of the types in the tables above. */

static int change_peer(struct net *net, const struct net_record *record, enum elements_verb verb)
{
    struct elements_set set = {NFPROTO_IPV4, net->table, "peers"};
    struct elements_value key = {0};

    if (!net->filter || record->names.kind != NET_ENDPOINT_SOCKET)
        return 0;
    elements_field_name(&key, record->names.guest);
    return elements_put(net->elements, verb, &set, &key, NULL);
}

static int change_guard(struct net *net, const struct net_record *record, enum elements_verb verb)
{
    struct elements_set set = {NFPROTO_BRIDGE, net->table, "ports"};
    struct elements_value key = {0};

    if (!net->guard)
        return 0;
    elements_field_name(&key, record->names.host);
    return elements_put(net->elements, verb, &set, &key, NULL);
}

static int change_source(struct net *net, const struct net_record *record, enum elements_verb verb)
{
    struct elements_set set = {NFPROTO_BRIDGE, net->table, "sources"};
    struct elements_value key = {0};
    uint32_t address = htonl(record->address);

    if (!net->guard)
        return 0;
    elements_field_name(&key, record->names.host);
    elements_field(&key, record->names.mac, sizeof(record->names.mac));
    elements_field(&key, &address, sizeof(address));
    return elements_put(net->elements, verb, &set, &key, NULL);
}

static int change_port(struct net *net, const struct net_record *record,
                       const struct net_port *port, enum elements_verb verb)
{
    struct elements_set set = {NFPROTO_IPV4, net->table,
                               port->host_address == 0 ? "ports_any" : "ports_address"};
    struct elements_value key = {0};
    struct elements_value data = {0};
    uint32_t host = htonl(port->host_address);
    uint32_t address = htonl(record->address);
    uint8_t protocol = (uint8_t)net_protocol_to_number(port->protocol);
    uint16_t host_port = htons(port->host_port);
    uint16_t container_port = htons(port->container_port);

    if (port->host_address != 0)
        elements_field(&key, &host, sizeof(host));
    elements_field(&key, &protocol, sizeof(protocol));
    elements_field(&key, &host_port, sizeof(host_port));
    elements_field(&data, &address, sizeof(address));
    elements_field(&data, &container_port, sizeof(container_port));
    return elements_put(net->elements, verb, &set, &key, verb == ELEMENTS_ADD ? &data : NULL);
}

static int change_ports(struct net *net, const struct net_record *record, enum elements_verb verb)
{
    int r = 0;

    for (size_t i = 0; net->filter && r == 0 && i < record->n_ports; i++)
        r = change_port(net, record, &record->ports[i], verb);
    return r;
}

static void start(struct net *net)
{
    if (net->elements)
        elements_start(net->elements);
}

/* Sends what was collected, unless that failed with `r`. */
static int commit(struct net *net, int r)
{
    return r < 0 || !net->elements ? r : elements_commit(net->elements, NULL);
}

/* An element cannot be added or deleted where somebody else has deleted our table (`nft flush
 * ruleset`) or changed it: whatever the failure, the tables are written anew from the records, as
 * they are to be. */
static int rewrite(struct net *net, struct error *err)
{
    return filter_open(net, err);
}

int filter_add_endpoint(struct net *net, const struct net_record *record, struct error *err)
{
    int r;

    start(net);
    r = change_peer(net, record, ELEMENTS_ADD);
    if (r == 0)
        r = change_guard(net, record, ELEMENTS_ADD);
    if (r == 0)
        r = change_source(net, record, ELEMENTS_ADD);
    return commit(net, r) < 0 ? rewrite(net, err) : 0;
}

int filter_remove_endpoint(struct net *net, struct net_record *record, struct error *err)
{
    int r;

    start(net);
    r = change_ports(net, record, ELEMENTS_DELETE);
    if (r == 0)
        r = change_peer(net, record, ELEMENTS_DELETE);
    if (r == 0)
        r = change_source(net, record, ELEMENTS_DELETE);
    if (r == 0)
        r = change_guard(net, record, ELEMENTS_DELETE);
    if (commit(net, r) == 0)
        return 0;
    list_remove(&record->node);
    r = rewrite(net, err);
    list_append(&net->records, &record->node);
    return r;
}

int filter_silence(struct net *net, struct net_record *record, struct error *err)
{
    size_t n_ports = record->n_ports;
    int r;

    start(net);
    r = change_ports(net, record, ELEMENTS_DELETE);
    if (r == 0)
        r = change_source(net, record, ELEMENTS_DELETE);
    if (commit(net, r) == 0)
        return 0;
    list_remove(&record->node);
    list_append(&net->retired, &record->node);
    record->n_ports = 0;
    r = rewrite(net, err);
    record->n_ports = n_ports;
    list_remove(&record->node);
    list_append(&net->records, &record->node);
    return r;
}

int filter_remove_retired(struct net *net, struct net_record *record, struct error *err)
{
    int r;

    start(net);
    r = change_peer(net, record, ELEMENTS_DELETE);
    if (r == 0)
        r = change_guard(net, record, ELEMENTS_DELETE);
    if (commit(net, r) == 0)
        return 0;
    list_remove(&record->node);
    r = rewrite(net, err);
    list_append(&net->retired, &record->node);
    return r;
}

int filter_add_ports(struct net *net, const struct net_record *record, struct error *err)
{
    start(net);
    return commit(net, change_ports(net, record, ELEMENTS_ADD)) < 0 ? rewrite(net, err) : 0;
}

int filter_remove_ports(struct net *net, struct net_record *record, struct error *err)
{
    size_t n_ports = record->n_ports;
    int r;

    start(net);
    if (commit(net, change_ports(net, record, ELEMENTS_DELETE)) == 0)
        return 0;
    record->n_ports = 0;
    r = rewrite(net, err);
    record->n_ports = n_ports;
    return r;
}
