#include "cli/container-config.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/options.h"
#include "cli/terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_t *container_config_array(json_t *object, const char *name)
{
    json_t *array = json_object_get(object, name);

    if (!array && json_put(object, name, json_array()) >= 0)
        array = json_object_get(object, name);
    return array;
}

json_t *container_config_object(json_t *object, const char *name)
{
    json_t *member = json_object_get(object, name);

    if (!member && json_put(object, name, json_object()) >= 0)
        member = json_object_get(object, name);
    return member;
}

enum place { IN_CONFIG, IN_HOST };

/* Options whose value goes into the body as it is. */
static const struct {
    const char *option;
    enum place place;
    const char *member;
} plain[] = {
    {"cap-add", IN_HOST, "CapAdd"},
    {"cap-drop", IN_HOST, "CapDrop"},
    {"cgroup-parent", IN_HOST, "CgroupParent"},
    {"cgroupns", IN_HOST, "CgroupnsMode"},
    {"cpu-period", IN_HOST, "CpuPeriod"},
    {"cpu-quota", IN_HOST, "CpuQuota"},
    {"cpu-shares", IN_HOST, "CpuShares"},
    {"cpus", IN_HOST, "NanoCpus"},
    {"cpuset-cpus", IN_HOST, "CpusetCpus"},
    {"cpuset-mems", IN_HOST, "CpusetMems"},
    {"dns", IN_HOST, "Dns"},
    {"dns-option", IN_HOST, "DnsOptions"},
    {"dns-search", IN_HOST, "DnsSearch"},
    {"domainname", IN_CONFIG, "Domainname"},
    {"group-add", IN_HOST, "GroupAdd"},
    {"hostname", IN_CONFIG, "Hostname"},
    {"init", IN_HOST, "Init"},
    {"interactive", IN_CONFIG, "OpenStdin"},
    {"ipc", IN_HOST, "IpcMode"},
    {"isolation", IN_HOST, "Isolation"},
    {"memory", IN_HOST, "Memory"},
    {"memory-reservation", IN_HOST, "MemoryReservation"},
    {"memory-swap", IN_HOST, "MemorySwap"},
    {"oom-kill-disable", IN_HOST, "OomKillDisable"},
    {"oom-score-adj", IN_HOST, "OomScoreAdj"},
    {"pid", IN_HOST, "PidMode"},
    {"pids-limit", IN_HOST, "PidsLimit"},
    {"privileged", IN_HOST, "Privileged"},
    {"publish-all", IN_HOST, "PublishAllPorts"},
    {"read-only", IN_HOST, "ReadonlyRootfs"},
    {"rm", IN_HOST, "AutoRemove"},
    {"runtime", IN_HOST, "Runtime"},
    {"shm-size", IN_HOST, "ShmSize"},
    {"stop-signal", IN_CONFIG, "StopSignal"},
    {"stop-timeout", IN_CONFIG, "StopTimeout"},
    {"tty", IN_CONFIG, "Tty"},
    {"user", IN_CONFIG, "User"},
    {"userns", IN_HOST, "UsernsMode"},
    {"uts", IN_HOST, "UTSMode"},
    {"volumes-from", IN_HOST, "VolumesFrom"},
    {"workdir", IN_CONFIG, "WorkingDir"},
};

static enum option_type type_of(const struct options *options, const char *name)
{
    for (const struct cli_option *o = options->table; o->name; o++)
        if (string_equal(o->name, name))
            return o->type;
    abort();
}

