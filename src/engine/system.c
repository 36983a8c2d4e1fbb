/* GET /info, /version and /system/df. */
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "base/version.h"
#include "engine/pool.h"
#include "engine/private.h"
#include "engine/vm_choice.h"
#include "image/image.h"
#include "net/network.h"

enum { OS_RELEASE_MAX = 16 * 1024 };

static void count_containers(struct engine *engine, int counts[CONTAINER_STATUS_MAX])
{
    ENGINE_STATE(engine);
    LIST_FOR_EACH (container, &engine->containers, struct container, node)
        counts[container->status]++;
}

/* PRETTY_NAME of os-release(5). */
static char *operating_system(void)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(OS_RELEASE_MAX);
    CLEANUP_STRV char **lines = NULL;
    if (file_read(AT_FDCWD, "/etc/os-release", &text, NULL) < 0 ||
        strv_split(buffer_string(&text), '\n', &lines) < 0)
        return strdup("Linux");
    const char *value = strv_env_get(lines, "PRETTY_NAME");
    if (!value)
        return strdup("Linux");
    size_t length = strlen(value);
    if (length >= 2 && value[0] == '"' && value[length - 1] == '"')
        return strndup(value + 1, length - 2);
    return strdup(value);
}

static const char *machine_architecture(const struct utsname *names)
{
    return names->machine;
}

