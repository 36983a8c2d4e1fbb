/* Where the agent is: in this process, or in a utility VM. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "compute/worker_internal.h"
#include "compute/worker_proxy.h"
#include "compute/worker_shares.h"
#include "sandbox/agent.h"
#include "vm/user.h"
#include "vm/vm.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- process --- */

static void agent_closed(const struct error *reason, void *data)
{
    /* The link, its other end, tells the worker. */
    (void)reason;
    (void)data;
}

static const struct agent_ops agent_ops = {.closed = agent_closed};

static int place_process(struct worker *worker, struct error *err)
{
    int ends[2];
    int r = fd_socketpair(SOCK_STREAM, ends);

    if (r < 0)
        return error_set_errno(err, r, "making a socket pair");
    CLEANUP_CLOSE int ours = ends[0];
    CLEANUP_CLOSE int theirs = ends[1];
    r = agent_new(worker->loop, theirs, true, false, &agent_ops, worker, &worker->agent, err);
    if (r < 0)
        return r;
    trace_now(&worker->trace, TRACE_JAIL);
    (void)TAKE_FD(theirs);
    r = worker_link_open(worker, ours, true, "the agent", err);
    if (r >= 0)
        (void)TAKE_FD(ours);
    return r;
}

/* --- hyperv --- */

static void vm_has_ended(struct vm *vm, bool clean, const char *reason, void *data)
{
    struct worker *worker = data;
    struct error error = ERROR_INIT;

    (void)vm;
    worker->vm_ended = true;
    trace_now(&worker->trace, TRACE_POWER_OFF);
    if (worker->convert)
        worker_convert_vm_ended(worker, clean, reason);
    if (worker->status == WORKER_ENDING) {
        if (!clean && !worker->discarded)
            worker_note(worker, "the utility VM ended in disorder: %s", reason);
        worker->finishing = true;
        return;
    }
    (void)error_set(&error, -ECONNRESET, "utility VM ended: %s", reason);
    if (worker_template_lost(worker, &error))
        return;
    if (worker->status == WORKER_STARTING || worker->status == WORKER_BOOTING)
        worker_quote_console(worker, &error);
    if (worker_pool_lost(worker, &error))
        return;
    worker_lose(worker, &error);
}

static const struct vm_events vm_events_template = {.ended = vm_has_ended};

/* What the container's last run left there is not overwritten for its files' sake. */
char *worker_console_path(const struct compute_job *job)
{
    return path_join(job->files ? job->runtime_dir : job->directory, "console.log");
}

int worker_disks(const struct compute_job *job, struct vm_disk disks[VM_DISKS_MAX], size_t *ret_n,
                 struct error *err)
{
    size_t n = strv_length(job->lower);

    if (n + 1 > VM_DISKS_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "the image has %zu layers; a utility VM takes at most %d", n,
                               VM_DISKS_MAX - 1);
    for (size_t i = 0; i < n; i++)
        disks[i] = (struct vm_disk){.path = job->lower[i], .read_only = true};
    disks[n++] = (struct vm_disk){.path = job->scratch, .read_only = false};
    if (job->convert) /* which has no layers of an image */
        disks[n++] = (struct vm_disk){.path = job->ring, .read_only = false};
    *ret_n = n;
    return 0;
}

int worker_plug(struct worker *worker, vm_plugged_function *plugged, struct error *err)
{
    const struct compute_job *job = worker->job;
    struct vm_disk disks[VM_DISKS_MAX];
    struct vm_plug wanted = {.disks = disks, .nic = {.link = job->nic_link, .mac = job->nic_mac}};
    int r = job->convert ? worker_convert_prepare(job, err) : 0;

    if (r >= 0)
        r = worker_disks(job, disks, &wanted.n_disks, err);
    return r < 0 ? r : vm_plug(worker->vm, &wanted, plugged, worker, err);
}

void worker_drop_vm(struct worker *worker)
{
    worker->link = wire_connection_free(worker->link);
    worker->vm = vm_free(worker->vm);
    worker->vm_ended = false;
}

unsigned worker_boot_time(const struct worker *worker)
{
    return worker->job->engine == VM_ENGINE_TCG ? WORKER_BOOT_TCG_MS : WORKER_BOOT_MS;
}

