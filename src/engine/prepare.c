/* Making a container ready for a run, and giving back what a run took. */
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "compute/client.h"
#include "compute/exit_record.h"
#include "compute/job.h"
#include "engine/attach_network.h"
#include "engine/pool.h"
#include "engine/private.h"
#include "engine/resources.h"
#include "engine/shares.h"
#include "engine/store.h"
#include "engine/templates.h"
#include "engine/volume.h"
#include "image/image.h"
#include "sandbox/sandbox.h"
#include "vm/jail.h"
#include "vm/scratch.h"
#include "vm/user.h"

enum { LOG_FILES_MAX = 1000, WORKER_END_MS = 30 * 1000 };

static int make_directory(const char *path, mode_t mode, struct error *err)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    return error_set_errno(err, -errno, "cannot make '%s'", path);
}

int engine_write_file(const char *path, const void *data, size_t length, mode_t mode,
                      struct error *err)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    int r = fd < 0 ? -errno : fd_write_full(fd, data, length);
    return r < 0 ? error_set_errno(err, r, "cannot write '%s'", path) : 0;
}

/* --- storage --- */

int engine_storage_size(const json_t *host_config, uint64_t *ret, struct error *err)
{
    json_t *options = NULL;
    int r = json_get_object(host_config, "StorageOpt", &options, err);
    if (r < 0)
        return r;
    *ret = VM_SCRATCH_DEFAULT;
    const char *key;
    json_t *value;
    json_object_foreach (options, key, value) {
        if (!string_equal_nocase(key, "size"))
            return error_set_class(err, ERROR_INVALID, "unknown option %s", key);
        if (!json_is_string(value) || string_to_size(json_string_value(value), ret) < 0)
            return error_set_class(err, ERROR_INVALID, "invalid size: '%s'",
                                   string_or(json_string_value(value), ""));
        if (*ret < VM_SCRATCH_MIN)
            return error_set_class(err, ERROR_INVALID, "storage-opt size must be at least %llu MiB",
                                   (unsigned long long)(VM_SCRATCH_MIN >> 20));
    }
    return 0;
}

int engine_lease_uid(struct engine *engine, const char *owner, uid_t *ret, struct error *err)
{
    uint32_t uid;
    if (store_lease_find(engine->store, "uid", owner, &uid) == 0) {
        *ret = uid;
        return 0;
    }
    for (unsigned i = 0; i < engine->config.vm_uid_count; i++) {
        uid = engine->config.vm_uid_first + i * VM_JAIL_IDS;
        if (store_lease_is_taken(engine->store, "uid", uid))
            continue;
        int r = store_lease_take(engine->store, "uid", uid, owner, err);
        if (r == -EEXIST)
            continue; /* another thread was faster */
        if (r < 0)
            return r;
        *ret = uid;
        return 0;
    }
    return error_set(err, -ENOSPC, "all %u ranges of user ids for utility VMs (from %u) are in use",
                     engine->config.vm_uid_count, (unsigned)engine->config.vm_uid_first);
}

static int prepare_scratch(struct container *container, struct compute_job *job, struct error *err)
{
    uint64_t size;
    int r = engine_storage_size(container->host_config, &size, err);
    if (r < 0)
        return r;
    job->scratch = string_format("%s/scratch.ext4", container->directory);
    CLEANUP_FREE char *templates = string_format("%s/scratch", container->engine->config.root);
    if (!job->scratch || !templates)
        return error_oom(err);
    /* Root's, and not the VM's user's: that changes, and what is plugged into a running VM is
     * mapped to it from root (vm/share.h). */
    if (access(job->scratch, F_OK) == 0)
        return chown(job->scratch, 0, 0) < 0
                   ? error_set_errno(err, -errno, "cannot own '%s'", job->scratch)
                   : 0;
    r = vm_scratch_create(templates, job->scratch, size, 0, 0, err);
    return r < 0 ? error_wrap(err, r, "writable layer") : 0;
}

static int prepare_overlay(struct container *container, struct compute_job *job, struct error *err)
{
    job->upper = string_format("%s/upper", container->directory);
    job->work = string_format("%s/work", container->directory);
    job->target = string_format("%s/rootfs", container->directory);
    if (!job->upper || !job->work || !job->target)
        return error_oom(err);
    int r = make_directory(job->upper, 0755, err);
    if (r == 0)
        r = make_directory(job->work, 0700, err);
    return r < 0 ? r : make_directory(job->target, 0700, err);
}

