/* The create request: checked, completed with docker's defaults and with what the image says. */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/private.h"
#include "engine/resources.h"
#include "image/image.h"
#include "net/pool.h"
#include "spec/capability.h"
#include "spec/image_config.h"
#include "spec/runtime.h"

enum {
    REQUEST_LIST_MAX = 65536,
};

/* Members of HostConfig that inspect always shows, with their zero values (moby HostConfig). */
static const char host_config_defaults[] =
    "{\"Binds\":null,\"ContainerIDFile\":\"\",\"LogConfig\":{\"Type\":\"\",\"Config\":{}},"
    "\"NetworkMode\":\"default\",\"PortBindings\":{},\"RestartPolicy\":{\"Name\":\"no\","
    "\"MaximumRetryCount\":0},\"AutoRemove\":false,\"VolumeDriver\":\"\",\"VolumesFrom\":null,"
    "\"ConsoleSize\":[0,0],\"CapAdd\":null,\"CapDrop\":null,\"CgroupnsMode\":\"\",\"Dns\":[],"
    "\"DnsOptions\":[],\"DnsSearch\":[],\"ExtraHosts\":null,\"GroupAdd\":null,\"IpcMode\":"
    "\"private\",\"Cgroup\":\"\",\"Links\":null,\"OomScoreAdj\":0,\"PidMode\":\"\",\"Privileged\":"
    "false,\"PublishAllPorts\":false,\"ReadonlyRootfs\":false,\"SecurityOpt\":null,\"UTSMode\":"
    "\"\",\"UsernsMode\":\"\",\"ShmSize\":67108864,\"Runtime\":\"hull\",\"Isolation\":\"\","
    "\"CpuShares\":0,\"Memory\":0,\"NanoCpus\":0,\"CgroupParent\":\"\",\"BlkioWeight\":0,"
    "\"BlkioWeightDevice\":[],\"BlkioDeviceReadBps\":[],\"BlkioDeviceWriteBps\":[],"
    "\"BlkioDeviceReadIOps\":[],\"BlkioDeviceWriteIOps\":[],\"CpuPeriod\":0,\"CpuQuota\":0,"
    "\"CpuRealtimePeriod\":0,\"CpuRealtimeRuntime\":0,\"CpusetCpus\":\"\",\"CpusetMems\":\"\","
    "\"Devices\":[],\"DeviceCgroupRules\":null,\"DeviceRequests\":null,\"MemoryReservation\":0,"
    "\"MemorySwap\":0,\"MemorySwappiness\":null,\"OomKillDisable\":null,\"PidsLimit\":null,"
    "\"Ulimits\":[],\"CpuCount\":0,\"CpuPercent\":0,\"IOMaximumIOps\":0,\"IOMaximumBandwidth\":0,"
    "\"MaskedPaths\":null,\"ReadonlyPaths\":null}";

/* Members of Config likewise. */
static const char config_defaults[] =
    "{\"Hostname\":\"\",\"Domainname\":\"\",\"User\":\"\",\"AttachStdin\":false,\"AttachStdout\":"
    "false,\"AttachStderr\":false,\"Tty\":false,\"OpenStdin\":false,\"StdinOnce\":false,\"Env\":[],"
    "\"Cmd\":null,\"Image\":\"\",\"Volumes\":null,\"WorkingDir\":\"\",\"Entrypoint\":null,"
    "\"OnBuild\":null,\"Labels\":{}}";

/* Members with a default must have its type: what is kept is shown again, to clients that refuse a
 * whole list for one member of a wrong type. */
static int check_type(const char *key, const json_t *value, const json_t *default_value,
                      struct error *err)
{
    if (!default_value || json_is_null(default_value) ||
        json_typeof(value) == json_typeof(default_value) ||
        (json_is_boolean(value) && json_is_boolean(default_value)))
        return 0;
    return error_set_class(err, ERROR_INVALID, "invalid JSON: %s has the wrong type", key);
}

/* What the image's values are merged into: merging goes over a wrong type as if it were nothing. */
static int check_mergeable(const json_t *config, struct error *err)
{
    static const char *const lists[] = {"Cmd", "Entrypoint"};
    static const char *const sets[] = {"Labels", "Volumes", "ExposedPorts"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        CLEANUP_STRV char **words = NULL;
        int r = json_get_strv(config, lists[i], REQUEST_LIST_MAX, &words, err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        json_t *object;
        int r = json_get_object(config, sets[i], &object, err);
        if (r < 0)
            return r;
    }
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get(config, "Labels"), key, value) {
        if (!json_is_string(value))
            return error_set_class(err, ERROR_INVALID, "invalid JSON: label %s is no string", key);
    }
    return 0;
}