static int put_plain(const struct options *options, json_t *config, json_t *host, struct error *err)
{
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        const char *name = plain[i].option;
        json_t *object = plain[i].place == IN_HOST ? host : config;
        int r = 0;

        if (!options_given(options, name))
            continue;
        switch (type_of(options, name)) {
        case OPTION_BOOL:
            r = json_put_bool(object, plain[i].member, options_flag(options, name));
            break;
        case OPTION_STRING:
            r = json_put_string(object, plain[i].member, options_text(options, name));
            break;
        case OPTION_LIST:
            r = json_put_strv(object, plain[i].member, options_list(options, name));
            break;
        case OPTION_INT:
        case OPTION_BYTES:
        case OPTION_DECIMAL:
            r = json_put_i64(object, plain[i].member, options_number(options, name));
            break;
        case OPTION_TYPE_MAX:
            abort();
        }
        if (r < 0)
            return error_oom(err);
    }
    return 0;
}

/* Lines of a file without comments and blank ones. */
static int read_lines(const char *path, char ***ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer content = BUFFER_INIT(CONFIG_FILE_MAX);
    CLEANUP_STRV char **lines = NULL;
    int r = file_read(AT_FDCWD, path, &content, err);

    if (r < 0)
        return r;
    if (strv_split(buffer_string(&content), '\n', &lines) < 0)
        return error_oom(err);
    for (size_t i = 0; lines && lines[i]; i++) {
        char *line = lines[i] + strspn(lines[i], " \t");

        line[strcspn(line, "\r")] = '\0';
        if (*line && *line != '#' && strv_append(ret, line) < 0)
            return error_oom(err);
    }
    return 0;
}

/* NAME=VALUE as it is; NAME alone with our value, or, when we have none, alone from an option
 * (which takes the image's value away) and not at all from a file. */
static int append_env(json_t *array, const char *assignment, bool from_file, struct error *err)
{
    const char *value = strchr(assignment, '=') ? NULL : getenv(assignment);
    CLEANUP_FREE char *text =
        value ? string_format("%s=%s", assignment, value) : strdup(assignment);

    if (from_file && !value && !strchr(assignment, '='))
        return 0;
    if (assignment[0] == '=' || !assignment[0])
        return error_set_class(err, ERROR_INVALID, "invalid environment variable: %s", assignment);
    if (!text || json_array_append_new(array, json_string(text)) < 0)
        return error_set_class(err, ERROR_INVALID, "environment variable is not UTF-8: %s",
                               assignment);
    return 0;
}

int container_config_env(const struct options *options, json_t **ret, struct error *err)
{
    CLEANUP_STRV char **all = NULL;
    CLEANUP_JSON json_t *array = json_array();
    char *const *files = options_list(options, "env-file");
    size_t n_from_files = 0;

    for (size_t i = 0; files && files[i]; i++) {
        int r = read_lines(files[i], &all, err);
        if (r < 0)
            return r;
    }
    n_from_files = strv_length(all);
    if (strv_extend(&all, options_list(options, "env")) < 0 || !array)
        return error_oom(err);
    for (size_t i = 0; all && all[i]; i++) {
        int r = append_env(array, all[i], i < n_from_files, err);
        if (r < 0)
            return r;
    }
    *ret = json_array_size(array) > 0 ? TAKE_PTR(array) : NULL;
    return 0;
}

/* Each "name=value" into the object `member`; a name alone gives an empty value. */
static int put_map(json_t *object, const char *member, char *const *list, bool needs_value,
                   const char *what, struct error *err)
{
    json_t *map = list ? container_config_object(object, member) : NULL;

    for (size_t i = 0; list && list[i]; i++) {
        const char *equals = strchr(list[i], '=');
        CLEANUP_FREE char *name =
            strndup(list[i], equals ? (size_t)(equals - list[i]) : strlen(list[i]));

        if (!name || !map)
            return error_oom(err);
        if (!*name || (needs_value && !equals))
            return error_set_class(err, ERROR_INVALID, "invalid %s: %s", what, list[i]);
        if (json_put_string(map, name, equals ? equals + 1 : "") < 0)
            return error_oom(err);
    }
    return 0;
}

