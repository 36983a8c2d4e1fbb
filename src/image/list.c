/* Lists of images, and the filters of `docker images` and `docker image prune`. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "image/filter.h"
#include "image/layer.h"
#include "image/lookup.h"
#include "spec/reference.h"

void image_list_free(struct image **images, size_t n)
{
    for (size_t i = 0; images && i < n; i++)
        image_free(images[i]);
    free(images);
}

static bool label_matches(const struct image *image, const char *wanted)
{
    const char *equals = strchr(wanted, '=');
    size_t length = equals ? (size_t)(equals - wanted) : strlen(wanted);
    CLEANUP_FREE char *key = strndup(wanted, length);
    const json_t *value = key ? json_object_get(image->config->defaults.labels, key) : NULL;
    if (!value)
        return false;
    return !equals || string_equal(json_string_value(value), equals + 1);
}

static bool labels_match(const struct image *image, const struct image_filter *filter)
{
    for (size_t i = 0; filter->labels && filter->labels[i]; i++)
        if (!label_matches(image, filter->labels[i]))
            return false;
    for (size_t i = 0; filter->not_labels && filter->not_labels[i]; i++)
        if (label_matches(image, filter->not_labels[i]))
            return false;
    return true;
}

/* Leaves only names that match one of the patterns. 0 or -ENOMEM. */
static int keep_matching(char ***names, char *const *patterns)
{
    CLEANUP_STRV char **kept = NULL;
    for (size_t i = 0; *names && (*names)[i]; i++) {
        CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
        if (reference_parse((*names)[i], &reference, NULL) < 0)
            continue;
        for (size_t j = 0; patterns[j]; j++)
            if (reference_matches(&reference, patterns[j])) {
                if (strv_append(&kept, (*names)[i]) < 0)
                    return -ENOMEM;
                break;
            }
    }
    strv_free(*names);
    *names = TAKE_PTR(kept);
    return 0;
}

int filter_image(struct image *image, const struct image_filter *filter,
                 const struct filter_times *times, struct error *err)
{
    bool dangling = strv_length(image->tags) == 0;
    int64_t created = image->config->created;
    if ((times->before && created >= times->before_time) ||
        (times->since && created <= times->since_time) ||
        (filter->until && created >= filter->until) || !labels_match(image, filter) ||
        (filter->dangling == 1 && !dangling))
        return 0;
    if (filter->dangling == 0 && dangling && strv_length(image->digests) == 0)
        return 0;
    if (strv_length(filter->references) == 0)
        return 1;
    if (keep_matching(&image->tags, filter->references) < 0 ||
        keep_matching(&image->digests, filter->references) < 0)
        return error_oom(err);
    return strv_length(image->tags) + strv_length(image->digests) > 0;
}

static int find_time(struct image_store *store, const char *name, bool *ret_set, int64_t *ret,
                     struct error *err)
{
    struct image *image = NULL;
    if (!name)
        return 0;
    int r = image_find(store, name, &image, err);
    if (r < 0)
        return r;
    *ret_set = true;
    *ret = image->config->created;
    image_free(image);
    return 0;
}

int filter_times(struct image_store *store, const struct image_filter *filter,
                 struct filter_times *ret, struct error *err)
{
    int r = find_time(store, filter->before, &ret->before, &ret->before_time, err);
    return r < 0 ? r : find_time(store, filter->since, &ret->since, &ret->since_time, err);
}

static int compare_created(const void *a, const void *b)
{
    const struct image *const *left = a;
    const struct image *const *right = b;
    int64_t l = (*left)->config->created, r = (*right)->config->created;
    if (l != r)
        return l < r ? 1 : -1;
    return strcmp((*left)->id, (*right)->id);
}

int image_list(struct image_store *store, const struct image_filter *filter, struct image ***ret,
               size_t *ret_n, struct error *err)
{
    static const struct image_filter no_filter = IMAGE_FILTER_INIT;
    struct filter_times times = {0};
    CLEANUP_STRV char **ids = NULL;
    filter = filter ? filter : &no_filter;
    int r = filter_times(store, filter, &times, err);
    if (r < 0)
        return r;
    if (lookup_ids(store, &ids) < 0)
        return error_oom(err);
    struct image **images = calloc(strv_length(ids) + 1, sizeof(struct image *));
    if (!images)
        return error_oom(err);
    size_t n = 0;
    for (size_t i = 0; r >= 0 && ids[i]; i++) {
        struct image *image = NULL;
        struct error why = ERROR_INIT;
        r = lookup_image(store, ids[i], &image, &why);
        if (r < 0) {
            /* Removed since the ids were read. */
            r = why.class == ERROR_NOT_FOUND ? 0 : error_copy(err, &why);
            continue;
        }
        r = filter_image(image, filter, &times, err);
        if (r == 1)
            images[n++] = image;
        else
            image_free(image);
    }
    if (r < 0) {
        image_list_free(images, n);
        return r;
    }
    qsort(images, n, sizeof(struct image *), compare_created);
    *ret = images;
    *ret_n = n;
    return 0;
}

int image_store_usage(struct image_store *store, size_t *ret_images, int64_t *ret_bytes,
                      struct error *err)
{
    CLEANUP_STRV char **ids = NULL;
    if (lookup_ids(store, &ids) < 0)
        return error_oom(err);
    if (ret_images)
        *ret_images = strv_length(ids);
    if (ret_bytes)
        *ret_bytes = tree_bytes(store->blobs_fd, ".") + tree_bytes(store->layers_fd, ".");
    return 0;
}
