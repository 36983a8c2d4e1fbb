#include "base/netdevice.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/netlink-address.h"
#include "base/netlink.h"
#include "base/process.h"
#include "base/strings.h"
#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* A guest that is not scheduled for a moment must not lose a window full of frames. */
enum { PACKET_QUEUE_BYTES = 4 * 1024 * 1024, SYSCTL_PATH_MAX = 128 };

static int tap_attach(const char *name, struct error *err)
{
    CLEANUP_CLOSE int fd = -EBADF;
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

    if (!netlink_name_is_valid(name))
        return error_set_class(err, ERROR_INVALID, "'%s' is not a valid interface name", name);
    (void)string_copy(request.ifr_name, sizeof(request.ifr_name), name);
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open /dev/net/tun (is the module tun loaded?)");
    if (ioctl(fd, TUNSETIFF, &request) < 0)
        return error_set_errno(err, -errno, "cannot attach to tap %s", name);
    return TAKE_FD(fd);
}

static int add_tap(const char *name, uid_t owner, struct error *err)
{
    CLEANUP_CLOSE int fd = tap_attach(name, err);

    if (fd < 0)
        return fd;
    if (ioctl(fd, TUNSETOWNER, (unsigned long)owner) < 0)
        return error_set_errno(err, -errno, "cannot set the owner of tap %s", name);
    if (ioctl(fd, TUNSETPERSIST, 1UL) < 0)
        return error_set_errno(err, -errno, "cannot make tap %s persistent", name);
    return 0;
}

int netdevice_add_tap(const char *name, uid_t owner, struct error *err)
{
    int r;

    if (if_nametoindex(name) != 0)
        return error_set(err, -EEXIST, "cannot create tap %s: the interface exists", name);
    /* A child that inherits the descriptor keeps the tap from the VMM: it is busy. */
    process_hold_forks();
    r = add_tap(name, owner, err);
    process_allow_forks();
    return r;
}

int netdevice_open_tap(const char *name, struct error *err)
{
    /* TUNSETIFF would create a missing one, which nobody would ever delete. */
    if (if_nametoindex(name) == 0)
        return error_set(err, -ENODEV, "tap %s: not found", name);
    return tap_attach(name, err);
}

int netdevice_new_packet_socket(struct error *err)
{
    int queue = PACKET_QUEUE_BYTES;
    int on = 1;
    /* Protocol 0 receives nothing: before bind() an ETH_P_ALL socket would collect the frames of
     * every interface of the host, and the guest would read them. */
    CLEANUP_CLOSE int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open a packet socket");
    if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
        return error_set_errno(err, -errno, "packet socket: PACKET_IGNORE_OUTGOING");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &queue, sizeof(queue));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &queue, sizeof(queue));
    return TAKE_FD(fd);
}

int netdevice_bind_packet_socket(int fd, const char *name, struct error *err)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

    address.sll_ifindex = (int)if_nametoindex(name);
    if (address.sll_ifindex == 0)
        return error_set(err, -ENODEV, "interface %s: not found", name);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set_errno(err, -errno, "cannot bind a packet socket to %s", name);
    return 0;
}

int netdevice_open_packet_socket(const char *name, struct error *err)
{
    CLEANUP_CLOSE int fd = netdevice_new_packet_socket(err);
    int r = fd < 0 ? fd : netdevice_bind_packet_socket(fd, name, err);

    return r < 0 ? r : TAKE_FD(fd);
}

int netdevice_disable_offloads(const char *name, struct error *err)
{
    /* Segmentation before checksums: the kernel refuses no order, but switches off what depends. */
    static const uint32_t commands[] = {ETHTOOL_STSO, ETHTOOL_SGSO,    ETHTOOL_SGRO,
                                        ETHTOOL_SSG,  ETHTOOL_STXCSUM, ETHTOOL_SRXCSUM};
    CLEANUP_CLOSE int fd = -EBADF;

    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open a socket for ethtool");
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        struct ethtool_value value = {.cmd = commands[i], .data = 0};
        struct ifreq request = {.ifr_data = (void *)&value};

        (void)string_copy(request.ifr_name, sizeof(request.ifr_name), name);
        /* What a device does not have at all needs no switching off. */
        if (ioctl(fd, SIOCETHTOOL, &request) < 0 && errno != EOPNOTSUPP)
            return error_set_errno(err, -errno, "cannot switch an offload of %s off (command %#x)",
                                   name, commands[i]);
    }
    return 0;
}

/* Takes IPv6 from an interface before it is up. Without IPv6 in the kernel there is nothing to do.
 */
static int disable_ipv6(const char *name, struct error *err)
{
    char path[SYSCTL_PATH_MAX];
    struct error why = ERROR_INIT;
    int r;

    (void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    r = file_write(AT_FDCWD, path, "1", &why);
    return r < 0 && r != -ENOENT ? error_copy(err, &why) : 0;
}

int netdevice_prepare_socket_peer(const char *name, struct error *err)
{
    /* Without NOARP the host would answer for its own addresses here too, with another MAC. */
    static const struct netlink_change change = {.flags = IFF_UP | IFF_NOARP,
                                                 .flags_mask = IFF_UP | IFF_NOARP};
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    struct netlink_link link;
    int r = netlink_open(-EBADF, &netlink, err);

    if (r == 0)
        r = netlink_find_name(netlink, name, &link, err);
    if (r == 0)
        r = disable_ipv6(name, err);
    if (r == 0)
        r = netdevice_disable_offloads(name, err);
    return r == 0 ? netlink_set(netlink, link.index, &change, err) : r;
}
