/* A worker whose job says `convert`: moves a container's writable layer into a utility VM's disk,
 * or out of it.
 *
 * Theory of operation. Two agents are at work: one in the VM, which has the disk, and one in this
 * process, which has the host's directory; each has a link, and both are told of the same ring
 * (sandbox/agent_layer.h). The worker asks the sender for slots and passes each on to the receiver.
 * Large files do not even go that way. Out of the VM's disk: the VM says where in the image they
 * are, and the host copies the bytes. Into a disk: the host made that itself, and no VM has had it
 * yet; if the job says `convert_mount` it is mounted by a loop device, in a namespace of this
 * process's own, the receiver is an agent of this kernel too, and there is no VM.
 *
 * When the receiver has everything on its disk the record says code 0; then a VM that has received
 * is powered off, one that has sent is killed, and the worker ends. Anything else, a VM that does
 * not power off in order included, is code 1 with the reason. What was received is whole only with
 * code 0: the engine throws away what is not (engine/convert.c). Nothing of the sender's is
 * changed. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/worker_internal.h"
#include "sandbox/agent.h"
#include "sandbox/agent_layer.h"
#include "vm/scratch_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SLOTS = 8,
    SLOT_SIZE = 1024 * 1024,
    CODE_FAILED = 1,
    BYTES_PER_MS_MIN = 512, /* what the slowest VM moves */
    BLOCK_UNIT = 512,       /* of st_blocks */
    NS_PER_MS = 1000 * 1000,
};
_Static_assert(SLOTS <= (int)LAYER_SLOTS_MAX && SLOT_SIZE <= (int)LAYER_SLOT_MAX &&
                   SLOT_SIZE % LAYER_SLOT_ALIGN == 0,
               "the agents would refuse the ring");

struct slot {
    struct worker *worker;
    unsigned number;
};

struct worker_convert {
    char *mounted;                /* where the new disk is, or NULL */
    struct agent *agent;          /* on this kernel */
    struct wire_connection *host; /* its link */
    struct wire_connection *sender;
    struct wire_connection *receiver;
    unsigned ready; /* agents that are */
    unsigned owed;  /* answers that the guest has yet to give */
    int64_t until;  /* timestamp_monotonic(): it must be over */
    bool sent;      /* the sender has no more */
    bool told;      /* and the receiver knows */
    struct slot slots[SLOTS];
};

void worker_convert_free(struct worker *worker)
{
    struct worker_convert *convert = worker->convert;
    struct error error = ERROR_INIT;

    if (!convert)
        return;
    worker->convert = NULL;
    convert->host = wire_connection_free(convert->host);
    convert->agent = agent_free(convert->agent);
    /* Its agent is gone by now. */
    if (convert->mounted && vm_scratch_unmount(convert->mounted, &error) < 0)
        worker_set_record(worker, CODE_FAILED, error.message);
    free(convert->mounted);
    free(convert);
}

static void fail(struct worker *worker, const struct error *error)
{
    if (worker->status == WORKER_STARTING)
        worker_start_failed(worker, error);
    else if (worker->status == WORKER_RUNNING)
        worker_begin_end(worker);
    else
        return;
    worker_set_record(worker, CODE_FAILED, error->message);
}

void worker_convert_stalled(struct worker *worker)
{
    struct error error = ERROR_INIT;

    (void)error_set(&error, -ETIMEDOUT, WORKER_NO_ANSWER);
    fail(worker, &error);
}

void worker_convert_vm_ended(struct worker *worker, bool clean, const char *reason)
{
    struct error error = ERROR_INIT;

    if (clean || worker->record.code != 0)
        return;
    (void)error_set(&error, -EIO, "the utility VM ended in disorder: %s", reason);
    worker_set_record(worker, CODE_FAILED, error.message);
}

/* --- slots --- */

static void filled(struct wire_connection *connection, json_t *ok, const struct error *error,
                   void *data);

static bool is_guest(const struct worker *worker, const struct wire_connection *connection)
{
    return connection == worker->link && !worker->convert->mounted;
}

/* A guest that owes an answer may not be silent for long. What this host's own agent does, which
 * may copy a disk's whole content for one slot, takes as long as the disk takes. */
static int set_limit(struct worker *worker, struct error *err)
{
    const struct worker_convert *convert = worker->convert;
    int64_t limit = (convert->until - timestamp_monotonic()) / NS_PER_MS;
    unsigned patience = worker_patience(worker, WORKER_CONVERT_MS);

    if (limit < 0)
        return error_set(err, -ETIMEDOUT, "it takes longer than any layer of its size may");
    if (convert->owed > 0 && limit > patience)
        limit = patience;
    worker_set_deadline(worker, WORKER_DEADLINE_CONVERT,
                        limit < UINT_MAX ? (unsigned)limit + 1 : UINT_MAX);
    return 0;
}

