/* docker update: limits and the restart policy of a container, while it runs or not.
 *
 * What was asked is checked against the request itself and what the container has (moby,
 * Container.UpdateContainer), then given to the worker, if there is one, and only then kept: what
 * inspect shows is what holds. */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "compute/client.h"
#include "engine/private.h"
#include "engine/resources.h"
#include "spec/resources.h"
#include "vm/vm.h"

enum { EXIT_PATIENCE_MS = 2000, WARNINGS_MAX = 64 };

/* Groups of limits that belong together. */
enum {
    CHANGE_MEMORY = 1 << 0,
    CHANGE_RESERVATION = 1 << 1,
    CHANGE_SHARES = 1 << 2,
    CHANGE_QUOTA = 1 << 3,
    CHANGE_CPUS = 1 << 4,
    CHANGE_MEMS = 1 << 5,
    CHANGE_BLOCK = 1 << 6,
    CHANGE_PIDS = 1 << 7,
    CHANGE_POLICY = 1 << 8,
};

static const struct {
    const char *name;
    unsigned change;
} members[] = {
    {"Memory", CHANGE_MEMORY},    {"MemorySwap", CHANGE_MEMORY},
    {"NanoCpus", CHANGE_QUOTA},   {"MemoryReservation", CHANGE_RESERVATION},
    {"CpuPeriod", CHANGE_QUOTA},  {"CpuQuota", CHANGE_QUOTA},
    {"CpuShares", CHANGE_SHARES}, {"CpusetCpus", CHANGE_CPUS},
    {"CpusetMems", CHANGE_MEMS},  {"BlkioWeight", CHANGE_BLOCK},
    {"PidsLimit", CHANGE_PIDS},   {"RestartPolicy", CHANGE_POLICY},
};
enum { N_MEMBERS = sizeof(members) / sizeof(members[0]) };

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* --- checks --- */

static int check_conflicts(const json_t *have, const json_t *body, struct error *err)
{
    const char *text = NULL;
    if (number(body, "NanoCpus") > 0 && number(have, "CpuPeriod") > 0)
        text = "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been "
               "set";
    else if (number(body, "NanoCpus") > 0 && number(have, "CpuQuota") > 0)
        text = "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set";
    else if (number(body, "CpuPeriod") > 0 && number(have, "NanoCpus") > 0)
        text = "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set";
    else if (number(body, "CpuQuota") > 0 && number(have, "NanoCpus") > 0)
        text = "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set";
    else if (number(body, "Memory") > 0 && number(body, "MemorySwap") == 0 &&
             number(have, "MemorySwap") >= 0 && number(body, "Memory") > number(have, "MemorySwap"))
        text = "Memory limit should be smaller than already set memoryswap limit, update the "
               "memoryswap at the same time";
    return text ? error_set_class(err, ERROR_CONFLICT, "%s", text) : 0;
}

static int check_policy(const struct container *container, const json_t *body, struct error *err)
{
    json_t *policy = json_object_get(body, "RestartPolicy");
    const char *name = json_string_value(json_object_get(policy, "Name"));
    if (container->auto_remove && !string_is_empty(name) && !string_equal(name, "no"))
        return error_set_class(err, ERROR_CONFLICT,
                               "Restart policy cannot be updated because AutoRemove is enabled for "
                               "the container");
    return 0;
}

static int check_state(struct container *container, struct error *err)
{
    ENGINE_STATE(container->engine);
    if (container->status == CONTAINER_REMOVING || container->status == CONTAINER_DEAD ||
        !container->in_table)
        return error_set_class(err, ERROR_CONFLICT,
                               "container is marked for removal and cannot be \"update\"");
    return 0;
}

/* hull's own: the isolation that the container is to have afterwards, and whether it may be
 * restarted for that. */
static int read_isolation(const struct container *container, const json_t *body,
                          enum compute_isolation *ret, bool *ret_restart, struct error *err)
{
    const char *text = "";
    int isolation = (int)container->isolation;
    int r;
    if ((r = json_get_string(body, "Isolation", &text, err)) < 0 ||
        (r = json_get_bool(body, "Restart", ret_restart, err)) < 0)
        return r;
    if (string_equal_nocase(text, "default"))
        isolation = (int)container->engine->config.isolation;
    else if (!string_is_empty(text))
        isolation = compute_isolation_from_string(text);
    if (isolation < 0)
        return error_set_class(err, ERROR_INVALID, "invalid isolation '%s' on linux", text);
    *ret = (enum compute_isolation)isolation;
    return 0;
}

