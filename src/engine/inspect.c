/* GET /containers/{id}/json and GET /containers/json. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/attach_network.h"
#include "engine/private.h"

/* --- inspect --- */

static json_t *state_json(const struct container *container)
{
    char started[TIMESTAMP_TEXT_MAX];
    char finished[TIMESTAMP_TEXT_MAX];
    bool paused = container->status == CONTAINER_PAUSED;
    bool restarting = container->status == CONTAINER_RESTARTING;
    return json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:i, s:i, s:s, s:s, s:s}", "Status",
                     container_status_to_string(container->status), "Running",
                     container_is_running(container) || restarting, "Paused", paused, "Restarting",
                     restarting, "OOMKilled", container->oom_killed, "Dead",
                     container->status == CONTAINER_DEAD, "Pid", (int)container->pid, "ExitCode",
                     container->exit_code, "Error", container->error, "StartedAt",
                     timestamp_format(container->started, started), "FinishedAt",
                     timestamp_format(container->finished, finished));
}

static int add_paths(json_t *object, const struct container *container)
{
    const struct {
        const char *member;
        const char *name;
    } files[] = {
        {"ResolvConfPath", "resolv.conf"}, {"HostnamePath", "hostname"}, {"HostsPath", "hosts"}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (json_put(object, files[i].member,
                     json_sprintf("%s/%s", container->directory, files[i].name)) < 0)
            return -ENOMEM;
    struct compute_log log;
    if (engine_log_options(container, &log, NULL) < 0)
        return -ENOMEM;
    CLEANUP_FREE char *path = log.path;
    return json_put_string(object, "LogPath", string_or(path, ""));
}

/* What hull adds to docker's document: where the container is placed. */
static int add_placement(json_t *object, const struct container *container)
{
    if (container->isolation != COMPUTE_HYPERV)
        return 0;
    return json_put_string(object, "VmEngine",
                           vm_engine_to_string((enum vm_engine)container->vm_engine));
}

static int add_storage(json_t *object, const struct container *container)
{
    if (container->isolation == COMPUTE_HYPERV)
        return json_put(object, "GraphDriver",
                        json_pack("{s:s, s:{s:o}}", "Name", "erofs-ext4", "Data", "ScratchDisk",
                                  json_sprintf("%s/scratch.ext4", container->directory)));
    return json_put(object, "GraphDriver",
                    json_pack("{s:s, s:{s:o, s:o, s:o}}", "Name", "overlay2", "Data", "MergedDir",
                              json_sprintf("%s/rootfs", container->directory), "UpperDir",
                              json_sprintf("%s/upper", container->directory), "WorkDir",
                              json_sprintf("%s/work", container->directory)));
}

/* Call under the state lock. */
static json_t *inspect_json(struct engine *engine, const struct container *container)
{
    char created[TIMESTAMP_TEXT_MAX];
    CLEANUP_JSON json_t *object = json_object();
    json_t *networks = container_network_settings(container);
    int r = object ? 0 : -ENOMEM;
    r = r ?: json_put_string(object, "Id", container->id);
    r = r ?: json_put_string(object, "Created", timestamp_format(container->created, created));
    r = r ?: json_put_string(object, "Path", container->path);
    r = r ?: json_put_strv(object, "Args", container->args);
    r = r ?: json_put(object, "State", state_json(container));
    r = r ?: json_put_string(object, "Image", container->image_id);
    r = r ?: add_paths(object, container);
    r = r ?: json_put(object, "Name", json_sprintf("/%s", container->name));
    r = r ?: json_put_i64(object, "RestartCount", container->restart_count);
    r = r ?: json_put_string(object, "Driver", "overlay2");
    r = r ?: json_put_string(object, "Platform", "linux");
    r = r ?: json_put_string(object, "MountLabel", "");
    r = r ?: json_put_string(object, "ProcessLabel", "");
    r = r ?: json_put_string(object, "AppArmorProfile", "");
    r = r ?: json_put(object, "ExecIDs", engine_exec_ids(engine, container));
    r = r ?: json_put(object, "HostConfig", json_deep_copy(container->host_config));
    r = r ?: add_storage(object, container);
    r = r ?: add_placement(object, container);
    r = r ?: json_put(object, "Mounts", engine_mounts_to_json(container));
    r = r ?: json_put(object, "Config", json_deep_copy(container->config));
    if (r == 0)
        r = json_put(object, "NetworkSettings", TAKE_PTR(networks));
    json_decref(networks);
    return r < 0 ? NULL : TAKE_PTR(object);
}

int engine_container_inspect(struct engine *engine, const char *reference, bool size, json_t **ret,
                             struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP_JSON json_t *object = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    {
        ENGINE_STATE(engine);
        object = inspect_json(engine, container);
    }
    if (!object)
        return error_oom(err);
    if (size && engine_put_sizes(engine, container->id, object) < 0)
        return error_oom(err);
    *ret = TAKE_PTR(object);
    return 0;
}

/* --- list --- */

/* docker's "Up 5 minutes", "Exited (0) 2 hours ago". Call under the state lock. */
static void status_text(const struct container *container, char *text, size_t size)
{
    char since[64];
    int64_t now = timestamp_now();
    switch (container->status) {
    case CONTAINER_RUNNING:
    case CONTAINER_PAUSED:
        timestamp_human_duration(now - container->started, since, sizeof(since));
        (void)snprintf(text, size, "Up %s%s", since,
                       container->status == CONTAINER_PAUSED ? " (Paused)" : "");
        break;
    case CONTAINER_RESTARTING:
        timestamp_human_duration(now - container->finished, since, sizeof(since));
        (void)snprintf(text, size, "Restarting (%d) %s ago", container->exit_code, since);
        break;
    case CONTAINER_EXITED:
        timestamp_human_duration(now - container->finished, since, sizeof(since));
        (void)snprintf(text, size, "Exited (%d) %s ago", container->exit_code, since);
        break;
    case CONTAINER_REMOVING:
        string_copy(text, size, "Removal In Progress");
        break;
    case CONTAINER_DEAD:
        string_copy(text, size, "Dead");
        break;
    case CONTAINER_CREATED:
    case CONTAINER_STATUS_MAX:
        string_copy(text, size, "Created");
        break;
    }
}

static json_t *ports_json(const struct container *container)
{
    json_t *list = json_array();
    const char *key;
    json_t *bindings;
    json_object_foreach (container->ports, key, bindings) {
        int number = 0;
        CLEANUP_STRV char **parts = NULL;
        if (strv_split(key, '/', &parts) < 0 || strv_length(parts) != 2 ||
            string_to_int(parts[0], 1, 65535, &number) < 0)
            continue;
        if (json_array_size(bindings) == 0)
            json_array_append_new(list,
                                  json_pack("{s:i, s:s}", "PrivatePort", number, "Type", parts[1]));
        size_t i;
        json_t *binding;
        json_array_foreach (bindings, i, binding) {
            int host = 0;
            (void)string_to_int(
                string_or(json_string_value(json_object_get(binding, "HostPort")), ""), 0, 65535,
                &host);
            json_array_append_new(
                list,
                json_pack("{s:s, s:i, s:i, s:s}", "IP",
                          string_or(json_string_value(json_object_get(binding, "HostIp")), ""),
                          "PrivatePort", number, "PublicPort", host, "Type", parts[1]));
        }
    }
    return list;
}

/* Call under the state lock. */
static json_t *summary_json(const struct container *container)
{
    char status[128];
    status_text(container, status, sizeof(status));
    CLEANUP_FREE char *arguments = strv_join(container->args, " ");
    CLEANUP_FREE char *command = string_format(
        "%s%s%s", container->path, string_is_empty(arguments) ? "" : " ", string_or(arguments, ""));
    CLEANUP_JSON json_t *settings = container_network_settings(container);
    json_t *labels = json_object_get(container->config, "Labels");
    if (!command || !settings)
        return NULL;
    return json_pack(
        "{s:s, s:[o], s:s, s:s, s:s, s:I, s:o, s:o, s:s, s:s, s:{s:s, s:s}, s:{s:O}, "
        "s:o}",
        "Id", container->id, "Names", json_sprintf("/%s", container->name), "Image",
        container->image_name, "ImageID", container->image_id, "Command", command, "Created",
        (json_int_t)(container->created / 1000000000), "Ports", ports_json(container), "Labels",
        json_is_object(labels) ? json_copy(labels) : json_object(), "State",
        container_status_to_string(container->status), "Status", status, "HostConfig",
        "NetworkMode", container->network, "Isolation",
        compute_isolation_to_string(container->isolation), "NetworkSettings", "Networks",
        json_object_get(settings, "Networks"), "Mounts", engine_mounts_to_json(container));
}

static const char *const list_filters[] = {
    "ancestor", "before", "exited",  "expose",  "health", "id",     "isolation", "is-task",
    "label",    "name",   "network", "publish", "since",  "status", "volume",    NULL};

/* docker matches names as regular expressions without anchors; a substring covers what people type,
 * with ^ and $ honoured. */
static bool name_matches(const char *pattern, const char *name)
{
    bool start = pattern[0] == '^';
    CLEANUP_FREE char *text = strdup(pattern + (start ? 1 : 0));
    if (!text)
        return false;
    size_t length = strlen(text);
    bool end = length > 0 && text[length - 1] == '$';
    if (end)
        text[length - 1] = '\0';
    const char *bare = text[0] == '/' ? text + 1 : text;
    if (start && end)
        return string_equal(bare, name);
    if (start)
        return string_starts_with(name, bare);
    return end ? string_ends_with(name, bare) : strstr(name, bare) != NULL;
}

static bool matches_any(const json_t *filters, const char *filter,
                        const struct container *container,
                        bool (*matches)(const struct container *, const char *))
{
    CLEANUP_STRV char **values = NULL;
    if (!json_object_get(filters, filter))
        return true;
    if (filter_values(filters, filter, &values, NULL) < 0)
        return false;
    for (char **value = values; value && *value; value++)
        if (matches(container, *value))
            return true;
    return false;
}

static bool match_name(const struct container *container, const char *value)
{
    return name_matches(value, container->name);
}

static bool match_id(const struct container *container, const char *value)
{
    return string_starts_with(container->id, value);
}

static bool match_exited(const struct container *container, const char *value)
{
    int code;
    return string_to_int(value, 0, 255, &code) == 0 && container->status == CONTAINER_EXITED &&
           container->exit_code == code;
}

static bool match_isolation(const struct container *container, const char *value)
{
    return compute_isolation_from_string(value) == (int)container->isolation;
}

static bool match_ancestor(const struct container *container, const char *value)
{
    const char *digits = container->image_id + strlen("sha256:");
    CLEANUP_FREE char *latest = string_format("%s:latest", value);
    CLEANUP_FREE char *own_latest = string_format("%s:latest", container->image_name);
    return string_equal(value, container->image_name) || string_equal(value, container->image_id) ||
           string_equal(latest, container->image_name) || string_equal(own_latest, value) ||
           (strlen(value) >= 4 && string_starts_with(digits, value));
}

static bool match_network(const struct container *container, const char *value)
{
    CLEANUP_FREE char *id = engine_network_id(container->engine, container->network);
    return string_equal(value, container->network) ||
           (id && strlen(value) > 0 && string_starts_with(id, value));
}

static bool match_volume(const struct container *container, const char *value)
{
    CLEANUP_JSON json_t *mounts = engine_mounts_to_json(container);
    size_t i;
    json_t *mount;
    json_array_foreach (mounts, i, mount) {
        if (string_equal(json_string_value(json_object_get(mount, "Name")), value) ||
            string_equal(json_string_value(json_object_get(mount, "Source")), value) ||
            string_equal(json_string_value(json_object_get(mount, "Destination")), value))
            return true;
    }
    return false;
}

/* "80", "80/udp", "8000-8080/tcp" against an object whose keys are "80/tcp". */
static bool port_key_matches(const json_t *ports, const char *value)
{
    CLEANUP_FREE char *range = strndup(value, strcspn(value, "/"));
    const char *protocol = strchr(value, '/') ? strchr(value, '/') + 1 : "tcp";
    int first;
    if (!range)
        return false;
    char *dash = strchr(range, '-');
    if (dash)
        *dash++ = '\0';
    if (string_to_int(range, 0, 65535, &first) < 0)
        return false;
    int last = first;
    if (dash && string_to_int(dash, 0, 65535, &last) < 0)
        return false;
    for (int port = first; port <= last; port++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "%d/%s", port, protocol);
        if (json_object_get(ports, key))
            return true;
    }
    return false;
}

