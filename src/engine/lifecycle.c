/* start, stop, restart, kill, pause, remove, prune: operations on one container at a time. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/client.h"
#include "engine/admission.h"
#include "engine/pool.h"
#include "engine/private.h"
#include "engine/volume.h"
#include "image/image.h"

enum {
    STOP_TIMEOUT_DEFAULT = 10, /* seconds, as docker */
    KILL_PATIENCE_MS = 10000,  /* how long a killed container may take to be gone */
    FILES_PATIENCE_MS = 10000, /* how long a start waits for docker cp and the like */
    EXIT_PATIENCE_MS = 2000,   /* how long one whose worker does not answer may seem to run */
    EXIT_COMMAND_NOT_FOUND = 127,
    EXIT_COMMAND_REFUSED = 126,
    EXIT_START_FAILED = 128,
};
#define STOP_SECONDS_MAX (INT_MAX / 1000)

/* Does it run, and which run is that? */
static bool find_run(struct container *container, uint64_t *ret)
{
    ENGINE_STATE(container->engine);
    if (!container_is_running(container))
        return false;
    *ret = container->run;
    return true;
}

/* --- start --- */

/* Docker keeps a container that could not start as "created", with the reason and the exit status
 * that a shell would give. */
static void start_failed(struct container *container, const struct error *failure)
{
    ENGINE_STATE(container->engine);
    container->exit_code = failure->code == -ENOENT   ? EXIT_COMMAND_NOT_FOUND
                           : failure->code == -EACCES ? EXIT_COMMAND_REFUSED
                                                      : EXIT_START_FAILED;
    container->start_requested = false;
    container->worker_spent = true;
    if (container->status == CONTAINER_RESTARTING)
        container->status = CONTAINER_EXITED;
    string_copy(container->error, sizeof(container->error), failure->message);
    (void)container_save(container, NULL);
    engine_notify_waits(container->engine, container, ENGINE_NOTICE_NOT_STARTED);
}

static int start_in_worker(struct container *container, pid_t *ret_pid, struct error *err)
{
    CLEANUP_CLIENT struct compute_client *client = NULL;
    CLEANUP_FREE char *notice = NULL;
    int r = compute_client_connect(container->runtime_dir, &client, err);
    if (r < 0)
        return r;
    r = admission_begin(container, err);
    if (r < 0) {
        (void)compute_client_kill(client, NULL);
        return r;
    }
    r = compute_client_start_heeding(client, ret_pid, &notice, err);
    admission_end(container);
    if (r < 0) {
        struct error ignored = ERROR_INIT;
        (void)compute_client_kill(client, &ignored);
        return error_wrap(err, r,
                          "failed to create task for container: failed to create shim task: "
                          "OCI runtime create failed: hull create failed: unable to start "
                          "container process");
    }
    if (notice) { /* it runs all the same: State.Error says it */
        ENGINE_STATE(container->engine);
        string_copy(container->error, sizeof(container->error), notice);
    }
    return 0;
}

static void started(struct container *container, pid_t pid)
{
    ENGINE_STATE(container->engine);
    /* The exit may have been heard already: a program can be over before we are told its pid. */
    if (!container->start_requested)
        return;
    container->status = CONTAINER_RUNNING;
    container->pid = pid;
    container->start_requested = false;
    (void)container_save(container, NULL);
    engine_emit_container_locked(container->engine, container, "start", NULL);
}

/* [operation] */
static int start_locked(struct container *container, struct error *err)
{
    struct error failure = ERROR_INIT;
    pid_t pid = 0;
    /* Nobody else may have its writable layer mounted. */
    int r = container_files_end(container, FILES_PATIENCE_MS, &failure);
    if (r == 0)
        r = container_prepare(container, &failure);
    if (r == 0) {
        container_network_event(container, true);
        container_mark(container, TRACE_CLIENT);
        {
            ENGINE_STATE(container->engine);
            container->start_requested = true;
            container->started = timestamp_now();
            container->finished = 0;
            container->exit_code = 0;
            container->oom_killed = false;
            container->error[0] = '\0';
        }
        r = start_in_worker(container, &pid, &failure);
        engine_pool_refill(container->engine->pool);
    }
    if (r < 0) {
        start_failed(container, &failure);
        container_cleanup(container);
        return error_copy(err, &failure);
    }
    started(container, pid);
    container_mark_write(container, TRACE_RUNNING);
    return 0;
}

