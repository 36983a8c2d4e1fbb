/* A worker whose guest attacks: whatever that does, the worker lives on or ends the VM with a
 * reason, in bounded memory, and leaves nothing on the host.
 *
 * The guest is tests/hostile/guest.c in the place of a User-Mode Linux kernel, in the real jail,
 * and for some attacks (where HULL_TEST_UML_KERNEL names a kernel) pid 1 of a real guest. Each case
 * runs in a child of its own, which adopts the worker to see how it ends; those that wait for a
 * time limit run beside the others. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/client.h"
#include "compute/exit_record.h"
#include "compute/job.h"
#include "spec/defaults.h"
#include "spec/runtime.h"
#include "vm/initramfs.h"
#include "vm/scratch.h"
#include "vm/vm.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

enum {
    UID_FIRST = 0x50000000,
    UID_STEP = 65536,
    WORKER_MEMORY_MAX_KIB = 24 * 1024, /* a message of 4 MiB, parsed, and passed on */
    CONSOLE_SIZE_MAX = VM_CONSOLE_MAX,
    WORKER_LOG_MAX = 2 * 1024 * 1024,
    EXIT_WAIT_MS = 120 * 1000,
};

enum outcome {
    FAILS,  /* start is refused, with the text */
    DIES,   /* it starts, and is ended with the text as reason */
    LIVES,  /* it starts, goes on, and is killed by the test */
    EXITS,  /* it starts, and exits with code 7 */
    BREAKS, /* it converts, and ends with code 1 and the text */
};

struct attack_case {
    const char *name;
    enum outcome outcome;
    const char *text;
    const char *op;      /* a request that provokes the attack */
    const char *op_text; /* what it is refused with; NULL: it is answered */
    bool attached;       /* a client is attached that reads nothing */
    bool slow;           /* it waits for a time limit */
    bool real;           /* also with a real guest */
    bool converts;       /* the worker moves a layer out of the guest's disk */
};

