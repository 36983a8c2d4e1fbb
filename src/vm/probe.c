/* Theory of operation.
 *
 * A probe boots the smallest utility VM on a loop of its own and waits for the first of: the
 * compute protocol's handshake, the VM's end, a violation of the protocol, or the time limit. The
 * first one decides; the VM is then killed. */
#include "vm/probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "vm/engine.h"
#include "vm/probe-cache.h"
#include "wire/connection.h"

enum {
    PROBE_ERROR_MAX = 1800,
    REASON_SHARE = 200, /* of a reason, where the file at fault is told too */
};
#define PROBE_MEMORY (128ULL * 1024 * 1024)
#define UNAVAILABLE "isolation 'hyperv' is not available: "

struct probe {
    struct loop *loop;
    struct loop_source timer;
    struct vm *vm;
    struct wire_connection *connection;
    struct vm_verdict *verdict;
    int64_t started;
    int timeout_ms;
    bool decided;
    char *directory; /* NULL until made */
};

static void decide(struct probe *probe, bool works, const char *reason)
{
    if (probe->decided)
        return;
    probe->decided = true;
    probe->verdict->works = works;
    if (!string_is_empty(reason))
        (void)string_copy(probe->verdict->reason, sizeof(probe->verdict->reason), reason);
    loop_quit(probe->loop, 0);
}

static void on_ready(struct wire_connection *connection, void *data)
{
    struct probe *probe = data;
    char reason[VM_PROBE_REASON_MAX];
    int64_t took = (timestamp_monotonic() - probe->started + 999999) / 1000000;

    (void)connection;
    probe->verdict->boot_ms = (int)took;
    snprintf(reason, sizeof(reason), "booted in %d ms", (int)took);
    decide(probe, true, reason);
}

static void on_closed(struct wire_connection *connection, const struct error *reason, void *data)
{
    struct probe *probe = data;

    (void)connection;
    /* The line closes with the VM, whose own reason says more and follows. */
    if (reason->code != -ECONNRESET && reason->code != -EIO)
        decide(probe, false, reason->message);
}

static void on_event(struct wire_connection *connection, const char *name, json_t *event,
                     void *data)
{
    (void)connection;
    (void)name;
    (void)event;
    (void)data;
}

static void on_ended(struct vm *vm, bool clean, const char *reason, void *data)
{
    char text[VM_PROBE_REASON_MAX];

    (void)vm;
    (void)clean;
    snprintf(text, sizeof(text), "the utility VM ended before it answered: %.400s", reason);
    decide(data, false, text);
}

static void on_time(struct loop_source *source, uint32_t events)
{
    struct probe *probe = source->data;
    char reason[VM_PROBE_REASON_MAX];

    (void)events;
    snprintf(reason, sizeof(reason), "the utility VM did not answer within %d.%d s",
             probe->timeout_ms / 1000, probe->timeout_ms % 1000 / 100);
    decide(probe, false, reason);
}

static void probe_release(struct probe *probe)
{
    probe->connection = wire_connection_free(probe->connection);
    probe->vm = vm_free(probe->vm);
    loop_remove(&probe->timer);
    probe->loop = loop_free(probe->loop);
    if (probe->directory)
        (void)path_remove_tree(AT_FDCWD, probe->directory, NULL);
    free(probe->directory);
}

static int time_limit(const struct vm_probe_config *config, enum vm_engine engine)
{
    if (config->timeout_ms > 0)
        return config->timeout_ms;
    return engine == VM_ENGINE_TCG ? VM_PROBE_SOFTWARE_TIMEOUT_MS : VM_PROBE_TIMEOUT_MS;
}

static int start(struct probe *probe, const struct vm_probe_config *config, enum vm_engine engine,
                 struct error *err)
{
    static const struct wire_handler handler = {
        .ready = on_ready, .closed = on_closed, .event = on_event};
    const struct vm_events events = {.ended = on_ended, .data = probe};
    CLEANUP_FREE char *console = path_join(probe->directory, "console.log");
    CLEANUP_FREE char *root = path_join(probe->directory, "root");
    struct vm_config vm_config = {
        .id = "probe",
        .engine = engine,
        .files = config->files,
        .memory = PROBE_MEMORY,
        .console_path = console,
        .runtime_dir = root,
        .uid = config->uid,
        .gid = config->gid,
    };
    int r;

    if (!console || !root)
        return error_oom(err);
    r = path_make_dirs(root, 0700, err);
    if (r == 0)
        r = loop_add_timer(probe->loop, &probe->timer, on_time, probe);
    if (r == 0)
        r = loop_timer_set(&probe->timer, (uint64_t)probe->timeout_ms);
    if (r < 0)
        return r;
    probe->started = timestamp_monotonic();
    r = vm_start(&vm_config, probe->loop, &events, &probe->vm, err);
    if (r == 0)
        r = wire_connection_new(WIRE_CLIENT, "hull-probe", "the guest", &handler, probe,
                                &probe->connection, err);
    if (r == 0)
        r = wire_connection_attach(probe->connection, vm_link(probe->vm), false, probe->loop, err);
    return r;
}

