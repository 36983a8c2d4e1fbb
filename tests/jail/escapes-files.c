#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "escape.h"

/* glibc's <sys/mount.h> and the kernel's cannot be had together everywhere. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);

enum { MS_REMOUNT_FLAG = 32, MS_BIND_FLAG = 4096, DETACH = 2, LAST_OLD_DESCRIPTOR = 2000 };

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    int result = escape_result(fd);

    if (fd >= 0)
        close(fd);
    return result;
}

static int open_by_name(const struct outside *outside)
{
    return try_open(outside->file, O_RDONLY);
}

static int open_shadow(const struct outside *outside)
{
    (void)outside;
    return try_open("/etc/shadow", O_RDONLY);
}

static int open_upwards(const struct outside *outside)
{
    char path[512];

    snprintf(path, sizeof(path), "../../../../../../../../../..%s", outside->file);
    return try_open(path, O_RDONLY);
}

static int open_through_init(const struct outside *outside)
{
    char path[512];

    snprintf(path, sizeof(path), "/proc/1/root%s", outside->file);
    return try_open(path, O_RDONLY);
}

static int open_through_worker(const struct outside *outside)
{
    char path[512];

    snprintf(path, sizeof(path), "/proc/%ld/root%s", outside->worker, outside->file);
    return try_open(path, O_RDONLY);
}

static int open_other_disk(const struct outside *outside)
{
    return try_open(outside->disk, O_RDWR);
}

static int open_other_disk_through_proc(const struct outside *outside)
{
    char path[512];

    snprintf(path, sizeof(path), "/proc/%ld/fd/8", outside->other);
    return try_open(path, O_RDONLY);
}

static int open_other_root(const struct outside *outside)
{
    char path[512];

    snprintf(path, sizeof(path), "/proc/%ld/root/hull-vm", outside->other);
    return try_open(path, O_RDONLY);
}

static int open_other_memory(const struct outside *outside)
{
    char path[512];

    snprintf(path, sizeof(path), "/proc/%ld/mem", outside->other);
    return try_open(path, O_RDONLY);
}

/* A descriptor that was open before and leads to something of the host: a file or directory that
 * is neither in the jail nor handed over (7 and from 8 on, in the jail). */
static int old_descriptor(const struct outside *outside)
{
    (void)outside;
    for (int fd = 9; fd < LAST_OLD_DESCRIPTOR; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return 0;
    return EBADF;
}

static int climb_from_descriptors(const struct outside *outside)
{
    for (int fd = 0; fd < LAST_OLD_DESCRIPTOR; fd++) {
        char path[512];
        int found;

        snprintf(path, sizeof(path), "../../../../../../../../..%s", outside->file);
        found = openat(fd, path, O_RDONLY | O_CLOEXEC);
        if (found >= 0) {
            close(found);
            return 0;
        }
    }
    return ENOENT;
}

static int open_by_handle(const struct outside *outside)
{
    struct {
        struct file_handle head;
        unsigned char bytes[128];
    } handle = {.head.handle_bytes = sizeof(handle.bytes)};
    const char *path = outside->control ? outside->file : "/hull-vm";
    int mount_id;
    /* Any descriptor of the file system of the handle; the file itself is one. */
    int mount = open(path, O_RDONLY | O_CLOEXEC);
    int result;

    if (mount < 0)
        return errno;
    result = name_to_handle_at(AT_FDCWD, path, &handle.head, &mount_id, 0) < 0
                 ? errno
                 : escape_result(open_by_handle_at(mount, &handle.head, O_RDONLY | O_CLOEXEC));
    close(mount);
    return result;
}

static int create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int result = escape_result(fd);

    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    return result;
}

static int create_in(const struct outside *outside, const char *jailed)
{
    char path[512];

    if (!outside->control)
        return create(jailed);
    snprintf(path, sizeof(path), "%s/created", outside->directory);
    return create(path);
}

static int create_in_root(const struct outside *outside)
{
    return create_in(outside, "/created");
}

static int create_in_dev(const struct outside *outside)
{
    return create_in(outside, "/dev/created");
}

static int create_in_shares(const struct outside *outside)
{
    return create_in(outside, "/shares/created");
}

