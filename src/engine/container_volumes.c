/* The volumes of one container: made, filled, mounted for a run, removed. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"
#include "engine/private.h"
#include "engine/volume.h"
#include "image/image.h"
#include "sandbox/root.h"
#include "sandbox/sandbox.h"

static const json_t *own(const json_t *point)
{
    return json_object_get(point, "hull");
}

static bool is_volume(const json_t *point)
{
    return string_equal(json_string_value(json_object_get(point, "Type")), "volume");
}

static const char *name_of(const json_t *point)
{
    return string_or(json_string_value(json_object_get(point, "Name")), "");
}

static const char *target_of(const json_t *point)
{
    return string_or(json_string_value(json_object_get(point, "Destination")), "/");
}

static bool waits_for_copy(const json_t *point)
{
    return is_volume(point) && json_is_true(json_object_get(own(point), "copy"));
}

int container_volume_refs(struct engine *engine, const char *name, char ***ret, struct error *err)
{
    CLEANUP_STRV char **ids = NULL;
    ENGINE_STATE(engine);
    LIST_FOR_EACH (container, &engine->containers, struct container, node) {
        size_t i;
        json_t *point;
        bool uses = false;
        json_array_foreach (container->mount_points, i, point)
            uses = uses || (is_volume(point) && string_equal(name_of(point), name));
        if (uses && strv_append(&ids, container->id) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(ids);
    return 0;
}

static int make_one(struct container *container, const json_t *point, struct volume **ret,
                    struct error *err)
{
    const struct volume_spec spec = {
        .name = name_of(point),
        .labels = json_object_get(own(point), "labels"),
        .options = json_object_get(own(point), "driver_opts"),
        .anonymous = json_is_true(json_object_get(own(point), "anonymous")),
    };
    return volume_make(container->engine, &spec, ret, err);
}

/* --- the image's content --- */

static int is_empty(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_DIR DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *entry;
    if (!directory)
        return -errno;
    while ((entry = readdir(directory)))
        if (!string_equal(entry->d_name, ".") && !string_equal(entry->d_name, ".."))
            return 0;
    return 1;
}

/* The store says that it is being filled before the first file is there. */
static int fill_empty(struct container *container, struct volume *volume, int root_fd,
                      const char *target, int fd, struct error *err)
{
    struct engine *engine = container->engine;
    int r = string_replace(&volume->filler, container->id) < 0 ? error_oom(err) : 0;
    if (r == 0)
        r = volume_save(engine, volume, err);
    if (r < 0)
        return r;
    r = volume_copy(root_fd, target, fd, err);
    free(TAKE_PTR(volume->filler));
    int saved = volume_save(engine, volume, r < 0 ? NULL : err);
    return r < 0 ? r : saved;
}

static int fill_volume(struct container *container, struct volume *volume, int root_fd,
                       const char *target, struct error *err)
{
    CLEANUP_FREE char *path = volume_path(container->engine, volume->name);
    int r = path ? volume_use(container->engine, volume, err) : error_oom(err);
    if (r < 0)
        return r;
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    r = fd < 0 ? -errno : is_empty(fd);
    if (r < 0)
        r = error_set_errno(err, r, "volume %s", volume->name);
    else if (r > 0)
        r = fill_empty(container, volume, root_fd, target, fd, err);
    volume_unuse(container->engine, volume);
    return r < 0 ? r : 0;
}

static int fill_points(struct container *container, int root_fd, struct error *err)
{
    size_t i;
    json_t *point;
    json_array_foreach (container->mount_points, i, point) {
        struct volume *volume = NULL;
        if (!waits_for_copy(point))
            continue;
        int r = make_one(container, point, &volume, err);
        if (r < 0)
            return r;
        r = fill_volume(container, volume, root_fd, target_of(point), err);
        volume_put(container->engine, volume);
        if (r < 0)
            return r;
        ENGINE_STATE(container->engine);
        if (json_put_bool(json_object_get(point, "hull"), "copy", false) < 0)
            return error_oom(err);
    }
    return 0;
}