/* A default gives way to anything but null; members without a default are kept as they are. */
static int merge_over_defaults(const char *defaults, const json_t *given, json_t **ret,
                               struct error *err)
{
    CLEANUP_JSON json_t *merged = NULL;
    int r = json_parse(defaults, strlen(defaults), &merged, err);
    if (r < 0)
        return r;
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)given, key, value) {
        if (json_is_null(value))
            continue;
        r = check_type(key, value, json_object_get(merged, key), err);
        if (r < 0)
            return r;
        if (json_object_set_new(merged, key, json_deep_copy(value)) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(merged);
    return 0;
}

/* --- the image's defaults --- */

static bool array_is_empty(const json_t *config, const char *name)
{
    return json_array_size(json_object_get(config, name)) == 0;
}

/* moby runconfig merge: an entrypoint of the user's takes the image's command away. */
static int merge_command(json_t *config, const struct image_defaults *image)
{
    json_t *entrypoint = json_object_get(config, "Entrypoint");
    if (json_array_size(entrypoint) > 0) {
        const char *first = json_string_value(json_array_get(entrypoint, 0));
        if (json_array_size(entrypoint) == 1 && first && !*first)
            return json_object_set_new(config, "Entrypoint", json_null());
        return 0;
    }
    int r = 0;
    if (array_is_empty(config, "Cmd") && image->cmd)
        r = json_put(config, "Cmd", json_from_strv(image->cmd));
    if (r == 0 && image->entrypoint)
        r = json_put(config, "Entrypoint", json_from_strv(image->entrypoint));
    return r;
}

static int merge_env(json_t *config, const struct image_defaults *image, struct error *err)
{
    CLEANUP_STRV char **user = NULL;
    int r = json_get_strv(config, "Env", REQUEST_LIST_MAX, &user, err);
    if (r < 0)
        return r;
    CLEANUP_STRV char **env = strv_copy(image->env);
    if (!env)
        return error_oom(err);
    for (char **entry = user; entry && *entry; entry++) {
        /* "NAME" without a value takes the variable away (docker run -e NAME, unset). */
        if ((strchr(*entry, '=') ? strv_env_set(&env, *entry) : 0) < 0)
            return error_oom(err);
    }
    return json_put(config, "Env", json_from_strv(env)) < 0 ? error_oom(err) : 0;
}

static int merge_set(json_t *config, const char *name, char *const *keys)
{
    if (!keys || !*keys)
        return 0;
    json_t *set = json_object_get(config, name);
    if (!json_is_object(set)) {
        set = json_object();
        if (json_put(config, name, set) < 0)
            return -ENOMEM;
    }
    for (; *keys; keys++)
        if (!json_object_get(set, *keys) && json_object_set_new(set, *keys, json_object()) < 0)
            return -ENOMEM;
    return 0;
}

static int merge_labels(json_t *config, const json_t *image_labels)
{
    json_t *labels = image_labels ? json_copy((json_t *)(uintptr_t)image_labels) : json_object();
    if (!labels)
        return -ENOMEM;
    if (json_object_update(labels, json_object_get(config, "Labels")) < 0) {
        json_decref(labels);
        return -ENOMEM;
    }
    return json_put(config, "Labels", labels);
}

static int merge_text(json_t *config, const char *name, const char *value)
{
    const char *have = json_string_value(json_object_get(config, name));
    return string_is_empty(have) && !string_is_empty(value) ? json_put_string(config, name, value)
                                                            : 0;
}

static int merge_image(json_t *config, const struct image_defaults *image, struct error *err)
{
    int r = check_mergeable(config, err);
    if (r < 0 || (r = merge_env(config, image, err)) < 0)
        return r;
    r = merge_command(config, image);
    r = r ?: merge_set(config, "ExposedPorts", image->exposed_ports);
    r = r ?: merge_set(config, "Volumes", image->volumes);
    r = r ?: merge_labels(config, image->labels);
    r = r ?: merge_text(config, "User", image->user);
    r = r ?: merge_text(config, "WorkingDir", image->working_dir);
    r = r ?: merge_text(config, "StopSignal", image->stop_signal);
    if (r == 0 && image->healthcheck && !json_object_get(config, "Healthcheck"))
        r = json_put(config, "Healthcheck", json_incref(image->healthcheck));
    return r < 0 ? error_oom(err) : 0;
}

/* --- checks --- */

static int check_command(struct container *container, struct error *err)
{
    CLEANUP_STRV char **words = NULL;
    CLEANUP_STRV char **command = NULL;
    int r = json_get_strv(container->config, "Entrypoint", REQUEST_LIST_MAX, &words, err);
    if (r >= 0)
        r = json_get_strv(container->config, "Cmd", REQUEST_LIST_MAX, &command, err);
    if (r < 0)
        return r;
    if (command && strv_extend(&words, command) < 0)
        return error_oom(err);
    if (strv_length(words) == 0)
        return error_set_class(err, ERROR_INVALID, "no command specified");
    CLEANUP_STRV char **rest = strv_copy(words + 1);
    if (!rest || string_replace(&container->path, words[0]) < 0)
        return error_oom(err);
    strv_free(container->args);
    container->args = TAKE_PTR(rest);
    return 0;
}

static int check_config(struct container *container, struct error *err)
{
    const json_t *config = container->config;
    static const char *const texts[] = {"Hostname", "Domainname", "User",
                                        "Image",    "WorkingDir", "StopSignal"};
    static const char *const flags[] = {"Tty",         "OpenStdin",    "StdinOnce",
                                        "AttachStdin", "AttachStdout", "AttachStderr"};
    int r;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *text;
        if ((r = json_get_string(config, texts[i], &text, err)) < 0)
            return r;
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        bool flag;
        if ((r = json_get_bool(config, flags[i], &flag, err)) < 0)
            return r;
    }
    json_t *object;
    if ((r = json_get_object(config, "Labels", &object, err)) < 0)
        return r;
    const char *directory = json_string_value(json_object_get(config, "WorkingDir"));
    if (!string_is_empty(directory) && directory[0] != '/')
        return error_set_class(
            err, ERROR_INVALID,
            "the working directory '%s' is invalid, it needs to be an absolute path", directory);
    const char *hostname = json_string_value(json_object_get(config, "Hostname"));
    if (hostname && strlen(hostname) > 63)
        return error_set_class(err, ERROR_INVALID, "invalid hostname format: %s", hostname);
    const char *signal = json_string_value(json_object_get(config, "StopSignal"));
    int number;
    if (!string_is_empty(signal) && engine_signal_parse(signal, &number) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid signal: %s", signal);
    return check_command(container, err);
}

static int check_security(const json_t *host, struct error *err)
{
    CLEANUP_STRV char **add = NULL;
    CLEANUP_STRV char **drop = NULL;
    CLEANUP_STRV char **options = NULL;
    uint64_t mask;
    int r;
    if ((r = json_get_strv(host, "CapAdd", REQUEST_LIST_MAX, &add, err)) < 0 ||
        (r = json_get_strv(host, "CapDrop", REQUEST_LIST_MAX, &drop, err)) < 0 ||
        (r = capability_apply(0, add, drop, &mask, err)) < 0 ||
        (r = json_get_strv(host, "SecurityOpt", REQUEST_LIST_MAX, &options, err)) < 0)
        return r;
    return engine_security_options_check(options, err);
}

static int check_modes(struct container *container, struct error *err)
{
    const char *network = "default";
    const char *pid = "";
    const char *ipc = "";
    const char *uts = "";
    int r;
    if ((r = json_get_string(container->host_config, "NetworkMode", &network, err)) < 0 ||
        (r = json_get_string(container->host_config, "PidMode", &pid, err)) < 0 ||
        (r = json_get_string(container->host_config, "IpcMode", &ipc, err)) < 0 ||
        (r = json_get_string(container->host_config, "UTSMode", &uts, err)) < 0)
        return r;
    if (string_is_empty(network) || string_equal(network, "default"))
        network = "bridge";
    if (string_starts_with(network, "container:"))
        return error_set_class(err, ERROR_INVALID,
                               "network mode '%s': this engine's containers do not share networks",
                               network);
    /* One that does not exist is found out at start, as docker does: at create its client would
     * take "not found" for a missing image. */
    if (string_replace(&container->network, network) < 0)
        return error_oom(err);
    const char *resolved = container->network;
    /* This frees the text that `network` borrowed. */
    if (json_put_string(container->host_config, "NetworkMode", resolved) < 0)
        return error_oom(err);
    bool shares_host = string_equal(resolved, "host") || string_equal(pid, "host") ||
                       string_equal(ipc, "host") || string_equal(uts, "host");
    if (container->isolation == COMPUTE_HYPERV && shares_host)
        return error_set_class(err, ERROR_INVALID,
                               "a container with isolation 'hyperv' has a kernel of its own and "
                               "cannot share the host's %s namespace",
                               string_equal(resolved, "host") ? "network"
                               : string_equal(pid, "host")    ? "pid"
                               : string_equal(ipc, "host")    ? "ipc"
                                                              : "uts");
    const char *modes[] = {pid, ipc, uts};
    const char *labels[] = {"PID", "IPC", "UTS"};
    for (size_t i = 0; i < 3; i++)
        if (!string_is_empty(modes[i]) && !string_equal(modes[i], "host") &&
            !(i == 1 && (string_equal(modes[i], "private") || string_equal(modes[i], "none") ||
                         string_equal(modes[i], "shareable"))))
            return error_set_class(err, ERROR_INVALID, "invalid %s mode: %s", labels[i], modes[i]);
    return 0;
}

/* docker refuses a chosen address on the default bridge. */
static int check_endpoints(const json_t *body, struct error *err)
{
    json_t *networking = NULL;
    json_t *endpoints = NULL;
    int r = json_get_object(body, "NetworkingConfig", &networking, err);
    if (r == 1)
        r = json_get_object(networking, "EndpointsConfig", &endpoints, err);
    if (r < 1)
        return r;
    const char *name;
    json_t *endpoint;
    json_object_foreach (endpoints, name, endpoint) {
        json_t *ipam = NULL;
        const char *address = "";
        const char *address6 = "";
        r = json_is_object(endpoint) ? json_get_object(endpoint, "IPAMConfig", &ipam, err) : 0;
        if (r == 1 && (r = json_get_string(ipam, "IPv4Address", &address, err)) >= 0)
            r = json_get_string(ipam, "IPv6Address", &address6, err);
        if (r < 0)
            return r;
        if (!string_is_empty(address) || !string_is_empty(address6))
            return error_set_class(
                err, ERROR_INVALID,
                "invalid config for network %s: invalid endpoint settings:\n"
                "user specified IP address is supported on user defined networks "
                "only",
                string_equal(name, "default") ? "bridge" : name);
        if (json_array_size(json_object_get(endpoint, "Aliases")) > 0)
            return error_set_class(err, ERROR_INVALID,
                                   "invalid config for network %s: invalid endpoint settings:\n"
                                   "network-scoped aliases are only supported for user-defined "
                                   "networks",
                                   string_equal(name, "default") ? "bridge" : name);
    }
    return 0;
}

static int check_storage(struct container *container, struct error *err)
{
    int r = engine_mounts_resolve(container, err);
    if (r < 0)
        return r;
    uint64_t size;
    return engine_storage_size(container->host_config, &size, err);
}

/* What docker has and this engine has not is refused by name: an option that is silently without
 * effect is worse than none. */
static int check_not_offered(const json_t *host, struct error *err)
{
    static const struct {
        const char *member;
        const char *option;
    } lists[] = {{"Links", "--link"}, {"DeviceRequests", "--gpus"}};
    static const struct {
        const char *member;
        const char *option;
        const char *harmless;
    } texts[] = {{"CgroupParent", "--cgroup-parent", ""}, {"UsernsMode", "--userns", "host"}};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (json_array_size(json_object_get(host, lists[i].member)) > 0)
            return error_set_class(err, ERROR_INVALID, "%s is not offered by this engine",
                                   lists[i].option);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *text = "";
        int r = json_get_string(host, texts[i].member, &text, err);
        if (r < 0)
            return r;
        if (!string_is_empty(text) && !string_equal(text, texts[i].harmless))
            return error_set_class(err, ERROR_INVALID, "%s is not offered by this engine",
                                   texts[i].option);
    }
    const char *runtime = "";
    int r = json_get_string(host, "Runtime", &runtime, err);
    if (r == 0 || (r > 0 && (string_is_empty(runtime) || string_equal(runtime, "hull"))))
        return 0;
    return r < 0 ? r
                 : error_set_class(err, ERROR_INVALID, "unknown or invalid runtime name: %s",
                                   runtime);
}

