#include "sandbox/guest.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "sandbox/guest_internal.h"
#include "sandbox/interface.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>

enum {
    CMDLINE_MAX = 4096,
    MODULES_LIST_MAX = 16384,
    NEW_ROOT_MODE = 0755,
    FILES_SOFT = 1024,
    FILES_HARD = 524288,
};

int guest_mount_checked(const char *source, const char *target, const char *type,
                        unsigned long flags, const char *options, struct error *err)
{
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "making %s", target);
    if (mount(source, target, type, flags, options) < 0)
        return error_set_errno(err, -errno, "mounting %s (%s) on %s", source, type, target);
    return 0;
}

int guest_switch_root(struct error *err)
{
    int r = guest_mount_checked("root", "/new", "tmpfs", MS_NODEV, "mode=755,size=64m", err);

    if (r < 0)
        return r;
    /* As switch_root(8): the new root is laid over the old one, which then cannot be seen. */
    if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        return error_set_errno(err, -errno, "moving the root");
    return 0;
}

/* The kernel's hard limit of 4096 is below what a host gives its services; these are systemd's. */
static int raise_limits(struct error *err)
{
    const struct rlimit files = {.rlim_cur = FILES_SOFT, .rlim_max = FILES_HARD};

    return setrlimit(RLIMIT_NOFILE, &files) < 0
               ? error_set_errno(err, -errno, "raising the limit of open files")
               : 0;
}

int guest_mount(struct error *err)
{
    static const struct {
        const char *type;
        const char *target;
        unsigned long flags;
        const char *options;
    } mounts[] = {
        {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=755"},
        {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755"},
        {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    };

    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        int r = guest_mount_checked(mounts[i].type, mounts[i].target, mounts[i].type,
                                    mounts[i].flags, mounts[i].options, err);
        if (r < 0)
            return r;
    }
    int r = raise_limits(err);
    return r < 0 ? r : sandbox_interfaces_configure(NULL, 0, -EBADF, err);
}

/* --- modules --- */

static int load_module(const char *dir, const char *name, struct error *err)
{
    CLEANUP_FREE char *path = path_join(dir, name);

    if (!path)
        return error_oom(err);
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, -errno, "opening module %s", name);
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "loading module %s", name);
    return 0;
}

int guest_load_modules(const char *modules_dir, struct error *err)
{
    CLEANUP(buffer_release) struct buffer list = BUFFER_INIT(MODULES_LIST_MAX);
    CLEANUP_STRV char **names = NULL;
    CLEANUP_FREE char *path = path_join(modules_dir, "modules.list");

    if (!path)
        return error_oom(err);
    if (access(path, F_OK) < 0)
        return 0;
    int r = file_read(AT_FDCWD, path, &list, err);
    if (r < 0)
        return r;
    if (strv_split(buffer_string(&list), '\n', &names) < 0)
        return error_oom(err);
    for (size_t i = 0; names[i]; i++) {
        if (i > GUEST_MODULES_MAX)
            return error_set(err, -E2BIG, "more than %d modules", GUEST_MODULES_MAX);
        if (*names[i] && (r = load_module(modules_dir, names[i], err)) < 0)
            return r;
    }
    return 0;
}

/* --- the link --- */

int guest_option(const char *name, char *value, size_t size, struct error *err)
{
    CLEANUP(buffer_release) struct buffer line = BUFFER_INIT(CMDLINE_MAX);
    CLEANUP_STRV char **words = NULL;
    int r = file_read(AT_FDCWD, "/proc/cmdline", &line, err);

    if (r < 0)
        return r;
    if (strv_split(buffer_string(&line), ' ', &words) < 0)
        return error_oom(err);
    for (size_t i = 0; words[i]; i++) {
        if (!string_starts_with(words[i], name))
            continue;
        words[i][strcspn(words[i], "\n")] = '\0';
        if (!string_copy(value, size, words[i] + strlen(name)))
            return error_set(err, -EINVAL, "%s is too long", name);
        return 0;
    }
    return error_set(err, -ENOENT, "the kernel's command line lacks %s", name);
}

struct port_search {
    const char *name;
    char device[64];
};

/* The port's name is in /sys/class/virtio-ports/vportNpM/name. */
static bool find_port(void *data)
{
    struct port_search *search = data;
    CLEANUP_DIR DIR *dir = opendir("/sys/class/virtio-ports");
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(256);
        char path[PATH_MAX];

        if (*entry->d_name == '.' || strlen(entry->d_name) > 32)
            continue;
        (void)snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
        if (file_read(AT_FDCWD, path, &text, NULL) < 0)
            continue;
        if (text.length > 0 && text.data[text.length - 1] == '\n')
            text.data[text.length - 1] = '\0';
        if (!string_equal(buffer_string(&text), search->name))
            continue;
        (void)snprintf(search->device, sizeof(search->device), "/dev/%.32s", entry->d_name);
        return access(search->device, F_OK) == 0;
    }
    return false;
}

static int make_raw(int fd)
{
    struct termios termios;

    if (tcgetattr(fd, &termios) < 0)
        return -errno;
    cfmakeraw(&termios);
    termios.c_cflag |= CLOCAL | CREAD;
    termios.c_cflag &= ~(tcflag_t)CRTSCTS;
    termios.c_cc[VMIN] = 1;
    termios.c_cc[VTIME] = 0;
    return tcsetattr(fd, TCSANOW, &termios) < 0 ? -errno : 0;
}

int guest_open_link(struct error *err)
{
    char name[48];
    struct port_search search = {.name = name};
    int r = guest_option("hull.link=", name, sizeof(name), err);

    if (r < 0)
        return r;
    bool port = string_starts_with(name, "port:");
    if (port) {
        search.name = name + strlen("port:");
        r = guest_wait_for(find_port, &search, name, err);
        if (r < 0)
            return r;
    } else {
        (void)snprintf(search.device, sizeof(search.device), "/dev/%s", name);
    }
    CLEANUP_CLOSE int fd = open(search.device, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, -errno, "opening the link %s", search.device);
    r = port ? 0 : make_raw(fd);
    if (r < 0)
        return error_set_errno(err, r, "making %s raw", search.device);
    return TAKE_FD(fd);
}

/* --- power --- */

static void kill_all(void)
{
    /* As pid 1: everybody else. New ones cannot come: their parents are dead, too. */
    (void)kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
}

_Noreturn void guest_power_off(void)
{
    char name[48];

    kill_all();
    guest_unmount_disks();
    sync();
    /* Under QEMU a reset ends the VM (-no-reboot) on every kernel; switching off needs ACPI. Under
     * User-Mode Linux a reset would boot again. */
    bool reset = guest_option("hull.link=", name, sizeof(name), NULL) == 0 &&
                 string_starts_with(name, "port:");
    (void)reboot(reset ? RB_AUTOBOOT : RB_POWER_OFF);
    (void)reboot(RB_HALT_SYSTEM);
    for (;;)
        (void)pause();
}
