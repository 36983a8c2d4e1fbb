#include "base/trace.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { FILE_SIZE_MAX = 16 * 1024 };

enum where { ENGINE, CLIENT, WORKER, AGENT };
static const char *const where_names[] = {"engine", "client", "worker", "agent"};

/* what: of the phase that ends with this mark. */
static const struct {
    const char *name;
    enum where where;
    const char *what;
    bool reported; /* by an agent; the others are ours alone */
} marks[TRACE_MARK_MAX] = {
    [TRACE_BEGIN] = {"begin", ENGINE, ""},
    [TRACE_LAYERS] = {"layers", ENGINE, "the image's layers found and held"},
    [TRACE_SCRATCH] = {"scratch", ENGINE, "user id and writable layer"},
    [TRACE_NETWORK] = {"network", ENGINE, "address, interface, published ports"},
    [TRACE_CONFIG] = {"config", ENGINE, "volumes, hosts, resolv.conf, config.json"},
    [TRACE_ADOPT] = {"adopt", WORKER, "a VM of the pool and its worker took the container over"},
    [TRACE_WORKER] = {"worker", ENGINE, "worker started and connected"},
    [TRACE_CLIENT] = {"client", CLIENT, "until the client asked for the start"},
    [TRACE_REQUEST] = {"request", WORKER, "until the worker heard of it"},
    [TRACE_PLUG] = {"plug", WORKER, "until the pooled VM had its disks and NIC"},
    [TRACE_JAIL] = {"jail", WORKER, "console, disks, cgroup, jail; VMM or agent started"},
    [TRACE_VMM] = {"vmm", WORKER, "VMM up to the guest kernel's first tick"},
    [TRACE_KERNEL] = {"kernel", AGENT, "guest kernel and initramfs, up to pid 1", true},
    [TRACE_INIT] = {"init", AGENT, "pid 1's mounts, devices and link", true},
    [TRACE_LINK] = {"link", WORKER, "until the agent's hello was heard"},
    [TRACE_DISKS] = {"disks", AGENT, "create sent; configuration read, disks mounted", true},
    [TRACE_CREATE] = {"create", AGENT, "container made: namespaces, root, interfaces", true},
    [TRACE_CREATED] = {"created", WORKER, "until the worker heard of it"},
    [TRACE_PROGRAM] = {"program", WORKER, "the container's program started"},
    [TRACE_RUNNING] = {"running", ENGINE, "until the engine knew and had written it"},
    [TRACE_ENDED] = {"ended", AGENT, "", true},
    [TRACE_EXIT] = {"exit", AGENT, "output read, unmounted, reported"},
    [TRACE_POWER_OFF] = {"power-off", WORKER, "VM switched off and gone"},
    [TRACE_RECORD] = {"record", WORKER, "leftovers killed, cgroup removed, exit recorded"},
    [TRACE_TOLD] = {"told", ENGINE, "until the engine knew and told who waits"},
    [TRACE_GONE] = {"gone", ENGINE, "until the worker was gone"},
    [TRACE_CLEANED] = {"cleaned", ENGINE, "network, mounts and directories given back"},
};

void trace_now(struct trace *trace, enum trace_mark mark)
{
    trace->at[mark] = timestamp_monotonic();
}

/* --- JSON and files --- */

