/* Values of single options with a syntax of their own; declared in container-config.h. */
#include "cli/container-config.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "80" or "80-90" */
static int parse_range(const char *text, int *ret_first, int *ret_last)
{
    const char *dash = strchr(text, '-');
    CLEANUP_FREE char *first = strndup(text, dash ? (size_t)(dash - text) : strlen(text));
    int r = 0;

    if (!first)
        return -ENOMEM;
    r = string_to_int(first, 0, 65535, ret_first);
    if (r >= 0 && dash)
        r = string_to_int(dash + 1, 0, 65535, ret_last);
    else
        *ret_last = *ret_first;
    return r < 0 || *ret_last < *ret_first ? -EINVAL : 0;
}

static int add_binding(json_t *config, json_t *host, const char *port, const char *ip,
                       const char *host_port)
{
    json_t *exposed = container_config_object(config, "ExposedPorts");
    json_t *bindings = container_config_array(container_config_object(host, "PortBindings"), port);

    if (!bindings || json_put(exposed, port, json_object()) < 0)
        return -ENOMEM;
    return json_array_append_new(bindings,
                                 json_pack("{s:s,s:s}", "HostIp", ip, "HostPort", host_port));
}

/* Publishes container ports first..last on the host's ports (text, may be empty or a range). */
static int add_bindings(json_t *config, json_t *host, const char *ip, const char *host_text,
                        int first, int last, const char *protocol, struct error *err)
{
    int host_first = 0;
    int host_last = 0;
    bool one_to_many = false;

    if (*host_text && parse_range(host_text, &host_first, &host_last) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid hostPort: %s", host_text);
    /* one container port and a range of the host's: the engine picks one of them */
    one_to_many = *host_text && first == last && host_first != host_last;
    if (*host_text && !one_to_many && host_last - host_first != last - first)
        return error_set_class(err, ERROR_INVALID,
                               "invalid ranges specified for container and host "
                               "Ports: %d-%d and %s",
                               first, last, host_text);
    for (int port = first; port <= last; port++) {
        CLEANUP_FREE char *name = string_format("%d/%s", port, protocol);
        CLEANUP_FREE char *number = one_to_many || !*host_text
                                        ? strdup(host_text)
                                        : string_format("%d", host_first + port - first);

        if (!name || !number || add_binding(config, host, name, ip, number) < 0)
            return error_oom(err);
    }
    return 0;
}

/* [[IP:][HOSTPORT]:]PORT[/PROTOCOL], IPv6 addresses in brackets. */
int container_config_port(const char *text, json_t *config, json_t *host, struct error *err)
{
    CLEANUP_FREE char *copy = strdup(text);
    const char *protocol = "tcp";
    const char *ip = "";
    const char *host_port = "";
    char *port = NULL;
    char *rest = NULL;
    char *slash = NULL;
    int first = 0;
    int last = 0;

    if (!copy)
        return error_oom(err);
    slash = strrchr(copy, '/');
    if (slash) {
        *slash = '\0';
        protocol = slash + 1;
    }
    if (!string_equal(protocol, "tcp") && !string_equal(protocol, "udp") &&
        !string_equal(protocol, "sctp"))
        return error_set_class(err, ERROR_INVALID, "invalid proto: %s", protocol);
    port = strrchr(copy, ':');
    rest = port ? copy : NULL;
    port = port ? port + 1 : copy;
    if (rest) {
        port[-1] = '\0';
        char *colon = rest[0] == '[' ? strstr(rest, "]:") : strrchr(rest, ':');

        if (colon) {
            colon += *colon == ']';
            *colon = '\0';
            ip = rest;
            host_port = colon + 1;
        } else {
            host_port = rest;
        }
        if (ip[0] == '[') {
            rest[strcspn(rest, "]")] = '\0';
            ip = rest + 1;
        }
    }
    if (parse_range(port, &first, &last) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid containerPort: %s", port);
    return add_bindings(config, host, ip, host_port, first, last, protocol, err);
}

/* "/in/container": an anonymous volume; "source:/in/container[:mode]": a bind or a named volume. A
 * source that starts with '.' is relative to the working directory. */
int container_config_volume(const char *text, json_t *config, json_t *host, struct error *err)
{
    CLEANUP_FREE char *bind = NULL;
    json_t *list = NULL;

    if (!*text || text[0] == ':')
        return error_set_class(err, ERROR_INVALID, "invalid volume specification: '%s'", text);
    if (!strchr(text, ':')) {
        list = container_config_object(config, "Volumes");
        return json_put(list, text, json_object()) < 0 ? error_oom(err) : 0;
    }
    if (text[0] == '.') {
        size_t length = strcspn(text, ":");
        char directory[PATH_MAX];
        CLEANUP_FREE char *relative = strndup(text, length);
        CLEANUP_FREE char *joined = NULL;
        CLEANUP_FREE char *absolute = NULL;

        if (!getcwd(directory, sizeof(directory)))
            return error_set_errno(err, -errno, "cannot find the working directory");
        joined = relative ? path_join(directory, relative) : NULL;
        absolute = joined ? path_normalize(joined) : NULL;
        bind = absolute ? string_format("%s%s", absolute, text + length) : NULL;
    } else {
        bind = strdup(text);
    }
    list = container_config_array(host, "Binds");
    if (!bind || json_array_append_new(list, json_string(bind)) < 0)
        return error_oom(err);
    return 0;
}

static bool is_device_mode(const char *text)
{
    return *text && strspn(text, "rwm") == strlen(text);
}

/* HOST[:CONTAINER][:rwm] */
int container_config_device(const char *text, json_t *host, struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    const char *inside = NULL;
    const char *mode = "rwm";
    size_t n = 0;

    if (strv_split(text, ':', &parts) < 0)
        return error_oom(err);
    n = strv_length(parts);
    if (n < 1 || n > 3 || !*parts[0])
        return error_set_class(err, ERROR_INVALID, "invalid device specification: %s", text);
    inside = parts[0];
    if (n == 2 && is_device_mode(parts[1]))
        mode = parts[1];
    else if (n >= 2)
        inside = parts[1];
    if (n == 3) {
        mode = parts[2];
        if (!is_device_mode(mode))
            return error_set_class(err, ERROR_INVALID, "invalid device mode: %s", mode);
    }
    if (json_array_append_new(container_config_array(host, "Devices"),
                              json_pack("{s:s,s:s,s:s}", "PathOnHost", parts[0], "PathInContainer",
                                        inside, "CgroupPermissions", mode)) < 0)
        return error_oom(err);
    return 0;
}

/* NAME=SOFT[:HARD] */
int container_config_ulimit(const char *text, json_t *host, struct error *err)
{
    const char *equals = strchr(text, '=');
    const char *colon = equals ? strchr(equals, ':') : NULL;
    CLEANUP_FREE char *name = NULL;
    CLEANUP_FREE char *first = NULL;
    int64_t soft = 0;
    int64_t hard = 0;

    if (!equals || equals == text)
        return error_set_class(err, ERROR_INVALID, "invalid ulimit argument: %s", text);
    name = strndup(text, (size_t)(equals - text));
    first = strndup(equals + 1, colon ? (size_t)(colon - equals - 1) : strlen(equals + 1));
    if (!name || !first)
        return error_oom(err);
    if (string_to_i64(first, &soft) < 0 || (colon && string_to_i64(colon + 1, &hard) < 0))
        return error_set_class(err, ERROR_INVALID, "invalid ulimit argument: %s", text);
    if (!colon)
        hard = soft;
    if (hard >= 0 && (soft > hard || soft < 0))
        return error_set_class(err, ERROR_INVALID,
                               "ulimit soft limit must be less than or equal to "
                               "hard limit: %lld > %lld",
                               (long long)soft, (long long)hard);
    if (json_array_append_new(container_config_array(host, "Ulimits"),
                              json_pack("{s:s,s:I,s:I}", "Name", name, "Soft", (json_int_t)soft,
                                        "Hard", (json_int_t)hard)) < 0)
        return error_oom(err);
    return 0;
}
