/* The worker's side of the link to the agent. In a VM what comes over it is hostile. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/random.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/worker_internal.h"
#include "compute/worker_proxy.h"
#include "compute/worker_shares.h"
#include "sandbox/guest.h"
#include "sandbox/guest_identity.h"
#include "vm/vm.h"

#include <errno.h>
#include <sys/stat.h>

enum { SIGNAL_NUMBER_MAX = 64, WARNINGS_MAX = 64, WARNING_LENGTH_MAX = 1024 };

/* --- the create request --- */

/* A bind mount of one of the container's own small files (hosts, hostname, resolv.conf): its
 * content travels with the request, and the mount's source becomes the file's name in the VM. */
static int carry_file(const struct worker *worker, json_t *mount, json_t *files, struct error *err)
{
    const char *source = json_string_value(json_object_get(mount, "source"));
    const char *destination = json_string_value(json_object_get(mount, "destination"));
    CLEANUP(buffer_release) struct buffer content = BUFFER_INIT(GUEST_FILE_SIZE_MAX);
    struct stat status;

    bool own = source && string_starts_with(source, worker->job->directory) &&
               source[strlen(worker->job->directory)] == '/';
    if (own && worker->job->files && lstat(source, &status) < 0 && errno == ENOENT)
        return 0; /* it was never started */
    if (!own || lstat(source, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set_class(err, ERROR_INVALID,
                               "the mount on '%s' cannot be shared with a utility VM",
                               string_or(destination, "?"));
    int r = file_read(AT_FDCWD, source, &content, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *name =
        string_format("%zu-%.40s", json_array_size(files), strrchr(source, '/') + 1);
    CLEANUP_FREE char *path = name ? path_join(GUEST_FILES_DIR, name) : NULL;
    if (!path)
        return error_oom(err);
    if (json_array_append_new(files, json_pack("{s:s,s:s%}", "name", name, "content",
                                               buffer_string(&content), content.length)) < 0)
        return error_set_class(err, ERROR_INVALID, "%s is not UTF-8 text", source);
    return json_put_string(mount, "source", path) < 0 ? error_oom(err) : 0;
}

static bool is_bind(const json_t *mount)
{
    json_t *option;
    size_t i;

    if (string_equal(json_string_value(json_object_get(mount, "type")), "bind"))
        return true;
    json_array_foreach (json_object_get(mount, "options"), i, option) {
        const char *text = json_string_value(option);

        if (string_equal(text, "bind") || string_equal(text, "rbind"))
            return true;
    }
    return false;
}

static int carry_files(const struct worker *worker, json_t *request, json_t *config,
                       struct error *err)
{
    json_t *files = json_array();
    json_t *mount;
    size_t i;

    if (json_put(request, "files", files) < 0)
        return error_oom(err);
    json_array_foreach (json_object_get(config, "mounts"), i, mount) {
        int r = is_bind(mount) ? worker_shares_rewrite(worker, mount, err) : 1;

        if (r == 0)
            r = carry_file(worker, mount, files, err);
        if (r < 0)
            return r;
    }
    return worker_shares_describe(worker, request, err);
}

static json_t *host_rootfs(const struct compute_job *job)
{
    json_t *root = json_pack("{s:s,s:o}", "type", "overlay", "lower", json_from_strv(job->lower));

    if (root && (json_put_string(root, "upper", job->upper) < 0 ||
                 json_put_string(root, "work", job->work) < 0 ||
                 json_put_string(root, "target", job->target) < 0)) {
        json_decref(root);
        return NULL;
    }
    return root;
}

static json_t *guest_rootfs(const struct compute_job *job)
{
    size_t n = strv_length(job->lower);
    json_t *lower = json_array();

    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(lower, json_integer((json_int_t)i));
    return json_pack("{s:s,s:o,s:I}", "type", "disks", "lower", lower, "scratch", (json_int_t)n);
}

/* In a VM the container's first interface is the VM's one NIC, which is found by its address. */
static json_t *interfaces_of(const struct compute_job *job)
{
    json_t *interfaces = sandbox_interfaces_to_json(job->interfaces, job->n_interfaces);
    json_t *interface;
    size_t i;

    if (job->isolation == COMPUTE_HYPERV) {
        json_array_foreach (interfaces, i, interface)
            (void)json_object_del(interface, "link");
    }
    return interfaces;
}

static int read_config(const struct worker *worker, json_t **ret, struct error *err)
{
    CLEANUP_FREE char *path = path_join(worker->job->directory, "config.json");
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(JSON_DOCUMENT_MAX);
    int r;

    if (!path)
        return error_oom(err);
    if ((r = file_read(AT_FDCWD, path, &text, err)) < 0)
        return r;
    r = json_parse(buffer_string(&text), text.length, ret, err);
    return r < 0 ? error_wrap(err, r, "%s", path) : 0;
}

/* Random bytes for a kernel that may know no others than its twins do. */
static int put_seed(json_t *request)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[GUEST_SEED_SIZE];
    char text[2 * GUEST_SEED_SIZE + 1];

    random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[sizeof(text) - 1] = '\0';
    return json_put_string(request, "seed", text);
}

/* plan: of the container's streams; NULL: for `files`. */
static int make_create(struct worker *worker, json_t *plan, json_t **ret, struct error *err)
{
    const struct compute_job *job = worker->job;
    bool guest = job->isolation == COMPUTE_HYPERV;
    CLEANUP_JSON json_t *config = NULL;
    CLEANUP_JSON json_t *request = NULL;
    int r = read_config(worker, &config, err);

    if (r < 0)
        return r;
    request = json_pack("{s:s,s:O,s:o,s:I}", "container", job->id, "config", config, "rootfs",
                        guest ? guest_rootfs(job) : host_rootfs(job), "clock",
                        (json_int_t)timestamp_now());
    if (!request || (plan && (json_put(request, "interfaces", interfaces_of(job)) < 0 ||
                              json_put(request, "streams", json_incref(plan)) < 0)))
        return error_oom(err);
    if (guest && put_seed(request) < 0)
        return error_oom(err);
    if (guest && vm_resizes_memory(job->engine) &&
        json_put_i64(request, "memory", (int64_t)worker_memory(job)) < 0)
        return error_oom(err);
    if (guest && (r = carry_files(worker, request, config, err)) < 0)
        return r;
    *ret = TAKE_PTR(request);
    return 0;
}

/* --- create, start --- */

/* The link has gone under a request. In a VM that is told by handle_closed() and by the VM's own
 * end, which say more. */
static bool is_lost(const struct worker *worker, const struct error *error)
{
    return worker->vm && error->code == -ECONNRESET && wire_connection_is_closed(worker->link);
}

static void started(struct wire_connection *connection, json_t *ok, const struct error *error,
                    void *data)
{
    struct worker *worker = data;
    int pid = 0;

    if (worker->status != WORKER_STARTING)
        return;
    if (error) {
        if (!is_lost(worker, error))
            worker_start_failed(worker, error);
        return;
    }
    if (json_get_int(ok, "pid", 1, INT32_MAX, &pid, NULL) != 1) {
        wire_connection_violation(connection, "an answer to 'start' without a pid");
        return;
    }
    worker_set_deadline(worker, WORKER_NO_DEADLINE, 0);
    worker_started(worker, (pid_t)pid);
}

/* They are shown to whoever starts the container. */
static bool take_warnings(struct worker *worker, const json_t *answer)
{
    json_t *warnings = NULL;
    json_t *warning;
    size_t i;

    if (json_get_array(answer, "warnings", &warnings, NULL) < 0 ||
        json_array_size(warnings) > WARNINGS_MAX)
        return false;
    json_array_foreach (warnings, i, warning)
        if (!json_is_string(warning) || json_string_length(warning) > WARNING_LENGTH_MAX)
            return false;
    worker->warnings = json_incref(warnings);
    return true;
}

/* What the agent did in the meantime, up to our `mark`, which is now. */
static void take_report(struct worker *worker, const json_t *message, enum trace_mark mark)
{
    int64_t heard = timestamp_monotonic();

    trace_take_report(&worker->trace, json_object_get(message, "trace"), heard,
                      worker->job->isolation == COMPUTE_HYPERV);
    worker->trace.at[mark] = heard;
}

/* The guest says what it found; that its disk failed is read off its console, too. The container's
 * record tells it where nothing worse is to be told. */
static void take_damage(struct worker *worker, const json_t *message)
{
    const char *text = json_string_value(json_object_get(message, "damage"));
    const char *console = worker->vm ? vm_disk_error(worker->vm) : NULL;

    if (!worker->vm || *worker->damage || (!text && !console))
        return;
    if (text)
        (void)string_copy(worker->damage, sizeof(worker->damage), text);
    else
        (void)snprintf(worker->damage, sizeof(worker->damage),
                       "the disk of the writable layer failed, what was written to it may be lost: "
                       "%.120s",
                       console);
    worker_make_line(worker->damage);
    worker_note(worker, "%s", worker->damage);
}

static void created(struct wire_connection *connection, json_t *ok, const struct error *error,
                    void *data)
{
    struct worker *worker = data;
    struct error failure = ERROR_INIT;

    if (worker->status != WORKER_STARTING)
        return;
    if (error) {
        if (!is_lost(worker, error))
            worker_start_failed(worker, error);
        return;
    }
    if (!take_warnings(worker, ok)) {
        wire_connection_violation(connection, "an answer to 'create' with wrong warnings");
        return;
    }
    take_report(worker, ok, TRACE_CREATED);
    take_damage(worker, ok);
    if (wire_connection_request(connection, "start", NULL, started, worker, &failure) < 0)
        worker_start_failed(worker, &failure);
}

static void files_mounted(struct wire_connection *connection, json_t *ok, const struct error *error,
                          void *data)
{
    struct worker *worker = data;

    (void)connection;
    (void)ok;
    if (worker->status != WORKER_STARTING)
        return;
    if (error) {
        if (!is_lost(worker, error))
            worker_start_failed(worker, error);
        return;
    }
    worker_set_deadline(worker, WORKER_NO_DEADLINE, 0);
    worker_started(worker, 0);
}

static void mount_files(struct worker *worker)
{
    struct error error = ERROR_INIT;
    json_t *request = NULL;
    int r = make_create(worker, NULL, &request, &error);

    if (r >= 0)
        r = wire_connection_request(worker->link, "files", request, files_mounted, worker, &error);
    if (r < 0)
        worker_start_failed(worker, &error);
}

void worker_create(struct worker *worker)
{
    CLEANUP_JSON json_t *plan = NULL;
    struct error error = ERROR_INIT;
    json_t *request = NULL;
    int r;

    if (worker->job->convert) {
        worker_convert_start(worker);
        return;
    }
    if (worker->job->files) {
        mount_files(worker);
        return;
    }
    plan = worker_streams_plan(worker);
    r = plan ? make_create(worker, plan, &request, &error) : error_oom(&error);
    if (r >= 0)
        r = wire_connection_request(worker->link, "create", request, created, worker, &error);
    if (r >= 0)
        r = worker_streams_open(worker, plan, &error);
    if (r < 0)
        worker_start_failed(worker, &error);
}

static void handle_ready(struct wire_connection *connection, void *data)
{
    struct worker *worker = data;

    (void)connection;
    trace_now(&worker->trace, TRACE_LINK);
    if (worker->status == WORKER_BOOTING)
        worker_pool_booted(worker);
    else if (worker->status == WORKER_STARTING && !worker_template_plug(worker))
        worker_create(worker);
}

/* --- events --- */

static void container_ended(struct worker *worker, int code, bool oom, const json_t *event)
{
    if (worker->status != WORKER_RUNNING)
        return; /* before `start` was answered: the answer, an error, says it */
    take_damage(worker, event);
    (void)string_copy(worker->record.reason, sizeof(worker->record.reason), worker->damage);
    worker->record.code = code;
    worker->record.oom_killed = oom;
    worker->record.finished = timestamp_now();
    worker_begin_end(worker);
}

static void handle_exit(struct worker *worker, json_t *event)
{
    const char *exec = "";
    int code = -1;
    int signal = 0;
    bool oom = false;

    if (json_get_string(event, "exec", &exec, NULL) < 0 ||
        json_get_int(event, "code", 0, 255, &code, NULL) != 1 ||
        json_get_int(event, "signal", 0, SIGNAL_NUMBER_MAX, &signal, NULL) < 0 ||
        json_get_bool(event, "oom", &oom, NULL) < 0) {
        wire_connection_violation(worker->link, "a wrong 'exit' event");
        return;
    }
    if (!*exec) {
        take_report(worker, event, TRACE_EXIT);
        container_ended(worker, code, oom, event);
        return;
    }
    int r = worker_exec_ended(worker, exec);
    if (r < 0)
        wire_connection_violation(worker->link, "an 'exit' event for an exec that does not run");
    if (r <= 0)
        return;
    worker_broadcast(worker, "exit",
                     json_pack("{s:s,s:i,s:i,s:I}", "exec", exec, "code", code, "signal", signal,
                               "time", (json_int_t)timestamp_now()));
}

static void stalled(struct loop_source *source, uint32_t events)
{
    struct worker *worker = source->data;

    (void)events;
    loop_remove(source);
    worker_drop_stalled(worker);
}

/* The program has ended; its exit is told when its output is read. Once, whatever the guest says.
 */
static void handle_ended(struct worker *worker)
{
    worker->ended = true;
    if (loop_add_timer(worker->loop, &worker->stall_timer, stalled, worker) < 0)
        return;
    (void)loop_timer_set(&worker->stall_timer, WORKER_STALL_MS);
    if (worker->deadline == WORKER_DEADLINE_KILL)
        worker_set_deadline(worker, WORKER_DEADLINE_KILL,
                            WORKER_STALL_MS + worker_patience(worker, WORKER_SIGNAL_MS));
}

static void handle_event(struct wire_connection *connection, const char *name, json_t *event,
                         void *data)
{
    struct worker *worker = data;
    const char *text;

    if ((worker->status <= WORKER_IDLE || worker->job->convert) && !string_equal(name, "log")) {
        wire_connection_violation(connection, "an event of a container that does not run");
    } else if (string_equal(name, "exit")) {
        handle_exit(worker, event);
    } else if (string_equal(name, "ended")) {
        text = json_string_value(json_object_get(event, "exec"));
        if (string_is_empty(text) && !worker->ended)
            handle_ended(worker);
    } else if (string_equal(name, "connect")) {
        worker_proxy_connect(worker, event);
    } else if (string_equal(name, "log")) {
        text = json_string_value(json_object_get(event, "message"));
        worker_note(worker, "agent: %.512s", string_or(text, ""));
    } else {
        wire_connection_violation(connection, "an unknown event");
    }
}

static void handle_closed(struct wire_connection *connection, const struct error *reason,
                          void *data)
{
    struct worker *worker = data;
    struct error lost = ERROR_INIT;

    (void)connection;
    worker->link = wire_connection_free(worker->link);
    if (worker->from_template && worker->vm && !worker->vm_ended && reason->code == -ECONNRESET)
        return; /* its end follows, and says more */
    if (worker_template_lost(worker, reason) || worker_pool_lost(worker, reason))
        return;
    if (worker->status >= WORKER_ENDING && worker->vm && !worker->vm_ended)
        return; /* a VM that powers off closes the link first; its end is waited for */
    if (worker->vm && !worker->vm_ended && reason->code == -ECONNRESET) {
        /* The VM's own end says more than the line's. */
        worker_set_deadline(worker, WORKER_DEADLINE_POWER_OFF, WORKER_POWER_OFF_MS);
        (void)error_set(&worker->lost, -ECONNRESET, "the utility VM closed its link");
        return;
    }
    (void)error_copy(&lost, reason);
    if (worker->vm) {
        vm_kill(worker->vm, reason->message);
        worker_quote_console(worker, &lost);
    }
    worker_lose(worker, &lost);
}

static const struct wire_handler handler = {
    .ready = handle_ready,
    .event = handle_event,
    .closed = handle_closed,
};

int worker_link_open(struct worker *worker, int fd, bool own, const char *peer, struct error *err)
{
    int r =
        wire_connection_new(WIRE_CLIENT, "hull-worker", peer, &handler, worker, &worker->link, err);

    if (r >= 0)
        r = wire_connection_attach(worker->link, fd, own, worker->loop, err);
    if (r < 0)
        worker->link = wire_connection_free(worker->link);
    return r;
}
