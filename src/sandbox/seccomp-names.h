/* System call numbers by name for each architecture of a seccomp profile. */
#ifndef HULL_SANDBOX_SECCOMP_NAMES_H
#define HULL_SANDBOX_SECCOMP_NAMES_H

#include <stdint.h>

/* One ABI that a filter can tell apart. */
struct seccomp_abi {
    const char *name;  /* "SCMP_ARCH_X86_64" */
    uint32_t library;  /* libseccomp's token */
    uint32_t audit;    /* AUDIT_ARCH_*, what the kernel shows to the filter */
    uint32_t first_nr; /* 0x40000000 for x32, which shares its audit value with x86_64 */
};

/* NULL when unknown. */
const struct seccomp_abi *seccomp_abi_find(const char *name);
/* The ABI that this program was compiled for. */
const struct seccomp_abi *seccomp_abi_native(void);

/* Number of a system call, as the kernel shows it; -ENOENT when the ABI has no such call. */
int seccomp_abi_resolve(const struct seccomp_abi *abi, const char *name);

#endif
