#include "engine/container.h"

#include <assert.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strings.h"
#include "compute/client.h"
#include "engine/private.h"
#include "engine/store.h"
#include "net/pool.h"

static const char *const status_names[] = {
    [CONTAINER_CREATED] = "created",   [CONTAINER_RUNNING] = "running",
    [CONTAINER_PAUSED] = "paused",     [CONTAINER_RESTARTING] = "restarting",
    [CONTAINER_REMOVING] = "removing", [CONTAINER_EXITED] = "exited",
    [CONTAINER_DEAD] = "dead",
};
static_assert(sizeof(status_names) / sizeof(status_names[0]) == CONTAINER_STATUS_MAX,
              "every status has a name");

const char *container_status_to_string(enum container_status status)
{
    return status_names[status];
}

int container_status_from_string(const char *text)
{
    for (int i = 0; i < CONTAINER_STATUS_MAX; i++)
        if (string_equal(status_names[i], text))
            return i;
    return -EINVAL;
}

bool container_is_running(const struct container *container)
{
    return container->status == CONTAINER_RUNNING || container->status == CONTAINER_PAUSED;
}

struct engine *engine_lock(struct engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    return engine;
}

void engine_unlock_cleanup(struct engine **engine)
{
    pthread_mutex_unlock(&(*engine)->lock);
}

struct container *container_lock(struct container *container)
{
    pthread_mutex_lock(&container->operation);
    return container_ref(container);
}

void container_unlock_cleanup(struct container **container)
{
    pthread_mutex_unlock(&(*container)->operation);
    container_put(*container);
}

struct container *container_new(struct engine *engine)
{
    struct container *container = calloc(1, sizeof(*container));
    if (!container)
        return NULL;
    container->engine = engine;
    container->references = 1;
    container->vm_engine = -1;
    container->source.fd = -EBADF;
    container->cleaned = true;
    list_init(&container->node);
    pthread_mutex_init(&container->operation, NULL);
    return container;
}

struct container *container_free(struct container *container)
{
    if (!container)
        return NULL;
    compute_client_free(container->events);
    json_decref(container->config);
    json_decref(container->host_config);
    json_decref(container->ports);
    json_decref(container->mount_points);
    free(container->name);
    free(container->image_name);
    free(container->image_id);
    free(container->path);
    strv_free(container->args);
    free(container->network);
    free(container->directory);
    free(container->runtime_dir);
    pthread_mutex_destroy(&container->operation);
    free(container);
    return NULL;
}

struct container *container_ref(struct container *container)
{
    __atomic_add_fetch(&container->references, 1, __ATOMIC_RELAXED);
    return container;
}

void container_put(struct container *container)
{
    if (container && __atomic_sub_fetch(&container->references, 1, __ATOMIC_ACQ_REL) == 0)
        container_free(container);
}

void container_put_cleanup(struct container **container)
{
    container_put(*container);
}

/* Exact id, then name, then unique prefix, as docker looks them up. */
static int container_find(struct engine *engine, const char *reference, struct container **ret,
                          struct error *err)
{
    const char *name = reference[0] == '/' ? reference + 1 : reference;
    struct container *found = NULL;
    bool ambiguous = false;
    size_t length = strlen(reference);
    LIST_FOR_EACH (container, &engine->containers, struct container, node) {
        if (string_equal(container->id, reference) || string_equal(container->name, name)) {
            *ret = container;
            return 0;
        }
        if (length > 0 && string_starts_with(container->id, reference)) {
            ambiguous = found != NULL;
            if (!found)
                found = container;
        }
    }
    if (ambiguous)
        return error_set_class(err, ERROR_INVALID, "multiple IDs found with provided prefix: %s",
                               reference);
    if (!found)
        return error_set_class(err, ERROR_NOT_FOUND, "No such container: %s", reference);
    *ret = found;
    return 0;
}

int engine_container_get(struct engine *engine, const char *reference, struct container **ret,
                         struct error *err)
{
    ENGINE_STATE(engine);
    struct container *container = NULL;
    int r = container_find(engine, reference, &container, err);
    if (r < 0)
        return r;
    *ret = container_ref(container);
    return 0;
}

int engine_container_status(struct engine *engine, const char *reference, char ret_id[65],
                            const char **ret_status, bool *ret_terminal, struct error *err)
{
    ENGINE_STATE(engine);
    struct container *container = NULL;
    int r = container_find(engine, reference, &container, err);
    if (r < 0)
        return r;
    string_copy(ret_id, 65, container->id);
    *ret_status = container_status_to_string(container->status);
    *ret_terminal = container->terminal;
    return 0;
}

