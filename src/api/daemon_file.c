/* hulld's configuration file. */
#include "api/daemon_config.h"
#include "api/daemon_options.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

static const struct daemon_option *find_key(const char *key)
{
    for (size_t i = 0; i < daemon_options_count; i++) {
        if (string_equal(daemon_options[i].key, key))
            return &daemon_options[i];
    }
    return NULL;
}

/* Was the option, or another flag for the same thing, on the command line? */
static bool is_given(const struct daemon_config *config, const struct daemon_option *option)
{
    for (size_t i = 0; i < daemon_options_count; i++) {
        if ((config->given >> i & 1) && daemon_options[i].offset == option->offset)
            return true;
    }
    return false;
}

static int check_keys(const struct daemon_config *config, const json_t *document, const char *name,
                      struct error *err)
{
    CLEANUP_STRV char **unknown = NULL;
    CLEANUP_STRV char **twice = NULL;
    CLEANUP_FREE char *joined = NULL;
    const char *key = NULL;
    const json_t *value = NULL;

    json_object_foreach ((json_t *)(uintptr_t)document, key, value) {
        const struct daemon_option *option = find_key(key);

        if ((!option && strv_append(&unknown, key) < 0) ||
            (option && is_given(config, option) && strv_append(&twice, key) < 0))
            return error_oom(err);
    }
    if (!unknown && !twice)
        return 0;
    joined = strv_join(unknown ? unknown : twice, ", ");
    if (!joined)
        return error_oom(err);
    return error_set_class(
        err, ERROR_INVALID,
        "unable to configure the hull daemon with file %s: the following directives %s: %s", name,
        unknown ? "don't match any configuration option"
                : "are specified both as a flag and in the configuration file",
        joined);
}

/* {"max-size": "10m"} becomes "max-size=10m". */
static int read_map(const json_t *document, const char *key, char ***ret, struct error *err)
{
    CLEANUP_STRV char **list = NULL;
    json_t *map = NULL;
    const char *name = NULL;
    json_t *value = NULL;
    int r = json_get_object(document, key, &map, err);

    if (r < 0)
        return r;
    if (json_object_size(map) > DAEMON_LIST_MAX)
        return error_set_class(err, ERROR_INVALID, "'%s' has more than %d members", key,
                               DAEMON_LIST_MAX);
    json_object_foreach (map, name, value) {
        if (!json_is_string(value))
            return error_set_class(err, ERROR_INVALID, "'%s' in '%s' must be a string", name, key);
        if (strv_appendf(&list, "%s=%s", name, json_string_value(value)) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

static int merge_option(struct daemon_config *config, const struct daemon_option *option,
                        const json_t *document, struct error *err)
{
    void *slot = daemon_option_slot(config, option);
    const char *text = NULL;
    int r = 0;

    switch (option->kind) {
    case DAEMON_TEXT:
        r = json_get_string(document, option->key, &text, err);
        if (r <= 0)
            return r;
        return string_replace(slot, text) < 0 ? error_oom(err) : 0;
    case DAEMON_FLAG:
        return json_get_bool(document, option->key, slot, err);
    case DAEMON_MAP:
        return read_map(document, option->key, slot, err);
    case DAEMON_LIST:
    default:
        return json_get_strv(document, option->key, DAEMON_LIST_MAX, slot, err);
    }
}

int daemon_config_merge(struct daemon_config *config, const json_t *document, const char *name,
                        struct error *err)
{
    int r = check_keys(config, document, name, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < daemon_options_count; i++) {
        const struct daemon_option *option = &daemon_options[i];

        if (!option->key || !json_object_get(document, option->key))
            continue;
        r = merge_option(config, option, document, err);
        if (r < 0)
            return error_wrap(err, r, "unable to configure the hull daemon with file %s", name);
    }
    return 0;
}

int daemon_config_load(struct daemon_config *config, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(DAEMON_FILE_MAX);
    CLEANUP_JSON json_t *document = NULL;
    struct error problem = ERROR_INIT;
    const char *name = config->file ? config->file : DAEMON_CONFIG_FILE;
    int r = file_read(AT_FDCWD, name, &text, &problem);

    if (r == -ENOENT && !config->file)
        return 0;
    if (r == 0)
        r = json_parse(buffer_string(&text), text.length, &document, &problem);
    if (r == 0 && !json_is_object(document))
        r = error_set_class(&problem, ERROR_INVALID, "it must hold a JSON object");
    if (r < 0) {
        error_wrap(&problem, r, "unable to configure the hull daemon with file %s", name);
        return error_copy(err, &problem);
    }
    return daemon_config_merge(config, document, name, err);
}
