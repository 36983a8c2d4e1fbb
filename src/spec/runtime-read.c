/* The runtime configuration from JSON. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "spec/reader.h"
#include "spec/runtime.h"

enum { HOOK_TIMEOUT_MAX = 86400, U64_DIGITS = 20 };

static int read_mount(const json_t *item, void *ret, struct error *err)
{
    struct spec_mount *mount = ret;
    int r;

    if ((r = spec_read_text(item, "destination", &mount->destination, err)) < 0 ||
        (r = spec_read_text(item, "type", &mount->type, err)) < 0 ||
        (r = spec_read_text(item, "source", &mount->source, err)) < 0 ||
        (r = json_get_strv(item, "options", SPEC_LIST_MAX, &mount->options, err)) < 0)
        return r;
    if (string_is_empty(mount->destination))
        return error_set_class(err, ERROR_INVALID, "'destination' is missing");
    return 0;
}

static int read_hook(const json_t *item, void *ret, struct error *err)
{
    struct spec_hook *hook = ret;
    int r;

    if ((r = spec_read_text(item, "path", &hook->path, err)) < 0 ||
        (r = json_get_strv(item, "args", SPEC_LIST_MAX, &hook->args, err)) < 0 ||
        (r = json_get_strv(item, "env", SPEC_LIST_MAX, &hook->env, err)) < 0 ||
        (r = json_get_int(item, "timeout", 1, HOOK_TIMEOUT_MAX, &hook->timeout, err)) < 0)
        return r;
    if (!hook->path || hook->path[0] != '/')
        return error_set_class(err, ERROR_INVALID, "'path' must be an absolute path");
    return 0;
}

static int read_hooks(const json_t *json, struct spec_runtime *config, struct error *err)
{
    json_t *object = NULL;
    int r = json_get_object(json, "hooks", &object, err);

    for (int i = 0; r >= 0 && i < SPEC_HOOK_MAX; i++)
        r = spec_read_list(object, spec_hook_stage_to_string((enum spec_hook_stage)i),
                           SPEC_HOOKS_MAX, sizeof(struct spec_hook), read_hook,
                           &config->hooks[i].hooks, &config->hooks[i].n_hooks, err);
    return r < 0 ? error_wrap(err, r, "hooks") : 0;
}

static int read_namespaces(const json_t *json, struct spec_linux *part, struct error *err)
{
    json_t *array = NULL;
    size_t i;
    json_t *item;
    int r = json_get_array(json, "namespaces", &array, err);

    if (r <= 0)
        return r;
    json_array_foreach (array, i, item) {
        const char *name = NULL;
        struct spec_namespace *namespace;

        r = json_need_string(item, "type", &name, err);
        if (r < 0)
            return error_wrap(err, r, "namespaces[%zu]", i);
        r = spec_namespace_from_string(name);
        if (r < 0)
            return error_set_class(err, ERROR_INVALID, "'namespaces': unknown type '%s'", name);
        namespace = &part->namespaces[r];
        if (namespace->wanted)
            return error_set_class(err, ERROR_INVALID, "'namespaces': '%s' appears twice", name);
        namespace->wanted = true;
        r = spec_read_text(item, "path", &namespace->path, err);
        if (r < 0)
            return error_wrap(err, r, "namespaces[%zu]", i);
        if (namespace->path && namespace->path[0] != '/')
            return error_set_class(err, ERROR_INVALID, "'namespaces': '%s' is not an absolute path",
                                   namespace->path);
    }
    return 0;
}

static int read_mapping(const json_t *item, void *ret, struct error *err)
{
    struct spec_id_mapping *mapping = ret;
    int r;

    if ((r = spec_read_u32(item, "containerID", &mapping->container_id, err)) < 0 ||
        (r = spec_read_u32(item, "hostID", &mapping->host_id, err)) < 0 ||
        (r = spec_read_u32(item, "size", &mapping->size, err)) < 0)
        return r;
    if (mapping->size == 0)
        return error_set_class(err, ERROR_INVALID, "'size' must not be 0");
    return 0;
}

static int read_device(const json_t *item, void *ret, struct error *err)
{
    struct spec_device *device = ret;
    const char *type = NULL;
    int r;

    if ((r = json_need_string(item, "type", &type, err)) < 0 ||
        (r = spec_read_text(item, "path", &device->path, err)) < 0 ||
        (r = json_get_i64(item, "major", &device->major, err)) < 0 ||
        (r = json_get_i64(item, "minor", &device->minor, err)) < 0 ||
        (r = spec_read_u32(item, "uid", &device->uid, err)) < 0 ||
        (r = spec_read_u32(item, "gid", &device->gid, err)) < 0 ||
        (r = spec_read_u32(item, "fileMode", &device->file_mode, err)) < 0)
        return r;
    device->has_file_mode = r > 0;
    device->file_mode &= 07777;
    if (strlen(type) != 1 || !strchr("bcup", type[0]))
        return error_set_class(err, ERROR_INVALID, "invalid device type '%s'", type);
    device->type = type[0];
    if (!device->path || device->path[0] != '/')
        return error_set_class(err, ERROR_INVALID, "'path' must be an absolute path");
    if (device->major < 0 || device->minor < 0 || device->major > UINT32_MAX ||
        device->minor > UINT32_MAX)
        return error_set_class(err, ERROR_INVALID, "invalid device number");
    return 0;
}

static int read_personality(const json_t *json, struct spec_linux *part, struct error *err)
{
    json_t *object = NULL;
    const char *domain = NULL;
    int r = json_get_object(json, "personality", &object, err);

    if (r <= 0)
        return r;
    r = json_need_string(object, "domain", &domain, err);
    if (r < 0)
        return r;
    if (!string_equal(domain, "LINUX") && !string_equal(domain, "LINUX32"))
        return error_set_class(err, ERROR_INVALID, "'personality': unknown domain '%s'", domain);
    part->has_personality = true;
    part->personality = string_equal(domain, "LINUX32") ? PER_LINUX32 : PER_LINUX;
    return 0;
}

static int read_resources(const json_t *json, struct spec_linux *part, struct error *err)
{
    json_t *object = NULL;
    int r = json_get_object(json, "resources", &object, err);

    if (r > 0)
        r = spec_resources_from_json(object, &part->resources, err);
    return r < 0 ? error_wrap(err, r, "resources") : 0;
}

static int read_seccomp(const json_t *json, struct spec_linux *part, struct error *err)
{
    json_t *object = NULL;
    int r = json_get_object(json, "seccomp", &object, err);

    if (r > 0)
        r = spec_seccomp_from_json(object, &part->seccomp, err);
    return r < 0 ? error_wrap(err, r, "seccomp") : 0;
}

static int read_linux(const json_t *document, struct spec_linux *part, struct error *err)
{
    json_t *json = NULL;
    int r;

    if ((r = json_get_object(document, "linux", &json, err)) <= 0)
        return r;
    if ((r = read_namespaces(json, part, err)) < 0 ||
        (r = spec_read_list(json, "uidMappings", SPEC_MAPPINGS_MAX, sizeof(struct spec_id_mapping),
                            read_mapping, &part->uid_mappings, &part->n_uid_mappings, err)) < 0 ||
        (r = spec_read_list(json, "gidMappings", SPEC_MAPPINGS_MAX, sizeof(struct spec_id_mapping),
                            read_mapping, &part->gid_mappings, &part->n_gid_mappings, err)) < 0 ||
        (r = spec_read_list(json, "devices", SPEC_LIST_MAX, sizeof(struct spec_device), read_device,
                            &part->devices, &part->n_devices, err)) < 0 ||
        (r = spec_read_text(json, "cgroupsPath", &part->cgroups_path, err)) < 0 ||
        (r = read_resources(json, part, err)) < 0 ||
        (r = spec_read_text(json, "rootfsPropagation", &part->rootfs_propagation, err)) < 0 ||
        (r = read_seccomp(json, part, err)) < 0 ||
        (r = spec_read_map(json, "sysctl", &part->sysctl, err)) < 0 ||
        (r = json_get_strv(json, "maskedPaths", SPEC_LIST_MAX, &part->masked_paths, err)) < 0 ||
        (r = json_get_strv(json, "readonlyPaths", SPEC_LIST_MAX, &part->readonly_paths, err)) < 0 ||
        (r = spec_read_text(json, "mountLabel", &part->mount_label, err)) < 0 ||
        (r = read_personality(json, part, err)) < 0)
        return error_wrap(err, r, "linux");
    return 0;
}

static int read_root(const json_t *json, struct spec_runtime *config, struct error *err)
{
    json_t *root = NULL;
    int r;

    if ((r = json_get_object(json, "root", &root, err)) < 0 ||
        (r = spec_read_text(root, "path", &config->root_path, err)) < 0 ||
        (r = json_get_bool(root, "readonly", &config->root_readonly, err)) < 0)
        return error_wrap(err, r, "root");
    return 0;
}

static int read_config(const json_t *json, struct spec_runtime *config, struct error *err)
{
    const char *version = NULL;
    json_t *process = NULL;
    int r;

    if ((r = json_need_string(json, "ociVersion", &version, err)) < 0)
        return r;
    if (!string_starts_with(version, "1."))
        return error_set_class(err, ERROR_INVALID, "'ociVersion' %s is not supported", version);
    if ((r = spec_read_text(json, "ociVersion", &config->oci_version, err)) < 0 ||
        (r = json_get_object(json, "process", &process, err)) < 0)
        return r;
    if (r > 0) {
        config->process = spec_process_free(config->process);
        r = spec_process_from_json(process, &config->process, err);
        if (r < 0)
            return r;
    }
    if ((r = read_root(json, config, err)) < 0 ||
        (r = spec_read_text(json, "hostname", &config->hostname, err)) < 0 ||
        (r = spec_read_text(json, "domainname", &config->domainname, err)) < 0 ||
        (r = spec_read_list(json, "mounts", SPEC_LIST_MAX, sizeof(struct spec_mount), read_mount,
                            &config->mounts, &config->n_mounts, err)) < 0 ||
        (r = read_hooks(json, config, err)) < 0 ||
        (r = spec_read_map(json, "annotations", &config->annotations, err)) < 0)
        return r;
    return read_linux(json, &config->linux_, err);
}

int spec_runtime_from_json(const json_t *json, struct spec_runtime **ret, struct error *err)
{
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = NULL;
    int r;

    if (!json_is_object(json))
        return error_set_class(err, ERROR_INVALID, "runtime configuration must be an object");
    config = spec_runtime_new();
    if (!config)
        return error_oom(err);
    r = read_config(json, config, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(config);
    return 0;
}

/* Overwrites one number above INT64_MAX by the negative one of the same bits, filled up with
 * spaces; a larger one than 64 bits stays and fails in the parser. */
