#include "spec/seccomp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "spec/reader.h"

static const char *const actions[] = {
    [SPEC_SECCOMP_KILL] = "SCMP_ACT_KILL",   [SPEC_SECCOMP_KILL_PROCESS] = "SCMP_ACT_KILL_PROCESS",
    [SPEC_SECCOMP_TRAP] = "SCMP_ACT_TRAP",   [SPEC_SECCOMP_ERRNO] = "SCMP_ACT_ERRNO",
    [SPEC_SECCOMP_TRACE] = "SCMP_ACT_TRACE", [SPEC_SECCOMP_ALLOW] = "SCMP_ACT_ALLOW",
    [SPEC_SECCOMP_LOG] = "SCMP_ACT_LOG",     [SPEC_SECCOMP_NOTIFY] = "SCMP_ACT_NOTIFY",
};
_Static_assert(sizeof(actions) / sizeof(actions[0]) == SPEC_SECCOMP_ACTION_MAX,
               "an action lacks its name");

static const char *const operators[] = {
    [SPEC_SECCOMP_NE] = "SCMP_CMP_NE",
    [SPEC_SECCOMP_LT] = "SCMP_CMP_LT",
    [SPEC_SECCOMP_LE] = "SCMP_CMP_LE",
    [SPEC_SECCOMP_EQ] = "SCMP_CMP_EQ",
    [SPEC_SECCOMP_GE] = "SCMP_CMP_GE",
    [SPEC_SECCOMP_GT] = "SCMP_CMP_GT",
    [SPEC_SECCOMP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
};
_Static_assert(sizeof(operators) / sizeof(operators[0]) == SPEC_SECCOMP_OPERATOR_MAX,
               "an operator lacks its name");

const char *spec_seccomp_action_to_string(enum spec_seccomp_action action)
{
    return actions[action];
}

int spec_seccomp_action_from_string(const char *text)
{
    if (string_equal(text, "SCMP_ACT_KILL_THREAD"))
        return SPEC_SECCOMP_KILL;
    for (int i = 0; i < SPEC_SECCOMP_ACTION_MAX; i++)
        if (string_equal(text, actions[i]))
            return i;
    return -EINVAL;
}

const char *spec_seccomp_operator_to_string(enum spec_seccomp_operator operator)
{
    return operators[operator];
}

int spec_seccomp_operator_from_string(const char *text)
{
    for (int i = 0; i < SPEC_SECCOMP_OPERATOR_MAX; i++)
        if (string_equal(text, operators[i]))
            return i;
    return -EINVAL;
}

struct spec_seccomp *spec_seccomp_new(void)
{
    return calloc(1, sizeof(struct spec_seccomp));
}

static int read_action(const json_t *object, const char *name, enum spec_seccomp_action *ret,
                       struct error *err)
{
    const char *text = NULL;
    int r = json_need_string(object, name, &text, err);

    if (r < 0)
        return r;
    r = spec_seccomp_action_from_string(text);
    if (r < 0)
        return error_set_class(err, ERROR_INVALID, "'%s': unknown action '%s'", name, text);
    *ret = (enum spec_seccomp_action)r;
    return 0;
}

static int read_argument(const json_t *item, void *ret, struct error *err)
{
    struct spec_seccomp_argument *argument = ret;
    const char *operator= NULL;
    int index = 0;
    int r;

    if ((r = json_get_int(item, "index", 0, SPEC_SECCOMP_ARGS_MAX - 1, &index, err)) < 0 ||
        (r = spec_read_u64(item, "value", &argument->value, err)) < 0 ||
        (r = spec_read_u64(item, "valueTwo", &argument->value_two, err)) < 0 ||
        (r = json_need_string(item, "op", &operator, err)) < 0)
        return r;
    argument->index = (unsigned)index;
    r = spec_seccomp_operator_from_string(operator);
    if (r < 0)
        return error_set_class(err, ERROR_INVALID, "'op': unknown operator '%s'", operator);
    argument->operator=(enum spec_seccomp_operator) r;
    return 0;
}

static int read_rule(const json_t *item, void *ret, struct error *err)
{
    struct spec_seccomp_rule *rule = ret;
    int errno_value = 0;
    int r;

    if ((r = json_get_strv(item, "names", SPEC_SECCOMP_NAMES_MAX, &rule->names, err)) < 0 ||
        (r = read_action(item, "action", &rule->action, err)) < 0 ||
        (r = spec_read_list(item, "args", SPEC_SECCOMP_ARGS_MAX,
                            sizeof(struct spec_seccomp_argument), read_argument, &rule->arguments,
                            &rule->n_arguments, err)) < 0)
        return r;
    r = json_get_int(item, "errnoRet", 0, UINT16_MAX, &errno_value, err);
    if (r < 0)
        return r;
    rule->has_errno = r > 0;
    rule->errno_value = (unsigned)errno_value;
    return 0;
}

int spec_seccomp_from_json(const json_t *json, struct spec_seccomp **ret, struct error *err)
{
    struct spec_seccomp *seccomp = spec_seccomp_new();
    int errno_value = 0;
    int r;

    if (!seccomp)
        return error_oom(err);
    if ((r = read_action(json, "defaultAction", &seccomp->default_action, err)) < 0 ||
        (r = json_get_strv(json, "architectures", SPEC_SECCOMP_ARCHITECTURES_MAX,
                           &seccomp->architectures, err)) < 0 ||
        (r = json_get_strv(json, "flags", SPEC_SECCOMP_ARCHITECTURES_MAX, &seccomp->flags, err)) <
            0 ||
        (r = spec_read_list(json, "syscalls", SPEC_SECCOMP_RULES_MAX,
                            sizeof(struct spec_seccomp_rule), read_rule, &seccomp->rules,
                            &seccomp->n_rules, err)) < 0 ||
        (r = json_get_int(json, "defaultErrnoRet", 0, UINT16_MAX, &errno_value, err)) < 0) {
        spec_seccomp_free(seccomp);
        return r;
    }
    seccomp->has_default_errno = r > 0;
    seccomp->default_errno = (unsigned)errno_value;
    *ret = seccomp;
    return 0;
}

static json_t *rule_to_json(const struct spec_seccomp_rule *rule)
{
    CLEANUP_JSON json_t *json = json_object();
    json_t *arguments = json_array();

    for (size_t i = 0; i < rule->n_arguments; i++) {
        const struct spec_seccomp_argument *argument = &rule->arguments[i];

        json_array_append_new(arguments,
                              json_pack("{s:i, s:I, s:I, s:s}", "index", (int)argument->index,
                                        "value", (json_int_t)argument->value, "valueTwo",
                                        (json_int_t)argument->value_two, "op",
                                        operators[argument->operator]));
    }
    if (spec_put_list(json, "args", arguments) < 0 ||
        json_put_strv(json, "names", rule->names) < 0 ||
        json_put_string(json, "action", actions[rule->action]) < 0 ||
        (rule->has_errno && json_put_i64(json, "errnoRet", rule->errno_value) < 0))
        return NULL;
    return TAKE_PTR(json);
}

json_t *spec_seccomp_to_json(const struct spec_seccomp *seccomp)
{
    CLEANUP_JSON json_t *json = json_object();
    CLEANUP_JSON json_t *rules = json_array();

    for (size_t i = 0; i < seccomp->n_rules; i++)
        if (json_array_append_new(rules, rule_to_json(&seccomp->rules[i])) < 0)
            return NULL;
    if (json_put_string(json, "defaultAction", actions[seccomp->default_action]) < 0 ||
        (seccomp->has_default_errno &&
         json_put_i64(json, "defaultErrnoRet", seccomp->default_errno) < 0) ||
        json_put_strv(json, "architectures", seccomp->architectures) < 0 ||
        json_put_strv(json, "flags", seccomp->flags) < 0 ||
        spec_put_list(json, "syscalls", TAKE_PTR(rules)) < 0)
        return NULL;
    return TAKE_PTR(json);
}

struct spec_seccomp *spec_seccomp_free(struct spec_seccomp *seccomp)
{
    if (!seccomp)
        return NULL;
    for (size_t i = 0; i < seccomp->n_rules; i++) {
        strv_free(seccomp->rules[i].names);
        free(seccomp->rules[i].arguments);
    }
    free(seccomp->rules);
    strv_free(seccomp->architectures);
    strv_free(seccomp->flags);
    free(seccomp);
    return NULL;
}

struct spec_seccomp_rule *spec_seccomp_add_rule(struct spec_seccomp *seccomp,
                                                enum spec_seccomp_action action)
{
    struct spec_seccomp_rule *rule =
        spec_list_add(&seccomp->rules, &seccomp->n_rules, sizeof(*rule), SPEC_SECCOMP_RULES_MAX);

    if (rule)
        rule->action = action;
    return rule;
}
