/* Images as the API shows them: the image library plus what only the engine knows, namely which
 * containers use what. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/private.h"
#include "image/image.h"
#include "spec/image_config.h"

struct image_store *engine_images(struct engine *engine)
{
    return engine->images;
}

static void image_cleanup(struct image **image)
{
    image_free(*image);
}

/* --- who uses it --- */

static int find_user(void *data, const char *image_id, char ret_container[65], bool *ret_running)
{
    struct engine *engine = data;
    int found = 0;
    ENGINE_STATE(engine);
    LIST_FOR_EACH (container, &engine->containers, struct container, node) {
        bool runs = container_is_running(container);
        if (!string_equal(container->image_id, image_id) || (found && !runs))
            continue;
        string_copy(ret_container, 65, container->id);
        *ret_running = runs;
        found = 1;
        if (runs)
            break;
    }
    return found;
}

static int64_t count_users(struct engine *engine, const char *image_id)
{
    int64_t n = 0;
    ENGINE_STATE(engine);
    LIST_FOR_EACH (container, &engine->containers, struct container, node)
        n += string_equal(container->image_id, image_id);
    return n;
}

/* --- list --- */

static int filter_first(const json_t *filters, const char *name, char **ret, struct error *err)
{
    CLEANUP_STRV char **values = NULL;
    int r = filter_values(filters, name, &values, err);
    if (r < 0 || !values || !*values)
        return r;
    char *first = strdup(*values);
    if (!first)
        return error_oom(err);
    *ret = first;
    return 0;
}

/* Texts of an image filter; the filter borrows them. */
struct filter_texts {
    char **references;
    char **labels;
    char **not_labels;
    char *before;
    char *since;
    char *until;
    char *dangling;
};

static void filter_texts_release(struct filter_texts *texts)
{
    strv_free(texts->references);
    strv_free(texts->labels);
    strv_free(texts->not_labels);
    free(texts->before);
    free(texts->since);
    free(texts->until);
    free(texts->dangling);
}

static bool text_is_true(const char *text)
{
    return string_equal_nocase(text, "true") || string_equal(text, "1") ||
           string_equal_nocase(text, "t");
}

static bool text_is_false(const char *text)
{
    return string_equal_nocase(text, "false") || string_equal(text, "0") ||
           string_equal_nocase(text, "f");
}

static int read_filter(const json_t *filters, struct filter_texts *texts,
                       struct image_filter *filter, struct error *err)
{
    static const char *const known[] = {"dangling", "label", "label!",    "before",
                                        "since",    "until", "reference", NULL};
    int r;
    if ((r = filter_check_names(filters, known, err)) < 0 ||
        (r = filter_values(filters, "reference", &texts->references, err)) < 0 ||
        (r = filter_values(filters, "label", &texts->labels, err)) < 0 ||
        (r = filter_values(filters, "label!", &texts->not_labels, err)) < 0 ||
        (r = filter_first(filters, "before", &texts->before, err)) < 0 ||
        (r = filter_first(filters, "since", &texts->since, err)) < 0 ||
        (r = filter_first(filters, "until", &texts->until, err)) < 0 ||
        (r = filter_first(filters, "dangling", &texts->dangling, err)) < 0)
        return r;
    filter->references = texts->references;
    filter->labels = texts->labels;
    filter->not_labels = texts->not_labels;
    filter->before = texts->before;
    filter->since = texts->since;
    if (texts->until && timestamp_parse(texts->until, &filter->until) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid filter 'until=%s'", texts->until);
    if (!texts->dangling)
        return 0;
    if (!text_is_true(texts->dangling) && !text_is_false(texts->dangling))
        return error_set_class(err, ERROR_INVALID, "invalid filter 'dangling=%s'", texts->dangling);
    filter->dangling = text_is_true(texts->dangling) ? 1 : 0;
    return 0;
}

static json_t *labels_json(const struct image *image)
{
    json_t *labels = image->config->defaults.labels;
    return labels ? json_copy(labels) : json_object();
}

static json_t *summary_json(struct engine *engine, const struct image *image)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:i, s:o, s:I}", "Id", image->id, "ParentId",
                     "", "RepoTags", json_from_strv(image->tags), "RepoDigests",
                     json_from_strv(image->digests), "Created",
                     (json_int_t)(image->config->created / 1000000000), "Size",
                     (json_int_t)image->size, "SharedSize", -1, "Labels", labels_json(image),
                     "Containers", (json_int_t)count_users(engine, image->id));
}

int engine_image_list(struct engine *engine, bool all, const json_t *filters, json_t **ret,
                      struct error *err)
{
    CLEANUP(filter_texts_release) struct filter_texts texts = {0};
    struct image_filter filter = IMAGE_FILTER_INIT;
    struct image **images = NULL;
    size_t n = 0;
    (void)all; /* "all" adds the intermediate images of a classic build, which do not exist here */
    int r = read_filter(filters, &texts, &filter, err);
    if (r == 0)
        r = image_list(engine->images, &filter, &images, &n, err);
    if (r < 0)
        return r;
    CLEANUP_JSON json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        if (json_array_append_new(list, summary_json(engine, images[i])) < 0)
            json_decref(TAKE_PTR(list));
    image_list_free(images, n);
    if (!list)
        return error_oom(err);
    *ret = TAKE_PTR(list);
    return 0;
}

/* --- inspect, history --- */

static json_t *rootfs_json(const struct image *image)
{
    return json_pack("{s:s, s:o}", "Type", "layers", "Layers",
                     json_from_strv(image->config->diff_ids));
}