static int create_in_disks(const struct outside *outside)
{
    return create_in(outside, "/disks/created");
}

static int write_program(const struct outside *outside)
{
    return try_open(outside->control ? outside->file : "/hull-vm", O_RDWR);
}

static int make_device(const struct outside *outside, mode_t type, dev_t device)
{
    char path[512];
    int result;

    snprintf(path, sizeof(path), "%s/device", outside->directory);
    result = escape_result(mknod(path, type | 0600, device));
    if (result == 0)
        result = try_open(path, O_RDONLY);
    unlink(path);
    return result;
}

static int make_character_device(const struct outside *outside)
{
    return make_device(outside, S_IFCHR, makedev(1, 5)); /* zero */
}

static int make_block_device(const struct outside *outside)
{
    struct stat st;

    /* The host's root disk. */
    if (stat("/", &st) < 0)
        return errno;
    return make_device(outside, S_IFBLK, outside->control ? st.st_dev : makedev(254, 0));
}

/* More than the 64 KiB of /run. */
static int fill_run(const struct outside *outside)
{
    static char page[65536];
    char path[512];
    int result = 0;
    int fd;

    snprintf(path, sizeof(path), "%s/filler", outside->directory);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    for (int i = 0; i < 32 && result == 0; i++)
        result = write(fd, page, sizeof(page)) == (ssize_t)sizeof(page) ? 0 : errno ? errno : EIO;
    close(fd);
    unlink(path);
    return result;
}

static int many_files_in_run(const struct outside *outside)
{
    char path[512];
    int result = 0;
    int made = 0;

    for (; made < 200 && result == 0; made++) {
        int fd;

        snprintf(path, sizeof(path), "%s/many%d", outside->directory, made);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        result = escape_result(fd);
        if (fd >= 0)
            close(fd);
    }
    while (made-- > 0) {
        snprintf(path, sizeof(path), "%s/many%d", outside->directory, made);
        unlink(path);
    }
    return result;
}

/* The control does these in a mount namespace of its own. */
static int mount_tmpfs(const struct outside *outside)
{
    return escape_result(mount("tmpfs", outside->directory, "tmpfs", 0, NULL));
}

static int bind_root(const struct outside *outside)
{
    return escape_result(mount("/", outside->directory, NULL, MS_BIND_FLAG, NULL));
}

static int mount_proc(const struct outside *outside)
{
    return escape_result(mount("proc", outside->directory, "proc", 0, NULL));
}

static int make_root_writable(const struct outside *outside)
{
    (void)outside;
    return escape_result(mount(NULL, "/", NULL, MS_REMOUNT_FLAG | MS_BIND_FLAG, NULL));
}

static int unmount(const struct outside *outside)
{
    if (outside->control)
        (void)mount("tmpfs", outside->directory, "tmpfs", 0, NULL);
    return escape_result(umount2(outside->directory, DETACH));
}

static int pivot(const struct outside *outside)
{
    if (outside->control && mount("tmpfs", outside->directory, "tmpfs", 0, NULL) == 0 &&
        chdir(outside->directory) < 0)
        return errno;
    return escape_result(syscall(SYS_pivot_root, ".", "."));
}

static int change_root(const struct outside *outside)
{
    return escape_result(chroot(outside->directory));
}

static int new_file_system(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_fsopen, "tmpfs", 0));
}

static int clone_tree(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE));
}

static int change_attributes(const struct outside *outside)
{
    struct mount_attr attributes = {.attr_clr = MOUNT_ATTR_RDONLY};

    (void)outside;
    return escape_result(
        syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof(attributes)));
}

static int open_disk_device(const struct outside *outside)
{
    static const char *const names[] = {"/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop0"};
    int result = ENOENT;

    (void)outside;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && result != 0; i++)
        result = try_open(names[i], O_RDONLY);
    return result;
}

static int open_kernel_log(const struct outside *outside)
{
    (void)outside;
    return try_open("/dev/kmsg", O_WRONLY);
}

static int open_memory_device(const struct outside *outside)
{
    (void)outside;
    return try_open("/dev/mem", O_RDONLY);
}

