#include "compute/job.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "compute/job_shares.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    JOB_SIZE_MAX = 1024 * 1024,
    JOB_LAYERS_MAX = 128,
    JOB_ID_MAX = 64,
    JOB_LOG_FILES_MAX = 1000,
};

static const char *const isolation_names[] = {
    [COMPUTE_PROCESS] = "process",
    [COMPUTE_HYPERV] = "hyperv",
};
_Static_assert(sizeof(isolation_names) / sizeof(isolation_names[0]) == COMPUTE_ISOLATION_MAX,
               "an isolation lacks a name");

static const char *const log_names[] = {
    [COMPUTE_LOG_NONE] = "none",
    [COMPUTE_LOG_JSON_FILE] = "json-file",
};

const char *compute_isolation_to_string(enum compute_isolation isolation)
{
    return isolation < COMPUTE_ISOLATION_MAX ? isolation_names[isolation] : NULL;
}

int compute_isolation_from_string(const char *text)
{
    if (string_equal_nocase(text, "vm"))
        return COMPUTE_HYPERV;
    for (int i = 0; i < COMPUTE_ISOLATION_MAX; i++) {
        if (string_equal_nocase(text, isolation_names[i]))
            return i;
    }
    return -EINVAL;
}

static const char *const convert_names[] = {
    [COMPUTE_CONVERT_NONE] = "",
    [COMPUTE_CONVERT_OUT] = "out",
    [COMPUTE_CONVERT_IN] = "in",
};
enum { CONVERT_NAMES = sizeof(convert_names) / sizeof(convert_names[0]) };

/* One table for both directions: members that are text. */
#define JOB_TEXT(member)                              \
    {                                                 \
#member, offsetof(struct compute_job, member) \
    }
static const struct {
    const char *name;
    size_t offset;
} text_members[] = {
    JOB_TEXT(id),
    JOB_TEXT(name),
    JOB_TEXT(owner),
    JOB_TEXT(directory),
    JOB_TEXT(upper),
    JOB_TEXT(work),
    JOB_TEXT(target),
    JOB_TEXT(scratch),
    JOB_TEXT(nic_link),
    JOB_TEXT(nic_mac),
    JOB_TEXT(users_dir),
    JOB_TEXT(vmm_cgroup),
    JOB_TEXT(qemu),
    JOB_TEXT(virtiofsd),
    JOB_TEXT(uml_kernel),
    JOB_TEXT(x86_kernel),
    JOB_TEXT(initramfs),
    JOB_TEXT(x86_initramfs),
    JOB_TEXT(runtime_dir),
    JOB_TEXT(ring),
    JOB_TEXT(template_memory),
    JOB_TEXT(template_state),
};

static char **text_member(struct compute_job *job, size_t i)
{
    return (char **)(void *)((char *)job + text_members[i].offset);
}

enum { TEXT_MEMBERS = sizeof(text_members) / sizeof(text_members[0]) };

struct compute_job *compute_job_new(void)
{
    struct compute_job *job = calloc(1, sizeof(*job));

    if (job)
        job->log.max_file = 1;
    return job;
}

struct compute_job *compute_job_free(struct compute_job *job)
{
    if (!job)
        return NULL;
    for (size_t i = 0; i < TEXT_MEMBERS; i++)
        free(*text_member(job, i));
    free(job->log.path);
    free(job->interfaces);
    strv_free(job->lower);
    job_shares_free(job);
    free(job);
    return NULL;
}

static void job_cleanup(struct compute_job **job)
{
    *job = compute_job_free(*job);
}

/* --- reading --- */

static int read_log(const json_t *json, struct compute_log *log, struct error *err)
{
    json_t *object = NULL;
    const char *driver = "none";
    const char *path = NULL;
    int64_t size = 0;
    int r;

    if ((r = json_get_object(json, "log", &object, err)) <= 0)
        return r;
    if ((r = json_get_string(object, "driver", &driver, err)) < 0 ||
        (r = json_get_string(object, "path", &path, err)) < 0 ||
        (r = json_get_i64(object, "max_size", &size, err)) < 0 ||
        (r = json_get_int(object, "max_file", 1, JOB_LOG_FILES_MAX, &log->max_file, err)) < 0)
        return r;
    if (size < 0)
        return error_set_class(err, ERROR_INVALID, "'log.max_size' is negative");
    log->max_size = (uint64_t)size;
    if (string_equal(driver, log_names[COMPUTE_LOG_JSON_FILE]))
        log->driver = COMPUTE_LOG_JSON_FILE;
    else if (!string_equal(driver, log_names[COMPUTE_LOG_NONE]))
        return error_set_class(err, ERROR_INVALID, "unknown log driver '%s'", driver);
    if (log->driver == COMPUTE_LOG_JSON_FILE && string_is_empty(path))
        return error_set_class(err, ERROR_INVALID, "'log.path' is missing");
    return string_replace(&log->path, path) < 0 ? error_oom(err) : 0;
}

