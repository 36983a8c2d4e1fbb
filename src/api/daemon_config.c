#include "api/daemon_config.h"

#include "api/daemon_options.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "engine/engine.h"
#include "vm/jail.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VM_OVERCOMMIT_MAX (1000ULL * 1024) /* in units of 1/1024 */

void daemon_config_release(struct daemon_config *config)
{
    for (size_t i = 0; i < daemon_options_count; i++) {
        const struct daemon_option *option = &daemon_options[i];
        void *slot = daemon_option_slot(config, option);

        if (option->kind == DAEMON_TEXT)
            (void)string_replace(slot, NULL);
        else if (option->kind == DAEMON_LIST || option->kind == DAEMON_MAP)
            strv_cleanup(slot);
        if (option->kind != DAEMON_TEXT && option->kind != DAEMON_FLAG)
            *(char ***)slot = NULL;
    }
    *config = (struct daemon_config)DAEMON_CONFIG_INIT;
}

static size_t find_flag(const char *name, size_t length)
{
    size_t i = 0;

    while (i < daemon_options_count && (strlen(daemon_options[i].flag) != length ||
                                        strncmp(daemon_options[i].flag, name, length) != 0))
        i++;
    return i;
}

static size_t find_letter(char letter)
{
    size_t i = 0;

    while (i < daemon_options_count && daemon_options[i].letter != letter)
        i++;
    return i;
}

static int parse_switch(bool *slot, const char *value, const char *flag, struct error *err)
{
    if (!value || string_equal(value, "true") || string_equal(value, "1"))
        *slot = true;
    else if (string_equal(value, "false") || string_equal(value, "0"))
        *slot = false;
    else
        return error_set_class(err, ERROR_INVALID, "invalid argument \"%s\" for --%s", value, flag);
    return 0;
}

static int set_value(struct daemon_config *config, size_t index, const char *value,
                     struct error *err)
{
    const struct daemon_option *option = &daemon_options[index];
    void *slot = daemon_option_slot(config, option);

    config->given |= UINT64_C(1) << index;
    switch (option->kind) {
    case DAEMON_FLAG:
        return parse_switch(slot, value, option->flag, err);
    case DAEMON_TEXT:
        return string_replace(slot, value) < 0 ? error_oom(err) : 0;
    case DAEMON_MAP:
        if (!strchr(value, '='))
            return error_set_class(err, ERROR_INVALID,
                                   "invalid argument \"%s\" for --%s: it must be KEY=VALUE", value,
                                   option->flag);
        break;
    case DAEMON_LIST:
    default:
        break;
    }
    if (strv_length(*(char ***)slot) >= DAEMON_LIST_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d times --%s", DAEMON_LIST_MAX,
                               option->flag);
    return strv_append(slot, value) < 0 ? error_oom(err) : 0;
}

/* One option at argv[*index], with its argument, which may be the next word. */
static int parse_option(struct daemon_config *config, int argc, char *const *argv, int *index,
                        struct error *err)
{
    const char *word = argv[*index];
    const char *value = NULL;
    size_t found = daemon_options_count;

    if (word[0] == '-' && word[1] == '-') {
        size_t length = strcspn(word + 2, "=");

        found = find_flag(word + 2, length);
        value = word[2 + length] == '=' ? word + 3 + length : NULL;
    } else if (word[0] == '-' && word[1]) {
        found = find_letter(word[1]);
        if (word[2])
            value = word + (word[2] == '=' ? 3 : 2);
    } else {
        return error_set_class(err, ERROR_INVALID, "\"hulld\" accepts no arguments, but got \"%s\"",
                               word);
    }
    if (found == daemon_options_count)
        return error_set_class(err, ERROR_INVALID, "unknown flag: %.*s", (int)strcspn(word, "="),
                               word);
    if (!value && daemon_options[found].kind != DAEMON_FLAG) {
        if (*index + 1 >= argc)
            return error_set_class(err, ERROR_INVALID, "flag needs an argument: %s", word);
        value = argv[++*index];
    }
    return set_value(config, found, value, err);
}

int daemon_config_parse(struct daemon_config *config, int argc, char *const *argv,
                        struct error *err)
{
    for (int i = 1; i < argc; i++) {
        int r = parse_option(config, argc, argv, &i, err);

        if (r < 0)
            return r;
    }
    return 0;
}

