/* Converting a container to the other isolation: its writable layer moves, all else stays.
 *
 * Theory of operation. The layer of `process` is the directory `upper`, that of `hyperv` the ext4
 * image `scratch.ext4`; a container has one of them, and its row in the store says which. A
 * conversion makes the other one beside it, in `convert/`, out of nothing:
 *
 *   1. what cannot be is refused, with create's words; a running container is stopped
 *   2. convert/ is made, and in it an empty disk or directory
 *   3. a worker boots a utility VM with the container's disk, or the new one, and fills it
 *      (compute/worker_convert.c); what it received is written to the disk below (syncfs(2))
 *   4. the new layer takes its final name, and the directory is synced
 *   5. the row is written: from here on the container is of the other isolation
 *   6. by the janitor, for whom nobody waits: the row is synced, and the old layer removed; it was
 *      only ever read
 *
 * So whenever hulld, the worker, the VM or the host die, the row names a layer that is whole. What
 * the row does not name is what step 6 would have removed, or the half of a step before 5, and is
 * removed at the next start of hulld or the next conversion (container_convert_recover()).
 *
 * A file system that a guest has written is read by a VM only. Where there is nothing to move
 * (there is no disk yet, or the directory is empty) no VM is needed, and the empty layer is made by
 * the next start. A container that was stopped for its conversion is started again, as what it is
 * then. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "compute/client.h"
#include "engine/admission.h"
#include "engine/pool.h"
#include "engine/private.h"
#include "engine/store.h"
#include "sandbox/sandbox.h"
#include "vm/scratch.h"
#include "vm/scratch_mount.h"
#include "vm/user.h"

enum {
    FILES_PATIENCE_MS = 10 * 1000, /* as a start's */
    WORKER_END_MS = 30 * 1000,
    EXIT_CODE_MAX = 255,
};
#define CONVERT_MEMORY (512ULL * 1024 * 1024)
#define NO_SPACE (1024ULL * 1024) /* a file system with less is full */

struct conversion {
    struct container *container;
    struct container *shadow; /* the container as it is to be; in no table */
    enum compute_isolation to;
    char *staging; /* <container>/convert */
    char *runtime; /* where its worker listens: that of one for files */
    char *target;  /* the new layer, in there */
    bool mount;    /* the host fills the disk */
    bool pooled;   /* a VM of the pool's does it */
};

DEFINE_CLEANUP(struct compute_job *, job_cleanup, compute_job_free)

static void conversion_release(struct conversion *conversion)
{
    if (conversion->shadow)
        container_put(conversion->shadow);
    free(conversion->staging);
    free(conversion->runtime);
    free(conversion->target);
}

/* --- 1: what can be --- */

static int copy_members(const struct container *container, struct container *shadow)
{
    string_copy(shadow->id, sizeof(shadow->id), container->id);
    shadow->created = container->created;
    shadow->config = json_deep_copy(container->config);
    shadow->host_config = json_deep_copy(container->host_config);
    shadow->mount_points = container->mount_points ? json_deep_copy(container->mount_points) : NULL;
    shadow->args = strv_copy(container->args);
    if (!shadow->config || !shadow->host_config || !shadow->args ||
        (container->mount_points && !shadow->mount_points) ||
        string_replace(&shadow->name, container->name) < 0 ||
        string_replace(&shadow->path, container->path) < 0 ||
        string_replace(&shadow->network, container->network) < 0)
        return -ENOMEM;
    return 0;
}

static int make_shadow(struct conversion *conversion, struct error *err)
{
    struct container *shadow = container_new(conversion->container->engine);
    enum vm_engine engine;
    int r;

    if (!shadow)
        return error_oom(err);
    conversion->shadow = shadow;
    {
        ENGINE_STATE(shadow->engine);
        r = copy_members(conversion->container, shadow);
    }
    if (r < 0 || json_put_string(shadow->host_config, "Isolation",
                                 compute_isolation_to_string(conversion->to)) < 0)
        return error_oom(err);
    r = container_derive(shadow, err);
    if (r < 0)
        return r;
    shadow->isolation = conversion->to;
    if (conversion->to != COMPUTE_HYPERV)
        return 0;
    r = engine_vm_choose(shadow->engine, &engine, err);
    if (r == 0)
        shadow->vm_engine = (int)engine;
    return r;
}