static int check_host_config(struct container *container, const json_t *body, char ***warnings,
                             struct error *err)
{
    json_t *host = container->host_config;
    bool flag = false;
    int64_t number = 0;
    struct compute_log log;
    int r;
    if ((r = engine_resources_check(host, container->isolation, false, warnings, err)) < 0 ||
        (r = json_get_bool(host, "AutoRemove", &flag, err)) < 0 ||
        (r = engine_restart_policy_check(host, flag, err)) < 0 ||
        (r = json_get_bool(host, "Privileged", &flag, err)) < 0 ||
        (r = json_get_bool(host, "ReadonlyRootfs", &flag, err)) < 0 ||
        (r = json_get_i64(host, "PidsLimit", &number, err)) < 0 ||
        (r = json_get_i64(host, "ShmSize", &number, err)) < 0)
        return r;
    if (number < 0)
        return error_set_class(err, ERROR_INVALID, "SHM size can not be less than 0");
    if ((r = check_not_offered(host, err)) < 0)
        return r;
    if ((r = check_security(host, err)) < 0 || (r = check_modes(container, err)) < 0 ||
        (r = check_endpoints(body, err)) < 0 || (r = check_storage(container, err)) < 0)
        return r;
    r = engine_log_options(container, &log, err);
    free(log.path);
    if (r < 0)
        return r;
    r = engine_ports_check(container->host_config, container->config, err);
    return r;
}

