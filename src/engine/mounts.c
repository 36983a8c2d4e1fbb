/* What is mounted into a container besides its root: HostConfig.Binds, Mounts, VolumesFrom, Tmpfs
 * and the image's volumes.
 *
 * At its creation all but Tmpfs becomes the container's list of mount points, which the store keeps
 * and inspect shows: objects of the API's MountPoint with one more member, "hull", for what only
 * the engine needs. A volume without a name gets one there. */
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strings.h"
#include "engine/mount_request.h"
#include "engine/private.h"
#include "engine/shares.h"
#include "engine/volume.h"
#include "spec/runtime.h"

#define OWN "hull" /* the member of a mount point that is not shown */

static const char *text_of(const json_t *object, const char *name)
{
    return string_or(json_string_value(json_object_get(object, name)), "");
}

/* --- a request becomes a mount point --- */

static json_t *own_members(const struct mount_request *request, bool anonymous)
{
    json_t *own = json_pack("{s:s, s:b, s:b, s:b}", "options", request->options, "create",
                            request->create_source, "copy", request->copy, "anonymous", anonymous);
    int r = own ? 0 : -ENOMEM;
    if (r == 0 && request->labels)
        r = json_put(own, "labels", json_deep_copy(request->labels));
    if (r == 0 && request->driver_opts)
        r = json_put(own, "driver_opts", json_deep_copy(request->driver_opts));
    if (r == 0)
        return own;
    json_decref(own);
    return NULL;
}

static int put_volume(const struct engine *engine, json_t *point, const char *name, bool anonymous)
{
    char made_up[ID_LENGTH + 1];
    if (string_is_empty(name)) {
        random_id(made_up);
        name = made_up;
    }
    CLEANUP_FREE char *path = volume_path(engine, name);
    int r = path ? json_put_string(point, "Source", path) : -ENOMEM;
    r = r ?: json_put_string(point, "Name", name);
    r = r ?: json_put_string(point, "Driver", "local");
    /* docker relabels local volumes, and shows that even where there is nothing to relabel. */
    return r < 0 || anonymous || *text_of(point, "Mode") ? r : json_put_string(point, "Mode", "z");
}

static json_t *to_point(const struct engine *engine, const struct mount_request *request,
                        bool from_config)
{
    bool volume = string_equal(request->type, "volume");
    bool anonymous = volume && string_is_empty(request->source);
    CLEANUP_JSON json_t *point = json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:s, s:o}", "Type", request->type, "Source", request->source,
        "Destination", request->target, "Mode", request->mode, "RW", !request->read_only,
        "Propagation", request->propagation, OWN, own_members(request, anonymous));
    if (!point || (volume && put_volume(engine, point, request->source, from_config) < 0))
        return NULL;
    return TAKE_PTR(point);
}

/* --- the list --- */

static size_t find_target(const json_t *points, const char *target)
{
    size_t i = 0;
    while (i < json_array_size(points) &&
           !string_equal(text_of(json_array_get(points, i), "Destination"), target))
        i++;
    return i;
}

static bool has_tmpfs(const struct container *container, const char *target)
{
    const char *name;
    json_t *value;
    json_object_foreach (json_object_get(container->host_config, "Tmpfs"), name, value) {
        CLEANUP_FREE char *normal = path_normalize(name);
        if (string_equal(normal, target))
            return true;
    }
    return false;
}

/* A mount of the user's own takes the place of one that came from another container. */
static int add_own(const struct container *container, const struct mount_request *request,
                   json_t *points, size_t n_from, struct error *err)
{
    size_t i = find_target(points, request->target);
    bool is_own = i < json_array_size(points) && i >= n_from;
    if (is_own || has_tmpfs(container, request->target))
        return error_set_class(err, ERROR_INVALID, "Duplicate mount point: %s", request->target);
    json_t *point = to_point(container->engine, request, false);
    int r = !point                        ? -ENOMEM
            : i < json_array_size(points) ? json_array_set_new(points, i, point)
                                          : json_array_append_new(points, point);
    return r < 0 ? error_oom(err) : 0;
}

