/* Pid 1 of a guest that does what it is told with files: the test's half inside of a VM. Static.
 * Commands come on the link, one a line, and each is answered by one line: the result, or the name
 * of the error.
 *
 *   mount SOURCE TARGET     hostfs, of a path of the VMM's (SOURCE) at TARGET, made if need be; in
 *                           QEMU a bind mount of what the device `hull` has, on /shares, instead of
 *                           what was there
 *   bind FILE TARGET        binds a file
 *   stat PATH               "TYPE MODE UID GID SIZE"
 *   list PATH               names, in order, separated by spaces
 *   read PATH               first line of the content
 *   write PATH TEXT         replaces the content (makes the file, mode 0644)
 *   as UID                  from now on a program's user and group; 0 goes back
 *   mkdir, rmdir, unlink, mkfifo PATH
 *   chmod OCTAL PATH        chown UID PATH (and the group)
 *   symlink, link, rename FROM TO
 *   readlink PATH           mknod PATH (a character device 1 5)
 *   create OCTAL PATH       an empty file or, with 4xxxx, a directory of that mode
 *   times PATH              "ATIME MTIME" in nanoseconds
 *   touch NANOSECONDS PATH  sets both
 *   now PATH                sets both to the time that it is
 *   window PATH             maps it, to be read ahead in large windows: "ok" if each of its pages
 *                           begins with its number
 *   truncate SIZE PATH
 *   hold PATH               keeps it open for reading until the next hold
 *   held                    first line of the content of what is held, read from its beginning
 *   size                    size of what is held
 *   reopen                  opens what is held once more, for writing
 *   map PATH                opens and maps its first page until the next map
 *   store OFFSET TEXT       through the mapping
 *   look OFFSET             a line of the mapping
 *   settle                  writes the mapping back
 *   put OFFSET TEXT         writes to what is mapped
 *   add TEXT                writes to its end, wherever that is on the host
 *   mount-image DEVICE      an EROFS image, at /image
 *   copy BLOCK FROM TO      what FROM has, BLOCK bytes at a time, and fsync
 *   stress SEED STEPS PATH  STEPS random steps with a file: "SIZE SUM" of its content in the end
 *   append TIMES PATH       TIMES lines "guest NUMBER" at the end
 *   work PATH               writes, reads, makes, looks at and removes files below PATH; the times
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

enum { LINE_MAX_ = 2048 };

static char answer[LINE_MAX_];

static const char *result(long r)
{
    return r < 0 ? strerrorname_np(errno) : "ok";
}

static bool in_qemu;

static const char *do_mount(const char *source, const char *target)
{
    mkdir(target, 0755);
    if (in_qemu) {
        umount2(target, MNT_DETACH); /* of the test before */
        return result(mount(source, target, NULL, MS_BIND, NULL));
    }
    return result(mount("share", target, "hostfs", 0, source));
}

static const char *do_bind(const char *source, const char *target)
{
    close(open(target, O_CREAT | O_RDONLY | O_CLOEXEC, 0644));
    return result(mount(source, target, NULL, MS_BIND, NULL));
}

static const char *do_stat(const char *path, const char *unused)
{
    struct stat st;

    (void)unused;
    if (lstat(path, &st) < 0)
        return result(-1);
    snprintf(answer, sizeof(answer), "%o %o %u %u %lld", st.st_mode >> 12, st.st_mode & 07777,
             st.st_uid, st.st_gid, (long long)st.st_size);
    return answer;
}

static const char *do_list(const char *path, const char *unused)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);

    (void)unused;
    if (n < 0)
        return result(-1);
    answer[0] = '\0';
    for (int i = 0; i < n; i++) {
        size_t length = strlen(answer);

        if (entries[i]->d_name[0] != '.')
            snprintf(answer + length, sizeof(answer) - length, "%s%s", length ? " " : "",
                     entries[i]->d_name);
    }
    return answer;
}

