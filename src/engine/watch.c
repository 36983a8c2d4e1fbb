/* The loop thread: one connection to each worker, and what is heard there.
 *
 * A worker's connection ends when the worker does. What it said last (the exit event), or else its
 * exit.json, or else the bare fact that it is gone, decides how the container ended. */
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/client.h"
#include "compute/exit_record.h"
#include "engine/private.h"

enum { EXIT_VANISHED = 137 };

/* A connection on its way to the loop thread. */
struct adoption {
    struct list node;
    struct container *container; /* a reference */
    struct compute_client *client;
};

static void worker_heard(struct loop_source *source, uint32_t events);

static void record_from_disk(const struct container *container, struct exit_record *record)
{
    *record = (struct exit_record){0};
    if (exit_record_read(container->directory, record, NULL) == 0)
        return;
    record->code = EXIT_VANISHED;
    record->finished = timestamp_now();
    string_copy(record->reason, sizeof(record->reason),
                "the container's worker process ended unexpectedly");
}

/* moby, restartmanager.ShouldRestart. */
static bool restart_wanted(const struct container *container, int code)
{
    const json_t *policy = json_object_get(container->host_config, "RestartPolicy");
    const char *name = json_string_value(json_object_get(policy, "Name"));
    if (container->no_restart || string_is_empty(name))
        return false;
    if (string_equal(name, "always"))
        return true;
    if (string_equal(name, "unless-stopped"))
        return !container->stopped_by_user;
    if (!string_equal(name, "on-failure") || code == 0)
        return false;
    json_int_t most = json_integer_value(json_object_get(policy, "MaximumRetryCount"));
    return most == 0 || container->restart_count < most;
}

/* docker waits 100 ms before the first restart and doubles up to a minute; ten seconds of running
 * begin anew. */
static int64_t restart_delay_ms(struct container *container)
{
    if (container->finished - container->started >= 10LL * 1000000000)
        container->restart_backoff = 0;
    int shift = container->restart_backoff < 10 ? container->restart_backoff++ : 10;
    int64_t delay = 100LL << shift;
    return delay > 60000 ? 60000 : delay;
}

/* Call under the state lock. */
static void announce_exit(struct container *container, const struct exit_record *record)
{
    char code[8];
    char seconds[24];
    (void)snprintf(code, sizeof(code), "%d", record->code);
    int64_t ran = (record->finished - container->started) / 1000000000;
    (void)snprintf(seconds, sizeof(seconds), "%lld", (long long)(ran > 0 ? ran : 0));
    if (record->oom_killed)
        engine_emit_container_locked(container->engine, container, "oom", NULL);
    engine_emit_container_locked(
        container->engine, container, "die",
        json_pack("{s:s, s:s}", "exitCode", code, "execDuration", seconds));
}

/* The container's first process is over, unless that was known already. */
static void container_ended(struct container *container, const struct exit_record *record)
{
    struct engine *engine = container->engine;
    engine_execs_container_ended(engine, container);
    ENGINE_STATE(engine);
    /* A start that failed is told to whoever asked for it, and is no exit. */
    if (!container_is_running(container) && (!container->start_requested || record->started == 0))
        return;
    /* It was over before the thread that starts it heard of its start. */
    if (container->start_requested)
        engine_emit_container_locked(engine, container, "start", NULL);
    container->start_requested = false;
    container->worker_spent = true;
    container->pid = 0;
    container->exit_code = record->code;
    container->oom_killed = record->oom_killed;
    container->finished = record->finished;
    string_copy(container->error, sizeof(container->error), record->reason);
    bool again = restart_wanted(container, record->code);
    container->status = again ? CONTAINER_RESTARTING : CONTAINER_EXITED;
    if (again) {
        int64_t delay = restart_delay_ms(container);
        container->restart_count++;
        janitor_queue(engine->janitor, JANITOR_RESTART, container, container->run, delay);
    }
    (void)container_save(container, NULL);
    announce_exit(container, record);
    engine_notify_waits(engine, container, ENGINE_NOTICE_EXIT);
    trace_now(&container->trace, TRACE_TOLD);
}

static void exit_event(struct container *container, const json_t *event)
{
    const char *exec = "";
    struct exit_record record;
    (void)json_get_string(event, "exec", &exec, NULL);
    if (!string_is_empty(exec)) {
        int code = 0;
        (void)json_get_int(event, "code", 0, 255, &code, NULL);
        engine_exec_ended(container->engine, exec, code);
        engine_emit_container(
            container->engine, container, "exec_die",
            json_pack("{s:s, s:o}", "execID", exec, "exitCode", json_sprintf("%d", code)));
        return;
    }
    /* The worker wrote the record before it told us. */
    record_from_disk(container, &record);
    container_ended(container, &record);
}

/* The loop watches a descriptor of its own. The connection closes its one when its peer goes; then
 * epoll_ctl(2) could no longer take it out of the set, in which it stays for as long as a child
 * that another thread has forked holds a copy, with this container as its data. */
static int watch_connection(struct engine *engine, struct container *container)
{
    int fd = fd_dup(compute_client_fd(container->events));
    if (fd < 0)
        return fd;
    int r = loop_add(engine->loop, &container->source, fd, EPOLLIN, worker_heard, container);
    if (r < 0)
        fd_close(fd);
    return r;
}

