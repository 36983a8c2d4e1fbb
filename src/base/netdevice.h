/* Network devices as descriptors: what rtnetlink (netlink.h) does not do. All of it concerns the
 * calling thread's network namespace. */
#ifndef HULL_BASE_NETDEVICE_H
#define HULL_BASE_NETDEVICE_H

#include <sys/types.h>

struct error;

/* Makes a persistent tap device that `owner` may attach to (ioctl TUNSETIFF, TUNSETPERSIST,
 * TUNSETOWNER of the kernel's Documentation/networking/tuntap.rst), in the calling thread's
 * network namespace. */
int netdevice_add_tap(const char *name, uid_t owner, struct error *err);

/* An AF_PACKET socket (packet(7)) bound to `name` in the calling thread's network namespace: raw
 * Ethernet frames in and out, as User-Mode Linux wants for `vec0:transport=fd,fd=N`. Frames that
 * this host itself sends out through `name` are not seen. Needs CAP_NET_RAW. Descriptor (CLOEXEC)
 * or -errno. */
int netdevice_open_packet_socket(const char *name, struct error *err);

/* The same in two steps: a socket that is bound to nothing and receives nothing, and its binding,
 * in the network namespace that it was made in. */
int netdevice_new_packet_socket(struct error *err);
int netdevice_bind_packet_socket(int fd, const char *name, struct error *err);

/* Attaches to the existing tap `name`: raw frames with a virtio-net header (IFF_VNET_HDR, which
 * QEMU's `-netdev tap,fd=N` detects). Descriptor (CLOEXEC) or -errno. */
int netdevice_open_tap(const char *name, struct error *err);

/* Makes `name`, one end of a veth pair, ready for a packet socket: without offloads, IPv6 and ARP,
 * and up. It must not have the guest's own MAC, or the host's stack would take the frames for the
 * guest as its own and route them once more. */
int netdevice_prepare_socket_peer(const char *name, struct error *err);

/* Switches segmentation, receive and checksum offloads of `name` off (ethtool ioctls), so that its
 * peer sees only complete frames of at most its MTU. */
int netdevice_disable_offloads(const char *name, struct error *err);

#endif
