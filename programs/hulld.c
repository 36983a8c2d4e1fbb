/* hulld, the container engine: reads its configuration, opens the engine, serves the API until it
 * is told to stop. Containers go on without it. */
#include "api/daemon_config.h"
#include "api/daemon_paths.h"
#include "api/handlers.h"
#include "api/listen.h"
#include "api/server.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strings.h"
#include "engine/engine.h"
#include "image/image.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    STOP_SECONDS = 10,
    PIDFILE_MODE = 0644,
    HEAP_BLOCK_MOST = 64 * 1024,
    HEAP_TRIM = 256 * 1024,
};

static void report(void *data, const char *method, const char *path, unsigned status,
                   const char *message)
{
    (void)data;
    if (status >= 500)
        log_error("%s %s: %u %s", method, path, status, message);
    else
        log_debug("%s %s: %u %s", method, path, status, message);
}

static void complain(void *data, const char *text)
{
    (void)data;
    log_debug("http: %s", text);
}

/* A thread for each connection would get an arena of its own, which keeps what it once touched; and
 * a connection's buffers, once they come from the heap, pages that others have touched. Without
 * this each running container costs twice to three times as much. */
static void tame_heap(void)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_MOST);
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_TRIM);
}

/* Requests that still work after so long are given up; nothing is lost that a crash would not lose.
 */
static void give_up(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

/* Blocked here and so in all threads: the main thread takes them from sigwait(3). */
static void prepare_signals(sigset_t *ret)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, give_up);
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    pthread_sigmask(SIG_BLOCK, ret, NULL);
}

static int write_pidfile(const char *path, struct error *err)
{
    CLEANUP_FREE char *text = string_format("%d\n", (int)getpid());

    if (!path)
        return 0;
    if (!text)
        return error_oom(err);
    return file_write_atomic(AT_FDCWD, path, text, strlen(text), PIDFILE_MODE, err);
}

/* Serves until a signal comes. The engine's lock on its root was taken before the sockets. */
static int serve(const struct daemon_config *config, struct engine *engine, const sigset_t *signals,
                 struct error *err)
{
    CLEANUP(listeners_release) struct listeners listeners = LISTENERS_INIT;
    struct server *server = NULL;
    int received = 0;
    int r = listeners_open(config->hosts, DAEMON_HOST, config->group, &listeners, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < strv_length(listeners.warnings); i++)
        log_warning("%s", listeners.warnings[i]);
    r = server_start(
        &(const struct server_config){
            .table = *api_routes(),
            .context = engine,
            .listen_fds = listeners.fds,
            .n_listen_fds = listeners.n,
            .version = HULL_VERSION,
            .report = report,
            .complain = complain,
        },
        &server, err);
    if (r < 0)
        return r;
    r = write_pidfile(config->pidfile, err);
    if (r == 0) {
        listen_notify("READY=1");
        log_info("API listening");
        (void)sigwait(signals, &received);
        log_info("stopping on signal %d; containers go on", received);
    }
    listen_notify("STOPPING=1");
    (void)alarm(STOP_SECONDS);
    server_stop(server);
    if (config->pidfile)
        unlink(config->pidfile);
    return r;
}

static int run(struct daemon_config *config, struct error *err)
{
    struct engine_config engine_config;
    struct engine *engine = NULL;
    sigset_t signals;
    int r = daemon_paths_find(config, HULL_LIBEXECDIR, err);

    if (r < 0)
        return r;
    prepare_signals(&signals);
    r = image_library_init(err);
    if (r < 0)
        return r;
    daemon_config_engine(config, &engine_config);
    r = engine_open(&engine_config, &engine, err);
    if (r < 0)
        return r;
    r = serve(config, engine, &signals, err);
    engine_close(engine);
    return r;
}

int main(int argc, char **argv)
{
    CLEANUP(daemon_config_release) struct daemon_config config = DAEMON_CONFIG_INIT;
    struct error error = ERROR_INIT;
    int r;

    tame_heap();
    r = daemon_config_parse(&config, argc, argv, &error);
    if (r == 0 && config.help) {
        daemon_config_help(stdout);
        return EXIT_SUCCESS;
    }
    if (r == 0 && config.version) {
        printf("hulld version %s\n", HULL_VERSION);
        return EXIT_SUCCESS;
    }
    if (r == 0)
        r = daemon_config_load(&config, &error);
    if (r == 0)
        r = daemon_config_resolve(&config, &error);
    log_open("hulld", r == 0 ? config.log_level : LOG_LEVEL_INFO);
    if (r == 0)
        r = run(&config, &error);
    if (r < 0) {
        log_error("%s", error.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