static int check_startable(struct container *container, struct error *err)
{
    ENGINE_STATE(container->engine);
    if (container->status == CONTAINER_PAUSED)
        return error_set_class(err, ERROR_CONFLICT,
                               "cannot start a paused container, try unpause instead");
    if (container->status == CONTAINER_RUNNING)
        return error_set_class(err, ERROR_NOT_MODIFIED, "container is already running");
    if (container->status == CONTAINER_REMOVING || container->status == CONTAINER_DEAD ||
        !container->in_table)
        return error_set_class(err, ERROR_CONFLICT,
                               "container is marked for removal and cannot be started");
    return 0;
}

/* A start that a user asked for: the restart policy begins anew. */
static void forget_restarts(struct container *container)
{
    ENGINE_STATE(container->engine);
    container->stopped_by_user = false;
    container->no_restart = false;
    container->restart_count = 0;
    container->restart_backoff = 0;
}

int container_restart_locked(struct container *container, uint64_t run, struct error *err)
{
    {
        ENGINE_STATE(container->engine);
        /* docker stop, rm or start while it waited. */
        if (container->run != run || container->status != CONTAINER_RESTARTING ||
            !container->in_table)
            return 0;
    }
    return start_locked(container, err);
}

int engine_container_start(struct engine *engine, const char *reference, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    CONTAINER_OPERATION(container);
    r = check_startable(container, err);
    if (r < 0)
        return r;
    forget_restarts(container);
    r = start_locked(container, err);
    if (r < 0 && container->auto_remove)
        (void)container_remove_locked(container, ENGINE_REMOVE_VOLUMES, NULL);
    return r;
}

/* --- signals --- */

void container_thaw(struct container *container, struct compute_client *client)
{
    struct error ignored = ERROR_INIT;
    {
        ENGINE_STATE(container->engine);
        if (container->status != CONTAINER_PAUSED)
            return;
    }
    if (compute_client_call(client, "freeze", json_pack("{s:b}", "frozen", 0), NULL, &ignored) < 0)
        return;
    ENGINE_STATE(container->engine);
    if (container->status != CONTAINER_PAUSED)
        return;
    container->status = CONTAINER_RUNNING;
    (void)container_save(container, NULL);
    engine_emit_container_locked(container->engine, container, "unpause", NULL);
}

static int send_signal(struct container *container, int signal, struct error *err)
{
    CLEANUP_CLIENT struct compute_client *client = NULL;
    int r = compute_client_connect(container->runtime_dir, &client, err);
    if (r >= 0)
        r = compute_client_signal(client, "", signal, false, err);
    if (r >= 0)
        container_thaw(container, client);
    return r;
}

static int not_running(struct container *container, struct error *err)
{
    return error_set_class(err, ERROR_CONFLICT, "container %s is not running", container->id);
}

/* moby, Daemon.killWithSignal: any signal counts as a stop by the user, which "unless-stopped"
 * looks at. No policy at all acts after SIGKILL or the stop signal; without a stop signal of the
 * container's own, after none. */
static void mark_killed(struct container *container, int number)
{
    const char *text = json_string_value(json_object_get(container->config, "StopSignal"));
    int own = 0;
    bool ends = number == SIGKILL || string_is_empty(text) ||
                (engine_signal_parse(text, &own) == 0 && own == number);
    ENGINE_STATE(container->engine);
    container->stopped_by_user = true;
    if (ends)
        container->no_restart = true;
    (void)container_save(container, NULL);
}

static void emit_kill(struct container *container, int number)
{
    char text[8];
    (void)snprintf(text, sizeof(text), "%d", number);
    engine_emit_container(container->engine, container, "kill", json_pack("{s:s}", "signal", text));
}

/* The worker no longer listens when its container is over, and the loop thread may not have heard
 * of that yet: a signal that finds nobody is only an error when the container goes on. */
static int signal_container(struct container *container, uint64_t run, int signal,
                            struct error *err)
{
    struct error failure = ERROR_INIT;
    int r = send_signal(container, signal, &failure);
    if (r < 0 && container_wait_stopped(container, run, EXIT_PATIENCE_MS) == 0)
        return 0;
    return r < 0 ? error_copy(err, &failure) : 0;
}

