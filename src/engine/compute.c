/* hull's own view: compute systems of this host, utility VMs, and which engine runs them. */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/client.h"
#include "engine/private.h"
#include "engine/vm_choice.h"
#include "vm/initramfs.h"
#include "vm/jail.h"
#include "vm/user.h"

enum { SMAPS_ROLLUP_MAX = 16 * 1024, CHILDREN_MAX = 64 * 1024, CHILDREN_DEPTH_MAX = 8 };

/* --- the choice of a VM engine --- */

void engine_vm_files(struct engine *engine, struct vm_files *ret)
{
    *ret = engine->config.vm_files;
    ret->initramfs = engine->initramfs;
    ret->x86_initramfs = engine->x86_initramfs;
}

/* hull-init may be newer than the archive; writing it again costs a look at both. */
static int write_initramfs(struct engine *engine, struct error *err)
{
    int r = vm_initramfs_write(engine->initramfs, engine->config.init_program, NULL, err);
    if (r == 0 && engine->x86_initramfs)
        r = vm_initramfs_write(engine->x86_initramfs, engine->config.init_program,
                               engine->config.vm_modules, err);
    return r;
}

struct probe_paths {
    char *cache;
    char *runtime;
};

static void probe_paths_release(struct probe_paths *paths)
{
    free(paths->cache);
    free(paths->runtime);
}

static int probe_config(struct engine *engine, struct probe_paths *paths,
                        struct vm_probe_config *ret, struct error *err)
{
    paths->cache = string_format("%s/engines.json", engine->config.root);
    paths->runtime = string_format("%s/probe", engine->config.state);
    if (!paths->cache || !paths->runtime)
        return error_oom(err);
    int r = path_make_dirs(paths->runtime, 0711, err);
    if (r < 0)
        return r;
    *ret = (struct vm_probe_config){
        .cache_path = paths->cache,
        .runtime_dir = paths->runtime,
        /* What follows the last container's is the probe's. */
        .uid = engine->config.vm_uid_first + engine->config.vm_uid_count * VM_JAIL_IDS,
        .gid = engine->config.vm_uid_first + engine->config.vm_uid_count * VM_JAIL_IDS,
    };
    engine_vm_files(engine, &ret->files);
    return 0;
}

static struct engine *probe_lock(struct engine *engine)
{
    pthread_mutex_lock(&engine->probe_lock);
    return engine;
}

static void probe_unlock(struct engine **engine)
{
    pthread_mutex_unlock(&(*engine)->probe_lock);
}

int engine_vm_choose(struct engine *engine, enum vm_engine *ret, struct error *err)
{
    CLEANUP(probe_unlock) struct engine *guard __attribute__((unused)) = probe_lock(engine);
    CLEANUP(probe_paths_release) struct probe_paths paths = {0};
    struct vm_probe_config config;
    int r = write_initramfs(engine, err);
    if (r < 0)
        return error_classify(err, error_wrap(err, r, "isolation 'hyperv' is not available"),
                              ERROR_UNAVAILABLE);
    r = probe_config(engine, &paths, &config, err);
    if (r < 0)
        return r;
    if (engine->config.vm_engine == ENGINE_VM_AUTO)
        return vm_probe_auto(&config, ret, err);
    enum vm_engine named = (enum vm_engine)engine->config.vm_engine;
    r = vm_probe_named(&config, named, err);
    if (r == 0)
        *ret = named;
    return r;
}

size_t engine_vm_verdicts(struct engine *engine, struct vm_verdict *ret)
{
    CLEANUP(probe_unlock) struct engine *guard __attribute__((unused)) = probe_lock(engine);
    CLEANUP(probe_paths_release) struct probe_paths paths = {0};
    struct vm_probe_config config;
    size_t n = 0;
    if (probe_config(engine, &paths, &config, NULL) < 0)
        return 0;
    for (int i = 0; i < VM_ENGINE_MAX; i++)
        if (vm_probe_cached(&config, (enum vm_engine)i, &ret[n]) > 0)
            n++;
    return n;
}

