#include "engine/mount_request.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"

enum { MOUNT_OPTIONS_MAX = 128 };

void mount_request_release(struct mount_request *request)
{
    free(request->source);
    free(request->target);
    free(request->mode);
    free(request->options);
    free(request->propagation);
    json_decref(request->labels);
    json_decref(request->driver_opts);
}

/* --- modes of -v --- */

enum mode_group {
    MODE_ACCESS,
    MODE_LABEL,
    MODE_PROPAGATION,
    MODE_CONSISTENCY,
    MODE_COPY,
    MODE_REC
};

static const struct {
    const char *word;
    enum mode_group group;
} modes[] = {
    {"rw", MODE_ACCESS},
    {"ro", MODE_ACCESS},
    {"z", MODE_LABEL},
    {"Z", MODE_LABEL},
    {"private", MODE_PROPAGATION},
    {"rprivate", MODE_PROPAGATION},
    {"shared", MODE_PROPAGATION},
    {"rshared", MODE_PROPAGATION},
    {"slave", MODE_PROPAGATION},
    {"rslave", MODE_PROPAGATION},
    {"consistent", MODE_CONSISTENCY},
    {"cached", MODE_CONSISTENCY},
    {"delegated", MODE_CONSISTENCY},
    {"nocopy", MODE_COPY},
    {"bind", MODE_REC},
    {"rbind", MODE_REC},
};

struct mode {
    bool read_only;
    bool no_copy;
    bool not_recursive;
    const char *propagation; /* static text, or NULL */
};

/* Each group at most once (moby linuxValidMountMode). */
static int mode_parse(const char *text, struct mode *ret)
{
    CLEANUP_STRV char **words = NULL;
    unsigned seen = 0;
    if (string_is_empty(text))
        return 0;
    if (strv_split(text, ',', &words) < 0)
        return -ENOMEM;
    for (char **word = words; *word; word++) {
        size_t i = 0;
        while (i < sizeof(modes) / sizeof(modes[0]) && !string_equal(modes[i].word, *word))
            i++;
        if (i == sizeof(modes) / sizeof(modes[0]) || (seen & (1U << modes[i].group)))
            return -EINVAL;
        seen |= 1U << modes[i].group;
        ret->read_only = ret->read_only || string_equal(*word, "ro");
        ret->no_copy = ret->no_copy || modes[i].group == MODE_COPY;
        ret->not_recursive = ret->not_recursive || string_equal(*word, "bind");
        if (modes[i].group == MODE_PROPAGATION)
            ret->propagation = modes[i].word;
    }
    return 0;
}

static char *bind_options(bool recursive, const char *propagation, bool read_only)
{
    return string_format("%s,%s%s", recursive ? "rbind" : "bind",
                         string_is_empty(propagation) ? "rprivate" : propagation,
                         read_only ? ",ro" : "");
}

/* --- checks --- */

static int refuse(const char *type, struct error *err, const char *what)
{
    return error_set_class(err, ERROR_INVALID, "invalid mount config for type \"%s\": %s", type,
                           what);
}

static int check_absolute(const char *type, const char *path, struct error *err)
{
    if (path[0] == '/')
        return 0;
    return error_set_class(err, ERROR_INVALID,
                           "invalid mount config for type \"%s\": invalid mount path: '%s' mount "
                           "path must be absolute",
                           type, path);
}

static int take_target(const char *type, const char *target, struct mount_request *ret,
                       struct error *err)
{
    if (string_is_empty(target))
        return refuse(type, err, "field Target must not be empty");
    int r = check_absolute(type, target, err);
    if (r < 0)
        return r;
    ret->target = path_normalize(target);
    if (!ret->target)
        return error_oom(err);
    return string_equal(ret->target, "/")
               ? refuse(type, err, "invalid specification: destination can't be '/'")
               : 0;
}

/* --- -v --- */