static bool match_expose(const struct container *container, const char *value)
{
    return port_key_matches(json_object_get(container->config, "ExposedPorts"), value);
}

static bool match_publish(const struct container *container, const char *value)
{
    return port_key_matches(json_object_get(container->host_config, "PortBindings"), value);
}

static bool match_status(const struct container *container, const char *value)
{
    return string_equal(container_status_to_string(container->status), value);
}

static int check_list_filters(const json_t *filters, struct error *err)
{
    CLEANUP_STRV char **statuses = NULL;
    CLEANUP_STRV char **isolations = NULL;
    int r = filter_check_names(filters, list_filters, err);
    if (r < 0 || (r = filter_values(filters, "status", &statuses, err)) < 0 ||
        (r = filter_values(filters, "isolation", &isolations, err)) < 0)
        return r;
    for (char **status = statuses; status && *status; status++)
        if (container_status_from_string(*status) < 0)
            return error_set_class(err, ERROR_INVALID, "invalid filter 'status=%s'", *status);
    for (char **isolation = isolations; isolation && *isolation; isolation++)
        if (compute_isolation_from_string(*isolation) < 0 &&
            !string_equal_nocase(*isolation, "default"))
            return error_set_class(err, ERROR_INVALID, "invalid filter 'isolation=%s'", *isolation);
    return 0;
}