/* --- the document that the store keeps --- */

static json_t *state_to_json(const struct container *container)
{
    json_t *state = json_object();
    int r = state ? 0 : -ENOMEM;
    r = r ?: json_put_string(state, "status", container_status_to_string(container->status));
    r = r ?: json_put_i64(state, "pid", container->pid);
    r = r ?: json_put_i64(state, "exit_code", container->exit_code);
    r = r ?: json_put_bool(state, "oom_killed", container->oom_killed);
    r = r ?: json_put_string(state, "error", container->error);
    r = r ?: json_put_i64(state, "started", container->started);
    r = r ?: json_put_i64(state, "finished", container->finished);
    r = r ?: json_put_i64(state, "restart_count", container->restart_count);
    r = r ?: json_put_bool(state, "stopped_by_user", container->stopped_by_user);
    r = r ?: json_put_i64(state, "run", (int64_t)container->run);
    r = r ?: json_put_bool(state, "cleaned", container->cleaned);
    r = r ?: json_put_i64(state, "address", container->address);
    r = r ?: json_put_i64(state, "vm_uid", container->vm_uid);
    r = r ?: json_put_bool(state, "has_endpoint", container->has_endpoint);
    if (r == 0 && container->ports)
        r = json_put(state, "ports", json_incref(container->ports));
    if (r < 0) {
        json_decref(state);
        return NULL;
    }
    return state;
}

json_t *container_to_document(const struct container *container)
{
    CLEANUP_JSON json_t *document = json_object();
    int r = document ? 0 : -ENOMEM;
    r = r ?: json_put_string(document, "id", container->id);
    r = r ?: json_put_string(document, "name", container->name);
    r = r ?: json_put(document, "config", json_incref(container->config));
    r = r ?: json_put(document, "host_config", json_incref(container->host_config));
    r = r ?: json_put_string(document, "image_name", container->image_name);
    r = r ?: json_put_string(document, "image_id", container->image_id);
    r = r ?: json_put_string(document, "path", container->path);
    r = r ?: json_put_strv(document, "args", container->args);
    r = r
            ?: json_put_string(document, "isolation",
                               compute_isolation_to_string(container->isolation));
    if (r == 0 && container->vm_engine >= 0)
        r = json_put_string(document, "vm_engine",
                            vm_engine_to_string((enum vm_engine)container->vm_engine));
    r = r ?: json_put_i64(document, "created", container->created);
    r = r ?: json_put_string(document, "network", container->network);
    if (r == 0 && container->mount_points)
        r = json_put(document, "mount_points", json_incref(container->mount_points));
    if (r == 0)
        r = json_put(document, "state", state_to_json(container));
    return r < 0 ? NULL : TAKE_PTR(document);
}

int container_save(struct container *container, struct error *err)
{
    if (!container->in_table)
        return 0;
    CLEANUP_JSON json_t *document = container_to_document(container);
    if (!document)
        return error_oom(err);
    return store_container_save(container->engine->store, container->id, container->name,
                                container->created, document, err);
}

static int state_from_json(struct container *container, const json_t *document, struct error *err)
{
    json_t *state = NULL;
    const char *status = "";
    const char *message = "";
    int64_t run = 0;
    int64_t address = 0;
    int64_t uid = 0;
    int64_t pid = 0;
    int64_t exit_code = 0;
    int64_t restarts = 0;
    int r = json_get_object(document, "state", &state, err);
    if (r < 1)
        return r < 0 ? r : error_set(err, -EINVAL, "state is missing");
    if ((r = json_need_string(state, "status", &status, err)) < 0 ||
        (r = json_get_string(state, "error", &message, err)) < 0 ||
        (r = json_get_i64(state, "pid", &pid, err)) < 0 ||
        (r = json_get_i64(state, "exit_code", &exit_code, err)) < 0 ||
        (r = json_get_bool(state, "oom_killed", &container->oom_killed, err)) < 0 ||
        (r = json_get_i64(state, "started", &container->started, err)) < 0 ||
        (r = json_get_i64(state, "finished", &container->finished, err)) < 0 ||
        (r = json_get_i64(state, "restart_count", &restarts, err)) < 0 ||
        (r = json_get_bool(state, "stopped_by_user", &container->stopped_by_user, err)) < 0 ||
        (r = json_get_bool(state, "cleaned", &container->cleaned, err)) < 0 ||
        (r = json_get_bool(state, "has_endpoint", &container->has_endpoint, err)) < 0 ||
        (r = json_get_i64(state, "run", &run, err)) < 0 ||
        (r = json_get_i64(state, "address", &address, err)) < 0 ||
        (r = json_get_i64(state, "vm_uid", &uid, err)) < 0)
        return r;
    int number = container_status_from_string(status);
    if (number < 0)
        return error_set(err, -EINVAL, "unknown status '%s'", status);
    container->status = (enum container_status)number;
    container->pid = (pid_t)pid;
    container->exit_code = (int)exit_code;
    container->restart_count = (int)restarts;
    container->run = (uint64_t)run;
    container->address = (uint32_t)address;
    container->vm_uid = (uid_t)uid;
    container->ports = json_incref(json_object_get(state, "ports"));
    string_copy(container->error, sizeof(container->error), message);
    return 0;
}

