/* The OCI runtime configuration of a container's next run, from its Config and HostConfig. */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/private.h"
#include "engine/resources.h"
#include "spec/defaults.h"
#include "spec/runtime.h"

enum { FILES_MAX = 1024 * 1024 }; /* fs.nr_open of a kernel that nobody has told otherwise */

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int build_args(const struct container *container, struct spec_process *process)
{
    int r = strv_append(&process->args, container->path);
    return r < 0 ? r : strv_extend(&process->args, container->args);
}

/* moby CreateDaemonEnvironment: PATH, HOSTNAME, TERM, then what image and user say. */
static int build_env(const struct container *container, struct spec_process *process,
                     struct error *err)
{
    CLEANUP_STRV char **env = NULL;
    int r = json_get_strv(container->config, "Env", SPEC_ARGS_MAX, &env, err);
    if (r < 0)
        return r;
    const char *hostname = json_string_value(json_object_get(container->config, "Hostname"));
    r = strv_append(&process->env, DEFAULT_PATH);
    if (r == 0 && !string_is_empty(hostname))
        r = strv_appendf(&process->env, "HOSTNAME=%s", hostname);
    if (r == 0 && container->terminal)
        r = strv_append(&process->env, "TERM=xterm");
    for (char **entry = env; r == 0 && entry && *entry; entry++)
        r = strv_env_set(&process->env, *entry);
    return r < 0 ? error_oom(err) : 0;
}

static int build_groups(const json_t *host, struct spec_process *process, struct error *err)
{
    CLEANUP_STRV char **groups = NULL;
    int r = json_get_strv(host, "GroupAdd", SPEC_LIST_MAX, &groups, err);
    if (r < 0)
        return r;
    process->user.additional_groups = TAKE_PTR(groups);
    return 0;
}

/* A container has the daemon's own limits, as docker's have, unless it was given others. A process
 * of the host would inherit them; one in a VM finds what is written down. */
static int inherit_rlimits(struct spec_process *process, struct error *err)
{
    static const int inherited[] = {RLIMIT_NOFILE, RLIMIT_CORE};
    for (size_t i = 0; i < sizeof(inherited) / sizeof(inherited[0]); i++) {
        struct rlimit limit;
        bool given = false;
        for (size_t k = 0; k < process->n_rlimits; k++)
            given = given || process->rlimits[k].resource == inherited[i];
        if (given)
            continue;
        if (getrlimit((__rlimit_resource_t)inherited[i], &limit) < 0)
            return error_set_errno(err, -errno, "cannot read the daemon's own limits");
        /* What a kernel allows at all, unless its fs.nr_open was raised. */
        if (inherited[i] == RLIMIT_NOFILE) {
            limit.rlim_cur = limit.rlim_cur < FILES_MAX ? limit.rlim_cur : FILES_MAX;
            limit.rlim_max = limit.rlim_max < FILES_MAX ? limit.rlim_max : FILES_MAX;
        }
        if (spec_process_add_rlimit(process, inherited[i], limit.rlim_cur, limit.rlim_max) < 0)
            return error_oom(err);
    }
    return 0;
}

static int build_rlimits(const json_t *host, struct spec_process *process, struct error *err)
{
    json_t *ulimits = NULL;
    size_t i;
    json_t *ulimit;
    int r = json_get_array(host, "Ulimits", &ulimits, err);
    if (r < 0)
        return r;
    json_array_foreach (ulimits, i, ulimit) {
        const char *name;
        int64_t soft = 0;
        int64_t hard = 0;
        if ((r = json_need_string(ulimit, "Name", &name, err)) < 0 ||
            (r = json_get_i64(ulimit, "Soft", &soft, err)) < 0 ||
            (r = json_get_i64(ulimit, "Hard", &hard, err)) < 0)
            return r;
        char resource[32] = "RLIMIT_";
        size_t start = strlen(resource);
        for (size_t k = 0; name[k] && start + k + 1 < sizeof(resource); k++)
            resource[start + k] =
                (char)((name[k] >= 'a' && name[k] <= 'z') ? name[k] - 32 : name[k]);
        int number = spec_rlimit_from_string(resource);
        if (number < 0)
            return error_set_class(err, ERROR_INVALID, "invalid ulimit type: %s", name);
        if (spec_process_add_rlimit(process, number, (uint64_t)soft, (uint64_t)hard) < 0)
            return error_oom(err);
    }
    return inherit_rlimits(process, err);
}