/* The isolation that was asked for; empty and "default" are the daemon's. */
static int resolve_isolation(struct container *container, struct error *err)
{
    const char *text = "";
    int r = json_get_string(container->host_config, "Isolation", &text, err);
    if (r < 0)
        return r;
    if (string_is_empty(text) || string_equal_nocase(text, "default")) {
        container->isolation = container->engine->config.isolation;
    } else {
        int isolation = compute_isolation_from_string(text);
        if (isolation < 0)
            return error_set_class(err, ERROR_INVALID, "invalid isolation '%s' on linux", text);
        container->isolation = (enum compute_isolation)isolation;
    }
    if (json_put_string(container->host_config, "Isolation",
                        compute_isolation_to_string(container->isolation)) < 0)
        return error_oom(err);
    if (container->isolation != COMPUTE_HYPERV)
        return 0;
    enum vm_engine engine;
    r = engine_vm_choose(container->engine, &engine, err);
    if (r < 0)
        return r;
    container->vm_engine = (int)engine;
    return 0;
}

static int split_request(struct container *container, const json_t *body, struct error *err)
{
    json_t *host = NULL;
    int r = json_get_object(body, "HostConfig", &host, err);
    if (r < 0)
        return r;
    CLEANUP_JSON json_t *none = json_object();
    CLEANUP_JSON json_t *config = json_copy((json_t *)(uintptr_t)body);
    if (!none || !config)
        return error_oom(err);
    (void)json_object_del(config, "HostConfig");
    (void)json_object_del(config, "NetworkingConfig");
    r = merge_over_defaults(config_defaults, config, &container->config, err);
    return r < 0 ? r
                 : merge_over_defaults(host_config_defaults, host ? host : none,
                                       &container->host_config, err);
}

