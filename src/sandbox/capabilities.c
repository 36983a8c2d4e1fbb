#include "sandbox/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/strings.h"
#include "spec/runtime.h"

uint64_t capabilities_host(void)
{
    uint64_t mask = 0;

    for (int i = 0; i < CAPABILITY_MAX; i++)
        if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
            mask |= CAPABILITY_BIT(i);
    return mask;
}

static int first_of(uint64_t mask)
{
    return mask ? __builtin_ctzll(mask) : -1;
}

static int warn_missing(uint64_t missing, char ***warnings)
{
    for (int i = 0; warnings && i < CAPABILITY_MAX; i++)
        if (missing & CAPABILITY_BIT(i))
            if (strv_appendf(warnings,
                             "capability %s is not in this host's bounding set and is left out",
                             capability_to_string(i)) < 0)
                return -ENOMEM;
    return 0;
}

int capabilities_check(const struct spec_process *process, uint64_t host, bool lenient,
                       struct spec_capabilities *ret, char ***warnings, struct error *err)
{
    struct spec_capabilities sets = process->capabilities;
    uint64_t asked;
    uint64_t missing;

    if (!process->has_capabilities)
        sets = (struct spec_capabilities){0};
    asked = sets.bounding | sets.effective | sets.permitted | sets.inheritable | sets.ambient;
    missing = asked & ~host;
    if (missing && !lenient && sets.bounding != CAPABILITY_ALL)
        return error_set_class(err, ERROR_INVALID,
                               "capability %s is not in this host's bounding set",
                               capability_to_string(first_of(missing)));
    if (missing && warn_missing(missing, warnings) < 0)
        return error_oom(err);
    sets.bounding &= host;
    sets.effective &= host;
    sets.permitted &= host;
    sets.inheritable &= host;
    sets.ambient &= host;
    if (sets.effective & ~sets.permitted)
        return error_set_class(err, ERROR_INVALID, "capability %s is effective but not permitted",
                               capability_to_string(first_of(sets.effective & ~sets.permitted)));
    /* The kernel gives ambient capabilities only to who may have and pass them on; runc leaves
     * others out. */
    sets.ambient &= sets.permitted & sets.inheritable;
    *ret = sets;
    return 0;
}

int capabilities_limit(const struct spec_capabilities *sets, struct error *err)
{
    for (int i = 0; i < CAPABILITY_MAX; i++) {
        if (sets->bounding & CAPABILITY_BIT(i))
            continue;
        if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno != EINVAL)
            return error_set_errno(err, -errno, "cannot drop capability %s from the bounding set",
                                   capability_to_string(i));
    }
    /* Numbers that this program has no name for yet. */
    for (int i = CAPABILITY_MAX; i < 64 && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0; i++)
        ;
    return 0;
}

int capabilities_set(const struct spec_capabilities *sets, struct error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].effective = (uint32_t)(sets->effective >> (32 * i));
        data[i].permitted = (uint32_t)(sets->permitted >> (32 * i));
        data[i].inheritable = (uint32_t)(sets->inheritable >> (32 * i));
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return error_set_errno(err, -errno, "cannot set capabilities");
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int i = 0; i < CAPABILITY_MAX; i++)
        if (sets->ambient & CAPABILITY_BIT(i))
            if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
                return error_set_errno(err, -errno, "cannot make capability %s ambient",
                                       capability_to_string(i));
    return 0;
}