static const struct attack_case cases[] = {
    {"silent_birth", FAILS, "did not answer in time", .slow = true},
    {"silent_create", FAILS, "did not answer in time", .slow = true},
    {"silent_start", FAILS, "did not answer in time", .slow = true},
    {"hello_huge_program", FAILS, "did not answer in time", .slow = true},
    {"silent_running", LIVES, "killed"},
    {"exit_silent", EXITS, "", .slow = true},
    {"close_birth", FAILS, "closed its link", .slow = true},
    {"close_create", FAILS, "closed its link", .slow = true},
    {"end_create", FAILS, "utility VM ended"},
    {"close_running", DIES, "closed its link", .slow = true},
    {"end_birth", FAILS, "utility VM ended"},
    {"end_running", DIES, "utility VM ended", .real = true},
    {"noise_birth", FAILS, "broke the protocol"},
    {"zeros_birth", FAILS, "broke the protocol"},
    {"noise", FAILS, "broke the protocol", .real = true},
    {"zeros", FAILS, "broke the protocol"},
    {"hello_no_json", FAILS, "not JSON"},
    {"hello_version", FAILS, "speaks version 99"},
    {"hello_version_text", FAILS, "not a hello"},
    {"hello_event", FAILS, "not a hello"},
    {"hello_array", FAILS, "not an object"},
    {"hello_stream", FAILS, "a stream before the handshake"},
    {"hello_twice", FAILS, "no answer and no event"},
    {"frame_type_0", DIES, "broke the protocol"},
    {"frame_type_9", DIES, "broke the protocol"},
    {"frame_flags", DIES, "broke the protocol"},
    {"frame_length", DIES, "broke the protocol"},
    {"control_on_channel", DIES, "broke the protocol"},
    {"data_on_0", DIES, "broke the protocol"},
    {"data_empty", DIES, "broke the protocol"},
    {"credit_short", DIES, "broke the protocol"},
    {"credit_0", DIES, "broke the protocol"},
    {"end_with_payload", DIES, "broke the protocol"},
    {"data_never_opened", DIES, "not open"},
    {"data_even", DIES, "not open"},
    {"data_highest", DIES, "not open"},
    {"data_against", DIES, "against its direction"},
    {"end_against", DIES, "against its direction"},
    {"credit_against", DIES, "against its direction"},
    {"credit_too_much", DIES, "bytes of credit"},
    {"credit_in_steps", DIES, "bytes of credit"},
    {"data_beyond_credit", DIES, "more data than was granted", .attached = true, .real = true},
    {"data_after_end", LIVES, "killed"},
    {"reset_all", LIVES, "killed"},
    {"credit_flood", LIVES, "killed"},
    {"deep", DIES, "not JSON"},
    {"deep_objects", DIES, "not JSON"},
    {"wide", DIES, "not JSON"},
    {"long_string", LIVES, "killed", .real = true},
    {"long_name", DIES, "no event"},
    {"keys", DIES, "not JSON"},
    {"too_long", DIES, "a message above"},
    {"pieces_for_ever", DIES, "a message above"},
    {"not_utf8", DIES, "not JSON"},
    {"nul", DIES, "not JSON"},
    {"number_overflow", DIES, "not JSON"},
    {"request_to_host", DIES, "not made"},
    {"answer_unasked", DIES, "not made"},
    {"answer_negative", DIES, "not made"},
    {"answer_text_id", DIES, "not made"},
    {"answer_twice", FAILS, "broke the protocol"},
    {"answer_ahead", FAILS, "not made"},
    {"answer_empty", FAILS, "without content"},
    {"answer_array", FAILS, "without content"},
    {"answer_both", FAILS, "both"},
    {"answer_error_wild", FAILS, "first"},
    {"answer_error_long", FAILS, "why why"},
    {"warnings_many", FAILS, "wrong warnings"},
    {"warnings_numbers", FAILS, "wrong warnings"},
    {"pid_0", FAILS, "without a pid"},
    {"pid_negative", FAILS, "without a pid"},
    {"pid_huge", FAILS, "without a pid"},
    {"pid_text", FAILS, "without a pid"},
    {"connect_unknown", DIES, "wrong 'connect'"},
    {"connect_wrong", DIES, "wrong 'connect'"},
    {"event_unknown", DIES, "unknown event"},
    {"started_flood", DIES, "unknown event"},
    {"log_flood", LIVES, "killed", .real = true},
    {"log_wrong", LIVES, "killed"},
    {"ended_flood", LIVES, "killed"},
    {"ended_unknown", LIVES, "killed"},
    {"exit_early", LIVES, "killed"},
    {"exit_unknown", DIES, "does not run"},
    {"exit_code_256", DIES, "wrong 'exit'"},
    {"exit_code_text", DIES, "wrong 'exit'"},
    {"exit_no_code", DIES, "wrong 'exit'"},
    {"exit_signal", DIES, "wrong 'exit'"},
    {"exit_twice", EXITS, ""},
    {"exit_flood", EXITS, ""},
    {"console_flood", LIVES, "killed", .real = true},
    {"exec_silent", LIVES, "killed", .op = "exec", .op_text = "does not answer", .slow = true},
    {"exec_exit_first", DIES, "does not run", .op = "exec", .op_text = ""},
    {"exec_refused_after_exit", LIVES, "killed", .op = "exec", .op_text = "no"},
    {"exec_data_beyond", DIES, "more data than was granted", .op = "exec", .op_text = ""},
    {"exec_pid_wild", LIVES, "killed", .op = "exec"},
    {"signal_silent", DIES, "SIGKILL", .op = "signal", .op_text = "", .slow = true},
    {"update_silent", LIVES, "killed", .op = "update", .op_text = "does not answer", .slow = true},
    {"processes_silent", LIVES, "killed", .op = "processes", .op_text = "does not answer",
     .slow = true},
    {"stop_reading", LIVES, "killed", .op = "processes", .op_text = "does not answer",
     .slow = true},
    {"processes_many", LIVES, "killed", .op = "processes"},
    {"processes_too_many", DIES, "not JSON", .op = "processes", .op_text = "not JSON"},
    {"processes_wild", LIVES, "killed", .op = "processes"},
    {"slot_negative", BREAKS, "wrong answer to 'layer-slot'", .converts = true},
    {"slot_huge", BREAKS, "wrong answer to 'layer-slot'", .converts = true},
    {"slot_text", BREAKS, "wrong answer to 'layer-slot'", .converts = true},
    {"slot_nothing", BREAKS, "wrong answer to 'layer-slot'", .converts = true},
    {"slot_end_with_more", BREAKS, "wrong answer to 'layer-slot'", .converts = true},
    {"slot_event", BREAKS, "an event of a container that does not run", .converts = true},
    {"slot_end_at_once", BREAKS, "", .converts = true},
    {"slot_close", BREAKS, "", .converts = true},
};
enum { N_CASES = sizeof(cases) / sizeof(cases[0]) };

