/* docker's filter documents: {"label": ["a=b"]} or, from older clients, {"label": {"a=b": true}}.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/private.h"

enum { FILTER_VALUES_MAX = 1024 };

int filter_values(const json_t *filters, const char *name, char ***ret, struct error *err)
{
    CLEANUP_STRV char **values = NULL;
    const json_t *filter = json_object_get(filters, name);
    if (json_is_object(filter)) {
        const char *key;
        json_t *on;
        json_object_foreach ((json_t *)(uintptr_t)filter, key, on)
            if (json_is_true(on) && strv_append(&values, key) < 0)
                return error_oom(err);
    } else if (filter) {
        int r = json_get_strv(filters, name, FILTER_VALUES_MAX, &values, err);
        if (r < 0)
            return error_classify(err, r, ERROR_INVALID);
    }
    *ret = TAKE_PTR(values);
    return 0;
}

int filter_check_names(const json_t *filters, const char *const *known, struct error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)filters, name, value) {
        bool found = false;
        for (size_t i = 0; known[i] && !found; i++)
            found = string_equal(known[i], name);
        if (!found)
            return error_set_class(err, ERROR_INVALID, "invalid filter '%s'", name);
    }
    return 0;
}

bool filter_match(const json_t *filters, const char *name, const char *value)
{
    CLEANUP_STRV char **values = NULL;
    if (!json_object_get(filters, name))
        return true;
    return filter_values(filters, name, &values, NULL) == 0 && strv_contains(values, value);
}

static bool label_matches(const json_t *labels, const char *wanted)
{
    const char *equals = strchr(wanted, '=');
    if (!equals)
        return json_object_get(labels, wanted) != NULL;
    CLEANUP_FREE char *key = strndup(wanted, (size_t)(equals - wanted));
    return key && string_equal(json_string_value(json_object_get(labels, key)), equals + 1);
}

bool filter_match_labels(const json_t *filters, const char *name, const json_t *labels)
{
    CLEANUP_STRV char **wanted = NULL;
    if (filter_values(filters, name, &wanted, NULL) < 0)
        return false;
    for (char **label = wanted; label && *label; label++)
        if (!label_matches(labels, *label))
            return false;
    return true;
}
