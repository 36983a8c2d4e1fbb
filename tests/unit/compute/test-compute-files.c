/* What engine and worker leave each other in files: job, exit record, log. And detach keys. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "compute/detach.h"
#include "compute/exit_record.h"
#include "compute/job.h"
#include "compute/log_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/hull-test-compute-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return path_remove_tree(AT_FDCWD, directory, NULL);
}

static void read_text(const char *path, struct buffer *text)
{
    buffer_clear(text);
    assert_int_equal(file_read(AT_FDCWD, path, text, NULL), 0);
}

/* --- job --- */

static struct compute_job *sample_job(enum compute_isolation isolation)
{
    struct compute_job *job = compute_job_new();

    assert_non_null(job);
    job->id = strdup("0123456789abcdef");
    job->name = strdup("happy_hopper");
    job->owner = strdup("hulld");
    job->isolation = isolation;
    job->directory = strdup("/var/lib/hull/containers/x");
    job->runtime_dir = strdup("/run/hull/containers/x");
    job->terminal = true;
    job->open_stdin = true;
    job->log = (struct compute_log){.driver = COMPUTE_LOG_JSON_FILE,
                                    .path = strdup("/x.log"),
                                    .max_size = 1ULL << 33,
                                    .max_file = 3};
    assert_int_equal(strv_append(&job->lower, "/layers/b"), 0);
    assert_int_equal(strv_append(&job->lower, "/layers/a"), 0);
    job->target = strdup("/t");
    job->scratch = strdup("/s");
    job->engine = VM_ENGINE_UML;
    job->memory = 512ULL << 20;
    job->cpus = 1.5;
    job->uid = 700001;
    job->uml_kernel = strdup("/lib/hull/linux");
    assert_int_equal(compute_job_add_share(job, "/data", "/a", true, true, NULL), 0);
    assert_int_equal(compute_job_add_share(job, "/run/x.sock", "/b", false, false, NULL), 0);
    return job;
}