static bool list_matches(const struct container *container, const json_t *filters)
{
    return matches_any(filters, "name", container, match_name) &&
           matches_any(filters, "id", container, match_id) &&
           matches_any(filters, "exited", container, match_exited) &&
           matches_any(filters, "isolation", container, match_isolation) &&
           matches_any(filters, "ancestor", container, match_ancestor) &&
           matches_any(filters, "network", container, match_network) &&
           matches_any(filters, "status", container, match_status) &&
           matches_any(filters, "volume", container, match_volume) &&
           matches_any(filters, "expose", container, match_expose) &&
           matches_any(filters, "publish", container, match_publish) &&
           filter_match(filters, "is-task", "false") && filter_match(filters, "health", "none") &&
           filter_match_labels(filters, "label", json_object_get(container->config, "Labels"));
}

/* `before` and `since` name a container. */
static int age_limits(struct engine *engine, const json_t *filters, int64_t *before, int64_t *since,
                      struct error *err)
{
    const char *const names[] = {"before", "since"};
    int64_t *const targets[] = {before, since};
    for (size_t i = 0; i < 2; i++) {
        CLEANUP_STRV char **values = NULL;
        CLEANUP_CONTAINER struct container *container = NULL;
        int r = filter_values(filters, names[i], &values, err);
        if (r < 0)
            return r;
        if (!values || !*values)
            continue;
        r = engine_container_get(engine, *values, &container, err);
        if (r < 0)
            return r;
        *targets[i] = container->created;
    }
    return 0;
}

