#include "engine/admission.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "engine/private.h"

#define MEMINFO "/proc/meminfo"
#define MIB (1024ULL * 1024)

enum { MEMINFO_MAX = 64 * 1024 };

/* Measured (bench/size), with room for what a first program needs. */
static const uint64_t costs[] = {
    [VM_ENGINE_KVM] = 96 * MIB,
    [VM_ENGINE_UML] = 32 * MIB,
    [VM_ENGINE_TCG] = 160 * MIB,
};
_Static_assert(sizeof(costs) / sizeof(costs[0]) == VM_ENGINE_MAX, "an engine has no cost");

/* "Name:   123 kB". */
static int read_line(const char *text, const char *name, uint64_t *ret)
{
    const char *line = strstr(text, name);
    char *end;

    if (!line || (line != text && line[-1] != '\n') || line[strlen(name)] != ':')
        return -EINVAL;
    line += strlen(name) + 1;
    errno = 0;
    unsigned long long kib = strtoull(line, &end, 10);
    if (end == line || errno || kib > UINT64_MAX / 1024 || strncmp(end, " kB", 3) != 0)
        return -EINVAL;
    *ret = kib * 1024;
    return 0;
}

int admission_read_memory(const char *path, struct admission *ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MEMINFO_MAX);
    uint64_t total;
    uint64_t available;
    int r = file_read(AT_FDCWD, path, &text, err);

    if (r < 0)
        return r;
    if (read_line(buffer_string(&text), "MemTotal", &total) < 0 ||
        read_line(buffer_string(&text), "MemAvailable", &available) < 0)
        return error_set(err, -EINVAL, "%s does not say how much memory there is", path);
    ret->total = total;
    ret->available = available;
    return 0;
}

uint64_t admission_reserve(uint64_t total)
{
    uint64_t reserve = total / 16;

    return reserve < 128 * MIB ? 128 * MIB : reserve > 1024 * MIB ? 1024 * MIB : reserve;
}

uint64_t admission_cost(enum vm_engine engine, uint64_t limit)
{
    return limit < costs[engine] ? limit : costs[engine];
}

static unsigned long long mib(uint64_t bytes)
{
    return bytes / MIB;
}

int admission_check(const struct admission *state, uint64_t limit, uint64_t cost, struct error *err)
{
    uint64_t kept = admission_reserve(state->total);
    unsigned __int128 bound = (unsigned __int128)state->total * state->overcommit;
    unsigned __int128 sum = (unsigned __int128)state->limits + limit;

    if ((unsigned __int128)kept + state->promised + cost > state->available)
        return error_set_class(
            err, ERROR_UNAVAILABLE,
            "not enough memory for another utility VM: it needs %llu MiB at once (its limit is "
            "%llu MiB), and of the host's %llu MiB only %llu MiB are available, of which %llu MiB "
            "are reserved for the host and %llu MiB promised to VMs that are starting (%zu utility "
            "VMs run)",
            mib(cost), mib(limit), mib(state->total), mib(state->available), mib(kept),
            mib(state->promised), state->n);
    if (state->overcommit > 0 && sum * ADMISSION_RATIO_UNIT > bound)
        return error_set_class(
            err, ERROR_UNAVAILABLE,
            "not enough memory for another utility VM: with its limit of %llu MiB the limits of "
            "%zu utility VMs would be %llu MiB in sum, more than %.4g times "
            "(--vm-memory-overcommit) "
            "the host's %llu MiB",
            mib(limit), state->n + 1, (unsigned long long)(sum / MIB),
            (double)state->overcommit / ADMISSION_RATIO_UNIT, mib(state->total));
    return 0;
}

/* --- of a container --- */

static uint64_t limit_of(const struct container *container)
{
    int64_t memory = 0;

    (void)json_get_i64(container->host_config, "Memory", &memory, NULL);
    return memory > 0 ? (uint64_t)memory : container->engine->config.memory_default;
}

/* [state] Its VM is there: its program runs, or it was given one of the pool and waits for its
 * start. */
static bool has_vm(const struct container *container)
{
    return container->isolation == COMPUTE_HYPERV &&
           (container_is_running(container) || (container->worker_pid && container->vm_adopted));
}

/* [state] */
static void count_others(const struct container *container, struct admission *state)
{
    LIST_FOR_EACH (other, &container->engine->containers, struct container, node) {
        if (other == container || (!has_vm(other) && other->vm_promised == 0))
            continue;
        state->limits += limit_of(other);
        state->promised += other->vm_promised;
        state->n++;
    }
}

int admission_begin_vm(struct container *container, enum vm_engine engine, uint64_t limit,
                       struct error *err)
{
    struct admission state = {.overcommit = container->engine->config.memory_overcommit};
    int r = admission_read_memory(MEMINFO, &state, err);

    if (r < 0)
        return r;
    ENGINE_STATE(container->engine);
    count_others(container, &state);
    r = admission_check(&state, limit, admission_cost(engine, limit), err);
    if (r == 0)
        container->vm_promised = admission_cost(engine, limit);
    return r;
}

int admission_begin(struct container *container, struct error *err)
{
    return container->isolation == COMPUTE_HYPERV
               ? admission_begin_vm(container, (enum vm_engine)container->vm_engine,
                                    limit_of(container), err)
               : 0;
}

void admission_end(struct container *container)
{
    ENGINE_STATE(container->engine);
    container->vm_promised = 0;
}
