#include "compute/worker.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/worker_internal.h"
#include "compute/worker_proxy.h"
#include "sandbox/agent.h"
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IO_MAX = 4096 }; /* of /proc/PID/io */

/* docker's exit codes for a program that could not be started. */
enum { CODE_NOT_FOUND = 127, CODE_NOT_EXECUTABLE = 126, CODE_NOT_STARTED = 128, CODE_LOST = 137 };

static const char *const status_names[] = {
    [WORKER_BOOTING] = "booting",   [WORKER_POOLED] = "pooled",   [WORKER_IDLE] = "idle",
    [WORKER_STARTING] = "starting", [WORKER_RUNNING] = "running", [WORKER_ENDING] = "ending",
    [WORKER_EXITED] = "exited",
};
_Static_assert(sizeof(status_names) / sizeof(status_names[0]) == WORKER_STATUS_MAX,
               "a status lacks a name");

const char *worker_status_name(const struct worker *worker)
{
    return status_names[worker->status];
}

void worker_note(struct worker *worker, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    worker->log_function(text, worker->log_data);
}

/* --- deadlines --- */

/* What the VMM has written so far; a guest that unmounts writes what it has not yet. */
static uint64_t vmm_written(const struct worker *worker)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(IO_MAX);
    static const char name[] = "wchar: ";
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/%d/io", (int)vm_pid(worker->vm));
    if (file_read(AT_FDCWD, path, &text, NULL) < 0)
        return 0;
    const char *line = strstr(buffer_string(&text), name);
    return line ? strtoull(line + sizeof(name) - 1, NULL, 10) : 0;
}

/* What is in the host's page cache is safe; what the guest still holds would be lost. */
static bool goes_on_writing(struct worker *worker)
{
    uint64_t before = worker->written;

    if (!worker->vm || worker->vm_ended || ++worker->power_off_rounds > WORKER_POWER_OFF_ROUNDS)
        return false;
    worker->written = vmm_written(worker);
    return worker->written > before;
}

static void power_off_passed(struct worker *worker)
{
    if (worker->status == WORKER_ENDING && goes_on_writing(worker)) {
        worker_set_deadline(worker, WORKER_DEADLINE_POWER_OFF, WORKER_POWER_OFF_MS);
        return;
    }
    worker_note(worker, "the utility VM did not power off in time and is killed");
    if (worker->job->convert) /* perhaps not all that it received is on its disk */
        worker_convert_vm_ended(worker, false, "it did not power off in time");
    if (worker->vm)
        vm_kill(worker->vm, "did not power off in time");
    worker_lose(worker, &worker->lost); /* it had only closed its link */
    worker->finishing = true;
}

static void deadline_passed(struct loop_source *source, uint32_t events)
{
    struct worker *worker = source->data;
    enum worker_deadline deadline = worker->deadline;
    struct error error = ERROR_INIT;

    (void)events;
    worker->deadline = WORKER_NO_DEADLINE;
    switch (deadline) {
    case WORKER_NO_DEADLINE:
        break;
    case WORKER_DEADLINE_IDLE:
        if (worker->status == WORKER_RUNNING)
            worker_begin_end(worker);
        else
            worker->done = true;
        break;
    case WORKER_DEADLINE_BOOT:
        (void)error_set_class(&error, ERROR_UNAVAILABLE, "the utility VM did not answer in time");
        worker_quote_console(worker, &error);
        if (!worker_template_lost(worker, &error) && !worker_pool_lost(worker, &error))
            worker_start_failed(worker, &error);
        break;
    case WORKER_DEADLINE_STOP:
        worker_kill(worker, "stopped with its worker");
        break;
    case WORKER_DEADLINE_KILL:
        worker_kill(worker, "the guest did not obey SIGKILL in time");
        break;
    case WORKER_DEADLINE_CONVERT:
        worker_convert_stalled(worker);
        break;
    case WORKER_DEADLINE_POWER_OFF:
        power_off_passed(worker);
        break;
    case WORKER_DEADLINE_DRAIN:
        worker->done = true;
        break;
    }
}

void worker_set_deadline(struct worker *worker, enum worker_deadline deadline, unsigned ms)
{
    worker->deadline = deadline;
    if (!worker->timer.loop &&
        loop_add_timer(worker->loop, &worker->timer, deadline_passed, worker) < 0)
        return;
    (void)loop_timer_set(&worker->timer, deadline == WORKER_NO_DEADLINE ? 0 : ms);
}

void worker_await_client(struct worker *worker)
{
    bool files = worker->job->files;

    /* A pooled VM is its engine's: when that has gone, it has no use. */
    if (worker->n_clients == 0 && worker->status < WORKER_IDLE && worker->last_serial > 0)
        worker->done = true;
    else if (worker->n_clients == 0 &&
             (worker->status < WORKER_IDLE || worker->status == WORKER_IDLE ||
              (files && worker->status == WORKER_RUNNING)))
        worker_set_deadline(worker, WORKER_DEADLINE_IDLE,
                            files ? WORKER_FILES_IDLE_MS : WORKER_IDLE_MS);
}

/* --- state changes --- */

