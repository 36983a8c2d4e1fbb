#include "vm/engine.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "vm/jail.h"
#include "vm/virtiofsd.h"

#define CEILING_MIN (8ULL * 1024 * 1024 * 1024)

static const struct vm_engine_ops *const engines[] = {
    [VM_ENGINE_KVM] = &vm_engine_kvm,
    [VM_ENGINE_UML] = &vm_engine_uml,
    [VM_ENGINE_TCG] = &vm_engine_tcg,
};
static_assert(sizeof(engines) / sizeof(engines[0]) == VM_ENGINE_MAX, "one row for each engine");

const struct vm_engine_ops *vm_engine_ops(enum vm_engine engine)
{
    if ((unsigned)engine >= VM_ENGINE_MAX)
        return NULL;
    return engines[engine];
}

const char *vm_engine_to_string(enum vm_engine engine)
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);

    return ops ? ops->name : NULL;
}

int vm_engine_from_string(const char *text)
{
    for (int i = 0; i < VM_ENGINE_MAX; i++)
        if (string_equal(text, engines[i]->name))
            return i;
    return -EINVAL;
}

int vm_engine_need_file(const char *path, const char *what, const char *fix, struct error *err)
{
    struct stat st;

    if (!path)
        return error_set_class(err, ERROR_UNAVAILABLE, "no %s is configured: %s", what, fix);
    if (stat(path, &st) < 0) {
        if (errno == ENOENT)
            return error_set_class(err, ERROR_UNAVAILABLE, "no %s at %s: %s", what, path, fix);
        return error_set_errno(err, -errno, "cannot look at the %s %s", what, path);
    }
    if (!S_ISREG(st.st_mode))
        return error_set_class(err, ERROR_UNAVAILABLE, "the %s %s is not a file: %s", what, path,
                               fix);
    return 0;
}

int vm_engine_cpus(const struct vm_engine_ops *ops, double cpus)
{
    double wanted = ceil(cpus);

    if (ops->one_cpu || !(wanted > 1))
        return 1;
    return wanted < VM_CPUS_MAX ? (int)wanted : VM_CPUS_MAX;
}

uint64_t vm_engine_memory_mib(const struct vm_engine_ops *ops, uint64_t memory)
{
    enum { MIB = 1024 * 1024, PAGE_STRUCTS_PART = 57 }; /* 64 of 4096 bytes, and hash tables */
    uint64_t whole = memory + ops->reserved;

    whole += whole / PAGE_STRUCTS_PART;
    return (whole + MIB - 1) / MIB;
}

uint64_t vm_engine_ceiling(const struct vm_engine_ops *ops, uint64_t memory, uint64_t host)
{
    uint64_t ceiling = memory > UINT64_MAX / 2 ? memory : memory * 2;

    if (!ops->resizes)
        return memory;
    if (ceiling < CEILING_MIN)
        ceiling = CEILING_MIN;
    if (ceiling > host)
        ceiling = host;
    return ceiling > memory ? ceiling : memory;
}

const char *vm_share_source(enum vm_engine engine, unsigned index, char ret[VM_SHARE_SOURCE_MAX])
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);

    if (!ops || !(ops->shares || ops->served))
        return NULL;
    if (ops->served)
        (void)string_copy(ret, VM_SHARE_SOURCE_MAX, VM_SHARES_TAG);
    else
        snprintf(ret, VM_SHARE_SOURCE_MAX, VM_JAIL_SHARES "/%u", index);
    return ops->served ? "virtiofs" : "hostfs";
}

int vm_check_shares(enum vm_engine engine, const struct vm_files *files, struct error *err)
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);

    if (!ops || !(ops->shares || ops->served))
        return error_set(err, -EINVAL, "this engine shares no files of the host with its guest");
    return ops->served ? virtiofsd_check(files, err) : 0;
}

bool vm_engine_serves(const struct vm_config *config)
{
    return vm_engine_ops(config->engine)->served && (config->n_shares > 0 || config->shares_later);
}

bool vm_resizes_memory(enum vm_engine engine)
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);

    return ops && ops->resizes;
}

bool vm_can_pool(enum vm_engine engine)
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);

    return ops && ops->plug;
}

bool vm_nic_is_socket(enum vm_engine engine)
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);

    return ops && ops->open_pooled_nic;
}

int vm_cpus(enum vm_engine engine, double cpus, char **ret_warning)
{
    const struct vm_engine_ops *ops = vm_engine_ops(engine);
    int n;

    *ret_warning = NULL;
    if (!ops)
        return -EINVAL;
    n = vm_engine_cpus(ops, cpus);
    if (cpus > n) {
        *ret_warning = string_format("engine '%s' gives a utility VM at most %d virtual CPU%s: "
                                     "--cpus=%g is limited to that",
                                     ops->name, n, n == 1 ? "" : "s", cpus);
        if (!*ret_warning)
            return -ENOMEM;
    }
    return n;
}