static int fill_bind(char *const *parts, const struct mode *mode, struct mount_request *ret,
                     struct error *err)
{
    bool bind = parts[0][0] == '/';
    ret->type = bind ? "bind" : "volume";
    ret->read_only = mode->read_only;
    ret->create_source = bind;
    ret->copy = !bind && !mode->no_copy;
    int r = take_target(ret->type, parts[1], ret, err);
    if (r < 0)
        return r;
    if (bind && mode->no_copy)
        return refuse("bind", err, "field VolumeOptions must not be specified");
    if (!bind && mode->propagation)
        return refuse("volume", err, "field BindOptions must not be specified");
    ret->source = bind ? path_normalize(parts[0]) : strdup(parts[0]);
    ret->options = bind_options(!mode->not_recursive, mode->propagation, mode->read_only);
    ret->propagation = strdup(bind ? string_or(mode->propagation, "rprivate") : "");
    return ret->source && ret->options && ret->propagation ? 0 : error_oom(err);
}

int mount_request_parse_bind(const char *text, struct mount_request *ret, struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    struct mode mode = {0};
    if (strv_split(text, ':', &parts) < 0)
        return error_oom(err);
    size_t n = strv_length(parts);
    if (n < 2 || n > 3 || !*parts[0] || (n == 2 && mode_parse(parts[1], &mode) == 0))
        return error_set_class(err, ERROR_INVALID, "invalid volume specification: '%s'", text);
    int r = mode_parse(n == 3 ? parts[2] : "", &mode);
    if (r == -ENOMEM)
        return error_oom(err);
    if (r < 0)
        return error_set_class(err, ERROR_INVALID, "invalid mode: %s", parts[2]);
    ret->mode = strdup(n == 3 ? parts[2] : "");
    if (!ret->mode)
        return error_oom(err);
    r = fill_bind(parts, &mode, ret, err);
    return r < 0 ? error_wrap(err, r, "invalid volume specification: '%s'", text) : 0;
}

int mount_request_anonymous(const char *target, struct mount_request *ret, struct error *err)
{
    ret->type = "volume";
    ret->copy = true;
    int r = take_target("volume", target, ret, err);
    if (r < 0)
        return error_wrap(err, r, "invalid volume specification: '%s'", target);
    ret->source = strdup("");
    ret->mode = strdup("");
    ret->propagation = strdup("");
    ret->options = bind_options(true, NULL, false);
    return ret->source && ret->mode && ret->propagation && ret->options ? 0 : error_oom(err);
}

int mount_request_parse_from(const char *text, char **ret_reference, bool *ret_writable,
                             struct error *err)
{
    const char *colon = strchr(text, ':');
    struct mode mode = {0};
    if (!*text)
        return error_set_class(err, ERROR_INVALID,
                               "volumes-from specification cannot be an empty string");
    if (colon &&
        (!colon[1] || mode_parse(colon + 1, &mode) < 0 || mode.propagation || mode.no_copy))
        return error_set_class(err, ERROR_INVALID, "invalid mode: %s", colon + 1);
    char *reference = strndup(text, strcspn(text, ":"));
    if (!reference)
        return error_oom(err);
    *ret_reference = reference;
    *ret_writable = !mode.read_only;
    return 0;
}

/* --- --mount --- */

struct mount_fields {
    const char *type;
    const char *source;
    const char *target;
    bool read_only;
    json_t *bind;
    json_t *volume;
    json_t *tmpfs;
};

static int fields_read(const json_t *json, struct mount_fields *ret, struct error *err)
{
    int r;
    *ret = (struct mount_fields){.type = "", .source = "", .target = ""};
    if ((r = json_get_string(json, "Type", &ret->type, err)) < 0 ||
        (r = json_get_string(json, "Source", &ret->source, err)) < 0 ||
        (r = json_get_string(json, "Target", &ret->target, err)) < 0 ||
        (r = json_get_bool(json, "ReadOnly", &ret->read_only, err)) < 0 ||
        (r = json_get_object(json, "BindOptions", &ret->bind, err)) < 0 ||
        (r = json_get_object(json, "VolumeOptions", &ret->volume, err)) < 0 ||
        (r = json_get_object(json, "TmpfsOptions", &ret->tmpfs, err)) < 0)
        return r;
    return 0;
}