/* --- the job --- */

int engine_log_options(const struct container *container, struct compute_log *ret,
                       struct error *err)
{
    const struct engine_config *config = &container->engine->config;
    json_t *log = NULL;
    json_t *options = NULL;
    const char *type = "";
    int r;
    *ret = (struct compute_log){.max_file = 1};
    if ((r = json_get_object(container->host_config, "LogConfig", &log, err)) < 0 ||
        (log && ((r = json_get_string(log, "Type", &type, err)) < 0 ||
                 (r = json_get_object(log, "Config", &options, err)) < 0)))
        return r;
    if (string_is_empty(type))
        type = string_or(config->log_driver, "json-file");
    if (string_equal(type, "none"))
        ret->driver = COMPUTE_LOG_NONE;
    else if (string_equal(type, "json-file"))
        ret->driver = COMPUTE_LOG_JSON_FILE;
    else
        return error_set_class(err, ERROR_INVALID, "logger: no log driver named '%s' is registered",
                               type);
    CLEANUP_STRV char **all = strv_copy(config->log_opts);
    if (!all)
        return error_oom(err);
    const char *key;
    json_t *value;
    json_object_foreach (options, key, value)
        if (strv_appendf(&all, "%s=%s", key, string_or(json_string_value(value), "")) < 0)
            return error_oom(err);
    for (char **option = all; *option; option++) {
        const char *equals = strchr(*option, '=');
        const char *text = equals ? equals + 1 : "";
        if (string_starts_with(*option, "max-size=")) {
            r = string_to_size(text, &ret->max_size);
        } else if (string_starts_with(*option, "max-file=")) {
            r = string_to_int(text, 1, LOG_FILES_MAX, &ret->max_file);
        } else if (ret->driver == COMPUTE_LOG_JSON_FILE) {
            return error_set_class(err, ERROR_INVALID,
                                   "unknown log opt '%.*s' for json-file log driver",
                                   (int)strcspn(*option, "="), *option);
        }
        if (r < 0)
            return error_set_class(err, ERROR_INVALID, "invalid value in log opt '%s'", *option);
    }
    if (ret->driver == COMPUTE_LOG_JSON_FILE && container->directory) {
        ret->path = string_format("%s/%s-json.log", container->directory, container->id);
        if (!ret->path)
            return error_oom(err);
    }
    return 0;
}

static int job_texts(const struct container *container, struct compute_job *job)
{
    int r = string_replace(&job->id, container->id);
    r = r ?: string_replace(&job->name, container->name);
    r = r ?: string_replace(&job->owner, "hulld");
    r = r ?: string_replace(&job->directory, container->directory);
    return r ?: string_replace(&job->runtime_dir, container->runtime_dir);
}

int container_job_vm(struct container *container, struct compute_job *job, struct error *err)
{
    const struct engine *engine = container->engine;
    struct vm_files files = {0};
    int64_t memory = 0;
    int r = json_get_i64(container->host_config, "Memory", &memory, err);
    if (r < 0)
        return r;
    engine_vm_files(container->engine, &files);
    job->engine = (enum vm_engine)container->vm_engine;
    job->memory = memory > 0 ? (uint64_t)memory : engine->config.memory_default;
    job->cpus = (double)engine_resources_nano_cpus(container->host_config) / 1e9;
    job->uid = container->vm_uid;
    if (string_replace(&job->uml_kernel, files.uml_kernel) < 0 ||
        string_replace(&job->x86_kernel, files.x86_kernel) < 0 ||
        string_replace(&job->initramfs, files.initramfs) < 0 ||
        string_replace(&job->x86_initramfs, files.x86_initramfs) < 0 ||
        string_replace(&job->qemu, files.qemu) < 0 ||
        string_replace(&job->virtiofsd, files.virtiofsd) < 0 ||
        string_replace(&job->users_dir, engine->users_dir) < 0)
        return error_oom(err);
    job->vmm_cgroup = string_format("/hull/%s-vm", container->id);
    if (!job->vmm_cgroup)
        return error_oom(err);
    r = engine_resources_check_vm(job->memory, err);
    if (r == 0)
        engine_templates_use(engine->templates, job);
    return r;
}

