/* The member "process" of the runtime configuration, which exec uses by itself. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "spec/reader.h"
#include "spec/runtime.h"

enum { CONSOLE_SIZE_MAX = 65535, OOM_SCORE_ADJ_MAX = 1000 };

static const char *const rlimit_names[] = {
    [RLIMIT_CPU] = "RLIMIT_CPU",           [RLIMIT_FSIZE] = "RLIMIT_FSIZE",
    [RLIMIT_DATA] = "RLIMIT_DATA",         [RLIMIT_STACK] = "RLIMIT_STACK",
    [RLIMIT_CORE] = "RLIMIT_CORE",         [RLIMIT_RSS] = "RLIMIT_RSS",
    [RLIMIT_NPROC] = "RLIMIT_NPROC",       [RLIMIT_NOFILE] = "RLIMIT_NOFILE",
    [RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",   [RLIMIT_AS] = "RLIMIT_AS",
    [RLIMIT_LOCKS] = "RLIMIT_LOCKS",       [RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
    [RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE", [RLIMIT_NICE] = "RLIMIT_NICE",
    [RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",     [RLIMIT_RTTIME] = "RLIMIT_RTTIME",
};
_Static_assert(sizeof(rlimit_names) / sizeof(rlimit_names[0]) == SPEC_RLIMITS_MAX,
               "a limit lacks its name");

const char *spec_rlimit_to_string(int resource)
{
    return resource >= 0 && resource < SPEC_RLIMITS_MAX ? rlimit_names[resource] : NULL;
}

int spec_rlimit_from_string(const char *text)
{
    for (int i = 0; i < SPEC_RLIMITS_MAX; i++)
        if (string_equal(text, rlimit_names[i]))
            return i;
    return -EINVAL;
}

struct spec_process *spec_process_new(void)
{
    return calloc(1, sizeof(struct spec_process));
}

struct spec_process *spec_process_free(struct spec_process *process)
{
    if (!process)
        return NULL;
    free(process->user.additional_gids);
    strv_free(process->user.additional_groups);
    free(process->user.username);
    strv_free(process->args);
    strv_free(process->env);
    free(process->cwd);
    free(process->rlimits);
    free(process->apparmor_profile);
    free(process->selinux_label);
    free(process);
    return NULL;
}

void spec_process_cleanup(struct spec_process **process)
{
    *process = spec_process_free(*process);
}

int spec_process_add_rlimit(struct spec_process *process, int resource, uint64_t soft,
                            uint64_t hard)
{
    struct spec_rlimit *rlimit = NULL;

    if (!spec_rlimit_to_string(resource))
        return -EINVAL;
    for (size_t i = 0; i < process->n_rlimits; i++)
        if (process->rlimits[i].resource == resource)
            rlimit = &process->rlimits[i];
    if (!rlimit)
        rlimit = spec_list_add(&process->rlimits, &process->n_rlimits, sizeof(*rlimit),
                               SPEC_RLIMITS_MAX);
    if (!rlimit)
        return -ENOMEM;
    *rlimit = (struct spec_rlimit){.resource = resource, .soft = soft, .hard = hard};
    return 0;
}

int spec_process_add_gid(struct spec_process *process, uint32_t gid)
{
    uint32_t *added;

    if (process->user.n_additional_gids >= SPEC_GIDS_MAX)
        return -E2BIG;
    added = spec_list_add(&process->user.additional_gids, &process->user.n_additional_gids,
                          sizeof(*added), SPEC_GIDS_MAX);
    if (!added)
        return -ENOMEM;
    *added = gid;
    return 0;
}

static int read_gids(const json_t *user, struct spec_process *process, struct error *err)
{
    json_t *array = NULL;
    size_t i;
    json_t *item;
    int r = json_get_array(user, "additionalGids", &array, err);

    if (r <= 0)
        return r;
    json_array_foreach (array, i, item) {
        json_int_t gid = json_integer_value(item);

        if (!json_is_integer(item) || gid < 0 || gid > UINT32_MAX)
            return error_set_class(err, ERROR_INVALID, "'additionalGids[%zu]' is no group id", i);
        r = spec_process_add_gid(process, (uint32_t)gid);
        if (r < 0)
            return error_set_errno(err, r, "'additionalGids'");
    }
    return 0;
}

static int read_user(const json_t *json, struct spec_process *process, struct error *err)
{
    struct spec_user *user = &process->user;
    json_t *object = NULL;
    int r;

    if ((r = json_get_object(json, "user", &object, err)) < 0 ||
        (r = spec_read_u32(object, "uid", &user->uid, err)) < 0 ||
        (r = spec_read_u32(object, "gid", &user->gid, err)) < 0 ||
        (r = read_gids(object, process, err)) < 0 ||
        (r = json_get_strv(object, "hullAdditionalGroups", SPEC_LIST_MAX, &user->additional_groups,
                           err)) < 0 ||
        (r = spec_read_text(object, "username", &user->username, err)) < 0 ||
        (r = spec_read_u32(object, "umask", &user->umask, err)) < 0)
        return r;
    user->has_umask = r > 0;
    return 0;
}

static int read_rlimits(const json_t *json, struct spec_process *process, struct error *err)
{
    json_t *array = NULL;
    size_t i;
    json_t *item;
    int r = json_get_array(json, "rlimits", &array, err);

    if (r <= 0)
        return r;
    json_array_foreach (array, i, item) {
        const char *type = NULL;
        uint64_t soft = 0;
        uint64_t hard = 0;

        if ((r = json_need_string(item, "type", &type, err)) < 0 ||
            (r = spec_read_u64(item, "soft", &soft, err)) < 0 ||
            (r = spec_read_u64(item, "hard", &hard, err)) < 0)
            return error_wrap(err, r, "rlimits[%zu]", i);
        r = spec_rlimit_from_string(type);
        if (r < 0)
            return error_set_class(err, ERROR_INVALID, "'rlimits': unknown limit '%s'", type);
        if (soft > hard)
            return error_set_class(err, ERROR_INVALID,
                                   "'rlimits': soft limit of %s is above the hard one", type);
        r = spec_process_add_rlimit(process, r, soft, hard);
        if (r < 0)
            return error_set_errno(err, r, "'rlimits'");
    }
    return 0;
}

static int read_capabilities(const json_t *json, struct spec_process *process, struct error *err)
{
    struct spec_capabilities *sets = &process->capabilities;
    const struct {
        const char *name;
        uint64_t *mask;
    } rows[] = {
        {"bounding", &sets->bounding},       {"effective", &sets->effective},
        {"inheritable", &sets->inheritable}, {"permitted", &sets->permitted},
        {"ambient", &sets->ambient},
    };
    json_t *object = NULL;
    int r = json_get_object(json, "capabilities", &object, err);

    if (r <= 0)
        return r;
    process->has_capabilities = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        r = capability_mask_from_json(json_object_get(object, rows[i].name), rows[i].name,
                                      rows[i].mask, err);
        if (r < 0)
            return error_wrap(err, r, "capabilities");
    }
    return 0;
}

static int read_console(const json_t *json, struct spec_process *process, struct error *err)
{
    json_t *size = NULL;
    int width = 0;
    int height = 0;
    int r;

    if ((r = json_get_bool(json, "terminal", &process->terminal, err)) < 0 ||
        (r = json_get_object(json, "consoleSize", &size, err)) < 0 ||
        (r = json_get_int(size, "width", 0, CONSOLE_SIZE_MAX, &width, err)) < 0 ||
        (r = json_get_int(size, "height", 0, CONSOLE_SIZE_MAX, &height, err)) < 0)
        return r;
    process->console_width = (unsigned)width;
    process->console_height = (unsigned)height;
    return 0;
}

static int check_process(const struct spec_process *process, struct error *err)
{
    if (process->cwd && process->cwd[0] != '/')
        return error_set_class(err, ERROR_INVALID, "'cwd': '%s' is not an absolute path",
                               process->cwd);
    for (char *const *env = process->env; env && *env; env++)
        if (strlen(*env) > SPEC_TEXT_MAX)
            return error_set_class(err, ERROR_INVALID, "'env': a variable is longer than %d bytes",
                                   SPEC_TEXT_MAX);
    return 0;
}

static int read_process(const json_t *json, struct spec_process *process, struct error *err)
{
    int r;

    if ((r = read_console(json, process, err)) < 0 || (r = read_user(json, process, err)) < 0 ||
        (r = json_get_strv(json, "args", SPEC_ARGS_MAX, &process->args, err)) < 0 ||
        (r = json_get_strv(json, "env", SPEC_ARGS_MAX, &process->env, err)) < 0 ||
        (r = spec_read_text(json, "cwd", &process->cwd, err)) < 0 ||
        (r = read_capabilities(json, process, err)) < 0 ||
        (r = read_rlimits(json, process, err)) < 0 ||
        (r = json_get_bool(json, "noNewPrivileges", &process->no_new_privileges, err)) < 0 ||
        (r = spec_read_text(json, "apparmorProfile", &process->apparmor_profile, err)) < 0 ||
        (r = spec_read_text(json, "selinuxLabel", &process->selinux_label, err)) < 0 ||
        (r = json_get_int(json, "oomScoreAdj", -OOM_SCORE_ADJ_MAX, OOM_SCORE_ADJ_MAX,
                          &process->oom_score_adj, err)) < 0)
        return r;
    process->has_oom_score_adj = r > 0;
    return check_process(process, err);
}

int spec_process_from_json(const json_t *json, struct spec_process **ret, struct error *err)
{
    CLEANUP(spec_process_cleanup) struct spec_process *process = NULL;
    int r;

    if (!json_is_object(json))
        return error_set_class(err, ERROR_INVALID, "'process' must be an object");
    process = spec_process_new();
    if (!process)
        return error_oom(err);
    r = read_process(json, process, err);
    if (r < 0)
        return error_wrap(err, r, "process");
    *ret = TAKE_PTR(process);
    return 0;
}

static json_t *user_to_json(const struct spec_user *user)
{
    CLEANUP_JSON json_t *json = json_object();
    json_t *gids = json_array();

    for (size_t i = 0; i < user->n_additional_gids; i++)
        json_array_append_new(gids, json_integer(user->additional_gids[i]));
    if (spec_put_list(json, "additionalGids", gids) < 0 ||
        json_put_i64(json, "uid", user->uid) < 0 || json_put_i64(json, "gid", user->gid) < 0 ||
        (user->has_umask && json_put_i64(json, "umask", user->umask) < 0) ||
        json_put_strv(json, "hullAdditionalGroups", user->additional_groups) < 0 ||
        json_put_string(json, "username", user->username) < 0)
        return NULL;
    return TAKE_PTR(json);
}

static json_t *rlimits_to_json(const struct spec_process *process)
{
    json_t *array = json_array();

    for (size_t i = 0; i < process->n_rlimits; i++) {
        const struct spec_rlimit *rlimit = &process->rlimits[i];

        json_array_append_new(
            array, json_pack("{s:s, s:I, s:I}", "type", spec_rlimit_to_string(rlimit->resource),
                             "soft", (json_int_t)rlimit->soft, "hard", (json_int_t)rlimit->hard));
    }
    return array;
}

static json_t *capabilities_to_json(const struct spec_capabilities *sets)
{
    CLEANUP_JSON json_t *json = json_object();

    if (json_put(json, "bounding", capability_mask_to_json(sets->bounding)) < 0 ||
        json_put(json, "effective", capability_mask_to_json(sets->effective)) < 0 ||
        json_put(json, "inheritable", capability_mask_to_json(sets->inheritable)) < 0 ||
        json_put(json, "permitted", capability_mask_to_json(sets->permitted)) < 0 ||
        json_put(json, "ambient", capability_mask_to_json(sets->ambient)) < 0)
        return NULL;
    return TAKE_PTR(json);
}

static int put_options(json_t *json, const struct spec_process *process)
{
    if (process->terminal && json_put_bool(json, "terminal", true) < 0)
        return -ENOMEM;
    if ((process->console_width || process->console_height) &&
        json_put(json, "consoleSize",
                 json_pack("{s:i, s:i}", "height", (int)process->console_height, "width",
                           (int)process->console_width)) < 0)
        return -ENOMEM;
    if (process->has_capabilities &&
        json_put(json, "capabilities", capabilities_to_json(&process->capabilities)) < 0)
        return -ENOMEM;
    if (process->no_new_privileges && json_put_bool(json, "noNewPrivileges", true) < 0)
        return -ENOMEM;
    if (process->has_oom_score_adj && json_put_i64(json, "oomScoreAdj", process->oom_score_adj) < 0)
        return -ENOMEM;
    return 0;
}

json_t *spec_process_to_json(const struct spec_process *process)
{
    CLEANUP_JSON json_t *json = json_object();

    if (json_put(json, "user", user_to_json(&process->user)) < 0 ||
        json_put_strv(json, "args", process->args) < 0 ||
        json_put_strv(json, "env", process->env) < 0 ||
        json_put_string(json, "cwd", string_or(process->cwd, "/")) < 0 ||
        spec_put_list(json, "rlimits", rlimits_to_json(process)) < 0 ||
        put_options(json, process) < 0 ||
        json_put_string(json, "apparmorProfile", process->apparmor_profile) < 0 ||
        json_put_string(json, "selinuxLabel", process->selinux_label) < 0)
        return NULL;
    return TAKE_PTR(json);
}

struct spec_process *spec_process_copy(const struct spec_process *process)
{
    CLEANUP_JSON json_t *json = spec_process_to_json(process);
    struct spec_process *copy = NULL;

    if (!json || spec_process_from_json(json, &copy, NULL) < 0)
        return NULL;
    return copy;
}