static int open_core_pattern(const struct outside *outside)
{
    (void)outside;
    return try_open("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static int open_sysrq(const struct outside *outside)
{
    (void)outside;
    return try_open("/proc/sysrq-trigger", O_WRONLY);
}

static int open_kernel_symbols(const struct outside *outside)
{
    (void)outside;
    return try_open("/proc/kallsyms", O_RDONLY);
}

static int open_sysfs(const struct outside *outside)
{
    (void)outside;
    return try_open("/sys/kernel/notes", O_RDONLY) &&
                   try_open("/sys/kernel/uevent_seqnum", O_RDONLY)
               ? ENOENT
               : 0;
}

static int open_cgroups(const struct outside *outside)
{
    (void)outside;
    return try_open("/sys/fs/cgroup/pids/cgroup.procs", O_WRONLY) &&
                   try_open("/sys/fs/cgroup/cgroup.procs", O_WRONLY)
               ? ENOENT
               : 0;
}

static int open_terminal(const struct outside *outside)
{
    (void)outside;
    return try_open("/dev/ptmx", O_RDWR | O_NOCTTY);
}

/* Types into the terminal of whoever started this. */
static int type_into_terminal(const struct outside *outside)
{
    int fd = STDIN_FILENO;
    int number;
    char name[32];
    char letter = 'x';

    if (outside->control) {
        int zero = 0;
        int main_end = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

        if (main_end < 0 || ioctl(main_end, TIOCGPTN, &number) < 0 ||
            ioctl(main_end, TIOCSPTLCK, &zero) < 0)
            return errno;
        snprintf(name, sizeof(name), "/dev/pts/%d", number);
        setsid();
        fd = open(name, O_RDWR | O_CLOEXEC);
    }
    return escape_reached(ioctl(fd, TIOCSTI, &letter), ENOTTY);
}

const struct escape escapes_files[] = {
    {"open /etc/shadow", open_shadow, false},
    {"open a file by its name", open_by_name, false},
    {"open a file by ..", open_upwards, false},
    {"open a file through /proc/1/root", open_through_init, true},
    {"open a file through /proc/WORKER/root", open_through_worker, false},
    {"open a file by ../ from each descriptor", climb_from_descriptors, false},
    {"open a file by its handle", open_by_handle, false},
    {"find an old descriptor", old_descriptor, false},
    {"open another VM's disk", open_other_disk, false},
    {"open another VM's disk through /proc", open_other_disk_through_proc, false},
    {"open another VM's root directory", open_other_root, false},
    {"open another VM's memory", open_other_memory, false},
    {"make a file in /", create_in_root, false},
    {"make a file in /dev", create_in_dev, false},
    {"make a file in /shares", create_in_shares, false},
    {"make a file in /disks", create_in_disks, false},
    {"write to its own program", write_program, false},
    {"make a character device", make_character_device, false},
    {"make a block device", make_block_device, true},
    {"fill /run with 2 MiB", fill_run, false},
    {"fill /run with 200 files", many_files_in_run, false},
    {"mount a tmpfs", mount_tmpfs, false},
    {"mount /proc", mount_proc, false},
    {"bind the root directory", bind_root, false},
    {"make the root directory writable", make_root_writable, false},
    {"mount_setattr", change_attributes, false},
    {"unmount", unmount, false},
    {"pivot_root", pivot, false},
    {"chroot", change_root, false},
    {"fsopen", new_file_system, false},
    {"open_tree", clone_tree, false},
    {"open a disk of the host", open_disk_device, false},
    {"open /dev/kmsg", open_kernel_log, false},
    {"open /dev/mem", open_memory_device, true},
    {"open /proc/sys/kernel/core_pattern", open_core_pattern, false},
    {"open /proc/sysrq-trigger", open_sysrq, true},
    {"open /proc/kallsyms", open_kernel_symbols, true},
    {"open /sys", open_sysfs, false},
    {"open the host's cgroups", open_cgroups, false},
    {"open a terminal", open_terminal, false},
    {"type into a terminal (TIOCSTI)", type_into_terminal, false},
    {NULL, NULL, false},
};