int engine_container_kill(struct engine *engine, const char *reference, const char *signal,
                          struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    int number = SIGKILL;
    uint64_t run;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    if (!string_is_empty(signal) && engine_signal_parse(signal, &number) < 0)
        return error_set_class(err, ERROR_INVALID, "Invalid signal: %s", signal);
    if (!find_run(container, &run)) {
        struct error reason = ERROR_INIT;
        (void)not_running(container, &reason);
        return error_set_class(err, ERROR_CONFLICT, "cannot kill container: %s: %s", reference,
                               reason.message);
    }
    mark_killed(container, number);
    emit_kill(container, number); /* before the "die" that it causes */
    r = signal_container(container, run, number, err);
    if (r < 0)
        return error_wrap(err, r, "cannot kill container: %s", reference);
    if (number == SIGKILL)
        (void)container_wait_stopped(container, run, KILL_PATIENCE_MS);
    return 0;
}

/* Ends a worker that no longer answers: its container dies with it, and clean-up does the rest.
 * While the worker is on record its connection is open, so the pid is still its own. */
static int kill_worker(struct container *container)
{
    {
        ENGINE_STATE(container->engine);
        if (container->worker_pid > 0)
            (void)kill(container->worker_pid, SIGKILL);
    }
    return container_wait_worker_gone(container, KILL_PATIENCE_MS);
}

static int stop_signal(const struct container *container, const char *wanted, int *ret,
                       struct error *err)
{
    const char *text = wanted;
    if (string_is_empty(text))
        text = json_string_value(json_object_get(container->config, "StopSignal"));
    *ret = SIGTERM;
    if (!string_is_empty(text) && engine_signal_parse(text, ret) < 0)
        return error_set_class(err, ERROR_INVALID, "Invalid signal: %s", text);
    return 0;
}

static int stop_timeout(const struct container *container, int wanted)
{
    const json_t *configured = json_object_get(container->config, "StopTimeout");
    json_int_t seconds = STOP_TIMEOUT_DEFAULT;
    if (wanted != ENGINE_TIMEOUT_DEFAULT)
        seconds = wanted;
    else if (json_is_integer(configured))
        seconds = json_integer_value(configured);
    return seconds > STOP_SECONDS_MAX ? STOP_SECONDS_MAX : seconds < 0 ? -1 : (int)seconds;
}

/* A stop that is none, for its signal's sake, must change nothing. What does not run is not asked
 * (moby, Daemon.containerStop). */
static int check_stop(struct container *container, const char *signal, struct error *err)
{
    uint64_t run;
    int number;
    return find_run(container, &run) ? stop_signal(container, signal, &number, err) : 0;
}

/* [operation], which is given up for the wait: another stop, a kill or an rm -f must not wait for
 * this one's patience. Whoever comes meanwhile may also start the container again, or remove it,
 * and the event comes before what they do. */
static int wait_unlocked(struct container *container, uint64_t run, int timeout_ms)
{
    pthread_mutex_unlock(&container->operation);
    int r = container_wait_stopped(container, run, timeout_ms);
    if (r == 0)
        engine_emit_container(container->engine, container, "stop", NULL);
    pthread_mutex_lock(&container->operation);
    return r;
}

/* [operation] */
static int kill_run(struct container *container, uint64_t run, struct error *err)
{
    uint64_t current;
    int r = 0;
    bool runs = find_run(container, &current) && current == run;
    if (runs) {
        emit_kill(container, SIGKILL);
        r = signal_container(container, run, SIGKILL, err);
    }
    if (r < 0)
        return error_wrap(err, r, "cannot stop container: %s", container->id);
    if (container_wait_stopped(container, run, KILL_PATIENCE_MS) < 0 && kill_worker(container) < 0)
        return error_set(err, -ETIMEDOUT,
                         "cannot stop container: %s: tried to kill container, but did not "
                         "receive an exit event",
                         container->id);
    engine_emit_container(container->engine, container, "stop", NULL);
    return 0;
}