static int check_options(struct conversion *conversion, char ***warnings, struct error *err)
{
    int r = container_check_isolation(conversion->shadow, warnings, err);

    return r < 0 ? r : container_check_spec(conversion->shadow, err);
}

/* Stopped, and nobody has begun to start it. */
static int check_stopped(struct container *container, struct error *err)
{
    bool wait;

    {
        ENGINE_STATE(container->engine);
        if (container->status == CONTAINER_REMOVING || container->status == CONTAINER_DEAD ||
            !container->in_table)
            return error_set_class(err, ERROR_CONFLICT, "it is marked for removal");
        if (container_is_running(container) || container->status == CONTAINER_RESTARTING)
            return error_set_class(err, ERROR_CONFLICT,
                                   "it is %s: stop it before, or convert it with a restart",
                                   container_status_to_string(container->status));
        wait = container->worker_pid && container->worker_spent;
        if (container->worker_pid && !wait)
            return error_set_class(err, ERROR_CONFLICT,
                                   "a client is attached to it and about to start it");
    }
    if (wait && container_wait_worker_gone(container, WORKER_END_MS) < 0)
        return error_set(err, -ETIMEDOUT, "the worker of the container's last run does not end");
    return 0;
}

/* --- what is not the row's --- */

static int remove_in(const struct container *container, const char *name, struct error *err)
{
    CLEANUP_FREE char *path = string_format("%s/%s", container->directory, name);

    return path ? path_remove_tree(AT_FDCWD, path, err) : error_oom(err);
}

