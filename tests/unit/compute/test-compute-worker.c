/* A worker and clients of it: the whole way of bytes, requests and exits.
 *
 * Without further ado the worker is a child of the test, with a sandbox that isolates nothing
 * (fake-sandbox.c). With HULL_TEST_WORKER=<hull-worker> the real program runs a container of either
 * isolation (real-job.h). */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "compute/client.h"
#include "compute/client_internal.h"
#include "compute/exit_record.h"
#include "compute/job.h"
#include "compute/worker.h"
#include "real-job.h"
#include "spec/runtime.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS = 30000, OUTPUT_MAX = 256 * 1024 * 1024 };

struct fixture {
    char directory[64];
    char runtime[80];
    pid_t worker;
    struct process process; /* of the real one, which is nobody's child */
};

static void note(const char *text, void *data)
{
    (void)data;
    (void)fprintf(stderr, "worker: %s\n", text);
}

static void run_worker(const char *directory)
{
    struct loop *loop = NULL;
    struct worker *worker = NULL;
    struct error error = ERROR_INIT;

    if (loop_new(&loop, &error) < 0 ||
        worker_new(loop, directory, note, NULL, &worker, &error) < 0) {
        (void)fprintf(stderr, "worker: %s\n", error.message);
        _exit(1);
    }
    int r = worker_run(worker);
    worker_free(worker);
    loop_free(loop);
    exit(r < 0 ? 1 : 0); /* so that leaks are looked for */
}

