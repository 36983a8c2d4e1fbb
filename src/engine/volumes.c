/* Volumes as the API has them: list, inspect, create, remove, prune. */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/private.h"
#include "engine/volume.h"

#define ANONYMOUS_LABEL "com.docker.volume.anonymous"

/* Whole seconds, as docker shows them. */
static const char *format_created(int64_t when, char text[TIMESTAMP_TEXT_MAX])
{
    (void)timestamp_format(when - when % 1000000000, text);
    char *dot = strchr(text, '.');
    if (dot)
        string_copy(dot, 2, "Z");
    return text;
}

static json_t *copy_or_null(const json_t *json)
{
    return json ? json_deep_copy(json) : json_null();
}

static json_t *volume_json(const struct engine *engine, const struct volume *volume)
{
    char created[TIMESTAMP_TEXT_MAX];
    CLEANUP_FREE char *path = volume_path(engine, volume->name);
    return path ? json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:s}", "CreatedAt",
                            format_created(volume->created, created), "Driver", "local", "Labels",
                            copy_or_null(volume->labels), "Mountpoint", path, "Name", volume->name,
                            "Options", copy_or_null(volume->options), "Scope", "local")
                : NULL;
}

int engine_volume_inspect(struct engine *engine, const char *name, json_t **ret, struct error *err)
{
    struct volume *volume = NULL;
    int r = volume_acquire(engine, name, &volume, err);
    if (r < 0)
        return r;
    json_t *json = volume_json(engine, volume);
    volume_put(engine, volume);
    if (!json)
        return error_oom(err);
    *ret = json;
    return 0;
}

int engine_volume_create(struct engine *engine, const json_t *body, json_t **ret, struct error *err)
{
    const char *name = "";
    const char *driver = "";
    json_t *labels = NULL;
    json_t *options = NULL;
    struct volume *volume = NULL;
    int r;
    if ((r = json_get_string(body, "Name", &name, err)) < 0 ||
        (r = json_get_string(body, "Driver", &driver, err)) < 0 ||
        (r = json_get_object(body, "Labels", &labels, err)) < 0 ||
        (r = json_get_object(body, "DriverOpts", &options, err)) < 0)
        return r;
    if (*driver && !string_equal(driver, "local"))
        return error_set_class(err, ERROR_NOT_FOUND,
                               "create %s: error looking up volume plugin %s: plugin \"%s\" not "
                               "found",
                               name, driver, driver);
    const struct volume_spec spec = {.name = name, .labels = labels, .options = options};
    r = volume_make(engine, &spec, &volume, err);
    if (r < 0)
        return r;
    json_t *json = volume_json(engine, volume);
    volume_put(engine, volume);
    if (!json)
        return error_oom(err);
    *ret = json;
    return 0;
}

int engine_volume_remove(struct engine *engine, const char *name, bool force, struct error *err)
{
    struct volume *volume = NULL;
    struct error failure = ERROR_INIT;
    int r = volume_acquire(engine, name, &volume, &failure);
    if (r == 0)
        return volume_remove(engine, volume, err);
    return force && failure.class == ERROR_NOT_FOUND ? 0 : error_copy(err, &failure);
}

/* --- which ones --- */

struct collection {
    struct engine *engine;
    json_t *list;
};

static int collect(const struct volume *volume, void *data)
{
    const struct collection *collection = data;
    return json_array_append_new(collection->list, volume_json(collection->engine, volume));
}

static int list_all(struct engine *engine, json_t **ret, struct error *err)
{
    CLEANUP_JSON json_t *list = json_array();
    struct collection collection = {.engine = engine, .list = list};
    if (!list || volume_table_each(engine, collect, &collection) < 0)
        return error_oom(err);
    *ret = TAKE_PTR(list);
    return 0;
}

static const char *name_of(const json_t *volume)
{
    return string_or(json_string_value(json_object_get(volume, "Name")), "");
}

static int count_refs(struct engine *engine, const json_t *volume, size_t *ret, struct error *err)
{
    CLEANUP_STRV char **ids = NULL;
    int r = container_volume_refs(engine, name_of(volume), &ids, err);
    if (r == 0)
        *ret = strv_length(ids);
    return r;
}

/* One value of true or false. 1: given. */
static int bool_filter(const json_t *filters, const char *name, bool *ret, struct error *err)
{
    CLEANUP_STRV char **values = NULL;
    int r = filter_values(filters, name, &values, err);
    if (r < 0 || !values || !values[0])
        return r;
    bool on = string_equal(values[0], "true") || string_equal(values[0], "1");
    bool off = string_equal(values[0], "false") || string_equal(values[0], "0");
    if (values[1] || (!on && !off))
        return error_set_class(err, ERROR_INVALID, "invalid filter '%s=%s'", name, values[0]);
    *ret = on;
    return 1;
}

