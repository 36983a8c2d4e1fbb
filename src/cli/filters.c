#include "cli/filters.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/query.h"

#include <stdlib.h>
#include <string.h>

int filters_add(json_t *filters, const char *name, const char *value, struct error *err)
{
    json_t *values = json_object_get(filters, name);

    if (!values) {
        values = json_object();
        if (json_put(filters, name, values) < 0)
            return error_oom(err);
    }
    return json_put_bool(values, value, true) < 0 ? error_oom(err) : 0;
}

int filters_add_list(json_t *filters, char *const *list, struct error *err)
{
    for (size_t i = 0; list && list[i]; i++) {
        const char *equals = strchr(list[i], '=');
        CLEANUP_FREE char *name = NULL;
        CLEANUP_FREE char *lower = NULL;
        int r = 0;

        if (!equals)
            return error_set_class(err, ERROR_INVALID,
                                   "invalid argument \"%s\" for \"-f, --filter\" "
                                   "flag: invalid filter '%s'",
                                   list[i], list[i]);
        name = strndup(list[i], (size_t)(equals - list[i]));
        lower = name ? string_lower(name) : NULL;
        if (!lower)
            return error_oom(err);
        r = filters_add(filters, lower, equals + 1, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int filters_to_query(const json_t *filters, struct query *query, struct error *err)
{
    CLEANUP_FREE char *text = NULL;

    if (json_object_size(filters) == 0)
        return 0;
    text = json_format(filters);
    if (!text)
        return error_oom(err);
    query_add(query, "filters", text);
    return 0;
}