static int put_maps(const struct options *options, json_t *config, json_t *host, struct error *err)
{
    CLEANUP_STRV char **labels = NULL;
    char *const *files = options_list(options, "label-file");
    char *const *tmpfs = options_list(options, "tmpfs");
    json_t *log = container_config_object(host, "LogConfig");
    int r = 0;

    for (size_t i = 0; files && files[i] && r == 0; i++)
        r = read_lines(files[i], &labels, err);
    if (r < 0)
        return r;
    if (strv_extend(&labels, options_list(options, "label")) < 0 || !log)
        return error_oom(err);
    r = put_map(config, "Labels", labels, false, "label", err);
    if (r == 0)
        r = put_map(host, "Annotations", options_list(options, "annotation"), false, "annotation",
                    err);
    if (r == 0)
        r = put_map(host, "StorageOpt", options_list(options, "storage-opt"), true,
                    "storage option", err);
    if (r == 0)
        r = put_map(host, "Sysctls", options_list(options, "sysctl"), true, "sysctl", err);
    if (r == 0)
        r = put_map(log, "Config", options_list(options, "log-opt"), true, "logging opts", err);
    for (size_t i = 0; r == 0 && tmpfs && tmpfs[i]; i++) {
        const char *colon = strchr(tmpfs[i], ':');
        CLEANUP_FREE char *path = strndup(tmpfs[i], strcspn(tmpfs[i], ":"));
        json_t *map = container_config_object(host, "Tmpfs");

        if (!path || !map || json_put_string(map, path, colon ? colon + 1 : "") < 0)
            r = error_oom(err);
    }
    if (r == 0 &&
        json_put_string(log, "Type", string_or(options_text(options, "log-driver"), "")) < 0)
        r = error_oom(err);
    return r;
}

