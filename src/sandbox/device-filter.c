#include "sandbox/device-filter.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sandbox/device-rules.h"
#include "spec/resources.h"

enum {
    RULE_INSTRUCTIONS = 9,
    FRAME_INSTRUCTIONS = 8,
    PROGRAMS_MAX = 64, /* attached to one cgroup; the kernel's own limit */
};

struct program {
    struct bpf_insn code[DEVICE_RULES_MAX * RULE_INSTRUCTIONS + FRAME_INSTRUCTIONS];
    size_t n;
};

static void emit(struct program *program, uint8_t code, uint8_t destination, uint8_t source,
                 int16_t offset, int32_t immediate)
{
    program->code[program->n++] = (struct bpf_insn){
        .code = code,
        .dst_reg = destination & 0xf,
        .src_reg = source & 0xf,
        .off = offset,
        .imm = immediate,
    };
}

/* R2 type, R3 access wanted, R4 major, R5 minor of struct bpf_cgroup_dev_ctx. */
static void emit_prologue(struct program *program)
{
    emit(program, BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0);
    emit(program, BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0);
    emit(program, BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
    emit(program, BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
    emit(program, BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0);
    emit(program, BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0);
}

static void emit_return(struct program *program, bool allow)
{
    emit(program, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, allow);
    emit(program, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* R3 holds the accesses that no later rule has decided about. A rule for this device that denies
 * one of them is the end; one that allows takes out what it allows, and is the end when nothing is
 * left. Falls out at the end otherwise. */
static void emit_rule(struct program *program, const struct spec_device_rule *rule)
{
    int32_t access = (rule->read ? BPF_DEVCG_ACC_READ : 0) |
                     (rule->write ? BPF_DEVCG_ACC_WRITE : 0) |
                     (rule->make ? BPF_DEVCG_ACC_MKNOD : 0);
    int32_t all = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;
    size_t start = program->n;

    emit(program, BPF_JMP | BPF_JNE | BPF_K, 2, 0, 0,
         rule->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (rule->major >= 0)
        emit(program, BPF_JMP | BPF_JNE | BPF_K, 4, 0, 0, (int32_t)rule->major);
    if (rule->minor >= 0)
        emit(program, BPF_JMP | BPF_JNE | BPF_K, 5, 0, 0, (int32_t)rule->minor);
    if (rule->allow) {
        emit(program, BPF_ALU | BPF_AND | BPF_K, 3, 0, 0, all & ~access);
        emit(program, BPF_JMP | BPF_JNE | BPF_K, 3, 0, 0, 0);
    } else {
        emit(program, BPF_ALU64 | BPF_MOV | BPF_X, 1, 3, 0, 0);
        emit(program, BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, access);
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0, 0);
    }
    emit_return(program, rule->allow);
    for (size_t i = start; i < program->n; i++)
        if (BPF_CLASS(program->code[i].code) == BPF_JMP &&
            BPF_OP(program->code[i].code) != BPF_EXIT)
            program->code[i].off = (int16_t)(program->n - i - 1);
}

static void make_program(struct program *program, const struct spec_device_rule *rules, size_t n)
{
    emit_prologue(program);
    for (size_t i = n; i-- > 0;) {
        if (rules[i].type == 'a') {
            emit_return(program, rules[i].allow);
            return; /* what came before it would be dead code, which the kernel refuses */
        }
        emit_rule(program, &rules[i]);
    }
    emit_return(program, false);
}

int device_filter_compile(const struct spec_device_rule *rules, size_t n, struct bpf_insn **ret,
                          size_t *ret_n, struct error *err)
{
    CLEANUP_FREE struct program *program = NULL;

    if (n > DEVICE_RULES_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d device rules", DEVICE_RULES_MAX);
    program = calloc(1, sizeof(*program));
    if (!program)
        return error_oom(err);
    make_program(program, rules, n);
    *ret_n = program->n;
    *ret = &program->code[0]; /* the first member */
    program = NULL;
    return 0;
}

static long bpf(int command, union bpf_attr *attributes)
{
    return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

/* Programs attached before, so that an update replaces and does not add (all must allow). */
static void detach_others(int cgroup_fd, const uint32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        union bpf_attr open_attributes = {.prog_id = ids[i]};
        CLEANUP_CLOSE int fd = (int)bpf(BPF_PROG_GET_FD_BY_ID, &open_attributes);
        union bpf_attr attributes = {.target_fd = (uint32_t)cgroup_fd,
                                     .attach_bpf_fd = (uint32_t)fd,
                                     .attach_type = BPF_CGROUP_DEVICE};

        if (fd >= 0)
            (void)bpf(BPF_PROG_DETACH, &attributes);
    }
}

static uint32_t list_attached(int cgroup_fd, uint32_t ids[PROGRAMS_MAX])
{
    union bpf_attr attributes;

    memset(&attributes, 0, sizeof(attributes));
    attributes.query.target_fd = (uint32_t)cgroup_fd;
    attributes.query.attach_type = BPF_CGROUP_DEVICE;
    attributes.query.prog_ids = (uint64_t)(uintptr_t)ids;
    attributes.query.prog_cnt = PROGRAMS_MAX;
    return bpf(BPF_PROG_QUERY, &attributes) < 0 ? 0 : attributes.query.prog_cnt;
}

int device_filter_attach(int cgroup_fd, const struct spec_device_rule *rules, size_t n,
                         struct error *err)
{
    CLEANUP_FREE struct bpf_insn *code = NULL;
    CLEANUP_CLOSE int fd = -EBADF;
    static const char license[] = "GPL";
    size_t length = 0;
    uint32_t ids[PROGRAMS_MAX];
    uint32_t n_ids;
    union bpf_attr attributes;
    int r = device_filter_compile(rules, n, &code, &length, err);

    if (r < 0)
        return r;
    memset(&attributes, 0, sizeof(attributes));
    attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attributes.insns = (uint64_t)(uintptr_t)code;
    attributes.insn_cnt = (uint32_t)length;
    attributes.license = (uint64_t)(uintptr_t)license;
    fd = (int)bpf(BPF_PROG_LOAD, &attributes);
    if (fd < 0)
        return error_set_errno(err, errno == ENOSYS ? -EOPNOTSUPP : -errno,
                               "cannot load the device filter of the cgroup");
    n_ids = list_attached(cgroup_fd, ids);
    memset(&attributes, 0, sizeof(attributes));
    attributes.target_fd = (uint32_t)cgroup_fd;
    attributes.attach_bpf_fd = (uint32_t)fd;
    attributes.attach_type = BPF_CGROUP_DEVICE;
    attributes.attach_flags = BPF_F_ALLOW_MULTI;
    if (bpf(BPF_PROG_ATTACH, &attributes) < 0)
        return error_set_errno(err, -errno, "cannot attach the device filter to the cgroup");
    detach_others(cgroup_fd, ids, n_ids);
    return 0;
}
