/* Filter programs, run by a small interpreter of classic BPF and by the kernel. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/strings.h"
#include "sandbox/seccomp-filter.h"
#include "sandbox/seccomp-names.h"
#include "spec/capability.h"
#include "spec/defaults.h"
#include "spec/seccomp.h"

#define DENIED (SECCOMP_RET_ERRNO | EPERM)
#define UNKNOWN (SECCOMP_RET_ERRNO | ENOSYS)

static uint32_t load(const struct seccomp_data *data, uint32_t offset)
{
    uint32_t value;

    assert_true(offset + 4 <= sizeof(*data));
    memcpy(&value, (const char *)data + offset, sizeof(value));
    return value;
}

static uint32_t interpret(const struct seccomp_filter *filter, const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (size_t i = 0; i < filter->n; i++) {
        const struct sock_filter *code = &filter->code[i];
        bool taken = false;

        switch (code->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            a = load(data, code->k);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= code->k;
            continue;
        case BPF_RET | BPF_K:
            return code->k;
        case BPF_JMP | BPF_JA:
            i += code->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            taken = a == code->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            taken = a > code->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            taken = a >= code->k;
            break;
        default:
            fail();
        }
        i += taken ? code->jt : code->jf;
    }
    fail();
    return 0;
}

static uint32_t check(const struct seccomp_filter *filter, const char *abi_name, const char *call,
                      uint64_t first, uint64_t second)
{
    const struct seccomp_abi *abi = seccomp_abi_find(abi_name);
    struct seccomp_data data = {.arch = abi->audit, .args = {first, second}};

    data.nr = seccomp_abi_resolve(abi, call);
    assert_true(data.nr >= 0);
    return interpret(filter, &data);
}

static uint32_t check_number(const struct seccomp_filter *filter, uint32_t audit, uint32_t nr)
{
    struct seccomp_data data = {.arch = audit, .nr = (int)nr};

    return interpret(filter, &data);
}

static void build(struct spec_seccomp *seccomp, struct seccomp_filter *ret)
{
    struct error error = ERROR_INIT;

    assert_non_null(seccomp);
    if (seccomp_filter_build(seccomp, ret, &error) < 0)
        fail_msg("%s", error.message);
    spec_seccomp_free(seccomp);
}

static void test_default(void **state)
{
    struct seccomp_filter filter;
    const char *native = "SCMP_ARCH_X86_64";

    (void)state;
    if (!string_equal(seccomp_abi_native()->name, native))
        skip(); /* the profile names other architectures there */
    build(spec_default_seccomp(spec_default_capabilities()), &filter);
    assert_int_equal(check(&filter, native, "read", 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "ptrace", 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "chroot", 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "mount", 0, 0), DENIED);
    assert_int_equal(check(&filter, native, "keyctl", 0, 0), DENIED);
    assert_int_equal(check(&filter, native, "io_uring_setup", 0, 0), DENIED);
    assert_int_equal(check(&filter, native, "clone3", 0, 0), UNKNOWN);
    assert_int_equal(check(&filter, native, "clone", 17, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "clone", CLONE_NEWUSER | 17, 0), DENIED);
    assert_int_equal(check(&filter, native, "clone", CLONE_NEWNS, 0), DENIED);
    assert_int_equal(check(&filter, native, "personality", 8, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "personality", 0xffffffff, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "personality", 0x40000, 0), DENIED);
    assert_int_equal(check(&filter, native, "personality", UINT64_C(1) << 32, 0), DENIED);
    assert_int_equal(check(&filter, native, "socket", 40, 0), DENIED);
    assert_int_equal(check(&filter, native, "socket", 2, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, "SCMP_ARCH_X86", "socket", 40, 0), DENIED);
    assert_int_equal(check(&filter, "SCMP_ARCH_X86", "socket", 2, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, "SCMP_ARCH_X86", "mount", 0, 0), DENIED);
    assert_int_equal(check(&filter, "SCMP_ARCH_X32", "read", 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, "SCMP_ARCH_X32", "mount", 0, 0), DENIED);
    assert_int_equal(check_number(&filter, AUDIT_ARCH_X86_64, 5000), UNKNOWN);
    assert_int_equal(check_number(&filter, AUDIT_ARCH_X86_64, 0x3fffffff), UNKNOWN);
    assert_int_equal(check_number(&filter, AUDIT_ARCH_X86_64, 0x40005000), UNKNOWN);
    assert_int_equal(check_number(&filter, AUDIT_ARCH_X86_64, UINT32_MAX), UNKNOWN);
    assert_int_equal(check_number(&filter, AUDIT_ARCH_AARCH64, 0), SECCOMP_RET_KILL_THREAD);
    seccomp_filter_release(&filter);
}