/* Boots. *ret_remember: the verdict is about the engine and not about this moment of the host. */
static int boot(const struct vm_probe_config *config, enum vm_engine engine,
                struct vm_verdict *verdict, bool *ret_remember, struct error *err)
{
    CLEANUP(probe_release)
    struct probe probe = {
        .verdict = verdict,
        .timer = LOOP_SOURCE_INIT,
        .timeout_ms = time_limit(config, engine),
    };
    struct error failure = ERROR_INIT;
    int r = loop_new(&probe.loop, err);

    if (r < 0)
        return r;
    probe.directory = string_format("%s/probe-%s-%d", config->runtime_dir,
                                    vm_engine_to_string(engine), (int)gettid());
    if (!probe.directory)
        return error_oom(err);
    r = start(&probe, config, engine, &failure);
    if (r == -ENOMEM)
        return error_copy(err, &failure);
    if (r < 0) {
        verdict->works = false;
        (void)string_copy(verdict->reason, sizeof(verdict->reason),
                          *failure.message ? failure.message : strerror(-r));
        *ret_remember = false;
        return 0;
    }
    r = loop_run(probe.loop);
    *ret_remember = true;
    return r < 0 ? error_set_errno(err, r, "cannot wait for the utility VM") : 0;
}

/* A crash says little; that it is another kernel than hull's says what to do. */
static int explain(const struct vm_probe_config *config, const struct vm_engine_ops *ops,
                   struct vm_verdict *verdict, struct error *err)
{
    CLEANUP_FREE char *fault = ops->fault ? ops->fault(&config->files) : NULL;
    CLEANUP_FREE char *reason =
        fault ? string_format("%.*s; %s", REASON_SHARE, verdict->reason, fault) : NULL;

    if (!fault)
        return 0;
    if (!reason)
        return error_oom(err);
    (void)string_copy(verdict->reason, sizeof(verdict->reason), reason);
    return 0;
}

/* Not part of what is remembered: it works without, too. */
static void tell_shares(const struct vm_probe_config *config, struct vm_verdict *verdict)
{
    struct error lacks = ERROR_INIT;
    size_t length = strlen(verdict->reason);

    if (verdict->works && vm_check_shares(verdict->engine, &config->files, &lacks) < 0)
        snprintf(verdict->reason + length, sizeof(verdict->reason) - length,
                 "; nothing can be mounted: %s", lacks.message);
}

int vm_probe(const struct vm_probe_config *config, enum vm_engine engine, struct vm_verdict *ret,
             struct error *err)
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);
    struct vm_verdict verdict = {.engine = engine, .reason = "not probed"};
    struct error failure = ERROR_INIT;
    CLEANUP_FREE char *key = NULL;
    bool remember = false;
    int r;

    if (!ops)
        return error_set(err, -EINVAL, "unknown VM engine");
    r = ops->check(&config->files, string_or(config->host_root, ""), &failure);
    if (r == -ENOMEM)
        return error_copy(err, &failure);
    if (r < 0) {
        (void)string_copy(verdict.reason, sizeof(verdict.reason), failure.message);
        *ret = verdict;
        return 0;
    }
    key = vm_probe_key(config, ops);
    if (!key)
        return error_oom(err);
    if (config->refresh || !vm_probe_cache_find(config->cache_path, ops->name, key, &verdict)) {
        r = boot(config, engine, &verdict, &remember, err);
        if (r >= 0 && !verdict.works)
            r = explain(config, ops, &verdict, err);
        if (r < 0)
            return r;
        if (remember)
            (void)vm_probe_cache_store(config->cache_path, ops->name, key, &verdict, NULL);
    }
    tell_shares(config, &verdict);
    *ret = verdict;
    return 0;
}

int vm_probe_cached(const struct vm_probe_config *config, enum vm_engine engine,
                    struct vm_verdict *ret)
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);
    struct vm_verdict verdict = {.engine = engine};
    CLEANUP_FREE char *key = vm_probe_key(config, ops);

    if (!key || !vm_probe_cache_find(config->cache_path, ops->name, key, &verdict))
        return 0;
    tell_shares(config, &verdict);
    *ret = verdict;
    return 1;
}

int vm_probe_auto(const struct vm_probe_config *config, enum vm_engine *ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer reasons = BUFFER_INIT(PROBE_ERROR_MAX);

    for (int engine = 0; engine < VM_ENGINE_MAX; engine++) {
        struct vm_verdict verdict;
        int r = vm_probe(config, (enum vm_engine)engine, &verdict, err);

        if (r < 0)
            return r;
        if (verdict.works) {
            *ret = (enum vm_engine)engine;
            return 0;
        }
        /* Three reasons of at most VM_PROBE_REASON_MAX bytes fit. */
        if (buffer_printf(&reasons, "%s%s: %s", engine ? "; " : "",
                          vm_engine_to_string((enum vm_engine)engine), verdict.reason) < 0)
            return error_oom(err);
    }
    error_set(err, -ENODEV, UNAVAILABLE "%s", buffer_string(&reasons));
    return error_classify(err, -ENODEV, ERROR_UNAVAILABLE);
}

int vm_probe_named(const struct vm_probe_config *config, enum vm_engine engine, struct error *err)
{
    struct vm_verdict verdict;
    int r = vm_probe(config, engine, &verdict, err);

    if (r < 0 || verdict.works)
        return r;
    error_set(err, -ENODEV, UNAVAILABLE "%s: %s", vm_engine_to_string(engine), verdict.reason);
    return error_classify(err, -ENODEV, ERROR_UNAVAILABLE);
}
