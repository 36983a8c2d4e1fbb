/* Theory of operation.
 *
 * A template is named by a hash of all that it depends on (vm_template_identity()); so one that has
 * become old is never found again. It is in one of these states:
 *
 *   SEEN     asked for once, for a VM of another size than most: it may have been the only one
 *   WANTED   to be made by the thread
 *   READY    its memory is a sealed memfd here, its state a file
 *   FAILED   could not be made or did not work; left alone for an hour
 *
 * The thread makes one at a time, with low priority, since the container that asked for it boots at
 * the same time: boots it in a folder ".new", writes it there, and renames that. What an earlier
 * hulld made is read when it is first asked for. At most ENGINE_TEMPLATES_MAX are kept: the one
 * that was not asked for for the longest time goes, and with it those of earlier versions, which
 * nobody asks for any more.
 *
 * A worker finds the memory through /proc/<hulld>/fd, and the state by its path. When a VM could
 * not be made from it, the worker removes the state: that is how this engine hears of it. */
#include "engine/templates.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/job.h"
#include "engine/private.h"
#include "engine/template_file.h"
#include "image/digest.h"
#include "vm/jail.h"
#include "vm/template.h"

enum { MAKER_NICE = 10, SHORT = 12 };
#define NEW ".new"

enum template_status { TEMPLATE_SEEN, TEMPLATE_WANTED, TEMPLATE_READY, TEMPLATE_FAILED };

struct template_entry {
    struct list node; /* the one asked for last is last */
    char key[ENGINE_TEMPLATE_KEY_SIZE];
    enum template_status status;
    enum vm_engine engine;
    uint64_t memory_size;
    double cpus;
    int memory;
    ino_t inode;
    unsigned failures;
    int64_t not_before; /* of a FAILED one: timestamp_monotonic() */
};

struct engine_templates {
    struct engine *engine;
    char *directory; /* <root>/templates */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct list entries;
    size_t n_entries;
    pthread_t thread;
    bool running;
    bool stopping;
    int stop; /* eventfd: ends a boot */
};

static struct engine_templates *lock(struct engine_templates *templates)
{
    pthread_mutex_lock(&templates->lock);
    return templates;
}

static void unlock(struct engine_templates **templates)
{
    pthread_mutex_unlock(&(*templates)->lock);
}

#define LOCKED(owner) \
    CLEANUP(unlock) struct engine_templates *guard_ __attribute__((unused)) = lock(owner)

/* --- entries; the lock is held --- */

static char *path_of(const struct engine_templates *templates, const char *key)
{
    return path_join(templates->directory, key);
}

static void remove_files(const struct engine_templates *templates, const char *key)
{
    CLEANUP_FREE char *path = path_of(templates, key);
    struct error why = ERROR_INIT;
    if (path && path_remove_tree(AT_FDCWD, path, &why) < 0)
        log_warning("a template of a utility VM cannot be removed: %s", why.message);
}

static struct template_entry *free_entry(struct engine_templates *templates,
                                         struct template_entry *entry)
{
    list_remove(&entry->node);
    templates->n_entries--;
    fd_close(entry->memory);
    free(entry);
    return NULL;
}

static void let_go(struct template_entry *entry)
{
    entry->memory = fd_close(entry->memory);
}

static struct template_entry *find(struct engine_templates *templates, const char *key)
{
    LIST_FOR_EACH (entry, &templates->entries, struct template_entry, node)
        if (string_equal(entry->key, key)) {
            list_remove(&entry->node);
            list_append(&templates->entries, &entry->node);
            return entry;
        }
    return NULL;
}

static struct template_entry *oldest(struct engine_templates *templates,
                                     enum template_status status)
{
    LIST_FOR_EACH (entry, &templates->entries, struct template_entry, node)
        if (entry->status == status)
            return entry;
    return NULL;
}

/* What was asked for once only does not drive out what is used. */
static void make_room(struct engine_templates *templates)
{
    struct template_entry *entry;
    if (templates->n_entries < ENGINE_TEMPLATES_MAX)
        return;
    entry = oldest(templates, TEMPLATE_SEEN);
    entry = entry ? entry : oldest(templates, TEMPLATE_FAILED);
    entry = entry ? entry : oldest(templates, TEMPLATE_READY);
    if (!entry)
        return;
    remove_files(templates, entry->key);
    free_entry(templates, entry);
}