static int each(char *const *list, json_t *config, json_t *host,
                int (*parse)(const char *, json_t *, json_t *, struct error *), struct error *err)
{
    for (size_t i = 0; list && list[i]; i++) {
        int r = parse(list[i], config, host, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int device(const char *text, json_t *config, json_t *host, struct error *err)
{
    (void)config;
    return container_config_device(text, host, err);
}

static int ulimit(const char *text, json_t *config, json_t *host, struct error *err)
{
    (void)config;
    return container_config_ulimit(text, host, err);
}

static int expose(const char *text, json_t *config, json_t *host, struct error *err)
{
    CLEANUP_FREE char *with_protocol =
        strchr(text, '/') ? strdup(text) : string_format("%s/tcp", text);
    json_t *ports = container_config_object(config, "ExposedPorts");

    (void)host;
    if (!with_protocol || json_put(ports, with_protocol, json_object()) < 0)
        return error_oom(err);
    return 0;
}

/* "host:ip" or "host=ip". */
static int extra_host(const char *text, json_t *config, json_t *host, struct error *err)
{
    CLEANUP_FREE char *entry = strdup(text);
    json_t *hosts = container_config_array(host, "ExtraHosts");
    size_t at = strcspn(text, "=:");

    (void)config;
    if (!entry)
        return error_oom(err);
    if (at == 0 || !text[at] || !text[at + 1])
        return error_set_class(err, ERROR_INVALID, "bad format for add-host: \"%s\"", text);
    entry[at] = ':';
    return json_array_append_new(hosts, json_string(entry)) < 0 ? error_oom(err) : 0;
}

/* A seccomp profile is a file here, and its content for the engine. */
static int security(const char *text, json_t *config, json_t *host, struct error *err)
{
    CLEANUP(buffer_release) struct buffer content = BUFFER_INIT(CONFIG_FILE_MAX);
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_FREE char *value = NULL;
    static const char seccomp[] = "seccomp=";
    json_t *options = NULL;
    const char *path = text + sizeof(seccomp) - 1;
    int r = 0;

    (void)config;
    if (string_equal(text, "systempaths=unconfined")) {
        if (!container_config_array(host, "MaskedPaths") ||
            !container_config_array(host, "ReadonlyPaths"))
            return error_oom(err);
        return 0;
    }
    options = container_config_array(host, "SecurityOpt");
    if (string_starts_with(text, seccomp) && !string_equal(path, "unconfined") &&
        !string_equal(path, "builtin")) {
        CLEANUP_FREE char *compact = NULL;

        r = file_read(AT_FDCWD, path, &content, err);
        if (r < 0)
            return error_wrap(err, r, "opening seccomp profile (%s) failed", path);
        r = json_parse(buffer_string(&content), content.length, &document, err);
        if (r < 0)
            return error_wrap(err, r, "compacting json for seccomp profile (%s) failed", path);
        compact = json_format(document);
        value = compact ? string_format("seccomp=%s", compact) : NULL;
    } else {
        value = strdup(text);
    }
    if (!value || json_array_append_new(options, json_string(value)) < 0)
        return error_oom(err);
    return 0;
}

int container_config_restart(const char *text, json_t *host, struct error *err)
{
    const char *colon = strchr(text, ':');
    CLEANUP_FREE char *name = strndup(text, strcspn(text, ":"));
    json_t *policy = container_config_object(host, "RestartPolicy");
    int retries = 0;

    if (!name || !policy)
        return error_oom(err);
    if (colon && string_to_int(colon + 1, 0, INT32_MAX, &retries) < 0)
        return error_set_class(err, ERROR_INVALID,
                               "invalid restart policy format: maximum retry count "
                               "must be an integer");
    if (json_put_string(policy, "Name", name) < 0 ||
        json_put_i64(policy, "MaximumRetryCount", retries) < 0)
        return error_oom(err);
    return 0;
}

static int put_restart(const struct options *options, json_t *host, struct error *err)
{
    const char *text = options_text(options, "restart");
    bool none =
        !*text || *text == ':' || string_equal(text, "no") || string_starts_with(text, "no:");

    if (options_flag(options, "rm") && !none)
        return error_set_class(err, ERROR_INVALID,
                               "conflicting options: cannot specify both --restart "
                               "and --rm");
    return container_config_restart(text, host, err);
}

static int put_network(const struct options *options, json_t *config, json_t *host,
                       struct error *err)
{
    const char *network = string_or(options_text(options, "network"), "default");
    json_t *endpoints = NULL;
    json_t *endpoint = NULL;
    json_t *ipam = NULL;
    int r = json_put_string(host, "NetworkMode", network);

    if (r == 0 && strncmp(network, "container:", 10) != 0) {
        endpoints = container_config_object(container_config_object(config, "NetworkingConfig"),
                                            "EndpointsConfig");
        endpoint = container_config_object(endpoints, network);
        r = endpoint ? 0 : -ENOMEM;
    }
    if (r == 0 && endpoint && (options_given(options, "ip") || options_given(options, "ip6"))) {
        ipam = container_config_object(endpoint, "IPAMConfig");
        r = json_put_string(ipam, "IPv4Address", options_text(options, "ip"));
        if (r == 0)
            r = json_put_string(ipam, "IPv6Address", options_text(options, "ip6"));
    }
    if (r == 0 && endpoint)
        r = json_put_string(endpoint, "MacAddress", options_text(options, "mac-address"));
    if (r == 0 && endpoint && options_given(options, "network-alias"))
        r = json_put_strv(endpoint, "Aliases", options_list(options, "network-alias"));
    return r < 0 ? error_oom(err) : 0;
}

/* Which streams are attached: those asked for, else stdout and stderr, and stdin with -i. */
static int put_attach(const struct options *options, bool detach, json_t *config, struct error *err)
{
    char *const *list = options_list(options, "attach");
    bool in = options_flag(options, "interactive");
    bool out = !list;
    bool errors = !list;

    for (size_t i = 0; list && list[i]; i++) {
        if (string_equal_nocase(list[i], "stdin"))
            in = true;
        else if (string_equal_nocase(list[i], "stdout"))
            out = true;
        else if (string_equal_nocase(list[i], "stderr"))
            errors = true;
        else
            return error_set_class(err, ERROR_INVALID,
                                   "invalid argument \"%s\" for \"-a, --attach\" "
                                   "flag: valid streams are STDIN, STDOUT and "
                                   "STDERR",
                                   list[i]);
    }
    if (list && detach)
        return error_set_class(err, ERROR_INVALID,
                               "conflicting options: cannot specify both --attach "
                               "and --detach");
    if (detach)
        in = out = errors = false;
    if (json_put_bool(config, "AttachStdin", in) < 0 ||
        json_put_bool(config, "AttachStdout", out) < 0 ||
        json_put_bool(config, "AttachStderr", errors) < 0 ||
        json_put_bool(config, "StdinOnce", in && options_flag(options, "interactive")) < 0)
        return error_oom(err);
    return 0;
}

static int put_command(const struct options *options, json_t *config, struct error *err)
{
    const char *entrypoint = options_text(options, "entrypoint");
    char *const *arguments = options->arguments;
    int r = json_put_string(config, "Image", arguments[0]);

    if (!*arguments[0])
        return error_set_class(err, ERROR_INVALID, "invalid reference format");
    if (r == 0 && arguments[1])
        r = json_put_strv(config, "Cmd", arguments + 1);
    /* An empty --entrypoint takes the image's away: docker sends [""] for it. */
    if (r == 0 && options_given(options, "entrypoint")) {
        char *const list[] = {strdup(entrypoint), NULL};

        r = list[0] ? json_put_strv(config, "Entrypoint", list) : -ENOMEM;
        free(list[0]);
    }
    return r < 0 ? error_set_class(err, ERROR_INVALID, "the command is not UTF-8") : 0;
}

static int put_console_size(const struct options *options, json_t *host, struct error *err)
{
    unsigned rows = 0;
    unsigned columns = 0;

    if (!options_flag(options, "tty") || !terminal_size(STDOUT_FILENO, &rows, &columns))
        return 0;
    if (json_put(host, "ConsoleSize", json_pack("[i,i]", (int)rows, (int)columns)) < 0)
        return error_oom(err);
    return 0;
}

int container_config_build(const struct options *options, bool detach, json_t **ret,
                           struct error *err)
{
    CLEANUP_JSON json_t *config = json_object();
    json_t *env = NULL;
    json_t *host = container_config_object(config, "HostConfig");
    int r = host ? 0 : error_oom(err);

    if (r == 0)
        r = put_attach(options, detach, config, err);
    if (r == 0)
        r = put_command(options, config, err);
    if (r == 0)
        r = put_plain(options, config, host, err);
    if (r == 0)
        r = put_maps(options, config, host, err);
    if (r == 0)
        r = put_restart(options, host, err);
    if (r == 0)
        r = put_network(options, config, host, err);
    if (r == 0)
        r = put_console_size(options, host, err);
    if (r == 0)
        r = container_config_env(options, &env, err);
    if (r == 0 && env && json_put(config, "Env", env) < 0)
        r = error_oom(err);
    if (r == 0)
        r = each(options_list(options, "publish"), config, host, container_config_port, err);
    if (r == 0)
        r = each(options_list(options, "expose"), config, host, expose, err);
    if (r == 0)
        r = each(options_list(options, "volume"), config, host, container_config_volume, err);
    if (r == 0)
        r = each(options_list(options, "mount"), config, host, container_config_mount, err);
    if (r == 0)
        r = each(options_list(options, "device"), config, host, device, err);
    if (r == 0)
        r = each(options_list(options, "ulimit"), config, host, ulimit, err);
    if (r == 0)
        r = each(options_list(options, "add-host"), config, host, extra_host, err);
    if (r == 0)
        r = each(options_list(options, "security-opt"), config, host, security, err);
    if (r == 0)
        *ret = TAKE_PTR(config);
    return r;
}