static int warn_of_cpus(const struct container *container, char ***warnings, struct error *err)
{
    CLEANUP_FREE char *warning = NULL;
    double cpus = (double)engine_resources_nano_cpus(container->host_config) / 1e9;
    if (container->isolation != COMPUTE_HYPERV)
        return 0;
    (void)vm_cpus((enum vm_engine)container->vm_engine, cpus, &warning);
    return warning && strv_append(warnings, warning) < 0 ? error_oom(err) : 0;
}

int container_apply_request(struct container *container, const json_t *body,
                            const struct image *image, char ***warnings, struct error *err)
{
    int r = split_request(container, body, err);
    if (r < 0)
        return r;
    r = merge_image(container->config, &image->config->defaults, err);
    if (r < 0)
        return r;
    r = check_config(container, err);
    if (r < 0)
        return r;
    r = resolve_isolation(container, err);
    if (r < 0)
        return r;
    r = check_host_config(container, body, warnings, err);
    if (r < 0)
        return r;
    const char *hostname = json_string_value(json_object_get(container->config, "Hostname"));
    if (string_is_empty(hostname) && !string_equal(container->network, "host")) {
        char name[13];
        string_copy(name, sizeof(name), container->id);
        if (json_put_string(container->config, "Hostname", name) < 0)
            return error_oom(err);
    }
    return warn_of_cpus(container, warnings, err);
}

int container_check_isolation(struct container *container, char ***warnings, struct error *err)
{
    int64_t memory = 0;
    int r;
    if ((r = engine_resources_check(container->host_config, container->isolation, false, warnings,
                                    err)) < 0 ||
        (r = json_get_i64(container->host_config, "Memory", &memory, err)) < 0 ||
        (r = check_modes(container, err)) < 0 || (r = engine_mounts_check(container, err)) < 0)
        return r;
    if (container->isolation == COMPUTE_HYPERV && memory > 0 &&
        (r = engine_resources_check_vm((uint64_t)memory, err)) < 0)
        return r;
    return warn_of_cpus(container, warnings, err);
}
