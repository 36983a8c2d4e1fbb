/* The smallest pid 1 of a guest, for tests: with hull.hold=1 it is saved and woken as hull-init is;
 * says on the link how much memory it has, then obeys single letters: 's' gives the seed that it
 * was woken with, 'd' looks for two disks and a NIC that were plugged in, 'p' powers off, 'c'
 * panics, anything else comes back. Static. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>

/* The line named by hull.link on the kernel's command line, raw. */
static int open_link(void)
{
    struct termios line;
    char options[1024] = "";
    const char *path;
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, options, sizeof(options) - 1) <= 0)
        return -1;
    close(fd);
    path = strstr(options, "hull.link=port:hull") ? "/dev/vport0p1" : "/dev/ttyS0";
    fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && tcgetattr(fd, &line) == 0) {
        cfmakeraw(&line);
        line.c_cflag |= CLOCAL | CREAD;
        tcsetattr(fd, TCSANOW, &line);
    }
    return fd;
}

static long mem_total_kib(void)
{
    char text[4096];
    int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    char *found;

    text[n > 0 ? n : 0] = '\0';
    found = strstr(text, "MemTotal:");
    return found ? strtol(found + 9, NULL, 10) : 0;
}

/* Size in 512-byte sectors of each disk, or 0. */
static long disk_sectors(int index)
{
    char path[64];
    char text[64] = "";
    int fd;

    for (int kind = 0; kind < 2; kind++) {
        snprintf(path, sizeof(path), "/sys/block/%s%c/size", kind ? "vd" : "ubd", 'a' + index);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
            return strtol(text, NULL, 10);
    }
    return 0;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (write(fd, text, strlen(text)) < 0)
            printf("%s: %s\n", path, strerror(errno));
        close(fd);
    }
}

static long scsi_sectors(int target)
{
    char pattern[128];
    char text[64] = "";
    glob_t found;
    long sectors = 0;
    int fd;

    snprintf(pattern, sizeof(pattern), "/sys/class/scsi_disk/*:0:%d:0/device/block/*/size", target);
    if (glob(pattern, 0, NULL, &found) == 0) {
        fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
            sectors = strtol(text, NULL, 10);
        close(fd);
        globfree(&found);
    }
    return sectors;
}

static int has_nic(void)
{
    return access("/sys/class/net/eth0", F_OK) == 0;
}

static void look_for_devices(int link)
{
    for (int i = 0; i < 200 && !(scsi_sectors(0) && scsi_sectors(1) && has_nic()); i++) {
        put("/sys/class/scsi_host/host0/scan", "- - -");
        put("/sys/bus/pci/rescan", "1");
        poll(NULL, 0, 10);
    }
    dprintf(link, "%015ld\n%015ld\n%015d\n", scsi_sectors(0), scsi_sectors(1), has_nic());
}

static void hold(int link, uint8_t *word, size_t size)
{
    char options[1024] = "";
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, options, sizeof(options) - 1) <= 0 || !strstr(options, "hull.hold=1"))
        return;
    close(fd);
    dprintf(link, "hull: held\n");
    for (size_t got = 0; got < size;) {
        ssize_t n = read(link, word + got, size - got);

        if (n > 0)
            got += (size_t)n;
    }
}

static void load_modules(void)
{
    char list[4096] = "";
    char *rest = list;
    char *name;
    int fd = open("/modules/modules.list", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, list, sizeof(list) - 1) <= 0)
        return;
    while ((name = strsep(&rest, "\n"))) {
        char path[256];

        snprintf(path, sizeof(path), "/modules/%s", name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || *name == '\0')
            continue;
        if (syscall(SYS_finit_module, fd, "", 0) < 0)
            printf("%s: %s\n", name, strerror(errno));
        close(fd);
    }
}

/* The kernel finds devices in its own time. */
static int wait_link(void)
{
    for (int i = 0; i < 500; i++) {
        int fd = open_link();

        if (fd >= 0)
            return fd;
        poll(NULL, 0, 10);
    }
    return -1;
}

int main(void)
{
    uint8_t word[80] = {0};
    char letter;
    int fd;

    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    fd = wait_link();
    if (fd < 0)
        return 2;
    hold(fd, word, sizeof(word));
    dprintf(fd, "%015ld\n%015ld\n%015ld\n", mem_total_kib(), disk_sectors(0), disk_sectors(1));
    while (read(fd, &letter, 1) == 1) {
        if (letter == 'p') {
            reboot(RB_POWER_OFF);
            reboot(RB_AUTOBOOT);
        }
        if (letter == 'c')
            return 3;
        if (letter == 's' && write(fd, word, sizeof(word)) == (ssize_t)sizeof(word))
            continue;
        if (letter == 'd') {
            look_for_devices(fd);
            continue;
        }
        if (write(fd, &letter, 1) != 1)
            break;
    }
    return 4;
}
