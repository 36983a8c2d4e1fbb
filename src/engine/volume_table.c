#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/private.h"
#include "engine/store.h"
#include "engine/volume.h"

#define ANONYMOUS_LABEL "com.docker.volume.anonymous"

struct volume_table {
    pthread_mutex_t lock;
    pthread_cond_t put; /* a volume is no longer busy, or gone */
    struct list volumes;
    size_t n;
};

static void unlock_cleanup(struct volume_table **table)
{
    pthread_mutex_unlock(&(*table)->lock);
}

static struct volume_table *lock_table(struct engine *engine)
{
    pthread_mutex_lock(&engine->volumes->lock);
    return engine->volumes;
}

#define VOLUME_TABLE(engine) CLEANUP(unlock_cleanup) struct volume_table *table = lock_table(engine)

static void volume_free(struct volume *volume)
{
    free(volume->name);
    free(volume->filler);
    json_decref(volume->labels);
    json_decref(volume->options);
    free(volume);
}

struct volume_table *volume_table_new(void)
{
    struct volume_table *table = calloc(1, sizeof(*table));
    if (!table)
        return NULL;
    pthread_mutex_init(&table->lock, NULL);
    pthread_cond_init(&table->put, NULL);
    list_init(&table->volumes);
    return table;
}

struct volume_table *volume_table_free(struct volume_table *table)
{
    if (!table)
        return NULL;
    LIST_FOR_EACH (volume, &table->volumes, struct volume, node)
        volume_free(volume);
    pthread_cond_destroy(&table->put);
    pthread_mutex_destroy(&table->lock);
    free(table);
    return NULL;
}