static int mount_bind(const struct mount_fields *fields, struct mount_request *ret,
                      struct error *err)
{
    const char *propagation = "";
    bool not_recursive = false;
    struct mode mode = {0};
    struct stat status;
    int r;
    if (!*fields->source)
        return refuse("bind", err, "field Source must not be empty");
    if (fields->volume)
        return refuse("bind", err, "field VolumeOptions must not be specified");
    if ((r = check_absolute("bind", fields->source, err)) < 0 ||
        (r = json_get_string(fields->bind, "Propagation", &propagation, err)) < 0 ||
        (r = json_get_bool(fields->bind, "NonRecursive", &not_recursive, err)) < 0 ||
        (r = json_get_bool(fields->bind, "CreateMountpoint", &ret->create_source, err)) < 0)
        return r;
    if (*propagation && (mode_parse(propagation, &mode) < 0 || !mode.propagation))
        return error_set_class(err, ERROR_INVALID,
                               "invalid mount config for type \"bind\": invalid propagation mode: "
                               "%s",
                               propagation);
    if (!ret->create_source && stat(fields->source, &status) < 0)
        return error_set_class(err, ERROR_INVALID,
                               "invalid mount config for type \"bind\": bind source path does not "
                               "exist: %s",
                               fields->source);
    ret->source = path_normalize(fields->source);
    ret->options = bind_options(!not_recursive, mode.propagation, fields->read_only);
    ret->propagation = strdup(string_or(mode.propagation, "rprivate"));
    return 0;
}

static int mount_volume(const struct mount_fields *fields, struct mount_request *ret,
                        struct error *err)
{
    const char *subpath = "";
    const char *driver = "";
    bool no_copy = false;
    json_t *config = NULL;
    json_t *labels = NULL;
    json_t *options = NULL;
    int r;
    if (fields->bind)
        return refuse("volume", err, "field BindOptions must not be specified");
    if (!*fields->source && fields->read_only)
        return refuse("volume", err, "must not set ReadOnly mode when using anonymous volumes");
    if ((r = json_get_string(fields->volume, "Subpath", &subpath, err)) < 0 ||
        (r = json_get_bool(fields->volume, "NoCopy", &no_copy, err)) < 0 ||
        (r = json_get_object(fields->volume, "Labels", &labels, err)) < 0 ||
        (r = json_get_object(fields->volume, "DriverConfig", &config, err)) < 0 ||
        (r = json_get_string(config, "Name", &driver, err)) < 0 ||
        (r = json_get_object(config, "Options", &options, err)) < 0)
        return r;
    if (*subpath)
        return refuse("volume", err, "field Subpath: this engine does not offer it");
    if (*driver && !string_equal(driver, "local"))
        return error_set_class(err, ERROR_NOT_FOUND,
                               "error looking up volume plugin %s: plugin \"%s\" not found", driver,
                               driver);
    ret->source = strdup(fields->source);
    ret->options = bind_options(true, NULL, fields->read_only);
    ret->propagation = strdup("");
    ret->copy = !no_copy;
    ret->labels = json_incref(labels);
    ret->driver_opts = json_incref(options);
    return 0;
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

static int mount_tmpfs(const struct mount_fields *fields, struct mount_request *ret,
                       struct error *err)
{
    int64_t size = 0;
    int64_t mode = 0;
    int r;
    if (fields->bind || fields->volume)
        return refuse("tmpfs", err,
                      fields->bind ? "field BindOptions must not be specified"
                                   : "field VolumeOptions must not be specified");
    if (*fields->source)
        return refuse("tmpfs", err, "field Source must not be specified");
    if ((r = json_get_i64(fields->tmpfs, "SizeBytes", &size, err)) < 0 ||
        (r = json_get_i64(fields->tmpfs, "Mode", &mode, err)) < 0)
        return r;
    ret->source = strdup("");
    ret->options = tmpfs_options(size, mode, fields->read_only);
    ret->propagation = strdup("");
    return 0;
}

int mount_request_parse_mount(const json_t *json, struct mount_request *ret, struct error *err)
{
    static const struct {
        const char *type;
        int (*parse)(const struct mount_fields *, struct mount_request *, struct error *);
    } types[] = {{"bind", mount_bind}, {"volume", mount_volume}, {"tmpfs", mount_tmpfs}};
    struct mount_fields fields;
    int r = fields_read(json, &fields, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (!string_equal(fields.type, types[i].type))
            continue;
        ret->type = types[i].type;
        ret->read_only = fields.read_only;
        r = take_target(ret->type, fields.target, ret, err);
        if (r >= 0)
            r = types[i].parse(&fields, ret, err);
        if (r < 0)
            return r;
        ret->mode = strdup("");
        return ret->source && ret->options && ret->propagation && ret->mode ? 0 : error_oom(err);
    }
    return refuse(fields.type, err, "mount type unknown");
}