static void forget_connection(struct container *container)
{
    int fd = container->source.fd;
    if (container->source.loop) {
        loop_remove(&container->source);
        fd_close(fd);
    }
    container->events = compute_client_free(container->events);
}

static void worker_gone(struct container *container)
{
    struct engine *engine = container->engine;
    struct exit_record record;
    forget_connection(container);
    record_from_disk(container, &record);
    /* First the exit: with worker_pid 0 another thread may begin the next run, which is not what
     * ended here. */
    container_ended(container, &record);
    uint64_t run;
    {
        ENGINE_STATE(engine);
        run = container->run;
        container->worker_pid = 0;
        trace_now(&container->trace, TRACE_GONE);
        pthread_cond_broadcast(&engine->changed);
    }
    janitor_queue(engine->janitor, JANITOR_ENDED, container, run, 0);
    container_put(container); /* the loop thread's reference */
}

/* Told to the thread that starts it by other means; but that one may have been an earlier hulld's.
 */
static void started_event(struct container *container, const json_t *event)
{
    int64_t pid = 0;
    int64_t when = 0;
    (void)json_get_i64(event, "pid", &pid, NULL);
    (void)json_get_i64(event, "time", &when, NULL);
    ENGINE_STATE(container->engine);
    if (!container_is_running(container) || container->pid != 0)
        return;
    container->pid = (pid_t)pid;
    container->started = when;
    (void)container_save(container, NULL);
}

static void worker_heard(struct loop_source *source, uint32_t events)
{
    struct container *container = source->data;
    (void)events;
    for (;;) {
        CLEANUP_JSON json_t *event = NULL;
        int r = compute_client_next_event(container->events, &event, NULL);
        if (r == 0)
            return;
        if (r < 0) {
            worker_gone(container);
            return;
        }
        const char *name = "";
        (void)json_get_string(event, "event", &name, NULL);
        if (string_equal(name, "exit"))
            exit_event(container, event);
        else if (string_equal(name, "started"))
            started_event(container, event);
    }
}

static void watch_adopt(struct engine *engine, struct adoption *adoption)
{
    struct container *container = adoption->container;
    container->events = adoption->client;
    if (watch_connection(engine, container) < 0)
        worker_gone(container);
    else
        worker_heard(&container->source, 0); /* what came with the handshake */
}

static void watch_woken(struct loop_source *source, uint32_t events)
{
    struct engine *engine = source->data;
    uint64_t count;
    (void)events;
    (void)!read(engine->wake_fd, &count, sizeof(count));
    for (;;) {
        struct adoption *adoption = NULL;
        {
            ENGINE_STATE(engine);
            if (!engine->loop_running)
                loop_quit(engine->loop, 0);
            if (!list_is_empty(&engine->adopted)) {
                adoption = LIST_ENTRY(engine->adopted.next, struct adoption, node);
                list_remove(&adoption->node);
            }
        }
        if (!adoption)
            return;
        watch_adopt(engine, adoption);
        free(adoption);
    }
}

static void watch_wake(const struct engine *engine)
{
    const uint64_t one = 1;
    (void)!write(engine->wake_fd, &one, sizeof(one));
}

int engine_watch_container(struct engine *engine, struct container *container,
                           struct compute_client *client, struct error *err)
{
    struct adoption *adoption = calloc(1, sizeof(*adoption));
    if (!adoption) {
        compute_client_free(client);
        return error_oom(err);
    }
    adoption->container = container_ref(container);
    adoption->client = client;
    {
        ENGINE_STATE(engine);
        list_append(&engine->adopted, &adoption->node);
    }
    watch_wake(engine);
    return 0;
}

static void *watch_run(void *data)
{
    struct engine *engine = data;
    (void)loop_run(engine->loop);
    return NULL;
}

int engine_watch_open(struct engine *engine, struct error *err)
{
    int r = loop_new(&engine->loop, err);
    if (r < 0)
        return r;
    engine->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (engine->wake_fd < 0)
        return error_set_errno(err, -errno, "eventfd");
    r = loop_add(engine->loop, &engine->wake, engine->wake_fd, EPOLLIN, watch_woken, engine);
    return r < 0 ? error_set_errno(err, r, "event loop") : 0;
}

int engine_watch_start(struct engine *engine, struct error *err)
{
    engine->loop_running = true;
    int r = -pthread_create(&engine->loop_thread, NULL, watch_run, engine);
    if (r < 0) {
        engine->loop_running = false;
        return error_set_errno(err, r, "cannot start the event thread");
    }
    return 0;
}

void engine_watch_stop(struct engine *engine)
{
    bool was_running;
    {
        ENGINE_STATE(engine);
        was_running = engine->loop_running;
        engine->loop_running = false;
    }
    if (was_running) {
        watch_wake(engine);
        pthread_join(engine->loop_thread, NULL);
    }
    LIST_FOR_EACH (adoption, &engine->adopted, struct adoption, node) {
        list_remove(&adoption->node);
        compute_client_free(adoption->client);
        container_put(adoption->container);
        free(adoption);
    }
    LIST_FOR_EACH (container, &engine->containers, struct container, node) {
        forget_connection(container);
    }
    loop_remove(&engine->wake);
    engine->wake_fd = fd_close(engine->wake_fd);
    engine->loop = loop_free(engine->loop);
}