static int build_process(const struct container *container, struct spec_runtime *config,
                         struct error *err)
{
    struct spec_process *process = config->process;
    const char *directory = json_string_value(json_object_get(container->config, "WorkingDir"));
    const char *user = json_string_value(json_object_get(container->config, "User"));
    int64_t score = 0;
    process->terminal = container->terminal;
    if (build_args(container, process) < 0 ||
        string_replace(&process->cwd, string_is_empty(directory) ? "/" : directory) < 0 ||
        (!string_is_empty(user) && string_replace(&process->user.username, user) < 0))
        return error_oom(err);
    int r;
    if ((r = build_env(container, process, err)) < 0 ||
        (r = build_groups(container->host_config, process, err)) < 0 ||
        (r = build_rlimits(container->host_config, process, err)) < 0 ||
        (r = json_get_i64(container->host_config, "OomScoreAdj", &score, err)) < 0)
        return r;
    if (score != 0) {
        if (score < -1000 || score > 1000)
            return error_set_class(err, ERROR_INVALID,
                                   "Invalid value %lld, range for oom score adj is [-1000, 1000]",
                                   (long long)score);
        process->has_oom_score_adj = true;
        process->oom_score_adj = (int)score;
    }
    json_t *size = json_object_get(container->host_config, "ConsoleSize");
    process->console_height = (unsigned)json_integer_value(json_array_get(size, 0));
    process->console_width = (unsigned)json_integer_value(json_array_get(size, 1));
    return 0;
}

/* Docker's numbers to OCI's. 0 is "not said" in both. */
static int add_device(const struct container *container, const json_t *json,
                      struct spec_runtime *config, struct error *err)
{
    const char *host = NULL;
    const char *inside = "";
    const char *access = "rwm";
    struct stat status;
    int r;
    if ((r = json_need_string(json, "PathOnHost", &host, err)) < 0 ||
        (r = json_get_string(json, "PathInContainer", &inside, err)) < 0 ||
        (r = json_get_string(json, "CgroupPermissions", &access, err)) < 0)
        return r;
    if (container->isolation == COMPUTE_HYPERV)
        return error_set_class(err, ERROR_INVALID,
                               "device '%s' belongs to the host's kernel and cannot be given to a "
                               "container with isolation 'hyperv'",
                               host);
    if (stat(host, &status) < 0)
        return error_set_class(err, ERROR_INVALID,
                               "error gathering device information while adding custom device "
                               "\"%s\": no such file or directory",
                               host);
    if (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode))
        return error_set_class(err, ERROR_INVALID,
                               "error gathering device information while adding custom device "
                               "\"%s\": not a device node",
                               host);
    char type = S_ISCHR(status.st_mode) ? 'c' : 'b';
    r = spec_runtime_add_device(config, type, string_is_empty(inside) ? host : inside,
                                major(status.st_rdev), minor(status.st_rdev),
                                status.st_mode & 07777, status.st_uid, status.st_gid);
    if (r == 0)
        r = spec_resources_add_device(&config->linux_.resources, true, type, major(status.st_rdev),
                                      minor(status.st_rdev), access);
    if (r == -EINVAL)
        return error_set_class(err, ERROR_INVALID, "invalid device mode: %s", access);
    return r < 0 ? error_oom(err) : 0;
}

/* A number or "*", and `end` behind it. */
static bool read_device_number(const char **text, char end, int64_t *ret)
{
    char digits[12] = "";
    size_t length = strcspn(*text, (const char[]){end, '\0'});
    int number = -1;

    if (length >= sizeof(digits) || (*text)[length] != end)
        return false;
    memcpy(digits, *text, length);
    if (!string_equal(digits, "*") && string_to_int(digits, 0, INT32_MAX, &number) < 0)
        return false;
    *ret = number;
    *text += length + 1;
    return true;
}

