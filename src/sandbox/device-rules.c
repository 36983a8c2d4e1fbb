#include "sandbox/device-rules.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "spec/defaults.h"
#include "spec/resources.h"

struct list {
    struct spec_device_rule *rules;
    size_t n;
};

/* True when every access to every device that `narrow` names is named by `wide`, too. */
static bool covers(const struct spec_device_rule *wide, const struct spec_device_rule *narrow)
{
    return wide->type == narrow->type && (wide->major < 0 || wide->major == narrow->major) &&
           (wide->minor < 0 || wide->minor == narrow->minor) && wide->read >= narrow->read &&
           wide->write >= narrow->write && wide->make >= narrow->make;
}

static bool same_device(const struct spec_device_rule *a, const struct spec_device_rule *b)
{
    return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

static bool overlap(const struct spec_device_rule *a, const struct spec_device_rule *b)
{
    return a->type == b->type && (a->major < 0 || b->major < 0 || a->major == b->major) &&
           (a->minor < 0 || b->minor < 0 || a->minor == b->minor) &&
           ((a->read && b->read) || (a->write && b->write) || (a->make && b->make));
}

static int add(struct list *list, const struct spec_device_rule *rule, char type, struct error *err)
{
    if (list->n >= DEVICE_RULES_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d device rules", DEVICE_RULES_MAX);
    list->rules[list->n] = *rule;
    list->rules[list->n].type = type;
    list->n++;
    return 0;
}

static bool decides_all(const struct spec_device_rule *rule)
{
    return rule->type == 'a' && rule->major < 0 && rule->minor < 0 &&
           (!rule->allow || (rule->read && rule->write && rule->make));
}

static int add_given(struct list *list, const struct spec_device_rule *rule, struct error *err)
{
    const struct spec_device_rule nothing = {.type = 'a', .major = -1, .minor = -1};
    int r;

    if (rule->type != 'a' && rule->type != 'b' && rule->type != 'c')
        return error_set_class(err, ERROR_INVALID, "a device rule cannot have type '%c'",
                               rule->type);
    if (decides_all(rule)) {
        list->n = 0; /* what came before does not matter any more */
        return add(list, rule, 'a', err);
    }
    if (list->n == 0 && (r = add(list, &nothing, 'a', err)) < 0)
        return r;
    if (rule->type != 'a')
        return add(list, rule, rule->type, err);
    r = add(list, rule, 'c', err);
    return r < 0 ? r : add(list, rule, 'b', err);
}

/* Whether the rule, an allowing one, would change nothing at the end of the list. */
static bool is_allowed(const struct list *list, const struct spec_device_rule *rule)
{
    for (size_t i = list->n; i-- > 0;) {
        const struct spec_device_rule *other = &list->rules[i];

        if (other->type == 'a')
            return other->allow;
        if (other->allow ? covers(other, rule) : overlap(other, rule))
            return other->allow;
    }
    return false;
}

int device_rules_effective(const struct spec_device_rule *rules, size_t n,
                           struct spec_device_rule **ret, size_t *ret_n, struct error *err)
{
    CLEANUP(spec_resources_release) struct spec_resources defaults = {0};
    CLEANUP_FREE struct spec_device_rule *memory = calloc(DEVICE_RULES_MAX, sizeof(*memory));
    struct list list = {.rules = memory};
    int r = 0;

    if (!memory || spec_default_device_rules(&defaults) < 0)
        return error_oom(err);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = add_given(&list, &rules[i], err);
    for (size_t i = 0; r >= 0 && i < defaults.n_devices; i++)
        if (defaults.devices[i].type == 'a' ? list.n == 0
                                            : !is_allowed(&list, &defaults.devices[i]))
            r = add_given(&list, &defaults.devices[i], err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(memory);
    *ret_n = list.n;
    return 0;
}

const struct spec_device_rule *device_rules_find_hole(const struct spec_device_rule *rules,
                                                      size_t n)
{
    if (n == 0 || rules[0].allow)
        return NULL; /* from then on it is those that deny which are kept */
    for (size_t i = 1; i < n; i++)
        for (size_t k = 1; !rules[i].allow && k < i; k++)
            if (rules[k].allow && overlap(&rules[k], &rules[i]) &&
                !same_device(&rules[k], &rules[i]))
                return &rules[i];
    return NULL;
}