/* Writes config.json and worker.json for `script` and starts a worker. */
static void start_worker(struct fixture *fixture, const char *script, bool terminal,
                         bool open_stdin, bool stdin_once)
{
    CLEANUP(spec_runtime_cleanup) struct spec_runtime *config = spec_runtime_new();
    struct compute_job *job = compute_job_new();
    struct error error = ERROR_INIT;

    (void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/hull-test-worker-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    (void)snprintf(fixture->runtime, sizeof(fixture->runtime), "%s/run", fixture->directory);
    assert_non_null(config);
    config->process->terminal = terminal;
    if (*script) {
        (void)strv_append(&config->process->args, "/bin/sh");
        (void)strv_append(&config->process->args, "-c");
        (void)strv_append(&config->process->args, script);
    } else {
        (void)strv_append(&config->process->args, "/does/not/exist");
    }
    job->id = strdup("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    job->directory = strdup(fixture->directory);
    job->runtime_dir = strdup(fixture->runtime);
    job->target = path_join(fixture->directory, "rootfs");
    job->terminal = terminal;
    job->open_stdin = open_stdin;
    job->stdin_once = stdin_once;
    job->log.driver = COMPUTE_LOG_JSON_FILE;
    job->log.path = path_join(fixture->directory, "x-json.log");
    if (real_job_worker())
        real_job_fill(fixture->directory, job, config);
    CLEANUP_JSON json_t *json = spec_runtime_to_json(config);
    CLEANUP_FREE char *text = json_format(json);
    CLEANUP_FREE char *config_path = path_join(fixture->directory, "config.json");
    CLEANUP_FREE char *job_path = path_join(fixture->directory, "worker.json");
    assert_int_equal(file_write_atomic(AT_FDCWD, config_path, text, strlen(text), 0600, NULL), 0);
    if (compute_job_write(job, job_path, &error) < 0)
        fail_msg("job: %s", error.message);
    compute_job_free(job);
    if (real_job_worker()) {
        if (compute_worker_spawn(real_job_worker(), fixture->directory, fixture->runtime,
                                 &fixture->worker, &error) < 0)
            fail_msg("spawn: %s", error.message);
        assert_int_equal(process_open(fixture->worker, &fixture->process), 0);
        return;
    }
    fixture->worker = fork();
    if (fixture->worker == 0)
        run_worker(fixture->directory);
    struct compute_client *client = NULL;
    for (int i = 0; i < 1000 && compute_client_connect(fixture->runtime, &client, NULL) < 0; i++)
        (void)poll(NULL, 0, 10);
    compute_client_free(client);
}

static struct compute_client *connect_client(struct fixture *fixture)
{
    struct compute_client *client = NULL;
    struct error error = ERROR_INIT;

    if (compute_client_connect(fixture->runtime, &client, &error) < 0)
        fail_msg("connect: %s", error.message);
    return client;
}

/* The worker ended by itself, with success and a record. */
static struct exit_record end_worker(struct fixture *fixture)
{
    struct exit_record record = {.code = -1};
    int status = -1;

    if (real_job_worker()) {
        struct pollfd poll_fd = {.fd = fixture->process.pidfd, .events = POLLIN};

        assert_int_equal(poll(&poll_fd, 1, WAIT_MS), 1);
        process_release(&fixture->process);
        real_job_run("cat %s/worker.log >&2", fixture->directory);
    } else {
        assert_int_equal(waitpid(fixture->worker, &status, 0), fixture->worker);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    CLEANUP_FREE char *socket_path = path_join(fixture->runtime, "worker.sock");
    assert_int_equal(access(socket_path, F_OK), -1);
    (void)exit_record_read(fixture->directory, &record, NULL);
    assert_int_equal(path_remove_tree(AT_FDCWD, fixture->directory, NULL), 0);
    return record;
}

static int exit_event(struct compute_client *client, const char *exec)
{
    for (;;) {
        CLEANUP_JSON json_t *event = NULL;
        struct error error = ERROR_INIT;

        if (compute_client_wait_event(client, WAIT_MS, &event, &error) < 0)
            fail_msg("no exit event: %s", error.message);
        if (string_equal(json_string_value(json_object_get(event, "event")), "exit") &&
            string_equal(json_string_value(json_object_get(event, "exec")), exec))
            return (int)json_integer_value(json_object_get(event, "code"));
    }
}

static void start(struct compute_client *client)
{
    struct error error = ERROR_INIT;
    pid_t pid = 0;

    if (compute_client_start(client, &pid, &error) < 0)
        fail_msg("start: %s", error.message);
    assert_true(pid > 0);
}

/* --- the peer of a pump --- */

/* Runs the pump in a child; returns our end of the hijacked connection. */
static int pump_in_child(struct compute_client *client, bool multiplexed, pid_t *ret_pid)
{
    int ends[2];

    assert_int_equal(fd_socketpair(SOCK_STREAM, ends), 0);
    *ret_pid = fork();
    if (*ret_pid == 0) {
        (void)close(ends[0]);
        int r = compute_client_pump(client, ends[1], NULL, 0, multiplexed, NULL);
        _exit(r < 0 ? 99 : r);
    }
    (void)close(ends[1]);
    return ends[0];
}

static int pump_result(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void read_all(int fd, struct buffer *out)
{
    for (;;) {
        char *space = buffer_reserve(out, 65536);
        assert_non_null(space);
        ssize_t n = read(fd, space, 65536);

        if (n <= 0)
            return;
        buffer_commit(out, (size_t)n);
    }
}

static void read_until(int fd, struct buffer *out, const char *text)
{
    while (!strstr(buffer_string(out), text)) {
        char *space = buffer_reserve(out, 4096);
        ssize_t n = read(fd, space, 4096);

        if (n <= 0)
            fail_msg("the stream ended before '%s': %s", text, buffer_string(out));
        buffer_commit(out, (size_t)n);
    }
}

static const struct compute_streams all_streams = {.in = true, .out = true, .err = true};

/* --- tests --- */

static void test_attach_before_start(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(OUTPUT_MAX);
    struct fixture fixture;
    bool terminal = true;
    pid_t pump;

    (void)state;
    start_worker(&fixture, "echo out; echo err >&2; exit 42", false, false, false);
    struct compute_client *attached = connect_client(&fixture);
    struct compute_client *client = connect_client(&fixture);
    assert_int_equal(compute_client_attach(attached, &all_streams, &terminal, NULL), 0);
    assert_false(terminal);
    int fd = pump_in_child(attached, true, &pump);
    compute_client_free(attached);
    start(client);
    read_all(fd, &out);
    assert_int_equal(exit_event(client, ""), 42);
    assert_int_equal(out.length, 8 + 4 + 8 + 4);
    const char *first = memchr(out.data, 1, 1) ? out.data : out.data + 12;
    assert_memory_equal(first, "\1\0\0\0\0\0\0\4out\n", 12);
    assert_int_equal(pump_result(pump), COMPUTE_PUMP_ENDED);
    (void)close(fd);
    compute_client_free(client);
    struct exit_record record = end_worker(&fixture);
    assert_int_equal(record.code, 42);
    assert_true(record.started > 0 && record.finished >= record.started);
    assert_string_equal(record.reason, "");
}

static void test_cat_half_close(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(OUTPUT_MAX);
    struct fixture fixture;
    pid_t pump;

    (void)state;
    start_worker(&fixture, "cat; echo done", false, true, true);
    struct compute_client *attached = connect_client(&fixture);
    struct compute_client *client = connect_client(&fixture);
    assert_int_equal(compute_client_attach(attached, &all_streams, NULL, NULL), 0);
    int fd = pump_in_child(attached, false, &pump);
    compute_client_free(attached);
    /* Said and closed before the container exists. */
    assert_int_equal(fd_write_full(fd, "x\n", 2), 0);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    start(client);
    read_all(fd, &out);
    assert_string_equal(buffer_string(&out), "x\ndone\n");
    assert_int_equal(exit_event(client, ""), 0);
    assert_int_equal(pump_result(pump), COMPUTE_PUMP_ENDED);
    (void)close(fd);
    compute_client_free(client);
    assert_int_equal(end_worker(&fixture).code, 0);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 9));
}

static void test_64_mb_through_cat(void **state)
{
    const size_t total = 64 * 1024 * 1024;
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(OUTPUT_MAX);
    struct fixture fixture;
    pid_t pump;

    (void)state;
    start_worker(&fixture, "cat", false, true, true);
    struct compute_client *attached = connect_client(&fixture);
    struct compute_client *client = connect_client(&fixture);
    assert_int_equal(compute_client_attach(attached, &all_streams, NULL, NULL), 0);
    int fd = pump_in_child(attached, false, &pump);
    compute_client_free(attached);
    start(client);
    pid_t writer = fork();
    if (writer == 0) {
        static uint8_t bytes[64 * 1024];

        for (size_t sent = 0; sent < total; sent += sizeof(bytes)) {
            for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = pattern(sent + i);
            if (fd_write_full(fd, bytes, sizeof(bytes)) < 0)
                _exit(1);
        }
        (void)shutdown(fd, SHUT_WR);
        _exit(0);
    }
    read_all(fd, &out);
    assert_int_equal(out.length, total);
    for (size_t i = 0; i < total; i++) {
        if ((uint8_t)out.data[i] != pattern(i))
            fail_msg("byte %zu differs", i);
    }
    assert_int_equal(exit_event(client, ""), 0);
    (void)waitpid(writer, NULL, 0);
    (void)pump_result(pump);
    (void)close(fd);
    compute_client_free(client);
    assert_int_equal(end_worker(&fixture).code, 0);
}

static json_t *exec_process(const char *script, bool terminal)
{
    return json_pack("{s:b,s:[s,s,s],s:s}", "terminal", terminal, "args", "/bin/sh", "-c", script,
                     "cwd", "/");
}

static void test_execs(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(OUTPUT_MAX);
    struct fixture fixture;
    struct error error = ERROR_INIT;
    pid_t pump;
    pid_t pid = 0;

    (void)state;
    start_worker(&fixture, "sleep 1000", false, false, false);
    struct compute_client *client = connect_client(&fixture);
    struct compute_client *stream = connect_client(&fixture);
    /* Nothing runs yet. */
    assert_int_equal(
        compute_client_exec(stream, "aa", exec_process("true", false), &all_streams, &pid, &error),
        -EBUSY);
    compute_client_free(stream);
    start(client);
    stream = connect_client(&fixture);
    if (compute_client_exec(stream, "aa", exec_process("cat; exit 7", false), &all_streams, &pid,
                            &error) < 0)
        fail_msg("exec: %s", error.message);
    int fd = pump_in_child(stream, false, &pump);
    compute_client_free(stream);
    assert_int_equal(fd_write_full(fd, "hello\n", 6), 0);
    read_until(fd, &out, "hello\n");
    (void)shutdown(fd, SHUT_WR);
    assert_int_equal(exit_event(client, "aa"), 7);
    assert_int_equal(pump_result(pump), COMPUTE_PUMP_ENDED);
    (void)close(fd);

    /* Without streams, signalled; and one that does not exist. */
    const struct compute_streams none = {.in = false};
    stream = connect_client(&fixture);
    assert_int_equal(
        compute_client_exec(stream, "bb", exec_process("sleep 1000", false), &none, &pid, NULL), 0);
    assert_int_equal(compute_client_signal(stream, "bb", SIGTERM, false, NULL), 0);
    assert_int_equal(exit_event(client, "bb"), 128 + SIGTERM);
    assert_int_equal(compute_client_signal(stream, "bb", SIGTERM, false, &error), -ENOENT);
    assert_int_equal(
        compute_client_exec(stream, "cc",
                            json_pack("{s:[s],s:s}", "args", "/does/not/exist", "cwd", "/"), &none,
                            &pid, &error),
        -ENOENT);
    assert_int_equal(error.class, ERROR_INVALID);

    /* A descendant that keeps the pipe open does not hold the exit. */
    assert_int_equal(compute_client_exec(stream, "dd",
                                         exec_process("sleep 500 & echo bye; exit 3", false),
                                         &all_streams, &pid, NULL),
                     0);
    buffer_clear(&out);
    fd = pump_in_child(stream, false, &pump);
    compute_client_free(stream);
    read_until(fd, &out, "bye\n");
    assert_int_equal(exit_event(client, "dd"), 3);
    (void)pump_result(pump);
    (void)close(fd);

    assert_int_equal(compute_client_signal(client, NULL, SIGKILL, false, NULL), 0);
    assert_int_equal(exit_event(client, ""), 137);
    compute_client_free(client);
    assert_int_equal(end_worker(&fixture).code, 137);
}

static void test_many_execs(void **state)
{
    struct fixture fixture;
    struct compute_client *streams[20];
    bool seen[20] = {false};

    (void)state;
    start_worker(&fixture, "sleep 1000", false, false, false);
    struct compute_client *client = connect_client(&fixture);
    start(client);
    for (int i = 0; i < 20; i++) {
        char id[16];
        char script[32];

        (void)snprintf(id, sizeof(id), "e%d", i);
        (void)snprintf(script, sizeof(script), "read x; exit %d", i);
        streams[i] = connect_client(&fixture);
        assert_int_equal(compute_client_exec(streams[i], id, exec_process(script, false),
                                             &all_streams, NULL, NULL),
                         0);
    }
    /* Their clients vanish: stdin ends, and each goes on to its own exit. */
    for (int i = 0; i < 20; i++)
        compute_client_free(streams[i]);
    for (int left = 20; left > 0;) {
        CLEANUP_JSON json_t *event = NULL;

        assert_int_equal(compute_client_wait_event(client, WAIT_MS, &event, NULL), 1);
        if (!string_equal(json_string_value(json_object_get(event, "event")), "exit"))
            continue;
        int code = (int)json_integer_value(json_object_get(event, "code"));
        assert_in_range(code, 0, 19);
        assert_false(seen[code]);
        seen[code] = true;
        left--;
    }
    assert_int_equal(compute_client_kill(client, NULL), 0);
    assert_int_equal(exit_event(client, ""), 137);
    compute_client_free(client);
    assert_int_equal(end_worker(&fixture).code, 137);
}

static void test_terminal(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(OUTPUT_MAX);
    struct fixture fixture;
    bool terminal = false;
    pid_t pump;

    (void)state;
    start_worker(&fixture, "echo ready; while read line; do stty size; echo \"got $line\"; done",
                 true, true, false);
    struct compute_client *attached = connect_client(&fixture);
    struct compute_client *client = connect_client(&fixture);
    assert_int_equal(compute_client_attach(attached, &all_streams, &terminal, NULL), 0);
    assert_true(terminal);
    int fd = pump_in_child(attached, false, &pump);
    compute_client_free(attached);
    start(client);
    read_until(fd, &out, "ready\r\n");
    assert_int_equal(compute_client_resize(client, NULL, 123, 45, NULL), 0);
    assert_int_equal(fd_write_full(fd, "a\n", 2), 0);
    read_until(fd, &out, "45 123\r\n");
    read_until(fd, &out, "got a\r\n");
    /* ctrl-p ctrl-q: the client leaves, the container stays. */
    assert_int_equal(fd_write_full(fd, "\x10\x11", 2), 0);
    assert_int_equal(pump_result(pump), COMPUTE_PUMP_DETACHED);
    (void)close(fd);
    /* Another one comes and types on. */
    buffer_clear(&out);
    attached = connect_client(&fixture);
    assert_int_equal(compute_client_attach(attached, &all_streams, NULL, NULL), 0);
    fd = pump_in_child(attached, false, &pump);
    compute_client_free(attached);
    assert_int_equal(fd_write_full(fd, "b\n\x04", 3), 0);
    read_until(fd, &out, "got b\r\n");
    assert_int_equal(exit_event(client, ""), 0);
    (void)pump_result(pump);
    (void)close(fd);
    compute_client_free(client);
    assert_int_equal(end_worker(&fixture).code, 0);
}

static void test_stdin_stays_open(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(OUTPUT_MAX);
    struct fixture fixture;
    pid_t pump;

    (void)state;
    start_worker(&fixture, "read a; read b; echo \"$a-$b\"", false, true, false);
    struct compute_client *client = connect_client(&fixture);
    start(client);
    for (int i = 0; i < 2; i++) {
        struct compute_client *attached = connect_client(&fixture);

        assert_int_equal(compute_client_attach(attached, &all_streams, NULL, NULL), 0);
        int fd = pump_in_child(attached, false, &pump);
        compute_client_free(attached);
        assert_int_equal(fd_write_full(fd, i == 0 ? "one\n" : "two\n", 4), 0);
        (void)shutdown(fd, SHUT_WR);
        if (i == 1) {
            read_all(fd, &out);
            assert_string_equal(buffer_string(&out), "one-two\n");
        } else {
            /* The whole line is on its way once the pump has flushed and gone. */
            (void)poll(NULL, 0, 200);
        }
        (void)close(fd);
        (void)pump_result(pump);
    }
    assert_int_equal(exit_event(client, ""), 0);
    compute_client_free(client);
    assert_int_equal(end_worker(&fixture).code, 0);
}

static void test_vanished_and_slow_clients(void **state)
{
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(OUTPUT_MAX);
    struct fixture fixture;
    const struct compute_streams output = {.out = true};

    (void)state;
    start_worker(&fixture, "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo end", false, false,
                 false);
    struct compute_client *client = connect_client(&fixture);
    struct compute_client *silent = connect_client(&fixture);
    /* It attaches, never reads, and holds the container up, until it goes. */
    assert_int_equal(compute_client_attach(silent, &output, NULL, NULL), 0);
    start(client);
    CLEANUP_JSON json_t *event = NULL;
    assert_int_equal(compute_client_wait_event(client, 100, &event, NULL), 1); /* "started" */
    json_decref(event);
    event = NULL;
    assert_int_equal(compute_client_wait_event(client, 500, &event, NULL), -ETIMEDOUT);
    compute_client_free(silent);
    assert_int_equal(exit_event(client, ""), 0);
    CLEANUP_FREE char *log = path_join(fixture.directory, "x-json.log");
    assert_int_equal(file_read(AT_FDCWD, log, &out, NULL), 0);
    assert_true(out.length > 20000000);
    assert_non_null(strstr(out.data + out.length - 200, "\"log\":\"end\\n\""));
    compute_client_free(client);
    assert_int_equal(end_worker(&fixture).code, 0);
}

static void test_start_fails(void **state)
{
    struct fixture fixture;
    struct error error = ERROR_INIT;

    (void)state;
    start_worker(&fixture, "", false, false, false);
    struct compute_client *client = connect_client(&fixture);
    assert_int_equal(compute_client_start(client, NULL, &error), -ENOENT);
    assert_int_equal(error.class, ERROR_INVALID);
    assert_non_null(strstr(error.message, "no such file or directory"));
    compute_client_free(client);
    struct exit_record record = end_worker(&fixture);
    assert_int_equal(record.code, 127);
    assert_true(record.started == 0);
    assert_non_null(strstr(record.reason, "/does/not/exist"));
    assert_non_null(strstr(record.reason, "exec: "));
}

static void keep_answer(struct wire_connection *connection, json_t *ok, const struct error *error,
                        void *data)
{
    (void)connection;
    assert_true(!error || error->code == 0);
    *(json_t **)data = json_incref(ok);
}

static void test_state_wait_processes(void **state)
{
    CLEANUP_JSON json_t *answer = NULL;
    struct fixture fixture;
    struct error error = ERROR_INIT;

    (void)state;
    start_worker(&fixture, "exec sleep 1000", false, false, false);
    struct compute_client *client = connect_client(&fixture);
    assert_int_equal(compute_client_call(client, "state", NULL, &answer, NULL), 0);
    assert_string_equal(json_string_value(json_object_get(answer, "status")), "idle");
    json_decref(answer);
    answer = NULL;
    start(client);
    assert_int_equal(compute_client_start(client, NULL, &error), -EBUSY);
    assert_int_equal(error.class, ERROR_CONFLICT);
    if (compute_client_call(client, "processes", NULL, &answer, &error) < 0)
        fail_msg("processes: %s", error.message);
    json_t *process = json_array_get(json_object_get(answer, "processes"), 0);
    assert_non_null(json_string_value(json_object_get(process, "user")));
    assert_non_null(strstr(json_string_value(json_object_get(process, "cmdline")), "s"));
    json_decref(answer);
    answer = NULL;
    assert_int_equal(compute_client_call(client, "nonsense", NULL, NULL, &error), -EOPNOTSUPP);
    assert_int_equal(
        compute_client_call(client, "freeze", json_pack("{s:b}", "frozen", 1), NULL, NULL), 0);
    assert_int_equal(
        compute_client_call(client, "freeze", json_pack("{s:b}", "frozen", 0), NULL, NULL), 0);
    /* On one connection, because order is certain only there: a worker that has told the end to
     * everybody is gone. */
    assert_true(
        wire_connection_request(client->connection, "wait", NULL, keep_answer, &answer, NULL) >= 0);
    assert_int_equal(compute_client_signal(client, NULL, SIGKILL, true, NULL), 0);
    while (!answer)
        assert_true(wire_connection_wait(client->connection, WAIT_MS, NULL) > 0);
    assert_int_equal(json_integer_value(json_object_get(answer, "code")), 128 + SIGKILL);
    compute_client_free(client);
    assert_int_equal(end_worker(&fixture).code, 128 + SIGKILL);
}

static void test_worker_is_stopped(void **state)
{
    struct fixture fixture;

    (void)state;
    start_worker(&fixture, "trap 'exit 5' TERM; echo; while :; do sleep 0.1; done", false, false,
                 false);
    struct compute_client *client = connect_client(&fixture);
    CLEANUP(buffer_release) struct buffer out = BUFFER_INIT(OUTPUT_MAX);
    pid_t pump;
    struct compute_client *attached = connect_client(&fixture);
    assert_int_equal(compute_client_attach(attached, &all_streams, NULL, NULL), 0);
    int fd = pump_in_child(attached, false, &pump);
    compute_client_free(attached);
    start(client);
    read_until(fd, &out, "\n");
    if (!real_job_worker()) {
        assert_int_equal(compute_client_signal(client, NULL, SIGTERM, false, NULL), 0);
    } else {
        assert_int_equal(kill(fixture.worker, SIGTERM), 0);
    }
    assert_int_equal(exit_event(client, ""), 5);
    (void)pump_result(pump);
    (void)close(fd);
    compute_client_free(client);
    assert_int_equal(end_worker(&fixture).code, 5);
}

static void test_vmm_is_killed(void **state)
{
    CLEANUP_JSON json_t *answer = NULL;
    struct fixture fixture;

    (void)state;
    if (!real_job_in_vm()) {
        print_message("skipped: needs HULL_TEST_ISOLATION=hyperv\n");
        skip();
    }
    start_worker(&fixture, "sleep 1000", false, false, false);
    struct compute_client *client = connect_client(&fixture);
    start(client);
    assert_int_equal(compute_client_call(client, "state", NULL, &answer, NULL), 0);
    pid_t vmm = (pid_t)json_integer_value(json_object_get(answer, "vmm_pid"));
    assert_true(vmm > 1);
    assert_int_equal(kill(vmm, SIGKILL), 0);
    assert_int_equal(exit_event(client, ""), 137);
    compute_client_free(client);
    struct exit_record record = end_worker(&fixture);
    assert_int_equal(record.code, 137);
    assert_string_equal(record.reason, "utility VM ended: killed by signal 9");
}

static void test_no_worker(void **state)
{
    struct compute_client *client = NULL;
    struct error error = ERROR_INIT;

    (void)state;
    assert_int_equal(compute_client_connect("/tmp/there-is-nothing-here", &client, &error),
                     -ENOENT);
    assert_int_equal(error.class, ERROR_NOT_FOUND);
}

static void test_lacks_something(void **state)
{
    (void)state;
    print_message("%s\n", real_job_lacks());
    skip();
}

static void test_warnings_of_the_agent(void **state)
{
    static const struct {
        int n;
        size_t length;
        bool good;
    } rows[] = {{3, 100, true}, {64, 1024, true}, {65, 10, false}, {1, 1025, false}};

    (void)state;
    if (real_job_worker()) {
        print_message("the real sandbox makes no such warnings\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CLEANUP_JSON json_t *answer = NULL;
        struct fixture fixture;
        struct error error = ERROR_INIT;
        int r;

        for (int k = 0; k < rows[i].n; k++)
            (void)strv_append_take(&fake_warnings, string_format("%0*d", (int)rows[i].length, k));
        start_worker(&fixture, "true", false, false, false);
        strv_free(TAKE_PTR(fake_warnings));
        struct compute_client *client = connect_client(&fixture);
        r = compute_client_call(client, "start", NULL, &answer, &error);
        assert_int_equal(r, rows[i].good ? 0 : -EPROTO);
        if (rows[i].good) {
            assert_int_equal(json_array_size(json_object_get(answer, "warnings")), rows[i].n);
            assert_int_equal(exit_event(client, ""), 0);
        }
        compute_client_free(client);
        (void)end_worker(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attach_before_start),
        cmocka_unit_test(test_cat_half_close),
        cmocka_unit_test(test_64_mb_through_cat),
        cmocka_unit_test(test_execs),
        cmocka_unit_test(test_many_execs),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_stdin_stays_open),
        cmocka_unit_test(test_vanished_and_slow_clients),
        cmocka_unit_test(test_start_fails),
        cmocka_unit_test(test_state_wait_processes),
        cmocka_unit_test(test_worker_is_stopped),
        cmocka_unit_test(test_vmm_is_killed),
        cmocka_unit_test(test_no_worker),
        cmocka_unit_test(test_warnings_of_the_agent),
    };

    const struct CMUnitTest none[] = {cmocka_unit_test(test_lacks_something)};

    (void)signal(SIGPIPE, SIG_IGN);
    if (real_job_lacks())
        return cmocka_run_group_tests(none, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, real_job_remove_layer);
}
