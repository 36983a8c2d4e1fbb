/* The warm pool.
 *
 * Theory of operation. One thread keeps as many VMs ready as were asked for. Each is a hull-worker
 * of its own (compute/worker_pool.c) in <state>/pool/<id>, whose connection is held here and
 * nowhere else: when this process goes, however it goes, the worker sees the connection end and
 * takes its VM away. A VM that ends, or whose boot fails, is replaced; failures in a row make the
 * thread wait, up to a minute.
 *
 * Who starts a container takes a VM, which leaves the list at once. The next one is booted when
 * that start is over (engine_pool_refill()) or, whatever became of it, REFILL_MS later: a boot
 * takes one CPU for a tenth of a second, which the start needs more.
 *
 * A VM's user id is leased to "pool-<id>" and passed on to the container. Leases that an earlier
 * hulld left are released when what it left has been taken away. */
#include "engine/pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/path.h"
#include "base/process.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/client.h"
#include "compute/job.h"
#include "engine/admission.h"
#include "engine/private.h"
#include "engine/resources.h"
#include "engine/store.h"
#include "engine/templates.h"
#include "sandbox/sandbox.h"
#include "vm/user.h"

enum {
    REFILL_MS = 1000,
    BACKOFF_MIN_MS = 1000,
    BACKOFF_MAX_MS = 60 * 1000,
    END_MS = 5000, /* for a worker to take its VM away; then it is killed, and the VM with it */
};
#define LEASE_PREFIX "pool-"
#define NEVER INT64_MAX

struct pooled_vm {
    struct list node;
    struct engine *engine;
    char id[ID_LENGTH + 1];
    char *directory; /* <state>/pool/<id> */
    char *lease;     /* owner of the user id */
    uid_t uid;
    enum vm_engine vm_engine;
    uint64_t memory_ceiling;
    struct compute_client *client;
    struct process worker;
    int netns;
};

struct engine_pool {
    struct engine *engine;
    unsigned size;
    pthread_t thread;
    bool running;
    int wake; /* eventfd */

    pthread_mutex_t lock;
    bool stopping;
    struct list ready; /* struct pooled_vm */
    unsigned n_ready;
    struct pooled_vm *booting;
    int64_t not_before; /* monotonic ns: no boot earlier */
    int64_t backoff_ms;
    char last_failure[ERROR_MESSAGE_MAX]; /* is not said twice */
};

static struct engine_pool *pool_lock(struct engine_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    return pool;
}

static void pool_unlock(struct engine_pool **pool)
{
    pthread_mutex_unlock(&(*pool)->lock);
}
#define POOL_LOCK(owner) \
    CLEANUP(pool_unlock) struct engine_pool *guard_ __attribute__((unused)) = pool_lock(owner)

static int64_t from_now(int64_t milliseconds)
{
    return timestamp_monotonic() + milliseconds * 1000000;
}

static void wake(const struct engine_pool *pool)
{
    const uint64_t one = 1;
    (void)!write(pool->wake, &one, sizeof(one));
}

/* --- one VM --- */

/* What a worker that was killed left. */
static void clean(struct engine *engine, const char *id, uid_t uid, const char *directory)
{
    CLEANUP_FREE char *cgroup = string_format("/hull/%s-vm", id);
    if (cgroup)
        (void)sandbox_clean(cgroup, NULL, NULL);
    if (uid)
        (void)vm_user_withdraw(engine->users_dir, uid, id, NULL);
    (void)path_remove_tree(AT_FDCWD, directory, NULL);
}

void pooled_vm_free(struct pooled_vm *vm)
{
    if (!vm)
        return;
    compute_client_free(vm->client);
    process_release(&vm->worker);
    fd_close(vm->netns);
    free(vm->directory);
    free(vm->lease);
    free(vm);
}

void pooled_vm_end(struct pooled_vm *vm)
{
    vm->client = compute_client_free(vm->client);
    (void)process_end(&vm->worker, END_MS, END_MS);
    clean(vm->engine, vm->id, vm->uid, vm->directory);
    (void)store_lease_release(vm->engine->store, "uid", vm->lease, NULL);
    pooled_vm_free(vm);
}