static void test_job_round_trip(void **state)
{
    CLEANUP_FREE char *path = path_join(directory, "worker.json");
    struct compute_job *job = sample_job(COMPUTE_HYPERV);
    struct compute_job *back = NULL;
    struct stat status;

    (void)state;
    assert_int_equal(compute_job_write(job, path, NULL), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(compute_job_read(path, &back, NULL), 0);
    assert_string_equal(back->id, job->id);
    assert_string_equal(back->name, "happy_hopper");
    assert_string_equal(back->uml_kernel, "/lib/hull/linux");
    assert_null(back->upper);
    assert_int_equal(back->isolation, COMPUTE_HYPERV);
    assert_true(back->terminal);
    assert_true(back->open_stdin);
    assert_false(back->stdin_once);
    assert_int_equal(back->log.driver, COMPUTE_LOG_JSON_FILE);
    assert_true(back->log.max_size == 1ULL << 33);
    assert_int_equal(back->log.max_file, 3);
    assert_int_equal(strv_length(back->lower), 2);
    assert_string_equal(back->lower[1], "/layers/a");
    assert_int_equal(back->engine, VM_ENGINE_UML);
    assert_true(back->memory == 512ULL << 20);
    assert_true(back->cpus > 1.49 && back->cpus < 1.51);
    assert_int_equal(back->uid, 700001);
    assert_int_equal(back->n_shares, 2);
    assert_string_equal(back->shares[0].source, "/data");
    assert_string_equal(back->shares[0].target, "/a");
    assert_true(back->shares[0].read_only);
    assert_true(back->shares[0].recursive);
    assert_string_equal(back->shares[1].source, "/run/x.sock");
    assert_false(back->shares[1].read_only);
    compute_job_free(job);
    compute_job_free(back);
}

static void test_job_is_checked(void **state)
{
    static const struct {
        const char *text;
        const char *part;
    } cases[] = {
        {"[]", "not an object"},
        {"{\"id\":\"x\",\"directory\":\"/d\",\"runtime_dir\":\"/r\",\"target\":\"/t\"}",
         "isolation"},
        {"{\"id\":\"x\",\"directory\":\"/d\",\"runtime_dir\":\"/r\",\"target\":\"/t\","
         "\"isolation\":\"weaker\"}",
         "unknown isolation 'weaker'"},
        {"{\"id\":\"x\",\"directory\":\"/d\",\"runtime_dir\":\"/r\",\"isolation\":\"process\"}",
         "'target' is missing"},
        {"{\"id\":\"x\",\"directory\":\"/d\",\"runtime_dir\":\"/r\",\"isolation\":\"hyperv\"}",
         "'scratch' is missing"},
        {"{\"id\":\"x\",\"directory\":\"/d\",\"runtime_dir\":\"/r\",\"isolation\":\"hyperv\","
         "\"scratch\":\"/s\",\"uid\":0}",
         "'uid' is missing"},
        {"{\"id\":\"x\",\"isolation\":\"hyperv\",\"shares\":[{\"target\":\"/a\"}]}",
         "share 0: 'source' is missing"},
        {"{\"id\":\"x\",\"isolation\":\"hyperv\","
         "\"shares\":[{\"source\":\"x\",\"target\":\"/a\"}]}",
         "share 0: a share's paths are not absolute"},
        {"{\"id\":5}", "id"},
        {"{\"id\":\"x\",\"isolation\":\"process\",\"log\":{\"driver\":\"syslog\"}}",
         "unknown log driver 'syslog'"},
    };
    CLEANUP_FREE char *path = path_join(directory, "bad.json");

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct compute_job *job = NULL;
        struct error error = ERROR_INIT;

        assert_int_equal(
            file_write_atomic(AT_FDCWD, path, cases[i].text, strlen(cases[i].text), 0600, NULL), 0);
        assert_int_equal(compute_job_read(path, &job, &error), -EINVAL);
        assert_null(job);
        assert_non_null(strstr(error.message, cases[i].part));
    }
}

static void test_isolation_names(void **state)
{
    (void)state;
    assert_int_equal(compute_isolation_from_string("Process"), COMPUTE_PROCESS);
    assert_int_equal(compute_isolation_from_string("HYPERV"), COMPUTE_HYPERV);
    assert_int_equal(compute_isolation_from_string("vm"), COMPUTE_HYPERV);
    assert_int_equal(compute_isolation_from_string("default"), -EINVAL);
    assert_int_equal(compute_isolation_from_string(""), -EINVAL);
}

static void test_exit_record(void **state)
{
    struct exit_record record = {.code = 137,
                                 .oom_killed = true,
                                 .started = 1700000000123456789,
                                 .finished = 1700000001000000000};
    struct exit_record back;

    (void)state;
    (void)string_copy(record.reason, sizeof(record.reason), "utility VM ended: killed by signal 9");
    assert_int_equal(exit_record_read(directory, &back, NULL), -ENOENT);
    assert_int_equal(exit_record_write(directory, &record, NULL), 0);
    assert_int_equal(exit_record_read(directory, &back, NULL), 0);
    assert_int_equal(back.code, 137);
    assert_true(back.oom_killed);
    assert_true(back.started == record.started && back.finished == record.finished);
    assert_string_equal(back.reason, record.reason);
    /* A guest's words may be anything. */
    (void)string_copy(record.reason, sizeof(record.reason), "\xff\xfe");
    assert_int_equal(exit_record_write(directory, &record, NULL), 0);
    assert_int_equal(exit_record_read(directory, &back, NULL), 0);
    assert_string_equal(back.reason, "\xef\xbf\xbd\xef\xbf\xbd");
    assert_int_equal(exit_record_remove(directory), 0);
    assert_int_equal(exit_record_remove(directory), 0);
    assert_int_equal(exit_record_read(directory, &back, NULL), -ENOENT);
}

/* --- log --- */

