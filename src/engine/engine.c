/* Opening and closing an engine. */
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/pool.h"
#include "engine/private.h"
#include "engine/store.h"
#include "engine/templates.h"
#include "engine/volume.h"
#include "image/image.h"
#include "net/network.h"

static int own(struct engine *engine, const char **text)
{
    if (!*text)
        return 0;
    char *copy = strdup(*text);
    int r = strv_append_take(&engine->owned, copy);
    *text = copy;
    return r;
}

/* Copies the texts: the caller's configuration may go. */
static int copy_config(struct engine *engine, const struct engine_config *config, struct error *err)
{
    struct engine_config *mine = &engine->config;
    *mine = *config;
    const char **texts[] = {
        &mine->root,
        &mine->state,
        &mine->worker_program,
        &mine->init_program,
        &mine->vm_files.uml_kernel,
        &mine->vm_files.x86_kernel,
        &mine->vm_files.qemu,
        &mine->vm_files.virtiofsd,
        &mine->vm_modules,
        &mine->bridge,
        &mine->bip,
        &mine->log_driver,
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (own(engine, texts[i]) < 0)
            return error_oom(err);
    mine->insecure_registries = strv_copy(config->insecure_registries);
    mine->registry_mirrors = strv_copy(config->registry_mirrors);
    mine->log_opts = strv_copy(config->log_opts);
    if (!mine->memory_default)
        mine->memory_default = VM_MEMORY_DEFAULT;
    engine->users_dir = string_format("%s/users", mine->state);
    engine->initramfs = string_format("%s/initramfs.cpio", mine->root);
    engine->x86_initramfs =
        mine->vm_modules ? string_format("%s/initramfs-x86.cpio", mine->root) : NULL;
    bool complete = mine->insecure_registries && mine->registry_mirrors && mine->log_opts &&
                    engine->users_dir && engine->initramfs &&
                    (engine->x86_initramfs || !mine->vm_modules);
    return complete ? 0 : error_oom(err);
}

static int make_directories(const struct engine *engine, struct error *err)
{
    const struct {
        const char *base;
        const char *name;
        mode_t mode;
    } directories[] = {
        {engine->config.root, "containers", 0711},
        {engine->config.root, "scratch", 0700},
        {engine->config.state, "containers", 0711},
        {engine->config.state, "users", 0755},
    };
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        CLEANUP_FREE char *path = string_format("%s/%s", directories[i].base, directories[i].name);
        if (!path)
            return error_oom(err);
        int r = path_make_dirs(path, directories[i].mode, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int open_store(struct engine *engine, struct error *err)
{
    CLEANUP_FREE char *path = string_format("%s/hull.db", engine->config.root);
    if (!path)
        return error_oom(err);
    int r = store_open(path, &engine->store, err);
    if (r < 0 || (r = store_get(engine->store, "engine-id", &engine->id, err)) < 0 || engine->id)
        return r;
    char id[ID_LENGTH + 1];
    random_id(id);
    engine->id = string_format("%.8s-%.4s-%.4s-%.4s-%.12s", id, id + 8, id + 12, id + 16, id + 20);
    return engine->id ? store_set(engine->store, "engine-id", engine->id, err) : error_oom(err);
}

static int open_images(struct engine *engine, struct error *err)
{
    const struct image_store_config config = {
        .root = engine->config.root,
        .insecure_registries = engine->config.insecure_registries,
        .registry_mirrors = engine->config.registry_mirrors,
    };
    int r = image_library_init(err);
    return r < 0 ? r : image_store_open(&config, &engine->images, err);
}

static int open_network(struct engine *engine, struct error *err)
{
    struct net_config config = NET_CONFIG_INIT;
    if (string_equal(engine->config.bridge, "none"))
        return 0;
    if (engine->config.bridge)
        config.bridge = engine->config.bridge;
    config.bip = engine->config.bip;
    config.inter_container = !engine->config.closed;
    int r = net_open(&config, &engine->net, err);
    return r < 0 ? error_wrap(err, r, "default bridge") : 0;
}

static void init_locks(struct engine *engine)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->probe_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int open_all(struct engine *engine, const struct engine_config *config, struct error *err)
{
    int r;
    if ((r = copy_config(engine, config, err)) < 0 || (r = make_directories(engine, err)) < 0 ||
        /* The image store's lock keeps a second engine away from this root. */
        (r = open_images(engine, err)) < 0 || (r = open_store(engine, err)) < 0 ||
        (r = open_network(engine, err)) < 0)
        return r;
    engine->events = event_bus_new();
    engine->volumes = volume_table_new();
    if (!engine->events || !engine->volumes)
        return error_oom(err);
    engine->janitor = janitor_new(err);
    if (!engine->janitor)
        return err ? err->code : -ENOMEM;
    if ((r = engine_templates_open(engine, &engine->templates, err)) < 0)
        return r;
    /* Nothing is heard of the workers before the table is whole. */
    if ((r = engine_watch_open(engine, err)) < 0 || (r = engine_recover(engine, err)) < 0)
        return r;
    /* Before a container that is started again leases what it had. */
    if ((r = engine_pool_open(engine, &engine->pool, err)) < 0)
        return r;
    return engine_watch_start(engine, err);
}

int engine_open(const struct engine_config *config, struct engine **ret, struct error *err)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    if (!engine)
        return error_oom(err);
    engine->wake_fd = -EBADF;
    engine->wake.fd = -EBADF;
    engine->started = timestamp_now();
    list_init(&engine->containers);
    list_init(&engine->waits);
    list_init(&engine->execs);
    list_init(&engine->adopted);
    init_locks(engine);
    int r = open_all(engine, config, err);
    if (r < 0) {
        engine_close(engine);
        return r;
    }
    *ret = engine;
    return 0;
}

static void free_containers(struct engine *engine)
{
    LIST_FOR_EACH (container, &engine->containers, struct container, node) {
        engine_execs_forget(engine, container);
        container_leave_table(container);
    }
}

struct engine *engine_close(struct engine *engine)
{
    if (!engine)
        return NULL;
    engine_pool_stop(engine->pool);
    /* The loop thread hands tasks to the janitor, so it goes first. */
    if (engine->loop)
        engine_watch_stop(engine);
    if (engine->janitor)
        engine->janitor = janitor_free(engine->janitor);
    engine->pool = engine_pool_free(engine->pool); /* a restart may have asked it until now */
    engine->templates = engine_templates_close(engine->templates);
    free_containers(engine);
    event_bus_free(engine->events);
    volume_table_free(engine->volumes);
    net_free(engine->net);
    image_store_close(engine->images);
    store_close(engine->store);
    strv_free((char **)(uintptr_t)engine->config.insecure_registries);
    strv_free((char **)(uintptr_t)engine->config.registry_mirrors);
    strv_free((char **)(uintptr_t)engine->config.log_opts);
    strv_free(engine->owned);
    free(engine->id);
    free(engine->users_dir);
    free(engine->initramfs);
    free(engine->x86_initramfs);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->probe_lock);
    free(engine);
    return NULL;
}