static int write_job(const struct pooled_vm *vm, struct error *err)
{
    const struct engine *engine = vm->engine;
    struct vm_files files = {0};
    struct compute_job *job = compute_job_new();
    CLEANUP_FREE char *path = string_format("%s/worker.json", vm->directory);
    engine_vm_files(vm->engine, &files);
    int r = job && path ? 0 : -ENOMEM;
    if (r == 0) {
        job->pool = true;
        job->isolation = COMPUTE_HYPERV;
        job->engine = vm->vm_engine;
        job->memory = engine->config.memory_default;
        job->uid = vm->uid;
        job->vmm_cgroup = string_format("/hull/%s-vm", vm->id);
        r = job->vmm_cgroup ? 0 : -ENOMEM;
        r = r ?: string_replace(&job->id, vm->id);
        r = r ?: string_replace(&job->name, "pool");
        r = r ?: string_replace(&job->owner, "hulld");
        r = r ?: string_replace(&job->directory, vm->directory);
        r = r ?: string_replace(&job->runtime_dir, vm->directory);
        r = r ?: string_replace(&job->uml_kernel, files.uml_kernel);
        r = r ?: string_replace(&job->x86_kernel, files.x86_kernel);
        r = r ?: string_replace(&job->initramfs, files.initramfs);
        r = r ?: string_replace(&job->x86_initramfs, files.x86_initramfs);
        r = r ?: string_replace(&job->qemu, files.qemu);
        r = r ?: string_replace(&job->virtiofsd, files.virtiofsd);
        r = r ?: string_replace(&job->users_dir, engine->users_dir);
    }
    if (r == 0)
        engine_templates_use(engine->templates, job);
    r = r < 0 ? error_oom(err) : compute_job_write(job, path, err);
    compute_job_free(job);
    return r;
}

static int hold_worker(struct pooled_vm *vm, pid_t pid, struct error *err)
{
    CLEANUP_FREE char *path = string_format("/proc/%d/ns/net", (int)pid);
    int r = path ? process_open(pid, &vm->worker) : -ENOMEM;
    return r < 0 ? error_set_errno(err, r, "cannot hold the worker of a pooled utility VM")
                 : compute_client_connect(vm->directory, &vm->client, err);
}

/* The connection proves that the pid is still the worker's. */
static int ask_boot(struct pooled_vm *vm, struct error *err)
{
    CLEANUP_FREE char *path = string_format("/proc/%d/ns/net", (int)vm->worker.pid);
    CLEANUP_JSON json_t *answer = NULL;
    int64_t ceiling = 0;
    int r = compute_client_call(vm->client, "boot", NULL, &answer, err);
    if (r < 0 || (r = json_need_i64(answer, "memory_ceiling", &ceiling, err)) < 0)
        return r;
    vm->memory_ceiling = ceiling > 0 ? (uint64_t)ceiling : 0;
    vm->netns = path ? open(path, O_RDONLY | O_CLOEXEC) : -ENOMEM;
    return vm->netns < 0 ? error_set_errno(err, -errno, "cannot open %s", string_or(path, "it"))
                         : 0;
}

static struct pooled_vm *new_vm(struct engine *engine, enum vm_engine vm_engine, struct error *err)
{
    struct pooled_vm *vm = calloc(1, sizeof(*vm));
    if (!vm) {
        error_oom(err);
        return NULL;
    }
    list_init(&vm->node);
    vm->engine = engine;
    vm->vm_engine = vm_engine;
    vm->netns = -EBADF;
    vm->worker = (struct process)PROCESS_INIT;
    random_id(vm->id);
    vm->directory = string_format("%s/pool/%s", engine->config.state, vm->id);
    vm->lease = string_format(LEASE_PREFIX "%s", vm->id);
    int r = vm->directory && vm->lease ? engine_lease_uid(engine, vm->lease, &vm->uid, err)
                                       : error_oom(err);
    if (r == 0)
        return vm;
    pooled_vm_free(vm);
    return NULL;
}

/* --- the thread --- */

/* The worker's argument, with room for that of a container's worker (compute/worker_title.c). */
static char *padded_directory(const struct pooled_vm *vm)
{
    size_t wanted = strlen(vm->engine->config.root) + strlen("/containers/") + ID_LENGTH;
    size_t length = strlen(vm->directory);
    char *text = malloc(length + wanted + 1);
    if (!text)
        return NULL;
    memcpy(text, vm->directory, length);
    while (length < wanted)
        text[length++] = '/';
    text[length] = '\0';
    return text;
}

