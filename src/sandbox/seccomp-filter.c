#include "sandbox/seccomp-filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "sandbox/seccomp-names.h"
#include "spec/seccomp.h"

enum {
    CODE_MAX = BPF_MAXINSNS,
    CALLS_MAX = 65536, /* (rule, call) pairs of one profile */
    JUMP_MAX = 255,
    RULES_OF_CALL_MAX = 64,
};

/* A rule that names a call on one audit architecture. */
struct call {
    uint32_t audit;
    uint32_t nr;
    size_t order; /* of the rule in the profile */
    const struct spec_seccomp_rule *rule;
};

/* Numbers from `first` to that of the next range. With calls != NULL the outcome depends on the
 * arguments of n_calls rules and is `outcome` when none of them matches. */
struct range {
    uint32_t first;
    uint32_t outcome;
    const struct call *calls;
    size_t n_calls;
};

struct compiler {
    const struct spec_seccomp *profile;
    const struct seccomp_abi *abis[SPEC_SECCOMP_ARCHITECTURES_MAX];
    size_t n_abis;
    uint32_t highest[SPEC_SECCOMP_ARCHITECTURES_MAX]; /* per abi: the last call it names */
    struct call *calls;
    size_t n_calls;
    struct range *ranges;
    size_t n_ranges;
    struct sock_filter *code;
    size_t n; /* may pass CODE_MAX: nothing is stored there, and the end result is refused */
};

static uint32_t outcome_of(enum spec_seccomp_action action, unsigned errno_value)
{
    switch (action) {
    case SPEC_SECCOMP_KILL:
        return SECCOMP_RET_KILL_THREAD;
    case SPEC_SECCOMP_KILL_PROCESS:
        return SECCOMP_RET_KILL_PROCESS;
    case SPEC_SECCOMP_TRAP:
        return SECCOMP_RET_TRAP;
    case SPEC_SECCOMP_ERRNO:
        return SECCOMP_RET_ERRNO | (errno_value & SECCOMP_RET_DATA);
    case SPEC_SECCOMP_TRACE:
        return SECCOMP_RET_TRACE | (errno_value & SECCOMP_RET_DATA);
    case SPEC_SECCOMP_ALLOW:
        return SECCOMP_RET_ALLOW;
    case SPEC_SECCOMP_LOG:
        return SECCOMP_RET_LOG;
    case SPEC_SECCOMP_NOTIFY:
    case SPEC_SECCOMP_ACTION_MAX:
        break;
    }
    return SECCOMP_RET_KILL_PROCESS;
}

static uint32_t outcome_of_rule(const struct spec_seccomp_rule *rule)
{
    return outcome_of(rule->action, rule->has_errno ? rule->errno_value : EPERM);
}

static uint32_t outcome_default(const struct spec_seccomp *profile)
{
    return outcome_of(profile->default_action,
                      profile->has_default_errno ? profile->default_errno : EPERM);
}

static void emit(struct compiler *compiler, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (compiler->n < CODE_MAX)
        compiler->code[compiler->n] = (struct sock_filter){code, jt, jf, k};
    compiler->n++;
}