static int add_requests(const struct container *container, json_t *points, struct error *err)
{
    CLEANUP_STRV char **binds = NULL;
    json_t *mounts = NULL;
    size_t n_from = json_array_size(points);
    int r;
    if ((r = json_get_strv(container->host_config, "Binds", SPEC_LIST_MAX, &binds, err)) < 0 ||
        (r = json_get_array(container->host_config, "Mounts", &mounts, err)) < 0)
        return r;
    for (char **bind = binds; bind && *bind; bind++) {
        CLEANUP(mount_request_release) struct mount_request request = {0};
        if ((r = mount_request_parse_bind(*bind, &request, err)) < 0 ||
            (r = add_own(container, &request, points, n_from, err)) < 0)
            return r;
    }
    size_t i;
    json_t *mount;
    json_array_foreach (mounts, i, mount) {
        CLEANUP(mount_request_release) struct mount_request request = {0};
        if ((r = mount_request_parse_mount(mount, &request, err)) < 0 ||
            (r = add_own(container, &request, points, n_from, err)) < 0)
            return r;
    }
    return 0;
}

/* --- VolumesFrom --- */

static int add_copy(const json_t *point, bool writable, json_t *points, struct error *err)
{
    json_t *copy = json_deep_copy(point);
    int r = copy ? json_put_bool(json_object_get(copy, OWN), "copy", false) : -ENOMEM;
    if (r == 0 && !writable && json_is_true(json_object_get(point, "RW"))) {
        const char *options = text_of(json_object_get(point, OWN), "options");
        CLEANUP_FREE char *read_only = string_format("%s,ro", options);
        r = read_only ? json_put_string(json_object_get(copy, OWN), "options", read_only) : -ENOMEM;
        r = r ?: json_put_bool(copy, "RW", false);
    }
    size_t i = find_target(points, text_of(point, "Destination"));
    if (r < 0)
        json_decref(copy);
    else if (i < json_array_size(points))
        r = json_array_set_new(points, i, copy);
    else
        r = json_array_append_new(points, copy);
    return r < 0 ? error_oom(err) : 0;
}

static int add_from(const struct container *container, const char *text, json_t *points,
                    struct error *err)
{
    CLEANUP_FREE char *reference = NULL;
    CLEANUP_CONTAINER struct container *other = NULL;
    bool writable = true;
    int r = mount_request_parse_from(text, &reference, &writable, err);
    if (r < 0)
        return r;
    r = engine_container_get(container->engine, reference, &other, err);
    if (r < 0) /* "not found" would have docker's client look for the image */
        return error_classify(err, r, ERROR_INVALID);
    ENGINE_STATE(container->engine);
    size_t i;
    json_t *point;
    json_array_foreach (other->mount_points, i, point)
        if ((r = add_copy(point, writable, points, err)) < 0)
            return r;
    return 0;
}

static int add_all_from(const struct container *container, json_t *points, struct error *err)
{
    CLEANUP_STRV char **list = NULL;
    int r = json_get_strv(container->host_config, "VolumesFrom", SPEC_LIST_MAX, &list, err);
    for (char **from = list; r >= 0 && from && *from; from++)
        r = add_from(container, *from, points, err);
    return r < 0 ? r : 0;
}

/* --- the image's volumes, and -v /path --- */

static int add_anonymous(const struct container *container, json_t *points, struct error *err)
{
    const char *target;
    json_t *value;
    json_object_foreach (json_object_get(container->config, "Volumes"), target, value) {
        CLEANUP(mount_request_release) struct mount_request request = {0};
        int r = mount_request_anonymous(target, &request, err);
        if (r < 0)
            return r;
        if (find_target(points, request.target) < json_array_size(points) ||
            has_tmpfs(container, request.target))
            continue;
        json_t *point = to_point(container->engine, &request, true);
        if (!point || json_array_append_new(points, point) < 0)
            return error_oom(err);
    }
    return 0;
}