int engine_vm_probe(struct engine *engine, bool refresh, json_t **ret, struct error *err)
{
    CLEANUP(probe_unlock) struct engine *guard __attribute__((unused)) = probe_lock(engine);
    CLEANUP(probe_paths_release) struct probe_paths paths = {0};
    CLEANUP_JSON json_t *list = json_array();
    struct vm_probe_config config;
    int r = write_initramfs(engine, err);
    if (r == 0)
        r = probe_config(engine, &paths, &config, err);
    if (r < 0)
        return r;
    config.refresh = refresh;
    for (int i = 0; i < VM_ENGINE_MAX; i++) {
        struct vm_verdict verdict;
        r = vm_probe(&config, (enum vm_engine)i, &verdict, err);
        if (r < 0)
            return r;
        json_t *entry =
            json_pack("{s:s, s:b, s:s, s:i}", "Engine", vm_engine_to_string(verdict.engine),
                      "Works", verdict.works, "Reason", verdict.reason, "BootMs", verdict.boot_ms);
        if (!entry || json_array_append_new(list, entry) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

/* --- compute systems --- */

/* Proportional set size of one process, from /proc/PID/smaps_rollup (proc(5)). */
static int64_t process_pss(pid_t pid)
{
    char path[64];
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(SMAPS_ROLLUP_MAX);
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    if (pid <= 0 || file_read(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    const char *line = strstr(buffer_string(&text), "\nPss:");
    return line ? (int64_t)strtoull(line + strlen("\nPss:"), NULL, 10) * 1024 : 0;
}

/* Do two processes share one address space (clone(2) CLONE_VM), as User-Mode Linux and its thread
 * for disks do? Then its memory counts once. */
static bool same_memory(pid_t a, pid_t b)
{
    return syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0) == 0;
}

/* A User-Mode Linux VMM has a process for each address space of its guest. */
static int64_t family_pss(pid_t pid, int depth)
{
    char path[64];
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CHILDREN_MAX);
    CLEANUP_STRV char **children = NULL;
    int64_t total = process_pss(pid);
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    if (depth >= CHILDREN_DEPTH_MAX || file_read(AT_FDCWD, path, &text, NULL) < 0 ||
        strv_split(buffer_string(&text), ' ', &children) < 0)
        return total;
    for (char **child = children; child && *child; child++) {
        int number = 0;
        if (string_to_int(*child, 1, INT32_MAX, &number) < 0)
            continue;
        total += family_pss(number, depth + 1);
        if (same_memory(pid, number))
            total -= process_pss(number);
    }
    return total;
}

static int ask_state(const struct container *container, json_t **ret)
{
    struct compute_client *client = NULL;
    int r = compute_client_connect(container->runtime_dir, &client, NULL);
    if (r < 0)
        return r;
    r = compute_client_call(client, "state", NULL, ret, NULL);
    compute_client_free(client);
    return r;
}

static json_t *system_json(struct container *container)
{
    CLEANUP_JSON json_t *state = NULL;
    char started[TIMESTAMP_TEXT_MAX];
    CLEANUP_FREE char *name = NULL;
    int64_t worker = 0;
    int64_t vmm = 0;
    if (ask_state(container, &state) < 0)
        return NULL; /* it ended while we were asking */
    (void)json_get_i64(state, "worker_pid", &worker, NULL);
    (void)json_get_i64(state, "vmm_pid", &vmm, NULL);
    {
        ENGINE_STATE(container->engine);
        name = strdup(container->name);
        (void)timestamp_format(container->started, started);
    }
    bool guest = container->isolation == COMPUTE_HYPERV;
    char user[VM_USER_NAME_LENGTH + 1] = "root";
    if (guest)
        string_copy(user, sizeof(user), container->id);
    const char *engine = guest ? vm_engine_to_string((enum vm_engine)container->vm_engine) : "";
    /* The worker is the parent of what it runs: in a process container its own memory only. */
    int64_t memory = process_pss((pid_t)worker) + (guest ? family_pss((pid_t)vmm, 0) : 0);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:s}", "Id", container->id,
                     "Name", string_or(name, ""), "Owner", "hulld", "Type", "Container",
                     "Isolation", compute_isolation_to_string(container->isolation), "Engine",
                     engine, "WorkerPid", (json_int_t)worker, "VmmPid", (json_int_t)vmm, "User",
                     user, "Memory", (json_int_t)memory, "Started", started);
}

static int running_ids(struct engine *engine, char ***ret)
{
    ENGINE_STATE(engine);
    LIST_FOR_EACH (container, &engine->containers, struct container, node)
        if (container_is_running(container) && strv_append(ret, container->id) < 0)
            return -ENOMEM;
    return 0;
}

int engine_compute_list(struct engine *engine, json_t **ret, struct error *err)
{
    CLEANUP_STRV char **ids = NULL;
    CLEANUP_JSON json_t *list = json_array();
    if (!list || running_ids(engine, &ids) < 0)
        return error_oom(err);
    for (char **id = ids; id && *id; id++) {
        CLEANUP_CONTAINER struct container *container = NULL;
        if (engine_container_get(engine, *id, &container, NULL) < 0)
            continue;
        json_t *entry = system_json(container);
        if (entry && json_array_append_new(list, entry) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(list);
    return 0;
}

int engine_compute_kill(struct engine *engine, const char *id, struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    struct compute_client *client = NULL;
    uint64_t run;
    int r = engine_container_get(engine, id, &container, err);
    if (r < 0)
        return r;
    {
        ENGINE_STATE(engine);
        if (!container_is_running(container))
            return error_set_class(err, ERROR_CONFLICT, "compute system %s is not running",
                                   container->id);
        container->stopped_by_user = true;
        container->no_restart = true;
        run = container->run;
    }
    r = compute_client_connect(container->runtime_dir, &client, err);
    if (r < 0)
        return r;
    r = compute_client_kill(client, err);
    if (r >= 0)
        container_thaw(container, client);
    compute_client_free(client);
    if (r < 0)
        return r;
    return container_wait_stopped(container, run, 10000) < 0
               ? error_set(err, -ETIMEDOUT, "compute system %s does not end", container->id)
               : 0;
}

int engine_vm_console(struct engine *engine, const char *reference, char **ret, size_t *ret_length,
                      struct error *err)
{
    CLEANUP_CONTAINER struct container *container = NULL;
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(2 * VM_CONSOLE_MAX);
    int r = engine_container_get(engine, reference, &container, err);
    if (r < 0)
        return r;
    if (container->isolation != COMPUTE_HYPERV)
        return error_set_class(err, ERROR_INVALID,
                               "container %s has isolation 'process': it runs on the host's kernel "
                               "and has no console of its own",
                               reference);
    CLEANUP_FREE char *path = string_format("%s/console.log", container->directory);
    if (!path)
        return error_oom(err);
    r = file_read(AT_FDCWD, path, &text, err);
    if (r == -ENOENT)
        return error_set_class(err, ERROR_NOT_FOUND, "container %s has not been started yet",
                               reference);
    if (r < 0)
        return r;
    size_t length = text.length;
    char *taken = buffer_take(&text);
    if (!taken)
        return error_oom(err);
    *ret_length = length;
    *ret = taken;
    return 0;
}
