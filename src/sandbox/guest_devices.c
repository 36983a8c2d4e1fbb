/* Devices of the VM: finding those that are plugged in while it runs, and waiting for them. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/netlink.h"
#include "base/strings.h"
#include "sandbox/guest.h"
#include "sandbox/guest_internal.h"
#include "sandbox/interface.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UEVENT_SIZE = 4096, NAME_LENGTH_MAX = 64, SYS_PATH_MAX = 160 };

/* --- waiting --- */

/* The kernel tells here of every device once its node and its files in /sys are made
 * (lib/kobject_uevent.c). */
static int open_uevents(struct error *err)
{
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
    CLEANUP_CLOSE int fd =
        socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set_errno(err, -errno, "watching for devices");
    return TAKE_FD(fd);
}

int guest_wait_for(bool (*is_there)(void *data), void *data, const char *what, struct error *err)
{
    if (is_there(data))
        return 0; /* mostly */
    /* Watch first, then look, so none is missed. */
    CLEANUP_CLOSE int watch = open_uevents(err);
    if (watch < 0)
        return watch;
    while (!is_there(data)) {
        struct pollfd poll_fd = {.fd = watch, .events = POLLIN};
        char event[UEVENT_SIZE];
        int n = poll(&poll_fd, 1, GUEST_DEVICE_TIMEOUT_MS);

        if (n < 0 && errno != EINTR)
            return error_set_errno(err, -errno, "poll");
        if (n == 0)
            return error_set(err, -ENODEV, "%s did not appear", what);
        while (recv(watch, event, sizeof(event), 0) > 0)
            ;
    }
    return 0;
}

/* --- SCSI disks --- */

/* The disk with this number as its SCSI target: the host's number in the name is chance. */
static bool is_target(const char *name, int index)
{
    char end[NAME_LENGTH_MAX];
    const char *colon = strchr(name, ':');

    (void)snprintf(end, sizeof(end), ":0:%d:0", index);
    return string_equal(colon, end);
}

bool guest_find_scsi_disk(int index, char *path, size_t size)
{
    CLEANUP_DIR DIR *disks = opendir("/sys/class/scsi_disk");
    struct dirent *disk;

    while (disks && (disk = readdir(disks))) {
        char directory[SYS_PATH_MAX];
        struct dirent *name;
        struct stat status;

        if (!is_target(disk->d_name, index))
            continue;
        (void)snprintf(directory, sizeof(directory), "/sys/class/scsi_disk/%.32s/device/block",
                       disk->d_name);
        CLEANUP_DIR DIR *block = opendir(directory);
        while (block && (name = readdir(block))) {
            if (*name->d_name == '.')
                continue;
            (void)snprintf(path, size, "/dev/%.16s", name->d_name);
            return stat(path, &status) == 0 && S_ISBLK(status.st_mode);
        }
    }
    return false;
}

void guest_scan_disk(int index)
{
    CLEANUP_DIR DIR *hosts = opendir("/sys/class/scsi_host");
    struct dirent *host;
    char what[NAME_LENGTH_MAX];

    (void)snprintf(what, sizeof(what), "0 %d 0", index);
    while (hosts && (host = readdir(hosts))) {
        char path[SYS_PATH_MAX];

        if (*host->d_name == '.')
            continue;
        (void)snprintf(path, sizeof(path), "/sys/class/scsi_host/%.32s/scan", host->d_name);
        (void)file_write(AT_FDCWD, path, what, NULL);
    }
}

/* --- links --- */

void guest_scan_pci(void)
{
    (void)file_write(AT_FDCWD, "/sys/bus/pci/rescan", "1", NULL);
}

struct link_search {
    struct netlink *netlink;
    const struct sandbox_interface *interface;
};

static bool link_is_there(void *data)
{
    const struct link_search *search = data;
    struct netlink_link link;

    return netlink_find_mac(search->netlink, search->interface->mac, &link, NULL) == 0;
}

static int wait_link(struct netlink *netlink, const struct sandbox_interface *interface,
                     struct error *err)
{
    struct link_search search = {.netlink = netlink, .interface = interface};

    if (!interface->has_mac || interface->link[0] || link_is_there(&search))
        return 0;
    guest_scan_pci();
    return guest_wait_for(link_is_there, &search, "the network interface", err);
}

int guest_wait_links(const json_t *request, struct error *err)
{
    CLEANUP_FREE struct sandbox_interface *interfaces = NULL;
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    size_t n = 0;
    int r =
        sandbox_interfaces_from_json(json_object_get(request, "interfaces"), &interfaces, &n, err);

    if (r < 0 || n == 0)
        return r;
    r = netlink_open(-EBADF, &netlink, err);
    for (size_t i = 0; i < n && r >= 0; i++)
        r = wait_link(netlink, &interfaces[i], err);
    return r;
}