static int ask(struct wire_connection *connection, const struct slot *slot, int64_t length,
               wire_answer_handler *handler, struct error *err)
{
    struct worker *worker = slot->worker;
    json_t *request =
        json_pack("{s:I,s:I}", "slot", (json_int_t)slot->number, "length", (json_int_t)length);
    int r;

    worker->convert->owed += is_guest(worker, connection);
    r = set_limit(worker, err);
    if (r < 0) {
        json_decref(request);
        return r;
    }
    return wire_connection_request(connection, "layer-slot", request, handler,
                                   (void *)(uintptr_t)slot, err);
}

/* True when this answer is somebody's: a late one, after the end or a failure, is not. */
static bool take_answer(struct worker *worker, const struct wire_connection *connection)
{
    struct error failure = ERROR_INIT;

    if (worker->status != WORKER_RUNNING || !worker->convert)
        return false;
    worker->convert->owed -= is_guest(worker, connection) && worker->convert->owed > 0;
    if (set_limit(worker, &failure) < 0)
        fail(worker, &failure);
    return worker->status == WORKER_RUNNING;
}

/* The VM has only read: there is nothing for it to write. */
static void end_at_once(struct worker *worker)
{
    worker_set_deadline(worker, WORKER_NO_DEADLINE, 0);
    worker->status = WORKER_ENDING;
    worker->finishing = true;
}

static void emptied(struct wire_connection *connection, json_t *ok, const struct error *error,
                    void *data)
{
    struct slot *slot = data;
    struct worker *worker = slot->worker;
    struct error failure = ERROR_INIT;
    bool end = false;

    if (!take_answer(worker, connection))
        return;
    if (error) {
        fail(worker, error);
        return;
    }
    if (json_get_bool(ok, "end", &end, NULL) < 0 || (end && !worker->convert->told)) {
        wire_connection_violation(connection, "a wrong answer to 'layer-slot'");
        return;
    }
    if (end) {
        worker_set_record(worker, 0, "");
        if (worker->job->convert == COMPUTE_CONVERT_IN)
            worker_begin_end(worker);
        else
            end_at_once(worker);
    } else if (!worker->convert->sent &&
               ask(worker->convert->sender, slot, 0, filled, &failure) < 0) {
        fail(worker, &failure);
    }
}

static void filled(struct wire_connection *connection, json_t *ok, const struct error *error,
                   void *data)
{
    struct slot *slot = data;
    struct worker *worker = slot->worker;
    struct worker_convert *convert = worker->convert;
    struct error failure = ERROR_INIT;
    int64_t length = 0;
    bool end = false;

    if (!take_answer(worker, connection) || convert->told)
        return;
    if (error) {
        fail(worker, error);
        return;
    }
    if (json_get_bool(ok, "end", &end, NULL) < 0 || json_get_i64(ok, "length", &length, NULL) < 0 ||
        length < 0 || length > SLOT_SIZE || end != (length == 0)) {
        wire_connection_violation(connection, "a wrong answer to 'layer-slot'");
        return;
    }
    convert->sent = convert->told = end;
    if (ask(convert->receiver, slot, length, emptied, &failure) < 0)
        fail(worker, &failure);
}

/* --- the beginning --- */

/* Nanoseconds. A guest that always has a little more to say is heard no longer than the slowest one
 * that has as much as its disk. */
static int64_t longest(const struct worker *worker)
{
    const struct compute_job *job = worker->job;
    struct stat status;
    int64_t bytes = 0;

    if (stat(job->scratch, &status) == 0)
        bytes = job->convert == COMPUTE_CONVERT_OUT ? (int64_t)status.st_blocks * BLOCK_UNIT
                                                    : (int64_t)status.st_size;
    return (bytes / BYTES_PER_MS_MIN + (int64_t)worker_patience(worker, WORKER_CONVERT_MS)) *
           NS_PER_MS;
}

static void agent_is_ready(struct wire_connection *connection, json_t *ok,
                           const struct error *error, void *data)
{
    struct worker *worker = data;
    struct worker_convert *convert = worker->convert;
    struct error failure = ERROR_INIT;

    (void)connection;
    (void)ok;
    if (worker->status != WORKER_STARTING || !convert)
        return;
    if (error) {
        fail(worker, error);
        return;
    }
    if (++convert->ready < 2)
        return;
    convert->until = timestamp_monotonic() + longest(worker);
    worker_set_deadline(worker, WORKER_NO_DEADLINE, 0);
    worker_set_record(worker, CODE_FAILED, "the conversion was given up");
    worker_started(worker, 0);
    for (unsigned i = 0; i < SLOTS && worker->status == WORKER_RUNNING; i++) {
        convert->slots[i] = (struct slot){.worker = worker, .number = i};
        if (ask(convert->sender, &convert->slots[i], 0, filled, &failure) < 0)
            fail(worker, &failure);
    }
}

static int begin(struct worker *worker, struct wire_connection *connection, json_t *place,
                 struct error *err)
{
    const struct worker_convert *convert = worker->convert;
    const struct compute_job *job = worker->job;
    bool out = job->convert == COMPUTE_CONVERT_OUT;
    json_t *request =
        json_pack("{s:b,s:i,s:i,s:I,s:I,s:s,s:s}", "receive", connection == convert->receiver,
                  "slots", (int)SLOTS, "slot_size", (int)SLOT_SIZE, "clock",
                  (json_int_t)timestamp_now(), "max_bytes", (json_int_t)job->convert_max, "content",
                  out                ? "disk"
                  : convert->mounted ? "path"
                                     : "",
                  "source", out ? job->scratch : job->upper);

