#include "spec/image_config.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "spec/reference.h"

void image_defaults_release(struct image_defaults *defaults)
{
    free(defaults->user);
    free(defaults->working_dir);
    free(defaults->stop_signal);
    strv_free(defaults->entrypoint);
    strv_free(defaults->cmd);
    strv_free(defaults->env);
    strv_free(defaults->shell);
    strv_free(defaults->on_build);
    strv_free(defaults->exposed_ports);
    strv_free(defaults->volumes);
    json_decref(defaults->labels);
    json_decref(defaults->healthcheck);
    *defaults = (struct image_defaults){0};
}

struct image_config *image_config_free(struct image_config *config)
{
    if (!config)
        return NULL;
    image_defaults_release(&config->defaults);
    free(config->architecture);
    free(config->os);
    free(config->variant);
    free(config->os_version);
    free(config->author);
    free(config->comment);
    free(config->docker_version);
    strv_free(config->diff_ids);
    for (size_t i = 0; i < config->n_history; i++) {
        free(config->history[i].created_by);
        free(config->history[i].author);
        free(config->history[i].comment);
    }
    free(config->history);
    free(config);
    return NULL;
}

DEFINE_CLEANUP(struct image_config *, config_cleanup, image_config_free)

/* An optional text member as a copy of its own. */
static int get_text(const json_t *object, const char *name, char **ret, struct error *err)
{
    const char *text = NULL;
    int r = json_get_string(object, name, &text, err);
    if (r <= 0)
        return r;
    return string_replace(ret, text) < 0 ? error_oom(err) : 0;
}