/* [operation], given up meanwhile. Signals, waits, kills. */
static int stop_locked(struct container *container, const char *signal, int timeout,
                       struct error *err)
{
    int number = SIGTERM;
    uint64_t run;
    int r = stop_signal(container, signal, &number, err);
    if (r < 0)
        return r;
    if (!find_run(container, &run))
        return 0;
    int seconds = stop_timeout(container, timeout);
    emit_kill(container, number);
    r = signal_container(container, run, number, err);
    if (r < 0)
        return error_wrap(err, r, "cannot stop container: %s", container->id);
    if (wait_unlocked(container, run, seconds < 0 ? -1 : seconds * 1000) < 0 &&
        (r = kill_run(container, run, err)) < 0)
        return r;
    container_cleanup(container);
    return 0;
}

int engine_container_stop(struct engine *engine, const char *reference, const char *signal,
                          int timeout, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    /* Before anything is looked at: a start, perhaps of the restart policy, may be under way. */
    CONTAINER_OPERATION(container);
    r = check_stop(container, signal, err);
    if (r < 0)
        return r;
    {
        ENGINE_STATE(engine);
        bool restarting = container->status == CONTAINER_RESTARTING;
        container->stopped_by_user = true;
        container->no_restart = true;
        if (restarting) {
            container->status = CONTAINER_EXITED;
            engine_notify_waits(engine, container, ENGINE_NOTICE_NOT_STARTED);
            return container_save(container, err);
        }
        if (!container_is_running(container))
            return error_set_class(err, ERROR_NOT_MODIFIED, "container is already stopped");
    }
    return stop_locked(container, signal, timeout, err);
}

/* Its files are still needed, though --rm was said. A worker that does not hear of it runs none. */
static void keep_files(const struct container *container)
{
    CLEANUP_CLIENT struct compute_client *client = NULL;
    if (container->auto_remove &&
        compute_client_connect(container->runtime_dir, &client, NULL) == 0)
        (void)compute_client_call(client, "keep", NULL, NULL, NULL);
}

/* [operation], given up while it stops. */
static int restart_locked(struct container *container, const char *signal, int timeout,
                          struct error *err)
{
    struct error failure = ERROR_INIT;
    keep_files(container);
    int r = stop_locked(container, signal, timeout, err);
    if (r < 0)
        return r;
    r = check_startable(container, &failure);
    if (r < 0) /* somebody else may have started it as soon as it was stopped */
        return failure.class == ERROR_NOT_MODIFIED ? 0 : error_copy(err, &failure);
    forget_restarts(container);
    return start_locked(container, err);
}

int container_keep_files(struct container *container, struct error *err)
{
    CLEANUP_CLIENT struct compute_client *client = NULL;
    uint64_t run;
    int r;

    if (!container->auto_remove || !find_run(container, &run))
        return 0;
    r = compute_client_connect(container->runtime_dir, &client, err);
    return r < 0 ? r : compute_client_call(client, "keep", NULL, NULL, err);
}

/* It could not be stopped and goes on: so does its policy. */
static int not_stopped(struct container *container, bool stopped_by_user, bool no_restart, int code)
{
    ENGINE_STATE(container->engine);
    if (container_is_running(container)) {
        container->stopped_by_user = stopped_by_user;
        container->no_restart = no_restart;
    }
    return code;
}

int container_hold_stopped(struct container *container, struct error *err)
{
    bool stopped_by_user;
    bool no_restart;
    {
        ENGINE_STATE(container->engine);
        stopped_by_user = container->stopped_by_user;
        no_restart = container->no_restart;
        container->stopped_by_user = true;
        container->no_restart = true;
        container->restarts++;
        if (container->status == CONTAINER_RESTARTING) {
            container->status = CONTAINER_EXITED;
            engine_notify_waits(container->engine, container, ENGINE_NOTICE_NOT_STARTED);
            return container_save(container, err);
        }
    }
    int r = stop_locked(container, NULL, ENGINE_TIMEOUT_DEFAULT, err);
    return r < 0 ? not_stopped(container, stopped_by_user, no_restart, r) : r;
}

int container_start_held(struct container *container, struct error *err)
{
    struct error failure = ERROR_INIT;
    int r = check_startable(container, &failure);
    if (r == 0) {
        forget_restarts(container);
        r = start_locked(container, &failure);
    }
    {
        ENGINE_STATE(container->engine);
        container->restarts--;
    }
    /* Somebody else may have started it as soon as it was stopped. */
    return r == 0 || failure.class == ERROR_NOT_MODIFIED ? 0 : error_copy(err, &failure);
}