static const char *do_read(const char *path, const char *unused)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, answer, sizeof(answer) - 1);
    const char *text = result(n);

    (void)unused;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return text;
    answer[n] = '\0';
    answer[strcspn(answer, "\n")] = '\0';
    return answer;
}

static const char *do_write(const char *path, const char *content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const char *text = result(fd < 0 ? -1 : write(fd, content, strlen(content)));

    if (fd >= 0 && close(fd) < 0)
        return result(-1);
    return text;
}

/* File system ids and not the process's own, so that it can go back. */
static const char *do_as(const char *uid, const char *unused)
{
    unsigned id = (unsigned)strtoul(uid, NULL, 10);

    (void)unused;
    setfsgid(id);
    setfsuid(id);
    return "ok";
}

static const char *do_mkdir(const char *path, const char *unused)
{
    (void)unused;
    return result(mkdir(path, 0755));
}

static const char *do_rmdir(const char *path, const char *unused)
{
    (void)unused;
    return result(rmdir(path));
}

static const char *do_unlink(const char *path, const char *unused)
{
    (void)unused;
    return result(unlink(path));
}

static const char *do_mkfifo(const char *path, const char *unused)
{
    (void)unused;
    return result(mkfifo(path, 0600));
}

static const char *do_mknod(const char *path, const char *unused)
{
    (void)unused;
    return result(mknod(path, S_IFCHR | 0600, makedev(1, 5)));
}

static const char *do_chmod(const char *mode, const char *path)
{
    return result(chmod(path, (mode_t)strtoul(mode, NULL, 8)));
}

static const char *do_chown(const char *uid, const char *path)
{
    unsigned id = (unsigned)strtoul(uid, NULL, 10);

    return result(lchown(path, id, id));
}

static const char *do_symlink(const char *target, const char *path)
{
    return result(symlink(target, path));
}

static const char *do_link(const char *from, const char *to)
{
    return result(link(from, to));
}

static const char *do_rename(const char *from, const char *to)
{
    return result(rename(from, to));
}

static const char *do_readlink(const char *path, const char *unused)
{
    ssize_t n = readlink(path, answer, sizeof(answer) - 1);

    (void)unused;
    if (n < 0)
        return result(-1);
    answer[n] = '\0';
    return answer;
}

static const char *do_create(const char *mode, const char *path)
{
    mode_t value = (mode_t)strtoul(mode, NULL, 8);
    int fd;

    if (S_ISDIR(value))
        return result(mkdir(path, value & 07777));
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, value);
    if (fd >= 0)
        close(fd);
    return result(fd);
}