/* The names of the members of an object: how docker writes sets. */
static int get_set(const json_t *object, const char *name, char ***ret, struct error *err)
{
    json_t *set = NULL;
    int r = json_get_object(object, name, &set, err);
    if (r <= 0)
        return r;
    if (json_object_size(set) > IMAGE_CONFIG_LIST_MAX)
        return error_set_class(err, ERROR_INVALID, "'%s' has too many members", name);
    CLEANUP_STRV char **names = NULL;
    const char *key;
    json_t *value;
    json_object_foreach (set, key, value) {
        if (strv_append(&names, key) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(names);
    return 0;
}

static int get_labels(const json_t *object, json_t **ret, struct error *err)
{
    json_t *labels = NULL;
    int r = json_get_object(object, "Labels", &labels, err);
    if (r <= 0)
        return r;
    if (json_object_size(labels) > IMAGE_CONFIG_LIST_MAX)
        return error_set_class(err, ERROR_INVALID, "'Labels' has too many members");
    const char *key;
    json_t *value;
    json_object_foreach (labels, key, value) {
        if (!json_is_string(value))
            return error_set_class(err, ERROR_INVALID, "label '%s' must be a string", key);
    }
    *ret = json_incref(labels);
    return 0;
}

static int get_list(const json_t *object, const char *name, char ***ret, struct error *err)
{
    int r = json_get_strv(object, name, IMAGE_CONFIG_LIST_MAX, ret, err);
    return r < 0 ? r : 0;
}

static int parse_lists(const json_t *object, struct image_defaults *defaults, struct error *err)
{
    const struct {
        const char *name;
        char ***target;
    } lists[] = {
        {"Entrypoint", &defaults->entrypoint},
        {"Cmd", &defaults->cmd},
        {"Env", &defaults->env},
        {"Shell", &defaults->shell},
        {"OnBuild", &defaults->on_build},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        int r = get_list(object, lists[i].name, lists[i].target, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_defaults(const json_t *object, struct image_defaults *defaults, struct error *err)
{
    json_t *healthcheck = NULL;
    int r;
    if ((r = get_text(object, "User", &defaults->user, err)) < 0 ||
        (r = get_text(object, "WorkingDir", &defaults->working_dir, err)) < 0 ||
        (r = get_text(object, "StopSignal", &defaults->stop_signal, err)) < 0 ||
        (r = parse_lists(object, defaults, err)) < 0 ||
        (r = get_set(object, "ExposedPorts", &defaults->exposed_ports, err)) < 0 ||
        (r = get_set(object, "Volumes", &defaults->volumes, err)) < 0 ||
        (r = get_labels(object, &defaults->labels, err)) < 0 ||
        (r = json_get_bool(object, "ArgsEscaped", &defaults->args_escaped, err)) < 0 ||
        (r = json_get_object(object, "Healthcheck", &healthcheck, err)) < 0)
        return r;
    if (healthcheck)
        defaults->healthcheck = json_incref(healthcheck);
    return 0;
}

/* A time that cannot be read counts as not said: it decides nothing but the order of lists. */
static int get_time(const json_t *object, const char *name, int64_t *ret, struct error *err)
{
    const char *text = NULL;
    int r = json_get_string(object, name, &text, err);
    if (r <= 0)
        return r;
    int64_t when = 0;
    if (timestamp_parse(text, &when) == 0 && when > 0)
        *ret = when;
    return 0;
}

static int parse_history(const json_t *document, struct image_config *config, struct error *err)
{
    json_t *array = NULL;
    int r = json_get_array(document, "history", &array, err);
    if (r <= 0)
        return r;
    size_t n = json_array_size(array);
    if (n > IMAGE_CONFIG_LIST_MAX)
        return error_set_class(err, ERROR_INVALID, "'history' has too many entries");
    if (n == 0)
        return 0;
    config->history = calloc(n, sizeof(*config->history));
    if (!config->history)
        return error_oom(err);
    config->n_history = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_array_get(array, i);
        struct image_history *history = &config->history[i];
        if (!json_is_object(entry))
            return error_set_class(err, ERROR_INVALID, "'history' must hold objects");
        if ((r = get_time(entry, "created", &history->created, err)) < 0 ||
            (r = get_text(entry, "created_by", &history->created_by, err)) < 0 ||
            (r = get_text(entry, "author", &history->author, err)) < 0 ||
            (r = get_text(entry, "comment", &history->comment, err)) < 0 ||
            (r = json_get_bool(entry, "empty_layer", &history->empty_layer, err)) < 0)
            return r;
    }
    return 0;
}

static int parse_rootfs(const json_t *document, struct image_config *config, struct error *err)
{
    json_t *rootfs = NULL;
    int r = json_get_object(document, "rootfs", &rootfs, err);
    if (r <= 0)
        return r;
    json_t *ids = NULL;
    r = json_get_array(rootfs, "diff_ids", &ids, err);
    if (r <= 0)
        return r;
    if (json_array_size(ids) > IMAGE_LAYERS_MAX)
        return error_set_class(err, ERROR_INVALID, "max depth exceeded: more than %d layers",
                               (int)IMAGE_LAYERS_MAX);
    r = json_get_strv(rootfs, "diff_ids", IMAGE_LAYERS_MAX, &config->diff_ids, err);
    if (r < 0)
        return r;
    for (size_t i = 0; config->diff_ids && config->diff_ids[i]; i++)
        if (!digest_is_valid(config->diff_ids[i]))
            return error_set_class(err, ERROR_INVALID, "invalid diff id '%s'", config->diff_ids[i]);
    return 0;
}

static int parse_document(const json_t *document, struct image_config *config, struct error *err)
{
    json_t *defaults = NULL;
    int r;
    if (!json_is_object(document))
        return error_set_class(err, ERROR_INVALID, "image configuration must be an object");
    if ((r = get_text(document, "architecture", &config->architecture, err)) < 0 ||
        (r = get_text(document, "os", &config->os, err)) < 0 ||
        (r = get_text(document, "variant", &config->variant, err)) < 0 ||
        (r = get_text(document, "os.version", &config->os_version, err)) < 0 ||
        (r = get_text(document, "author", &config->author, err)) < 0 ||
        (r = get_text(document, "comment", &config->comment, err)) < 0 ||
        (r = get_text(document, "docker_version", &config->docker_version, err)) < 0 ||
        (r = get_time(document, "created", &config->created, err)) < 0 ||
        (r = parse_rootfs(document, config, err)) < 0 ||
        (r = parse_history(document, config, err)) < 0 ||
        (r = json_get_object(document, "config", &defaults, err)) < 0)
        return r;
    if (defaults && (r = parse_defaults(defaults, &config->defaults, err)) < 0)
        return r;
    if (string_is_empty(config->os) && string_replace(&config->os, "linux") < 0)
        return error_oom(err);
    if (!config->architecture && string_replace(&config->architecture, "") < 0)
        return error_oom(err);
    return 0;
}

int image_config_parse(const char *text, size_t length, struct image_config **ret,
                       struct error *err)
{
    CLEANUP_JSON json_t *document = NULL;
    if (length > IMAGE_CONFIG_MAX)
        return error_set_class(err, ERROR_INVALID, "image configuration is larger than %d bytes",
                               (int)IMAGE_CONFIG_MAX);
    int r = json_parse(text, length, &document, err);
    if (r < 0)
        return error_classify(err, r, ERROR_INVALID);
    CLEANUP(config_cleanup) struct image_config *config = calloc(1, sizeof(*config));
    if (!config)
        return error_oom(err);
    r = parse_document(document, config, err);
    if (r == -EINVAL || r == -E2BIG)
        return error_classify(err, r, ERROR_INVALID);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(config);
    return 0;
}

static int put_set(json_t *object, const char *name, char *const *set)
{
    if (!set)
        return 0;
    json_t *members = json_object();
    for (; members && *set; set++)
        if (json_object_set_new_nocheck(members, *set, json_object()) < 0) {
            json_decref(members);
            return -ENOMEM;
        }
    return members ? json_put(object, name, members) : -ENOMEM;
}

static int put_copy(json_t *object, const char *name, const json_t *value)
{
    return value ? json_put(object, name, json_deep_copy(value)) : 0;
}

static int put_null_or_list(json_t *object, const char *name, char *const *list)
{
    return list ? json_put_strv(object, name, list) : json_put(object, name, json_null());
}

json_t *image_defaults_to_json(const struct image_defaults *defaults)
{
    CLEANUP_JSON json_t *object = json_object();
    if (!object)
        return NULL;
    int r = 0;
    r |= json_put_string(object, "User", string_or(defaults->user, ""));
    r |= put_set(object, "ExposedPorts", defaults->exposed_ports);
    r |= put_null_or_list(object, "Env", defaults->env);
    r |= put_null_or_list(object, "Cmd", defaults->cmd);
    r |= put_copy(object, "Healthcheck", defaults->healthcheck);
    if (defaults->args_escaped)
        r |= json_put_bool(object, "ArgsEscaped", true);
    r |= put_set(object, "Volumes", defaults->volumes);
    r |= json_put_string(object, "WorkingDir", string_or(defaults->working_dir, ""));
    r |= put_null_or_list(object, "Entrypoint", defaults->entrypoint);
    r |= put_null_or_list(object, "OnBuild", defaults->on_build);
    r |= defaults->labels ? put_copy(object, "Labels", defaults->labels)
                          : json_put(object, "Labels", json_null());
    if (!string_is_empty(defaults->stop_signal))
        r |= json_put_string(object, "StopSignal", defaults->stop_signal);
    if (defaults->shell)
        r |= json_put_strv(object, "Shell", defaults->shell);
    return r < 0 ? NULL : TAKE_PTR(object);
}
