/* `update` of a container in a utility VM: its limits hold inside and outside, and the memory of
 * the VM follows them.
 *
 * What rises rises outside first, what falls falls inside first, so that the guest is never given
 * what the host would kill it for. While an update is on its way another one is refused. What the
 * VM has is kept in the job, which nobody reads again. */
#include "base/cleanup.h"
#include "base/json.h"
#include "compute/worker_internal.h"
#include "vm/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct limits {
    uint64_t memory; /* bytes */
    double cpus;     /* 0: no limit */
};

struct update {
    struct worker *worker;
    uint64_t client; /* serial */
    uint64_t id;
    struct limits old;
    struct limits wanted;
    struct loop_source timer; /* the guest's time to answer */
};

uint64_t worker_memory(const struct compute_job *job)
{
    return job->memory ? job->memory : VM_MEMORY_DEFAULT;
}

/* The guest has obeyed. That the host's limit cannot follow, because the VMM holds on to memory
 * which its guest no longer uses, is told and no failure. */
static json_t *settle(struct update *update)
{
    struct compute_job *job = update->worker->job;
    struct error error = ERROR_INIT;
    json_t *answer = json_object();
    json_t *warnings = json_array();

    job->memory = update->wanted.memory;
    job->cpus = update->wanted.cpus;
    if (update->worker->vm && vm_limit(update->worker->vm, job->memory, job->cpus, &error) < 0 &&
        warnings)
        (void)json_array_append_new(
            warnings, json_sprintf("The virtual machine's limit outside of it stays as it is until "
                                   "it is started anew: %s",
                                   error.message));
    if (json_put(answer, "warnings", warnings) < 0) {
        json_decref(answer);
        return NULL;
    }
    return answer;
}

static void answered(struct wire_connection *connection, json_t *ok, const struct error *error,
                     void *data)
{
    struct update *update = data;
    struct worker *worker = update->worker;
    struct worker_client *client = worker_client_find(worker, update->client);
    json_t *answer = NULL;

    (void)connection;
    (void)ok;
    loop_remove(&update->timer);
    worker->updating = false;
    if (!error)
        answer = settle(update);
    else if (worker->vm)
        (void)vm_limit(worker->vm, update->old.memory, update->old.cpus, NULL);
    if (client && error)
        wire_connection_refuse(client->connection, update->id, error);
    else if (client)
        wire_connection_answer(client->connection, update->id, answer);
    else
        json_decref(answer);
    free(update);
}

/* What holds outside stays until the guest has answered: it may obey yet. */
static void expired(struct loop_source *source, uint32_t events)
{
    struct update *update = source->data;
    struct worker_client *client = worker_client_find(update->worker, update->client);
    struct error error = ERROR_INIT;

    (void)events;
    loop_remove(source);
    update->client = 0;
    (void)error_set(&error, -ETIMEDOUT, WORKER_NO_ANSWER);
    if (client)
        wire_connection_refuse(client->connection, update->id, &error);
}

static int read_limits(const struct worker *worker, const json_t *request, struct limits *ret,
                       struct error *err)
{
    int64_t memory = 0;
    int64_t nano_cpus = -1;
    int r;

    if ((r = json_get_i64(request, "memory", &memory, err)) < 0 ||
        (r = json_get_i64(request, "nano_cpus", &nano_cpus, err)) < 0)
        return r;
    *ret = (struct limits){.memory = worker_memory(worker->job), .cpus = worker->job->cpus};
    if (memory > 0)
        ret->memory = (uint64_t)memory;
    if (nano_cpus >= 0)
        ret->cpus = (double)nano_cpus / 1e9;
    if (ret->memory < VM_MEMORY_MIN)
        return error_set_class(err, ERROR_INVALID,
                               "a utility VM needs at least %d MiB of memory, not %" PRIu64,
                               VM_MEMORY_MIN / 1024 / 1024, ret->memory / 1024 / 1024);
    if (ret->memory > vm_memory_ceiling(worker->vm))
        return error_set_class(err, ERROR_CONFLICT,
                               "the running virtual machine cannot have more than %" PRIu64
                               " MiB of memory: stop the container, update it, and start it again",
                               vm_memory_ceiling(worker->vm) / 1024 / 1024);
    return 0;
}

static json_t *make_message(const struct update *update, const json_t *request)
{
    json_t *resources = json_object_get(request, "resources");
    json_t *message = json_object();

    if (resources && json_put(message, "resources", json_incref(resources)) < 0)
        goto fail;
    if (update->wanted.memory != update->old.memory &&
        vm_resizes_memory(update->worker->job->engine) &&
        json_put_i64(message, "memory", (int64_t)update->wanted.memory) < 0)
        goto fail;
    return message;
fail:
    json_decref(message);
    return NULL;
}

int worker_update_vm(struct worker_client *client, uint64_t id, json_t *request, struct error *err)
{
    struct worker *worker = client->worker;
    CLEANUP_FREE struct update *update = calloc(1, sizeof(*update));
    int r;

    if (!update)
        return error_oom(err);
    if (worker->updating)
        return error_set_class(err, ERROR_CONFLICT, "the container is being updated already");
    if (!worker->link || !worker->vm)
        return error_set_class(err, ERROR_CONFLICT, "the container is not running");
    *update = (struct update){.worker = worker,
                              .client = client->serial,
                              .id = id,
                              .old = {worker_memory(worker->job), worker->job->cpus},
                              .timer = LOOP_SOURCE_INIT};
    if ((r = read_limits(worker, request, &update->wanted, err)) < 0)
        return r;
    r = vm_limit(worker->vm,
                 update->wanted.memory > update->old.memory ? update->wanted.memory
                                                            : update->old.memory,
                 update->wanted.cpus, err);
    if (r >= 0) {
        json_t *message = make_message(update, request);

        r = message
                ? wire_connection_request(worker->link, "update", message, answered, update, err)
                : error_oom(err);
    }
    if (r < 0) {
        (void)vm_limit(worker->vm, update->old.memory, update->old.cpus, NULL);
        return r;
    }
    worker->updating = true;
    if (loop_add_timer(worker->loop, &update->timer, expired, update) >= 0)
        (void)loop_timer_set(&update->timer, worker_patience(worker, WORKER_ANSWER_MS));
    (void)TAKE_PTR(update);
    return 1;
}
