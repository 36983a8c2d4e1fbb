#include "vm/probe-cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "vm/engine.h"
#include "vm/probe.h"

/* Raise when the meaning of a verdict changes. */
enum { CACHE_VERSION = 1, CACHE_MAX = 64 * 1024, KEY_MAX = 16 * 1024 };

/* --- key --- */

static int append_identity(struct buffer *key, const char *root, const char *path)
{
    CLEANUP_FREE char *full = path ? string_format("%s%s", root, path) : NULL;
    struct stat st;

    if (!path)
        return 0;
    if (!full)
        return -ENOMEM;
    if (stat(full, &st) < 0)
        return buffer_printf(key, "%s absent\n", path);
    return buffer_printf(key, "%s %ju:%ju %jo %ju:%ju %jd %jd.%09ld\n", path, (uintmax_t)st.st_dev,
                         (uintmax_t)st.st_ino, (uintmax_t)st.st_mode, (uintmax_t)st.st_gid,
                         (uintmax_t)st.st_rdev, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
                         st.st_mtim.tv_nsec);
}

static int append_device(struct buffer *key, const char *root, const char *path)
{
    CLEANUP_FREE char *full = string_format("%s%s", root, path);
    struct stat st;

    if (!full)
        return -ENOMEM;
    if (stat(full, &st) < 0)
        return buffer_printf(key, "%s absent\n", path);
    return buffer_printf(key, "%s %ju %jo %ju\n", path, (uintmax_t)st.st_rdev,
                         (uintmax_t)st.st_mode, (uintmax_t)st.st_gid);
}

char *vm_probe_key(const struct vm_probe_config *config, const struct vm_engine_ops *ops)
{
    CLEANUP(buffer_release) struct buffer key = BUFFER_INIT(KEY_MAX);
    const char *root = string_or(config->host_root, "");
    struct utsname uname_text;
    int r;

    uname(&uname_text);
    r = buffer_printf(&key, "%s %s\n", uname_text.release, uname_text.machine);
    if (r == 0)
        (void)file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &key, NULL);
    if (r == 0)
        r = append_identity(&key, "", ops->program(&config->files));
    if (r == 0)
        r = append_identity(&key, "", ops->kernel(&config->files));
    if (r == 0)
        r = append_identity(&key, "", ops->initramfs(&config->files));
    if (r == 0 && ops->device)
        r = append_device(&key, root, ops->device);
    if (r == 0 && ops->device)
        r = append_device(&key, root, "/sys/module/kvm_pvm");
    return r == 0 ? buffer_take(&key) : NULL;
}

/* --- file --- */

/* New reference to the "engines" object; an empty one if the file has none that we understand. */
static json_t *read_engines(const char *path)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CACHE_MAX);
    CLEANUP_JSON json_t *document = NULL;
    json_t *engines = NULL;
    int version = 0;

    if (file_read(AT_FDCWD, path, &text, NULL) < 0 ||
        json_parse(buffer_string(&text), text.length, &document, NULL) < 0 ||
        !json_is_object(document) ||
        json_get_int(document, "version", CACHE_VERSION, CACHE_VERSION, &version, NULL) != 1 ||
        json_get_object(document, "engines", &engines, NULL) != 1)
        return json_object();
    return json_incref(engines);
}

bool vm_probe_cache_find(const char *path, const char *engine, const char *key,
                         struct vm_verdict *ret)
{
    CLEANUP_JSON json_t *engines = read_engines(path);
    json_t *entry = json_object_get(engines, engine);
    const char *known = json_string_value(json_object_get(entry, "key"));
    const char *reason = NULL;
    bool works = false;
    int boot_ms = 0;

    if (!known || !string_equal(known, key) || json_get_bool(entry, "works", &works, NULL) != 1 ||
        json_get_int(entry, "boot_ms", 0, INT_MAX, &boot_ms, NULL) != 1 ||
        json_get_string(entry, "reason", &reason, NULL) != 1 || string_is_empty(reason))
        return false;
    ret->works = works;
    ret->boot_ms = boot_ms;
    (void)string_copy(ret->reason, sizeof(ret->reason), reason);
    return true;
}

int vm_probe_cache_store(const char *path, const char *engine, const char *key,
                         const struct vm_verdict *verdict, struct error *err)
{
    CLEANUP_JSON json_t *engines = read_engines(path);
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_FREE char *text = NULL;
    json_t *entry = json_pack("{s:s, s:b, s:i, s:s}", "key", key, "works", verdict->works,
                              "boot_ms", verdict->boot_ms, "reason", verdict->reason);

    if (!entry || json_object_set_new(engines, engine, entry) < 0)
        return error_oom(err);
    document = json_pack("{s:i, s:O}", "version", CACHE_VERSION, "engines", engines);
    text = document ? json_format_pretty(document) : NULL;
    if (!text)
        return error_oom(err);
    return file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, err);
}