int engine_image_inspect(struct engine *engine, const char *reference, json_t **ret,
                         struct error *err)
{
    CLEANUP(image_cleanup) struct image *image = NULL;
    char created[TIMESTAMP_TEXT_MAX];
    char tagged[TIMESTAMP_TEXT_MAX];
    int r = image_find(engine->images, reference, &image, err);
    if (r < 0)
        return r;
    const struct image_config *config = image->config;
    CLEANUP_JSON json_t *document = json_pack(
        "{s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:{s:s, s:{}}, s:o, s:{s:s}, "
        "s:{s:s, s:s, s:I}}",
        "Id", image->id, "RepoTags", json_from_strv(image->tags), "RepoDigests",
        json_from_strv(image->digests), "Parent", "", "Comment", string_or(config->comment, ""),
        "Created", timestamp_format(config->created, created), "DockerVersion",
        string_or(config->docker_version, ""), "Author", string_or(config->author, ""), "Config",
        image_defaults_to_json(&config->defaults), "Architecture",
        string_or(config->architecture, ""), "Os", string_or(config->os, "linux"), "Size",
        (json_int_t)image->size, "GraphDriver", "Name", "overlay2", "Data", "RootFS",
        rootfs_json(image), "Metadata", "LastTagTime", timestamp_format(image->last_tagged, tagged),
        "Descriptor", "mediaType", string_or(image->manifest_type, ""), "digest",
        string_or(image->manifest_digest, ""), "size", (json_int_t)image->manifest_size);
    if (!document || (!string_is_empty(config->variant) &&
                      json_put_string(document, "Variant", config->variant) < 0))
        return error_oom(err);
    *ret = TAKE_PTR(document);
    return 0;
}

int engine_image_history(struct engine *engine, const char *reference, json_t **ret,
                         struct error *err)
{
    CLEANUP(image_cleanup) struct image *image = NULL;
    CLEANUP_FREE struct image_history_entry *entries = NULL;
    CLEANUP_JSON json_t *list = json_array();
    size_t n = 0;
    int r = image_find(engine->images, reference, &image, err);
    if (r == 0)
        r = image_history_list(image, &entries, &n, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        json_t *tags = entries[i].tags ? json_from_strv(entries[i].tags) : json_null();
        if (json_array_append_new(
                list, json_pack("{s:s, s:I, s:s, s:o, s:I, s:s}", "Id", entries[i].id, "Created",
                                (json_int_t)(entries[i].created / 1000000000), "CreatedBy",
                                entries[i].created_by, "Tags", tags, "Size",
                                (json_int_t)entries[i].size, "Comment", entries[i].comment)) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

/* --- removal --- */

static json_t *removals_json(struct engine *engine, const struct image_removals *removals,
                             const char *image_id)
{
    CLEANUP_JSON json_t *list = json_array();
    for (size_t i = 0; list && i < removals->n; i++) {
        const struct image_removal *entry = &removals->entries[i];
        json_t *item = json_pack("{s:s}", entry->deleted ? "Deleted" : "Untagged", entry->text);
        if (!item || json_array_append_new(list, item) < 0)
            return NULL;
        /* Only the image itself is worth an event, not each of its layers. */
        if (!entry->deleted || string_equal(entry->text, image_id))
            engine_image_event(engine, entry->deleted ? "delete" : "untag",
                               string_or(image_id, entry->text), NULL);
    }
    return TAKE_PTR(list);
}

int engine_image_remove(struct engine *engine, const char *reference, bool force, bool prune,
                        json_t **ret, struct error *err)
{
    CLEANUP(image_removals_release) struct image_removals removals = IMAGE_REMOVALS_INIT;
    CLEANUP_FREE char *id = NULL;
    const struct image_users users = {.find = find_user, .data = engine};
    int r = image_remove(engine->images, reference, force, prune, &users, &removals, &id, err);
    CLEANUP_JSON json_t *list = removals_json(engine, &removals, id);
    if (r < 0)
        return r;
    if (!list)
        return error_oom(err);
    *ret = TAKE_PTR(list);
    return 0;
}

int engine_image_prune(struct engine *engine, const json_t *filters, json_t **ret,
                       struct error *err)
{
    CLEANUP(filter_texts_release) struct filter_texts texts = {0};
    CLEANUP(image_removals_release) struct image_removals removals = IMAGE_REMOVALS_INIT;
    struct image_filter filter = IMAGE_FILTER_INIT;
    const struct image_users users = {.find = find_user, .data = engine};
    int r = read_filter(filters, &texts, &filter, err);
    if (r < 0)
        return r;
    if (filter.dangling < 0)
        filter.dangling = 1; /* without a filter only dangling ones go, as docker */
    r = image_prune(engine->images, &filter, &users, &removals, err);
    if (r < 0)
        return r;
    json_t *list = removals.n > 0 ? removals_json(engine, &removals, NULL) : json_null();
    json_t *report = json_pack("{s:o, s:I}", "ImagesDeleted", list, "SpaceReclaimed",
                               (json_int_t)removals.space_reclaimed);
    if (!report)
        return error_oom(err);
    *ret = report;
    char reclaimed[24];
    (void)snprintf(reclaimed, sizeof(reclaimed), "%lld", (long long)removals.space_reclaimed);
    engine_emit(engine, "image", "prune", "", json_pack("{s:s}", "reclaimed", reclaimed));
    return 0;
}
