/* The smallest pid 1 of a guest, for tests: says on the link how much memory it has, then obeys
 * single letters: 'p' powers off, 'c' panics, anything else comes back. Static. */
#include <errno.h>
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
    char letter;
    int fd;

    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    fd = wait_link();
    if (fd < 0)
        return 2;
    dprintf(fd, "%015ld\n%015ld\n%015ld\n", mem_total_kib(), disk_sectors(0), disk_sectors(1));
    while (read(fd, &letter, 1) == 1) {
        if (letter == 'p') {
            reboot(RB_POWER_OFF);
            reboot(RB_AUTOBOOT);
        }
        if (letter == 'c')
            return 3;
        if (write(fd, &letter, 1) != 1)
            break;
    }
    return 4;
}
