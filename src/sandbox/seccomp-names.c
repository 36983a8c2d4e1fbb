#include "sandbox/seccomp-names.h"

#include <errno.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <stddef.h>

#include "base/strings.h"

enum { X32_BIT = 0x40000000 };

static const struct seccomp_abi abis[] = {
    {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, 0},
    {"SCMP_ARCH_X86", SCMP_ARCH_X86, AUDIT_ARCH_I386, 0},
    {"SCMP_ARCH_X32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64, X32_BIT},
    {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 0},
    {"SCMP_ARCH_ARM", SCMP_ARCH_ARM, AUDIT_ARCH_ARM, 0},
    {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64, 0},
    {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE, AUDIT_ARCH_PPC64LE, 0},
    {"SCMP_ARCH_S390X", SCMP_ARCH_S390X, AUDIT_ARCH_S390X, 0},
    {"SCMP_ARCH_S390", SCMP_ARCH_S390, AUDIT_ARCH_S390, 0},
};

struct number {
    const char *name;
    int nr;
};

/* Calls later than the library of Debian 12 knows (Linux 5.17 to 6.17). Since 424 all
 * architectures number new calls alike (arch/ * /entry/syscalls). */
static const struct number common[] = {
    {"set_mempolicy_home_node", 450},
    {"cachestat", 451},
    {"fchmodat2", 452},
    {"map_shadow_stack", 453},
    {"futex_wake", 454},
    {"futex_wait", 455},
    {"futex_requeue", 456},
    {"statmount", 457},
    {"listmount", 458},
    {"lsm_get_self_attr", 459},
    {"lsm_set_self_attr", 460},
    {"lsm_list_modules", 461},
    {"mseal", 462},
    {"setxattrat", 463},
    {"getxattrat", 464},
    {"listxattrat", 465},
    {"removexattrat", 466},
    {"open_tree_attr", 467},
    {"file_getattr", 468},
    {"file_setattr", 469},
};

/* On i386 the library answers with numbers of its own for what used to go through socketcall(2)
 * and ipc(2); these are the direct calls of Linux 4.3 and 5.1. */
static const struct number direct_x86[] = {
    {"socket", 359},      {"socketpair", 360},  {"bind", 361},       {"connect", 362},
    {"listen", 363},      {"accept4", 364},     {"getsockopt", 365}, {"setsockopt", 366},
    {"getsockname", 367}, {"getpeername", 368}, {"sendto", 369},     {"sendmsg", 370},
    {"recvfrom", 371},    {"recvmsg", 372},     {"shutdown", 373},   {"semget", 393},
    {"semctl", 394},      {"shmget", 395},      {"shmctl", 396},     {"shmat", 397},
    {"shmdt", 398},       {"msgget", 399},      {"msgsnd", 400},     {"msgrcv", 401},
    {"msgctl", 402},
};

static int find_number(const struct number *numbers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (string_equal(numbers[i].name, name))
            return numbers[i].nr;
    return -ENOENT;
}

const struct seccomp_abi *seccomp_abi_find(const char *name)
{
    for (size_t i = 0; i < sizeof(abis) / sizeof(abis[0]); i++)
        if (string_equal(abis[i].name, name))
            return &abis[i];
    return NULL;
}

const struct seccomp_abi *seccomp_abi_native(void)
{
    uint32_t native = seccomp_arch_native();

    for (size_t i = 0; i < sizeof(abis) / sizeof(abis[0]); i++)
        if (abis[i].library == native)
            return &abis[i];
    return NULL;
}

int seccomp_abi_resolve(const struct seccomp_abi *abi, const char *name)
{
    int nr = seccomp_syscall_resolve_name_arch(abi->library, name);

    if (nr < 0 && abi->library == SCMP_ARCH_X86)
        nr = find_number(direct_x86, sizeof(direct_x86) / sizeof(direct_x86[0]), name);
    if (nr < 0)
        nr = find_number(common, sizeof(common) / sizeof(common[0]), name);
    if (nr < 0)
        return -ENOENT;
    return nr | (int)abi->first_nr;
}