static struct template_entry *add(struct engine_templates *templates, const char *key,
                                  const struct vm_config *config)
{
    struct template_entry *entry;
    make_room(templates);
    entry = calloc(1, sizeof(*entry));
    if (!entry || templates->n_entries >= ENGINE_TEMPLATES_MAX) {
        free(entry);
        return NULL;
    }
    *entry = (struct template_entry){
        .engine = config->engine,
        .memory_size = config->memory,
        .cpus = config->cpus,
        .memory = -EBADF,
    };
    (void)string_copy(entry->key, sizeof(entry->key), key);
    list_append(&templates->entries, &entry->node);
    templates->n_entries++;
    return entry;
}

static void set_failed(struct template_entry *entry)
{
    let_go(entry);
    entry->status = TEMPLATE_FAILED;
    entry->failures = 0;
    entry->not_before =
        timestamp_monotonic() + ENGINE_TEMPLATE_RETRY_S * INT64_C(1000) * 1000 * 1000;
}

static int set_ready(struct template_entry *entry, int memory)
{
    struct stat st;
    if (fstat(memory, &st) < 0) {
        close(memory);
        return -errno;
    }
    entry->memory = memory;
    entry->inode = st.st_ino;
    entry->status = TEMPLATE_READY;
    return 0;
}

/* --- making --- */

static void fill_config(const struct engine_templates *templates,
                        const struct template_entry *entry, struct vm_config *ret)
{
    struct engine *engine = templates->engine;
    /* After the containers' ids come the probe's, and then these. */
    uid_t uid = engine->config.vm_uid_first + (engine->config.vm_uid_count + 1) * VM_JAIL_IDS;
    *ret = (struct vm_config){
        .id = "template",
        .engine = entry->engine,
        .memory = entry->memory_size,
        .cpus = entry->cpus,
        .uid = uid,
        .gid = uid,
        .background = true,
    };
    engine_vm_files(engine, &ret->files);
}