static int place_vm(struct worker *worker, struct error *err)
{
    const struct compute_job *job = worker->job;
    CLEANUP_FREE char *console = worker_console_path(job);
    CLEANUP_FREE char *runtime = path_join(job->runtime_dir, "vm");
    struct vm_events events = vm_events_template;
    int r;

    if (!console || !runtime)
        return error_oom(err);
    struct vm_config config = {
        .id = job->id,
        .engine = job->engine,
        .files = {.uml_kernel = job->uml_kernel,
                  .x86_kernel = job->x86_kernel,
                  .initramfs = job->initramfs,
                  .x86_initramfs = job->x86_initramfs,
                  .qemu = job->qemu,
                  .virtiofsd = job->virtiofsd},
        .memory = worker_memory(job),
        .cpus = job->cpus,
        .nic = {.link = job->nic_link, .mac = job->nic_mac},
        .console_path = console,
        .runtime_dir = runtime,
        .cgroup = job->vmm_cgroup,
        .uid = job->uid,
        .gid = (gid_t)job->uid,
    };
    events.data = worker;
    if (job->pool)
        config.pooled = config.background = true;
    else if ((r = worker_disks(job, config.disks, &config.n_disks, err)) < 0)
        return r;
    if ((job->convert && (r = worker_convert_prepare(job, err)) < 0) ||
        (r = worker_shares_open(worker, err)) < 0 ||
        (r = path_remove_tree(AT_FDCWD, runtime, err)) < 0 ||
        (r = path_make_dirs(runtime, 0700, err)) < 0)
        return r;
    config.shares = worker_shares_mounts(worker, &config.n_shares);
    config.shares_later = worker_shares_go_below(worker);
    if (job->users_dir) {
        r = vm_user_publish(job->users_dir, job->uid, job->id, err);
        if (r < 0)
            return r;
        worker->user_published = true;
    }
    if ((r = worker_prepare_nic(worker, err)) < 0)
        return r;
    bool boots = config.n_shares > 0 || !worker_template_use(worker, &config);
    r = vm_start(&config, worker->loop, &events, &worker->vm, err);
    if (r < 0)
        return worker_template_lost(worker, err) ? 0 : r; /* it has been placed anew */
    if ((r = worker_shares_attach_below(worker, err)) < 0)
        return r;
    trace_now(&worker->trace, TRACE_JAIL);
    worker_set_deadline(worker, WORKER_DEADLINE_BOOT,
                        boots ? worker_boot_time(worker) : WORKER_BOOT_MS);
    return worker_link_open(worker, vm_link(worker->vm), false, "the guest", err);
}

/* --- both --- */

int worker_place(struct worker *worker, struct error *err)
{
    switch (worker->job->isolation) {
    case COMPUTE_PROCESS:
        return place_process(worker, err);
    case COMPUTE_HYPERV:
        if (worker->job->convert_mount) {
            int r = worker_convert_mount(worker, err);
            return r < 0 ? r : place_process(worker, err);
        }
        return worker_pool_place(worker) ? 0 : place_vm(worker, err);
    case COMPUTE_ISOLATION_MAX:
        break;
    }
    return error_set_class(err, ERROR_INVALID, "unknown isolation");
}

void worker_displace(struct worker *worker)
{
    worker_proxies_close(worker);
    worker->link = wire_connection_free(worker->link);
    worker->agent = agent_free(worker->agent);
    worker_convert_free(worker); /* whose slots the link's last answers named */
    /* What an ended VM still has is a descriptor that takes long to close (vm/vm.c). */
    if (!worker->vm_ended)
        worker->vm = vm_free(worker->vm);
    worker_template_close(worker);
    worker_shares_free(worker);
    if (worker->user_published)
        (void)vm_user_withdraw(worker->job->users_dir, worker->job->uid, worker->job->id, NULL);
    worker->user_published = false;
}

/* Makes the guest's text fit for one line of an error. */
void worker_make_line(char *text)
{
    for (char *c = text; *c; c++) {
        if (*c == '\n')
            *c = '|';
        else if (*c < ' ' || *c > '~')
            *c = ' ';
    }
}

void worker_quote_console(const struct worker *worker, struct error *error)
{
    CLEANUP_FREE char *path = worker_console_path(worker->job);
    char tail[WORKER_CONSOLE_TAIL + 1];
    struct error whole = ERROR_INIT;
    struct stat status;

    if (!path || error->code == 0)
        return;
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0)
        return;
    off_t start = status.st_size > WORKER_CONSOLE_TAIL ? status.st_size - WORKER_CONSOLE_TAIL : 0;
    ssize_t n = pread(fd, tail, WORKER_CONSOLE_TAIL, start);
    if (n <= 0)
        return;
    tail[n] = '\0';
    worker_make_line(tail);
    (void)error_set(&whole, error->code, "%s; the end of its console: %s", error->message, tail);
    whole.class = error->class;
    *error = whole;
}
