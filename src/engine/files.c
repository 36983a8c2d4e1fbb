/* Who serves a container's files: the worker that runs it, or, while it does not run, one for its
 * files alone, which mounts the root, ends by itself soon after its last client, and is ended by a
 * start. The order is kept by the operation lock: whoever begins to use files takes it, and so does
 * who starts or removes the container. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "compute/client.h"
#include "compute/job.h"
#include "engine/admission.h"
#include "engine/pool.h"
#include "engine/private.h"
#include "sandbox/sandbox.h"
#include "vm/user.h"

enum { FILES_END_MS = 30 * 1000, FILES_ATTEMPTS = 3, WORKER_END_MS = 30 * 1000 };

static char *files_runtime_dir(const struct container *container)
{
    return string_format("%s/files/%s", container->engine->config.state, container->id);
}

bool container_files_exist(const struct container *container)
{
    CLEANUP_FREE char *runtime = files_runtime_dir(container);
    return !runtime || access(runtime, F_OK) == 0;
}

void container_files_forget(const struct container *container)
{
    CLEANUP_FREE char *runtime = files_runtime_dir(container);
    if (runtime)
        (void)path_remove_tree(AT_FDCWD, runtime, NULL);
}

/* --- its end --- */

/* One that was killed took its mounts with it, but not its cgroup. */
static void clean_after_files(struct container *container)
{
    CLEANUP_FREE char *cgroup = string_format("/hull/%s-vm", container->id);
    if (container->isolation == COMPUTE_HYPERV && cgroup) {
        (void)sandbox_clean(cgroup, NULL, NULL);
        (void)vm_user_withdraw(container->engine->users_dir, container->vm_uid, container->id,
                               NULL);
    }
    container_files_forget(container);
}

static void wait_for_users(struct container *container, int patience_ms)
{
    struct engine *engine = container->engine;
    struct timespec limit;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += patience_ms / 1000;
    ENGINE_STATE(engine);
    while (patience_ms > 0 && container->file_users > 0)
        if (pthread_cond_timedwait(&engine->changed, &engine->lock, &limit) == ETIMEDOUT)
            return;
}

/* Holds the worker by pidfd, which is right as long as it is connected, and asks it to end. */
static int ask_to_end(struct compute_client *client, struct process *ret)
{
    CLEANUP_JSON json_t *state = NULL;
    int pid = 0;
    int r = compute_client_call(client, "state", NULL, &state, NULL);
    if (r >= 0 && json_get_int(state, "worker_pid", 1, INT32_MAX, &pid, NULL) != 1)
        r = -EPROTO;
    if (r >= 0)
        r = process_open((pid_t)pid, ret);
    if (r >= 0)
        (void)compute_client_kill(client, NULL);
    return r;
}

int container_files_end(struct container *container, int patience_ms, struct error *err)
{
    CLEANUP_FREE char *runtime = files_runtime_dir(container);
    CLEANUP(process_release) struct process worker = PROCESS_INIT;
    struct compute_client *client = NULL;
    if (!runtime)
        return error_oom(err);
    if (access(runtime, F_OK) < 0)
        return 0;
    if (compute_client_connect(runtime, &client, NULL) == 0) {
        wait_for_users(container, patience_ms);
        int r = ask_to_end(client, &worker);
        compute_client_free(client);
        if (r == 0 && process_end(&worker, FILES_END_MS, FILES_END_MS) < 0)
            return error_set(err, -ETIMEDOUT, "the worker for files of container %s does not end",
                             container->id);
    }
    clean_after_files(container);
    return 0;
}

/* --- its beginning --- */

static int write_job(struct container *container, const char *directory, const char *runtime,
                     struct error *err)
{
    CLEANUP_FREE char *path = string_format("%s/worker.json", directory);
    struct compute_job *job = compute_job_new();
    if (job)
        job->files = true;
    int r = path && job ? container_job_files(container, job, err) : error_oom(err);
    if (r == 0 && string_replace(&job->runtime_dir, runtime) < 0)
        r = error_oom(err);
    if (r == 0)
        r = compute_job_write(job, path, err);
    compute_job_free(job);
    return r == 0 ? container_write_spec(container, err) : r;
}

/* A VM of the pool, if one is ready. The files of volumes are below the root, so it must be one
 * that is good for a run. */
static int adopt_worker(struct container *container, const char *directory, const char *runtime,
                        struct compute_client **ret)
{
    struct error unfit = ERROR_INIT;
    struct pooled_vm *vm = engine_pool_take(container);
    if (!vm)
        return 0;
    if (write_job(container, directory, runtime, &unfit) == 0 &&
        pooled_vm_adopt(vm, directory, ret, &unfit) == 0) {
        pooled_vm_free(vm);
        return 1;
    }
    pooled_vm_end(vm);
    return 0;
}

