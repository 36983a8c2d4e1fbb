/* `update` of a container in a utility VM: its limits hold inside and outside, and the memory of
 * the VM follows them.
 *
 * What rises rises outside first, what falls falls inside first, so that the guest is never given
 * what the host would kill it for. While an update is on its way another one is refused. What the
 * VM has is kept in the job, which nobody reads again. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "compute/worker_internal.h"
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
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
    json_t *resources;        /* of the container's cgroup, as asked for; NULL: none */
    bool expired;             /* the client was told that there was no answer */
    struct loop_source timer; /* the guest's time to answer */
};

static void update_free(struct update *update)
{
    json_decref(update->resources);
    free(update);
}

/* --- what holds --- */

/* What an OCI runtime has that was told nothing. */
static json_int_t unlimited(const char *member)
{
    return string_equal(member, "shares") ? 1024 : string_equal(member, "period") ? 100000 : -1;
}

/* Of the container's cgroup: as it was created, and then as it was updated. */
static json_t *known_resources(struct worker *worker)
{
    CLEANUP_FREE char *path = path_join(string_or(worker->job->directory, ""), "config.json");
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(JSON_DOCUMENT_MAX);
    CLEANUP_JSON json_t *config = NULL;

    if (worker->resources)
        return worker->resources;
    if (path && file_read(AT_FDCWD, path, &text, NULL) >= 0)
        (void)json_parse(buffer_string(&text), text.length, &config, NULL);
    const json_t *found = json_object_get(json_object_get(config, "linux"), "resources");
    worker->resources = json_is_object(found) ? json_deep_copy(found) : json_object();
    return worker->resources;
}

static void remember(struct worker *worker, const json_t *resources)
{
    json_t *known = known_resources(worker);
    const char *group;
    json_t *members;

    json_object_foreach ((json_t *)(uintptr_t)resources, group, members) {
        json_t *before = json_object_get(known, group);

        if (json_is_object(before) && json_is_object(members))
            (void)json_object_update(before, members);
        else
            (void)json_object_set_new(known, group, json_deep_copy(members));
    }
}

/* What was there before, of all that `resources` names. */
static json_t *previous(struct worker *worker, const json_t *resources)
{
    json_t *known = known_resources(worker);
    json_t *found = json_object();
    const char *group;
    const char *name;
    json_t *members;
    json_t *member;

    json_object_foreach ((json_t *)(uintptr_t)resources, group, members) {
        json_t *old = json_object();

        json_object_foreach (members, name, member) {
            json_t *value = json_object_get(json_object_get(known, group), name);

            (void)json_object_set_new(old, name,
                                      value ? json_incref(value) : json_integer(unlimited(name)));
        }
        (void)json_object_set_new(found, group, old);
    }
    return found;
}

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

static json_t *make_message(const struct worker *worker, const json_t *resources,
                            const struct limits *from, const struct limits *to)
{
    json_t *message = json_object();

    if (resources && json_put(message, "resources", json_deep_copy(resources)) < 0)
        goto fail;
    if (to->memory != from->memory && vm_resizes_memory(worker->job->engine) &&
        json_put_i64(message, "memory", (int64_t)to->memory) < 0)
        goto fail;
    return message;
fail:
    json_decref(message);
    return NULL;
}

/* --- an answer that comes too late --- */

static void undone(struct wire_connection *connection, json_t *ok, const struct error *error,
                   void *data)
{
    struct update *update = data;
    struct worker *worker = update->worker;

    (void)connection;
    (void)ok;
    worker->updating = false;
    if (error)
        worker_note(worker, "limits that came too late stay in the guest: %s", error->message);
    if (worker->vm)
        (void)vm_limit(worker->vm, update->old.memory, update->old.cpus, NULL);
    update_free(update);
}

/* The client was told that nothing changes. */
static void undo(struct update *update, struct wire_connection *connection)
{
    struct worker *worker = update->worker;
    CLEANUP_JSON json_t *resources = update->resources ? previous(worker, update->resources) : NULL;
    json_t *message = make_message(worker, resources, &update->wanted, &update->old);

    worker_note(worker, "limits were changed too late, which is undone");
    if (message &&
        wire_connection_request(connection, "update", message, undone, update, NULL) >= 0)
        return;
    undone(connection, NULL, NULL, update);
}

static void answered(struct wire_connection *connection, json_t *ok, const struct error *error,
                     void *data)
{
    struct update *update = data;
    struct worker *worker = update->worker;
    struct worker_client *client = worker_client_find(worker, update->client);
    json_t *answer = NULL;

    (void)ok;
    loop_remove(&update->timer);
    if (update->expired && !error) {
        undo(update, connection);
        return;
    }
    worker->updating = false;
    if (!error) {
        answer = settle(update);
        remember(worker, update->resources);
    } else if (worker->vm)
        (void)vm_limit(worker->vm, update->old.memory, update->old.cpus, NULL);
    if (client && error)
        wire_connection_refuse(client->connection, update->id, error);
    else if (client)
        wire_connection_answer(client->connection, update->id, answer);
    else
        json_decref(answer);
    update_free(update);
}

/* What holds outside stays until the guest has answered: it may obey yet, which is then undone. */
static void expired(struct loop_source *source, uint32_t events)
{
    struct update *update = source->data;
    struct worker_client *client = worker_client_find(update->worker, update->client);
    struct error error = ERROR_INIT;

    (void)events;
    loop_remove(source);
    update->client = 0;
    update->expired = true;
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

DEFINE_CLEANUP(struct update *, cleanup_update, update_free)

int worker_update_vm(struct worker_client *client, uint64_t id, json_t *request, struct error *err)
{
    struct worker *worker = client->worker;
    CLEANUP(cleanup_update) struct update *update = calloc(1, sizeof(*update));
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
    update->resources = json_incref(json_object_get(request, "resources"));
    r = vm_limit(worker->vm,
                 update->wanted.memory > update->old.memory ? update->wanted.memory
                                                            : update->old.memory,
                 update->wanted.cpus, err);
    if (r >= 0) {
        json_t *message = make_message(worker, update->resources, &update->old, &update->wanted);

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