static void answer_starter(struct worker *worker, const struct error *error)
{
    struct worker_client *client = worker_client_find(worker, worker->starter);

    worker->starter = 0;
    if (!client)
        return;
    if (error) {
        wire_connection_refuse(client->connection, worker->start_id, error);
        return;
    }
    json_t *answer = json_pack("{s:i}", "pid", (int)worker->pid);
    if (answer && worker->warnings)
        (void)json_object_set(answer, "warnings", worker->warnings);
    const char *notice = *worker->damage ? worker->damage : worker->notice;
    if (answer && *notice)
        (void)json_put_string(answer, "notice", notice);
    wire_connection_answer(client->connection, worker->start_id, answer);
}

void worker_write_trace(struct worker *worker)
{
    struct error error = ERROR_INIT;

    if (!worker->job->files &&
        trace_write(worker->job->directory, TRACE_WORKER_FILE, &worker->trace, &error) < 0)
        worker_note(worker, "%s", error.message);
}

void worker_started(struct worker *worker, pid_t pid)
{
    trace_now(&worker->trace, TRACE_PROGRAM);
    worker->status = WORKER_RUNNING;
    worker->pid = pid;
    worker->record.started = timestamp_now();
    answer_starter(worker, NULL);
    worker_broadcast(
        worker, "started",
        json_pack("{s:i,s:I}", "pid", (int)pid, "time", (json_int_t)worker->record.started));
    worker_write_trace(worker);
    worker_await_client(worker);
}

void worker_set_record(struct worker *worker, int code, const char *reason)
{
    worker->record.code = code;
    worker->record.finished = timestamp_now();
    (void)string_copy(worker->record.reason, sizeof(worker->record.reason), reason);
}

void worker_start_failed(struct worker *worker, const struct error *error)
{
    int code = CODE_NOT_STARTED;

    if (worker->status >= WORKER_ENDING)
        return;
    if (error->class == ERROR_INVALID && error->code == -ENOENT)
        code = CODE_NOT_FOUND;
    else if (error->class == ERROR_INVALID && error->code == -EACCES)
        code = CODE_NOT_EXECUTABLE;
    worker_set_record(worker, code, error->message);
    answer_starter(worker, error);
    worker_begin_end(worker);
}

void worker_lose(struct worker *worker, const struct error *reason)
{
    if (worker->status == WORKER_STARTING) {
        worker_start_failed(worker, reason);
        worker->finishing = true;
    }
    if (worker->status == WORKER_RUNNING) {
        worker_set_record(worker, CODE_LOST, reason->message);
        worker->status = WORKER_ENDING;
    }
    worker->finishing = worker->status == WORKER_ENDING;
}

static void power_off_answered(struct wire_connection *connection, json_t *ok,
                               const struct error *error, void *data)
{
    /* What counts is the VM's end, for which there is a deadline. */
    (void)connection;
    (void)ok;
    (void)error;
    (void)data;
}

/* Nobody will read what the guest has not written to its disk yet. To the host's own files it must
 * be, so not with shares. */
static bool is_discarded(const struct worker *worker)
{
    return worker->job->discard && worker->job->n_shares == 0;
}

/* The record is set; a VM is powered off first, so that its disks are whole when others hear. */
void worker_begin_end(struct worker *worker)
{
    worker->status = WORKER_ENDING;
    worker_set_deadline(worker, WORKER_NO_DEADLINE, 0);
    if (worker->vm && !worker->vm_ended && is_discarded(worker)) {
        worker->discarded = true;
        vm_kill(worker->vm, "its files are not kept");
        worker_set_deadline(worker, WORKER_DEADLINE_POWER_OFF, WORKER_POWER_OFF_MS);
        return;
    }
    if (!worker->vm || worker->vm_ended || !worker->link ||
        !wire_connection_is_ready(worker->link) ||
        wire_connection_request(worker->link, "shutdown", NULL, power_off_answered, worker, NULL) <
            0) {
        worker->finishing = true;
        return;
    }
    worker->written = vmm_written(worker);
    worker_set_deadline(worker, WORKER_DEADLINE_POWER_OFF, WORKER_POWER_OFF_MS);
}

static void ignore_answer(struct wire_connection *connection, json_t *ok, const struct error *error,
                          void *data)
{
    (void)connection;
    (void)ok;
    (void)error;
    (void)data;
}

static int send_signal(struct worker *worker, int signal, bool all)
{
    json_t *arguments = json_pack("{s:i,s:b}", "signal", signal, "all", all);

    return worker->link ? wire_connection_request(worker->link, "signal", arguments, ignore_answer,
                                                  worker, NULL)
                        : -ENOTCONN;
}

void worker_kill(struct worker *worker, const char *reason)
{
    struct error error = ERROR_INIT;

    if (worker->status <= WORKER_IDLE) {
        worker->done = true;
        return;
    }
    if (worker->status >= WORKER_ENDING)
        return;
    if (worker->status == WORKER_RUNNING && worker->job->files) {
        worker_begin_end(worker);
        return;
    }
    if (worker->status == WORKER_RUNNING && !worker->vm && send_signal(worker, SIGKILL, true) >= 0)
        return;
    (void)error_set(&error, -ECANCELED, "%s", reason);
    if (worker->vm)
        vm_kill(worker->vm, reason);
    worker_lose(worker, &error);
}

