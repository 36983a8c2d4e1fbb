/* Workers of the pool: a utility VM is booted before its container is known.
 *
 * Theory of operation. The job says `pool`. BOOTING: a client, the engine, asks for `boot`, which
 * is answered when the agent in the VM has said hello. POOLED: the VM waits, with nothing of any
 * container in it; whatever it says, and its end, end the worker, and so does the loss of the
 * engine's connection: a pooled VM is worth nothing to anybody else. With `adopt` the worker
 * becomes that of the container in the directory that is named there: it reads its worker.json,
 * listens on its socket, bears its name, and gives the VM its disks and its NIC. From then on
 * (IDLE) it is like any other; only that a start finds the VM up. There is no way back: a VM serves
 * one container.
 *
 * The NIC's packet socket is made before anybody knows which link it is for. By such a socket the
 * VMM, to which it is given, may send wherever its network namespace can: so each worker whose VM
 * has one is in a network namespace of its own, where the engine puts one end of the container's
 * veth pair and nothing else is.
 *
 * A boot is done in the background (vm_set_background()): whoever starts a container meanwhile goes
 * first.
 *
 * What goes wrong with the VM between adoption and start costs time and nothing else: nothing of
 * the container ran in it, and the start boots another one. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/netdevice.h"
#include "base/path.h"
#include "base/strings.h"
#include "compute/worker_internal.h"
#include "vm/user.h"
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

/* --- boot --- */

int worker_leave_network(const struct worker *worker, struct error *err)
{
    const struct compute_job *job = worker->job;
    struct error why = ERROR_INIT;
    int r;

    if (job->isolation != COMPUTE_HYPERV || !vm_nic_is_socket(job->engine) ||
        !(job->pool || job->nic_link))
        return 0;
    if (unshare(CLONE_NEWNET) < 0)
        return error_set_errno(err, -errno, "cannot make a network namespace");
    r = file_write(AT_FDCWD, "/proc/sys/net/ipv6/conf/default/disable_ipv6", "1", &why);
    return r < 0 && r != -ENOENT ? error_copy(err, &why) : 0; /* a kernel without IPv6 */
}

int worker_pool_boot(struct worker_client *client, uint64_t id, struct error *err)
{
    struct worker *worker = client->worker;
    int r;

    if (worker->status != WORKER_BOOTING || worker->vm)
        return error_set_class(err, ERROR_CONFLICT, "this worker is %s",
                               worker_status_name(worker));
    r = worker_place(worker, err);
    if (r < 0) {
        worker->done = true;
        return r;
    }
    worker->booter = client->serial;
    worker->boot_id = id;
    return 0;
}

static void answer_boot(struct worker *worker, const struct error *error)
{
    struct worker_client *client = worker_client_find(worker, worker->booter);

    worker->booter = 0;
    if (client && error)
        wire_connection_refuse(client->connection, worker->boot_id, error);
    else if (client)
        wire_connection_answer(client->connection, worker->boot_id,
                               json_pack("{s:i,s:I}", "vmm_pid", (int)vm_pid(worker->vm),
                                         "memory_ceiling",
                                         (json_int_t)vm_memory_ceiling(worker->vm)));
}

void worker_pool_booted(struct worker *worker)
{
    worker_template_close(worker);
    vm_set_background(worker->vm, false); /* now, and not when somebody waits */
    worker->status = WORKER_POOLED;
    worker_set_deadline(worker, WORKER_NO_DEADLINE, 0);
    answer_boot(worker, NULL);
}

/* --- what goes wrong --- */

/* Nothing of the container was given to the one that does not serve. */
static void place_another(struct worker *worker)
{
    struct error failure = ERROR_INIT;

    if (worker_place(worker, &failure) < 0)
        worker_start_failed(worker, &failure);
}

bool worker_pool_lost(struct worker *worker, const struct error *reason)
{
    switch (worker->status) {
    case WORKER_BOOTING:
        answer_boot(worker, reason);
        worker->done = true;
        return true;
    case WORKER_POOLED:
        worker_note(worker, "%s", reason->message);
        worker->done = true;
        return true;
    case WORKER_IDLE:
        if (worker->plug != WORKER_UNFIT)
            worker_note(worker, "the pooled utility VM is lost: %s", reason->message);
        worker->plug = WORKER_UNFIT;
        return true;
    case WORKER_STARTING:
        if (worker->plug != WORKER_PLUGGING)
            return false;
        worker_note(worker, "the pooled utility VM is lost: %s", reason->message);
        worker->plug = WORKER_UNFIT;
        place_another(worker);
        return true;
    default:
        return false;
    }
}

/* --- adoption --- */

/* The VM was made for another configuration than the container's. */
static int check_fit(const struct worker *worker, const struct compute_job *job, struct error *err)
{
    const struct compute_job *own = worker->job;

    if (job->pool || job->isolation != COMPUTE_HYPERV || job->n_shares > 0 ||
        job->engine != own->engine || job->uid != own->uid ||
        !string_equal(job->uml_kernel, own->uml_kernel) ||
        !string_equal(job->x86_kernel, own->x86_kernel) ||
        !string_equal(job->initramfs, own->initramfs) ||
        !string_equal(job->x86_initramfs, own->x86_initramfs) ||
        !string_equal(job->qemu, own->qemu) || worker_memory(job) > vm_memory_ceiling(worker->vm) ||
        (!vm_resizes_memory(job->engine) &&
         (worker_memory(job) != worker_memory(own) || job->cpus > 1)))
        return error_set_class(err, ERROR_CONFLICT,
                               "the pooled utility VM is not what the container needs");
    return 0;
}

