/* After a start of hulld: what exists according to the store, what runs according to the workers.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/client.h"
#include "compute/exit_record.h"
#include "engine/attach_network.h"
#include "engine/private.h"
#include "engine/store.h"
#include "engine/volume.h"
#include "image/image.h"

enum { EXIT_VANISHED = 137 };

static int load_one(const char *id, json_t *document, void *data, struct error *err)
{
    struct engine *engine = data;
    struct container *container = NULL;
    int r = container_from_document(engine, document, &container, err);
    if (r < 0)
        return error_wrap(err, r, "store: container %s", id);
    container->in_table = true;
    list_append(&engine->containers, &container->node);
    engine->n_containers++;
    return 0;
}

/* The worker's own account of what it runs. */
static int ask_worker(struct container *container, struct compute_client *client, struct error *err)
{
    CLEANUP_JSON json_t *state = NULL;
    const char *status = "";
    int64_t pid = 0;
    int64_t worker = 0;
    int64_t started = 0;
    int r = compute_client_call(client, "state", NULL, &state, err);
    if (r < 0 || (r = json_get_string(state, "status", &status, err)) < 0 ||
        (r = json_get_i64(state, "pid", &pid, err)) < 0 ||
        (r = json_get_i64(state, "worker_pid", &worker, err)) < 0 ||
        (r = json_get_i64(state, "started", &started, err)) < 0)
        return r;
    container->worker_pid = (pid_t)worker;
    container->vm_adopted = json_integer_value(json_object_get(state, "vmm_pid")) > 0;
    if (string_equal(status, "idle"))
        return 0; /* prepared, never started */
    /* One that is starting or ending says the rest in its events. */
    if (!container_is_running(container))
        container->status = CONTAINER_RUNNING;
    container->pid = (pid_t)pid;
    container->connected = true;
    if (started > 0)
        container->started = started;
    return 0;
}

static void adopt_exit(struct container *container)
{
    struct exit_record record = {0};
    bool known = exit_record_read(container->directory, &record, NULL) == 0;
    bool ran = container_is_running(container) || container->start_requested ||
               (known && record.finished > container->finished && record.started > 0);
    container->pid = 0;
    container->worker_pid = 0;
    if (!ran)
        return;
    if (!known) {
        record.code = EXIT_VANISHED;
        record.finished = timestamp_now();
        string_copy(record.reason, sizeof(record.reason),
                    "the container's worker process ended while no engine ran");
    }
    container->status = CONTAINER_EXITED;
    container->exit_code = record.code;
    container->oom_killed = record.oom_killed;
    container->finished = record.finished;
    if (record.started > 0)
        container->started = record.started;
    string_copy(container->error, sizeof(container->error), record.reason);
}

static void recover_one(struct container *container)
{
    struct compute_client *client = NULL;
    struct error err = ERROR_INIT;
    container->worker_pid = 0;
    if (compute_client_connect(container->runtime_dir, &client, &err) == 0 &&
        ask_worker(container, client, &err) == 0) {
        (void)engine_watch_container(container->engine, container, client, &err);
        (void)container_save(container, &err);
        container_volumes_adopt(container);
        return;
    }
    compute_client_free(client);
    adopt_exit(container);
    (void)container_save(container, &err);
}

static bool policy_is(const struct container *container, const char *name)
{
    const json_t *policy = json_object_get(container->host_config, "RestartPolicy");
    return string_equal(json_string_value(json_object_get(policy, "Name")), name);
}

/* moby: after a restart of the daemon "always" starts again whatever was stopped, "unless-stopped"
 * what nobody stopped, "on-failure" what had failed. */
static bool start_again(const struct container *container)
{
    bool was_up =
        container->status == CONTAINER_RESTARTING || container->status == CONTAINER_EXITED;
    if (!was_up)
        return false;
    return policy_is(container, "always") ||
           (policy_is(container, "unless-stopped") && !container->stopped_by_user) ||
           (policy_is(container, "on-failure") && container->exit_code != 0 &&
            !container->stopped_by_user);
}

static void settle_one(struct engine *engine, struct container *container)
{
    if (container->worker_pid)
        return;
    if (container->status == CONTAINER_RESTARTING && !start_again(container))
        container->status = CONTAINER_EXITED;
    if (start_again(container)) {
        container->status = CONTAINER_RESTARTING;
        janitor_queue(engine->janitor, JANITOR_RESTART, container, container->run, 0);
        return;
    }
    /* Its end, or the removal that --rm asked for, may have been cut short. */
    if (container->status == CONTAINER_REMOVING || container->status == CONTAINER_DEAD ||
        (container->auto_remove && container->status == CONTAINER_EXITED)) {
        CONTAINER_OPERATION(container);
        struct error err = ERROR_INIT;
        unsigned flags = container->auto_remove ? ENGINE_REMOVE_VOLUMES : 0;
        if (container_remove_locked(container, flags, &err) < 0)
            log_warning("cannot remove container %s: %s", container->id, err.message);
        return;
    }
    CONTAINER_OPERATION(container);
    container_cleanup(container);
    container_volumes_recover(container);
}

/* Directories of containers that the store does not know: a create or rm that was cut short. */
static int sweep_unknown(struct engine *engine, struct error *err)
{
    CLEANUP_STRV char **known = NULL;
    CLEANUP_FREE char *path = string_format("%s/containers", engine->config.root);
    if (!path)
        return error_oom(err);
    LIST_FOR_EACH (container, &engine->containers, struct container, node)
        if (strv_append(&known, container->id) < 0)
            return error_oom(err);
    int r = image_holds_retain(engine->images, known, err);
    if (r < 0)
        return r;
    CLEANUP_DIR DIR *directory = opendir(path);
    if (!directory)
        return error_set_errno(err, -errno, "cannot read '%s'", path);
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.' || strv_contains(known, entry->d_name))
            continue;
        CLEANUP_FREE char *stale = string_format("%s/%s", path, entry->d_name);
        if (stale)
            (void)path_remove_tree(AT_FDCWD, stale, NULL);
    }
    return 0;
}

int engine_recover(struct engine *engine, struct error *err)
{
    int r = store_container_each(engine->store, load_one, engine, err);
    if (r == 0)
        r = volume_table_load(engine, err);
    if (r < 0)
        return r;
    LIST_FOR_EACH (container, &engine->containers, struct container, node)
        recover_one(container);
    r = engine_network_adopt(engine, err);
    if (r == 0)
        r = sweep_unknown(engine, err);
    if (r < 0)
        return r;
    volume_table_settle(engine);
    LIST_FOR_EACH (container, &engine->containers, struct container, node) {
        struct error failure = ERROR_INIT;
        if (container_convert_recover(container, &failure) < 0)
            log_warning("container %s: what a conversion left is still there: %s", container->id,
                        failure.message);
    }
    LIST_FOR_EACH (container, &engine->containers, struct container, node)
        settle_one(engine, container);
    return 0;
}