/* "TYPE MAJOR:MINOR ACCESS", as docker's --device-cgroup-rule has it. */
static int add_device_rule(const char *rule, struct spec_resources *resources, struct error *err)
{
    const char *rest = rule + 2;
    int64_t major_number;
    int64_t minor_number;
    int r = -EINVAL;

    if (*rule && strchr("abc", *rule) && rule[1] == ' ' &&
        read_device_number(&rest, ':', &major_number) &&
        read_device_number(&rest, ' ', &minor_number) && *rest)
        r = spec_resources_add_device(resources, true, *rule, major_number, minor_number, rest);
    if (r == -EINVAL)
        return error_set_class(err, ERROR_INVALID, "invalid device cgroup rule format: '%s'", rule);
    return r < 0 ? error_set_errno(err, r, "cannot add a device rule") : 0;
}

static int add_device_rules(const struct container *container, struct spec_resources *resources,
                            struct error *err)
{
    CLEANUP_STRV char **rules = NULL;
    int r = json_get_strv(container->host_config, "DeviceCgroupRules", SPEC_LIST_MAX, &rules, err);

    for (char **rule = rules; r >= 0 && rule && *rule; rule++)
        r = add_device_rule(*rule, resources, err);
    return r < 0 ? r : 0;
}

static int build_devices(const struct container *container, struct spec_runtime *config,
                         struct error *err)
{
    json_t *devices = NULL;
    bool privileged = false;
    int r;
    if ((r = json_get_array(container->host_config, "Devices", &devices, err)) < 0 ||
        (r = json_get_bool(container->host_config, "Privileged", &privileged, err)) < 0)
        return r;
    if (privileged && container->isolation == COMPUTE_PROCESS) {
        r = spec_defaults_add_host_devices(config);
        if (r < 0)
            return error_set_errno(err, r, "cannot list the host's devices");
    }
    size_t i;
    json_t *device;
    json_array_foreach (devices, i, device)
        if ((r = add_device(container, device, config, err)) < 0)
            return r;
    return privileged ? 0 : add_device_rules(container, &config->linux_.resources, err);
}

/* docker's "host" modes, and the network, which in a VM is the VM's. */
static int build_namespaces(const struct container *container, struct spec_runtime *config)
{
    struct spec_namespace *namespaces = config->linux_.namespaces;
    const struct {
        const char *member;
        enum spec_namespace_type type;
    } modes[] = {
        {"NetworkMode", SPEC_NAMESPACE_NETWORK}, {"PidMode", SPEC_NAMESPACE_PID},
        {"IpcMode", SPEC_NAMESPACE_IPC},         {"UTSMode", SPEC_NAMESPACE_UTS},
        {"CgroupnsMode", SPEC_NAMESPACE_CGROUP},
    };
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        const char *mode =
            json_string_value(json_object_get(container->host_config, modes[i].member));
        if (string_equal(mode, "host"))
            namespaces[modes[i].type].wanted = false;
        else if (string_equal(mode, "private"))
            namespaces[modes[i].type].wanted = true;
    }
    if (container->isolation == COMPUTE_HYPERV)
        namespaces[SPEC_NAMESPACE_NETWORK].wanted = false;
    if (!namespaces[SPEC_NAMESPACE_UTS].wanted)
        return string_replace(&config->hostname, NULL);
    const char *hostname = json_string_value(json_object_get(container->config, "Hostname"));
    const char *domain = json_string_value(json_object_get(container->config, "Domainname"));
    int r = string_is_empty(hostname) ? 0 : string_replace(&config->hostname, hostname);
    if (r == 0 && !string_is_empty(domain))
        r = string_replace(&config->domainname, domain);
    return r;
}

/* The three files that the engine writes are mounts of its own. In a utility VM the worker sends
 * their content instead of their path (compute/job.h, `files`). */
