/* What is mounted into a container besides its root: HostConfig.Binds, Mounts and Tmpfs. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "engine/private.h"
#include "spec/runtime.h"

enum { MOUNT_OPTIONS_MAX = 128 };

/* One mount as the request names it, before it becomes an OCI mount. */
struct mount_request {
    const char *type; /* "bind" or "tmpfs" */
    char *source;
    char *target;
    char *options;      /* comma-separated */
    bool create_source; /* -v makes a missing directory, --mount does not */
};

static void mount_request_release(struct mount_request *request)
{
    free(request->source);
    free(request->target);
    free(request->options);
}

static int check_target(const char *target, const char *whole, struct error *err)
{
    if (string_is_empty(target) || target[0] != '/')
        return error_set_class(err, ERROR_INVALID,
                               "invalid volume specification: '%s': invalid mount config for type "
                               "\"bind\": invalid mount path: '%s' mount path must be absolute",
                               whole, string_or(target, ""));
    CLEANUP_FREE char *normal = path_normalize(target);
    if (!normal)
        return error_oom(err);
    if (string_equal(normal, "/"))
        return error_set_class(err, ERROR_INVALID,
                               "invalid volume specification: '%s': invalid specification: "
                               "destination can't be '/'",
                               whole);
    return 0;
}

static int bind_mode(const char *mode, char **ret, struct error *err)
{
    static const char *const known[] = {"rw",      "ro",       "z",      "Z",       "nocopy",
                                        "private", "rprivate", "shared", "rshared", "slave",
                                        "rslave",  "bind",     "rbind",  NULL};
    CLEANUP_STRV char **words = NULL;
    CLEANUP_STRV char **options = NULL;
    bool recursive = true;
    if (strv_split(string_or(mode, ""), ',', &words) < 0)
        return error_oom(err);
    for (char **word = words; word && *word; word++) {
        bool found = **word == '\0';
        for (size_t i = 0; !found && known[i]; i++)
            found = string_equal(known[i], *word);
        if (!found)
            return error_set_class(err, ERROR_INVALID, "invalid mode: %s", mode);
        if (string_equal(*word, "bind"))
            recursive = false;
        else if (**word && !string_equal_nocase(*word, "z") && !string_equal(*word, "nocopy") &&
                 !string_equal(*word, "rbind") && strv_append(&options, *word) < 0)
            return error_oom(err);
    }
    if (strv_append(&options, recursive ? "rbind" : "bind") < 0)
        return error_oom(err);
    char *joined = strv_join(options, ",");
    if (!joined)
        return error_oom(err);
    *ret = joined;
    return 0;
}

static int bind_parse(const char *text, struct mount_request *ret, struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    if (strv_split(text, ':', &parts) < 0)
        return error_oom(err);
    size_t n = strv_length(parts);
    if (n < 2 || n > 3)
        return error_set_class(err, ERROR_INVALID, "invalid volume specification: '%s'", text);
    int r = check_target(parts[1], text, err);
    if (r < 0)
        return r;
    if (parts[0][0] != '/')
        return error_set_class(err, ERROR_INVALID,
                               "invalid volume specification: '%s': the source is not an absolute "
                               "path, and this engine keeps no named volumes; give a directory of "
                               "the host",
                               text);
    ret->type = "bind";
    ret->create_source = true;
    ret->source = path_normalize(parts[0]);
    ret->target = path_normalize(parts[1]);
    if (!ret->source || !ret->target)
        return error_oom(err);
    return bind_mode(n == 3 ? parts[2] : NULL, &ret->options, err);
}

static char *tmpfs_options(int64_t size, int64_t mode, bool read_only)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MOUNT_OPTIONS_MAX);
    int r =
        buffer_append_string(&text, read_only ? "nosuid,nodev,noexec,ro" : "nosuid,nodev,noexec");
    if (r == 0 && size > 0)
        r = buffer_printf(&text, ",size=%" PRId64, size);
    if (r == 0 && mode > 0)
        r = buffer_printf(&text, ",mode=%" PRIo64, (uint64_t)mode);
    return r < 0 ? NULL : buffer_take(&text);
}