static int set_default(char **slot, const char *text, struct error *err)
{
    if (*slot || string_replace(slot, text) == 0)
        return 0;
    return error_oom(err);
}

static int resolve_vm_engine(const char *text, const char *where, int *ret, struct error *err)
{
    int engine = string_equal(text, "auto") ? (int)ENGINE_VM_AUTO : vm_engine_from_string(text);

    if (engine < 0 && !string_equal(text, "auto"))
        return error_set_class(err, ERROR_INVALID,
                               "invalid value for %s: \"%s\" (it must be kvm, uml, tcg or auto)",
                               where, text);
    *ret = engine;
    return 0;
}

static int resolve_exec_opt(struct daemon_config *config, const char *option, struct error *err)
{
    const char *equals = strchr(option, '=');
    size_t length = strcspn(option, "=");
    int isolation = 0;

    if (!equals)
        return error_set_class(err, ERROR_INVALID, "invalid exec-opt \"%s\": it must be KEY=VALUE",
                               option);
    if (length == strlen("vm.engine") && strncasecmp(option, "vm.engine", length) == 0) {
        if (config->vm_engine_text)
            return error_set_class(err, ERROR_INVALID,
                                   "the engine of utility VMs is given twice: with --vm-engine and "
                                   "with --exec-opt");
        return resolve_vm_engine(equals + 1, "exec-opt vm.engine", &config->vm_engine, err);
    }
    if (length != strlen("isolation") || strncasecmp(option, "isolation", length) != 0)
        return error_set_class(err, ERROR_INVALID, "unrecognised exec-opt '%.*s'", (int)length,
                               option);
    if (string_equal(equals + 1, "default"))
        return 0;
    isolation = compute_isolation_from_string(equals + 1);
    if (isolation < 0)
        return error_set_class(err, ERROR_INVALID,
                               "error setting default isolation mode: invalid exec-opt value for "
                               "'isolation':'%s'",
                               equals + 1);
    config->isolation = (enum compute_isolation)isolation;
    return 0;
}

/* Ids of people and services are below; 0 would be root. A VM takes VM_JAIL_IDS, and the probe's
 * and templates' take as many each after the last. */
static int resolve_uid_range(struct daemon_config *config, struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    uint64_t first = 0;
    uint64_t count = 0;

    if (strv_split(config->vm_uid_range, ':', &parts) < 0)
        return error_oom(err);
    if (strv_length(parts) != 2 || string_to_u64(parts[0], &first) < 0 ||
        string_to_u64(parts[1], &count) < 0 || first == 0 || count == 0 || first >= INT32_MAX ||
        count + 1 >= (INT32_MAX - first) / VM_JAIL_IDS)
        return error_set_class(err, ERROR_INVALID,
                               "invalid value for --vm-uid-range: \"%s\" (it must be FIRST:COUNT)",
                               config->vm_uid_range);
    config->vm_uid_first = (uid_t)first;
    config->vm_uid_count = (unsigned)count;
    return 0;
}

static int resolve_overcommit(struct daemon_config *config, struct error *err)
{
    const char *text = config->vm_overcommit_text;
    CLEANUP_FREE char *thousands = string_format("%sk", text); /* units of 1/1024 */

    if (!thousands)
        return error_oom(err);
    if (text[strspn(text, "0123456789.")] ||
        string_to_size(thousands, &config->vm_overcommit) < 0 ||
        config->vm_overcommit > VM_OVERCOMMIT_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "invalid value for --vm-memory-overcommit: \"%s\" (it must be a "
                               "number from 0 to 1000)",
                               text);
    return 0;
}

static int resolve_logging(struct daemon_config *config, struct error *err)
{
    int level = log_level_from_string(config->log_level_text);

    if (level < 0)
        return error_set_class(err, ERROR_INVALID, "invalid logging level: %s",
                               config->log_level_text);
    config->log_level = config->debug ? LOG_LEVEL_DEBUG : (enum log_level)level;
    if (!string_equal(config->log_driver, "json-file") && !string_equal(config->log_driver, "none"))
        return error_set_class(err, ERROR_INVALID, "logger: no log driver named '%s' is registered",
                               config->log_driver);
    return 0;
}