static int build_files(const struct container *container, struct spec_runtime *config)
{
    static const struct {
        const char *target;
        const char *name;
    } files[] = {{"/etc/resolv.conf", "resolv.conf"},
                 {"/etc/hostname", "hostname"},
                 {"/etc/hosts", "hosts"}};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        CLEANUP_FREE char *source = string_format("%s/%s", container->directory, files[i].name);
        if (!source)
            return -ENOMEM;
        if (spec_runtime_find_mount(config, files[i].target))
            continue;
        int r = spec_runtime_add_mount(config, files[i].target, "bind", source, "rbind,rprivate");
        if (r < 0)
            return r;
    }
    return 0;
}

static int build_lists(const struct container *container, struct spec_runtime *config,
                       struct error *err)
{
    json_t *sysctls = NULL;
    const char *key;
    json_t *value;
    bool init = false;
    int r;
    if ((r = json_get_object(container->host_config, "Sysctls", &sysctls, err)) < 0 ||
        (r = json_get_bool(container->host_config, "Init", &init, err)) < 0)
        return r;
    json_object_foreach (sysctls, key, value)
        if (strv_appendf(&config->linux_.sysctl, "%s=%s", key,
                         string_or(json_string_value(value), "")) < 0)
            return error_oom(err);
    json_t *annotations = NULL;
    if ((r = json_get_object(container->host_config, "Annotations", &annotations, err)) < 0)
        return r;
    json_object_foreach (annotations, key, value)
        if (!string_starts_with(key, "io.hull.") && json_is_string(value) &&
            spec_runtime_set_annotation(config, key, json_string_value(value)) < 0)
            return error_oom(err);
    if (init && spec_runtime_set_annotation(config, SPEC_ANNOTATION_INIT, "true") < 0)
        return error_oom(err);
    return 0;
}

static bool host_has_cgroup_v2(void)
{
    struct statfs status;
    return statfs("/sys/fs/cgroup", &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

static int build_all(const struct container *container, struct spec_runtime *config,
                     struct error *err)
{
    int64_t shm = 0;
    bool guest = container->isolation == COMPUTE_HYPERV;
    int r;
    if ((r = json_get_i64(container->host_config, "ShmSize", &shm, err)) < 0 ||
        (r = json_get_bool(container->host_config, "ReadonlyRootfs", &config->root_readonly, err)) <
            0)
        return r;
    if (spec_defaults_apply(config, shm > 0 ? (uint64_t)shm : 0, guest || host_has_cgroup_v2()) < 0)
        return error_oom(err);
    config->linux_.cgroups_path = string_format("/hull/%s", container->id);
    if (!config->linux_.cgroups_path)
        return error_oom(err);
    if ((r = build_process(container, config, err)) < 0 ||
        (r = engine_resources_build(container->host_config, &config->linux_.resources, err)) < 0 ||
        (r = engine_security_apply(container, config, err)) < 0 ||
        (r = build_devices(container, config, err)) < 0 ||
        (r = engine_mounts_add(container, config, err)) < 0 ||
        (r = build_lists(container, config, err)) < 0)
        return r;
    if (guest)
        engine_resources_trim(&config->linux_.resources);
    if (build_namespaces(container, config) < 0 || build_files(container, config) < 0)
        return error_oom(err);
    return 0;
}

int container_check_spec(const struct container *container, struct error *err)
{
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = spec_runtime_new();
    return config ? build_all(container, config, err) : error_oom(err);
}

int container_write_spec(struct container *container, struct error *err)
{
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = spec_runtime_new();
    if (!config)
        return error_oom(err);
    int r = build_all(container, config, err);
    if (r < 0)
        return r;
    CLEANUP_JSON json_t *json = spec_runtime_to_json(config);
    CLEANUP_FREE char *text = json ? json_format(json) : NULL;
    CLEANUP_FREE char *path = string_format("%s/config.json", container->directory);
    if (!text || !path)
        return error_oom(err);
    /* No fsync: it is written anew for every run. */
    return engine_write_file(path, text, strlen(text), 0600, err);
}