/* --- resolution --- */

/* What lies below another mount is mounted after it; all else stays in its order. */
static json_t *sort_points(const json_t *points)
{
    json_t *sorted = json_array();
    size_t left = json_array_size(points);
    for (size_t depth = 1; sorted && left > 0; depth++) {
        size_t i;
        json_t *point;
        json_array_foreach ((json_t *)(uintptr_t)points, i, point) {
            size_t slashes = 0;
            for (const char *c = text_of(point, "Destination"); *c; c++)
                slashes += *c == '/';
            if (slashes != depth)
                continue;
            left--;
            if (json_array_append(sorted, point) < 0) {
                json_decref(sorted);
                return NULL;
            }
        }
    }
    return sorted;
}

static int check_driver(const struct container *container, struct error *err)
{
    const char *driver = "";
    int r = json_get_string(container->host_config, "VolumeDriver", &driver, err);
    if (r < 0 || !*driver || string_equal(driver, "local"))
        return r < 0 ? r : 0;
    return error_set_class(err, ERROR_INVALID,
                           "error looking up volume plugin %s: plugin \"%s\" not found", driver,
                           driver);
}

static int set_points(struct container *container, const json_t *points, struct error *err)
{
    json_t *sorted = sort_points(points);
    if (!sorted)
        return error_oom(err);
    json_decref(container->mount_points);
    container->mount_points = sorted;
    return 0;
}

int engine_mounts_resolve(struct container *container, struct error *err)
{
    CLEANUP_JSON json_t *points = json_array();
    int r = points ? check_driver(container, err) : error_oom(err);
    if (r < 0 || (r = add_all_from(container, points, err)) < 0 ||
        (r = add_requests(container, points, err)) < 0)
        return r;
    if ((r = add_anonymous(container, points, err)) == 0)
        r = engine_shares_check(container, points, err);
    return r < 0 ? r : set_points(container, points, err);
}

int engine_mounts_check(const struct container *container, struct error *err)
{
    return engine_shares_check(container, container->mount_points, err);
}

int engine_mounts_restore(struct container *container, struct error *err)
{
    CLEANUP_JSON json_t *points = json_array();
    int r = points ? add_requests(container, points, err) : error_oom(err);
    return r < 0 ? r : set_points(container, points, err);
}

/* --- the runtime configuration --- */

static int add_point(struct spec_runtime *config, const json_t *point, struct error *err)
{
    const json_t *own = json_object_get(point, OWN);
    const char *type = text_of(point, "Type");
    const char *source = text_of(point, "Source");
    const char *target = text_of(point, "Destination");
    bool tmpfs = string_equal(type, "tmpfs");
    struct stat status;
    if (json_is_true(json_object_get(own, "create")) && stat(source, &status) < 0) {
        int r = path_make_dirs(source, 0755, err);
        if (r < 0)
            return error_wrap(err, r, "error while creating mount source path '%s'", source);
    }
    (void)spec_runtime_remove_mount(config, target);
    return spec_runtime_add_mount(config, target, tmpfs ? "tmpfs" : "bind",
                                  tmpfs ? "tmpfs" : source, text_of(own, "options")) < 0
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
    json_t *tmpfs = NULL;
    size_t i;
    json_t *point;
    int r = json_get_object(container->host_config, "Tmpfs", &tmpfs, err);
    if (r < 0 || (r = add_tmpfs(config, tmpfs, err)) < 0)
        return r;
    json_array_foreach (container->mount_points, i, point)
        if ((r = add_point(config, point, err)) < 0)
            return r;
    return 0;
}

/* --- inspect --- */

json_t *engine_mounts_to_json(const struct container *container)
{
    CLEANUP_JSON json_t *list =
        container->mount_points ? json_deep_copy(container->mount_points) : json_array();
    size_t i;
    json_t *point;
    json_array_foreach (list, i, point)
        (void)json_object_del(point, OWN);
    return TAKE_PTR(list);
}