int engine_container_restart(struct engine *engine, const char *reference, const char *signal,
                             int timeout, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    bool stopped_by_user;
    bool no_restart;
    CONTAINER_OPERATION(container);
    r = check_stop(container, signal, err);
    if (r < 0)
        return r;
    {
        ENGINE_STATE(engine);
        if (container->status == CONTAINER_REMOVING || container->status == CONTAINER_DEAD ||
            !container->in_table)
            return error_set_class(err, ERROR_CONFLICT,
                                   "container is marked for removal and cannot be started");
        stopped_by_user = container->stopped_by_user;
        no_restart = container->no_restart;
        container->stopped_by_user = true; /* no policy may act between the two halves */
        container->no_restart = true;
        container->restarts++; /* nor --rm */
    }
    r = restart_locked(container, signal, timeout, err);
    if (r < 0)
        (void)not_stopped(container, stopped_by_user, no_restart, r);
    {
        ENGINE_STATE(engine);
        container->restarts--;
    }
    if (r == 0)
        engine_emit_container(engine, container, "restart", NULL);
    return r;
}

int engine_container_pause(struct engine *engine, const char *reference, bool paused,
                           struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    CONTAINER_OPERATION(container);
    {
        ENGINE_STATE(engine);
        if (!container_is_running(container))
            return not_running(container, err);
        if (paused == (container->status == CONTAINER_PAUSED))
            return error_set_class(err, ERROR_CONFLICT, "Container %s is %s", container->id,
                                   paused ? "already paused" : "not paused");
    }
    CLEANUP_CLIENT struct compute_client *client = NULL;
    r = compute_client_connect(container->runtime_dir, &client, err);
    if (r == 0)
        r = compute_client_call(client, "freeze", json_pack("{s:b}", "frozen", paused), NULL, err);
    if (r < 0)
        return r;
    {
        ENGINE_STATE(engine);
        if (container_is_running(container))
            container->status = paused ? CONTAINER_PAUSED : CONTAINER_RUNNING;
        (void)container_save(container, NULL);
    }
    engine_emit_container(engine, container, paused ? "pause" : "unpause", NULL);
    return 0;
}

int engine_container_resize(struct engine *engine, const char *reference, int width, int height,
                            struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_CLIENT struct compute_client *client = NULL;
    uint64_t run;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    if (!find_run(container, &run))
        return not_running(container, err);
    r = compute_client_connect(container->runtime_dir, &client, err);
    return r < 0 ? r : compute_client_resize(client, "", width, height, err);
}

/* --- remove --- */

static int end_for_removal(struct container *container, unsigned flags, struct error *err)
{
    pid_t worker;
    bool running;
    {
        ENGINE_STATE(container->engine);
        running = container_is_running(container);
        bool busy = running || container->status == CONTAINER_RESTARTING;
        if (busy && !(flags & ENGINE_REMOVE_FORCE))
            return error_set_class(err, ERROR_CONFLICT,
                                   "cannot remove container \"/%s\": container is %s%s",
                                   container->name, container_status_to_string(container->status),
                                   container->status == CONTAINER_PAUSED
                                       ? " and must be unpaused first"
                                       : ": stop the container before removing or force remove");
        container->stopped_by_user = true;
        container->no_restart = true;
        worker = container->worker_pid;
    }
    if (!worker)
        return 0;
    if (running)
        emit_kill(container, SIGKILL);
    /* Running, or attached to but never started: the worker ends with what it has. */
    CLEANUP_CLIENT struct compute_client *client = NULL;
    struct error ignored = ERROR_INIT;
    if (compute_client_connect(container->runtime_dir, &client, &ignored) == 0 &&
        compute_client_kill(client, &ignored) >= 0)
        container_thaw(container, client);
    if (container_wait_worker_gone(container, KILL_PATIENCE_MS) < 0 && kill_worker(container) < 0)
        return error_set(err, -ETIMEDOUT, "could not kill container: %s does not end",
                         container->id);
    return 0;
}