static bool exists_in(const struct container *container, const char *name)
{
    CLEANUP_FREE char *path = string_format("%s/%s", container->directory, name);

    return path && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* When nothing of the host can bring back the row that named them. */
static int remove_others(struct container *container, struct error *err)
{
    static const char *const of_process[] = {"upper", "work", "rootfs", NULL};
    static const char *const of_hyperv[] = {"scratch.ext4", NULL};
    bool guest = container->isolation == COMPUTE_HYPERV;
    bool flushed = false;

    for (const char *const *name = guest ? of_process : of_hyperv; *name; name++) {
        int r = 0;

        if (!exists_in(container, *name))
            continue;
        if (!flushed)
            r = store_flush(container->engine->store, err);
        flushed = true;
        if (r < 0 || (r = remove_in(container, *name, err)) < 0)
            return r;
    }
    return 0;
}

/* Whichever isolation it was from or to, there was a VM. */
static int end_worker(struct container *container, struct error *err)
{
    CLEANUP_FREE char *cgroup = string_format("/hull/%s-vm", container->id);

    /* It may not have noticed yet that nobody waits for it. */
    int r = cgroup ? container_files_end(container, 0, err) : error_oom(err);

    return r < 0 ? r : sandbox_clean(cgroup, NULL, err);
}

static int withdraw_user(struct container *container, struct error *err)
{
    struct engine *engine = container->engine;
    uint32_t uid;
    int r;

    if (store_lease_find(engine->store, "uid", container->id, &uid) < 0)
        return 0;
    r = vm_user_withdraw(engine->users_dir, uid, container->id, err);
    if (r < 0 || container->isolation == COMPUTE_HYPERV)
        return r;
    container->vm_uid = 0;
    return store_lease_release(engine->store, "uid", container->id, err);
}

static int keep_first(int first, int next, struct error *err, const struct error *error)
{
    if (first == 0 && next < 0)
        return error_copy(err, error);
    return first;
}

/* A container that runs has ended its conversion's worker before: what has its names is its own. */
static int remove_staging(struct container *container, struct error *err)
{
    bool begun = exists_in(container, "convert");
    bool runs;
    struct error error = ERROR_INIT;
    int r = 0;

    {
        ENGINE_STATE(container->engine);
        runs = container->worker_pid != 0;
    }
    if (begun && !runs && (r = end_worker(container, err)) < 0)
        return r; /* it may use what is to be removed */
    if ((begun && !runs) || container->isolation != COMPUTE_HYPERV)
        r = keep_first(r, withdraw_user(container, &error), err, &error);
    error_clear(&error);
    if (begun)
        r = keep_first(r, remove_in(container, "convert", &error), err, &error);
    return r;
}

int container_convert_recover(struct container *container, struct error *err)
{
    struct error error = ERROR_INIT;
    int r = remove_staging(container, err);

    return keep_first(r, remove_others(container, &error), err, &error);
}

static void warn_of_rest(const struct container *container, const struct error *error)
{
    log_warning("container %s: what a conversion left is still there: %s", container->id,
                error->message);
}

void container_convert_discard(struct container *container)
{
    struct error error = ERROR_INIT;

    if (remove_others(container, &error) < 0)
        warn_of_rest(container, &error);
}

void container_convert_interrupt(struct container *container)
{
    CLEANUP_FREE char *runtime =
        string_format("%s/files/%s", container->engine->config.state, container->id);
    struct compute_client *client = NULL;
    bool converting;

    {
        ENGINE_STATE(container->engine);
        converting = container->converting;
        container->cancelled = converting;
    }
    if (converting && runtime && compute_client_connect(runtime, &client, NULL) == 0)
        (void)compute_client_kill(client, NULL);
    compute_client_free(client);
}

/* --- 2 and 3: the new layer --- */

/* As the first start makes it, and with nothing in it: the same is made by the next. */
static bool upper_is_empty(const struct container *container)
{
    CLEANUP_FREE char *path = string_format("%s/upper", container->directory);
    CLEANUP_DIR DIR *directory = path ? opendir(path) : NULL;
    struct dirent *entry;
    struct stat status;

    if (!directory)
        return path && errno == ENOENT;
    while ((entry = readdir(directory)))
        if (!string_equal(entry->d_name, ".") && !string_equal(entry->d_name, ".."))
            return false;
    return fstat(dirfd(directory), &status) == 0 && (status.st_mode & 07777) == 0755 &&
           status.st_uid == 0 && status.st_gid == 0 && flistxattr(dirfd(directory), NULL, 0) == 0;
}

static bool is_nothing(const struct conversion *conversion)
{
    return conversion->to == COMPUTE_HYPERV ? upper_is_empty(conversion->container)
                                            : !exists_in(conversion->container, "scratch.ext4");
}

static int make_target(struct conversion *conversion, const char *path, struct error *err)
{
    const struct container *container = conversion->container;
    struct container *shadow = conversion->shadow;
    uint64_t size;

    if (conversion->to == COMPUTE_PROCESS)
        return mkdir(path, 0755) < 0 ? error_set_errno(err, -errno, "cannot make %s", path) : 0;
    CLEANUP_FREE char *templates = string_format("%s/scratch", container->engine->config.root);
    int r = templates ? engine_storage_size(shadow->host_config, &size, err) : error_oom(err);
    return r < 0 ? r : vm_scratch_create(templates, path, size, 0, 0, err);
}

/* A VM for the files: it needs neither the container's memory nor its share of the processors. */
static int fill_job(struct conversion *conversion, struct compute_job *job, struct error *err)
{
    const char *target = conversion->target;
    bool in = conversion->to == COMPUTE_HYPERV;
    struct container *container = conversion->container;
    int r = container_job_vm(in ? conversion->shadow : container, job, err);

    if (r < 0)
        return r;
    job->isolation = COMPUTE_HYPERV;
    job->files = true;
    job->convert = in ? COMPUTE_CONVERT_IN : COMPUTE_CONVERT_OUT;
    job->convert_mount = conversion->mount;
    /* What a pooled one has, it has. */
    job->memory = conversion->pooled ? container->engine->config.memory_default : CONVERT_MEMORY;
    job->cpus = 0;
    /* More than its disk can hold is not in it. */
    r = in ? 0 : engine_storage_size(container->host_config, &job->convert_max, err);
    if (r < 0)
        return r;
    job->upper = in ? string_format("%s/upper", container->directory) : strdup(target);
    job->scratch = in ? strdup(target) : string_format("%s/scratch.ext4", container->directory);
    job->ring = string_format("%s/ring", conversion->runtime);
    if (!job->upper || !job->scratch || !job->ring ||
        string_replace(&job->directory, conversion->staging) < 0 ||
        string_replace(&job->id, container->id) < 0 ||
        string_replace(&job->name, conversion->shadow->name) < 0 ||
        string_replace(&job->owner, "hulld") < 0 ||
        string_replace(&job->runtime_dir, conversion->runtime) < 0)
        return error_oom(err);
    return 0;
}

static int write_job(struct conversion *conversion, struct error *err)
{
    CLEANUP(job_cleanup) struct compute_job *job = compute_job_new();
    CLEANUP_FREE char *path = string_format("%s/worker.json", conversion->staging);
    int r = job && path ? fill_job(conversion, job, err) : error_oom(err);

    return r < 0 ? r : compute_job_write(job, path, err);
}

/* Its exit event says how it went; the connection was there before it could. */
static int await_outcome(struct compute_client *client, struct error *err)
{
    for (;;) {
        CLEANUP_JSON json_t *event = NULL;
        const char *name = "";
        const char *reason = "";
        int code = -1;
        int r = compute_client_wait_event(client, -1, &event, err);
        if (r < 0)
            return error_set(err, -EPIPE, "the worker that moves its writable layer has gone");
        if (json_get_string(event, "event", &name, NULL) < 0 || !string_equal(name, "exit"))
            continue;
        if (json_get_int(event, "code", 0, EXIT_CODE_MAX, &code, NULL) == 1 && code == 0)
            return 0;
        (void)json_get_string(event, "reason", &reason, NULL);
        return error_set(err, -EIO, "%s", string_or(reason, "its writable layer was not moved"));
    }
}

static void set_converting(struct container *container, bool converting)
{
    ENGINE_STATE(container->engine);
    container->converting = converting;
    container->cancelled = false;
}

/* Whoever gives it up later finds the worker that is connected to by now, and ends that. */
static int check_wanted(const struct container *container, struct error *err)
{
    ENGINE_STATE(container->engine);
    return container->cancelled ? error_set_class(err, ERROR_CONFLICT, "it is to be removed") : 0;
}

static int start_worker(const struct conversion *conversion, struct compute_client *client,
                        struct error *err)
{
    struct container *container = conversion->container;
    const struct container *guest =
        conversion->to == COMPUTE_HYPERV ? conversion->shadow : container;
    bool boots = !conversion->mount && !conversion->pooled;
    int r = check_wanted(container, err);

    if (r == 0 && boots)
        r = admission_begin_vm(container, (enum vm_engine)guest->vm_engine, CONVERT_MEMORY, err);
    if (r < 0) {
        (void)compute_client_kill(client, NULL);
        return r;
    }
    r = compute_client_start(client, NULL, err);
    if (boots)
        admission_end(container);
    return r;
}

/* One of the pool, as this conversion's: 1; 0 when there is none. */
static int adopt_worker(struct conversion *conversion, struct process *worker,
                        struct compute_client **ret)
{
    struct error unfit = ERROR_INIT;
    struct pooled_vm *vm =
        conversion->to == COMPUTE_PROCESS ? engine_pool_take_plain(conversion->container) : NULL;

    if (!vm)
        return 0;
    conversion->pooled = true;
    if (write_job(conversion, &unfit) == 0 &&
        pooled_vm_adopt(vm, conversion->staging, ret, &unfit) == 0) {
        (void)process_open(pooled_vm_worker(vm), worker);
        pooled_vm_free(vm);
        return 1;
    }
    pooled_vm_end(vm);
    conversion->pooled = false;
    return 0;
}

static int spawn_worker(struct conversion *conversion, struct process *worker,
                        struct compute_client **ret, struct error *err)
{
    pid_t pid = 0;
    int r = path_make_dirs(conversion->runtime, 0700, err);

    if (r < 0 || (r = write_job(conversion, err)) < 0 ||
        (r = compute_worker_spawn(conversion->container->engine->config.worker_program,
                                  conversion->staging, conversion->runtime, &pid, err)) < 0)
        return r;
    (void)process_open(pid, worker); /* at once, so that the pid is still its own */
    return compute_client_connect(conversion->runtime, ret, err);
}

static int run_worker(struct conversion *conversion, bool *ret_started, struct error *err)
{
    CLEANUP(process_release) struct process worker = PROCESS_INIT;
    struct compute_client *client = NULL;
    int r = adopt_worker(conversion, &worker, &client);

    if (r == 0)
        r = spawn_worker(conversion, &worker, &client, err);
    if (r >= 0)
        r = start_worker(conversion, client, err);
    *ret_started = r == 0;
    if (r == 0)
        r = await_outcome(client, err);
    client = compute_client_free(client);
    (void)process_end(&worker, r < 0 ? 0 : WORKER_END_MS, WORKER_END_MS);
    return r;
}

/* The host does it where it can, and else a VM. */
static int move_layer(struct conversion *conversion, struct error *err)
{
    struct error failure = ERROR_INIT;
    bool started;
    int r;

    conversion->mount = conversion->to == COMPUTE_HYPERV && vm_scratch_can_mount();
    if (!conversion->mount)
        return run_worker(conversion, &started, err);
    r = run_worker(conversion, &started, &failure);
    if (r == 0 || started || check_wanted(conversion->container, NULL) < 0)
        return r < 0 ? error_copy(err, &failure) : 0;
    log_warning("container %s: a utility VM fills its disk, for the host does not: %s",
                conversion->container->id, failure.message);
    conversion->mount = false;
    return run_worker(conversion, &started, err);
}

static bool is_full(const struct container *container)
{
    struct statvfs status;

    return statvfs(container->directory, &status) == 0 &&
           (uint64_t)status.f_bavail * status.f_frsize < NO_SPACE;
}

static int sync_path(const char *path, struct error *err)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? error_set_errno(err, -errno, "cannot sync %s", path) : 0;
}

