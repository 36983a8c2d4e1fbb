/* --mount type=bind,source=/a,target=/b,... (docker, cli/opts/mount.go). */
#include "cli/container-config.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum mount_value { VALUE_TEXT, VALUE_FLAG, VALUE_MAP, VALUE_SIZE, VALUE_MODE };

/* Where the keys of an option go in the API's Mount object. */
static const struct {
    const char *key;
    enum mount_value value;
    const char *group; /* NULL: the object itself */
    const char *member;
} keys[] = {
    {"type", VALUE_TEXT, NULL, "Type"},
    {"source", VALUE_TEXT, NULL, "Source"},
    {"src", VALUE_TEXT, NULL, "Source"},
    {"target", VALUE_TEXT, NULL, "Target"},
    {"dst", VALUE_TEXT, NULL, "Target"},
    {"destination", VALUE_TEXT, NULL, "Target"},
    {"consistency", VALUE_TEXT, NULL, "Consistency"},
    {"readonly", VALUE_FLAG, NULL, "ReadOnly"},
    {"ro", VALUE_FLAG, NULL, "ReadOnly"},
    {"bind-propagation", VALUE_TEXT, "BindOptions", "Propagation"},
    {"bind-nonrecursive", VALUE_FLAG, "BindOptions", "NonRecursive"},
    {"bind-create-src", VALUE_FLAG, "BindOptions", "CreateMountpoint"},
    {"volume-nocopy", VALUE_FLAG, "VolumeOptions", "NoCopy"},
    {"volume-subpath", VALUE_TEXT, "VolumeOptions", "Subpath"},
    {"volume-label", VALUE_MAP, "VolumeOptions", "Labels"},
    {"volume-driver", VALUE_TEXT, "VolumeOptions", "Name"},
    {"volume-opt", VALUE_MAP, "VolumeOptions", "Options"},
    {"tmpfs-size", VALUE_SIZE, "TmpfsOptions", "SizeBytes"},
    {"tmpfs-mode", VALUE_MODE, "TmpfsOptions", "Mode"},
};

enum { KEYS = sizeof(keys) / sizeof(keys[0]) };

static size_t find_key(const char *name)
{
    size_t i = 0;

    while (i < KEYS && !string_equal_nocase(keys[i].key, name))
        i++;
    return i;
}

/* The driver and its options are one level further down. */
static json_t *place_of(json_t *mount, size_t key)
{
    json_t *group = keys[key].group ? container_config_object(mount, keys[key].group) : mount;

    if (string_equal(keys[key].member, "Name") || string_equal(keys[key].member, "Options"))
        return container_config_object(group, "DriverConfig");
    return group;
}

static int put_flag(json_t *place, size_t key, const char *value, struct error *err)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True", NULL};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False", NULL};
    bool on = !value;
    bool known = on;

    for (size_t i = 0; value && yes[i]; i++) {
        on = on || string_equal(yes[i], value);
        known = known || on || string_equal(no[i], value);
    }
    if (!known)
        return error_set_class(err, ERROR_INVALID, "invalid value for %s: %s", keys[key].key,
                               value);
    return json_put_bool(place, keys[key].member, on) < 0 ? error_oom(err) : 0;
}

static int put_number(json_t *place, size_t key, const char *value, struct error *err)
{
    uint64_t number = 0;
    char *end = NULL;

    if (keys[key].value == VALUE_SIZE) {
        if (string_to_size(value, &number) < 0 || number > INT64_MAX)
            return error_set_class(err, ERROR_INVALID, "invalid value for %s: %s", keys[key].key,
                                   value);
    } else {
        number = strtoul(value, &end, 8);
        if (!isdigit((unsigned char)*value) || *end || number > 07777)
            return error_set_class(err, ERROR_INVALID, "invalid value for %s: %s", keys[key].key,
                                   value);
    }
    return json_put_i64(place, keys[key].member, (int64_t)number) < 0 ? error_oom(err) : 0;
}