/* Boots and saves into `directory`, which exists. Returns the sealed memory. */
static int boot(struct engine_templates *templates, const char *directory, struct vm_config *config,
                struct error *err)
{
    CLEANUP_FREE char *console = string_format("%s/console.log", directory);
    CLEANUP_FREE char *root = string_format("%s/template/root", templates->engine->config.state);
    CLEANUP_FREE char *cgroup = string_format("/hull/template-%d-vm", (int)getpid());
    CLEANUP_FREE char *state_path = path_join(directory, TEMPLATE_FILE_STATE);
    CLEANUP_CLOSE int state = -EBADF;
    CLEANUP_CLOSE int memory = -EBADF;
    int r;
    if (!console || !root || !cgroup || !state_path)
        return error_oom(err);
    config->console_path = console;
    config->runtime_dir = root;
    config->cgroup = cgroup;
    r = path_make_dirs(root, 0700, err);
    if (r < 0)
        return r;
    state = open(state_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (state < 0)
        return error_set_errno(err, -errno, "making %s", state_path);
    memory = vm_template_new_memory(config, err);
    r = memory < 0 ? memory : vm_template_make(config, memory, state, templates->stop, err);
    if (r == 0)
        r = vm_template_seal(memory, err);
    return r < 0 ? r : TAKE_FD(memory);
}

/* Without the lock. Returns the memory. */
static int make(struct engine_templates *templates, const char *key, struct vm_config *config,
                struct error *err)
{
    CLEANUP_FREE char *new = path_of(templates, NEW);
    CLEANUP_FREE char *path = path_of(templates, key);
    int r;
    if (!new || !path)
        return error_oom(err);
    if ((r = path_remove_tree(AT_FDCWD, new, err)) < 0 ||
        (r = path_make_dirs(new, 0700, err)) < 0 || (r = path_remove_tree(AT_FDCWD, path, err)) < 0)
        return r;
    CLEANUP_CLOSE int memory = boot(templates, new, config, err);
    r = memory < 0 ? memory : template_file_save(new, memory, err);
    if (r == 0 && rename(new, path) < 0)
        r = error_set_errno(err, -errno, "publishing %s", path);
    if (r < 0) {
        (void)path_remove_tree(AT_FDCWD, new, NULL);
        return r;
    }
    return TAKE_FD(memory);
}

static bool next_wanted(struct engine_templates *templates, char key[ENGINE_TEMPLATE_KEY_SIZE],
                        struct vm_config *config)
{
    LOCKED(templates);
    for (;;) {
        if (templates->stopping)
            return false;
        LIST_FOR_EACH (entry, &templates->entries, struct template_entry, node)
            if (entry->status == TEMPLATE_WANTED) {
                (void)string_copy(key, ENGINE_TEMPLATE_KEY_SIZE, entry->key);
                fill_config(templates, entry, config);
                return true;
            }
        pthread_cond_wait(&templates->changed, &templates->lock);
    }
}

static void *run(void *data)
{
    struct engine_templates *templates = data;
    char key[ENGINE_TEMPLATE_KEY_SIZE];
    struct vm_config config;
    (void)setpriority(PRIO_PROCESS, 0, MAKER_NICE); /* of this thread, and the VMM's */
    while (next_wanted(templates, key, &config)) {
        struct error why = ERROR_INIT;
        int64_t before = timestamp_monotonic();
        int memory = make(templates, key, &config, &why);
        LOCKED(templates);
        struct template_entry *entry = find(templates, key);
        if (memory >= 0 && entry && set_ready(entry, memory) == 0) {
            log_info("a template of the utility VM is ready (%.*s, %d ms)", SHORT, key,
                     (int)((timestamp_monotonic() - before) / 1000000));
            continue;
        }
        if (entry)
            set_failed(entry);
        if (memory < 0 && !templates->stopping)
            log_warning("utility VMs are booted and not made from a template: %s", why.message);
    }
    return NULL;
}

/* --- use --- */

/* One that an earlier hulld made. */
static void look_on_disk(struct engine_templates *templates, struct template_entry *entry,
                         const struct vm_config *config)
{
    CLEANUP_FREE char *path = path_of(templates, entry->key);
    struct error why = ERROR_INIT;
    int memory = path ? vm_template_new_memory(config, &why) : -ENOMEM;
    int r = memory < 0 ? memory : template_file_load(path, memory, &why);
    if (r == 0)
        r = set_ready(entry, memory);
    else
        fd_close(memory);
    if (r == 0 || r == -ENOENT)
        return;
    log_warning("a template of the utility VM is removed: %s", why.message);
    remove_files(templates, entry->key);
}

/* Does it still have its state? */
static bool is_whole(const struct engine_templates *templates, const struct template_entry *entry,
                     char **ret_state)
{
    CLEANUP_FREE char *path = path_of(templates, entry->key);
    *ret_state = path ? path_join(path, TEMPLATE_FILE_STATE) : NULL;
    return *ret_state && access(*ret_state, F_OK) == 0;
}

static int name_in_job(struct compute_job *job, const struct template_entry *entry, char *state)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), entry->memory);
    job->template_inode = entry->inode;
    return string_replace(&job->template_memory, path) < 0
               ? -ENOMEM
               : string_replace(&job->template_state, state);
}

/* One that a worker found not to work. */
static void lose(struct engine_templates *templates, struct template_entry *entry)
{
    remove_files(templates, entry->key);
    let_go(entry);
    entry->status = TEMPLATE_WANTED;
    if (++entry->failures >= ENGINE_TEMPLATE_FAILURES_MAX) {
        log_warning("utility VMs are booted: what is made from their template does not work");
        set_failed(entry);
    }
}

static int start_thread(struct engine_templates *templates)
{
    int r = templates->running ? 0 : -pthread_create(&templates->thread, NULL, run, templates);
    templates->running = r == 0;
    pthread_cond_signal(&templates->changed);
    return r;
}

static struct template_entry *find_or_add(struct engine_templates *templates, const char *key,
                                          const struct vm_config *config)
{
    const struct engine *engine = templates->engine;
    bool usual = config->cpus <= 1 &&
                 config->memory == (engine->config.memory_default ? engine->config.memory_default
                                                                  : VM_MEMORY_DEFAULT);
    struct template_entry *entry = find(templates, key);
    if (!entry) {
        entry = add(templates, key, config);
        if (!entry)
            return NULL;
        look_on_disk(templates, entry, config);
        if (entry->status == TEMPLATE_SEEN && usual)
            entry->status = TEMPLATE_WANTED;
    } else if (entry->status == TEMPLATE_SEEN ||
               (entry->status == TEMPLATE_FAILED && timestamp_monotonic() >= entry->not_before)) {
        entry->status = TEMPLATE_WANTED;
    }
    return entry;
}