int volume_table_each(struct engine *engine, int (*each)(const struct volume *volume, void *data),
                      void *data)
{
    VOLUME_TABLE(engine);
    LIST_FOR_EACH (volume, &table->volumes, struct volume, node) {
        int r = volume->removing ? 0 : each(volume, data);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- rows --- */

static json_t *volume_document(const struct volume *volume)
{
    CLEANUP_JSON json_t *document = json_object();
    int r = json_put_bool(document, "removing", volume->removing);
    r = r ?: json_put_string(document, "filler", volume->filler);
    if (r == 0 && volume->labels)
        r = json_put(document, "labels", json_incref(volume->labels));
    if (r == 0 && volume->options)
        r = json_put(document, "options", json_incref(volume->options));
    return r < 0 ? NULL : TAKE_PTR(document);
}

int volume_save(struct engine *engine, struct volume *volume, struct error *err)
{
    CLEANUP_JSON json_t *document = volume_document(volume);
    if (!document)
        return error_oom(err);
    return store_volume_save(engine->store, volume->name, volume->created, document, err);
}

static int load_one(const char *name, int64_t created, json_t *document, void *data,
                    struct error *err)
{
    struct engine *engine = data;
    struct volume *volume = calloc(1, sizeof(*volume));
    const char *filler = NULL;
    json_t *labels = NULL;
    json_t *options = NULL;
    int r;
    if (!volume)
        return error_oom(err);
    list_append(&engine->volumes->volumes, &volume->node);
    engine->volumes->n++;
    volume->created = created;
    if ((r = json_get_bool(document, "removing", &volume->removing, err)) < 0 ||
        (r = json_get_string(document, "filler", &filler, err)) < 0 ||
        (r = json_get_object(document, "labels", &labels, err)) < 0 ||
        (r = json_get_object(document, "options", &options, err)) < 0)
        return error_wrap(err, r, "store: volume %s", name);
    volume->labels = json_incref(labels);
    volume->options = json_incref(options);
    if (string_replace(&volume->name, name) < 0 || string_replace(&volume->filler, filler) < 0)
        return error_oom(err);
    return 0;
}

int volume_table_load(struct engine *engine, struct error *err)
{
    return store_volume_each(engine->store, load_one, engine, err);
}

/* --- names and directories --- */

static bool name_char(char c, bool first)
{
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return word || (!first && (c == '_' || c == '.' || c == '-'));
}

static int check_name(const char *name, struct error *err)
{
    size_t length = strlen(name);
    if (length == 1)
        return error_set_class(err, ERROR_INVALID,
                               "create %s: volume name is too short, names should be at least two "
                               "alphanumeric characters",
                               name);
    if (length > VOLUME_NAME_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "create %.32s...: volume name is too long, names have at most %d "
                               "characters",
                               name, VOLUME_NAME_MAX);
    bool good = name_char(name[0], true);
    for (size_t i = 1; good && i < length; i++)
        good = name_char(name[i], false);
    if (good)
        return 0;
    return error_set_class(
        err, ERROR_INVALID,
        "create %s: \"%s\" includes invalid characters for a local volume name, "
        "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass "
        "a host directory, use absolute path",
        name, name);
}

char *volume_path(const struct engine *engine, const char *name)
{
    return string_format("%s/volumes/%s/_data", engine->config.root, name);
}

/* What is in the volume is its containers' to protect: nobody else of the host passes the
 * directory above, or a program with set-uid bits in a volume were one of the host's. */
static int make_directories(const struct engine *engine, const char *name, struct error *err)
{
    CLEANUP_FREE char *above = string_format("%s/volumes", engine->config.root);
    CLEANUP_FREE char *path = volume_path(engine, name);
    if (!above || !path)
        return error_oom(err);
    int r = path_make_dirs(above, 0700, err);
    return r < 0 ? r : path_make_dirs(path, 0755, err);
}

static int remove_directories(const struct engine *engine, const char *name, struct error *err)
{
    CLEANUP_FREE char *path = string_format("%s/volumes/%s", engine->config.root, name);
    return path ? path_remove_tree(AT_FDCWD, path, err) : error_oom(err);
}

/* --- having one --- */

static struct volume *find(struct volume_table *table, const char *name)
{
    LIST_FOR_EACH (volume, &table->volumes, struct volume, node)
        if (string_equal(volume->name, name))
            return volume;
    return NULL;
}

/* NULL when there is none. Somebody else's is waited for. Under the table's lock. */
static struct volume *find_free(struct volume_table *table, const char *name)
{
    struct volume *volume;
    while ((volume = find(table, name)) && volume->busy)
        pthread_cond_wait(&table->put, &table->lock);
    if (volume)
        volume->busy = true;
    return volume;
}

int volume_acquire(struct engine *engine, const char *name, struct volume **ret, struct error *err)
{
    VOLUME_TABLE(engine);
    struct volume *volume = find_free(table, name);
    if (!volume)
        return error_set_class(err, ERROR_NOT_FOUND, "get %s: no such volume", name);
    *ret = volume;
    return 0;
}

void volume_put(struct engine *engine, struct volume *volume)
{
    VOLUME_TABLE(engine);
    volume->busy = false;
    pthread_cond_broadcast(&table->put);
}

static void forget(struct engine *engine, struct volume *volume)
{
    VOLUME_TABLE(engine);
    list_remove(&volume->node);
    table->n--;
    pthread_cond_broadcast(&table->put);
    volume_free(volume);
}

static struct volume *volume_new(const char *name, const struct volume_spec *spec)
{
    struct volume *volume = calloc(1, sizeof(*volume));
    if (!volume)
        return NULL;
    volume->name = strdup(name);
    volume->created = timestamp_now();
    volume->busy = true;
    volume->labels = spec->labels ? json_deep_copy(spec->labels) : NULL;
    if (spec->anonymous || string_is_empty(spec->name)) {
        volume->labels = volume->labels ? volume->labels : json_object();
        (void)json_put_string(volume->labels, ANONYMOUS_LABEL, "");
    }
    if (json_object_size(spec->options) > 0)
        volume->options = json_deep_copy(spec->options);
    if (volume->name)
        return volume;
    volume_free(volume);
    return NULL;
}

/* 1: it is new. */
static int enter(struct engine *engine, const struct volume_spec *spec, const char *name,
                 struct volume **ret, struct error *err)
{
    VOLUME_TABLE(engine);
    *ret = find_free(table, name);
    if (*ret)
        return 0;
    if (table->n >= VOLUMES_MAX)
        return error_set(err, -ENOSPC, "create %s: there are %d volumes, and no more can be made",
                         name, VOLUMES_MAX);
    struct volume *volume = volume_new(name, spec);
    if (!volume)
        return error_oom(err);
    list_append(&table->volumes, &volume->node);
    table->n++;
    *ret = volume;
    return 1;
}

static int check_labels(const char *name, const json_t *labels, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)labels, key, value) {
        if (!json_is_string(value))
            return error_set_class(err, ERROR_INVALID, "create %s: label %s is no string", name,
                                   key);
    }
    return 0;
}