static int start_worker(struct pooled_vm *vm, struct error *err)
{
    CLEANUP_FREE char *directory = padded_directory(vm);
    pid_t pid = 0;
    int r = directory ? path_make_dirs(vm->directory, 0700, err) : error_oom(err);
    if (r == 0)
        r = write_job(vm, err);
    if (r == 0)
        r = compute_worker_spawn(vm->engine->config.worker_program, directory, vm->directory, &pid,
                                 err);
    return r < 0 ? r : hold_worker(vm, pid, err);
}

/* False when the pool is being closed. */
static bool set_booting(struct engine_pool *pool, struct pooled_vm *vm)
{
    POOL_LOCK(pool);
    pool->booting = vm;
    return !pool->stopping;
}

/* A VM that nobody has asked for is not worth the last of the host's memory. */
static int check_memory(enum vm_engine vm_engine, uint64_t limit, struct error *err)
{
    struct admission host = {.total = 0};
    int r = admission_read_memory("/proc/meminfo", &host, err);
    if (r == 0 &&
        host.available < 2 * (admission_reserve(host.total) + admission_cost(vm_engine, limit)))
        r = error_set_class(err, ERROR_UNAVAILABLE, "the host has little memory left");
    return r;
}

static struct pooled_vm *boot_one(struct engine_pool *pool, struct error *err)
{
    enum vm_engine vm_engine;
    int r = engine_vm_choose(pool->engine, &vm_engine, err);
    if (r == 0 && !vm_can_pool(vm_engine))
        r = error_set_class(err, ERROR_UNAVAILABLE, "engine '%s' boots no utility VM ahead of time",
                            vm_engine_to_string(vm_engine));
    if (r == 0)
        r = check_memory(vm_engine, pool->engine->config.memory_default, err);
    if (r < 0)
        return NULL;
    struct pooled_vm *vm = new_vm(pool->engine, vm_engine, err);
    if (!vm)
        return NULL;
    r = start_worker(vm, err);
    if (r == 0 && !set_booting(pool, vm))
        r = -ECANCELED;
    if (r == 0)
        r = ask_boot(vm, err);
    (void)set_booting(pool, NULL);
    if (r == 0)
        return vm;
    pooled_vm_end(vm);
    return NULL;
}

static void note_failure(struct engine_pool *pool, const struct error *failure)
{
    POOL_LOCK(pool);
    pool->backoff_ms = pool->backoff_ms ? pool->backoff_ms * 2 : BACKOFF_MIN_MS;
    if (pool->backoff_ms > BACKOFF_MAX_MS)
        pool->backoff_ms = BACKOFF_MAX_MS;
    pool->not_before = from_now(pool->backoff_ms);
    if (pool->stopping || string_equal(pool->last_failure, failure->message))
        return;
    string_copy(pool->last_failure, sizeof(pool->last_failure), failure->message);
    log_info("no utility VM is kept ready: %s", failure->message);
}

static void fill_one(struct engine_pool *pool)
{
    struct error failure = ERROR_INIT;
    struct pooled_vm *vm = boot_one(pool, &failure);
    if (!vm) {
        note_failure(pool, &failure);
        return;
    }
    POOL_LOCK(pool);
    list_append(&pool->ready, &vm->node);
    pool->n_ready++;
    pool->last_failure[0] = '\0';
}

/* One that has ended, or says anything, since nothing was asked. */
static struct pooled_vm *find_broken(struct engine_pool *pool)
{
    POOL_LOCK(pool);
    LIST_FOR_EACH (vm, &pool->ready, struct pooled_vm, node) {
        struct pollfd heard = {.fd = compute_client_fd(vm->client), .events = POLLIN};
        if (poll(&heard, 1, 0) <= 0)
            continue;
        list_remove(&vm->node);
        pool->n_ready--;
        return vm;
    }
    return NULL;
}

/* Milliseconds until a boot is due; -1: none is needed. */
static int boot_due(struct engine_pool *pool)
{
    POOL_LOCK(pool);
    if (pool->n_ready >= pool->size)
        return -1;
    int64_t left = (pool->not_before - timestamp_monotonic()) / 1000000;
    return left <= 0 ? 0 : left > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : (int)left;
}

static size_t collect(struct engine_pool *pool, struct pollfd *fds, size_t size)
{
    size_t n = 0;
    fds[n++] = (struct pollfd){.fd = pool->wake, .events = POLLIN};
    POOL_LOCK(pool);
    LIST_FOR_EACH (vm, &pool->ready, struct pooled_vm, node)
        if (n < size)
            fds[n++] = (struct pollfd){.fd = compute_client_fd(vm->client), .events = POLLIN};
    return n;
}