static int set_defaults(struct daemon_config *config, struct error *err)
{
    int r = set_default(&config->root, DAEMON_ROOT, err);

    if (r == 0)
        r = set_default(&config->state, DAEMON_STATE, err);
    if (r == 0)
        r = set_default(&config->bridge, "hull0", err);
    if (r == 0)
        r = set_default(&config->log_driver, "json-file", err);
    if (r == 0)
        r = set_default(&config->log_level_text, "info", err);
    if (r == 0)
        r = set_default(&config->vm_uid_range, DAEMON_UID_RANGE, err);
    if (r == 0)
        r = set_default(&config->vm_overcommit_text, DAEMON_VM_OVERCOMMIT, err);
    if (r == 0)
        r = set_default(&config->storage_driver, "overlay2", err);
    if (r == 0)
        r = set_default(&config->vm_pool_text, "1", err);
    return r;
}

static int resolve_vm_pool(struct daemon_config *config, struct error *err)
{
    int count = 0;

    if (string_to_int(config->vm_pool_text, 0, ENGINE_POOL_MAX, &count) < 0)
        return error_set_class(err, ERROR_INVALID,
                               "invalid value for --vm-pool: \"%s\" (it must be a number from 0 "
                               "to %d)",
                               config->vm_pool_text, ENGINE_POOL_MAX);
    config->vm_pool = (unsigned)count;
    return 0;
}

int daemon_config_resolve(struct daemon_config *config, struct error *err)
{
    int r = set_defaults(config, err);

    config->isolation = COMPUTE_PROCESS;
    config->vm_engine = ENGINE_VM_AUTO;
    if (r == 0 && config->vm_engine_text)
        r = resolve_vm_engine(config->vm_engine_text, "--vm-engine", &config->vm_engine, err);
    for (size_t i = 0; r == 0 && i < strv_length(config->exec_opts); i++)
        r = resolve_exec_opt(config, config->exec_opts[i], err);
    if (r == 0)
        r = resolve_uid_range(config, err);
    if (r == 0)
        r = resolve_overcommit(config, err);
    if (r == 0)
        r = resolve_vm_pool(config, err);
    if (r == 0)
        r = resolve_logging(config, err);
    if (r < 0)
        return r;
    if (config->root[0] != '/' || config->state[0] != '/')
        return error_set_class(err, ERROR_INVALID, "--root and --state must be absolute paths");
    if (!string_equal(config->storage_driver, "overlay2"))
        return error_set_class(err, ERROR_INVALID, "storage driver \"%s\" is not supported",
                               config->storage_driver);
    return 0;
}

void daemon_config_engine(const struct daemon_config *config, struct engine_config *ret)
{
    *ret = (struct engine_config){
        .root = config->root,
        .state = config->state,
        .worker_program = config->worker,
        .init_program = config->init,
        .vm_files = {.uml_kernel = config->uml_kernel,
                     .x86_kernel = config->x86_kernel,
                     .qemu = config->qemu,
                     .virtiofsd = config->virtiofsd},
        .vm_modules = config->vm_modules,
        .isolation = config->isolation,
        .vm_engine = config->vm_engine,
        .bridge = config->bridge,
        .bip = config->bip,
        .closed = !config->icc,
        .insecure_registries = config->insecure_registries,
        .registry_mirrors = config->registry_mirrors,
        .vm_uid_first = config->vm_uid_first,
        .vm_uid_count = config->vm_uid_count,
        .memory_overcommit = config->vm_overcommit,
        .vm_pool = config->vm_pool,
        .log_opts = config->log_opts,
        .log_driver = config->log_driver,
    };
}

void daemon_config_help(FILE *out)
{
    fputs("Usage: hulld [OPTIONS]\n\nThe hull container engine.\n\nOptions:\n", out);
    for (size_t i = 0; i < daemon_options_count; i++) {
        const struct daemon_option *option = &daemon_options[i];
        char letter[] = {'-', option->letter, ',', '\0'};
        int width = fprintf(out, "  %3s --%s %s", option->letter ? letter : "", option->flag,
                            string_or(option->argument, ""));

        fprintf(out, "%*s%s\n", width < 36 ? 36 - width : 2, "", option->help);
    }
}