static int read_vm(const json_t *json, struct compute_job *job, struct error *err)
{
    const char *engine = NULL;
    int64_t memory = 0;
    int64_t uid = 0;
    int64_t inode = 0;
    int r;

    if ((r = json_get_string(json, "engine", &engine, err)) < 0 ||
        (r = json_get_i64(json, "memory", &memory, err)) < 0 ||
        (r = json_get_i64(json, "uid", &uid, err)) < 0 ||
        (r = json_get_i64(json, "template_inode", &inode, err)) < 0)
        return r;
    if (engine) {
        r = vm_engine_from_string(engine);
        if (r < 0)
            return error_set_class(err, ERROR_INVALID, "unknown VM engine '%s'", engine);
        job->engine = (enum vm_engine)r;
    }
    const json_t *cpus = json_object_get(json, "cpus");
    if (cpus && !json_is_number(cpus))
        return error_set_class(err, ERROR_INVALID, "'cpus' must be a number");
    job->cpus = json_number_value(cpus);
    if (memory < 0 || uid < 0 || uid > INT32_MAX || job->cpus < 0)
        return error_set_class(err, ERROR_INVALID, "'memory', 'uid' or 'cpus' is out of range");
    job->memory = (uint64_t)memory;
    job->uid = (uid_t)uid;
    job->template_inode = (uint64_t)inode;
    return 0;
}

static int read_convert(const json_t *json, struct compute_job *job, struct error *err)
{
    const char *text = "";
    int64_t max = 0;
    int r;

    if ((r = json_get_string(json, "convert", &text, err)) < 0 ||
        (r = json_get_i64(json, "convert_max", &max, err)) < 0 ||
        (r = json_get_bool(json, "convert_mount", &job->convert_mount, err)) < 0)
        return r;
    for (int i = 0; i < CONVERT_NAMES; i++) {
        if (string_equal(text, convert_names[i])) {
            job->convert = (enum compute_convert)i;
            job->convert_max = max > 0 ? (uint64_t)max : 0;
            return 0;
        }
    }
    return error_set_class(err, ERROR_INVALID, "unknown conversion '%s'", text);
}

static int read_members(const json_t *json, struct compute_job *job, struct error *err)
{
    const char *isolation = NULL;
    int r;

    for (size_t i = 0; i < TEXT_MEMBERS; i++) {
        const char *text = NULL;

        if ((r = json_get_string(json, text_members[i].name, &text, err)) < 0)
            return r;
        if (string_replace(text_member(job, i), text) < 0)
            return error_oom(err);
    }
    if ((r = json_need_string(json, "isolation", &isolation, err)) < 0)
        return r;
    /* Never a weaker one for a name that is not known. */
    r = compute_isolation_from_string(isolation);
    if (r < 0)
        return error_set_class(err, ERROR_INVALID, "unknown isolation '%s'", isolation);
    job->isolation = (enum compute_isolation)r;
    if ((r = json_get_bool(json, "files", &job->files, err)) < 0 ||
        (r = json_get_bool(json, "pool", &job->pool, err)) < 0 ||
        (r = json_get_bool(json, "discard", &job->discard, err)) < 0 ||
        (r = json_get_bool(json, "terminal", &job->terminal, err)) < 0 ||
        (r = json_get_bool(json, "open_stdin", &job->open_stdin, err)) < 0 ||
        (r = json_get_bool(json, "stdin_once", &job->stdin_once, err)) < 0 ||
        (r = read_convert(json, job, err)) < 0 || (r = read_log(json, &job->log, err)) < 0 ||
        (r = json_get_strv(json, "lower", JOB_LAYERS_MAX, &job->lower, err)) < 0 ||
        (r = sandbox_interfaces_from_json(json_object_get(json, "interfaces"), &job->interfaces,
                                          &job->n_interfaces, err)) < 0 ||
        (r = job_shares_read(json, job, err)) < 0)
        return r;
    return read_vm(json, job, err);
}

