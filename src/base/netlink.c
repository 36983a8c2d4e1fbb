#include "base/netlink.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include <arpa/inet.h>
#include <assert.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>

enum {
    REQUEST_MAX = 1024, /* the largest request, a veth pair with all attributes, has 200 bytes */
    DUMP_ATTEMPTS_MAX = 16, /* a listing that was changed while it was read is read again */
    ATTRIBUTE_MAX = 64,     /* highest attribute type that is looked at */
};

struct netlink {
    int fd;
    uint32_t sequence;
    bool interrupted; /* the last dump was not consistent (NLM_F_DUMP_INTR) */
    char reply[NETLINK_REPLY_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
};

struct request {
    struct nlmsghdr header;
    char body[REQUEST_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static_assert(offsetof(struct request, body) == NLMSG_HDRLEN, "the body follows the header");

typedef int reply_fn(struct nlmsghdr *header, void *data);

/* --- building requests --- */

/* Space for `length` bytes at the end of the request. The callers' attributes are of bounded size
 * (names are checked), so that running out of space is a mistake in this file. */
static void *request_reserve(struct request *request, size_t length)
{
    size_t start = NLMSG_ALIGN(request->header.nlmsg_len);
    size_t end = start + NLMSG_ALIGN(length);

    if (end > sizeof(*request))
        abort();
    request->header.nlmsg_len = (uint32_t)end;
    return (char *)request + start;
}

static void *request_start(struct request *request, uint16_t type, uint16_t flags, size_t length)
{
    *request = (struct request){
        .header = {.nlmsg_len = NLMSG_HDRLEN,
                   .nlmsg_type = type,
                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
    };
    return request_reserve(request, length);
}

static void request_put(struct request *request, uint16_t type, const void *data, size_t length)
{
    struct rtattr *attribute = request_reserve(request, RTA_LENGTH(length));

    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(length);
    if (length > 0)
        memcpy(RTA_DATA(attribute), data, length);
}

static void request_put_string(struct request *request, uint16_t type, const char *text)
{
    request_put(request, type, text, strlen(text) + 1);
}

static void request_put_u32(struct request *request, uint16_t type, uint32_t value)
{
    request_put(request, type, &value, sizeof(value));
}

static size_t request_nest(struct request *request, uint16_t type)
{
    size_t start = NLMSG_ALIGN(request->header.nlmsg_len);

    request_put(request, type, NULL, 0);
    return start;
}

static void request_unnest(struct request *request, size_t start)
{
    struct rtattr *attribute = (struct rtattr *)(void *)((char *)request + start);

    attribute->rta_len = (uint16_t)(request->header.nlmsg_len - start);
}

/* --- talking --- */

/* Collects the attributes at `data` by type; unknown ones are passed over. */
static void parse_attributes(void *data, size_t length, struct rtattr *ret[ATTRIBUTE_MAX + 1])
{
    struct rtattr *attribute = data;

    memset(ret, 0, (ATTRIBUTE_MAX + 1) * sizeof(*ret));
    for (; RTA_OK(attribute, length); attribute = RTA_NEXT(attribute, length)) {
        unsigned type = attribute->rta_type & NLA_TYPE_MASK;

        if (type <= ATTRIBUTE_MAX)
            ret[type] = attribute;
    }
}

static void attribute_to_string(struct rtattr *attribute, char *ret, size_t size)
{
    size_t length = RTA_PAYLOAD(attribute);

    if (length >= size)
        length = size - 1;
    memcpy(ret, RTA_DATA(attribute), length);
    ret[length] = '\0';
}

static uint32_t attribute_to_u32(struct rtattr *attribute)
{
    uint32_t value = 0;

    if (attribute && RTA_PAYLOAD(attribute) >= sizeof(value))
        memcpy(&value, RTA_DATA(attribute), sizeof(value));
    return value;
}

/* The text of an extended acknowledgement (NLMSGERR_ATTR_MSG), "" if there is none. */
static void extack_text(struct nlmsghdr *header, char *ret, size_t size)
{
    struct nlmsgerr *answer = NLMSG_DATA(header);
    struct rtattr *attributes[ATTRIBUTE_MAX + 1];
    size_t offset = sizeof(*answer);

    ret[0] = '\0';
    if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
        return;
    if (!(header->nlmsg_flags & NLM_F_CAPPED)) {
        if (answer->msg.nlmsg_len < sizeof(answer->msg))
            return;
        offset += NLMSG_ALIGN(answer->msg.nlmsg_len - sizeof(answer->msg));
    }
    if (NLMSG_PAYLOAD(header, 0) <= offset)
        return;
    parse_attributes((char *)answer + offset, NLMSG_PAYLOAD(header, 0) - offset, attributes);
    if (attributes[NLMSGERR_ATTR_MSG])
        attribute_to_string(attributes[NLMSGERR_ATTR_MSG], ret, size);
}

static int netlink_send(struct netlink *netlink, struct request *request, struct error *err)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n;

    request->header.nlmsg_seq = ++netlink->sequence;
    do
        n = sendto(netlink->fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel,
                   sizeof(kernel));
    while (n < 0 && errno == EINTR);
    return n < 0 ? error_set_errno(err, -errno, "cannot send an rtnetlink request") : 0;
}

/* One datagram into netlink->reply; datagrams from anybody but the kernel are thrown away. */
static int netlink_receive(struct netlink *netlink, size_t *ret, struct error *err)
{
    for (;;) {
        struct sockaddr_nl from = {0};
        socklen_t from_length = sizeof(from);
        ssize_t n = recvfrom(netlink->fd, netlink->reply, sizeof(netlink->reply), MSG_TRUNC,
                             (struct sockaddr *)&from, &from_length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set_errno(err, -errno, "cannot receive an rtnetlink answer");
        if (from_length != sizeof(from) || from.nl_pid != 0)
            continue;
        if ((size_t)n > sizeof(netlink->reply))
            return error_set(err, -EMSGSIZE, "an rtnetlink answer of %zd bytes is too long", n);
        *ret = (size_t)n;
        return 0;
    }
}

/* Looks at one message: 1: that was the last one; 0: more to come; negative: failure. */
static int netlink_take(struct netlink *netlink, struct nlmsghdr *header, reply_fn *reply,
                        void *data, struct error *err)
{
    struct nlmsgerr *answer = NLMSG_DATA(header);
    char text[256];

    if (header->nlmsg_seq != netlink->sequence)
        return 0;
    if (header->nlmsg_flags & NLM_F_DUMP_INTR)
        netlink->interrupted = true;
    if (header->nlmsg_type == NLMSG_DONE)
        return 1;
    if (header->nlmsg_type != NLMSG_ERROR) {
        int r = reply ? reply(header, data) : 0;

        return r < 0 ? error_set_errno(err, r, "rtnetlink answer") : 0;
    }
    if (NLMSG_PAYLOAD(header, 0) < sizeof(*answer))
        return error_set(err, -EBADMSG, "an rtnetlink answer is too short");
    if (answer->error == 0)
        return 1;
    extack_text(header, text, sizeof(text));
    if (!text[0])
        return error_set(err, answer->error, "%s", strerror(-answer->error));
    return error_set(err, answer->error, "%s (%s)", strerror(-answer->error), text);
}

/* Sends a request and hands each message of the answer to reply(), until the kernel says that it
 * was all. Errors hold the kernel's words only: the caller wraps them. */
static int netlink_call(struct netlink *netlink, struct request *request, reply_fn *reply,
                        void *data, struct error *err)
{
    int r;

    netlink->interrupted = false;
    r = netlink_send(netlink, request, err);
    while (r == 0) {
        struct nlmsghdr *header = (struct nlmsghdr *)(void *)netlink->reply;
        size_t length = 0;

        r = netlink_receive(netlink, &length, err);
        for (; r == 0 && NLMSG_OK(header, length); header = NLMSG_NEXT(header, length))
            r = netlink_take(netlink, header, reply, data, err);
    }
    return r < 0 ? r : 0;
}

/* --- socket --- */

/* A socket in another network namespace is made by going there and coming back. */
static int socket_in_netns(int netns_fd, struct error *err)
{
    CLEANUP_CLOSE int home = -EBADF;
    CLEANUP_CLOSE int fd = -EBADF;
    int socket_errno;

    home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return error_set_errno(err, -errno, "cannot open /proc/thread-self/ns/net");
    if (setns(netns_fd, CLONE_NEWNET) < 0)
        return error_set_errno(err, -errno, "cannot enter the network namespace");
    fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    socket_errno = errno;
    if (setns(home, CLONE_NEWNET) < 0)
        abort();
    if (fd < 0)
        return error_set_errno(err, -socket_errno, "cannot open an rtnetlink socket");
    return TAKE_FD(fd);
}

int netlink_open(int netns_fd, struct netlink **ret, struct error *err)
{
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    int on = 1;

    netlink = calloc(1, sizeof(*netlink));
    if (!netlink)
        return error_oom(err);
    netlink->fd = -EBADF;
    if (netns_fd >= 0) {
        netlink->fd = socket_in_netns(netns_fd, err);
        if (netlink->fd < 0)
            return netlink->fd;
    } else {
        netlink->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        if (netlink->fd < 0)
            return error_set_errno(err, -errno, "cannot open an rtnetlink socket");
    }
    /* Better messages and shorter answers where the kernel has them; neither is needed. */
    (void)setsockopt(netlink->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    (void)setsockopt(netlink->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    *ret = TAKE_PTR(netlink);
    return 0;
}

void netlink_free(struct netlink *netlink)
{
    if (!netlink)
        return;
    fd_close(netlink->fd);
    free(netlink);
}

void netlink_cleanup(struct netlink **netlink)
{
    netlink_free(*netlink);
    *netlink = NULL;
}

/* --- looking --- */

static int parse_link(struct nlmsghdr *header, struct netlink_link *ret)
{
    struct ifinfomsg *info = NLMSG_DATA(header);
    struct rtattr *attributes[ATTRIBUTE_MAX + 1];
    struct rtattr *nested[ATTRIBUTE_MAX + 1];

    if (header->nlmsg_type != RTM_NEWLINK || NLMSG_PAYLOAD(header, 0) < sizeof(*info))
        return -EBADMSG;
    parse_attributes(IFLA_RTA(info), IFLA_PAYLOAD(header), attributes);
    if (!attributes[IFLA_IFNAME])
        return -EBADMSG;
    *ret = (struct netlink_link){
        .index = info->ifi_index,
        .master = (int)attribute_to_u32(attributes[IFLA_MASTER]),
        .flags = info->ifi_flags,
        .mtu = attribute_to_u32(attributes[IFLA_MTU]),
    };
    attribute_to_string(attributes[IFLA_IFNAME], ret->name, sizeof(ret->name));
    if (attributes[IFLA_ADDRESS] && RTA_PAYLOAD(attributes[IFLA_ADDRESS]) == NETLINK_MAC_SIZE) {
        ret->has_mac = true;
        memcpy(ret->mac, RTA_DATA(attributes[IFLA_ADDRESS]), NETLINK_MAC_SIZE);
    }
    if (attributes[IFLA_LINKINFO]) {
        parse_attributes(RTA_DATA(attributes[IFLA_LINKINFO]),
                         RTA_PAYLOAD(attributes[IFLA_LINKINFO]), nested);
        if (nested[IFLA_INFO_KIND])
            attribute_to_string(nested[IFLA_INFO_KIND], ret->kind, sizeof(ret->kind));
    }
    return 0;
}

static int reply_link(struct nlmsghdr *header, void *data)
{
    return parse_link(header, data);
}

int netlink_find_name(struct netlink *netlink, const char *name, struct netlink_link *ret,
                      struct error *err)
{
    struct request request;
    struct netlink_link link = {0};
    struct ifinfomsg *info = request_start(&request, RTM_GETLINK, NLM_F_ACK, sizeof(*info));
    int r;

    if (!netlink_name_is_valid(name))
        return error_set_class(err, ERROR_INVALID, "'%s' is not an interface name", name);
    info->ifi_family = AF_UNSPEC;
    request_put_string(&request, IFLA_IFNAME, name);
    r = netlink_call(netlink, &request, reply_link, &link, err);
    if (r < 0)
        return error_wrap(err, r, "interface %s", name);
    if (link.index == 0)
        return error_set(err, -ENODEV, "interface %s: not found", name);
    *ret = link;
    return 0;
}

struct link_list {
    struct netlink_link *links;
    size_t n;
    size_t capacity;
};

static int reply_link_list(struct nlmsghdr *header, void *data)
{
    struct link_list *list = data;

    if (list->n == NETLINK_LINKS_MAX)
        return -E2BIG;
    if (list->n == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct netlink_link *links = reallocarray(list->links, capacity, sizeof(*links));

        if (!links)
            return -ENOMEM;
        list->links = links;
        list->capacity = capacity;
    }
    if (parse_link(header, &list->links[list->n]) < 0)
        return -EBADMSG;
    list->n++;
    return 0;
}

int netlink_list_links(struct netlink *netlink, struct netlink_link **ret, size_t *ret_n,
                       struct error *err)
{
    struct link_list list = {0};
    int r = 0;

    for (int attempt = 0; attempt < DUMP_ATTEMPTS_MAX; attempt++) {
        struct request request;
        struct ifinfomsg *info = request_start(&request, RTM_GETLINK, NLM_F_DUMP, sizeof(*info));

        info->ifi_family = AF_UNSPEC;
        list.n = 0;
        r = netlink_call(netlink, &request, reply_link_list, &list, err);
        if (r < 0 || !netlink->interrupted)
            break;
    }
    if (r < 0) {
        free(list.links);
        return error_wrap(err, r, "cannot list network interfaces");
    }
    *ret = list.links;
    *ret_n = list.n;
    return 0;
}

int netlink_find_mac(struct netlink *netlink, const uint8_t mac[NETLINK_MAC_SIZE],
                     struct netlink_link *ret, struct error *err)
{
    CLEANUP_FREE struct netlink_link *links = NULL;
    char text[NETLINK_MAC_TEXT_SIZE];
    size_t n = 0;
    int r = netlink_list_links(netlink, &links, &n, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        if (links[i].has_mac && memcmp(links[i].mac, mac, NETLINK_MAC_SIZE) == 0) {
            *ret = links[i];
            return 0;
        }
    }
    netlink_mac_format(mac, text);
    return error_set(err, -ENODEV, "interface with address %s: not found", text);
}

struct overlap {
    const struct netlink_address *network;
    int except_index;
    bool found;
};

static uint32_t prefix_mask(unsigned prefix)
{
    return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

static int reply_route(struct nlmsghdr *header, void *data)
{
    struct overlap *overlap = data;
    struct rtmsg *route = NLMSG_DATA(header);
    struct rtattr *attributes[ATTRIBUTE_MAX + 1];
    uint32_t ours;
    uint32_t theirs;
    uint32_t mask;

    if (header->nlmsg_type != RTM_NEWROUTE || NLMSG_PAYLOAD(header, 0) < sizeof(*route))
        return -EBADMSG;
    parse_attributes(RTM_RTA(route), RTM_PAYLOAD(header), attributes);
    if (route->rtm_family != AF_INET || route->rtm_table != RT_TABLE_MAIN ||
        route->rtm_dst_len == 0 || route->rtm_dst_len > 32 || !attributes[RTA_DST])
        return 0;
    if (overlap->except_index > 0 &&
        attribute_to_u32(attributes[RTA_OIF]) == (uint32_t)overlap->except_index)
        return 0;
    memcpy(&ours, overlap->network->bytes, sizeof(ours));
    theirs = attribute_to_u32(attributes[RTA_DST]);
    mask = prefix_mask(route->rtm_dst_len < overlap->network->prefix ? route->rtm_dst_len
                                                                     : overlap->network->prefix);
    if (((ntohl(ours) ^ ntohl(theirs)) & mask) == 0)
        overlap->found = true;
    return 0;
}

int netlink_route_overlaps(struct netlink *netlink, const struct netlink_address *network,
                           int except_index, bool *ret, struct error *err)
{
    struct request request;
    struct rtmsg *route = request_start(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof(*route));
    struct overlap overlap = {.network = network, .except_index = except_index};
    int r;

    route->rtm_family = AF_INET;
    r = netlink_call(netlink, &request, reply_route, &overlap, err);
    if (r < 0)
        return error_wrap(err, r, "cannot list routes");
    *ret = overlap.found;
    return 0;
}

/* --- links --- */

static int check_name(const char *name, struct error *err)
{
    if (!netlink_name_is_valid(name))
        return error_set_class(err, ERROR_INVALID, "'%s' is not a valid interface name",
                               string_or(name, ""));
    return 0;
}

static void put_link(struct request *request, const char *name, const uint8_t *mac, unsigned mtu)
{
    if (name)
        request_put_string(request, IFLA_IFNAME, name);
    if (mac)
        request_put(request, IFLA_ADDRESS, mac, NETLINK_MAC_SIZE);
    if (mtu > 0)
        request_put_u32(request, IFLA_MTU, mtu);
}

int netlink_add_bridge(struct netlink *netlink, const char *name, const uint8_t *mac, unsigned mtu,
                       struct error *err)
{
    struct request request;
    size_t nest;
    int r = check_name(name, err);

    if (r < 0)
        return r;
    request_start(&request, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                  sizeof(struct ifinfomsg));
    put_link(&request, name, mac, mtu);
    nest = request_nest(&request, IFLA_LINKINFO);
    request_put_string(&request, IFLA_INFO_KIND, "bridge");
    request_unnest(&request, nest);
    r = netlink_call(netlink, &request, NULL, NULL, err);
    return r < 0 ? error_wrap(err, r, "cannot create bridge %s", name) : 0;
}

static void put_peer(struct request *request, const struct netlink_veth *veth)
{
    size_t peer = request_nest(request, VETH_INFO_PEER);

    /* A peer begins with a bare ifinfomsg, not an attribute (drivers/net/veth.c). */
    memset(request_reserve(request, sizeof(struct ifinfomsg)), 0, sizeof(struct ifinfomsg));
    put_link(request, veth->peer_name, veth->peer_mac, veth->mtu);
    if (veth->peer_netns_fd >= 0)
        request_put_u32(request, IFLA_NET_NS_FD, (uint32_t)veth->peer_netns_fd);
    request_unnest(request, peer);
}

int netlink_add_veth(struct netlink *netlink, const struct netlink_veth *veth, struct error *err)
{
    struct request request;
    struct ifinfomsg *info;
    size_t link;
    size_t data;
    int r = check_name(veth->name, err);

    if (r == 0)
        r = check_name(veth->peer_name, err);
    if (r < 0)
        return r;
    info = request_start(&request, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                         sizeof(struct ifinfomsg));
    if (veth->up)
        info->ifi_flags = info->ifi_change = IFF_UP;
    put_link(&request, veth->name, veth->mac, veth->mtu);
    if (veth->master > 0)
        request_put_u32(&request, IFLA_MASTER, (uint32_t)veth->master);
    link = request_nest(&request, IFLA_LINKINFO);
    request_put_string(&request, IFLA_INFO_KIND, "veth");
    data = request_nest(&request, IFLA_INFO_DATA);
    put_peer(&request, veth);
    request_unnest(&request, data);
    request_unnest(&request, link);
    r = netlink_call(netlink, &request, NULL, NULL, err);
    return r < 0 ? error_wrap(err, r, "cannot create interfaces %s and %s", veth->name,
                              veth->peer_name)
                 : 0;
}

int netlink_delete(struct netlink *netlink, int index, struct error *err)
{
    struct request request;
    struct ifinfomsg *info = request_start(&request, RTM_DELLINK, NLM_F_ACK, sizeof(*info));
    int r;

    info->ifi_index = index;
    r = netlink_call(netlink, &request, NULL, NULL, err);
    return r < 0 ? error_wrap(err, r, "cannot delete interface %d", index) : 0;
}

int netlink_set(struct netlink *netlink, int index, const struct netlink_change *change,
                struct error *err)
{
    struct request request;
    struct ifinfomsg *info = request_start(&request, RTM_NEWLINK, NLM_F_ACK, sizeof(*info));
    int r = change->name ? check_name(change->name, err) : 0;

    if (r < 0)
        return r;
    info->ifi_index = index;
    info->ifi_flags = change->flags & change->flags_mask;
    info->ifi_change = change->flags_mask;
    put_link(&request, change->name, change->mac, change->mtu);
    if (change->master != 0)
        request_put_u32(&request, IFLA_MASTER, change->master > 0 ? (uint32_t)change->master : 0);
    if (change->netns_fd > 0)
        request_put_u32(&request, IFLA_NET_NS_FD, (uint32_t)change->netns_fd);
    r = netlink_call(netlink, &request, NULL, NULL, err);
    return r < 0 ? error_wrap(err, r, "cannot change interface %d", index) : 0;
}

int netlink_set_up(struct netlink *netlink, int index, struct error *err)
{
    return netlink_set(netlink, index,
                       &(struct netlink_change){.flags = IFF_UP, .flags_mask = IFF_UP}, err);
}

int netlink_set_down(struct netlink *netlink, int index, struct error *err)
{
    return netlink_set(netlink, index, &(struct netlink_change){.flags_mask = IFF_UP}, err);
}

int netlink_set_hairpin(struct netlink *netlink, int index, struct error *err)
{
    static const uint8_t on = 1;
    struct request request;
    struct ifinfomsg *info = request_start(&request, RTM_NEWLINK, NLM_F_ACK, sizeof(*info));
    size_t link;
    size_t data;
    int r;

    info->ifi_index = index;
    link = request_nest(&request, IFLA_LINKINFO);
    request_put_string(&request, IFLA_INFO_SLAVE_KIND, "bridge");
    data = request_nest(&request, IFLA_INFO_SLAVE_DATA);
    request_put(&request, IFLA_BRPORT_MODE, &on, sizeof(on));
    request_unnest(&request, data);
    request_unnest(&request, link);
    r = netlink_call(netlink, &request, NULL, NULL, err);
    return r < 0 ? error_wrap(err, r, "cannot set hairpin mode of interface %d", index) : 0;
}

/* In the form that bridge(8) uses. IFLA_INFO_SLAVE_DATA would set the state as well, but ends with
 * a NETDEV_CHANGE, at which the bridge enables every port that has a carrier. */
int netlink_disable_port(struct netlink *netlink, int index, struct error *err)
{
    static const uint8_t disabled = BR_STATE_DISABLED;
    struct request request;
    struct ifinfomsg *info = request_start(&request, RTM_SETLINK, NLM_F_ACK, sizeof(*info));
    size_t port;
    int r;

    info->ifi_family = AF_BRIDGE;
    info->ifi_index = index;
    port = request_nest(&request, IFLA_PROTINFO | NLA_F_NESTED);
    request_put(&request, IFLA_BRPORT_STATE, &disabled, sizeof(disabled));
    request_put(&request, IFLA_BRPORT_FLUSH, NULL, 0);
    request_unnest(&request, port);
    r = netlink_call(netlink, &request, NULL, NULL, err);
    return r < 0 ? error_wrap(err, r, "cannot cut interface %d off", index) : 0;
}

/* --- addresses and routes --- */

static size_t address_size(const struct netlink_address *address)
{
    return address->family == AF_INET6 ? 16 : 4;
}

static void request_address(struct request *request, uint16_t type, uint16_t flags, int index,
                            const struct netlink_address *address)
{
    struct ifaddrmsg *message = request_start(request, type, flags, sizeof(*message));

    message->ifa_family = (uint8_t)address->family;
    message->ifa_prefixlen = (uint8_t)address->prefix;
    message->ifa_index = (uint32_t)index;
    request_put(request, IFA_LOCAL, address->bytes, address_size(address));
    request_put(request, IFA_ADDRESS, address->bytes, address_size(address));
}

int netlink_add_address(struct netlink *netlink, int index, const struct netlink_address *address,
                        struct error *err)
{
    struct request request;
    char text[NETLINK_ADDRESS_TEXT_SIZE];
    int r;

    request_address(&request, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, index,
                    address);
    if (address->family == AF_INET6) {
        request_put_u32(&request, IFA_FLAGS, IFA_F_NODAD);
    } else if (address->prefix < 31) {
        uint32_t broadcast;

        memcpy(&broadcast, address->bytes, sizeof(broadcast));
        broadcast |= ~htonl(prefix_mask(address->prefix));
        request_put(&request, IFA_BROADCAST, &broadcast, sizeof(broadcast));
    }
    r = netlink_call(netlink, &request, NULL, NULL, err);
    netlink_address_format(address, true, text);
    return r < 0 ? error_wrap(err, r, "cannot add address %s", text) : 0;
}

int netlink_delete_address(struct netlink *netlink, int index,
                           const struct netlink_address *address, struct error *err)
{
    struct request request;
    char text[NETLINK_ADDRESS_TEXT_SIZE];
    int r;

    request_address(&request, RTM_DELADDR, NLM_F_ACK, index, address);
    r = netlink_call(netlink, &request, NULL, NULL, err);
    netlink_address_format(address, true, text);
    return r < 0 ? error_wrap(err, r, "cannot delete address %s", text) : 0;
}

struct address_list {
    int index;
    struct netlink_address *addresses;
    size_t max;
    size_t n;
};

static int reply_address(struct nlmsghdr *header, void *data)
{
    struct address_list *list = data;
    struct ifaddrmsg *message = NLMSG_DATA(header);
    struct rtattr *attributes[ATTRIBUTE_MAX + 1];

    if (header->nlmsg_type != RTM_NEWADDR || NLMSG_PAYLOAD(header, 0) < sizeof(*message))
        return -EBADMSG;
    parse_attributes(IFA_RTA(message), IFA_PAYLOAD(header), attributes);
    if (message->ifa_family != AF_INET || (int)message->ifa_index != list->index ||
        list->n == list->max || !attributes[IFA_LOCAL] || RTA_PAYLOAD(attributes[IFA_LOCAL]) != 4)
        return 0;
    list->addresses[list->n] =
        (struct netlink_address){.family = AF_INET, .prefix = message->ifa_prefixlen};
    memcpy(list->addresses[list->n++].bytes, RTA_DATA(attributes[IFA_LOCAL]), 4);
    return 0;
}

int netlink_list_addresses(struct netlink *netlink, int index, struct netlink_address *ret,
                           size_t max, size_t *ret_n, struct error *err)
{
    struct request request;
    struct ifaddrmsg *message = request_start(&request, RTM_GETADDR, NLM_F_DUMP, sizeof(*message));
    struct address_list list = {.index = index, .addresses = ret, .max = max};
    int r;

    message->ifa_family = AF_INET;
    r = netlink_call(netlink, &request, reply_address, &list, err);
    if (r < 0)
        return error_wrap(err, r, "cannot list addresses");
    *ret_n = list.n;
    return 0;
}

int netlink_add_default_route(struct netlink *netlink, int index,
                              const struct netlink_address *gateway, struct error *err)
{
    struct request request;
    struct rtmsg *route = request_start(&request, RTM_NEWROUTE,
                                        NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(*route));
    char text[NETLINK_ADDRESS_TEXT_SIZE];
    int r;

    route->rtm_family = (uint8_t)gateway->family;
    route->rtm_table = RT_TABLE_MAIN;
    route->rtm_protocol = RTPROT_BOOT;
    route->rtm_scope = RT_SCOPE_UNIVERSE;
    route->rtm_type = RTN_UNICAST;
    request_put(&request, RTA_GATEWAY, gateway->bytes, address_size(gateway));
    request_put_u32(&request, RTA_OIF, (uint32_t)index);
    r = netlink_call(netlink, &request, NULL, NULL, err);
    netlink_address_format(gateway, false, text);
    return r < 0 ? error_wrap(err, r, "cannot set default gateway %s", text) : 0;
}