static void emit_load(struct compiler *compiler, size_t offset)
{
    emit(compiler, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void emit_return(struct compiler *compiler, uint32_t outcome)
{
    emit(compiler, BPF_RET | BPF_K, 0, 0, outcome);
}

/* --- conditions on arguments --- */

/* The halves of a 64-bit argument in struct seccomp_data. */
static size_t half_offset(unsigned index, bool high)
{
    bool second = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? high : !high;

    return offsetof(struct seccomp_data, args) + 8 * index + (second ? 4 : 0);
}

/* Jumps to the end of the rule, where the next one begins, are not known when they are emitted:
 * FAIL stands for them until then. Blocks are short, so that no real jump has this length. */
enum { FAIL = 255 };

static void emit_ordering(struct compiler *compiler, const struct spec_seccomp_argument *argument,
                          bool greater, bool or_equal)
{
    uint32_t high = (uint32_t)(argument->value >> 32);
    uint32_t low = (uint32_t)argument->value;
    bool strict_low = greater != or_equal; /* GT and LE compare low halves by >, GE and LT by >= */
    uint16_t op = strict_low ? BPF_JGT : BPF_JGE;

    emit_load(compiler, half_offset(argument->index, true));
    if (greater)
        emit(compiler, BPF_JMP | BPF_JGT | BPF_K, 3, 0, high);
    else
        emit(compiler, BPF_JMP | BPF_JGT | BPF_K, FAIL, 0, high);
    emit(compiler, BPF_JMP | BPF_JEQ | BPF_K, 0, greater ? FAIL : 2, high);
    emit_load(compiler, half_offset(argument->index, false));
    emit(compiler, BPF_JMP | op | BPF_K, greater ? 0 : FAIL, greater ? FAIL : 0, low);
}

static void emit_equality(struct compiler *compiler, const struct spec_seccomp_argument *argument)
{
    bool masked = argument->operator== SPEC_SECCOMP_MASKED_EQ;
    bool negated = argument->operator== SPEC_SECCOMP_NE;
    uint64_t wanted = masked ? argument->value_two : argument->value;

    emit_load(compiler, half_offset(argument->index, true));
    if (masked)
        emit(compiler, BPF_ALU | BPF_AND | BPF_K, 0, 0, (uint32_t)(argument->value >> 32));
    emit(compiler, BPF_JMP | BPF_JEQ | BPF_K, 0, negated ? 2 : FAIL, (uint32_t)(wanted >> 32));
    emit_load(compiler, half_offset(argument->index, false));
    if (masked)
        emit(compiler, BPF_ALU | BPF_AND | BPF_K, 0, 0, (uint32_t)argument->value);
    emit(compiler, BPF_JMP | BPF_JEQ | BPF_K, negated ? FAIL : 0, negated ? 0 : FAIL,
         (uint32_t)wanted);
}

static void emit_argument(struct compiler *compiler, const struct spec_seccomp_argument *argument)
{
    switch (argument->operator) {
    case SPEC_SECCOMP_GT:
        emit_ordering(compiler, argument, true, false);
        return;
    case SPEC_SECCOMP_GE:
        emit_ordering(compiler, argument, true, true);
        return;
    case SPEC_SECCOMP_LT:
        emit_ordering(compiler, argument, false, false);
        return;
    case SPEC_SECCOMP_LE:
        emit_ordering(compiler, argument, false, true);
        return;
    case SPEC_SECCOMP_NE:
    case SPEC_SECCOMP_EQ:
    case SPEC_SECCOMP_MASKED_EQ:
    case SPEC_SECCOMP_OPERATOR_MAX:
        emit_equality(compiler, argument);
    }
}

/* All of `arguments`, then the outcome; falls out at the end when one does not hold. */
static void emit_conditions(struct compiler *compiler,
                            const struct spec_seccomp_argument *arguments, size_t n,
                            uint32_t outcome)
{
    size_t start = compiler->n;

    for (size_t i = 0; i < n; i++)
        emit_argument(compiler, &arguments[i]);
    emit_return(compiler, outcome);
    for (size_t i = start; i < compiler->n && i < CODE_MAX; i++) {
        struct sock_filter *instruction = &compiler->code[i];

        if (BPF_CLASS(instruction->code) != BPF_JMP)
            continue;
        if (instruction->jt == FAIL)
            instruction->jt = (uint8_t)(compiler->n - i - 1);
        if (instruction->jf == FAIL)
            instruction->jf = (uint8_t)(compiler->n - i - 1);
    }
}

/* One argument named twice in a rule means "either", as runc reads it. */
static bool has_repeated_argument(const struct spec_seccomp_rule *rule)
{
    unsigned seen = 0;

    for (size_t i = 0; i < rule->n_arguments; i++) {
        if (seen & (1U << rule->arguments[i].index))
            return true;
        seen |= 1U << rule->arguments[i].index;
    }
    return false;
}

static void emit_rule(struct compiler *compiler, const struct spec_seccomp_rule *rule)
{
    uint32_t outcome = outcome_of_rule(rule);

    if (!has_repeated_argument(rule)) {
        emit_conditions(compiler, rule->arguments, rule->n_arguments, outcome);
        return;
    }
    for (size_t i = 0; i < rule->n_arguments; i++)
        emit_conditions(compiler, &rule->arguments[i], 1, outcome);
}

static void emit_range(struct compiler *compiler, const struct range *range)
{
    for (size_t i = 0; i < range->n_calls; i++)
        if (range->calls[i].rule->n_arguments > 0)
            emit_rule(compiler, range->calls[i].rule);
    emit_return(compiler, range->outcome);
}

/* --- search for the range --- */

/* The number is in the accumulator. Depth is log2 of the ranges. */
static void emit_search(struct compiler *compiler, const struct range *ranges, size_t n)
{
    size_t half = n / 2;
    size_t jump;
    size_t length;

    if (n == 1) {
        emit_range(compiler, ranges);
        return;
    }
    jump = compiler->n;
    emit(compiler, BPF_JMP | BPF_JGE | BPF_K, 0, 1, ranges[half].first);
    emit(compiler, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_search(compiler, ranges, half);
    length = compiler->n - jump - 2;
    if (compiler->n < CODE_MAX && length <= JUMP_MAX) { /* a short jump does without the long one */
        memmove(&compiler->code[jump + 1], &compiler->code[jump + 2],
                length * sizeof(*compiler->code));
        compiler->n--;
        compiler->code[jump].jt = (uint8_t)length;
        compiler->code[jump].jf = 0;
    } else if (jump + 1 < CODE_MAX) {
        compiler->code[jump + 1].k = (uint32_t)length;
    }
    emit_search(compiler, ranges + half, n - half);
}

/* --- ranges --- */

static void add_range(struct compiler *compiler, const struct range *range)
{
    struct range *last = compiler->n_ranges ? &compiler->ranges[compiler->n_ranges - 1] : NULL;

    if (last && last->first == range->first)
        *last = *range; /* the gap before it was empty */
    else if (last && !last->calls && !range->calls && last->outcome == range->outcome)
        return;
    else
        compiler->ranges[compiler->n_ranges++] = *range;
}

/* What a number gets that the profile does not name. */
static uint32_t outcome_of_gap(const struct compiler *compiler, uint32_t audit, uint32_t nr)
{
    const struct spec_seccomp *profile = compiler->profile;
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < compiler->n_abis; i++)
        if (compiler->abis[i]->audit == audit && compiler->abis[i]->first_nr <= nr &&
            (best == SIZE_MAX || compiler->abis[i]->first_nr > compiler->abis[best]->first_nr))
            best = i;
    if (best == SIZE_MAX)
        return SECCOMP_RET_KILL_THREAD;
    if (profile->default_action != SPEC_SECCOMP_ALLOW &&
        profile->default_action != SPEC_SECCOMP_LOG &&
        profile->default_action != SPEC_SECCOMP_TRACE && nr > compiler->highest[best])
        return SECCOMP_RET_ERRNO | ENOSYS;
    return outcome_default(profile);
}

static void add_gap(struct compiler *compiler, uint32_t audit, uint32_t first)
{
    struct range gap = {.first = first, .outcome = outcome_of_gap(compiler, audit, first)};

    add_range(compiler, &gap);
}

/* All rules of one number: calls[0..n). */
static void add_call(struct compiler *compiler, const struct call *calls, size_t n)
{
    struct range range = {.first = calls[0].nr, .outcome = outcome_default(compiler->profile)};

    for (size_t i = n; i-- > 0;) {
        if (calls[i].rule->n_arguments == 0)
            range.outcome = outcome_of_rule(calls[i].rule);
        else
            range.calls = calls;
    }
    range.n_calls = range.calls ? n : 0;
    add_range(compiler, &range);
}

/* The ranges of one audit architecture from its calls, sorted by number. */
static void make_ranges(struct compiler *compiler, uint32_t audit, const struct call *calls,
                        size_t n)
{
    compiler->n_ranges = 0;
    add_gap(compiler, audit, 0);
    for (size_t i = 0; i < compiler->n_abis; i++)
        if (compiler->abis[i]->audit == audit && compiler->abis[i]->first_nr > 0 && n == 0)
            add_gap(compiler, audit, compiler->abis[i]->first_nr);
    for (size_t i = 0; i < n;) {
        size_t same = 1;
        uint32_t next;

        while (i + same < n && calls[i + same].nr == calls[i].nr)
            same++;
        add_call(compiler, calls + i, same);
        next = i + same < n ? calls[i + same].nr : UINT32_MAX;
        if (next != calls[i].nr + 1)
            add_gap(compiler, audit, calls[i].nr + 1);
        /* x86_64 ends where x32 begins, and x32 without an entry is not x86_64's. */
        for (size_t k = 0; k < compiler->n_abis; k++) {
            uint32_t border = compiler->abis[k]->first_nr;

            if (compiler->abis[k]->audit == audit && border > calls[i].nr + 1 && border < next)
                add_gap(compiler, audit, border);
        }
        i += same;
    }
}

/* --- the profile --- */

static int compare_calls(const void *left, const void *right)
{
    const struct call *a = left;
    const struct call *b = right;

    if (a->audit != b->audit)
        return a->audit < b->audit ? -1 : 1;
    if (a->nr != b->nr)
        return a->nr < b->nr ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int collect_rule(struct compiler *compiler, size_t order, size_t abi_index)
{
    const struct spec_seccomp_rule *rule = &compiler->profile->rules[order];
    const struct seccomp_abi *abi = compiler->abis[abi_index];

    for (char *const *name = rule->names; name && *name; name++) {
        int nr = seccomp_abi_resolve(abi, *name);

        if (nr < 0)
            continue;
        if ((uint32_t)nr > compiler->highest[abi_index])
            compiler->highest[abi_index] = (uint32_t)nr;
        if (compiler->n_calls >= CALLS_MAX)
            return -E2BIG;
        compiler->calls[compiler->n_calls++] = (struct call){abi->audit, (uint32_t)nr, order, rule};
    }
    return 0;
}

static int collect_abis(struct compiler *compiler, struct error *err)
{
    char *const *name = compiler->profile->architectures;

    for (; name && *name; name++) {
        const struct seccomp_abi *abi = seccomp_abi_find(*name);

        if (!abi)
            return error_set_class(err, ERROR_INVALID, "seccomp: unknown architecture '%s'", *name);
        compiler->abis[compiler->n_abis++] = abi;
    }
    if (compiler->n_abis == 0)
        compiler->abis[compiler->n_abis++] = seccomp_abi_native();
    return compiler->abis[0] ? 0
                             : error_set(err, -EOPNOTSUPP, "seccomp: unknown native architecture");
}

static int collect_calls(struct compiler *compiler, struct error *err)
{
    for (size_t i = 0; i < compiler->profile->n_rules; i++) {
        const struct spec_seccomp_rule *rule = &compiler->profile->rules[i];

        if (rule->action == SPEC_SECCOMP_NOTIFY)
            return error_set_class(err, ERROR_INVALID,
                                   "seccomp: SCMP_ACT_NOTIFY needs a listener, which hull has not");
        for (size_t k = 0; k < compiler->n_abis; k++)
            if (collect_rule(compiler, i, k) < 0)
                return error_set_class(err, ERROR_INVALID, "seccomp: profile is too large");
    }
    qsort(compiler->calls, compiler->n_calls, sizeof(*compiler->calls), compare_calls);
    return 0;
}

/* The part of the program for one audit architecture; falls out at its end for another. */
static void emit_architecture(struct compiler *compiler, uint32_t audit)
{
    size_t first = 0;
    size_t last;
    size_t jump;

    while (first < compiler->n_calls && compiler->calls[first].audit != audit)
        first++;
    for (last = first; last < compiler->n_calls && compiler->calls[last].audit == audit;)
        last++;
    make_ranges(compiler, audit, compiler->calls + first, last - first);
    emit(compiler, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, audit);
    jump = compiler->n;
    emit(compiler, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_load(compiler, offsetof(struct seccomp_data, nr));
    emit_search(compiler, compiler->ranges, compiler->n_ranges);
    if (jump < CODE_MAX)
        compiler->code[jump].k = (uint32_t)(compiler->n - jump - 1);
}

static void emit_program(struct compiler *compiler)
{
    emit_load(compiler, offsetof(struct seccomp_data, arch));
    for (size_t i = 0; i < compiler->n_abis; i++) {
        bool seen = false;

        for (size_t k = 0; k < i; k++)
            seen = seen || compiler->abis[k]->audit == compiler->abis[i]->audit;
        if (!seen)
            emit_architecture(compiler, compiler->abis[i]->audit);
    }
    /* An architecture that the profile does not name could use numbers that mean something else. */
    emit_return(compiler, SECCOMP_RET_KILL_THREAD);
}

static int read_flags(const struct spec_seccomp *seccomp, unsigned *ret, struct error *err)
{
    static const struct {
        const char *name;
        unsigned flag;
    } names[] = {
        {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
        {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
        {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
    };

    /* runc's default: without it kernels before 5.16 slow every filtered program down. */
    *ret = seccomp->flags ? 0 : SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    for (char *const *flag = seccomp->flags; flag && *flag; flag++) {
        bool known = false;

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            if (!string_equal(*flag, names[i].name))
                continue;
            known = true;
            *ret |= names[i].flag;
        }
        if (!known)
            return error_set_class(err, ERROR_INVALID, "seccomp: unknown flag '%s'", *flag);
    }
    return 0;
}

static void compiler_release(struct compiler *compiler)
{
    free(compiler->calls);
    free(compiler->ranges);
    free(compiler->code);
}

int seccomp_filter_build(const struct spec_seccomp *seccomp, struct seccomp_filter *ret,
                         struct error *err)
{
    CLEANUP(compiler_release) struct compiler compiler = {.profile = seccomp};
    unsigned flags;
    int r;

    *ret = (struct seccomp_filter){0};
    if (!seccomp)
        return 0;
    if (seccomp->default_action == SPEC_SECCOMP_NOTIFY)
        return error_set_class(err, ERROR_INVALID, "seccomp: SCMP_ACT_NOTIFY as default action");
    compiler.calls = malloc(CALLS_MAX * sizeof(*compiler.calls));
    compiler.ranges = malloc((2 * CALLS_MAX + 8) * sizeof(*compiler.ranges));
    compiler.code = malloc(CODE_MAX * sizeof(*compiler.code));
    if (!compiler.calls || !compiler.ranges || !compiler.code)
        return error_oom(err);
    if ((r = read_flags(seccomp, &flags, err)) < 0 || (r = collect_abis(&compiler, err)) < 0 ||
        (r = collect_calls(&compiler, err)) < 0)
        return r;
    emit_program(&compiler);
    if (compiler.n > CODE_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "seccomp: profile needs more than %d instructions", CODE_MAX);
    ret->code = TAKE_PTR(compiler.code);
    ret->n = compiler.n;
    ret->flags = flags;
    return 0;
}

/* Runs what this file compiles; anything else is a refusal. */
static uint32_t evaluate(const struct seccomp_filter *filter, const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (size_t i = 0; i < filter->n; i++) {
        const struct sock_filter *code = &filter->code[i];
        bool taken;

        if (code->code == (BPF_RET | BPF_K))
            return code->k;
        if (code->code == (BPF_LD | BPF_W | BPF_ABS) && code->k <= sizeof(*data) - sizeof(a)) {
            memcpy(&a, (const char *)data + code->k, sizeof(a));
            continue;
        }
        if (code->code == (BPF_ALU | BPF_AND | BPF_K)) {
            a &= code->k;
            continue;
        }
        if (code->code == (BPF_JMP | BPF_JA)) {
            i += code->k;
            continue;
        }
        if (code->code == (BPF_JMP | BPF_JEQ | BPF_K))
            taken = a == code->k;
        else if (code->code == (BPF_JMP | BPF_JGT | BPF_K))
            taken = a > code->k;
        else if (code->code == (BPF_JMP | BPF_JGE | BPF_K))
            taken = a >= code->k;
        else
            break;
        i += taken ? code->jt : code->jf;
    }
    return SECCOMP_RET_KILL_PROCESS;
}

bool seccomp_filter_allows(const struct seccomp_filter *filter, long nr, uint64_t first)
{
    const struct seccomp_data data = {
        .nr = (int)nr, .arch = seccomp_abi_native()->audit, .args = {first}};
    uint32_t outcome = filter->code ? evaluate(filter, &data) : SECCOMP_RET_ALLOW;

    return outcome == SECCOMP_RET_ALLOW || outcome == SECCOMP_RET_LOG;
}

int seccomp_filter_install(const struct seccomp_filter *filter, struct error *err)
{
    struct sock_fprog program = {.len = (unsigned short)filter->n, .filter = filter->code};

    if (!filter->code)
        return 0;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter->flags, &program) < 0)
        return error_set_errno(err, -errno, "cannot install the seccomp filter");
    return 0;
}

void seccomp_filter_release(struct seccomp_filter *filter)
{
    free(filter->code);
    *filter = (struct seccomp_filter){0};
}
