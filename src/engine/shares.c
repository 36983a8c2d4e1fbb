#include "engine/shares.h"

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "compute/job.h"
#include "engine/private.h"
#include "vm/vm.h"

static const char *text_of(const json_t *object, const char *name)
{
    return string_or(json_string_value(json_object_get(object, name)), "");
}

static bool needs_share(const json_t *point)
{
    return !string_equal(text_of(point, "Type"), "tmpfs");
}

int engine_shares_check(const struct container *container, const json_t *points, struct error *err)
{
    const char *first = NULL;
    size_t n = 0;
    size_t i;
    json_t *point;
    json_array_foreach ((json_t *)(uintptr_t)points, i, point)
        if (needs_share(point) && n++ == 0)
            first = text_of(point, "Destination");
    if (container->isolation != COMPUTE_HYPERV || n == 0)
        return 0;
    if (n > COMPUTE_SHARES_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "a container with isolation 'hyperv' takes at most %d volumes and "
                               "bind mounts, not %zu",
                               COMPUTE_SHARES_MAX, n);
    int r = vm_check_shares((enum vm_engine)container->vm_engine,
                            &container->engine->config.vm_files, err);
    return r < 0 ? error_wrap(err, r, "nothing can be mounted on '%s'", first) : 0;
}

int engine_shares_add(const struct container *container, struct compute_job *job, struct error *err)
{
    size_t i;
    json_t *point;
    json_array_foreach (container->mount_points, i, point) {
        if (!needs_share(point))
            continue;
        const char *options = text_of(json_object_get(point, "hull"), "options");
        int r = compute_job_add_share(job, text_of(point, "Source"), text_of(point, "Destination"),
                                      !json_is_true(json_object_get(point, "RW")),
                                      string_starts_with(options, "rbind"), err);
        if (r < 0)
            return r;
    }
    return 0;
}