int container_derive(struct container *container, struct error *err)
{
    const struct engine_config *config = &container->engine->config;
    int r;
    if ((r = json_get_bool(container->config, "Tty", &container->terminal, err)) < 0 ||
        (r = json_get_bool(container->config, "OpenStdin", &container->open_stdin, err)) < 0 ||
        (r = json_get_bool(container->config, "StdinOnce", &container->stdin_once, err)) < 0 ||
        (r = json_get_bool(container->host_config, "AutoRemove", &container->auto_remove, err)) < 0)
        return r;
    free(container->directory);
    free(container->runtime_dir);
    container->directory = string_format("%s/containers/%s", config->root, container->id);
    container->runtime_dir = string_format("%s/containers/%s", config->state, container->id);
    return container->directory && container->runtime_dir ? 0 : error_oom(err);
}

static int fields_from_document(struct container *container, const json_t *document,
                                struct error *err)
{
    const char *text = NULL;
    json_t *object = NULL;
    int r = json_need_string(document, "id", &text, err);
    if (r < 0)
        return r;
    if (!string_is_hex(text, ID_LENGTH))
        return error_set(err, -EINVAL, "bad container id");
    string_copy(container->id, sizeof(container->id), text);
    const struct {
        const char *name;
        char **target;
    } texts[] = {
        {"name", &container->name},         {"image_name", &container->image_name},
        {"image_id", &container->image_id}, {"path", &container->path},
        {"network", &container->network},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        r = json_need_string(document, texts[i].name, &text, err);
        if (r < 0)
            return r;
        if (string_replace(texts[i].target, text) < 0)
            return error_oom(err);
    }
    if ((r = json_get_strv(document, "args", 65536, &container->args, err)) < 0 ||
        (r = json_get_i64(document, "created", &container->created, err)) < 0 ||
        (r = json_need_string(document, "isolation", &text, err)) < 0)
        return r;
    int isolation = compute_isolation_from_string(text);
    if (isolation < 0)
        return error_set(err, -EINVAL, "unknown isolation '%s'", text);
    container->isolation = (enum compute_isolation)isolation;
    r = json_get_string(document, "vm_engine", &text, err);
    if (r < 0)
        return r;
    if (r > 0 && (container->vm_engine = vm_engine_from_string(text)) < 0)
        return error_set(err, -EINVAL, "unknown VM engine '%s'", text);
    if ((r = json_get_object(document, "config", &object, err)) < 1)
        return r < 0 ? r : error_set(err, -EINVAL, "config is missing");
    container->config = json_incref(object);
    if ((r = json_get_object(document, "host_config", &object, err)) < 1)
        return r < 0 ? r : error_set(err, -EINVAL, "host_config is missing");
    container->host_config = json_incref(object);
    r = json_get_array(document, "mount_points", &object, err);
    if (r < 0)
        return r;
    container->mount_points = r > 0 ? json_incref(object) : NULL;
    return state_from_json(container, document, err);
}

int container_from_document(struct engine *engine, const json_t *document, struct container **ret,
                            struct error *err)
{
    struct container *container = container_new(engine);
    if (!container)
        return error_oom(err);
    int r = fields_from_document(container, document, err);
    if (r == 0)
        r = container_derive(container, err);
    if (r < 0) {
        container_free(container);
        return r;
    }
    *ret = container;
    return 0;
}