/* What an update cannot be asked for. */
static int check_body(json_t *body, enum compute_isolation isolation, char ***warnings,
                      struct error *err)
{
    int64_t pids = 0;
    int64_t realtime[2] = {0};
    int r;
    if ((r = engine_resources_check(body, isolation, true, warnings, err)) < 0 ||
        (r = engine_restart_policy_check(body, false, err)) < 0 ||
        (r = json_get_i64(body, "PidsLimit", &pids, err)) < 0 ||
        (r = json_get_i64(body, "CpuRealtimePeriod", &realtime[0], err)) < 0 ||
        (r = json_get_i64(body, "CpuRealtimeRuntime", &realtime[1], err)) < 0)
        return r;
    if (realtime[0] || realtime[1])
        return error_set_class(err, ERROR_INVALID,
                               "Your kernel does not support CPU real-time scheduler");
    if (isolation == COMPUTE_HYPERV && number(body, "Memory") > 0)
        return engine_resources_check_vm((uint64_t)number(body, "Memory"), err);
    return 0;
}

/* --- what is to be --- */

/* Is the member there, and not docker's word for "as it is"? */
static bool is_given(const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);
    if (json_is_integer(value)) /* 0 processes are "no limit" */
        return json_integer_value(value) != 0 || string_equal(name, "PidsLimit");
    if (json_is_string(value))
        return *json_string_value(value);
    return json_is_object(value) &&
           !string_is_empty(json_string_value(json_object_get(value, "Name")));
}

/* A copy of HostConfig with what the request changes. *ret_changes: of CHANGE_... */
static int merge(const struct container *container, const json_t *body, json_t **ret,
                 unsigned *ret_changes, struct error *err)
{
    CLEANUP_JSON json_t *merged = json_deep_copy(container->host_config);
    unsigned changes = 0;
    if (!merged)
        return error_oom(err);
    for (size_t i = 0; i < N_MEMBERS; i++) {
        const char *name = members[i].name;
        if (!is_given(body, name))
            continue;
        changes |= members[i].change;
        if (json_put(merged, name, json_deep_copy(json_object_get(body, name))) < 0)
            return error_oom(err);
    }
    if ((changes & CHANGE_PIDS) && number(merged, "PidsLimit") < 0 &&
        json_put_i64(merged, "PidsLimit", 0) < 0)
        return error_oom(err);
    if (changes & CHANGE_POLICY) {
        json_t *policy = json_object_get(merged, "RestartPolicy");
        if (!json_object_get(policy, "MaximumRetryCount") &&
            json_put_i64(policy, "MaximumRetryCount", 0) < 0)
            return error_oom(err);
    }
    *ret_changes = changes;
    *ret = TAKE_PTR(merged);
    return 0;
}

/* Leaves only what changes: the rest is not written again. */
static void select_changes(struct spec_resources *resources, unsigned changes)
{
    if (!(changes & CHANGE_MEMORY))
        resources->memory_limit = resources->memory_swap = 0;
    if (!(changes & CHANGE_RESERVATION))
        resources->memory_reservation = 0;
    if (!(changes & CHANGE_SHARES))
        resources->cpu_shares = 0;
    if (!(changes & CHANGE_QUOTA)) {
        resources->cpu_period = 0;
        resources->cpu_quota = 0;
    }
    if (!(changes & CHANGE_CPUS))
        free(TAKE_PTR(resources->cpus));
    if (!(changes & CHANGE_MEMS))
        free(TAKE_PTR(resources->mems));
    if (!(changes & CHANGE_BLOCK))
        resources->blkio_weight = 0;
    if (!(changes & CHANGE_PIDS))
        resources->pids_limit = 0;
    else if (resources->pids_limit <= 0)
        resources->pids_limit = -1;
}

static int make_request(const struct container *container, const json_t *merged, unsigned changes,
                        json_t **ret, struct error *err)
{
    CLEANUP(spec_resources_release) struct spec_resources resources = {0};
    CLEANUP_JSON json_t *request = json_object();
    int r = engine_resources_build(merged, &resources, err);
    if (r < 0)
        return r;
    if (container->isolation == COMPUTE_HYPERV)
        engine_resources_trim(&resources);
    select_changes(&resources, changes);
    r = json_put(request, "resources", spec_resources_to_json(&resources));
    if (container->isolation == COMPUTE_HYPERV) {
        if (r >= 0 && (changes & CHANGE_MEMORY))
            r = json_put_i64(request, "memory", number(merged, "Memory"));
        if (r >= 0 && (changes & CHANGE_QUOTA))
            r = json_put_i64(request, "nano_cpus", engine_resources_nano_cpus(merged));
    }
    if (r < 0)
        return error_oom(err);
    *ret = TAKE_PTR(request);
    return 0;
}

/* --- doing it --- */

static bool find_run(struct container *container, uint64_t *ret)
{
    ENGINE_STATE(container->engine);
    *ret = container->run;
    return container_is_running(container);
}