int container_job_files(struct container *container, struct compute_job *job, struct error *err)
{
    bool guest = container->isolation == COMPUTE_HYPERV;
    int r;
    if (job_texts(container, job) < 0)
        return error_oom(err);
    job->isolation = container->isolation;
    r = image_hold_layers(container->engine->images, container->id,
                          guest ? IMAGE_LAYERS_EROFS : IMAGE_LAYERS_TREE, &job->lower, err);
    if (r < 0)
        return r;
    if (!job->files)
        container_mark(container, TRACE_LAYERS);
    if (!guest)
        return prepare_overlay(container, job, err);
    if ((r = engine_lease_uid(container->engine, container->id, &container->vm_uid, err)) < 0 ||
        (r = container_job_vm(container, job, err)) < 0 ||
        (r = engine_shares_add(container, job, err)) < 0)
        return r;
    return prepare_scratch(container, job, err);
}

static int build_job(struct container *container, struct compute_job *job, struct error *err)
{
    int r = engine_log_options(container, &job->log, err);
    if (r < 0 || (r = container_job_files(container, job, err)) < 0)
        return r;
    job->discard = container->auto_remove;
    job->terminal = container->terminal;
    job->open_stdin = container->open_stdin;
    job->stdin_once = container->stdin_once;
    container_mark(container, TRACE_SCRATCH);
    r = container_network_attach(container, job, err);
    container_mark(container, TRACE_NETWORK);
    return r;
}

static int write_job(struct container *container, struct error *err)
{
    struct compute_job *job = compute_job_new();
    if (!job)
        return error_oom(err);
    CLEANUP_FREE char *path = string_format("%s/worker.json", container->directory);
    int r = path ? build_job(container, job, err) : error_oom(err);
    if (r == 0)
        r = compute_job_write(job, path, err);
    compute_job_free(job);
    return r;
}

/* --- the worker --- */

/* Consumes the connection, if there is one already. */
static int connect_worker(struct container *container, struct compute_client *client,
                          struct error *err)
{
    int r = client ? 0 : compute_client_connect(container->runtime_dir, &client, err);
    if (r < 0)
        return r;
    return engine_watch_container(container->engine, container, client, err);
}

/* A worker that cannot be spoken to is of no use to anybody, and nobody else would end it. */
static void end_worker(const struct process *worker)
{
    (void)process_end(worker, 0, WORKER_END_MS);
}

static int connect_network(struct container *container, const struct process *worker,
                           struct error *err)
{
    CLEANUP_FREE char *path = string_format("/proc/%d/ns/net", (int)worker->pid);
    CLEANUP_CLOSE int netns = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (!process_is_alive(worker))
        return error_set(err, -ESRCH, "the worker has gone");
    if (netns < 0)
        return error_set_errno(err, -errno, "cannot open the worker's network namespace");
    return container_network_connect(container, netns, err);
}

/* An engine that is killed from here on is followed by one that finds the worker, and must know of
 * the network that it was given since the row was written. */
static int save_network(struct container *container, struct error *err)
{
    if (!container_network_is_late(container))
        return 0;
    ENGINE_STATE(container->engine);
    return container_save(container, err);
}

static int start_worker(struct container *container, struct pooled_vm *vm, struct error *err)
{
    struct compute_client *client = NULL;
    pid_t pid = vm ? pooled_vm_worker(vm) : 0;
    int r;
    {
        /* On disk before the worker is there: an engine that is killed meanwhile is followed by one
         * that knows what to adopt and what to give back. */
        ENGINE_STATE(container->engine);
        container->run++;
        container->cleaned = false;
        r = container_save(container, err);
    }
    if (r < 0)
        return r;
    /* It finds its NIC when it is told of the container. */
    if (vm && container_network_is_late(container) &&
        (r = container_network_connect(container, pooled_vm_netns(vm), err)) < 0)
        return r;
    r = vm ? pooled_vm_adopt(vm, container->directory, &client, err)
           : compute_worker_spawn(container->engine->config.worker_program, container->directory,
                                  container->runtime_dir, &pid, err);
    if (r < 0)
        return r;
    CLEANUP(process_release) struct process worker = PROCESS_INIT;
    (void)process_open(pid, &worker); /* at once, so that the pid is still its own */
    if (!vm && container_network_is_late(container) &&
        (r = connect_network(container, &worker, err)) < 0) {
        end_worker(&worker);
        return r;
    }
    if ((r = save_network(container, err)) < 0) {
        compute_client_free(client);
        end_worker(&worker);
        return r;
    }
    {
        ENGINE_STATE(container->engine);
        container->worker_pid = pid;
        container->vm_adopted = vm != NULL;
        container->worker_spent = false;
    }
    r = connect_worker(container, client, err);
    if (r < 0)
        end_worker(&worker);
    return r;
}