static int put_pair(json_t *place, size_t key, const char *value, struct error *err)
{
    const char *equals = strchr(value, '=');
    CLEANUP_FREE char *name = strndup(value, strcspn(value, "="));
    json_t *map = container_config_object(place, keys[key].member);

    if (!name || !map || json_put_string(map, name, equals ? equals + 1 : "") < 0)
        return error_oom(err);
    return 0;
}

static int put_field(json_t *mount, const char *field, struct error *err)
{
    const char *equals = strchr(field, '=');
    CLEANUP_FREE char *name = strndup(field, strcspn(field, "="));
    size_t key = name ? find_key(name) : 0;
    json_t *place = NULL;

    if (!name)
        return error_oom(err);
    if (!equals && (key == KEYS || keys[key].value != VALUE_FLAG))
        return error_set_class(err, ERROR_INVALID, "invalid field '%s' must be a key=value pair",
                               field);
    if (key == KEYS)
        return error_set_class(err, ERROR_INVALID, "unexpected key '%s' in '%s'", name, field);
    place = place_of(mount, key);
    if (!place)
        return error_oom(err);
    switch (keys[key].value) {
    case VALUE_FLAG:
        return put_flag(place, key, equals ? equals + 1 : NULL, err);
    case VALUE_MAP:
        return put_pair(place, key, equals + 1, err);
    case VALUE_SIZE:
    case VALUE_MODE:
        return put_number(place, key, equals + 1, err);
    case VALUE_TEXT:
        break;
    }
    return json_put_string(place, keys[key].member, equals + 1) < 0 ? error_oom(err) : 0;
}

static int check_groups(const json_t *mount, const char *type, struct error *err)
{
    static const struct {
        const char *type;
        const char *group;
    } groups[] = {{"bind", "BindOptions"}, {"volume", "VolumeOptions"}, {"tmpfs", "TmpfsOptions"}};

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (json_object_get(mount, groups[i].group) && !string_equal(type, groups[i].type))
            return error_set_class(err, ERROR_INVALID,
                                   "cannot mix '%s-*' options with mount type '%s'", groups[i].type,
                                   type);
    return 0;
}

/* "./here" is below our working directory, not the engine's. */
static int make_absolute(json_t *mount, const char *type, struct error *err)
{
    const char *source = json_string_value(json_object_get(mount, "Source"));
    char directory[PATH_MAX];
    CLEANUP_FREE char *joined = NULL;
    CLEANUP_FREE char *absolute = NULL;

    if (!string_equal(type, "bind") || !source || source[0] != '.')
        return 0;
    if (!getcwd(directory, sizeof(directory)))
        return error_set_errno(err, -errno, "cannot find the working directory");
    joined = path_join(directory, source);
    absolute = joined ? path_normalize(joined) : NULL;
    return absolute && json_put_string(mount, "Source", absolute) == 0 ? 0 : error_oom(err);
}

static int parse(const char *text, json_t *mount, struct error *err)
{
    CLEANUP_STRV char **fields = NULL;
    const char *type = NULL;
    int r = 0;

    if (!mount || json_put_string(mount, "Type", "volume") < 0 ||
        strv_split(text, ',', &fields) < 0)
        return error_oom(err);
    for (char **field = fields; r == 0 && *field; field++)
        r = put_field(mount, *field, err);
    if (r < 0)
        return r;
    type = json_string_value(json_object_get(mount, "Type"));
    if (string_is_empty(type))
        return error_set_class(err, ERROR_INVALID, "type is required");
    if (string_is_empty(json_string_value(json_object_get(mount, "Target"))))
        return error_set_class(err, ERROR_INVALID, "target is required");
    r = check_groups(mount, type, err);
    return r < 0 ? r : make_absolute(mount, type, err);
}

int container_config_mount(const char *text, json_t *config, json_t *host, struct error *err)
{
    CLEANUP_JSON json_t *mount = json_object();
    int r = parse(text, mount, err);

    (void)config;
    if (r < 0)
        return error_wrap(err, r, "invalid argument \"%s\" for \"--mount\" flag", text);
    return json_array_append(container_config_array(host, "Mounts"), mount) < 0 ? error_oom(err)
                                                                                : 0;
}