struct run {
    const struct attack_case *attack;
    bool real;
    char directory[64];
    char runtime[80];
    uid_t uid;
    pid_t worker;
    struct compute_client *client;
    struct exit_record heard; /* code and reason of the exit event */
};

/* In a case's child: what is wrong goes to stderr, and the case fails. */
static void __attribute__((format(printf, 2, 3), noreturn))
wrong(const struct run *run, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)fprintf(stderr, "%s%s: %s\n", run->attack->name, run->real ? " (real guest)" : "", text);
    if (run->worker > 0)
        (void)kill(run->worker, SIGKILL);
    _exit(1);
}

#define EXPECT(condition, ...)       \
    do {                             \
        if (!(condition))            \
            wrong(run, __VA_ARGS__); \
    } while (0)

/* --- its job --- */

static void write_text(const struct run *run, const char *path, const char *text)
{
    struct error error = ERROR_INIT;

    EXPECT(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, &error) >= 0, "%s: %s", path,
           error.message);
}

static void fill_guest(const struct run *run, struct compute_job *job)
{
    struct error error = ERROR_INIT;

    job->isolation = COMPUTE_HYPERV;
    job->engine = VM_ENGINE_UML;
    job->memory = 64 << 20;
    job->uid = run->uid;
    job->scratch = path_join(run->directory, "scratch.ext4");
    job->initramfs = path_join(run->directory, "initramfs");
    write_text(run, job->scratch, "no file system");
    if (!run->real) {
        job->uml_kernel = strdup(getenv("HULL_TEST_HOSTILE_GUEST"));
        write_text(run, job->initramfs, run->attack->name);
        return;
    }
    job->uml_kernel = strdup(getenv("HULL_TEST_UML_KERNEL"));
    EXPECT(vm_initramfs_write(job->initramfs, getenv("HULL_TEST_HOSTILE_GUEST"), NULL, &error) >= 0,
           "%s", error.message);
}

static void prepare(struct run *run)
{
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = spec_runtime_new();
    struct compute_job *job = compute_job_new();
    struct error error = ERROR_INIT;

    (void)snprintf(run->directory, sizeof(run->directory), "/tmp/hull-test-hostile-XXXXXX");
    EXPECT(mkdtemp(run->directory), "mkdtemp");
    (void)snprintf(run->runtime, sizeof(run->runtime), "%s/run", run->directory);
    EXPECT(spec_defaults_apply(config, 0, true) == 0, "defaults");
    (void)strv_append(&config->process->args, run->attack->name);
    job->id = strdup("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    job->directory = strdup(run->directory);
    job->runtime_dir = strdup(run->runtime);
    job->target = path_join(run->directory, "rootfs");
    job->open_stdin = true;
    job->log.driver = COMPUTE_LOG_JSON_FILE;
    job->log.path = path_join(run->directory, "x-json.log");
    fill_guest(run, job);
    if (run->attack->converts) {
        job->files = true;
        job->convert = COMPUTE_CONVERT_OUT;
        job->convert_max = VM_SCRATCH_MIN;
        job->upper = path_join(run->directory, "upper");
        job->ring = path_join(run->runtime, "ring");
        EXPECT(mkdir(job->upper, 0755) == 0, "mkdir: %s", strerror(errno));
    }
    CLEANUP_JSON json_t *json = spec_runtime_to_json(config);
    CLEANUP_FREE char *text = json_format(json);
    CLEANUP_FREE char *config_path = path_join(run->directory, "config.json");
    CLEANUP_FREE char *job_path = path_join(run->directory, "worker.json");
    write_text(run, config_path, text);
    EXPECT(compute_job_write(job, job_path, &error) >= 0, "job: %s", error.message);
    compute_job_free(job);
    EXPECT(compute_worker_spawn(getenv("HULL_TEST_WORKER"), run->directory, run->runtime,
                                &run->worker, &error) >= 0,
           "spawn: %s", error.message);
    EXPECT(compute_client_connect(run->runtime, &run->client, &error) >= 0, "connect: %s",
           error.message);
}

/* --- what the host looks like --- */

struct host {
    size_t mounts;
    size_t interfaces;
};

static size_t count_lines(const char *path)
{
    size_t n = 0;
    char line[PATH_MAX];
    FILE *file = fopen(path, "re");

    while (file && fgets(line, sizeof(line), file))
        n++;
    if (file)
        (void)fclose(file);
    return n;
}

static struct host look_at_host(void)
{
    return (struct host){.mounts = count_lines("/proc/self/mountinfo"),
                         .interfaces =
                             count_lines("/proc/net/route") + count_lines("/proc/net/dev")};
}

static void check_processes(const struct run *run)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;

    while ((entry = readdir(proc))) {
        struct stat status;

        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
            fstatat(dirfd(proc), entry->d_name, &status, 0) < 0)
            continue;
        EXPECT(status.st_uid < run->uid || status.st_uid >= run->uid + UID_STEP,
               "process %s of the VM's user is left", entry->d_name);
    }
    (void)closedir(proc);
}

