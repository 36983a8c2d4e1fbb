/* Capabilities, seccomp and the rest of SecurityOpt in the OCI configuration. */
#include <fcntl.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "engine/private.h"
#include "spec/capability.h"
#include "spec/defaults.h"
#include "spec/runtime.h"
#include "spec/seccomp.h"

/* SecurityOpt after parsing. The texts borrow from the request. */
struct security {
    bool no_new_privileges;
    bool unconfined;     /* seccomp=unconfined */
    const char *profile; /* seccomp=JSON: the docker CLI sends the file's content */
    bool system_paths_unconfined;
};

static int security_parse(char *const *options, struct security *ret, struct error *err)
{
    for (; options && *options; options++) {
        const char *option = *options;
        /* docker accepts "name:value" as an old form of "name=value". */
        size_t name_length = strcspn(option, "=:");
        const char *value = option[name_length] ? option + name_length + 1 : "";
        CLEANUP_FREE char *name = strndup(option, name_length);
        if (!name)
            return error_oom(err);
        if (string_equal(name, "no-new-privileges")) {
            ret->no_new_privileges = !string_equal(value, "false");
        } else if (string_equal(name, "seccomp")) {
            ret->unconfined = string_equal(value, "unconfined");
            ret->profile = ret->unconfined || string_equal(value, "builtin") ? NULL : value;
        } else if (string_equal(name, "systempaths") && string_equal(value, "unconfined")) {
            ret->system_paths_unconfined = true;
        } else if (string_equal(name, "apparmor") || string_equal(name, "label")) {
            if (!string_equal(value, "unconfined") && !string_equal(value, "disable"))
                return error_set_class(err, ERROR_INVALID,
                                       "invalid --security-opt 2: \"%s\": this engine applies no "
                                       "%s profile",
                                       option, name);
        } else {
            return error_set_class(err, ERROR_INVALID, "invalid --security-opt 2: \"%s\"", option);
        }
    }
    return 0;
}

static int profile_parse(const char *text, struct spec_seccomp **ret, struct error *err)
{
    CLEANUP_JSON json_t *json = NULL;
    int r = json_parse(text, strlen(text), &json, err);
    if (r == 0)
        r = spec_seccomp_from_json(json, ret, err);
    if (r < 0)
        return error_classify(err, error_wrap(err, r, "opening seccomp profile failed"),
                              ERROR_INVALID);
    return 0;
}

int engine_security_options_check(char *const *options, struct error *err)
{
    struct security security = {0};
    int r = security_parse(options, &security, err);
    if (r < 0 || !security.profile)
        return r;
    struct spec_seccomp *seccomp = NULL;
    r = profile_parse(security.profile, &seccomp, err);
    spec_seccomp_free(seccomp);
    return r;
}

int engine_security_apply(const struct container *container, struct spec_runtime *config,
                          struct error *err)
{
    CLEANUP_STRV char **add = NULL;
    CLEANUP_STRV char **drop = NULL;
    CLEANUP_STRV char **options = NULL;
    struct security security = {0};
    bool privileged = false;
    int r;
    if ((r = json_get_strv(container->host_config, "CapAdd", SPEC_LIST_MAX, &add, err)) < 0 ||
        (r = json_get_strv(container->host_config, "CapDrop", SPEC_LIST_MAX, &drop, err)) < 0 ||
        (r = json_get_strv(container->host_config, "SecurityOpt", SPEC_LIST_MAX, &options, err)) <
            0 ||
        (r = json_get_bool(container->host_config, "Privileged", &privileged, err)) < 0 ||
        (r = security_parse(options, &security, err)) < 0)
        return r;
    config->process->no_new_privileges = security.no_new_privileges;
    if (privileged)
        return spec_defaults_apply_privileged(config) < 0 ? error_oom(err) : 0;
    uint64_t mask;
    r = capability_apply(spec_default_capabilities(), add, drop, &mask, err);
    if (r < 0)
        return r;
    spec_set_capabilities(config, mask);
    if (security.system_paths_unconfined) {
        strv_free(TAKE_PTR(config->linux_.masked_paths));
        strv_free(TAKE_PTR(config->linux_.readonly_paths));
    }
    if (security.unconfined)
        return 0;
    if (security.profile)
        return profile_parse(security.profile, &config->linux_.seccomp, err);
    config->linux_.seccomp = spec_default_seccomp(mask);
    return config->linux_.seccomp ? 0 : error_oom(err);
}