static const char *do_times(const char *path, const char *unused)
{
    struct stat st;

    (void)unused;
    if (lstat(path, &st) < 0)
        return result(-1);
    snprintf(answer, sizeof(answer), "%lld.%09ld %lld.%09ld", (long long)st.st_atim.tv_sec,
             st.st_atim.tv_nsec, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return answer;
}

static const char *do_touch(const char *time, const char *path)
{
    long long value = strtoll(time, NULL, 10);
    struct timespec when = {.tv_sec = value / 1000000000, .tv_nsec = value % 1000000000};
    struct timespec times[2] = {when, when};

    return result(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

static const char *do_now(const char *path, const char *unused)
{
    (void)unused;
    return result(utimensat(AT_FDCWD, path, NULL, 0));
}

static const char *do_window(const char *path, const char *unused)
{
    enum { PAGE = 4096 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    (void)unused;
    if (fd < 0 || fstat(fd, &st) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL) != 0)
        return result(-1);
    const char *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return result(-1);
    for (off_t page = 0; page < st.st_size / PAGE; page++) {
        int number;

        memcpy(&number, map + page * PAGE, sizeof(number));
        if (number != page) {
            snprintf(answer, sizeof(answer), "page %lld has %d", (long long)page, number);
            return answer;
        }
    }
    munmap((void *)(uintptr_t)map, (size_t)st.st_size);
    close(fd);
    return "ok";
}

static const char *do_truncate(const char *size, const char *path)
{
    return result(truncate(path, strtoll(size, NULL, 10)));
}

static int held = -1;

static const char *do_hold(const char *path, const char *unused)
{
    (void)unused;
    if (held >= 0)
        close(held);
    held = open(path, O_RDONLY | O_CLOEXEC);
    return result(held);
}

static const char *do_held(const char *unused, const char *unused2)
{
    ssize_t n = pread(held, answer, sizeof(answer) - 1, 0);

    (void)unused;
    (void)unused2;
    if (n < 0)
        return result(n);
    answer[n] = '\0';
    answer[strcspn(answer, "\n")] = '\0';
    return answer;
}

static const char *do_size(const char *unused, const char *unused2)
{
    struct stat st;

    (void)unused;
    (void)unused2;
    if (fstat(held, &st) < 0)
        return result(-1);
    snprintf(answer, sizeof(answer), "%lld", (long long)st.st_size);
    return answer;
}

static const char *do_reopen(const char *unused, const char *unused2)
{
    char path[64];
    int fd;

    (void)unused;
    (void)unused2;
    mkdir("/proc", 0555);
    mount("proc", "/proc", "proc", 0, NULL);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return result(fd);
}

enum { MAPPED = 4096 };

static int mapped = -1;
static char *mapping = MAP_FAILED;

static const char *do_map(const char *path, const char *unused)
{
    (void)unused;
    if (mapped >= 0) {
        munmap(mapping, MAPPED);
        close(mapped);
    }
    mapped = open(path, O_RDWR | O_CLOEXEC);
    mapping = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
    return result(mapping == MAP_FAILED ? -1 : 0);
}

static const char *do_store(const char *offset, const char *text)
{
    char *at = mapping + strtoul(offset, NULL, 10);

    while (*text)
        *at++ = *text++;
    return "ok";
}

static const char *do_look(const char *offset, const char *unused)
{
    (void)unused;
    snprintf(answer, sizeof(answer), "%.100s", mapping + strtoul(offset, NULL, 10));
    answer[strcspn(answer, "\n")] = '\0';
    return answer;
}

static const char *do_settle(const char *unused, const char *unused2)
{
    (void)unused;
    (void)unused2;
    return result(msync(mapping, MAPPED, MS_SYNC));
}

static const char *do_put(const char *offset, const char *text)
{
    return result(pwrite(mapped, text, strlen(text), strtoll(offset, NULL, 10)));
}

static const char *do_add(const char *text, const char *unused)
{
    const char *outcome;

    (void)unused;
    fcntl(mapped, F_SETFL, O_APPEND);
    outcome = result(write(mapped, text, strlen(text)));
    fcntl(mapped, F_SETFL, 0);
    return outcome;
}

#include "share-stress.h"
#include "share-work.h"

static const char *do_mount_image(const char *device, const char *unused)
{
    (void)unused;
    mkdir("/image", 0755);
    return result(mount(device, "/image", "erofs", MS_RDONLY, NULL));
}

static const char *copy(int from, int to, size_t block)
{
    /* Not where a page begins, as a program's memory mostly is. */
    static char memory[2 * 1024 * 1024 + 16];
    char *at = memory + 16;
    ssize_t n;

    while ((n = read(from, at, block)) > 0)
        if (write(to, at, (size_t)n) != n)
            return result(-1);
    return result(n < 0 ? n : fsync(to));
}

static const char *do_copy(const char *block, const char *rest)
{
    size_t length = strcspn(rest, " ");
    char *from = strndup(rest, length);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(rest + length + 1, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    const char *text = in < 0 || out < 0 ? result(-1) : copy(in, out, strtoul(block, NULL, 10));

    free(from);
    close(in);
    close(out);
    return text;
}

static const char *do_stress(const char *seed, const char *rest)
{
    char *path;
    unsigned steps = (unsigned)strtoul(rest, &path, 10);

    stress(path + strspn(path, " "), strtoull(seed, NULL, 10), steps, answer, sizeof(answer));
    return answer;
}

static const char *do_append(const char *times, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int n = (int)strtoul(times, NULL, 10);
    int r = fd;

    for (int i = 0; i < n && r >= 0; i++)
        r = dprintf(fd, "guest %d\n", i);
    if (fd >= 0)
        close(fd);
    return result(r);
}

static const char *do_work(const char *path, const char *unused)
{
    (void)unused;
    return work(path, answer, sizeof(answer)) < 0 ? result(-1) : answer;
}

static const struct {
    const char *name;
    const char *(*run)(const char *first, const char *second);
} commands[] = {
    {"mount", do_mount},     {"bind", do_bind},
    {"stat", do_stat},       {"list", do_list},
    {"read", do_read},       {"write", do_write},
    {"as", do_as},           {"mkdir", do_mkdir},
    {"rmdir", do_rmdir},     {"unlink", do_unlink},
    {"mkfifo", do_mkfifo},   {"mknod", do_mknod},
    {"chmod", do_chmod},     {"chown", do_chown},
    {"symlink", do_symlink}, {"link", do_link},
    {"rename", do_rename},   {"readlink", do_readlink},
    {"create", do_create},   {"times", do_times},
    {"touch", do_touch},     {"now", do_now},
    {"window", do_window},   {"truncate", do_truncate},
    {"hold", do_hold},       {"held", do_held},
    {"size", do_size},       {"reopen", do_reopen},
    {"map", do_map},         {"store", do_store},
    {"look", do_look},       {"settle", do_settle},
    {"put", do_put},         {"add", do_add},
    {"work", do_work},       {"stress", do_stress},
    {"append", do_append},   {"mount-image", do_mount_image},
    {"copy", do_copy},
};

static const char *run(char *line)
{
    char *rest = line;
    const char *name = strsep(&rest, " ");
    const char *first = strsep(&rest, " ");

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(first ? first : "", rest ? rest : "");
    return "unknown";
}

static void load_modules(void)
{
    char name[256];
    FILE *list = fopen("/modules/modules.list", "r");

    while (list && fgets(name, sizeof(name), list)) {
        char path[300];

        name[strcspn(name, "\n")] = '\0';
        snprintf(path, sizeof(path), "/modules/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        syscall(SYS_finit_module, fd, "", 0);
        close(fd);
    }
    if (list)
        fclose(list);
}

/* Where the kernel finds devices in its own time. */
static int open_patiently(const char *path)
{
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

    for (int i = 0; i < 500 && fd < 0; i++) {
        poll(NULL, 0, 10);
        fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    return fd;
}

static int open_link(void)
{
    struct termios settings;
    int fd;

    in_qemu = access("/modules/modules.list", F_OK) == 0;
    if (in_qemu) {
        load_modules();
        mkdir("/shares", 0755);
        if (mount("hull", "/shares", "virtiofs", 0, NULL) < 0)
            perror("/shares");
        return open_patiently("/dev/vport0p1");
    }
    fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || tcgetattr(fd, &settings) < 0)
        return -1;
    cfmakeraw(&settings);
    settings.c_cflag |= CLOCAL | CREAD;
    tcsetattr(fd, TCSANOW, &settings);
    return fd;
}

int main(void)
{
    char line[LINE_MAX_];
    FILE *in;
    int fd;

    umask(0);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    fd = open_link();
    if (fd < 0)
        return 2;
    in = fdopen(fd, "r");
    if (!in || dprintf(fd, "ready\n") < 0)
        return 3;
    while (fgets(line, sizeof(line), in)) {
        line[strcspn(line, "\n")] = '\0';
        dprintf(fd, "%s\n", run(line));
    }
    return 4;
}