static void test_log_entry(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(65536);
    static const char text[] =
        "a\"\\\t<>&\x01\xe2\x80\xa8\xc3\xa9\xff\xc0\xaf\xed\xa0\x80\xf0\x9f\x98\x80";

    (void)state;
    assert_int_equal(
        log_file_format(&out, text, sizeof(text) - 1, true, LOG_STDERR, 1700000000123456789), 0);
    assert_string_equal(buffer_string(&out),
                        "{\"log\":\"a\\\"\\\\\\u0009\\u003c\\u003e\\u0026\\u0001\\u2028\xc3\xa9"
                        "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\xf0\x9f\x98\x80\\n\","
                        "\"stream\":\"stderr\",\"time\":\"2023-11-14T22:13:20.123456789Z\"}\n");
    CLEANUP_JSON json_t *json = NULL;
    assert_int_equal(json_parse(buffer_string(&out), out.length, &json, NULL), 0);
}

/* The texts of a log, joined; checks that every line is JSON. */
static void log_texts(const char *path, struct buffer *joined, size_t *entries)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(64 * 1024 * 1024);
    CLEANUP_STRV char **lines = NULL;

    read_text(path, &text);
    assert_int_equal(strv_split(buffer_string(&text), '\n', &lines), 0);
    *entries = 0;
    for (size_t i = 0; lines[i]; i++) {
        CLEANUP_JSON json_t *json = NULL;

        if (!*lines[i])
            continue;
        assert_int_equal(json_parse(lines[i], strlen(lines[i]), &json, NULL), 0);
        assert_int_equal(
            buffer_append_string(joined, json_string_value(json_object_get(json, "log"))), 0);
        (*entries)++;
    }
}

static void test_log_lines(void **state)
{
    CLEANUP(buffer_release) struct buffer joined = BUFFER_INIT(1024 * 1024);
    CLEANUP_FREE char *path = path_join(directory, "lines.log");
    CLEANUP_FREE char *big = malloc(40001);
    struct log_file log;
    size_t entries;

    (void)state;
    const struct compute_log options = {
        .driver = COMPUTE_LOG_JSON_FILE, .path = path, .max_file = 1};
    assert_int_equal(log_file_open(&log, &options, NULL), 0);
    log_file_write(&log, LOG_STDOUT, "one\ntw", 6);
    log_file_write(&log, LOG_STDOUT, "o\n\n", 3);
    /* 40000 bytes without a newline: 16 KiB, 16 KiB, and the rest with it. */
    memset(big, 'x', 40000);
    big[40000] = '\n';
    for (size_t i = 0; i < 40001; i += 777)
        log_file_write(&log, LOG_STDOUT, big + i, 40001 - i < 777 ? 40001 - i : 777);
    log_file_write(&log, LOG_STDOUT, "end", 3);
    log_file_close(&log);
    log_texts(path, &joined, &entries);
    assert_int_equal(entries, 3 + 3 + 1);
    assert_int_equal(joined.length, 4 + 4 + 1 + 40001 + 3);
    assert_memory_equal(joined.data, "one\ntwo\n\nxxx", 12);
    assert_string_equal(joined.data + joined.length - 5, "x\nend");
}

static void test_log_rotation(void **state)
{
    CLEANUP_FREE char *path = path_join(directory, "rotated.log");
    struct log_file log;
    char line[64];

    (void)state;
    const struct compute_log options = {
        .driver = COMPUTE_LOG_JSON_FILE, .path = path, .max_size = 1000, .max_file = 3};
    assert_int_equal(log_file_open(&log, &options, NULL), 0);
    for (int i = 0; i < 100; i++) {
        int n = snprintf(line, sizeof(line), "line %d\n", i);

        log_file_write(&log, LOG_STDOUT, line, (size_t)n);
    }
    log_file_close(&log);
    static const char *const suffixes[] = {"", ".1", ".2"};
    for (size_t i = 0; i < 3; i++) {
        CLEANUP(buffer_release) struct buffer joined = BUFFER_INIT(1024 * 1024);
        CLEANUP_FREE char *name = string_format("%s%s", path, suffixes[i]);
        struct stat status;
        size_t entries;

        assert_int_equal(stat(name, &status), 0);
        assert_true(status.st_size < 1000 + 200);
        log_texts(name, &joined, &entries);
        assert_true(entries > 0);
        if (i == 0)
            assert_non_null(strstr(buffer_string(&joined), "line 99\n"));
    }
    CLEANUP_FREE char *fourth = string_format("%s.3", path);
    assert_int_equal(access(fourth, F_OK), -1);
}