int volume_make(struct engine *engine, const struct volume_spec *spec, struct volume **ret,
                struct error *err)
{
    struct volume *volume = NULL;
    char made_up[ID_LENGTH + 1];
    const char *name = spec->name;
    if (string_is_empty(name)) {
        random_id(made_up);
        name = made_up;
    }
    int r = check_name(name, err);
    if (r < 0 || (r = check_labels(name, spec->labels, err)) < 0)
        return r;
    r = volume_driver_check(spec->options, err);
    if (r < 0)
        return error_wrap(err, r, "create %s", name);
    r = enter(engine, spec, name, &volume, err);
    if (r <= 0) {
        if (r == 0)
            *ret = volume;
        return r;
    }
    r = volume_save(engine, volume, err);
    if (r == 0 && (r = make_directories(engine, name, err)) < 0)
        (void)store_volume_remove(engine->store, name, NULL);
    if (r < 0) {
        forget(engine, volume);
        return error_wrap(err, r, "create %s", name);
    }
    engine_emit(engine, "volume", "create", name, json_pack("{s:s}", "driver", "local"));
    *ret = volume;
    return 0;
}

/* --- removal --- */

static int refuse_in_use(struct engine *engine, const char *name, struct error *err)
{
    CLEANUP_STRV char **ids = NULL;
    int r = container_volume_refs(engine, name, &ids, err);
    if (r < 0 || !ids)
        return r;
    CLEANUP_FREE char *all = strv_join(ids, ", ");
    return error_set_class(err, ERROR_CONFLICT, "remove %s: volume is in use - [%s]", name,
                           string_or(all, ids[0]));
}

static int remove_marked(struct engine *engine, struct volume *volume, struct error *err)
{
    CLEANUP_FREE char *path = volume_path(engine, volume->name);
    if (!path)
        return error_oom(err);
    if (volume->options)
        volume_driver_unmount(path);
    int r = remove_directories(engine, volume->name, err);
    return r < 0 ? error_wrap(err, r, "remove %s", volume->name)
                 : store_volume_remove(engine->store, volume->name, err);
}

int volume_remove(struct engine *engine, struct volume *volume, struct error *err)
{
    int r = refuse_in_use(engine, volume->name, err);
    if (r == 0) {
        volume->removing = true;
        r = volume_save(engine, volume, err);
    }
    if (r == 0)
        r = remove_marked(engine, volume, err);
    if (r < 0) {
        if (volume->removing) {
            volume->removing = false;
            (void)volume_save(engine, volume, NULL);
        }
        volume_put(engine, volume);
        return r;
    }
    engine_emit(engine, "volume", "destroy", volume->name, json_pack("{s:s}", "driver", "local"));
    forget(engine, volume);
    return 0;
}

/* --- use by a run --- */

int volume_use(struct engine *engine, struct volume *volume, struct error *err)
{
    if (!volume->options)
        return 0;
    CLEANUP_FREE char *path = volume_path(engine, volume->name);
    if (!path)
        return error_oom(err);
    int r = volume->users ? 0 : volume_driver_mount(volume->name, path, volume->options, err);
    if (r == 0)
        volume->users++;
    return r;
}

void volume_unuse(struct engine *engine, struct volume *volume)
{
    if (!volume->options || !volume->users || --volume->users > 0)
        return;
    CLEANUP_FREE char *path = volume_path(engine, volume->name);
    if (path)
        volume_driver_unmount(path);
}

/* --- after a start of hulld; nobody else works on volumes yet --- */

/* Content of an image of which nobody knows how much is there. Other containers' files may be among
 * it if they use the volume, too; then it stays. */
static int empty_half_filled(struct engine *engine, struct volume *volume, struct error *err)
{
    CLEANUP_STRV char **ids = NULL;
    int r = container_volume_refs(engine, volume->name, &ids, err);
    if (r < 0)
        return r;
    bool only_filler = strv_length(ids) == (strv_contains(ids, volume->filler) ? 1 : 0);
    if (only_filler && !volume->options)
        r = remove_directories(engine, volume->name, err);
    free(TAKE_PTR(volume->filler));
    return r < 0 ? r : volume_save(engine, volume, err);
}

static int settle_one(struct engine *engine, struct volume *volume, struct error *err)
{
    CLEANUP_FREE char *path = volume_path(engine, volume->name);
    if (!path)
        return error_oom(err);
    if (volume->options && !volume->users)
        volume_driver_unmount(path);
    int r = volume->filler ? empty_half_filled(engine, volume, err) : 0;
    return r < 0 ? r : make_directories(engine, volume->name, err);
}

void volume_table_settle(struct engine *engine)
{
    LIST_FOR_EACH (volume, &engine->volumes->volumes, struct volume, node) {
        struct error err = ERROR_INIT;
        volume->busy = true;
        if (volume->removing) {
            if (volume_remove(engine, volume, &err) < 0)
                log_warning("cannot remove a volume: %s", err.message);
            continue;
        }
        if (settle_one(engine, volume, &err) < 0)
            log_warning("volume %s: %s", volume->name, err.message);
        volume_put(engine, volume);
    }
}
