#include "net/publish.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "net/filter.h"
#include "net/state.h"
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>

enum {
    LOCAL_RANGE_TEXT_MAX = 64,
    LOCAL_PORT_FIRST = 49152, /* RFC 6335 dynamic ports, where the kernel does not say */
    LOCAL_PORT_LAST = 65535,
};

static const struct {
    const char *name;
    int type;
    int number;
} protocols[] = {
    [NET_PROTOCOL_TCP] = {"tcp", SOCK_STREAM, IPPROTO_TCP},
    [NET_PROTOCOL_UDP] = {"udp", SOCK_DGRAM, IPPROTO_UDP},
    [NET_PROTOCOL_SCTP] = {"sctp", SOCK_STREAM, IPPROTO_SCTP},
};

static_assert(sizeof(protocols) / sizeof(*protocols) == NET_PROTOCOL_MAX, "a row per protocol");

const char *net_protocol_to_string(enum net_protocol protocol)
{
    return protocols[protocol].name;
}

int net_protocol_to_number(enum net_protocol protocol)
{
    return protocols[protocol].number;
}

int net_protocol_from_string(const char *text)
{
    for (int i = 0; i < NET_PROTOCOL_MAX; i++) {
        if (string_equal(text, protocols[i].name))
            return i;
    }
    return -EINVAL;
}

/* --- reservation --- */

/* True when one of the record's ports meets this one: same protocol and number, and addresses of
 * which one includes the other. */
static bool record_has(const struct net_record *record, const struct net_port *wanted,
                       unsigned number)
{
    for (size_t i = 0; i < record->n_ports; i++) {
        const struct net_port *port = &record->ports[i];

        if (port->protocol == wanted->protocol && port->host_port == number &&
            (port->host_address == wanted->host_address || port->host_address == 0 ||
             wanted->host_address == 0))
            return true;
    }
    return false;
}

static bool is_published(struct net *net, const struct net_port *wanted, unsigned number)
{
    LIST_FOR_EACH (record, &net->records, struct net_record, node) {
        if (record_has(record, wanted, number))
            return true;
    }
    return false;
}

/* A socket that keeps the port from other programs; -EPROTONOSUPPORT where the kernel has no SCTP.
 * A TCP one listens: a port that is only bound with SO_REUSEADDR could be bound again. Without that
 * option connections of the past (TIME_WAIT) would be in the way. */