static bool name_matches(const json_t *filters, const char *name)
{
    CLEANUP_STRV char **values = NULL;
    if (filter_values(filters, "name", &values, NULL) < 0)
        return false;
    bool fits = values == NULL;
    for (char **value = values; value && *value; value++)
        fits = fits || strstr(name, *value);
    return fits;
}

int engine_volume_list(struct engine *engine, const json_t *filters, json_t **ret,
                       struct error *err)
{
    static const char *const known[] = {"dangling", "driver", "label", "name", NULL};
    CLEANUP_JSON json_t *all = NULL;
    CLEANUP_JSON json_t *list = json_array();
    bool dangling = false;
    size_t i;
    json_t *volume;
    int r = filter_check_names(filters, known, err);
    if (r < 0 || (r = list_all(engine, &all, err)) < 0)
        return r;
    int by_use = bool_filter(filters, "dangling", &dangling, err);
    if (by_use < 0)
        return by_use;
    json_array_foreach (all, i, volume) {
        size_t refs = 0;
        if (!name_matches(filters, name_of(volume)) || !filter_match(filters, "driver", "local") ||
            !filter_match_labels(filters, "label", json_object_get(volume, "Labels")))
            continue;
        if (by_use && (r = count_refs(engine, volume, &refs, err)) < 0)
            return r;
        if (by_use && dangling != (refs == 0))
            continue;
        if (json_array_append(list, volume) < 0)
            return error_oom(err);
    }
    *ret = json_pack("{s:O, s:n}", "Volumes", list, "Warnings");
    return *ret ? 0 : error_oom(err);
}

int engine_volume_usage(struct engine *engine, json_t **ret, struct error *err)
{
    CLEANUP_JSON json_t *list = NULL;
    size_t i;
    json_t *volume;
    int r = list_all(engine, &list, err);
    if (r < 0)
        return r;
    json_array_foreach (list, i, volume) {
        size_t refs = 0;
        const char *path = json_string_value(json_object_get(volume, "Mountpoint"));
        bool plain = json_is_null(json_object_get(volume, "Options"));
        if ((r = count_refs(engine, volume, &refs, err)) < 0)
            return r;
        int64_t size = plain ? engine_tree_size(path) : -1; /* -1: not to be had */
        if (json_put(volume, "UsageData",
                     json_pack("{s:I, s:I}", "RefCount", (json_int_t)refs, "Size",
                               (json_int_t)size)) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

/* --- prune --- */

static bool is_unwanted(const json_t *filters, const json_t *labels)
{
    CLEANUP_STRV char **kept = NULL;
    if (filter_values(filters, "label!", &kept, NULL) < 0)
        return true;
    for (char **label = kept; label && *label; label++) {
        CLEANUP_JSON json_t *one = json_pack("{s:[s]}", "label", *label);
        if (!one || filter_match_labels(one, "label", labels))
            return true;
    }
    return false;
}

/* Bytes that were freed; a negative number when it stays. */
static int64_t prune_one(struct engine *engine, const json_t *volume)
{
    struct volume *taken = NULL;
    size_t refs = 1;
    if (count_refs(engine, volume, &refs, NULL) < 0 || refs > 0)
        return -1;
    const char *path = json_string_value(json_object_get(volume, "Mountpoint"));
    bool plain = json_is_null(json_object_get(volume, "Options"));
    int64_t size = plain ? engine_tree_size(path) : 0;
    if (volume_acquire(engine, name_of(volume), &taken, NULL) < 0 ||
        volume_remove(engine, taken, NULL) < 0)
        return -1;
    return size;
}

int engine_volume_prune(struct engine *engine, const json_t *filters, bool named, json_t **ret,
                        struct error *err)
{
    static const char *const known[] = {"all", "label", "label!", NULL};
    CLEANUP_JSON json_t *all = NULL;
    CLEANUP_JSON json_t *deleted = json_array();
    int64_t space = 0;
    size_t i;
    json_t *volume;
    int r;
    if ((r = filter_check_names(filters, known, err)) < 0 ||
        (r = bool_filter(filters, "all", &named, err)) < 0 || (r = list_all(engine, &all, err)) < 0)
        return r;
    json_array_foreach (all, i, volume) {
        const json_t *labels = json_object_get(volume, "Labels");
        if ((!named && !json_object_get(labels, ANONYMOUS_LABEL)) ||
            !filter_match_labels(filters, "label", labels) || is_unwanted(filters, labels))
            continue;
        int64_t size = prune_one(engine, volume);
        if (size < 0)
            continue;
        if (__builtin_add_overflow(space, size, &space))
            space = INT64_MAX;
        if (json_array_append(deleted, json_object_get(volume, "Name")) < 0)
            return error_oom(err);
    }
    json_t *report =
        json_pack("{s:O, s:I}", "VolumesDeleted", deleted, "SpaceReclaimed", (json_int_t)space);
    if (!report)
        return error_oom(err);
    engine_emit(engine, "volume", "prune", "",
                json_pack("{s:o}", "reclaimed", json_sprintf("%lld", (long long)space)));
    *ret = report;
    return 0;
}