static void fold_number(char *digits, size_t length)
{
    char number[U64_DIGITS + 1];
    char folded[U64_DIGITS + 2];
    uint64_t value;
    size_t used;

    if (length < U64_DIGITS - 1 || length > U64_DIGITS)
        return;
    memcpy(number, digits, length);
    number[length] = '\0';
    if (string_to_u64(number, &value) < 0 || value <= INT64_MAX)
        return;
    used = (size_t)snprintf(folded, sizeof(folded), "%lld", (long long)value);
    if (used > length)
        return; /* -9223372036854775808: the only one that is longer */
    memset(digits, ' ', length);
    memcpy(digits, folded, used);
}

/* Numbers outside of strings, digits only: not part of "-1", "1.5" or "1e9". */
static void fold_numbers(char *text, size_t length)
{
    bool in_string = false;

    for (size_t i = 0; i < length; i++) {
        size_t end = i;

        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = false;
            continue;
        }
        if (text[i] == '"')
            in_string = true;
        while (end < length && strchr("0123456789.eE+-", text[end]) && text[end])
            end++;
        if (end == i)
            continue;
        if (strspn(text + i, "0123456789") == end - i)
            fold_number(text + i, end - i);
        i = end - 1;
    }
}

int spec_runtime_parse(const char *text, size_t length, struct spec_runtime **ret,
                       struct error *err)
{
    CLEANUP_FREE char *copy = NULL;
    CLEANUP_JSON json_t *json = NULL;
    int r;

    if (length > JSON_DOCUMENT_MAX)
        return error_set_class(err, ERROR_TOO_LARGE,
                               "runtime configuration is larger than %d bytes", JSON_DOCUMENT_MAX);
    copy = malloc(length + 1);
    if (!copy)
        return error_oom(err);
    memcpy(copy, text, length);
    copy[length] = '\0';
    fold_numbers(copy, length);
    r = json_parse(copy, length, &json, err);
    if (r < 0)
        return r;
    return spec_runtime_from_json(json, ret, err);
}