static int spawn_worker(struct container *container, const char *directory, const char *runtime,
                        struct compute_client **ret, struct error *err)
{
    int r;
    if ((r = path_make_dirs(runtime, 0700, err)) < 0 ||
        (r = write_job(container, directory, runtime, err)) < 0 ||
        (r = compute_worker_spawn(container->engine->config.worker_program, directory, runtime,
                                  NULL, err)) < 0)
        return r;
    return compute_client_connect(runtime, ret, err);
}

static int start_worker(struct container *container, const char *runtime,
                        struct compute_client **ret, struct error *err)
{
    CLEANUP_FREE char *directory = string_format("%s/files", container->directory);
    struct compute_client *client = NULL;
    bool pooled = false;
    int r;
    if (!directory)
        return error_oom(err);
    container_cleanup(container); /* of the last run, if the janitor was not there yet */
    if ((r = path_make_dirs(directory, 0700, err)) < 0)
        return r;
    pooled = adopt_worker(container, directory, runtime, &client) > 0;
    if (!pooled && (r = spawn_worker(container, directory, runtime, &client, err)) < 0)
        return r;
    if (!pooled)
        r = admission_begin(container, err);
    if (r == 0) {
        r = compute_client_start(client, NULL, err);
        if (!pooled)
            admission_end(container);
    }
    engine_pool_refill(container->engine->pool);
    if (r < 0) {
        compute_client_free(client);
        return error_wrap(err, r, "cannot reach the files of container %s", container->id);
    }
    *ret = client;
    return 0;
}

/* The worker of a container that waits for its start may have a VM from the pool, with the disk
 * that is to be another's now. */
static int drop_vm(const struct container *container)
{
    struct compute_client *client = NULL;
    int r = compute_client_connect(container->runtime_dir, &client, NULL);
    if (r == 0)
        r = compute_client_call(client, "drop", NULL, NULL, NULL);
    compute_client_free(client);
    return r;
}

/* One that still serves, or a new one. [operation] */
static int find_files_worker(struct container *container, struct compute_client **ret,
                             struct error *err)
{
    CLEANUP_FREE char *runtime = files_runtime_dir(container);
    CLEANUP_JSON json_t *state = NULL;
    const char *status = "";
    struct compute_client *client = NULL;
    if (!runtime)
        return error_oom(err);
    if (compute_client_connect(runtime, &client, NULL) == 0) {
        if (compute_client_call(client, "state", NULL, &state, NULL) == 0 &&
            json_get_string(state, "status", &status, NULL) > 0 &&
            string_equal(status, "running")) {
            *ret = client;
            return 0;
        }
        compute_client_free(client);
    }
    (void)drop_vm(container);
    int r = container_files_end(container, 0, err); /* it is ending, or an earlier hulld's */
    return r < 0 ? r : start_worker(container, runtime, ret, err);
}

/* 1: it runs; 0: it does not, and its worker is over. [operation] */
static int settle_state(struct container *container, struct error *err)
{
    bool wait;
    {
        ENGINE_STATE(container->engine);
        if (!container->in_table)
            return error_set_class(err, ERROR_NOT_FOUND, "No such container: %s", container->id);
        if (container->status == CONTAINER_REMOVING || container->status == CONTAINER_DEAD)
            return error_set_class(err, ERROR_CONFLICT, "container %s is marked for removal",
                                   container->id);
        if (container_is_running(container))
            return 1;
        wait = container->worker_pid && container->worker_spent;
    }
    if (wait && container_wait_worker_gone(container, WORKER_END_MS) < 0)
        return error_set(err, -ETIMEDOUT, "the worker of the container's last run does not end");
    return 0;
}

static int connect_files(struct container *container, struct compute_client **ret,
                         struct error *err)
{
    struct error failure = ERROR_INIT;
    int r = -EIO;
    for (int i = 0; i < FILES_ATTEMPTS; i++) {
        error_clear(&failure);
        r = settle_state(container, &failure);
        if (r == 0)
            return find_files_worker(container, ret, err);
        if (r > 0)
            r = compute_client_connect(container->runtime_dir, ret, &failure);
        if (r == 0)
            return 0;
        /* It ended just now: the loop thread hears of it. */
        if (failure.class != ERROR_NOT_FOUND ||
            container_wait_worker_gone(container, WORKER_END_MS) < 0)
            break;
    }
    return error_copy(err, &failure);
}

int container_files_get(struct container *container, struct compute_client **ret, struct error *err)
{
    CONTAINER_OPERATION(container);
    int r = connect_files(container, ret, err);
    if (r < 0)
        return r;
    ENGINE_STATE(container->engine);
    container->file_users++;
    return 0;
}

void container_files_put(struct container *container, struct compute_client *client)
{
    compute_client_free(client);
    ENGINE_STATE(container->engine);
    container->file_users--;
    pthread_cond_broadcast(&container->engine->changed);
}