/* 2 to 4. */
static int make_layer(struct conversion *conversion, struct error *err)
{
    struct container *container = conversion->container;
    bool in = conversion->to == COMPUTE_HYPERV;
    const char *name = in ? "scratch.ext4" : "upper";
    CLEANUP_FREE char *final = string_format("%s/%s", container->directory, name);
    int r;

    conversion->target = string_format("%s/%s", conversion->staging, name);
    const char *target = conversion->target;
    if (!target || !final)
        return error_oom(err);
    /* The directory first: it is what tells of the rest. */
    if ((r = path_make_dirs(conversion->staging, 0700, err)) < 0 ||
        (in && (r = engine_lease_uid(container->engine, container->id, &conversion->shadow->vm_uid,
                                     err)) < 0) ||
        (r = make_target(conversion, target, err)) < 0)
        return r;
    r = move_layer(conversion, err);
    bool full = r < 0 && is_full(container); /* before anything is given back */
    container_files_forget(container);
    if (r < 0)
        return full
                   ? error_wrap(err, r, "no space is left below %s", container->engine->config.root)
                   : r;
    if (in && (r = sync_path(target, err)) < 0)
        return r;
    if (rename(target, final) < 0)
        return error_set_errno(err, -errno, "cannot keep %s", final);
    return sync_path(container->directory, err);
}