/* Nothing but what a worker makes, and none of it large. */
static void check_files(const struct run *run)
{
    static const struct {
        const char *name;
        off_t size;
    } known[] = {
        {"config.json", 1 << 20},
        {"worker.json", 1 << 16},
        {"exit.json", 16 << 10},
        {"initramfs", 64 << 20},
        {"worker.log", WORKER_LOG_MAX},
        {"console.log", CONSOLE_SIZE_MAX},
        {"scratch.ext4", 64 << 20},
        {"x-json.log", 4 << 20},
        {"run", 4096},
        {"upper", 4096},
        {"trace-worker.json", 1 << 16},
    };
    DIR *directory = opendir(run->directory);
    struct dirent *entry;

    while ((entry = readdir(directory))) {
        struct stat status;
        size_t i = 0;

        if (entry->d_name[0] == '.')
            continue;
        while (i < sizeof(known) / sizeof(known[0]) && !string_equal(known[i].name, entry->d_name))
            i++;
        EXPECT(i < sizeof(known) / sizeof(known[0]), "there is a file %s", entry->d_name);
        EXPECT(fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                   status.st_size <= known[i].size,
               "%s has %lld bytes", entry->d_name, (long long)status.st_size);
    }
    (void)closedir(directory);
}

/* --- what it does --- */

static json_t *arguments_of(const char *op)
{
    static const char *const args[] = {"true", NULL};

    if (string_equal(op, "exec"))
        return json_pack("{s:s,s:{s:o},s:{s:i}}", "exec", "abcd", "process", "args",
                         json_from_strv((char **)(uintptr_t)args), "streams", "stdout", 1);
    if (string_equal(op, "signal"))
        return json_pack("{s:i}", "signal", SIGKILL);
    return NULL;
}

static void provoke(const struct run *run)
{
    const struct attack_case *attack = run->attack;
    struct error error = ERROR_INIT;
    int r = compute_client_call(run->client, attack->op, arguments_of(attack->op), NULL, &error);

    if (!attack->op_text)
        EXPECT(r >= 0, "'%s': %s", attack->op, error.message);
    else
        EXPECT(r < 0 && strstr(error.message, attack->op_text), "'%s' gave %d, %s", attack->op, r,
               error.message);
}

static void await_exit(struct run *run)
{
    int64_t deadline = timestamp_monotonic() + EXIT_WAIT_MS * INT64_C(1000000);

    for (;;) {
        CLEANUP_JSON json_t *event = NULL;
        struct error error = ERROR_INIT;

        if (compute_client_wait_event(run->client, EXIT_WAIT_MS, &event, &error) < 0)
            wrong(run, "no exit event: %s", error.message);
        if (string_equal(json_string_value(json_object_get(event, "event")), "exit") &&
            string_is_empty(json_string_value(json_object_get(event, "exec")))) {
            run->heard.code = (int)json_integer_value(json_object_get(event, "code"));
            (void)string_copy(run->heard.reason, sizeof(run->heard.reason),
                              string_or(json_string_value(json_object_get(event, "reason")), ""));
            return;
        }
        EXPECT(timestamp_monotonic() < deadline, "no exit event in time");
    }
}

