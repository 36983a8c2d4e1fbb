/* A VM that is made from a template (vm/template.h) instead of being booted.
 *
 * It comes up without disks and NIC, which are plugged in once its agent has said hello; then it is
 * like any other. Until the container's `create` is sent nothing of the container is in it, so
 * whatever goes wrong before costs time and nothing else: the template is taken away, so that
 * nobody tries it again, and the VM is booted. One of the pool (worker_pool.c) stops half way, at
 * the hello. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"
#include "compute/worker_internal.h"
#include "vm/template.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The memory is the engine's, found through /proc: it is what was meant if the engine has not ended
 * meanwhile, and its number not been given to another file. */
static int open_memory(const struct compute_job *job, struct error *err)
{
    struct stat st;
    CLEANUP_CLOSE int fd = open(job->template_memory, O_RDWR | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(err, -errno, "opening its memory");
    if (st.st_ino != job->template_inode)
        return error_set(err, -ESTALE, "its memory is another one by now");
    int r = vm_template_check_memory(fd, 0, err);
    return r < 0 ? r : TAKE_FD(fd);
}

static int open_template(struct worker *worker, struct error *err)
{
    const struct compute_job *job = worker->job;
    CLEANUP_CLOSE int memory = open_memory(job, err);
    CLEANUP_CLOSE int state = -EBADF;

    if (memory < 0)
        return memory;
    state = open(job->template_state, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (state < 0)
        return error_set_errno(err, -errno, "opening its state");
    worker->template = (struct vm_template){.memory = TAKE_FD(memory), .state = TAKE_FD(state)};
    return 0;
}

void worker_template_close(struct worker *worker)
{
    if (!worker->from_template)
        return;
    worker->from_template = false;
    fd_close(worker->template.memory);
    fd_close(worker->template.state);
}

bool worker_template_use(struct worker *worker, struct vm_config *config)
{
    const struct compute_job *job = worker->job;
    struct error error = ERROR_INIT;

    if (worker->template_spent || job->convert || string_is_empty(job->template_memory) ||
        string_is_empty(job->template_state) || !vm_has_templates(job->engine))
        return false;
    if (open_template(worker, &error) < 0) {
        worker_note(worker, "the utility VM is booted, its template cannot be used: %s",
                    error.message);
        worker->template_spent = true;
        return false;
    }
    worker->from_template = true;
    config->template = &worker->template;
    config->pooled = true;
    config->n_disks = 0;
    config->nic.link = NULL;
    return true;
}

/* --- plugging --- */

static void plugged(struct vm *vm, const struct error *error, void *data)
{
    struct worker *worker = data;

    (void)vm;
    if (!worker->from_template || worker->status != WORKER_STARTING)
        return;
    if (error) {
        (void)worker_template_lost(worker, error);
        return;
    }
    worker_template_close(worker);
    /* What follows is no matter of the template: its time is that of a VM that was booted. */
    worker_set_deadline(worker, WORKER_DEADLINE_BOOT, worker_boot_time(worker));
    worker_create(worker);
}

bool worker_template_plug(struct worker *worker)
{
    struct error error = ERROR_INIT;

    if (!worker->from_template)
        return false;
    if (worker_plug(worker, plugged, &error) < 0)
        (void)worker_template_lost(worker, &error);
    return true;
}

/* --- what goes wrong --- */

/* By its name may be found one that was made since, with which nothing is wrong. */
static void remove_state(struct worker *worker)
{
    const char *path = worker->job->template_state;
    struct stat ours;
    struct stat there;

    if (fstat(worker->template.state, &ours) < 0 || lstat(path, &there) < 0 ||
        ours.st_dev != there.st_dev || ours.st_ino != there.st_ino)
        return;
    if (unlink(path) < 0 && errno != ENOENT)
        worker_note(worker, "cannot remove %s: %m", path);
}

bool worker_template_lost(struct worker *worker, const struct error *reason)
{
    struct error error = ERROR_INIT;

    if (!worker->from_template ||
        (worker->status != WORKER_STARTING && worker->status != WORKER_BOOTING))
        return false;
    worker_note(worker, "the utility VM is booted, its template is removed: %s", reason->message);
    remove_state(worker);
    worker->template_spent = true;
    worker_template_close(worker);
    worker_drop_vm(worker);
    if (worker_place(worker, &error) < 0 && !worker_pool_lost(worker, &error))
        worker_start_failed(worker, &error);
    return true;
}