/* --- 5 and 6 --- */

static void set_isolation(struct container *container, enum compute_isolation isolation,
                          int vm_engine, uid_t uid)
{
    container->isolation = isolation;
    container->vm_engine = vm_engine;
    container->vm_uid = uid;
    (void)json_put_string(container->host_config, "Isolation",
                          compute_isolation_to_string(isolation));
}

static int commit(struct conversion *conversion, struct error *err)
{
    struct container *container = conversion->container;
    const struct container *shadow = conversion->shadow;

    ENGINE_STATE(container->engine);
    enum compute_isolation old = container->isolation;
    int old_engine = container->vm_engine;
    uid_t old_uid = container->vm_uid;
    set_isolation(container, shadow->isolation, shadow->vm_engine, shadow->vm_uid);
    int r = container_save(container, err);
    if (r < 0) {
        set_isolation(container, old, old_engine, old_uid);
        return r;
    }
    engine_emit_container_locked(container->engine, container, "update",
                                 json_pack("{s:s, s:s}", "isolation",
                                           compute_isolation_to_string(container->isolation),
                                           "oldIsolation", compute_isolation_to_string(old)));
    return 0;
}

/* The old layer takes long to remove, and nobody waits for that. Of a conversion that failed, what
 * there is of the new one. */
static void remove_rest(struct container *container, bool converted)
{
    struct error error = ERROR_INIT;
    int r = converted ? remove_staging(container, &error)
                      : container_convert_recover(container, &error);

    if (r < 0)
        warn_of_rest(container, &error);
    if (converted)
        janitor_queue(container->engine->janitor, JANITOR_CONVERTED, container, 0, 0);
}

