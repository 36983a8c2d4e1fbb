/* create, rename and the names of containers. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/names.h"
#include "engine/private.h"
#include "engine/store.h"
#include "engine/volume.h"
#include "image/image.h"

enum { NAME_TRIES = 64 };

static bool name_char(char c, bool first)
{
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return word || (!first && (c == '_' || c == '.' || c == '-'));
}

static int check_name(const char *name, struct error *err)
{
    size_t length = strlen(name);
    bool good = length >= 2 && length <= CONTAINER_NAME_MAX && name_char(name[0], true);
    for (size_t i = 1; good && i < length; i++)
        good = name_char(name[i], false);
    return good ? 0
                : error_set_class(err, ERROR_INVALID,
                                  "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
                                  "allowed",
                                  name);
}

static const struct container *name_owner(struct engine *engine, const char *name)
{
    LIST_FOR_EACH (container, &engine->containers, struct container, node)
        if (string_equal(container->name, name))
            return container;
    return NULL;
}

static int name_conflict(const struct container *owner, const char *name, struct error *err)
{
    return error_set_class(err, ERROR_CONFLICT,
                           "Conflict. The container name \"/%s\" is already in use by container "
                           "\"%s\". You have to remove (or rename) that container to be able to "
                           "reuse that name.",
                           name, owner->id);
}

/* Gives the container its name and puts it into the table, in one step under the state lock. */
static int enter_table(struct container *container, const char *wanted, struct error *err)
{
    struct engine *engine = container->engine;
    ENGINE_STATE(engine);
    if (wanted) {
        const struct container *owner = name_owner(engine, wanted);
        if (owner)
            return name_conflict(owner, wanted, err);
        if (string_replace(&container->name, wanted) < 0)
            return error_oom(err);
    } else {
        char name[CONTAINER_NAME_MAX + 1];
        int tries = 0;
        do {
            if (++tries > NAME_TRIES)
                return error_set(err, -EEXIST, "no free name was found");
            container_random_name(name, sizeof(name), tries > NAME_TRIES / 2);
        } while (name_owner(engine, name));
        if (string_replace(&container->name, name) < 0)
            return error_oom(err);
    }
    list_append(&engine->containers, &container->node);
    engine->n_containers++;
    (void)container_ref(container);
    container->in_table = true;
    return 0;
}

static void leave_table(struct container *container)
{
    struct engine *engine = container->engine;
    {
        ENGINE_STATE(engine);
        if (!container->in_table)
            return;
        list_remove(&container->node);
        engine->n_containers--;
        container->in_table = false;
    }
    container_put(container);
}

void container_leave_table(struct container *container)
{
    leave_table(container);
}

static int create_on_disk(struct container *container, struct error *err)
{
    struct engine *engine = container->engine;
    if (mkdir(container->directory, 0711) < 0)
        return error_set_errno(err, -errno, "cannot make '%s'", container->directory);
    int r = image_hold(engine->images, container->id, container->image_id, err);
    if (r < 0)
        return r;
    ENGINE_STATE(engine);
    return container_save(container, err);
}

static int find_image(struct container *container, const char *name, const char *platform,
                      struct image **ret, struct error *err)
{
    struct engine *engine = container->engine;
    struct image *image = NULL;
    struct image_platform wanted = {0};
    CLEANUP_FREE char *text = NULL;
    int r = image_find(engine->images, name, &image, err);
    if (r < 0)
        return r;
    bool asked = !string_is_empty(platform);
    if (asked)
        r = image_platform_parse(platform, &wanted, &text, err);
    if (r == 0)
        r = image_check_platform(engine->images, image, name, asked ? &wanted : NULL, asked, err);
    if (r < 0) {
        image_free(image);
        return r;
    }
    *ret = image;
    return 0;
}

static void image_cleanup(struct image **image)
{
    image_free(*image);
}

int engine_container_create(struct engine *engine, const char *name, const char *platform,
                            json_t *body, char ret_id[65], char ***ret_warnings, struct error *err)
{
    const char *image_name = "";
    CLEANUP(image_cleanup) struct image *image = NULL;
    CLEANUP_STRV char **warnings = NULL;
    CLEANUP_CONTAINER struct container *container = container_new(engine);
    if (!container)
        return error_oom(err);
    if (!json_is_object(body))
        return error_set_class(err, ERROR_INVALID, "the request is not a JSON object");
    random_id(container->id);
    container->created = timestamp_now();
    if (name && name[0] == '/')
        name++;
    int r = string_is_empty(name) ? 0 : check_name(name, err);
    if (r < 0 || (r = json_get_string(body, "Image", &image_name, err)) < 0)
        return r;
    if (string_is_empty(image_name))
        return error_set_class(err, ERROR_INVALID,
                               "config cannot be empty in order to create a container");
    if ((r = find_image(container, image_name, platform, &image, err)) < 0 ||
        (r = container_apply_request(container, body, image, &warnings, err)) < 0)
        return r;
    if (string_replace(&container->image_name, image_name) < 0 ||
        string_replace(&container->image_id, image->id) < 0)
        return error_oom(err);
    r = container_derive(container, err);
    if (r < 0)
        return r;
    /* Others see it from here on: who wants to start or remove it waits until it is whole. */
    CONTAINER_OPERATION(container);
    r = enter_table(container, string_is_empty(name) ? NULL : name, err);
    if (r < 0)
        return r;
    r = create_on_disk(container, err);
    if (r == 0)
        r = container_volumes_make(container, err);
    if (r < 0) {
        leave_table(container);
        (void)container_erase(container, NULL);
        container_volumes_remove(container);
        return r;
    }
    engine_emit_container(engine, container, "create", NULL);
    string_copy(ret_id, 65, container->id);
    *ret_warnings = TAKE_PTR(warnings);
    return 0;
}

int engine_container_rename(struct engine *engine, const char *reference, const char *name,
                            struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    if (string_is_empty(name))
        return error_set_class(err, ERROR_INVALID, "Neither old nor new names may be empty");
    if (name[0] == '/')
        name++;
    r = check_name(name, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *old = NULL;
    {
        CONTAINER_OPERATION(container);
        ENGINE_STATE(engine);
        if (!container->in_table)
            return error_set_class(err, ERROR_NOT_FOUND, "No such container: %s", reference);
        const struct container *owner = name_owner(engine, name);
        if (owner == container)
            return error_set_class(err, ERROR_INVALID,
                                   "Renaming a container with the same name as its current name");
        if (owner)
            return name_conflict(owner, name, err);
        old = TAKE_PTR(container->name);
        container->name = strdup(name);
        r = container->name ? container_save(container, err) : error_oom(err);
        if (r < 0) {
            free(container->name);
            container->name = TAKE_PTR(old);
            return r;
        }
    }
    CLEANUP_FREE char *old_name = string_format("/%s", old);
    engine_emit_container(engine, container, "rename",
                          json_pack("{s:s}", "oldName", string_or(old_name, "")));
    return 0;
}