static int mount_parse(const json_t *json, struct mount_request *ret, struct error *err)
{
    const char *type = "bind";
    const char *source = "";
    const char *target = "";
    bool read_only = false;
    int r;
    if ((r = json_get_string(json, "Type", &type, err)) < 0 ||
        (r = json_get_string(json, "Source", &source, err)) < 0 ||
        (r = json_get_string(json, "Target", &target, err)) < 0 ||
        (r = json_get_bool(json, "ReadOnly", &read_only, err)) < 0)
        return r;
    bool bind = string_equal(type, "bind");
    if (!bind && !string_equal(type, "tmpfs"))
        return error_set_class(err, ERROR_INVALID,
                               "invalid mount config for type \"%s\": this engine mounts \"bind\" "
                               "and \"tmpfs\"",
                               type);
    if (bind && source[0] != '/')
        return error_set_class(err, ERROR_INVALID,
                               "invalid mount config for type \"bind\": invalid mount path: '%s' "
                               "mount path must be absolute",
                               source);
    r = check_target(target, target, err);
    if (r < 0)
        return r;
    struct stat status;
    if (bind && stat(source, &status) < 0)
        return error_set_class(err, ERROR_INVALID,
                               "invalid mount config for type \"bind\": bind source path does not "
                               "exist: %s",
                               source);
    json_t *tmpfs = NULL;
    int64_t size = 0;
    int64_t mode = 0;
    if ((r = json_get_object(json, "TmpfsOptions", &tmpfs, err)) < 0 ||
        (tmpfs && ((r = json_get_i64(tmpfs, "SizeBytes", &size, err)) < 0 ||
                   (r = json_get_i64(tmpfs, "Mode", &mode, err)) < 0)))
        return r;
    ret->type = bind ? "bind" : "tmpfs";
    ret->source = bind ? path_normalize(source) : strdup("tmpfs");
    ret->target = path_normalize(target);
    ret->options = bind ? string_format("rbind,rprivate%s", read_only ? ",ro" : "")
                        : tmpfs_options(size, mode, read_only);
    return ret->source && ret->target && ret->options ? 0 : error_oom(err);
}

static int refuse_share(const struct container *container, const char *source, struct error *err)
{
    if (container->isolation != COMPUTE_HYPERV)
        return 0;
    return error_set_class(err, ERROR_INVALID,
                           "'%s' cannot be mounted: a container with isolation 'hyperv' shares no "
                           "directory with the host; use isolation 'process', or a tmpfs",
                           source);
}