/* The image alone, read-only, where the container's root will be. */
static int fill_from_image(struct container *container, struct error *err)
{
    CLEANUP_STRV char **lower = NULL;
    CLEANUP_FREE char *target = string_format("%s/rootfs", container->directory);
    int r =
        image_hold_layers(container->engine->images, container->id, IMAGE_LAYERS_TREE, &lower, err);
    if (r < 0)
        return r;
    if (!target)
        return error_oom(err);
    if (mkdir(target, 0700) < 0 && errno != EEXIST)
        return error_set_errno(err, -errno, "cannot make '%s'", target);
    const struct sandbox_root root = {.lower = lower, .target = target};
    r = root_mount(&root, err);
    if (r < 0)
        return r;
    {
        CLEANUP_CLOSE int fd = open(target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = fd < 0 ? error_set_errno(err, -errno, "cannot open '%s'", target)
                   : fill_points(container, fd, err);
    }
    int unmounted = root_unmount(&root, false, r < 0 ? NULL : err);
    return r < 0 ? r : unmounted;
}

/* A killed engine's successor takes the mount away because the run was not cleaned up. */
static int fill(struct container *container, struct error *err)
{
    bool cleaned;
    int r;
    {
        ENGINE_STATE(container->engine);
        cleaned = container->cleaned;
        container->cleaned = false;
        r = container_save(container, err);
    }
    if (r == 0)
        r = fill_from_image(container, err);
    ENGINE_STATE(container->engine);
    container->cleaned = cleaned;
    int saved = container_save(container, r < 0 ? NULL : err);
    return r < 0 ? r : saved;
}

/* *ret_copies: one of them waits for the image's content. */
static int make_all(struct container *container, bool *ret_copies, struct error *err)
{
    bool copies = false;
    size_t i;
    json_t *point;
    json_array_foreach (container->mount_points, i, point) {
        struct volume *volume = NULL;
        if (!is_volume(point))
            continue;
        int r = make_one(container, point, &volume, err);
        if (r < 0)
            return r;
        volume_put(container->engine, volume);
        copies = copies || waits_for_copy(point);
    }
    *ret_copies = copies;
    return 0;
}

int container_volumes_make(struct container *container, struct error *err)
{
    bool copies = false;
    int r = make_all(container, &copies, err);
    return r == 0 && copies ? fill(container, err) : r;
}

void container_volumes_recover(struct container *container)
{
    struct error err = ERROR_INIT;
    bool copies;
    if (make_all(container, &copies, &err) < 0)
        log_warning("container %s: %s", container->id, err.message);
}

/* --- runs --- */

static void emit_mount(struct container *container, const json_t *point)
{
    const json_t *propagation = json_object_get(point, "Propagation");
    engine_emit(container->engine, "volume", "mount", name_of(point),
                json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "local", "container",
                          container->id, "destination", target_of(point), "read/write",
                          json_is_true(json_object_get(point, "RW")) ? "true" : "false",
                          "propagation", string_or(json_string_value(propagation), "")));
}

static void unmount_first(struct container *container, size_t n)
{
    struct engine *engine = container->engine;
    for (size_t i = 0; i < n; i++) {
        const json_t *point = json_array_get(container->mount_points, i);
        struct volume *volume = NULL;
        if (!is_volume(point) || volume_acquire(engine, name_of(point), &volume, NULL) < 0)
            continue;
        volume_unuse(engine, volume);
        volume_put(engine, volume);
        engine_emit(engine, "volume", "unmount", name_of(point),
                    json_pack("{s:s, s:s}", "driver", "local", "container", container->id));
    }
}

int container_volumes_mount(struct container *container, struct error *err)
{
    struct engine *engine = container->engine;
    size_t i;
    json_t *point;
    int r = 0;
    if (!container->mount_points) {
        ENGINE_STATE(engine);
        r = engine_mounts_restore(container, err);
    }
    if (r < 0 || (r = container_volumes_make(container, err)) < 0)
        return r;
    json_array_foreach (container->mount_points, i, point) {
        struct volume *volume = NULL;
        if (!is_volume(point))
            continue;
        r = volume_acquire(engine, name_of(point), &volume, err);
        if (r == 0) {
            r = volume_use(engine, volume, err);
            volume_put(engine, volume);
        }
        if (r < 0) {
            unmount_first(container, i);
            return r;
        }
        emit_mount(container, point);
    }
    container->volumes_mounted = true;
    return 0;
}

void container_volumes_unmount(struct container *container)
{
    if (!container->volumes_mounted)
        return;
    container->volumes_mounted = false;
    unmount_first(container, json_array_size(container->mount_points));
}

void container_volumes_adopt(struct container *container)
{
    size_t i;
    json_t *point;
    container->volumes_mounted = true;
    json_array_foreach (container->mount_points, i, point) {
        struct volume *volume = NULL;
        if (!is_volume(point) ||
            volume_acquire(container->engine, name_of(point), &volume, NULL) < 0)
            continue;
        if (volume->options)
            volume->users++;
        volume_put(container->engine, volume);
    }
}

void container_volumes_remove(struct container *container)
{
    size_t i;
    json_t *point;
    json_array_foreach (container->mount_points, i, point) {
        struct volume *volume = NULL;
        struct error err = ERROR_INIT;
        if (!is_volume(point) || !json_is_true(json_object_get(own(point), "anonymous")) ||
            volume_acquire(container->engine, name_of(point), &volume, NULL) < 0)
            continue;
        if (volume_remove(container->engine, volume, &err) < 0 && err.class != ERROR_CONFLICT)
            log_warning("%s", err.message);
    }
}
