/* Throughput of a directory: the same work in the guest and on the host. */
#include <stdint.h>
#include <time.h>

enum { WORK_BYTES = 1024 * 1024 * 1024, WORK_FILES = 10000, WORK_BLOCK = 1024 * 1024 };

static double work_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* "write read create stat unlink" in seconds. */
static int work(const char *path, char *ret, size_t size)
{
    static char block[WORK_BLOCK];
    char name[512];
    struct stat st;
    double t[6];
    int fd;

    snprintf(name, sizeof(name), "%s/big", path);
    fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    t[0] = work_now();
    for (size_t i = 0; i < WORK_BYTES / WORK_BLOCK; i++)
        if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
            return -1;
    close(fd);
    t[1] = work_now();
    fd = open(name, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < WORK_BYTES / WORK_BLOCK; i++)
        if (read(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
            return -1;
    close(fd);
    unlink(name);
    t[2] = work_now();
    for (int i = 0; i < WORK_FILES; i++) {
        snprintf(name, sizeof(name), "%s/f%d", path, i);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 || close(fd) < 0)
            return -1;
    }
    t[3] = work_now();
    for (int i = 0; i < WORK_FILES; i++) {
        snprintf(name, sizeof(name), "%s/f%d", path, i);
        if (stat(name, &st) < 0)
            return -1;
    }
    t[4] = work_now();
    for (int i = 0; i < WORK_FILES; i++) {
        snprintf(name, sizeof(name), "%s/f%d", path, i);
        if (unlink(name) < 0)
            return -1;
    }
    t[5] = work_now();
    snprintf(ret, size, "%.3f %.3f %.3f %.3f %.3f", t[1] - t[0], t[2] - t[1], t[3] - t[2],
             t[4] - t[3], t[5] - t[4]);
    return 0;
}
