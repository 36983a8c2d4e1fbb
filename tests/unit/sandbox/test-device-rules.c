/* Device rules of foreign configurations, and the program made of them, run by a small interpreter
 * of eBPF. */
#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "sandbox/device-filter.h"
#include "sandbox/device-rules.h"
#include "spec/resources.h"

enum { R = BPF_DEVCG_ACC_READ, W = BPF_DEVCG_ACC_WRITE, M = BPF_DEVCG_ACC_MKNOD };

static void read_rules(const char *devices, struct spec_resources *ret)
{
    CLEANUP_JSON json_t *json = NULL;
    json_t *list = NULL;
    struct error error = ERROR_INIT;

    *ret = (struct spec_resources){0};
    assert_int_equal(json_parse(devices, strlen(devices), &list, &error), 0);
    json = json_pack("{s:o}", "devices", list);
    if (spec_resources_from_json(json, ret, &error) < 0)
        fail_msg("%s", error.message);
}

static bool jumps(uint8_t code, uint64_t value, int32_t immediate)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ:
        return value == (uint64_t)(int64_t)immediate;
    case BPF_JNE:
        return value != (uint64_t)(int64_t)immediate;
    default:
        fail_msg("jump %#x", code);
    }
    return false;
}

static void compute(uint64_t registers[11], const struct bpf_insn *insn)
{
    uint64_t *to = &registers[insn->dst_reg];
    uint64_t value =
        BPF_SRC(insn->code) == BPF_X ? registers[insn->src_reg] : (uint64_t)(int64_t)insn->imm;

    switch (BPF_OP(insn->code)) {
    case BPF_MOV:
        *to = value;
        break;
    case BPF_AND:
        *to &= value;
        break;
    case BPF_RSH:
        *to >>= value;
        break;
    default:
        fail_msg("operation %#x", insn->code);
    }
    if (BPF_CLASS(insn->code) == BPF_ALU)
        *to = (uint32_t)*to;
}

static bool interpret(const struct bpf_insn *code, size_t n,
                      const struct bpf_cgroup_dev_ctx *device)
{
    uint64_t registers[11] = {0};

    registers[1] = (uint64_t)(uintptr_t)device;
    for (size_t i = 0; i < n; i++) {
        const struct bpf_insn *insn = &code[i];

        if (insn->code == (BPF_JMP | BPF_EXIT))
            return registers[0] != 0;
        if (BPF_CLASS(insn->code) == BPF_LDX)
            registers[insn->dst_reg] =
                *(const uint32_t *)(uintptr_t)(registers[insn->src_reg] + (uint64_t)insn->off);
        else if (BPF_CLASS(insn->code) == BPF_JMP)
            i += jumps(insn->code, registers[insn->dst_reg], insn->imm) ? (size_t)insn->off : 0;
        else
            compute(registers, insn);
    }
    fail_msg("the program runs past its end");
    return false;
}

struct access {
    char type;
    uint32_t major;
    uint32_t minor;
    uint32_t wanted;
    bool allowed;
};