int container_remove_locked(struct container *container, unsigned flags, struct error *err)
{
    struct engine *engine = container->engine;
    {
        ENGINE_STATE(engine);
        if (!container->in_table)
            return error_set_class(err, ERROR_NOT_FOUND, "No such container: %s", container->id);
    }
    int r = end_for_removal(container, flags, err);
    if (r == 0)
        r = container_files_end(container, 0, err);
    if (r < 0)
        return r;
    {
        ENGINE_STATE(engine);
        container->status = CONTAINER_REMOVING;
        (void)container_save(container, NULL); /* so that a new engine goes on with it */
    }
    container_cleanup(container);
    r = container_erase(container, err);
    if (r < 0) {
        ENGINE_STATE(engine);
        container->status = CONTAINER_DEAD;
        if (err)
            string_copy(container->error, sizeof(container->error), err->message);
        (void)container_save(container, NULL);
        engine_notify_waits(engine, container, ENGINE_NOTICE_REMOVED);
        return r;
    }
    engine_execs_forget(engine, container);
    container_leave_table(container);
    if (flags & ENGINE_REMOVE_VOLUMES)
        container_volumes_remove(container);
    {
        ENGINE_STATE(engine);
        engine_notify_waits(engine, container, ENGINE_NOTICE_REMOVED);
    }
    engine_emit_container(engine, container, "destroy", NULL);
    return 0;
}

int engine_container_remove(struct engine *engine, const char *reference, unsigned flags,
                            struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    if (flags & ENGINE_REMOVE_FORCE)
        container_convert_interrupt(container);
    CONTAINER_OPERATION(container);
    return container_remove_locked(container, flags, err);
}

/* --- prune --- */

/* "label!": one that matches keeps the container. */
static bool has_unwanted_label(const json_t *filters, const struct container *container)
{
    CLEANUP_STRV char **unwanted = NULL;
    if (filter_values(filters, "label!", &unwanted, NULL) < 0)
        return true;
    for (char **label = unwanted; label && *label; label++) {
        CLEANUP_JSON json_t *one = json_pack("{s:[s]}", "label", *label);
        if (!one || filter_match_labels(one, "label", json_object_get(container->config, "Labels")))
            return true;
    }
    return false;
}

static int collect_stopped(struct engine *engine, const json_t *filters, char ***ret,
                           struct error *err)
{
    CLEANUP_STRV char **until = NULL;
    int64_t limit = 0;
    int r = filter_values(filters, "until", &until, err);
    if (r < 0)
        return r;
    if (until && *until && timestamp_parse(*until, &limit) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid filter 'until=%s'", *until);
    ENGINE_STATE(engine);
    LIST_FOR_EACH (container, &engine->containers, struct container, node) {
        bool stopped = container->status == CONTAINER_EXITED ||
                       container->status == CONTAINER_CREATED ||
                       container->status == CONTAINER_DEAD;
        if (!stopped || container->worker_pid || (limit && container->created >= limit) ||
            !filter_match_labels(filters, "label", json_object_get(container->config, "Labels")) ||
            has_unwanted_label(filters, container))
            continue;
        if (strv_append(ret, container->id) < 0)
            return error_oom(err);
    }
    return 0;
}

int engine_container_prune(struct engine *engine, const json_t *filters, json_t **ret,
                           struct error *err)
{
    static const char *const known[] = {"until", "label", "label!", NULL};
    CLEANUP_STRV char **ids = NULL;
    CLEANUP_STRV char **deleted = NULL;
    int64_t space = 0;
    int r = filter_check_names(filters, known, err);
    if (r == 0)
        r = collect_stopped(engine, filters, &ids, err);
    if (r < 0)
        return r;
    for (char **id = ids; id && *id; id++) {
        int64_t size = engine_container_size(engine, *id);
        /* One that started meanwhile is no longer to be removed. */
        if (engine_container_remove(engine, *id, 0, NULL) < 0)
            continue;
        if (__builtin_add_overflow(space, size, &space))
            space = INT64_MAX;
        if (strv_append(&deleted, *id) < 0)
            return error_oom(err);
    }
    json_t *list = deleted ? json_from_strv(deleted) : json_null();
    json_t *report =
        json_pack("{s:o, s:I}", "ContainersDeleted", list, "SpaceReclaimed", (json_int_t)space);
    if (!report)
        return error_oom(err);
    engine_emit(engine, "container", "prune", "",
                json_pack("{s:o}", "reclaimed", json_sprintf("%lld", (long long)space)));
    *ret = report;
    return 0;
}
