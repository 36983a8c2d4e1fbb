#include "spec/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "spec/runtime.h"

int spec_read_text(const json_t *object, const char *name, char **ret, struct error *err)
{
    const char *text = NULL;
    int r = json_get_string(object, name, &text, err);

    if (r <= 0)
        return r;
    if (strlen(text) > SPEC_TEXT_MAX)
        return error_set_class(err, ERROR_INVALID, "'%s' is longer than %d bytes", name,
                               SPEC_TEXT_MAX);
    if (string_replace(ret, text) < 0)
        return error_oom(err);
    return 1;
}

int spec_read_u32(const json_t *object, const char *name, uint32_t *ret, struct error *err)
{
    int64_t value = 0;
    int r = json_get_i64(object, name, &value, err);

    if (r <= 0)
        return r;
    if (value < 0 || value > UINT32_MAX)
        return error_set_class(err, ERROR_INVALID, "'%s' must be between 0 and %u", name,
                               UINT32_MAX);
    *ret = (uint32_t)value;
    return 1;
}

int spec_read_u64(const json_t *object, const char *name, uint64_t *ret, struct error *err)
{
    int64_t value = 0;
    int r = json_get_i64(object, name, &value, err);

    if (r > 0)
        *ret = (uint64_t)value;
    return r;
}

int spec_read_map(const json_t *object, const char *name, char ***ret, struct error *err)
{
    CLEANUP_STRV char **map = NULL;
    json_t *members = NULL;
    const char *key;
    json_t *value;
    int r = json_get_object(object, name, &members, err);

    if (r <= 0)
        return r;
    if (json_object_size(members) > SPEC_LIST_MAX)
        return error_set_class(err, ERROR_INVALID, "'%s' has more than %d members", name,
                               SPEC_LIST_MAX);
    json_object_foreach (members, key, value) {
        if (!*key || strchr(key, '='))
            return error_set_class(err, ERROR_INVALID, "'%s': invalid key '%s'", name, key);
        if (!json_is_string(value))
            return error_set_class(err, ERROR_INVALID, "'%s.%s' must be a string", name, key);
        if (strv_appendf(&map, "%s=%s", key, json_string_value(value)) < 0)
            return error_oom(err);
    }
    strv_free(*ret);
    *ret = TAKE_PTR(map);
    return 1;
}

int spec_read_list(const json_t *object, const char *name, size_t max, size_t item_size,
                   spec_item_reader *reader, void *ret_items, size_t *ret_n, struct error *err)
{
    json_t *array = NULL;
    char *items;
    size_t n;
    int r = json_get_array(object, name, &array, err);

    if (r <= 0)
        return r;
    n = json_array_size(array);
    if (n > max)
        return error_set_class(err, ERROR_INVALID, "'%s' has more than %zu entries", name, max);
    items = calloc(n + 1, item_size);
    if (!items)
        return error_oom(err);
    memcpy(ret_items, &items, sizeof(items));
    *ret_n = n;
    for (size_t i = 0; i < n; i++) {
        r = reader(json_array_get(array, i), items + i * item_size, err);
        if (r < 0)
            return error_wrap(err, r, "%s[%zu]", name, i);
    }
    return 1;
}

int spec_put_map(json_t *object, const char *name, char *const *map)
{
    json_t *members;

    if (!map || !*map)
        return 0;
    members = json_object();
    for (; members && *map; map++) {
        const char *equals = strchr(*map, '=');
        CLEANUP_FREE char *key = NULL;

        if (!equals)
            continue;
        key = strndup(*map, (size_t)(equals - *map));
        if (!key || json_put_string(members, key, equals + 1) < 0) {
            json_decref(members);
            return -ENOMEM;
        }
    }
    return json_put(object, name, members);
}

int spec_put_list(json_t *object, const char *name, json_t *array)
{
    if (!array)
        return -ENOMEM;
    if (json_array_size(array) == 0) {
        json_decref(array);
        return 0;
    }
    return json_put(object, name, array);
}

int spec_put_u64(json_t *object, const char *name, uint64_t value)
{
    return json_put_i64(object, name, (int64_t)value);
}

void *spec_list_add(void *items_pointer, size_t *n, size_t item_size, size_t max)
{
    char *items;
    char *longer;
    char *item;

    memcpy(&items, items_pointer, sizeof(items));
    if (*n >= max)
        return NULL;
    longer = realloc(items, (*n + 1) * item_size);
    if (!longer)
        return NULL;
    memcpy(items_pointer, &longer, sizeof(longer));
    item = longer + *n * item_size;
    memset(item, 0, item_size);
    (*n)++;
    return item;
}
