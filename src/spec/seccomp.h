/* linux.seccomp of the OCI runtime configuration (config-linux.md#seccomp). */
#ifndef HULL_SPEC_SECCOMP_H
#define HULL_SPEC_SECCOMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum {
    SPEC_SECCOMP_RULES_MAX = 4096,
    SPEC_SECCOMP_NAMES_MAX = 4096, /* system calls of one rule */
    SPEC_SECCOMP_ARGS_MAX = 6,
    SPEC_SECCOMP_ARCHITECTURES_MAX = 32,
};

enum spec_seccomp_action {
    SPEC_SECCOMP_KILL = 0, /* the thread; SCMP_ACT_KILL_THREAD is the same */
    SPEC_SECCOMP_KILL_PROCESS,
    SPEC_SECCOMP_TRAP,
    SPEC_SECCOMP_ERRNO,
    SPEC_SECCOMP_TRACE,
    SPEC_SECCOMP_ALLOW,
    SPEC_SECCOMP_LOG,
    SPEC_SECCOMP_NOTIFY,
    SPEC_SECCOMP_ACTION_MAX,
};

enum spec_seccomp_operator {
    SPEC_SECCOMP_NE = 0,
    SPEC_SECCOMP_LT,
    SPEC_SECCOMP_LE,
    SPEC_SECCOMP_EQ,
    SPEC_SECCOMP_GE,
    SPEC_SECCOMP_GT,
    SPEC_SECCOMP_MASKED_EQ, /* (argument & value) == value_two */
    SPEC_SECCOMP_OPERATOR_MAX,
};

struct spec_seccomp_argument {
    unsigned index;
    uint64_t value;
    uint64_t value_two;
    enum spec_seccomp_operator operator;
};

/* All arguments must match. Names that the kernel or library does not know are passed over. */
struct spec_seccomp_rule {
    char **names;
    enum spec_seccomp_action action;
    bool has_errno;
    unsigned errno_value; /* EPERM when absent */
    struct spec_seccomp_argument *arguments;
    size_t n_arguments;
};

struct spec_seccomp {
    enum spec_seccomp_action default_action;
    bool has_default_errno;
    unsigned default_errno;
    char **architectures; /* "SCMP_ARCH_X86_64"; none: the native one */
    char **flags;         /* "SECCOMP_FILTER_FLAG_LOG", ... */
    struct spec_seccomp_rule *rules;
    size_t n_rules;
};

const char *spec_seccomp_action_to_string(enum spec_seccomp_action action);
int spec_seccomp_action_from_string(const char *text);
const char *spec_seccomp_operator_to_string(enum spec_seccomp_operator operator);
int spec_seccomp_operator_from_string(const char *text);

struct spec_seccomp *spec_seccomp_new(void);
/* *ret is the caller's. ERROR_INVALID names what is wrong. */
int spec_seccomp_from_json(const json_t *json, struct spec_seccomp **ret, struct error *err);
json_t *spec_seccomp_to_json(const struct spec_seccomp *seccomp);
struct spec_seccomp *spec_seccomp_free(struct spec_seccomp *seccomp);

/* An empty rule at the end, to be filled in; NULL when out of memory or at the maximum. */
struct spec_seccomp_rule *spec_seccomp_add_rule(struct spec_seccomp *seccomp,
                                                enum spec_seccomp_action action);

#endif