static int move_and_commit(struct conversion *conversion, struct error *err)
{
    struct container *container = conversion->container;
    int r;

    container_cleanup(container); /* of the last run, if the janitor was not there yet */
    r = container_convert_recover(container, err);
    if (r == 0 && !is_nothing(conversion))
        r = make_layer(conversion, err);
    if (r == 0)
        r = commit(conversion, err);
    remove_rest(container, r == 0);
    return r;
}

/* [operation] It is stopped. */
static int convert_stopped(struct conversion *conversion, struct error *err)
{
    struct container *container = conversion->container;
    int r = check_stopped(container, err);

    if (r < 0)
        return r;
    set_converting(container, true);
    r = container_files_end(container, FILES_PATIENCE_MS, err);
    if (r == 0)
        r = move_and_commit(conversion, err);
    set_converting(container, false);
    engine_pool_refill(container->engine->pool);
    return r;
}

/* --- the whole --- */

static bool runs(struct container *container)
{
    ENGINE_STATE(container->engine);
    return container_is_running(container) || container->status == CONTAINER_RESTARTING;
}

/* [operation], given up while it stops. */
static int convert_running(struct conversion *conversion, struct error *err)
{
    struct container *container = conversion->container;
    struct error failure = ERROR_INIT;
    struct error again = ERROR_INIT;
    int r = container_keep_files(container, err);

    if (r < 0)
        return error_wrap(err, r, "its worker does not keep its files");
    r = container_hold_stopped(container, &failure);
    if (r == 0)
        r = convert_stopped(conversion, &failure);
    if (r < 0) {
        if (container_start_held(container, &again) < 0)
            (void)error_wrap(&failure, r, "it does not start again (%s)", again.message);
        return error_copy(err, &failure);
    }
    r = container_start_held(container, err);
    return r < 0 ? error_wrap(err, r, "it was converted, and does not start") : 0;
}

/* [operation] */
static int convert(struct conversion *conversion, bool restart, char ***warnings, struct error *err)
{
    struct container *container = conversion->container;
    bool running = restart && runs(container);
    int r;

    if ((!running && (r = check_stopped(container, err)) < 0) ||
        (r = make_shadow(conversion, err)) < 0 ||
        (r = check_options(conversion, warnings, err)) < 0)
        return r;
    return running ? convert_running(conversion, err) : convert_stopped(conversion, err);
}

int container_convert(struct container *container, enum compute_isolation to, bool restart,
                      char ***warnings, struct error *err)
{
    CLEANUP(conversion_release)
    struct conversion conversion = {
        .container = container,
        .to = to,
        .staging = string_format("%s/convert", container->directory),
        .runtime = string_format("%s/files/%s", container->engine->config.state, container->id),
    };

    if (!conversion.staging || !conversion.runtime)
        return error_oom(err);
    if (container->isolation == to)
        return 0;
    int r = convert(&conversion, restart, warnings, err);
    return r < 0 ? error_wrap(err, r, "cannot convert container %s to isolation '%s'",
                              container->id, compute_isolation_to_string(to))
                 : 0;
}