static void check_record(const struct run *run)
{
    const struct attack_case *attack = run->attack;
    struct exit_record record = {.code = -1};
    struct error error = ERROR_INIT;

    if (attack->converts)
        record = run->heard; /* one for files leaves no record */
    else
        EXPECT(exit_record_read(run->directory, &record, &error) >= 0, "record: %s", error.message);
    EXPECT(record.code == (attack->outcome == FAILS    ? 128
                           : attack->outcome == EXITS  ? 7
                           : attack->outcome == BREAKS ? 1
                                                       : 137),
           "code %d, %s", record.code, record.reason);
    EXPECT(strstr(record.reason, attack->text), "the reason is: %s", record.reason);
    for (const char *c = record.reason; *c; c++)
        EXPECT((unsigned char)*c >= ' ' && *c != 0x7f, "the reason has control characters");
}

static void check_worker(const struct run *run)
{
    struct rusage usage;
    int status = -1;

    EXPECT(wait4(run->worker, &status, 0, &usage) == run->worker, "wait4: %s", strerror(errno));
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the worker ended with status %#x",
           (unsigned)status);
    EXPECT(usage.ru_maxrss <= WORKER_MEMORY_MAX_KIB, "the worker needed %ld KiB", usage.ru_maxrss);
    if (getenv("HULL_TEST_VERBOSE"))
        (void)fprintf(stderr, "%-24s %6ld KiB\n", run->attack->name, usage.ru_maxrss);
}

static void run_case(struct run *run)
{
    const struct attack_case *attack = run->attack;
    struct error error = ERROR_INIT;

    /* So that what others on this host do meanwhile is not taken for the guest's deed. */
    EXPECT(unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
               mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0,
           "namespaces: %s", strerror(errno));
    struct host before = look_at_host();
    EXPECT(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
    prepare(run);
    if (attack->attached)
        EXPECT(compute_client_call(run->client, "attach",
                                   json_pack("{s:{s:i}}", "streams", "stdout", 1), NULL,
                                   &error) >= 0,
               "attach: %s", error.message);
    int r = compute_client_start(run->client, NULL, &error);
    if (attack->outcome == FAILS)
        EXPECT(r < 0 && strstr(error.message, attack->text), "start gave %d, %s", r, error.message);
    else
        EXPECT(r >= 0, "start: %s", error.message);
    if (attack->op)
        provoke(run);
    if (attack->outcome == LIVES) {
        /* The guest has had its say when the worker has answered this. */
        CLEANUP_JSON json_t *state = NULL;

        (void)poll(NULL, 0, attack->slow ? 0 : 200);
        EXPECT(compute_client_call(run->client, "state", NULL, &state, &error) >= 0, "state: %s",
               error.message);
        EXPECT(string_equal(json_string_value(json_object_get(state, "status")), "running"),
               "it is %s", json_string_value(json_object_get(state, "status")));
        EXPECT(compute_client_kill(run->client, &error) >= 0, "kill: %s", error.message);
    }
    if (!attack->op || attack->outcome == LIVES)
        await_exit(run);
    compute_client_free(run->client);
    check_worker(run);
    check_record(run);
    check_processes(run);
    check_files(run);
    struct host after = look_at_host();
    EXPECT(after.mounts == before.mounts, "mounts: %zu, %zu", before.mounts, after.mounts);
    EXPECT(after.interfaces == before.interfaces, "there is an interface or route more");
    EXPECT(path_remove_tree(AT_FDCWD, run->directory, &error) == 0, "%s", error.message);
}

static pid_t begin_case(size_t i, bool real)
{
    struct run run = {.attack = &cases[i],
                      .real = real,
                      .uid = UID_FIRST + (uid_t)(i + (real ? N_CASES : 0)) * UID_STEP};
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    run_case(&run);
    _exit(0);
}

static bool end_case(pid_t pid)
{
    int status = -1;

    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void test_attacks(void **state)
{
    const char *only = getenv("HULL_TEST_ATTACK");
    pid_t slow[N_CASES] = {0};
    bool real = !string_is_empty(getenv("HULL_TEST_UML_KERNEL"));
    size_t failed = 0;

    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        if (cases[i].slow && (!only || string_equal(only, cases[i].name)))
            slow[i] = begin_case(i, false);
    }
    for (size_t i = 0; i < N_CASES; i++) {
        if (cases[i].slow || (only && !string_equal(only, cases[i].name)))
            continue;
        failed += !end_case(begin_case(i, false));
        if (real && cases[i].real)
            failed += !end_case(begin_case(i, true));
    }
    for (size_t i = 0; i < N_CASES; i++) {
        if (slow[i])
            failed += !end_case(slow[i]);
    }
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attacks)};

    if (geteuid() != 0) {
        print_message("skipped: the jail needs root\n");
        return 77;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
