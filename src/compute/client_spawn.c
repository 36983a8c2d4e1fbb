/* Starting a worker.
 *
 * The worker runs as root on the host, and for `process` it is the parent of container processes:
 * through /proc/PID/exe of a process that has not exec'd yet, a container's root could reach the
 * program file (CVE-2019-5736). So it runs from a read-only detached mount of its file
 * (open_tree(2), mount_setattr(2)); where the kernel has no such thing (before 5.12), from a sealed
 * copy in memory (memfd_create(2)). */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "compute/client.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    FD_PROGRAM = 3, /* closed by the worker at its start */
    FD_READY = 4,   /* it writes "READY pid\n" or an error text here */
    READY_TEXT_MAX = 2048,
    READY_TIMEOUT_MS = 10 * 1000,
};

static int open_read_only_view(const char *program)
{
    CLEANUP_CLOSE int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, program, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};

    if (tree < 0)
        return -errno;
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
        return -errno;
    return TAKE_FD(tree);
}

static int copy_sealed(const char *program)
{
    CLEANUP_CLOSE int file = open(program, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int memory = memfd_create("hull-worker", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (file < 0 || memory < 0)
        return -errno;
    int64_t n = fd_copy_all(file, memory);
    if (n < 0)
        return (int)n;
    if (fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        return -errno;
    return TAKE_FD(memory);
}

static int open_program(const char *program, struct error *err)
{
    int fd = open_read_only_view(program);

    if (fd == -ENOENT || fd == -EACCES)
        return error_set_errno(err, fd, "the worker program %s", program);
    if (fd < 0)
        fd = copy_sealed(program);
    return fd < 0 ? error_set_errno(err, fd, "copying the worker program %s", program) : fd;
}

/* Waits for the worker's word, "READY pid"; anything else is what went wrong. */
static int await_ready(int fd, pid_t *ret_pid, struct error *err)
{
    int pid;
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(READY_TEXT_MAX);

    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int n = poll(&poll_fd, 1, READY_TIMEOUT_MS);

        if (n == 0)
            return error_set(err, -ETIMEDOUT, "the worker did not get ready in time");
        if (n < 0 && errno != EINTR)
            return error_set_errno(err, -errno, "poll");
        if (n < 0)
            continue;
        char *space = buffer_reserve(&text, 256);
        if (!space)
            break;
        ssize_t got = read(fd, space, 256);
        if (got <= 0)
            break;
        buffer_commit(&text, (size_t)got);
    }
    if (string_starts_with(buffer_string(&text), "READY ") && text.data[text.length - 1] == '\n') {
        text.data[text.length - 1] = '\0';
        if (string_to_int(text.data + strlen("READY "), 1, INT32_MAX, &pid) >= 0) {
            *ret_pid = (pid_t)pid;
            return 0;
        }
    }
    return error_set(err, -EIO, "the worker could not start: %s",
                     text.length > 0 ? buffer_string(&text) : "it ended without a word");
}

static int spawn(int program, int ready, int log, const char *directory, struct process *ret,
                 struct error *err)
{
    char path[64];
    const char *const argv[] = {"hull-worker", directory, NULL};
    const struct process_fd fds[] = {{log, 1}, {log, 2}, {program, FD_PROGRAM}, {ready, FD_READY}};

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", FD_PROGRAM);
    const struct process_spec spec = {
        .path = path,
        .argv = (char *const *)(uintptr_t)argv,
        .directory = "/",
        .fds = fds,
        .n_fds = sizeof(fds) / sizeof(fds[0]),
        .flags = PROCESS_SETSID,
    };
    return process_spawn(&spec, ret, err);
}

int compute_worker_spawn(const char *worker_program, const char *directory, const char *runtime_dir,
                         pid_t *ret_pid, struct error *err)
{
    CLEANUP_FREE char *log_path = path_join(directory, "worker.log");
    CLEANUP(process_release) struct process process = PROCESS_INIT;
    pid_t pid = 0;
    int status;
    int ends[2];
    int r;

    if (!log_path)
        return error_oom(err);
    r = path_make_dirs(runtime_dir, 0700, err);
    if (r < 0)
        return r;
    CLEANUP_CLOSE int program = open_program(worker_program, err);
    if (program < 0)
        return program;
    CLEANUP_CLOSE int log =
        open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log < 0)
        return error_set_errno(err, -errno, "opening %s", log_path);
    if ((r = fd_pipe(0, ends)) < 0)
        return error_set_errno(err, r, "making a pipe");
    CLEANUP_CLOSE int from_worker = ends[0];
    CLEANUP_CLOSE int to_us = ends[1];
    r = spawn(program, to_us, log, directory, &process, err);
    to_us = fd_close(to_us);
    if (r < 0)
        return error_wrap(err, r, "starting %s", worker_program);
    /* The program forks at once, so that the worker is nobody's child; this one ends. If it is not
     * heard in time, its own word of readiness fails and it ends, too. */
    (void)process_wait(&process, &status);
    r = await_ready(from_worker, &pid, err);
    if (r >= 0 && ret_pid)
        *ret_pid = pid;
    return r;
}