/* This program's own messages go to the container's directory from now on. */
static int move_messages(const char *directory, struct error *err)
{
    CLEANUP_FREE char *path = path_join(directory, "worker.log");
    CLEANUP_CLOSE int fd = -EBADF;

    if (!path)
        return error_oom(err);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
        return error_set_errno(err, -errno, "opening %s", path);
    return 0;
}

/* Everything by which the pooled VM is known on the host; what cannot be changed stays as it is
 * until the worker, which then ends, takes it away. */
static int rename_vm(struct worker *worker, const struct compute_job *job, struct error *err)
{
    const struct compute_job *own = worker->job;
    CLEANUP_FREE char *console = worker_console_path(job);
    int r;

    if (!console)
        return error_oom(err);
    r = vm_rename(worker->vm, job->vmm_cgroup, console, worker_memory(job), job->cpus, err);
    if (r < 0 || !job->users_dir)
        return r;
    if (worker->user_published)
        (void)vm_user_withdraw(own->users_dir, own->uid, own->id, NULL);
    worker->user_published = false;
    return vm_user_publish(job->users_dir, job->uid, job->id, err);
}

static void become(struct worker *worker, struct compute_job *job)
{
    (void)path_remove_tree(AT_FDCWD, worker->job->runtime_dir, NULL);
    compute_job_free(worker->job);
    worker->job = job;
    worker->trace = (struct trace){.at = {0}}; /* the boot was not for this container */
    worker->user_published = job->users_dir != NULL;
    worker->status = WORKER_IDLE;
    worker_set_title(job->directory);
}

static void create(struct worker *worker)
{
    trace_now(&worker->trace, TRACE_PLUG);
    worker_create(worker);
}

static void plugged(struct vm *vm, const struct error *error, void *data)
{
    struct worker *worker = data;

    (void)vm;
    if (error)
        worker_note(worker, "the pooled utility VM cannot be used: %s", error->message);
    if (worker->plug == WORKER_PLUGGING)
        worker->plug = error ? WORKER_UNFIT : WORKER_PLUGGED;
    if (worker->status != WORKER_STARTING)
        return;
    if (worker->plug == WORKER_PLUGGED)
        create(worker);
    else
        place_another(worker);
}

static int plug(struct worker *worker, struct error *err)
{
    int r = worker_prepare_nic(worker, err);

    return r < 0 ? r : worker_plug(worker, plugged, err);
}

static int take_over(struct worker *worker, struct compute_job *job, struct error *err)
{
    int r;

    if ((r = check_fit(worker, job, err)) < 0 ||
        (r = path_make_dirs(job->runtime_dir, 0700, err)) < 0 ||
        (r = log_file_open(&worker->log, &job->log, err)) < 0 ||
        (r = move_messages(job->directory, err)) < 0 || (r = rename_vm(worker, job, err)) < 0)
        return r;
    worker_stop_listening(worker);
    become(worker, job);
    return 0;
}

int worker_pool_adopt(struct worker_client *client, json_t *request, struct error *err)
{
    struct worker *worker = client->worker;
    struct error unfit = ERROR_INIT;
    struct compute_job *job = NULL;
    const char *directory = NULL;
    int r = json_need_string(request, "directory", &directory, err);

    if (r < 0)
        return r;
    if (worker->status != WORKER_POOLED)
        return error_set_class(err, ERROR_CONFLICT, "this worker is %s",
                               worker_status_name(worker));
    CLEANUP_FREE char *path = path_join(directory, "worker.json");
    r = path ? compute_job_read(path, &job, err) : error_oom(err);
    if (r >= 0 && (r = take_over(worker, job, err)) < 0)
        compute_job_free(job);
    if (r >= 0)
        r = worker_open_runtime(worker, err);
    if (r < 0) {
        worker->done = true; /* neither the pool's nor the container's */
        return r;
    }
    worker->plug = WORKER_PLUGGING;
    trace_now(&worker->trace, TRACE_ADOPT);
    if (plug(worker, &unfit) < 0)
        (void)worker_pool_lost(worker, &unfit);
    return 0;
}

/* --- start --- */

void worker_pool_drop(struct worker *worker)
{
    if (!worker->vm || worker->status > WORKER_STARTING)
        return;
    worker_drop_vm(worker);
    worker->plug = WORKER_NOT_PLUGGED;
}

int worker_prepare_nic(const struct worker *worker, struct error *err)
{
    const struct compute_job *job = worker->job;

    return job->nic_link && vm_nic_is_socket(job->engine)
               ? netdevice_prepare_socket_peer(job->nic_link, err)
               : 0;
}

int worker_pool_place(struct worker *worker)
{
    if (worker->plug == WORKER_UNFIT || worker->vm_ended || !worker->link)
        worker_pool_drop(worker);
    if (!worker->vm)
        return 0;
    worker_set_deadline(worker, WORKER_DEADLINE_BOOT, WORKER_BOOT_MS);
    if (worker->plug == WORKER_PLUGGED)
        create(worker);
    return 1;
}