/* 1: a worker is there that waits for its start. One that has had its run is waited for. */
static int find_worker(struct container *container, struct error *err)
{
    {
        ENGINE_STATE(container->engine);
        if (!container->worker_pid)
            return 0;
        if (!container->worker_spent)
            return 1;
    }
    if (container_wait_worker_gone(container, WORKER_END_MS) < 0)
        return error_set(err, -ETIMEDOUT, "the worker of the container's last run does not end");
    return 0;
}

static int prepare_run(struct container *container, struct pooled_vm *vm, struct error *err)
{
    int r = path_make_dirs(container->runtime_dir, 0700, err);
    if (r < 0)
        return r;
    (void)exit_record_remove(container->directory);
    container_trace_begin(container);
    r = write_job(container, err);
    if (r == 0)
        r = container_volumes_mount(container, err);
    if (r == 0)
        r = container_network_files(container, err);
    if (r == 0)
        r = container_write_spec(container, err);
    if (r == 0)
        container_mark(container, TRACE_CONFIG);
    if (r == 0)
        r = start_worker(container, vm, err);
    if (r == 0)
        container_mark(container, TRACE_WORKER);
    if (r < 0) {
        {
            ENGINE_STATE(container->engine);
            container->cleaned = false;
            container->worker_pid = 0;
        }
        container_cleanup(container);
    }
    return r;
}

int container_prepare(struct container *container, struct error *err)
{
    struct error unfit = ERROR_INIT;
    struct pooled_vm *vm = NULL;
    int r = find_worker(container, err);
    if (r != 0)
        return r < 0 ? r : 0;
    container_cleanup(container); /* of the last run, if the janitor was not there yet */
    vm = engine_pool_take(container);
    if (vm && prepare_run(container, vm, &unfit) == 0) {
        pooled_vm_free(vm);
        return 0;
    }
    /* Whatever it was, it may have been the VM. */
    if (vm)
        pooled_vm_end(vm);
    return prepare_run(container, NULL, err);
}

/* What a worker that was killed could not take away itself. */
static void cleanup_leftovers(const struct container *container)
{
    CLEANUP_FREE char *target = string_format("%s/rootfs", container->directory);
    CLEANUP_FREE char *cgroup = string_format("/hull/%s", container->id);
    CLEANUP_FREE char *vm_cgroup = string_format("/hull/%s-vm", container->id);
    if (target && container->isolation == COMPUTE_PROCESS)
        (void)sandbox_clean(cgroup, target, NULL);
    if (vm_cgroup && container->isolation == COMPUTE_HYPERV) {
        /* The image, while a volume was filled from it. */
        if (target)
            (void)umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
        (void)sandbox_clean(vm_cgroup, NULL, NULL);
        (void)vm_user_withdraw(container->engine->users_dir, container->vm_uid, container->id,
                               NULL);
    }
    (void)path_remove_tree(AT_FDCWD, container->runtime_dir, NULL);
}

void container_cleanup(struct container *container)
{
    {
        ENGINE_STATE(container->engine);
        if (container->cleaned || container->worker_pid)
            return;
    }
    container_network_detach(container);
    container_network_event(container, false);
    cleanup_leftovers(container);
    container_volumes_unmount(container);
    container_mark_write(container, TRACE_CLEANED);
    ENGINE_STATE(container->engine);
    container->cleaned = true;
    (void)container_save(container, NULL);
}

int container_erase(struct container *container, struct error *err)
{
    struct engine *engine = container->engine;
    int r = path_remove_tree(AT_FDCWD, container->directory, err);
    if (r < 0)
        return error_wrap(err, r, "unable to remove filesystem for %s", container->id);
    (void)path_remove_tree(AT_FDCWD, container->runtime_dir, NULL);
    container_files_forget(container);
    r = image_release(engine->images, container->id, err);
    return r < 0 ? r : store_container_remove(engine->store, container->id, err);
}