static int list_matching(struct engine *engine, const struct engine_list_options *options, bool all,
                         int64_t before, int64_t since, json_t *list)
{
    ENGINE_STATE(engine);
    for (struct list *node = engine->containers.previous; node != &engine->containers;
         node = node->previous) {
        const struct container *container = LIST_ENTRY(node, struct container, node);
        if (options->limit > 0 && json_array_size(list) >= (size_t)options->limit)
            break;
        bool runs = container_is_running(container) || container->status == CONTAINER_RESTARTING;
        if ((!all && !runs) || container->created >= before || container->created <= since ||
            !list_matches(container, options->filters))
            continue;
        json_t *entry = summary_json(container);
        if (!entry || json_array_append_new(list, entry) < 0)
            return -ENOMEM;
    }
    return 0;
}

int engine_container_list(struct engine *engine, const struct engine_list_options *options,
                          json_t **ret, struct error *err)
{
    int64_t before = INT64_MAX;
    int64_t since = INT64_MIN;
    int r = check_list_filters(options->filters, err);
    if (r == 0)
        r = age_limits(engine, options->filters, &before, &since, err);
    if (r < 0)
        return r;
    /* A filter on the state, or a number of last ones, means stopped containers too. */
    bool all = options->all || options->limit > 0 || json_object_get(options->filters, "status") ||
               json_object_get(options->filters, "exited") || before != INT64_MAX ||
               since != INT64_MIN;
    CLEANUP_JSON json_t *list = json_array();
    if (!list)
        return error_oom(err);
    r = list_matching(engine, options, all, before, since, list);
    if (r < 0)
        return error_oom(err);
    /* Not under the state lock: it may be many files. */
    size_t i;
    json_t *entry;
    json_array_foreach (list, i, entry)
        if (options->size &&
            engine_put_sizes(engine, json_string_value(json_object_get(entry, "Id")), entry) < 0)
            return error_oom(err);
    *ret = TAKE_PTR(list);
    return 0;
}