int engine_mounts_check(const struct container *container, char *const *binds, const json_t *mounts,
                        struct error *err)
{
    for (char *const *bind = binds; bind && *bind; bind++) {
        CLEANUP(mount_request_release) struct mount_request request = {0};
        int r = bind_parse(*bind, &request, err);
        if (r == 0)
            r = refuse_share(container, request.source, err);
        if (r < 0)
            return r;
    }
    size_t i;
    json_t *mount;
    json_array_foreach ((json_t *)(uintptr_t)mounts, i, mount) {
        CLEANUP(mount_request_release) struct mount_request request = {0};
        int r = mount_parse(mount, &request, err);
        if (r == 0 && string_equal(request.type, "bind"))
            r = refuse_share(container, request.source, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_request(struct spec_runtime *config, const struct mount_request *request,
                       struct error *err)
{
    struct stat status;
    if (request->create_source && stat(request->source, &status) < 0) {
        int r = path_make_dirs(request->source, 0755, err);
        if (r < 0)
            return error_wrap(err, r, "error while creating mount source path '%s'",
                              request->source);
    }
    (void)spec_runtime_remove_mount(config, request->target);
    return spec_runtime_add_mount(config, request->target, request->type, request->source,
                                  request->options) < 0
               ? error_oom(err)
               : 0;
}

static int add_tmpfs(struct spec_runtime *config, const json_t *tmpfs, struct error *err)
{
    const char *target;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)tmpfs, target, value) {
        const char *options = json_string_value(value);
        CLEANUP_FREE char *all = string_format(
            "nosuid,nodev,noexec%s%s", string_is_empty(options) ? "" : ",", string_or(options, ""));
        if (!all)
            return error_oom(err);
        CLEANUP_FREE char *normal = path_normalize(target);
        if (target[0] != '/' || string_equal(normal, "/"))
            return error_set_class(err, ERROR_INVALID, "invalid mount path: '%s'", target);
        (void)spec_runtime_remove_mount(config, target);
        if (spec_runtime_add_mount(config, target, "tmpfs", "tmpfs", all) < 0)
            return error_oom(err);
    }
    return 0;
}

int engine_mounts_add(const struct container *container, struct spec_runtime *config,
                      struct error *err)
{
    CLEANUP_STRV char **binds = NULL;
    json_t *mounts = NULL;
    json_t *tmpfs = NULL;
    int r;
    if ((r = json_get_strv(container->host_config, "Binds", SPEC_LIST_MAX, &binds, err)) < 0 ||
        (r = json_get_array(container->host_config, "Mounts", &mounts, err)) < 0 ||
        (r = json_get_object(container->host_config, "Tmpfs", &tmpfs, err)) < 0)
        return r;
    for (char **bind = binds; bind && *bind; bind++) {
        CLEANUP(mount_request_release) struct mount_request request = {0};
        if ((r = bind_parse(*bind, &request, err)) < 0 ||
            (r = add_request(config, &request, err)) < 0)
            return r;
    }
    size_t i;
    json_t *mount;
    json_array_foreach (mounts, i, mount) {
        CLEANUP(mount_request_release) struct mount_request request = {0};
        if ((r = mount_parse(mount, &request, err)) < 0 ||
            (r = add_request(config, &request, err)) < 0)
            return r;
    }
    return add_tmpfs(config, tmpfs, err);
}

/* --- inspect --- */

static bool is_writable(const char *options)
{
    CLEANUP_STRV char **words = NULL;
    return strv_split(options, ',', &words) == 0 && !strv_contains(words, "ro");
}

static int append_mount(json_t *list, const struct mount_request *request)
{
    bool bind = string_equal(request->type, "bind");
    bool writable = is_writable(request->options);
    json_t *entry =
        json_pack("{s:s, s:s, s:s, s:s, s:b, s:s}", "Type", request->type, "Source",
                  bind ? request->source : "", "Destination", request->target, "Mode",
                  writable ? "" : "ro", "RW", writable, "Propagation", bind ? "rprivate" : "");
    return entry ? json_array_append_new(list, entry) : -ENOMEM;
}

json_t *engine_mounts_to_json(const struct container *container)
{
    CLEANUP_JSON json_t *list = json_array();
    CLEANUP_STRV char **binds = NULL;
    if (!list || json_get_strv(container->host_config, "Binds", SPEC_LIST_MAX, &binds, NULL) < 0)
        return TAKE_PTR(list);
    for (char **bind = binds; bind && *bind; bind++) {
        CLEANUP(mount_request_release) struct mount_request request = {0};
        if (bind_parse(*bind, &request, NULL) == 0 && append_mount(list, &request) < 0)
            return NULL;
    }
    size_t i;
    json_t *mount;
    json_array_foreach (json_object_get(container->host_config, "Mounts"), i, mount) {
        CLEANUP(mount_request_release) struct mount_request request = {0};
        if (mount_parse(mount, &request, NULL) == 0 && append_mount(list, &request) < 0)
            return NULL;
    }
    return TAKE_PTR(list);
}