/* A descriptor may be another's by the time it is polled, when its VM is taken meanwhile: that
 * wakes this thread once more than needed. */
static void wait_for_work(struct engine_pool *pool, int timeout_ms)
{
    struct pollfd fds[ENGINE_POOL_MAX + 1];
    size_t n = collect(pool, fds, sizeof(fds) / sizeof(fds[0]));
    uint64_t count;
    if (poll(fds, n, timeout_ms) > 0 && fds[0].revents)
        (void)!read(pool->wake, &count, sizeof(count));
}

static bool is_stopping(struct engine_pool *pool)
{
    POOL_LOCK(pool);
    return pool->stopping;
}

static void *run(void *data)
{
    struct engine_pool *pool = data;
    while (!is_stopping(pool)) {
        struct pooled_vm *broken = find_broken(pool);
        if (broken) {
            struct error failure = ERROR_INIT;
            (void)error_set(&failure, -EPIPE, "one has ended");
            pooled_vm_end(broken);
            note_failure(pool, &failure);
            continue;
        }
        int due = boot_due(pool);
        if (due == 0)
            fill_one(pool);
        else
            wait_for_work(pool, due);
    }
    return NULL;
}

/* --- the beginning and the end --- */

static void clean_one(struct engine *engine, const char *id, const char *directory)
{
    CLEANUP(process_release) struct process worker = PROCESS_INIT;
    CLEANUP_JSON json_t *state = NULL;
    struct compute_client *client = NULL;
    int pid = 0;
    /* Its worker may be about to end; a connection says who it is. */
    if (compute_client_connect(directory, &client, NULL) == 0) {
        if (compute_client_call(client, "state", NULL, &state, NULL) == 0 &&
            json_get_int(state, "worker_pid", 1, INT32_MAX, &pid, NULL) == 1 &&
            process_open((pid_t)pid, &worker) == 0)
            (void)compute_client_kill(client, NULL);
        compute_client_free(client);
        (void)process_end(&worker, END_MS, END_MS);
    }
    clean(engine, id, 0, directory);
}

/* What the pool of an engine that was killed left behind. */
static int clean_all(struct engine *engine, struct error *err)
{
    CLEANUP_FREE char *path = string_format("%s/pool", engine->config.state);
    if (!path)
        return error_oom(err);
    int r = path_make_dirs(path, 0711, err);
    if (r < 0)
        return r;
    CLEANUP_DIR DIR *directory = opendir(path);
    if (!directory)
        return error_set_errno(err, -errno, "cannot read '%s'", path);
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        CLEANUP_FREE char *one = string_format("%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && one)
            clean_one(engine, entry->d_name, one);
    }
    return store_lease_release_like(engine->store, "uid", LEASE_PREFIX "*", err);
}

int engine_pool_open(struct engine *engine, struct engine_pool **ret, struct error *err)
{
    int r = clean_all(engine, err);
    if (r < 0)
        return r;
    struct engine_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return error_oom(err);
    pool->engine = engine;
    pool->size = engine->config.vm_pool;
    list_init(&pool->ready);
    pthread_mutex_init(&pool->lock, NULL);
    pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = pool->wake < 0 ? -errno : 0;
    if (r == 0 && pool->size > 0)
        r = -pthread_create(&pool->thread, NULL, run, pool);
    if (r < 0) {
        engine_pool_free(pool);
        return error_set_errno(err, r, "cannot start the pool of utility VMs");
    }
    pool->running = pool->size > 0;
    *ret = pool;
    return 0;
}

static void stop_thread(struct engine_pool *pool)
{
    {
        POOL_LOCK(pool);
        pool->stopping = true;
        /* Whose answer the thread waits for. */
        if (pool->booting)
            (void)process_signal(&pool->booting->worker, SIGTERM);
    }
    wake(pool);
    pthread_join(pool->thread, NULL);
}

static struct pooled_vm *take_any(struct engine_pool *pool)
{
    POOL_LOCK(pool);
    LIST_FOR_EACH (vm, &pool->ready, struct pooled_vm, node) {
        list_remove(&vm->node);
        pool->n_ready--;
        return vm;
    }
    return NULL;
}

