/* When a container's start and end reached which point, for `hull vm trace`.
 *
 * Theory of operation. A mark is a point in time with a name; a phase is what lies between a mark
 * and the one before it, and has the name of the mark that ends it. So phases follow each other
 * without gaps and add up to the whole, and who adds a mark need not know its neighbours. The marks
 * come in the order of `enum trace_mark`; one that does not exist in a run (there is no VMM in a
 * process container) is 0 and its time belongs to the next. To add one: a line in the enum, a row
 * of the table in trace.c, a call of trace_now() where it happens.
 *
 * Engine and worker each keep a `struct trace` in the container's directory; the marks of an agent
 * come to the worker in its own kernel's time with the answer to `create` and with `exit`. */
#ifndef HULL_BASE_TRACE_H
#define HULL_BASE_TRACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct error;

enum trace_mark {
    /* the start */
    TRACE_BEGIN,
    TRACE_LAYERS,
    TRACE_SCRATCH,
    TRACE_NETWORK,
    TRACE_CONFIG,
    TRACE_ADOPT,
    TRACE_WORKER,
    TRACE_CLIENT,
    TRACE_REQUEST,
    TRACE_PLUG,
    TRACE_JAIL,
    TRACE_VMM,
    TRACE_KERNEL,
    TRACE_INIT,
    TRACE_LINK,
    TRACE_DISKS,
    TRACE_CREATE,
    TRACE_CREATED,
    TRACE_PROGRAM,
    TRACE_RUNNING,
    /* the end */
    TRACE_ENDED,
    TRACE_EXIT,
    TRACE_POWER_OFF,
    TRACE_RECORD,
    TRACE_TOLD,
    TRACE_GONE,
    TRACE_CLEANED,
    TRACE_MARK_MAX,
};

/* base/timestamp.h, timestamp_monotonic(); 0: the point was not reached. */
struct trace {
    int64_t at[TRACE_MARK_MAX];
};

#define TRACE_ENGINE_FILE "trace-engine.json"
#define TRACE_WORKER_FILE "trace-worker.json"

void trace_now(struct trace *trace, enum trace_mark mark);

/* The members are the marks' names, their values nanoseconds. NULL when out of memory. */
json_t *trace_to_json(const struct trace *trace);
/* Unknown members are passed over (another version's). -EINVAL for a value that is no time. */
int trace_from_json(const json_t *json, struct trace *ret, struct error *err);

/* A file in the container's directory, replaced without fsync. */
int trace_write(const char *directory, const char *name, const struct trace *trace,
                struct error *err);
/* -ENOENT when there is none. */
int trace_read(const char *directory, const char *name, struct trace *ret, struct error *err);
void trace_remove(const char *directory);

/* Adds the marks that `other` has. */
void trace_merge(struct trace *trace, const struct trace *other);

/* What an agent says of itself: its marks and the time of its own clock ("now"). NULL when out of
 * memory. */
json_t *trace_to_report(const struct trace *trace);
/* Takes such a report, heard at `heard` on our clock, over into `trace`. It may be a hostile
 * guest's: only the marks that are an agent's are taken, and none of them comes out before the
 * mark that precedes it here or after the one that follows. Those of a boot before the start was
 * asked for, as of a VM that waited in a pool, are dropped. A report that makes no sense adds
 * nothing. `guest`: its clock began with its kernel, which is a mark, too. */
void trace_take_report(struct trace *trace, const json_t *report, int64_t heard, bool guest);

/* [{"Part": "start" or "end", "Phase", "Where", "Microseconds", "At", "What"}], in order; "At" is
 * since the part's begin. Each part that has phases ends with a row "total". NULL when out of
 * memory. */
json_t *trace_phases(const struct trace *trace);

#endif