json_t *trace_to_json(const struct trace *trace)
{
    json_t *json = json_object();

    for (int i = 0; i < TRACE_MARK_MAX && json; i++) {
        if (trace->at[i] > 0 && json_put_i64(json, marks[i].name, trace->at[i]) < 0) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

int trace_from_json(const json_t *json, struct trace *ret, struct error *err)
{
    struct trace trace = {.at = {0}};

    if (!json_is_object(json))
        return error_set_class(err, ERROR_INVALID, "a trace must be an object");
    for (int i = 0; i < TRACE_MARK_MAX; i++) {
        int r = json_get_i64(json, marks[i].name, &trace.at[i], err);

        if (r < 0)
            return r;
        if (trace.at[i] < 0)
            return error_set_class(err, ERROR_INVALID, "'%s' is no time", marks[i].name);
    }
    *ret = trace;
    return 0;
}

int trace_write(const char *directory, const char *name, const struct trace *trace,
                struct error *err)
{
    CLEANUP_FREE char *path = path_join(directory, name);
    CLEANUP_JSON json_t *json = trace_to_json(trace);
    CLEANUP_FREE char *text = json ? json_format(json) : NULL;

    if (!path || !text)
        return error_oom(err);
    return file_replace(AT_FDCWD, path, text, strlen(text), 0600, err);
}

int trace_read(const char *directory, const char *name, struct trace *ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(FILE_SIZE_MAX);
    CLEANUP_FREE char *path = path_join(directory, name);
    CLEANUP_JSON json_t *json = NULL;
    int r;

    if (!path)
        return error_oom(err);
    if ((r = file_read(AT_FDCWD, path, &text, err)) < 0)
        return r;
    if ((r = json_parse(buffer_string(&text), text.length, &json, err)) < 0 ||
        (r = trace_from_json(json, ret, err)) < 0)
        return error_wrap(err, r, "%s", path);
    return 0;
}

void trace_remove(const char *directory)
{
    static const char *const names[] = {TRACE_ENGINE_FILE, TRACE_WORKER_FILE};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        CLEANUP_FREE char *path = path_join(directory, names[i]);

        if (path)
            (void)unlink(path);
    }
}

void trace_merge(struct trace *trace, const struct trace *other)
{
    for (int i = 0; i < TRACE_MARK_MAX; i++) {
        if (other->at[i] > 0)
            trace->at[i] = other->at[i];
    }
}

/* --- an agent's report --- */

json_t *trace_to_report(const struct trace *trace)
{
    json_t *report = trace_to_json(trace);

    if (json_put_i64(report, "now", timestamp_monotonic()) < 0) {
        json_decref(report);
        return NULL;
    }
    return report;
}

/* Between what surrounds it; both ends are times of our own. */
static int64_t clamp(const struct trace *trace, int mark, int64_t at, int64_t heard)
{
    int64_t low = 0;
    int64_t high = heard;

    for (int i = 0; i < mark; i++)
        if (trace->at[i] > low)
            low = trace->at[i];
    for (int i = mark + 1; i < TRACE_MARK_MAX; i++)
        if (trace->at[i] > 0 && trace->at[i] < high)
            high = trace->at[i];
    at = at > high ? high : at;
    return at < low ? low : at;
}

void trace_take_report(struct trace *trace, const json_t *report, int64_t heard, bool guest)
{
    struct trace given;
    int64_t now = 0;

    if (json_get_i64(report, "now", &now, NULL) != 1 || now <= 0 || now > heard ||
        trace_from_json(report, &given, NULL) < 0)
        return;
    int64_t begin = heard - now; /* of its clock, on ours */
    bool booted_before = guest && begin < trace->at[TRACE_REQUEST];
    for (int i = 0; i < TRACE_MARK_MAX; i++) {
        int64_t at = given.at[i] > now ? now : given.at[i];

        if (i == TRACE_VMM ? !guest : !marks[i].reported || given.at[i] == 0)
            continue;
        if (booted_before && i <= TRACE_INIT)
            continue;
        trace->at[i] = clamp(trace, i, begin + (i == TRACE_VMM ? 0 : at), heard);
    }
}

/* --- phases --- */

static int append(json_t *list, const char *part, const char *phase, const char *where,
                  int64_t length, int64_t at, const char *what)
{
    return json_array_append_new(list,
                                 json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "Part", part, "Phase",
                                           phase, "Where", where, "Microseconds",
                                           (json_int_t)length, "At", (json_int_t)at, "What", what));
}

static int append_part(json_t *list, const struct trace *trace, const char *part, int first,
                       int last)
{
    int64_t at = 0; /* microseconds since the first mark, so that nothing is lost by rounding */
    int64_t begin = 0;
    int n = 0;

    for (int i = first; i <= last; i++) {
        if (trace->at[i] == 0)
            continue;
        if (begin == 0) {
            begin = trace->at[i];
            continue;
        }
        int64_t next = (trace->at[i] - begin) / 1000;
        next = next < at ? at : next;
        if (append(list, part, marks[i].name, where_names[marks[i].where], next - at, next,
                   marks[i].what) < 0)
            return -ENOMEM;
        at = next;
        n++;
    }
    return n == 0 ? 0 : append(list, part, "total", "", at, at, "");
}

json_t *trace_phases(const struct trace *trace)
{
    json_t *list = json_array();

    if (append_part(list, trace, "start", TRACE_BEGIN, TRACE_RUNNING) < 0 ||
        append_part(list, trace, "end", TRACE_ENDED, TRACE_CLEANED) < 0) {
        json_decref(list);
        return NULL;
    }
    return list;
}
