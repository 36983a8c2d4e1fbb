/* process_run() of base/process.h: a helper program run to its end. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/timestamp.h"

enum {
    RUN_CHUNK = 4096,
    RUN_READS_MAX = 32, /* in a row, more than a full pipe holds; then back to the clock */
    RUN_TAIL_MAX = 512, /* of the output, quoted in an error */
};

struct run {
    struct process process;
    int output_fd; /* our end of stdout and stderr */
    struct buffer *output;
    bool output_full;
    char tail[RUN_TAIL_MAX + 1];
    size_t tail_length;
};

static void run_release(struct run *run)
{
    fd_close(run->output_fd);
    if (run->process.pid > 0) {
        process_signal(&run->process, SIGKILL);
        process_wait(&run->process, NULL);
    }
    process_release(&run->process);
}

/* `input` as a file to be stdin: nothing to feed while the program runs, and no SIGPIPE for us
 * when it does not read. */
static int input_file(const char *input)
{
    CLEANUP_CLOSE int fd = memfd_create("input", MFD_CLOEXEC);
    int r;

    if (fd < 0)
        return -errno;
    r = fd_write_full(fd, input, strlen(input));
    if (r < 0)
        return r;
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
}

static int run_start(struct run *run, char *const *argv, const char *input, struct error *err)
{
    CLEANUP_CLOSE int input_fd = -EBADF;
    CLEANUP_CLOSE int write_end = -EBADF;
    struct process_fd fds[3];
    struct process_spec spec = {
        .argv = argv,
        .fds = fds,
        .flags = PROCESS_SEARCH_PATH | PROCESS_DIE_WITH_PARENT,
    };
    int ends[2];
    int r;

    r = fd_pipe(0, ends);
    if (r < 0)
        return error_set_errno(err, r, "cannot start %s", argv[0]);
    run->output_fd = ends[0];
    write_end = ends[1];
    r = fd_set_nonblocking(run->output_fd, true);
    if (r == 0 && input)
        r = input_fd = input_file(input);
    if (r < 0)
        return error_set_errno(err, r, "cannot start %s", argv[0]);
    fds[spec.n_fds++] = (struct process_fd){.fd = write_end, .as = STDOUT_FILENO};
    fds[spec.n_fds++] = (struct process_fd){.fd = write_end, .as = STDERR_FILENO};
    if (input)
        fds[spec.n_fds++] = (struct process_fd){.fd = input_fd, .as = STDIN_FILENO};
    return process_spawn(&spec, &run->process, err);
}

static void tail_append(struct run *run, const char *data, size_t length)
{
    size_t keep;

    if (length > RUN_TAIL_MAX) {
        data += length - RUN_TAIL_MAX;
        length = RUN_TAIL_MAX;
    }
    keep = RUN_TAIL_MAX - length;
    if (keep > run->tail_length)
        keep = run->tail_length;
    memmove(run->tail, run->tail + run->tail_length - keep, keep);
    memcpy(run->tail + keep, data, length);
    run->tail_length = keep + length;
    run->tail[run->tail_length] = '\0';
}

/* Keeps what fits; the rest is read all the same, or the program would block. */
static int output_append(struct run *run, const char *data, size_t length)
{
    size_t room;

    if (!run->output || run->output_full)
        return 0;
    room = run->output->max - run->output->length;
    if (length > room) {
        length = room;
        run->output_full = true;
    }
    return buffer_append(run->output, data, length);
}

/* Reads what is there. 1: there may come more; 0: end of file; or -errno. */
static int run_drain(struct run *run)
{
    char chunk[RUN_CHUNK];

    for (int i = 0; i < RUN_READS_MAX; i++) {
        ssize_t n = read(run->output_fd, chunk, sizeof(chunk));
        int r;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 1 : -errno;
        if (n == 0)
            return 0;
        tail_append(run, chunk, (size_t)n);
        r = output_append(run, chunk, (size_t)n);
        if (r < 0)
            return r;
    }
    return 1;
}

static int time_left_ms(int64_t deadline)
{
    int64_t left;

    if (deadline == 0)
        return -1;
    left = (deadline - timestamp_monotonic() + 999999) / 1000000;
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* Collects output until the program has ended; grandchildren that keep its stdout are not waited
 * for. 0 or -errno. */
static int run_collect(struct run *run, int timeout_ms)
{
    int64_t deadline = timeout_ms > 0 ? timestamp_monotonic() + timeout_ms * INT64_C(1000000) : 0;
    struct pollfd fds[] = {
        {.fd = run->process.pidfd, .events = POLLIN},
        {.fd = run->output_fd, .events = POLLIN},
    };

    for (;;) {
        int left = time_left_ms(deadline);
        int n = poll(fds, 2, left);
        int r;

        if (n < 0 && errno != EINTR)
            return -errno;
        if (left == 0)
            return -ETIMEDOUT;
        if (n <= 0)
            continue;
        r = fds[1].revents ? run_drain(run) : 1;
        if (r < 0)
            return r;
        if (r == 0)
            fds[1].fd = -1; /* poll() skips it */
        if (fds[0].revents) {
            r = fds[1].fd >= 0 ? run_drain(run) : 0;
            return r < 0 ? r : 0;
        }
    }
}

static void tail_trim(struct run *run)
{
    while (run->tail_length > 0 && strchr(" \t\r\n", run->tail[run->tail_length - 1]))
        run->tail[--run->tail_length] = '\0';
}

int process_run(char *const *argv, const char *input, struct buffer *output, int timeout_ms,
                struct error *err)
{
    CLEANUP(run_release)
    struct run run = {.process = PROCESS_INIT, .output_fd = -EBADF, .output = output};
    int status;
    int r;

    r = run_start(&run, argv, input, err);
    if (r < 0)
        return r;
    r = run_collect(&run, timeout_ms);
    if (r == -ETIMEDOUT)
        return error_set(err, r, "%s did not end within %d ms", argv[0], timeout_ms);
    if (r == 0)
        r = process_wait(&run.process, &status);
    if (r < 0)
        return error_set_errno(err, r, "cannot run %s", argv[0]);
    if (status == 0)
        return 0;
    tail_trim(&run);
    if (run.tail_length == 0)
        return error_set(err, -EIO, "%s failed with status %d", argv[0], status);
    return error_set(err, -EIO, "%s failed with status %d: %s", argv[0], status, run.tail);
}