static void test_log_full_disk(void **state)
{
    const struct compute_log options = {
        .driver = COMPUTE_LOG_JSON_FILE, .path = (char *)(uintptr_t) "/dev/full", .max_file = 1};
    struct log_file log;
    int code = 0;

    (void)state;
    assert_int_equal(log_file_open(&log, &options, NULL), 0);
    assert_false(log_file_take_warning(&log, &code));
    for (int i = 0; i < 10; i++)
        log_file_write(&log, LOG_STDOUT, "lost\n", 5);
    assert_true(log_file_take_warning(&log, &code));
    assert_int_equal(code, -ENOSPC);
    assert_false(log_file_take_warning(&log, &code));
    log_file_close(&log);
}

static void test_log_none(void **state)
{
    const struct compute_log options = {.driver = COMPUTE_LOG_NONE, .max_file = 1};
    struct log_file log;

    (void)state;
    assert_int_equal(log_file_open(&log, &options, NULL), 0);
    log_file_write(&log, LOG_STDOUT, "x\n", 2);
    log_file_close(&log);
}

/* --- detach keys --- */

static void test_detach_syntax(void **state)
{
    struct detach_keys keys;
    struct error error = ERROR_INIT;

    (void)state;
    assert_int_equal(detach_keys_parse(NULL, &keys, NULL), 0);
    assert_int_equal(keys.n_keys, 2);
    assert_int_equal(keys.keys[0], 16);
    assert_int_equal(keys.keys[1], 17);
    assert_int_equal(
        detach_keys_parse("a,ctrl-@,ctrl-z,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", &keys, NULL), 0);
    assert_memory_equal(keys.keys, "a\0\x1a\x1b\x1c\x1d\x1e\x1f", 8);
    static const char *const wrong[] = {"ctrl-", "ctrl-A", "ctrl-1", "shift-a", "aa", ",", "a,"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(detach_keys_parse(wrong[i], &keys, &error), -EINVAL);
        assert_int_equal(error.class, ERROR_INVALID);
    }
}

static void test_detach_filter(void **state)
{
    struct detach_keys keys;
    uint8_t out[64];
    size_t n = 0;

    (void)state;
    assert_int_equal(detach_keys_parse("ctrl-p,ctrl-q", &keys, NULL), 0);
    assert_false(detach_keys_filter(&keys, "ab\x10", 3, out, &n));
    assert_int_equal(n, 2);
    /* ctrl-p ctrl-p ctrl-q: the first is input, the others detach. */
    assert_true(detach_keys_filter(&keys, "\x10\x11rest", 6, out, &n));
    assert_int_equal(n, 1);
    assert_int_equal(out[0], 0x10);
    assert_false(detach_keys_filter(&keys, "\x10x", 2, out, &n));
    assert_int_equal(n, 2);
    assert_memory_equal(out, "\x10x", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_round_trip),  cmocka_unit_test(test_job_is_checked),
        cmocka_unit_test(test_isolation_names), cmocka_unit_test(test_exit_record),
        cmocka_unit_test(test_log_entry),       cmocka_unit_test(test_log_lines),
        cmocka_unit_test(test_log_rotation),    cmocka_unit_test(test_log_full_disk),
        cmocka_unit_test(test_log_none),        cmocka_unit_test(test_detach_syntax),
        cmocka_unit_test(test_detach_filter),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
