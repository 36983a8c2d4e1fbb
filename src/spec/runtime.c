/* Names, memory and builders of the runtime configuration. */
#include "spec/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strings.h"
#include "spec/reader.h"

#define OCI_VERSION "1.2.0"

static const char *const namespaces[] = {
    [SPEC_NAMESPACE_PID] = "pid",       [SPEC_NAMESPACE_NETWORK] = "network",
    [SPEC_NAMESPACE_MOUNT] = "mount",   [SPEC_NAMESPACE_IPC] = "ipc",
    [SPEC_NAMESPACE_UTS] = "uts",       [SPEC_NAMESPACE_USER] = "user",
    [SPEC_NAMESPACE_CGROUP] = "cgroup", [SPEC_NAMESPACE_TIME] = "time",
};
_Static_assert(sizeof(namespaces) / sizeof(namespaces[0]) == SPEC_NAMESPACE_MAX,
               "a namespace lacks its name");

static const char *const stages[] = {
    [SPEC_HOOK_PRESTART] = "prestart",
    [SPEC_HOOK_CREATE_RUNTIME] = "createRuntime",
    [SPEC_HOOK_CREATE_CONTAINER] = "createContainer",
    [SPEC_HOOK_START_CONTAINER] = "startContainer",
    [SPEC_HOOK_POSTSTART] = "poststart",
    [SPEC_HOOK_POSTSTOP] = "poststop",
};
_Static_assert(sizeof(stages) / sizeof(stages[0]) == SPEC_HOOK_MAX, "a stage lacks its name");

const char *spec_namespace_to_string(enum spec_namespace_type type)
{
    return namespaces[type];
}

int spec_namespace_from_string(const char *text)
{
    for (int i = 0; i < SPEC_NAMESPACE_MAX; i++)
        if (string_equal(text, namespaces[i]))
            return i;
    return -EINVAL;
}

const char *spec_hook_stage_to_string(enum spec_hook_stage stage)
{
    return stages[stage];
}

int spec_hook_stage_from_string(const char *text)
{
    for (int i = 0; i < SPEC_HOOK_MAX; i++)
        if (string_equal(text, stages[i]))
            return i;
    return -EINVAL;
}

struct spec_runtime *spec_runtime_new(void)
{
    struct spec_runtime *config = calloc(1, sizeof(*config));

    if (!config)
        return NULL;
    config->oci_version = strdup(OCI_VERSION);
    config->process = spec_process_new();
    if (!config->oci_version || !config->process)
        return spec_runtime_free(config);
    return config;
}

static void release_mount(struct spec_mount *mount)
{
    free(mount->destination);
    free(mount->type);
    free(mount->source);
    strv_free(mount->options);
}

static void release_hooks(struct spec_hooks *hooks)
{
    for (size_t i = 0; i < hooks->n_hooks; i++) {
        free(hooks->hooks[i].path);
        strv_free(hooks->hooks[i].args);
        strv_free(hooks->hooks[i].env);
    }
    free(hooks->hooks);
}

static void release_linux(struct spec_linux *part)
{
    for (int i = 0; i < SPEC_NAMESPACE_MAX; i++)
        free(part->namespaces[i].path);
    for (size_t i = 0; i < part->n_devices; i++)
        free(part->devices[i].path);
    free(part->uid_mappings);
    free(part->gid_mappings);
    free(part->devices);
    free(part->cgroups_path);
    spec_resources_release(&part->resources);
    free(part->rootfs_propagation);
    spec_seccomp_free(part->seccomp);
    strv_free(part->sysctl);
    strv_free(part->masked_paths);
    strv_free(part->readonly_paths);
    free(part->mount_label);
}

struct spec_runtime *spec_runtime_free(struct spec_runtime *config)
{
    if (!config)
        return NULL;
    free(config->oci_version);
    spec_process_free(config->process);
    free(config->root_path);
    free(config->hostname);
    free(config->domainname);
    for (size_t i = 0; i < config->n_mounts; i++)
        release_mount(&config->mounts[i]);
    free(config->mounts);
    for (int i = 0; i < SPEC_HOOK_MAX; i++)
        release_hooks(&config->hooks[i]);
    strv_free(config->annotations);
    release_linux(&config->linux_);
    free(config);
    return NULL;
}

void spec_runtime_cleanup(struct spec_runtime **config)
{
    *config = spec_runtime_free(*config);
}