    if (!request || !place || json_object_update(request, place) < 0) {
        json_decref(request);
        json_decref(place);
        return error_oom(err);
    }
    json_decref(place);
    if (convert->mounted && connection == convert->receiver &&
        json_put_string(request, "disk", job->scratch) < 0) {
        json_decref(request);
        return error_oom(err);
    }
    return wire_connection_request(connection, "layer", request, agent_is_ready, worker, err);
}

static void host_ready(struct wire_connection *connection, void *data)
{
    struct worker *worker = data;
    const struct compute_job *job = worker->job;
    struct error error = ERROR_INIT;
    json_t *place = json_pack("{s:s,s:s}", "directory", job->upper, "ring", job->ring);

    if (begin(worker, connection, place, &error) < 0)
        fail(worker, &error);
}

static void host_event(struct wire_connection *connection, const char *name, json_t *event,
                       void *data)
{
    (void)connection;
    (void)name;
    worker_note(data, "agent: %.512s",
                string_or(json_string_value(json_object_get(event, "message")), ""));
}

static void host_closed(struct wire_connection *connection, const struct error *reason, void *data)
{
    (void)connection;
    fail(data, reason);
}

static const struct wire_handler host_handler = {
    .ready = host_ready,
    .event = host_event,
    .closed = host_closed,
};

static void agent_closed(const struct error *reason, void *data)
{
    (void)reason; /* its other end tells */
    (void)data;
}

static const struct agent_ops agent_ops = {.closed = agent_closed};

static int open_host(struct worker *worker, struct worker_convert *convert, struct error *err)
{
    int ends[2];
    int r = fd_socketpair(SOCK_STREAM, ends);

    if (r < 0)
        return error_set_errno(err, r, "making a socket pair");
    CLEANUP_CLOSE int ours = ends[0];
    CLEANUP_CLOSE int theirs = ends[1];
    r = agent_new(worker->loop, theirs, true, false, &agent_ops, worker, &convert->agent, err);
    if (r < 0)
        return r;
    (void)TAKE_FD(theirs);
    r = wire_connection_new(WIRE_CLIENT, "hull-worker", "the agent", &host_handler, worker,
                            &convert->host, err);
    if (r >= 0)
        r = wire_connection_attach(convert->host, ours, true, worker->loop, err);
    if (r >= 0)
        (void)TAKE_FD(ours);
    return r;
}

int worker_convert_prepare(const struct compute_job *job, struct error *err)
{
    CLEANUP_CLOSE int fd =
        open(job->ring, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : posix_fallocate(fd, 0, (off_t)SLOTS * SLOT_SIZE);

    if (r > 0)
        r = -r;
    return r < 0 ? error_set_errno(err, r, "cannot make %s", job->ring) : 0;
}

static struct worker_convert *need_convert(struct worker *worker)
{
    if (!worker->convert)
        worker->convert = calloc(1, sizeof(*worker->convert));
    return worker->convert;
}

int worker_convert_mount(struct worker *worker, struct error *err)
{
    const struct compute_job *job = worker->job;
    CLEANUP_FREE char *target = path_join(job->runtime_dir, "disk");
    CLEANUP_FREE char *upper = target ? path_join(target, "upper") : NULL;
    int r;

    if (!upper || !need_convert(worker))
        return error_oom(err);
    if ((r = path_make_dirs(target, 0700, err)) < 0)
        return r;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0)
        return error_set_errno(err, -errno, "cannot make a mount namespace");
    if ((r = vm_scratch_mount(job->scratch, target, err)) < 0)
        return r;
    worker->convert->mounted = TAKE_PTR(target);
    if (mkdir(upper, 0755) < 0)
        return error_set_errno(err, -errno, "cannot make %s", upper);
    return worker_convert_prepare(job, err);
}

static json_t *place_of_disk(const struct worker *worker)
{
    const struct worker_convert *convert = worker->convert;

    if (!convert->mounted)
        return json_pack("{s:i,s:i}", "scratch", 0, "ring", 1);
    CLEANUP_FREE char *upper = path_join(convert->mounted, "upper");
    return upper ? json_pack("{s:s,s:s}", "directory", upper, "ring", worker->job->ring) : NULL;
}

void worker_convert_start(struct worker *worker)
{
    struct worker_convert *convert = need_convert(worker);
    struct error error = ERROR_INIT;
    bool out = worker->job->convert == COMPUTE_CONVERT_OUT;
    int r;

    if (!convert) {
        (void)error_oom(&error);
        fail(worker, &error);
        return;
    }
    r = open_host(worker, convert, &error);
    convert->sender = out ? worker->link : convert->host;
    convert->receiver = out ? convert->host : worker->link;
    if (r >= 0)
        r = begin(worker, worker->link, place_of_disk(worker), &error);
    if (r < 0)
        fail(worker, &error);
}