static int reserve(enum net_protocol protocol, uint32_t address, unsigned number)
{
    CLEANUP_CLOSE int fd = -EBADF;
    struct sockaddr_in name = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)number),
        .sin_addr.s_addr = htonl(address),
    };
    bool stream = protocols[protocol].type == SOCK_STREAM;
    int on = 1;

    fd = socket(AF_INET, protocols[protocol].type | SOCK_CLOEXEC, protocols[protocol].number);
    if (fd < 0)
        return -errno;
    if (stream && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
        return -errno;
    if (stream && listen(fd, 1) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void local_port_range(unsigned *ret_first, unsigned *ret_last)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(LOCAL_RANGE_TEXT_MAX);
    unsigned long first;
    unsigned long last;
    char *end = NULL;

    *ret_first = LOCAL_PORT_FIRST;
    *ret_last = LOCAL_PORT_LAST;
    if (file_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", &text, NULL) < 0)
        return;
    first = strtoul(buffer_string(&text), &end, 10);
    last = strtoul(end, NULL, 10);
    if (first > 0 && first <= last && last <= LOCAL_PORT_LAST) {
        *ret_first = (unsigned)first;
        *ret_last = (unsigned)last;
    }
}

/* The error of a single port, in docker's words. */
static int port_error(const struct net_record *record, const struct net_port *port, int r,
                      struct error *err)
{
    char host[NET_ADDRESS_TEXT_SIZE];
    char target[NET_ADDRESS_TEXT_SIZE];

    net_address_format(port->host_address, host);
    net_address_format(record->address, target);
    if (r == -EEXIST)
        return error_set(err, -EADDRINUSE, "Bind for %s:%u failed: port is already allocated", host,
                         port->host_port);
    return error_set(err, r, "failed to bind host port for %s:%u:%s:%u/%s: %s", host,
                     port->host_port, target, port->container_port,
                     net_protocol_to_string(port->protocol),
                     r == -EADDRINUSE ? "address already in use" : strerror(-r));
}

struct choice {
    unsigned first;
    unsigned last;
    unsigned start; /* where to begin; goes round */
};

/* Tries the ports of `choice`. Writes the number and returns a descriptor, or the errno of the last
 * failure: -EEXIST when hull itself has published the port. */
static int choose_port(struct net *net, const struct net_port *wanted, const struct choice *choice,
                       unsigned *ret_number)
{
    unsigned count = choice->last - choice->first + 1;
    int r = -EEXIST;

    for (unsigned i = 0; i < count; i++) {
        unsigned number = choice->first + (choice->start - choice->first + i) % count;

        r = is_published(net, wanted, number)
                ? -EEXIST
                : reserve(wanted->protocol, wanted->host_address, number);
        if (r >= 0 || r == -EPROTONOSUPPORT) {
            *ret_number = number;
            return r;
        }
        if (r != -EEXIST && r != -EADDRINUSE && r != -EACCES)
            return r;
    }
    return r;
}

static int reserve_port(struct net *net, struct net_record *record, struct net_port *port,
                        bool force, int *ret_fd, struct error *err)
{
    struct choice choice = {.first = port->host_port, .last = port->host_port};
    bool any = port->host_port == 0;
    unsigned number = port->host_port;
    int fd;

    if (any)
        local_port_range(&choice.first, &choice.last);
    else if (port->host_port_end > port->host_port)
        choice.last = port->host_port_end;
    choice.start = choice.first;
    if (any && net->last_port >= choice.first && net->last_port < choice.last)
        choice.start = net->last_port + 1;
    fd = choose_port(net, port, &choice, &number);
    if (fd < 0 && fd != -EPROTONOSUPPORT) {
        if (fd == -EEXIST || !force) {
            if (choice.first != choice.last && (fd == -EEXIST || fd == -EADDRINUSE))
                return error_set(err, -EADDRINUSE, "all ports are allocated");
            return port_error(record, port, fd, err);
        }
    }
    if (any)
        net->last_port = number;
    port->host_port = (uint16_t)number;
    port->host_port_end = 0;
    *ret_fd = fd >= 0 ? fd : -EBADF;
    return 0;
}

static int check_ports(const struct net_port *ports, size_t n, struct error *err)
{
    if (n > NET_PORTS_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d published ports",
                               (int)NET_PORTS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (ports[i].protocol < 0 || ports[i].protocol >= NET_PROTOCOL_MAX ||
            ports[i].container_port == 0 ||
            (ports[i].host_port_end != 0 && ports[i].host_port_end < ports[i].host_port))
            return error_set_class(err, ERROR_INVALID, "invalid port specification: %u-%u:%u",
                                   ports[i].host_port, ports[i].host_port_end,
                                   ports[i].container_port);
    }
    return 0;
}

int net_ports_reserve(struct net *net, struct net_record *record, struct net_port *ports, size_t n,
                      bool force, struct error *err)
{
    int r = check_ports(ports, n, err);

    if (r < 0)
        return r;
    if (record->n_ports > 0)
        return error_set_class(err, ERROR_CONFLICT, "ports of endpoint %.12s are published already",
                               record->id);
    if (n == 0)
        return 0;
    record->ports = calloc(n, sizeof(*record->ports));
    record->reservations = calloc(n, sizeof(*record->reservations));
    if (!record->ports || !record->reservations) {
        net_ports_release(record);
        return error_oom(err);
    }
    for (size_t i = 0; i < n; i++) {
        struct net_port port = ports[i];

        r = reserve_port(net, record, &port, force, &record->reservations[i], err);
        if (r < 0) {
            net_ports_release(record);
            return r;
        }
        record->ports[i] = port;
        record->n_ports = i + 1;
    }
    memcpy(ports, record->ports, n * sizeof(*ports));
    return 0;
}

void net_ports_release(struct net_record *record)
{
    for (size_t i = 0; i < record->n_ports; i++)
        fd_close(record->reservations[i]);
    record->n_ports = 0;
    free(TAKE_PTR(record->ports));
    free(TAKE_PTR(record->reservations));
}

/* --- publishing --- */

int net_publish(struct net *net, const char *endpoint_id, struct net_port *ports, size_t n,
                struct error *err)
{
    CLEANUP(net_unlock) struct net *locked = net_lock(net);
    struct net_record *record = net_find(locked, endpoint_id);
    CLEANUP_FREE struct net_port *chosen = NULL;
    int r;

    if (!record)
        return error_set_class(err, ERROR_NOT_FOUND, "network endpoint %.12s not found",
                               endpoint_id);
    if (n == 0)
        return 0;
    chosen = calloc(n, sizeof(*chosen));
    if (!chosen)
        return error_oom(err);
    memcpy(chosen, ports, n * sizeof(*ports));
    r = net_ports_reserve(net, record, chosen, n, false, err);
    if (r < 0)
        return r;
    r = filter_add_ports(net, record, err);
    if (r < 0) {
        net_ports_release(record);
        return error_wrap(err, r, "cannot publish ports");
    }
    memcpy(ports, chosen, n * sizeof(*ports));
    return 0;
}

int net_unpublish(struct net *net, const char *endpoint_id, struct error *err)
{
    CLEANUP(net_unlock) struct net *locked = net_lock(net);
    struct net_record *record = net_find(locked, endpoint_id);
    int r;

    if (!record || record->n_ports == 0)
        return 0;
    r = filter_remove_ports(net, record, err);
    if (r < 0)
        return error_wrap(err, r, "cannot withdraw published ports");
    net_ports_release(record);
    return 0;
}