static void test_capabilities(void **state)
{
    struct seccomp_filter filter;
    const char *native = seccomp_abi_native()->name;

    (void)state;
    build(spec_default_seccomp(CAPABILITY_ALL), &filter);
    assert_int_equal(check(&filter, native, "mount", 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "clone3", 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "clone", CLONE_NEWUSER, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "bpf", 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "keyctl", 0, 0), DENIED);
    seccomp_filter_release(&filter);
    build(spec_default_seccomp(CAPABILITY_BIT(CAP_SYSLOG)), &filter);
    assert_int_equal(check(&filter, native, "syslog", 0, 0), SECCOMP_RET_ALLOW);
    assert_int_equal(check(&filter, native, "mount", 0, 0), DENIED);
    seccomp_filter_release(&filter);
}

static struct spec_seccomp *one_rule(enum spec_seccomp_operator operator, uint64_t value,
                                     uint64_t value_two)
{
    struct spec_seccomp *seccomp = spec_seccomp_new();
    struct spec_seccomp_rule *rule;

    seccomp->default_action = SPEC_SECCOMP_ALLOW;
    rule = spec_seccomp_add_rule(seccomp, SPEC_SECCOMP_ERRNO);
    strv_append(&rule->names, "read");
    rule->arguments = calloc(1, sizeof(*rule->arguments));
    rule->arguments[0] = (struct spec_seccomp_argument){1, value, value_two, operator};
    rule->n_arguments = 1;
    return seccomp;
}

static void test_operators(void **state)
{
    static const uint64_t values[] = {0,
                                      1,
                                      0x7fffffff,
                                      0xffffffff,
                                      UINT64_C(0x100000000),
                                      UINT64_C(0x1ffffffff),
                                      UINT64_C(0x200000000),
                                      UINT64_MAX - 1,
                                      UINT64_MAX};
    enum { N = sizeof(values) / sizeof(values[0]) };

    (void)state;
    for (size_t i = 0; i < N * N; i++) {
        uint64_t a = values[i % N];
        uint64_t v = values[i / N];
        const bool wanted[SPEC_SECCOMP_OPERATOR_MAX] = {
            [SPEC_SECCOMP_NE] = a != v,
            [SPEC_SECCOMP_LT] = a<v, [SPEC_SECCOMP_LE] = a <= v, [SPEC_SECCOMP_EQ] = a == v,
                                  [SPEC_SECCOMP_GE] = a >= v, [SPEC_SECCOMP_GT] = a>
                v,
            [SPEC_SECCOMP_MASKED_EQ] = (a & v) == 1,
        };

        for (int op = 0; op < SPEC_SECCOMP_OPERATOR_MAX; op++) {
            struct seccomp_filter filter;

            build(one_rule((enum spec_seccomp_operator)op, v, 1), &filter);
            assert_int_equal(check(&filter, seccomp_abi_native()->name, "read", 0, a),
                             wanted[op] ? DENIED : SECCOMP_RET_ALLOW);
            assert_int_equal(check(&filter, seccomp_abi_native()->name, "write", 0, a),
                             SECCOMP_RET_ALLOW);
            seccomp_filter_release(&filter);
        }
    }
}

static void test_refused(void **state)
{
    struct spec_seccomp *seccomp = spec_seccomp_new();
    struct seccomp_filter filter;
    struct error error = ERROR_INIT;

    (void)state;
    seccomp->default_action = SPEC_SECCOMP_ALLOW;
    strv_append(&seccomp->architectures, "SCMP_ARCH_VAX");
    assert_int_equal(seccomp_filter_build(seccomp, &filter, &error), -EINVAL);
    assert_string_equal(error.message, "seccomp: unknown architecture 'SCMP_ARCH_VAX'");
    strv_free(seccomp->architectures);
    seccomp->architectures = NULL;
    strv_append(&seccomp->flags, "NONE");
    assert_int_equal(seccomp_filter_build(seccomp, &filter, &error), -EINVAL);
    strv_free(seccomp->flags);
    seccomp->flags = NULL;
    seccomp->default_action = SPEC_SECCOMP_NOTIFY;
    assert_int_equal(seccomp_filter_build(seccomp, &filter, &error), -EINVAL);
    spec_seccomp_free(seccomp);
    assert_int_equal(seccomp_filter_build(NULL, &filter, &error), 0);
    assert_null(filter.code);
}

/* The kernel takes the program, and means the same by it. */
static void test_kernel(void **state)
{
    struct seccomp_filter filter;
    int status = 0;
    pid_t pid;

    (void)state;
    build(spec_default_seccomp(spec_default_capabilities()), &filter);
    pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_filter_install(&filter, NULL) < 0)
            _exit(1);
        if (syscall(SYS_unshare, 0) != -1 || errno != EPERM)
            _exit(2);
        if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
            _exit(3);
        if (syscall(SYS_getppid) <= 0)
            _exit(4);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    seccomp_filter_release(&filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),   cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_operators), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