static void check(const char *devices, const struct access *rows)
{
    CLEANUP(spec_resources_release) struct spec_resources resources;
    CLEANUP_FREE struct spec_device_rule *rules = NULL;
    CLEANUP_FREE struct bpf_insn *code = NULL;
    struct error error = ERROR_INIT;
    size_t n_rules = 0;
    size_t n = 0;

    read_rules(devices, &resources);
    if (device_rules_effective(resources.devices, resources.n_devices, &rules, &n_rules, &error) <
            0 ||
        device_filter_compile(rules, n_rules, &code, &n, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(rules[0].type, 'a');
    for (; rows->type; rows++) {
        const struct bpf_cgroup_dev_ctx device = {
            .access_type = (rows->wanted << 16) |
                           (rows->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
            .major = rows->major,
            .minor = rows->minor,
        };

        if (interpret(code, n, &device) != rows->allowed)
            fail_msg("%s: %c %u:%u access %u", devices, rows->type, rows->major, rows->minor,
                     rows->wanted);
    }
}

#define ROWS(...) ((const struct access[]){__VA_ARGS__, {.type = 0}})
#define DENY_ALL "{\"allow\":false,\"access\":\"rwm\"}"

/* No rules, or none that says what holds for all: nothing but the default devices. */
static void test_nothing_is_default_deny(void **state)
{
    (void)state;
    check("[]", ROWS({'c', 1, 3, R | W, true}, {'c', 5, 2, R | W, true}, {'c', 136, 7, R, true},
                     {'b', 8, 0, M, true}, {'b', 8, 0, R, false}, {'c', 1, 11, W, false},
                     {'c', 10, 200, R | W, false}));
    check("[" DENY_ALL "]", ROWS({'c', 1, 5, R, true}, {'b', 7, 0, R, false}));
    check("[{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":200,\"access\":\"rw\"}]",
          ROWS({'c', 10, 200, R | W, true}, {'c', 10, 229, R, false}, {'b', 8, 0, R, false}));
}

static void test_wildcards(void **state)
{
    (void)state;
    /* Without type and numbers: everything, as --privileged has it. */
    check("[{\"allow\":true}]", ROWS({'b', 8, 0, R | W, true}, {'c', 1, 11, W, true}));
    check("[{\"allow\":true,\"access\":\"rwm\"}," DENY_ALL "]", ROWS({'b', 8, 0, R, false}));
    /* With numbers, or with some accesses only, it is not everything. */
    check("[" DENY_ALL ",{\"allow\":true,\"major\":10,\"minor\":1}]",
          ROWS({'c', 10, 1, R | W, true}, {'b', 10, 1, R | W, true}, {'c', 10, 2, R, false},
               {'b', 8, 0, R, false}));
    check("[" DENY_ALL ",{\"allow\":true,\"type\":\"a\",\"access\":\"r\"}]",
          ROWS({'b', 8, 0, R, true}, {'b', 8, 0, W, false}, {'b', 8, 0, R | W, false}));
    check("[{\"allow\":true},{\"allow\":false,\"type\":\"a\",\"access\":\"w\"}]",
          ROWS({'b', 8, 0, R, false}, {'b', 8, 0, W, false}));
    check("[" DENY_ALL ",{\"allow\":true,\"type\":\"b\",\"major\":8}]",
          ROWS({'b', 8, 0, R, true}, {'b', 8, 17, W, true}, {'b', 9, 0, R, false},
               {'c', 8, 0, R, false}));
    check("[" DENY_ALL ",{\"allow\":true,\"type\":\"u\",\"major\":4,\"minor\":64}]",
          ROWS({'c', 4, 64, R, true}, {'b', 4, 64, R, false}));
}

static void test_later_rules_win(void **state)
{
    (void)state;
    check("[{\"allow\":true},{\"allow\":false,\"type\":\"b\",\"major\":8,\"access\":\"w\"}]",
          ROWS({'b', 8, 1, R, true}, {'b', 8, 1, W, false}, {'b', 8, 1, R | W, false},
               {'b', 9, 1, R | W, true}, {'c', 8, 1, R | W, true}));
    check("[" DENY_ALL ",{\"allow\":true,\"type\":\"c\"},{\"allow\":false,\"type\":\"c\","
          "\"major\":10},{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":5,\"access\":"
          "\"r\"}]",
          ROWS({'c', 4, 1, R | W, true}, {'c', 10, 4, R, false}, {'c', 10, 5, R, true},
               {'c', 10, 5, W, false}, {'c', 10, 5, R | W, false}));
    /* Two rules together give what one alone does not. */
    check("[" DENY_ALL ",{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":5,\"access\":\"r\"},"
          "{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":5,\"access\":\"w\"}]",
          ROWS({'c', 10, 5, R | W, true}, {'c', 10, 5, R | W | M, true}));
    /* The default devices cannot be taken away, as with runc. */
    check("[{\"allow\":true},{\"allow\":false,\"type\":\"c\",\"major\":1}]",
          ROWS({'c', 1, 3, R | W, true}, {'c', 1, 11, W, false}));
}

static void test_refused(void **state)
{
    struct spec_device_rule pipe_rule = {.allow = true, .type = 'p', .major = -1, .minor = -1};
    struct spec_device_rule *many = calloc(DEVICE_RULES_MAX + 1, sizeof(*many));
    struct spec_device_rule *rules = NULL;
    struct error error = ERROR_INIT;
    size_t n = 0;

    (void)state;
    assert_int_equal(device_rules_effective(&pipe_rule, 1, &rules, &n, &error), -EINVAL);
    assert_int_equal(error.class, ERROR_INVALID);
    assert_non_null(many);
    for (size_t i = 0; i <= DEVICE_RULES_MAX; i++)
        many[i] = (struct spec_device_rule){.allow = true, .type = 'c', .major = (int64_t)i};
    assert_int_equal(device_rules_effective(many, DEVICE_RULES_MAX + 1, &rules, &n, &error),
                     -EINVAL);
    assert_null(rules);
    free(many);
}

/* What cgroup v1 would silently ignore. */
static void test_holes(void **state)
{
    const struct spec_device_rule rules[] = {
        {.allow = false, .type = 'a', .major = -1, .minor = -1},
        {.allow = true, .type = 'c', .major = 1, .minor = -1, .read = true, .write = true},
        {.allow = false, .type = 'c', .major = 1, .minor = -1, .write = true},
        {.allow = false, .type = 'b', .major = 1, .minor = 3, .write = true},
        {.allow = false, .type = 'c', .major = 1, .minor = 3, .write = true},
    };

    (void)state;
    assert_null(device_rules_find_hole(rules, 4));
    assert_ptr_equal(device_rules_find_hole(rules, 5), &rules[4]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_default_deny),
        cmocka_unit_test(test_wildcards),
        cmocka_unit_test(test_later_rules_win),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_holes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