static int check(const struct compute_job *job, struct error *err)
{
    const char *missing = NULL;

    if (string_is_empty(job->id) || strlen(job->id) > JOB_ID_MAX)
        missing = "id";
    else if (string_is_empty(job->directory))
        missing = "directory";
    else if (string_is_empty(job->runtime_dir))
        missing = "runtime_dir";
    else if (job->isolation == COMPUTE_PROCESS && string_is_empty(job->target))
        missing = "target";
    else if (job->isolation == COMPUTE_HYPERV && !job->pool && string_is_empty(job->scratch))
        missing = "scratch";
    else if (job->isolation == COMPUTE_HYPERV && job->uid == 0)
        missing = "uid";
    else if (job->convert && string_is_empty(job->ring))
        missing = "ring";
    else if (job->convert && string_is_empty(job->upper))
        missing = "upper";
    if (!missing && job->convert && (job->isolation != COMPUTE_HYPERV || !job->files))
        return error_set_class(err, ERROR_INVALID, "'convert' is for the files of a utility VM");
    if (job->convert_mount && job->convert != COMPUTE_CONVERT_IN)
        return error_set_class(err, ERROR_INVALID, "'convert_mount' is for the way into a disk");
    if (missing)
        return error_set_class(err, ERROR_INVALID, "'%s' is missing", missing);
    if (job->isolation == COMPUTE_HYPERV && strv_length(job->lower) + 1 > VM_DISKS_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "the image has %zu layers; a utility VM takes at most %d",
                               strv_length(job->lower), VM_DISKS_MAX - 1);
    return 0;
}

int compute_job_read(const char *path, struct compute_job **ret, struct error *err)
{
    CLEANUP(job_cleanup) struct compute_job *job = compute_job_new();
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(JOB_SIZE_MAX);
    CLEANUP_JSON json_t *json = NULL;
    int r;

    if (!job)
        return error_oom(err);
    if ((r = file_read(AT_FDCWD, path, &text, err)) < 0)
        return r;
    r = json_parse(buffer_string(&text), text.length, &json, err);
    if (r >= 0 && !json_is_object(json))
        r = error_set_class(err, ERROR_INVALID, "not an object");
    if (r < 0 || (r = read_members(json, job, err)) < 0 || (r = check(job, err)) < 0)
        return error_wrap(err, r, "%s", path);
    *ret = TAKE_PTR(job);
    return 0;
}

/* --- writing --- */

static int write_members(json_t *json, const struct compute_job *job)
{
    const char *engine = vm_engine_to_string(job->engine);
    json_t *log;
    int r = 0;

    for (size_t i = 0; i < TEXT_MEMBERS && r >= 0; i++)
        r = json_put_string(
            json, text_members[i].name,
            *(char *const *)(const void *)((const char *)job + text_members[i].offset));
    log = json_pack("{s:s,s:I,s:i}", "driver", log_names[job->log.driver], "max_size",
                    (json_int_t)job->log.max_size, "max_file", job->log.max_file);
    if (r < 0 || !log || json_put_string(log, "path", job->log.path) < 0) {
        json_decref(log);
        return -ENOMEM;
    }
    if (json_put(json, "log", log) < 0 ||
        json_put_string(json, "isolation", compute_isolation_to_string(job->isolation)) < 0 ||
        json_put_bool(json, "files", job->files) < 0 ||
        json_put_string(json, "convert", convert_names[job->convert]) < 0 ||
        json_put_i64(json, "convert_max", (int64_t)job->convert_max) < 0 ||
        json_put_bool(json, "convert_mount", job->convert_mount) < 0 ||
        json_put_bool(json, "pool", job->pool) < 0 ||
        json_put_bool(json, "discard", job->discard) < 0 ||
        json_put_bool(json, "terminal", job->terminal) < 0 ||
        json_put_bool(json, "open_stdin", job->open_stdin) < 0 ||
        json_put_bool(json, "stdin_once", job->stdin_once) < 0 ||
        json_put_strv(json, "lower", job->lower) < 0 ||
        json_put(json, "interfaces",
                 sandbox_interfaces_to_json(job->interfaces, job->n_interfaces)) < 0 ||
        json_put(json, "shares", job_shares_to_json(job)) < 0 ||
        json_put_string(json, "engine", engine) < 0 ||
        json_put_i64(json, "memory", (int64_t)job->memory) < 0 ||
        json_put(json, "cpus", json_real(job->cpus)) < 0 ||
        json_put_i64(json, "uid", (int64_t)job->uid) < 0 ||
        json_put_i64(json, "template_inode", (int64_t)job->template_inode) < 0)
        return -ENOMEM;
    return 0;
}

int compute_job_write(const struct compute_job *job, const char *path, struct error *err)
{
    CLEANUP_JSON json_t *json = json_object();
    int r = check(job, err);

    if (r < 0)
        return r;
    if (!json || write_members(json, job) < 0)
        return error_oom(err);
    CLEANUP_FREE char *text = json_format(json);
    if (!text)
        return error_oom(err);
    return file_replace(AT_FDCWD, path, text, strlen(text), 0600, err);
}
