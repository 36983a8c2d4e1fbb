/* The runtime configuration as JSON. */
#include <errno.h>
#include <sys/personality.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/strings.h"
#include "spec/reader.h"
#include "spec/runtime.h"

static json_t *mount_to_json(const struct spec_mount *mount)
{
    CLEANUP_JSON json_t *json = json_object();

    if (json_put_string(json, "destination", mount->destination) < 0 ||
        json_put_string(json, "type", mount->type) < 0 ||
        json_put_string(json, "source", mount->source) < 0 ||
        json_put_strv(json, "options", mount->options) < 0)
        return NULL;
    return TAKE_PTR(json);
}

static json_t *hook_to_json(const struct spec_hook *hook)
{
    CLEANUP_JSON json_t *json = json_object();

    if (json_put_string(json, "path", hook->path) < 0 ||
        json_put_strv(json, "args", hook->args) < 0 || json_put_strv(json, "env", hook->env) < 0 ||
        (hook->timeout && json_put_i64(json, "timeout", hook->timeout) < 0))
        return NULL;
    return TAKE_PTR(json);
}

static int put_hooks(json_t *json, const struct spec_runtime *config)
{
    CLEANUP_JSON json_t *object = json_object();

    for (int i = 0; i < SPEC_HOOK_MAX; i++) {
        const struct spec_hooks *hooks = &config->hooks[i];
        CLEANUP_JSON json_t *array = json_array();

        for (size_t k = 0; k < hooks->n_hooks; k++)
            if (json_array_append_new(array, hook_to_json(&hooks->hooks[k])) < 0)
                return -ENOMEM;
        if (spec_put_list(object, spec_hook_stage_to_string((enum spec_hook_stage)i),
                          TAKE_PTR(array)) < 0)
            return -ENOMEM;
    }
    return json_object_size(object) > 0 ? json_put(json, "hooks", TAKE_PTR(object)) : 0;
}

static int put_mounts(json_t *json, const struct spec_runtime *config)
{
    CLEANUP_JSON json_t *array = json_array();

    for (size_t i = 0; i < config->n_mounts; i++)
        if (json_array_append_new(array, mount_to_json(&config->mounts[i])) < 0)
            return -ENOMEM;
    return spec_put_list(json, "mounts", TAKE_PTR(array));
}

static int put_namespaces(json_t *json, const struct spec_linux *part)
{
    CLEANUP_JSON json_t *array = json_array();

    for (int i = 0; i < SPEC_NAMESPACE_MAX; i++) {
        const struct spec_namespace *namespace = &part->namespaces[i];
        json_t *item;

        if (!namespace->wanted)
            continue;
        item = json_pack("{s:s}", "type", spec_namespace_to_string((enum spec_namespace_type)i));
        if (json_array_append_new(array, item) < 0 ||
            json_put_string(item, "path", namespace->path) < 0)
            return -ENOMEM;
    }
    return spec_put_list(json, "namespaces", TAKE_PTR(array));
}

static int put_mappings(json_t *json, const char *name, const struct spec_id_mapping *mappings,
                        size_t n)
{
    CLEANUP_JSON json_t *array = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *item = json_pack(
            "{s:I, s:I, s:I}", "containerID", (json_int_t)mappings[i].container_id, "hostID",
            (json_int_t)mappings[i].host_id, "size", (json_int_t)mappings[i].size);

        if (json_array_append_new(array, item) < 0)
            return -ENOMEM;
    }
    return spec_put_list(json, name, TAKE_PTR(array));
}

static int put_devices(json_t *json, const struct spec_linux *part)
{
    CLEANUP_JSON json_t *array = json_array();

    for (size_t i = 0; i < part->n_devices; i++) {
        const struct spec_device *device = &part->devices[i];
        char type[2] = {device->type, '\0'};
        json_t *item =
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "type", type, "path", device->path, "major",
                      (json_int_t)device->major, "minor", (json_int_t)device->minor, "uid",
                      (json_int_t)device->uid, "gid", (json_int_t)device->gid);

        if (json_array_append_new(array, item) < 0 ||
            (device->has_file_mode && json_put_i64(item, "fileMode", device->file_mode) < 0))
            return -ENOMEM;
    }
    return spec_put_list(json, "devices", TAKE_PTR(array));
}

static int put_resources(json_t *json, const struct spec_linux *part)
{
    json_t *object = spec_resources_to_json(&part->resources);

    if (!object)
        return -ENOMEM;
    if (json_object_size(object) == 0) {
        json_decref(object);
        return 0;
    }
    return json_put(json, "resources", object);
}

static int put_personality(json_t *json, const struct spec_linux *part)
{
    if (!part->has_personality)
        return 0;
    return json_put(
        json, "personality",
        json_pack("{s:s}", "domain", part->personality == PER_LINUX32 ? "LINUX32" : "LINUX"));
}

static json_t *linux_to_json(const struct spec_linux *part)
{
    CLEANUP_JSON json_t *json = json_object();

    if (put_namespaces(json, part) < 0 ||
        put_mappings(json, "uidMappings", part->uid_mappings, part->n_uid_mappings) < 0 ||
        put_mappings(json, "gidMappings", part->gid_mappings, part->n_gid_mappings) < 0 ||
        put_devices(json, part) < 0 ||
        json_put_string(json, "cgroupsPath", part->cgroups_path) < 0 ||
        put_resources(json, part) < 0 ||
        json_put_string(json, "rootfsPropagation", part->rootfs_propagation) < 0 ||
        (part->seccomp && json_put(json, "seccomp", spec_seccomp_to_json(part->seccomp)) < 0) ||
        spec_put_map(json, "sysctl", part->sysctl) < 0 ||
        json_put_strv(json, "maskedPaths", part->masked_paths) < 0 ||
        json_put_strv(json, "readonlyPaths", part->readonly_paths) < 0 ||
        json_put_string(json, "mountLabel", part->mount_label) < 0 ||
        put_personality(json, part) < 0)
        return NULL;
    return TAKE_PTR(json);
}

static int put_root(json_t *json, const struct spec_runtime *config)
{
    json_t *root;

    if (!config->root_path && !config->root_readonly)
        return 0;
    root = json_object();
    if (json_put(json, "root", root) < 0 || json_put_string(root, "path", config->root_path) < 0 ||
        (config->root_readonly && json_put_bool(root, "readonly", true) < 0))
        return -ENOMEM;
    return 0;
}

json_t *spec_runtime_to_json(const struct spec_runtime *config)
{
    CLEANUP_JSON json_t *json = json_object();

    if (json_put_string(json, "ociVersion", config->oci_version) < 0 ||
        json_put(json, "process", spec_process_to_json(config->process)) < 0 ||
        put_root(json, config) < 0 || json_put_string(json, "hostname", config->hostname) < 0 ||
        json_put_string(json, "domainname", config->domainname) < 0 ||
        put_mounts(json, config) < 0 || put_hooks(json, config) < 0 ||
        spec_put_map(json, "annotations", config->annotations) < 0 ||
        json_put(json, "linux", linux_to_json(&config->linux_)) < 0)
        return NULL;
    return TAKE_PTR(json);
}