int spec_runtime_add_mount(struct spec_runtime *config, const char *destination, const char *type,
                           const char *source, const char *options)
{
    struct spec_mount mount = {0};
    struct spec_mount *added;
    int r = string_replace(&mount.destination, destination);

    if (r == 0)
        r = string_replace(&mount.type, type);
    if (r == 0)
        r = string_replace(&mount.source, source);
    if (r == 0 && !string_is_empty(options))
        r = strv_split(options, ',', &mount.options);
    if (r == 0 && config->n_mounts >= SPEC_LIST_MAX)
        r = -E2BIG;
    added = r < 0 ? NULL
                  : spec_list_add(&config->mounts, &config->n_mounts, sizeof(mount), SPEC_LIST_MAX);
    if (!added) {
        release_mount(&mount);
        return r < 0 ? r : -ENOMEM;
    }
    *added = mount;
    return 0;
}

struct spec_mount *spec_runtime_find_mount(struct spec_runtime *config, const char *destination)
{
    for (size_t i = 0; i < config->n_mounts; i++)
        if (string_equal(config->mounts[i].destination, destination))
            return &config->mounts[i];
    return NULL;
}

bool spec_runtime_remove_mount(struct spec_runtime *config, const char *destination)
{
    struct spec_mount *mount = spec_runtime_find_mount(config, destination);

    if (!mount)
        return false;
    release_mount(mount);
    config->n_mounts--;
    memmove(mount, mount + 1, (size_t)(config->mounts + config->n_mounts - mount) * sizeof(*mount));
    return true;
}

int spec_runtime_set_namespace(struct spec_runtime *config, enum spec_namespace_type type,
                               const char *path)
{
    config->linux_.namespaces[type].wanted = true;
    return string_replace(&config->linux_.namespaces[type].path, path);
}

int spec_runtime_add_device(struct spec_runtime *config, char type, const char *path, int64_t major,
                            int64_t minor, uint32_t file_mode, uint32_t uid, uint32_t gid)
{
    struct spec_linux *part = &config->linux_;
    struct spec_device *device;
    char *copy;

    if (part->n_devices >= SPEC_LIST_MAX)
        return -E2BIG;
    copy = strdup(path);
    device = copy ? spec_list_add(&part->devices, &part->n_devices, sizeof(*device), SPEC_LIST_MAX)
                  : NULL;
    if (!device) {
        free(copy);
        return -ENOMEM;
    }
    *device = (struct spec_device){
        .type = type,
        .path = copy,
        .major = major,
        .minor = minor,
        .has_file_mode = true,
        .file_mode = file_mode,
        .uid = uid,
        .gid = gid,
    };
    return 0;
}

static int add_mapping(struct spec_id_mapping **mappings, size_t *n, uint32_t container_id,
                       uint32_t host_id, uint32_t size)
{
    struct spec_id_mapping *mapping;

    if (*n >= SPEC_MAPPINGS_MAX)
        return -E2BIG;
    mapping = spec_list_add(mappings, n, sizeof(*mapping), SPEC_MAPPINGS_MAX);
    if (!mapping)
        return -ENOMEM;
    mapping->container_id = container_id;
    mapping->host_id = host_id;
    mapping->size = size;
    return 0;
}

int spec_runtime_add_uid_mapping(struct spec_runtime *config, uint32_t container_id,
                                 uint32_t host_id, uint32_t size)
{
    return add_mapping(&config->linux_.uid_mappings, &config->linux_.n_uid_mappings, container_id,
                       host_id, size);
}

int spec_runtime_add_gid_mapping(struct spec_runtime *config, uint32_t container_id,
                                 uint32_t host_id, uint32_t size)
{
    return add_mapping(&config->linux_.gid_mappings, &config->linux_.n_gid_mappings, container_id,
                       host_id, size);
}

const char *spec_runtime_annotation(const struct spec_runtime *config, const char *name)
{
    return strv_env_get(config->annotations, name);
}

bool spec_runtime_annotation_is_true(const struct spec_runtime *config, const char *name)
{
    return string_equal(spec_runtime_annotation(config, name), "true");
}

int spec_runtime_set_annotation(struct spec_runtime *config, const char *name, const char *value)
{
    CLEANUP_FREE char *assignment = string_format("%s=%s", name, value);

    return assignment ? strv_env_set(&config->annotations, assignment) : -ENOMEM;
}