void worker_stop(struct worker *worker)
{
    if (worker->status != WORKER_RUNNING || worker->job->files ||
        send_signal(worker, SIGTERM, false) < 0)
        worker_kill(worker, "stopped with its worker");
    else
        worker_set_deadline(worker, WORKER_DEADLINE_STOP, WORKER_STOP_MS);
}

/* Takes the placement down, writes the record, and tells everybody, in this order. */
static void finish(struct worker *worker)
{
    struct error error = ERROR_INIT;

    worker_displace(worker);
    worker_execs_free(worker);
    worker->finishing = false;
    worker->status = WORKER_EXITED;
    log_file_close(&worker->log);
    worker->record.finished = timestamp_now();
    if (!worker->job->files &&
        exit_record_write(worker->job->directory, &worker->record, &error) < 0)
        worker_note(worker, "%s", error.message);
    trace_now(&worker->trace, TRACE_RECORD);
    worker_write_trace(worker);
    worker_stop_listening(worker);
    worker_streams_finish(worker);
    LIST_FOR_EACH (client, &worker->clients, struct worker_client, node) {
        if (client->wait_id)
            wire_connection_answer(client->connection, client->wait_id, worker_exit_event(worker));
        client->wait_id = 0;
    }
    worker_broadcast(worker, "exit", worker_exit_event(worker));
    worker_set_deadline(worker, WORKER_DEADLINE_DRAIN, WORKER_DRAIN_MS);
}

int worker_run(struct worker *worker)
{
    int code;
    int r;

    while (!worker->done) {
        r = loop_run_once(worker->loop, -1);
        if (r < 0)
            return r;
        if (log_file_take_warning(&worker->log, &code))
            worker_note(worker, "output is missing from the container's log: %s",
                        strerrordesc_np(-code));
        if (worker->finishing)
            finish(worker);
        if (worker->status == WORKER_EXITED && worker_streams_drained(worker) &&
            worker_clients_drained(worker) && worker_proxies_drained(worker))
            worker->done = true;
    }
    return 0;
}

/* --- birth and death --- */

static int write_pid(const struct worker *worker, struct error *err)
{
    CLEANUP_FREE char *path = path_join(worker->job->runtime_dir, "worker.pid");
    char text[32];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

    if (!path)
        return error_oom(err);
    return file_replace(AT_FDCWD, path, text, (size_t)n, 0644, err);
}

int worker_open_runtime(struct worker *worker, struct error *err)
{
    int r = write_pid(worker, err);

    return r < 0 ? r : worker_listen(worker, err);
}

static int open_worker(struct worker *worker, const char *directory, struct error *err)
{
    CLEANUP_FREE char *path = path_join(directory, "worker.json");
    int r;

    if (!path)
        return error_oom(err);
    if ((r = compute_job_read(path, &worker->job, err)) < 0 ||
        (r = path_make_dirs(worker->job->runtime_dir, 0700, err)) < 0 ||
        (r = log_file_open(&worker->log, &worker->job->log, err)) < 0 ||
        (r = worker_leave_network(worker, err)) < 0 || (r = worker_open_runtime(worker, err)) < 0)
        return r;
    worker->status = worker->job->pool ? WORKER_BOOTING : WORKER_IDLE;
    worker_await_client(worker);
    return 0;
}

int worker_new(struct loop *loop, const char *directory, worker_log_function *log, void *log_data,
               struct worker **ret, struct error *err)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    if (!worker)
        return error_oom(err);
    worker->loop = loop;
    worker->log_function = log;
    worker->log_data = log_data;
    worker->status = WORKER_IDLE;
    worker->listener = worker->timer = worker->stall_timer = (struct loop_source)LOOP_SOURCE_INIT;
    worker->log.fd = -EBADF;
    list_init(&worker->clients);
    list_init(&worker->attachments);
    list_init(&worker->execs);
    for (int i = 0; i < LOG_STREAM_MAX; i++)
        worker->output[i].worker = worker;
    int r = open_worker(worker, directory, err);
    if (r < 0) {
        worker_free(worker);
        return r;
    }
    *ret = worker;
    return 0;
}

struct worker *worker_free(struct worker *worker)
{
    if (!worker)
        return NULL;
    worker_displace(worker);
    worker_execs_free(worker);
    worker_clients_free(worker);
    worker_streams_free(worker);
    worker_proxies_free(worker);
    if (worker->listening) {
        CLEANUP_FREE char *path = path_join(worker->job->runtime_dir, "worker.pid");

        worker_stop_listening(worker);
        if (path)
            (void)unlink(path);
    }
    worker->vm = vm_free(worker->vm);
    loop_remove(&worker->timer);
    loop_remove(&worker->stall_timer);
    log_file_close(&worker->log);
    json_decref(worker->warnings);
    json_decref(worker->resources);
    compute_job_free(worker->job);
    free(worker);
    return NULL;
}