void engine_templates_use(struct engine_templates *templates, struct compute_job *job)
{
    char digest[DIGEST_TEXT_SIZE];
    struct vm_config config = {
        .engine = job->engine,
        .memory = job->memory ? job->memory : VM_MEMORY_DEFAULT,
        .cpus = job->cpus,
    };
    if (!templates || !vm_has_templates(job->engine))
        return;
    engine_vm_files(templates->engine, &config.files);
    CLEANUP_FREE char *identity = vm_template_identity(&config);
    CLEANUP_FREE char *state = NULL;
    if (!identity || digest_of(identity, strlen(identity), digest) < 0)
        return;
    LOCKED(templates);
    struct template_entry *entry = find_or_add(templates, digest_hex(digest), &config);
    if (entry && entry->status == TEMPLATE_READY) {
        if (!is_whole(templates, entry, &state))
            lose(templates, entry);
        else
            (void)name_in_job(job, entry, state);
    }
    if (entry && entry->status == TEMPLATE_WANTED && start_thread(templates) < 0)
        set_failed(entry);
}

/* --- the beginning and the end --- */

/* Older than ENGINE_TEMPLATES_MAX others. */
static int64_t time_of(const struct engine_templates *templates, const char *key)
{
    CLEANUP_FREE char *path = path_of(templates, key);
    struct stat st;
    return path && stat(path, &st) == 0 ? (int64_t)st.st_mtim.tv_sec : 0;
}

static void remove_old(struct engine_templates *templates)
{
    for (;;) {
        CLEANUP_DIR DIR *directory = opendir(templates->directory);
        char oldest[NAME_MAX + 1] = "";
        int64_t oldest_time = INT64_MAX;
        size_t n = 0;
        struct dirent *item;
        while (directory && (item = readdir(directory))) {
            if (string_equal(item->d_name, ".") || string_equal(item->d_name, ".."))
                continue;
            bool unfinished = item->d_name[0] == '.';
            int64_t time = unfinished ? -1 : time_of(templates, item->d_name);
            n += unfinished ? ENGINE_TEMPLATES_MAX + 1 : 1;
            if (time < oldest_time) {
                oldest_time = time;
                (void)string_copy(oldest, sizeof(oldest), item->d_name);
            }
        }
        if (n <= ENGINE_TEMPLATES_MAX)
            return;
        CLEANUP_FREE char *path = path_of(templates, oldest);
        if (!path || path_remove_tree(AT_FDCWD, path, NULL) < 0)
            return;
    }
}

int engine_templates_open(struct engine *engine, struct engine_templates **ret, struct error *err)
{
    struct engine_templates *templates = calloc(1, sizeof(*templates));
    if (!templates)
        return error_oom(err);
    templates->engine = engine;
    list_init(&templates->entries);
    pthread_mutex_init(&templates->lock, NULL);
    pthread_cond_init(&templates->changed, NULL);
    templates->directory = string_format("%s/templates", engine->config.root);
    templates->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = !templates->directory ? error_oom(err)
            : templates->stop < 0 ? error_set_errno(err, -errno, "eventfd")
                                  : path_make_dirs(templates->directory, 0700, err);
    if (r < 0) {
        engine_templates_close(templates);
        return r;
    }
    remove_old(templates);
    *ret = templates;
    return 0;
}

struct engine_templates *engine_templates_close(struct engine_templates *templates)
{
    const uint64_t one = 1;
    if (!templates)
        return NULL;
    if (templates->running) {
        {
            LOCKED(templates);
            templates->stopping = true;
            (void)fd_write_full(templates->stop, &one, sizeof(one));
            pthread_cond_signal(&templates->changed);
        }
        pthread_join(templates->thread, NULL);
    }
    LIST_FOR_EACH (entry, &templates->entries, struct template_entry, node)
        free_entry(templates, entry);
    fd_close(templates->stop);
    pthread_cond_destroy(&templates->changed);
    pthread_mutex_destroy(&templates->lock);
    free(templates->directory);
    free(templates);
    return NULL;
}