static int ask_worker(struct container *container, const json_t *merged, unsigned changes,
                      char ***warnings, struct error *err)
{
    CLEANUP_CLIENT struct compute_client *client = NULL;
    CLEANUP_STRV char **told = NULL;
    CLEANUP_JSON json_t *answer = NULL;
    json_t *request = NULL;
    int r = compute_client_connect(container->runtime_dir, &client, err);
    if (r >= 0)
        r = make_request(container, merged, changes, &request, err);
    if (r >= 0)
        r = compute_client_call(client, "update", request, &answer, err);
    if (r < 0)
        return r;
    if (json_get_strv(answer, "warnings", WARNINGS_MAX, &told, NULL) >= 0 && told &&
        strv_extend(warnings, told) < 0)
        return error_oom(err);
    return 0;
}

/* [operation]: nobody starts it meanwhile, but it may end. */
static int apply(struct container *container, const json_t *merged, unsigned changes,
                 char ***warnings, struct error *err)
{
    struct error failure = ERROR_INIT;
    uint64_t run;
    if (!(changes & ~(unsigned)CHANGE_POLICY) || !find_run(container, &run))
        return 0;
    int r = ask_worker(container, merged, changes, warnings, &failure);
    if (r >= 0)
        return 0;
    /* An answer in words is one of a container that goes on. */
    if (failure.class == ERROR_SYSTEM || failure.class == ERROR_NOT_FOUND)
        if (container_wait_stopped(container, run, EXIT_PATIENCE_MS) == 0)
            return 0;
    return error_copy(err, &failure);
}

/* Each member is there since the container was made, so that nothing is moved which somebody else
 * may be reading. */
static void put_members(struct container *container, const json_t *from)
{
    for (size_t i = 0; i < N_MEMBERS; i++)
        (void)json_object_set(container->host_config, members[i].name,
                              json_object_get(from, members[i].name));
}

static int keep(struct container *container, const json_t *merged, struct error *err)
{
    ENGINE_STATE(container->engine);
    CLEANUP_JSON json_t *old = json_copy(container->host_config);
    if (!old)
        return error_oom(err);
    put_members(container, merged);
    int r = container_save(container, err);
    if (r < 0) {
        put_members(container, old);
        return r;
    }
    engine_emit_container_locked(container->engine, container, "update", NULL);
    return 0;
}

static int warn_of_cpus(const struct container *container, const json_t *merged, unsigned changes,
                        char ***warnings, struct error *err)
{
    CLEANUP_FREE char *warning = NULL;
    if (container->isolation != COMPUTE_HYPERV || !(changes & CHANGE_QUOTA))
        return 0;
    (void)vm_cpus((enum vm_engine)container->vm_engine,
                  (double)engine_resources_nano_cpus(merged) / 1e9, &warning);
    return warning && strv_append(warnings, warning) < 0 ? error_oom(err) : 0;
}

/* What update_locked() would refuse. */
static int check_update(struct container *container, const json_t *body, struct error *err)
{
    CLEANUP_JSON json_t *merged = NULL;
    unsigned changes = 0;
    int r;

    if ((r = check_state(container, err)) < 0 ||
        (r = check_conflicts(container->host_config, body, err)) < 0 ||
        (r = check_policy(container, body, err)) < 0)
        return r;
    return merge(container, body, &merged, &changes, err);
}

/* [operation] */
static int update_locked(struct container *container, const json_t *body, char ***warnings,
                         struct error *err)
{
    CLEANUP_JSON json_t *merged = NULL;
    unsigned changes = 0;
    int r;
    if ((r = check_state(container, err)) < 0 ||
        (r = check_conflicts(container->host_config, body, err)) < 0 ||
        (r = check_policy(container, body, err)) < 0 ||
        (r = merge(container, body, &merged, &changes, err)) < 0 ||
        (r = apply(container, merged, changes, warnings, err)) < 0 ||
        (r = keep(container, merged, err)) < 0)
        return r;
    return warn_of_cpus(container, merged, changes, warnings, err);
}

static bool is_update(const json_t *body)
{
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (is_given(body, members[i].name))
            return true;
    return false;
}

int engine_container_update(struct engine *engine, const char *reference, json_t *body,
                            char ***ret_warnings, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_STRV char **warnings = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    enum compute_isolation isolation = COMPUTE_ISOLATION_MAX;
    bool restart = false;
    CONTAINER_OPERATION(container);
    if ((r = read_isolation(container, body, &isolation, &restart, err)) < 0 ||
        (r = check_body(body, isolation, &warnings, err)) < 0)
        return r;
    /* Alone it is no update: nothing else changes, and one event is enough. */
    bool alone = json_object_get(body, "Isolation") && !is_update(body);
    r = alone ? 0 : check_update(container, body, err);
    if (r < 0)
        return error_wrap(err, r, "Cannot update container %s", container->id);
    if ((r = container_convert(container, isolation, restart, &warnings, err)) < 0)
        return r;
    if (alone) {
        *ret_warnings = TAKE_PTR(warnings);
        return 0;
    }
    r = update_locked(container, body, &warnings, err);
    if (r < 0)
        return error_wrap(err, r, "Cannot update container %s", container->id);
    *ret_warnings = TAKE_PTR(warnings);
    return 0;
}