void engine_pool_stop(struct engine_pool *pool)
{
    struct pooled_vm *vm;
    if (!pool)
        return;
    if (pool->running)
        stop_thread(pool);
    pool->running = false;
    while ((vm = take_any(pool)))
        pooled_vm_end(vm);
}

struct engine_pool *engine_pool_free(struct engine_pool *pool)
{
    if (!pool)
        return NULL;
    engine_pool_stop(pool);
    fd_close(pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    return NULL;
}

/* --- use --- */

/* To open files of other users takes capabilities that a VM has only if it is started for that. */
static bool has_shares(const struct container *container)
{
    json_t *point;
    size_t i;
    json_array_foreach (container->mount_points, i, point)
        if (!string_equal(json_string_value(json_object_get(point, "Type")), "tmpfs"))
            return true;
    return false;
}

static bool fits(const struct pooled_vm *vm, const struct container *container)
{
    uint64_t configured = vm->engine->config.memory_default;
    uint64_t memory = configured;
    int64_t asked = 0;
    (void)json_get_i64(container->host_config, "Memory", &asked, NULL);
    if (asked > 0)
        memory = (uint64_t)asked;
    if (vm->vm_engine != (enum vm_engine)container->vm_engine || memory > vm->memory_ceiling)
        return false;
    /* What cannot be changed any more must be right. */
    return vm_resizes_memory(vm->vm_engine) ||
           (memory == configured &&
            engine_resources_nano_cpus(container->host_config) <= 1000000000);
}

/* whole: for a run of the container, in a VM of the size and with the means that it asks for. */
static struct pooled_vm *take_ready(struct engine_pool *pool, const struct container *container,
                                    bool whole)
{
    POOL_LOCK(pool);
    if (pool->stopping)
        return NULL;
    /* Who waits for a VM in vain wants the next attempt soon. */
    if (list_is_empty(&pool->ready)) {
        pool->backoff_ms = 0;
        if (!pool->booting && pool->not_before > from_now(REFILL_MS))
            pool->not_before = from_now(REFILL_MS);
        return NULL;
    }
    LIST_FOR_EACH (vm, &pool->ready, struct pooled_vm, node) {
        if (whole ? !fits(vm, container) : vm->vm_engine != (enum vm_engine)container->vm_engine)
            continue;
        list_remove(&vm->node);
        pool->n_ready--;
        pool->not_before = from_now(REFILL_MS);
        pool->backoff_ms = 0; /* they are good for something */
        return vm;
    }
    return NULL;
}

static struct pooled_vm *take(struct container *container, bool whole)
{
    struct engine *engine = container->engine;
    struct engine_pool *pool = engine->pool;
    /* While its files are served, its disk and its user id are another VM's. */
    if (!pool || pool->size == 0 || container->isolation != COMPUTE_HYPERV ||
        (whole && has_shares(container)) || container_files_exist(container))
        return NULL;
    struct pooled_vm *vm = take_ready(pool, container, whole);
    wake(pool);
    if (!vm)
        return NULL;
    if (store_lease_give(engine->store, "uid", vm->lease, container->id, NULL) < 0) {
        pooled_vm_end(vm);
        return NULL;
    }
    container->vm_uid = vm->uid;
    return vm;
}

struct pooled_vm *engine_pool_take(struct container *container)
{
    return take(container, true);
}

struct pooled_vm *engine_pool_take_plain(struct container *container)
{
    return take(container, false);
}

int pooled_vm_adopt(struct pooled_vm *vm, const char *directory, struct compute_client **ret,
                    struct error *err)
{
    int r = compute_client_call(vm->client, "adopt", json_pack("{s:s}", "directory", directory),
                                NULL, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(vm->client);
    return 0;
}

pid_t pooled_vm_worker(const struct pooled_vm *vm)
{
    return vm->worker.pid;
}

int pooled_vm_netns(const struct pooled_vm *vm)
{
    return vm_nic_is_socket(vm->vm_engine) ? vm->netns : 0;
}

void engine_pool_refill(struct engine_pool *pool)
{
    if (!pool || pool->size == 0)
        return;
    {
        POOL_LOCK(pool);
        if (pool->backoff_ms == 0)
            pool->not_before = 0;
    }
    wake(pool);
}

json_t *engine_pool_describe(struct engine_pool *pool)
{
    POOL_LOCK(pool);
    return json_sprintf("%u of %u ready", pool->n_ready, pool->size);
}
