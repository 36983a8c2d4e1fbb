/* hull-worker DIRECTORY: runs the one container that DIRECTORY/worker.json describes.
 *
 * Started by compute_worker_spawn(): descriptor 3 is this program's own file (closed here), on 4 it
 * says "READY pid" or what is wrong, and stderr is DIRECTORY/worker.log, to which it writes at most
 * LOG_LINES_MAX lines. */
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "compute/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { FD_PROGRAM = 3, FD_READY = 4, LOG_LINES_MAX = 1000 };

static void log_line(const char *text, void *data)
{
    int *lines = data;

    if (++*lines <= LOG_LINES_MAX)
        log_warning("%s", text);
    if (*lines == LOG_LINES_MAX)
        log_warning("further messages are not written");
}

static void on_signal(struct loop_source *source, uint32_t events)
{
    struct signalfd_siginfo info;

    (void)events;
    while (read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        worker_stop(source->data);
}

/* False when whoever started the worker does not listen any more. */
static bool say(const char *text)
{
    bool heard;

    if (fcntl(FD_READY, F_GETFD) < 0)
        return true; /* started by hand */
    heard = fd_write_full(FD_READY, text, strlen(text)) >= 0;
    (void)fd_close(FD_READY);
    return heard;
}

static bool say_ready(void)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "READY %d\n", (int)getpid());
    return say(text);
}

static int run(const char *directory, int *lines, struct error *err)
{
    struct loop_source signals = LOOP_SOURCE_INIT;
    struct loop *loop = NULL;
    struct worker *worker = NULL;
    sigset_t set;
    int r = loop_new(&loop, err);

    if (r >= 0)
        r = worker_new(loop, directory, log_line, lines, &worker, err);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (r >= 0) {
        r = loop_add_signals(loop, &signals, &set, on_signal, worker);
        if (r < 0)
            (void)error_set_errno(err, r, "watching for signals");
    }
    if (r >= 0) {
        r = say_ready() ? worker_run(worker) : -EPIPE;
        if (r < 0)
            (void)error_set_errno(err, r, "running");
    }
    loop_remove(&signals);
    worker_free(worker);
    loop_free(loop);
    return r;
}

int main(int argc, char **argv)
{
    struct error error = ERROR_INIT;
    int lines = 0;

    log_open("hull-worker", LOG_LEVEL_INFO);
    if (argc != 2) {
        log_error("usage: hull-worker DIRECTORY");
        return EXIT_FAILURE;
    }
    worker_keep_arguments(argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* Started by its descriptor, ps(1) would call it "3". */
    (void)prctl(PR_SET_NAME, "hull-worker", 0, 0, 0);
    if (fcntl(FD_READY, F_GETFD) >= 0) {
        (void)fd_set_cloexec(FD_READY, true);
        (void)close(FD_PROGRAM);
        /* A worker is nobody's child: it outlives the engine, which then need not reap it. */
        pid_t pid = fork();
        if (pid != 0)
            _exit(pid < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
    }
    if (run(argv[1], &lines, &error) < 0) {
        log_error("%s", error.message);
        (void)say(error.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
