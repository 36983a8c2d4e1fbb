#include "spec/resources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "spec/reader.h"
#include "spec/runtime.h"

static const char *const throttle_names[] = {
    [SPEC_THROTTLE_READ_BPS] = "throttleReadBpsDevice",
    [SPEC_THROTTLE_WRITE_BPS] = "throttleWriteBpsDevice",
    [SPEC_THROTTLE_READ_IOPS] = "throttleReadIOPSDevice",
    [SPEC_THROTTLE_WRITE_IOPS] = "throttleWriteIOPSDevice",
};
_Static_assert(sizeof(throttle_names) / sizeof(throttle_names[0]) == SPEC_THROTTLE_MAX,
               "a throttle lacks its name");

static int set_access(struct spec_device_rule *rule, const char *access)
{
    for (; *access; access++) {
        if (*access == 'r')
            rule->read = true;
        else if (*access == 'w')
            rule->write = true;
        else if (*access == 'm')
            rule->make = true;
        else
            return -EINVAL;
    }
    return 0;
}

static int read_device_rule(const json_t *item, void *ret, struct error *err)
{
    struct spec_device_rule *rule = ret;
    const char *type = "a";
    const char *access = "rwm";
    int r;

    rule->major = -1;
    rule->minor = -1;
    if ((r = json_get_bool(item, "allow", &rule->allow, err)) < 0 ||
        (r = json_get_string(item, "type", &type, err)) < 0 ||
        (r = json_get_i64(item, "major", &rule->major, err)) < 0 ||
        (r = json_get_i64(item, "minor", &rule->minor, err)) < 0 ||
        (r = json_get_string(item, "access", &access, err)) < 0)
        return r;
    if (strlen(type) != 1 || !strchr("abcup", type[0]))
        return error_set_class(err, ERROR_INVALID, "invalid device type '%s'", type);
    rule->type = type[0] == 'u' ? 'c' : type[0];
    if (set_access(rule, access) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid device access '%s'", access);
    if (rule->major < -1 || rule->minor < -1)
        return error_set_class(err, ERROR_INVALID, "invalid device number");
    return 0;
}

static int read_memory(const json_t *json, struct spec_resources *ret, struct error *err)
{
    json_t *memory = NULL;
    int r;

    if ((r = json_get_object(json, "memory", &memory, err)) < 0 ||
        (r = json_get_i64(memory, "limit", &ret->memory_limit, err)) < 0 ||
        (r = json_get_i64(memory, "reservation", &ret->memory_reservation, err)) < 0 ||
        (r = json_get_i64(memory, "swap", &ret->memory_swap, err)) < 0 ||
        (r = json_get_bool(memory, "disableOOMKiller", &ret->disable_oom_killer, err)) < 0)
        return r;
    r = spec_read_u64(memory, "swappiness", &ret->swappiness, err);
    if (r < 0)
        return r;
    ret->has_swappiness = r > 0;
    if (ret->has_swappiness && ret->swappiness > 100)
        return error_set_class(err, ERROR_INVALID, "'memory.swappiness' must be between 0 and 100");
    return 0;
}

static int read_cpu(const json_t *json, struct spec_resources *ret, struct error *err)
{
    json_t *cpu = NULL;
    int r;

    if ((r = json_get_object(json, "cpu", &cpu, err)) < 0 ||
        (r = spec_read_u64(cpu, "shares", &ret->cpu_shares, err)) < 0 ||
        (r = json_get_i64(cpu, "quota", &ret->cpu_quota, err)) < 0 ||
        (r = spec_read_u64(cpu, "period", &ret->cpu_period, err)) < 0 ||
        (r = json_get_i64(cpu, "realtimeRuntime", &ret->cpu_rt_runtime, err)) < 0 ||
        (r = spec_read_u64(cpu, "realtimePeriod", &ret->cpu_rt_period, err)) < 0 ||
        (r = spec_read_text(cpu, "cpus", &ret->cpus, err)) < 0 ||
        (r = spec_read_text(cpu, "mems", &ret->mems, err)) < 0)
        return r;
    return 0;
}

static int read_throttle(const json_t *item, void *ret, struct error *err)
{
    struct spec_throttle *throttle = ret;
    int r;

    if ((r = json_need_i64(item, "major", &throttle->major, err)) < 0 ||
        (r = json_need_i64(item, "minor", &throttle->minor, err)) < 0 ||
        (r = spec_read_u64(item, "rate", &throttle->rate, err)) < 0)
        return r;
    return 0;
}

static int read_block(const json_t *json, struct spec_resources *ret, struct error *err)
{
    json_t *block = NULL;
    int weight = 0;
    int r;

    if ((r = json_get_object(json, "blockIO", &block, err)) < 0 ||
        (r = json_get_int(block, "weight", 0, 1000, &weight, err)) < 0)
        return r;
    ret->blkio_weight = (unsigned)weight;
    for (int i = 0; i < SPEC_THROTTLE_MAX; i++) {
        r = spec_read_list(block, throttle_names[i], SPEC_LIST_MAX, sizeof(struct spec_throttle),
                           read_throttle, &ret->throttles[i].throttles,
                           &ret->throttles[i].n_throttles, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_hugepage(const json_t *item, void *ret, struct error *err)
{
    struct spec_hugepage_limit *limit = ret;
    int r;

    if ((r = spec_read_text(item, "pageSize", &limit->page_size, err)) < 0 ||
        (r = spec_read_u64(item, "limit", &limit->limit, err)) < 0)
        return r;
    /* The size becomes part of a file name. */
    if (!limit->page_size || !*limit->page_size ||
        strspn(limit->page_size, "0123456789KMGB") != strlen(limit->page_size))
        return error_set_class(err, ERROR_INVALID, "invalid hugepage size '%s'",
                               string_or(limit->page_size, ""));
    return 0;
}

/* The keys of "unified" become file names below the cgroup. */
static int check_unified(char *const *unified, struct error *err)
{
    for (; unified && *unified; unified++) {
        const char *equals = strchr(*unified, '=');
        const char *slash = strchr(*unified, '/');

        if ((slash && slash < equals) || (*unified)[0] == '.' ||
            string_starts_with(*unified, "cgroup."))
            return error_set_class(err, ERROR_INVALID, "'unified': invalid file name in '%s'",
                                   *unified);
    }
    return 0;
}

int spec_resources_from_json(const json_t *json, struct spec_resources *ret, struct error *err)
{
    json_t *pids = NULL;
    int r;

    if ((r = spec_read_list(json, "devices", SPEC_LIST_MAX, sizeof(struct spec_device_rule),
                            read_device_rule, &ret->devices, &ret->n_devices, err)) < 0 ||
        (r = read_memory(json, ret, err)) < 0 || (r = read_cpu(json, ret, err)) < 0 ||
        (r = read_block(json, ret, err)) < 0 ||
        (r = json_get_object(json, "pids", &pids, err)) < 0 ||
        (r = json_get_i64(pids, "limit", &ret->pids_limit, err)) < 0 ||
        (r = spec_read_list(json, "hugepageLimits", SPEC_LIST_MAX,
                            sizeof(struct spec_hugepage_limit), read_hugepage, &ret->hugepages,
                            &ret->n_hugepages, err)) < 0 ||
        (r = spec_read_map(json, "unified", &ret->unified, err)) < 0)
        return r;
    return check_unified(ret->unified, err);
}

static json_t *device_rule_to_json(const struct spec_device_rule *rule)
{
    char type[2] = {rule->type, '\0'};
    char access[4];
    size_t n = 0;
    json_t *json;

    if (rule->read)
        access[n++] = 'r';
    if (rule->write)
        access[n++] = 'w';
    if (rule->make)
        access[n++] = 'm';
    access[n] = '\0';
    json = json_pack("{s:b, s:s, s:s}", "allow", rule->allow, "type", type, "access", access);
    if (json && rule->major >= 0)
        json_put_i64(json, "major", rule->major);
    if (json && rule->minor >= 0)
        json_put_i64(json, "minor", rule->minor);
    return json;
}

static int put_unless_0(json_t *object, const char *name, int64_t value)
{
    return value ? json_put_i64(object, name, value) : 0;
}

/* Sets a member to an object unless the object is empty; consumes it. */
static int put_object(json_t *object, const char *name, json_t *members)
{
    if (!members)
        return -ENOMEM;
    if (json_object_size(members) == 0) {
        json_decref(members);
        return 0;
    }
    return json_put(object, name, members);
}

static json_t *memory_to_json(const struct spec_resources *resources)
{
    json_t *json = json_object();

    put_unless_0(json, "limit", resources->memory_limit);
    put_unless_0(json, "reservation", resources->memory_reservation);
    put_unless_0(json, "swap", resources->memory_swap);
    if (resources->has_swappiness)
        spec_put_u64(json, "swappiness", resources->swappiness);
    if (resources->disable_oom_killer)
        json_put_bool(json, "disableOOMKiller", true);
    return json;
}

static json_t *cpu_to_json(const struct spec_resources *resources)
{
    json_t *json = json_object();

    put_unless_0(json, "shares", (int64_t)resources->cpu_shares);
    put_unless_0(json, "quota", resources->cpu_quota);
    put_unless_0(json, "period", (int64_t)resources->cpu_period);
    put_unless_0(json, "realtimeRuntime", resources->cpu_rt_runtime);
    put_unless_0(json, "realtimePeriod", (int64_t)resources->cpu_rt_period);
    json_put_string(json, "cpus", resources->cpus);
    json_put_string(json, "mems", resources->mems);
    return json;
}

static json_t *block_to_json(const struct spec_resources *resources)
{
    json_t *json = json_object();

    put_unless_0(json, "weight", resources->blkio_weight);
    for (int i = 0; i < SPEC_THROTTLE_MAX; i++) {
        json_t *array = json_array();

        for (size_t k = 0; k < resources->throttles[i].n_throttles; k++) {
            const struct spec_throttle *throttle = &resources->throttles[i].throttles[k];

            json_array_append_new(
                array, json_pack("{s:I, s:I, s:I}", "major", (json_int_t)throttle->major, "minor",
                                 (json_int_t)throttle->minor, "rate", (json_int_t)throttle->rate));
        }
        spec_put_list(json, throttle_names[i], array);
    }
    return json;
}

json_t *spec_resources_to_json(const struct spec_resources *resources)
{
    CLEANUP_JSON json_t *json = json_object();
    CLEANUP_JSON json_t *devices = json_array();
    CLEANUP_JSON json_t *pages = json_array();
    json_t *pids = json_object();

    for (size_t i = 0; i < resources->n_devices; i++)
        if (json_array_append_new(devices, device_rule_to_json(&resources->devices[i])) < 0)
            goto fail;
    for (size_t i = 0; i < resources->n_hugepages; i++)
        if (json_array_append_new(pages, json_pack("{s:s, s:I}", "pageSize",
                                                   resources->hugepages[i].page_size, "limit",
                                                   (json_int_t)resources->hugepages[i].limit)) < 0)
            goto fail;
    put_unless_0(pids, "limit", resources->pids_limit);
    if (put_object(json, "pids", TAKE_PTR(pids)) < 0 ||
        spec_put_list(json, "devices", TAKE_PTR(devices)) < 0 ||
        put_object(json, "memory", memory_to_json(resources)) < 0 ||
        put_object(json, "cpu", cpu_to_json(resources)) < 0 ||
        put_object(json, "blockIO", block_to_json(resources)) < 0 ||
        spec_put_list(json, "hugepageLimits", TAKE_PTR(pages)) < 0 ||
        spec_put_map(json, "unified", resources->unified) < 0)
        goto fail;
    return TAKE_PTR(json);
fail:
    json_decref(pids);
    return NULL;
}

void spec_resources_release(struct spec_resources *resources)
{
    free(resources->devices);
    for (int i = 0; i < SPEC_THROTTLE_MAX; i++)
        free(resources->throttles[i].throttles);
    for (size_t i = 0; i < resources->n_hugepages; i++)
        free(resources->hugepages[i].page_size);
    free(resources->hugepages);
    free(resources->cpus);
    free(resources->mems);
    strv_free(resources->unified);
    memset(resources, 0, sizeof(*resources));
}

int spec_resources_add_device(struct spec_resources *resources, bool allow, char type,
                              int64_t major, int64_t minor, const char *access)
{
    struct spec_device_rule rule = {.allow = allow, .type = type, .major = major, .minor = minor};
    struct spec_device_rule *added;

    if (set_access(&rule, access) < 0)
        return -EINVAL;
    if (resources->n_devices >= SPEC_LIST_MAX)
        return -E2BIG;
    added = spec_list_add(&resources->devices, &resources->n_devices, sizeof(rule), SPEC_LIST_MAX);
    if (!added)
        return -ENOMEM;
    *added = rule;
    return 0;
}
