#include "engine/shares.h"

#include <string.h>

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

bool engine_shares_nothing(const struct container *container)
{
    char source[VM_SHARE_SOURCE_MAX];
    return container->isolation == COMPUTE_HYPERV &&
           !vm_share_source((enum vm_engine)container->vm_engine, 0, source);
}

static int refuse(const struct container *container, const char *source, struct error *err)
{
    return error_set_class(err, ERROR_INVALID,
                           "'%s' cannot be mounted: a utility VM of engine '%s' shares no "
                           "directory with the host; use engine 'uml', isolation 'process', or a "
                           "tmpfs",
                           source, vm_engine_to_string((enum vm_engine)container->vm_engine));
}

int engine_shares_refuse(const struct container *container, const json_t *points,
                         const json_t *asked, struct error *err)
{
    const char *path = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)asked));
    size_t i;
    json_t *point;
    if (path)
        return refuse(container, path, err);
    json_array_foreach ((json_t *)(uintptr_t)points, i, point) {
        const char *name = text_of(point, "Name");
        if (needs_share(point))
            return refuse(container, *name ? name : text_of(point, "Source"), err);
    }
    return 0;
}

int engine_shares_check(const struct container *container, const json_t *points, struct error *err)
{
    size_t n = 0;
    size_t i;
    json_t *point;
    json_array_foreach ((json_t *)(uintptr_t)points, i, point)
        n += needs_share(point);
    if (container->isolation != COMPUTE_HYPERV || n <= COMPUTE_SHARES_MAX)
        return 0;
    return error_set_class(err, ERROR_INVALID,
                           "a container with isolation 'hyperv' takes at most %d volumes and bind "
                           "mounts, not %zu",
                           COMPUTE_SHARES_MAX, n);
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