static bool cgroup_is_v2(void)
{
    struct statfs status;
    return statfs("/sys/fs/cgroup", &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

static bool forwarding_is_on(void)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(64);
    return file_read(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward", &text, NULL) == 0 &&
           buffer_string(&text)[0] == '1';
}

static int add_counts(struct engine *engine, json_t *info, struct error *err)
{
    int counts[CONTAINER_STATUS_MAX] = {0};
    int all = 0;
    size_t images = 0;
    int64_t bytes = 0;
    count_containers(engine, counts);
    for (int i = 0; i < CONTAINER_STATUS_MAX; i++)
        all += counts[i];
    int r = image_store_usage(engine->images, &images, &bytes, err);
    if (r < 0)
        return r;
    r = json_put_i64(info, "Containers", all);
    r = r
            ?: json_put_i64(info, "ContainersRunning",
                            counts[CONTAINER_RUNNING] + counts[CONTAINER_RESTARTING]);
    r = r ?: json_put_i64(info, "ContainersPaused", counts[CONTAINER_PAUSED]);
    r = r
            ?: json_put_i64(info, "ContainersStopped",
                            all - counts[CONTAINER_RUNNING] - counts[CONTAINER_PAUSED] -
                                counts[CONTAINER_RESTARTING]);
    r = r ?: json_put_i64(info, "Images", (int64_t)images);
    return r < 0 ? error_oom(err) : 0;
}

static json_t *warnings_json(const struct engine *engine)
{
    json_t *warnings = json_array();
    const char *network = engine->net ? net_warning(engine->net) : NULL;
    if (network)
        (void)json_array_append_new(warnings, json_string(network));
    return warnings;
}

static int add_host(const struct engine *engine, json_t *info)
{
    struct utsname names;
    struct sysinfo memory;
    char now[TIMESTAMP_TEXT_MAX];
    CLEANUP_FREE char *os = operating_system();
    (void)uname(&names);
    (void)sysinfo(&memory);
    int r = json_put_string(info, "KernelVersion", names.release);
    r = r ?: json_put_string(info, "OperatingSystem", os);
    r = r ?: json_put_string(info, "OSType", "linux");
    r = r ?: json_put_string(info, "OSVersion", "");
    r = r ?: json_put_string(info, "Architecture", machine_architecture(&names));
    r = r ?: json_put_string(info, "Name", names.nodename);
    r = r ?: json_put_i64(info, "NCPU", sysconf(_SC_NPROCESSORS_ONLN));
    r = r ?: json_put_i64(info, "MemTotal", (int64_t)memory.totalram * memory.mem_unit);
    r = r ?: json_put_string(info, "SystemTime", timestamp_format(timestamp_now(), now));
    r = r ?: json_put_string(info, "CgroupDriver", "cgroupfs");
    r = r ?: json_put_string(info, "CgroupVersion", cgroup_is_v2() ? "2" : "1");
    r = r ?: json_put_bool(info, "IPv4Forwarding", forwarding_is_on());
    return r ?: json_put(info, "Warnings", warnings_json(engine));
}

/* What this engine can do, in docker's words. */
static int add_abilities(json_t *info)
{
    static const char *const on[] = {
        "MemoryLimit", "SwapLimit", "CpuCfsPeriod",   "CpuCfsQuota",      "CPUShares",
        "CPUSet",      "PidsLimit", "OomKillDisable", "BridgeNfIptables", "LiveRestoreEnabled"};
    for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++)
        if (json_put_bool(info, on[i], true) < 0)
            return -ENOMEM;
    int r = json_put_bool(info, "Debug", false);
    r = r ?: json_put_bool(info, "ExperimentalBuild", false);
    r = r ?: json_put(info, "SecurityOptions", json_pack("[s]", "name=seccomp,profile=builtin"));
    r = r
            ?: json_put(info, "Plugins",
                        json_pack("{s:n, s:[s, s, s], s:n, s:[s, s]}", "Volume", "Network",
                                  "bridge", "host", "null", "Authorization", "Log", "json-file",
                                  "none"));
    r = r ?: json_put(info, "Runtimes", json_pack("{s:{s:s}}", "hull", "path", "hull-worker"));
    r = r ?: json_put_string(info, "DefaultRuntime", "hull");
    r = r ?: json_put_string(info, "InitBinary", "hull-init");
    return r
               ?: json_put(info, "Swarm",
                           json_pack("{s:s, s:s, s:s, s:b, s:s, s:n}", "NodeID", "", "NodeAddr", "",
                                     "LocalNodeState", "inactive", "ControlAvailable", 0, "Error",
                                     "", "RemoteManagers"));
}

static json_t *registry_json(const struct engine_config *config)
{
    return json_pack("{s:[s, s], s:{s:{s:s, s:[], s:b, s:b}}, s:o, s:o}", "InsecureRegistryCIDRs",
                     "::1/128", "127.0.0.0/8", "IndexConfigs", "docker.io", "Name", "docker.io",
                     "Mirrors", "Secure", 1, "Official", 1, "Mirrors",
                     json_from_strv(config->registry_mirrors), "InsecureRegistries",
                     json_from_strv(config->insecure_registries));
}

static int add_engine(struct engine *engine, json_t *info)
{
    const struct engine_config *config = &engine->config;
    struct vm_verdict verdicts[VM_ENGINE_MAX];
    size_t n = engine_vm_verdicts(engine, verdicts);
    json_t *status = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(
            status, json_pack("[o, s]",
                              json_sprintf("VM engine %s", vm_engine_to_string(verdicts[i].engine)),
                              verdicts[i].reason));
    (void)json_array_append_new(status,
                                json_pack("[s, o]", "VM pool", engine_pool_describe(engine->pool)));
    int r = json_put_string(info, "ID", engine->id);
    r = r ?: json_put_string(info, "ServerVersion", HULL_VERSION);
    r = r ?: json_put_string(info, "DockerRootDir", config->root);
    r = r ?: json_put_string(info, "Isolation", compute_isolation_to_string(config->isolation));
    r = r ?: json_put_string(info, "Driver", "overlay2");
    r = r ?: json_put(info, "DriverStatus", status);
    r = r ?: json_put_string(info, "LoggingDriver", string_or(config->log_driver, "json-file"));
    r = r ?: json_put_string(info, "IndexServerAddress", "https://index.docker.io/v1/");
    r = r ?: json_put(info, "RegistryConfig", registry_json(config));
    r = r ?: json_put(info, "Labels", json_array());
    r = r ?: json_put_string(info, "HttpProxy", "");
    r = r ?: json_put_string(info, "HttpsProxy", "");
    r = r ?: json_put_string(info, "NoProxy", "");
    return r ?: json_put_i64(info, "NEventsListener", 0);
}

int engine_info(struct engine *engine, json_t **ret, struct error *err)
{
    CLEANUP_JSON json_t *info = json_object();
    if (!info)
        return error_oom(err);
    int r = add_counts(engine, info, err);
    if (r < 0)
        return r;
    if (add_host(engine, info) < 0 || add_abilities(info) < 0 || add_engine(engine, info) < 0)
        return error_oom(err);
    *ret = TAKE_PTR(info);
    return 0;
}

int engine_version(struct engine *engine, json_t **ret, struct error *err)
{
    struct utsname names;
    (void)engine;
    (void)uname(&names);
    const char *architecture = string_equal(names.machine, "x86_64")    ? "amd64"
                               : string_equal(names.machine, "aarch64") ? "arm64"
                                                                        : names.machine;
    json_t *version = json_pack(
        "{s:{s:s}, s:[{s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s}}], s:s, s:s, s:s, s:s, s:s, s:s, "
        "s:s, s:s, s:s}",
        "Platform", "Name", "hull", "Components", "Name", "Engine", "Version", HULL_VERSION,
        "Details", "ApiVersion", ENGINE_API_VERSION, "MinAPIVersion", ENGINE_API_VERSION_MIN, "Os",
        "linux", "Arch", architecture, "KernelVersion", names.release, "Experimental", "false",
        "Version", HULL_VERSION, "ApiVersion", ENGINE_API_VERSION, "MinAPIVersion",
        ENGINE_API_VERSION_MIN, "GitCommit", "", "GoVersion", "", "Os", "linux", "Arch",
        architecture, "KernelVersion", names.release, "BuildTime", "");
    if (!version)
        return error_oom(err);
    *ret = version;
    return 0;
}

int engine_disk_usage(struct engine *engine, json_t **ret, struct error *err)
{
    CLEANUP_JSON json_t *images = NULL;
    CLEANUP_JSON json_t *containers = NULL;
    CLEANUP_JSON json_t *volumes = NULL;
    const struct engine_list_options options = {.all = true, .size = true};
    size_t n = 0;
    int64_t bytes = 0;
    int r;
    if ((r = engine_image_list(engine, true, NULL, &images, err)) < 0 ||
        (r = engine_container_list(engine, &options, &containers, err)) < 0 ||
        (r = image_store_usage(engine->images, &n, &bytes, err)) < 0 ||
        (r = engine_volume_usage(engine, &volumes, err)) < 0)
        return r;
    json_t *usage = json_pack("{s:I, s:O, s:O, s:O, s:[], s:i}", "LayersSize", (json_int_t)bytes,
                              "Images", images, "Containers", containers, "Volumes", volumes,
                              "BuildCache", "BuilderSize", 0);
    if (!usage)
        return error_oom(err);
    *ret = usage;
    return 0;
}
