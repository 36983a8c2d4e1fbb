/* Whole commands against an engine that answers from a table. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"
#include "cli/command.h"
#include "fake-server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define JSON(status, body)                                      \
    "HTTP/1.1 " status "\r\nContent-Type: application/json\r\n" \
    "Transfer-Encoding: chunked\r\n\r\n" body "0\r\n\r\n"
#define EMPTY "HTTP/1.1 204 No Content\r\n\r\n"
#define PING                                                                               \
    {                                                                                      \
        "HEAD /_ping", "HTTP/1.1 200 OK\r\nApi-Version: 1.50\r\nContent-Length: 2\r\n\r\n" \
    }
#define UPGRADE "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"

struct outcome {
    int status;
    char *out;
    char *err;
    char *requests;
};

static char *read_back(FILE *file)
{
    long size = 0;
    char *text = NULL;

    fflush(file);
    /* the pump writes to the descriptor, so its offset counts, not the stream's */
    size = (long)lseek(fileno(file), 0, SEEK_END);
    text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(pread(fileno(file), text, (size_t)size, 0), size);
    fclose(file);
    return text;
}

/* Runs "hull ..." with `input` on stdin. */
static struct outcome run(const struct fake_route *routes, const char *input, char *const *words)
{
    struct outcome outcome = {.status = -1};
    struct fake_server *server = fake_server_start(routes);
    struct cli cli = {.out = tmpfile(), .err = tmpfile()};
    CLEANUP_STRV char **argv = NULL;
    int in[2];

    assert_true(cli.out && cli.err && fd_pipe(0, in) >= 0);
    assert_int_equal(write(in[1], input, strlen(input)), strlen(input));
    in[1] = fd_close(in[1]);
    cli.in = in[0];
    assert_true(strv_append(&argv, "hull") >= 0 && strv_append(&argv, "-H") >= 0 &&
                strv_append(&argv, fake_server_host(server)) >= 0 &&
                strv_extend(&argv, words) >= 0);
    outcome.status = cli_main(&cli, (int)strv_length(argv), argv);
    fd_close(in[0]);
    outcome.requests = fake_server_stop(server);
    outcome.out = read_back(cli.out);
    outcome.err = read_back(cli.err);
    return outcome;
}

static void outcome_release(struct outcome *outcome)
{
    free(outcome->out);
    free(outcome->err);
    free(outcome->requests);
}

/* The parser takes an argv, whose strings are not const; literals are. */
#define WORDS(...) ((char *const *)(uintptr_t)(const char *const[]){__VA_ARGS__, NULL})

static const char hello_and_warn[] = UPGRADE "\1\0\0\0\0\0\0\6hello\n\2\0\0\0\0\0\0\5warn\n";

static void test_run_attached(void **state)
{
    static const struct fake_route routes[] = {
        PING,
        {"POST /v1.47/containers/create?name=n",
         JSON("201 Created", "29\r\n{\"Id\":\"abc\",\"Warnings\":[\"careful\\u001b\"]}\r\n")},
        {"POST /v1.47/containers/abc/attach", hello_and_warn, sizeof(hello_and_warn) - 1,
         FAKE_CLOSE},
        {"POST /v1.47/containers/abc/wait?condition=next-exit",
         JSON("200 OK", "10\r\n{\"StatusCode\":7}\r\n")},
        {"POST /v1.47/containers/abc/start", EMPTY},
        {NULL},
    };
    CLEANUP(outcome_release)
    struct outcome outcome = run(routes, "", WORDS("run", "--name", "n", "x", "ls"));

    (void)state;
    assert_string_equal(outcome.out, "hello\n");
    assert_string_equal(outcome.err, "WARNING: careful\\x1b\nwarn\n");
    assert_int_equal(outcome.status, 7);
    /* the stream and the wait stand before the start */
    assert_true(strstr(outcome.requests, "/attach") < strstr(outcome.requests, "/wait"));
    assert_true(strstr(outcome.requests, "/wait") < strstr(outcome.requests, "/start"));
}

static void test_exec_with_input(void **state)
{
    static const char frame[] = UPGRADE "\1\0\0\0\0\0\0\5";
    static const char tail[] = "\2\0\0\0\0\0\0\1!";
    static const struct fake_route routes[] = {
        PING,
        {"POST /v1.47/containers/c/exec", JSON("201 Created", "b\r\n{\"Id\":\"e1\"}\r\n")},
        {"POST /v1.47/exec/e1/start", frame, sizeof(frame) - 1, FAKE_ECHO, tail, sizeof(tail) - 1},
        {"GET /v1.47/exec/e1/json", JSON("200 OK", "e\r\n{\"ExitCode\":3}\r\n")},
        {NULL},
    };
    /* what is typed comes back inside the frame; the tail comes only after the half-close */
    CLEANUP(outcome_release)
    struct outcome outcome = run(routes, "12345", WORDS("exec", "-i", "c", "cat"));

    (void)state;
    assert_string_equal(outcome.out, "12345");
    assert_string_equal(outcome.err, "!");
    assert_int_equal(outcome.status, 3);
}

static void test_start_failure_codes(void **state)
{
    static const struct {
        const char *answer;
        int status;
    } cases[] = {
        {"HTTP/1.1 400 X\r\nContent-Length: 44\r\n\r\n{\"message\":\"executable file not found in "
         "$P\"}",
         127},
        {"HTTP/1.1 400 X\r\nContent-Length: 31\r\n\r\n{\"message\":\"permission denied\"} ", 126},
        {"HTTP/1.1 500 X\r\nContent-Length: 18\r\n\r\n{\"message\":\"boom\"}", 125},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct fake_route routes[] = {
            PING,
            {"POST /v1.47/containers/create", JSON("201 Created", "c\r\n{\"Id\":\"abc\"}\r\n")},
            {"POST /v1.47/containers/abc/start", cases[i].answer},
            {NULL},
        };
        CLEANUP(outcome_release) struct outcome outcome = run(routes, "", WORDS("run", "-d", "x"));

        assert_int_equal(outcome.status, cases[i].status);
        assert_true(string_starts_with(outcome.err, "hull: Error response from daemon: "));
        assert_string_equal(outcome.out, "");
    }
}

static void test_run_pulls_what_is_missing(void **state)
{
    static const struct fake_route routes[] = {
        PING,
        {"POST /v1.47/containers/create",
         "HTTP/1.1 404 X\r\nContent-Length: 36\r\n\r\n{\"message\":\"No such image: x:latest\"}"},
        {"POST /v1.47/images/create?fromImage=docker.io%2Flibrary%2Fx&tag=latest",
         JSON("200 OK", "25\r\n{\"error\":\"pull access denied for x\"}\n\r\n")},
        {NULL},
    };
    CLEANUP(outcome_release) struct outcome outcome = run(routes, "", WORDS("run", "x"));

    (void)state;
    assert_int_equal(outcome.status, 125);
    assert_string_equal(outcome.err, "Unable to find image 'x:latest' locally\n"
                                     "hull: pull access denied for x\n\n"
                                     "Run 'hull run --help' for more information\n");
}

static void test_older_engine(void **state)
{
    static const struct fake_route routes[] = {
        {"HEAD /_ping", "HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nContent-Length: 2\r\n\r\n"},
        {"POST /v1.44/containers/a/stop?t=3", EMPTY},
        {NULL},
    };
    CLEANUP(outcome_release)
    struct outcome outcome = run(routes, "", WORDS("stop", "-t", "3", "a", "b"));

    (void)state;
    assert_string_equal(outcome.out, "a\n");
    assert_string_equal(outcome.err, "Error response from daemon: page not found\n");
    assert_int_equal(outcome.status, 1);
}

static void test_upgrade_refused(void **state)
{
    static const struct fake_route routes[] = {
        PING,
        {"POST /v1.47/containers/c/exec", JSON("201 Created", "b\r\n{\"Id\":\"e1\"}\r\n")},
        {"POST /v1.47/exec/e1/start", "HTTP/1.1 409 X\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      "1c\r\n{\"message\":\"is not running\"}\r\n0\r\n\r\n"},
        {NULL},
    };
    CLEANUP(outcome_release) struct outcome outcome = run(routes, "", WORDS("exec", "c", "ls"));

    (void)state;
    assert_string_equal(outcome.err, "Error response from daemon: is not running\n");
    assert_int_equal(outcome.status, 1);
}

static void test_compute_ls(void **state)
{
    static const struct fake_route routes[] = {
        PING,
        {"GET /v1.47/hull/compute",
         "HTTP/1.1 200 OK\r\nContent-Length: 135\r\n\r\n"
         "[{\"Id\":\"0123456789abcdef\",\"Name\":\"n\",\"Owner\":\"hull\",\"Type\":"
         "\"VirtualMachine\","
         "\"Engine\":\"uml\",\"WorkerPid\":7,\"Memory\":18874368,\"User\":\"u\"}]"},
        {NULL},
    };
    CLEANUP(outcome_release) struct outcome narrow = run(routes, "", WORDS("compute", "ls"));
    CLEANUP(outcome_release)
    struct outcome json = run(routes, "", WORDS("compute", "ls", "--format", "json"));
    CLEANUP(outcome_release)
    struct outcome wide = run(
        routes, "",
        WORDS("compute", "ls", "-o", "wide", "--format", "{{.WorkerPid}} {{.VmmPid}}{{.Memory}}"));

    (void)state;
    assert_string_equal(narrow.out, "Id             Name      Owner     Type\n"
                                    "0123456789ab   n         hull      VirtualMachine\n");
    assert_non_null(strstr(json.out, "\"WorkerPid\":7"));
    assert_string_equal(wide.out, "7 18MiB\n");
}

static void test_no_engine(void **state)
{
    struct cli cli = {.out = tmpfile(), .err = tmpfile(), .in = -EBADF};
    char *const *argv = WORDS("hull", "-H", "unix:///nonexistent/socket", "ps");
    CLEANUP_FREE char *err = NULL;

    (void)state;
    assert_int_equal(cli_main(&cli, 4, argv), 1);
    err = read_back(cli.err);
    assert_string_equal(
        err, "Cannot connect to the hull daemon at unix:///nonexistent/socket. Is the hull "
             "daemon running?\n");
    fclose(cli.out);
}

static void test_usage_errors(void **state)
{
    static const struct fake_route routes[] = {{NULL}};
    CLEANUP(outcome_release) struct outcome unknown = run(routes, "", WORDS("bogus"));
    CLEANUP(outcome_release) struct outcome few = run(routes, "", WORDS("rm"));
    CLEANUP(outcome_release) struct outcome option = run(routes, "", WORDS("ps", "--bogus"));
    CLEANUP(outcome_release) struct outcome in_group = run(routes, "", WORDS("network", "bogus"));

    (void)state;
    assert_int_equal(unknown.status, 1);
    assert_int_equal(few.status, 1);
    assert_int_equal(option.status, 125);
    assert_int_equal(in_group.status, 1);
    assert_true(string_starts_with(few.err, "hull: 'hull rm' requires at least 1 argument\n"));
    assert_true(string_starts_with(option.err, "unknown flag: --bogus\n"));
    assert_string_equal(option.requests, "");
}

static void test_help_of_every_command(void **state)
{
    static const struct fake_route routes[] = {{NULL}};

    (void)state;
    for (const struct command *const *c = cli_commands; *c; c++) {
        CLEANUP_STRV char **words = NULL;
        CLEANUP_FREE char *start = string_format("Usage:  hull %s", (*c)->name);

        assert_true(strv_split((*c)->name, ' ', &words) >= 0 && strv_append(&words, "--help") >= 0);
        CLEANUP(outcome_release) struct outcome outcome = run(routes, "", words);
        assert_int_equal(outcome.status, 0);
        assert_true(string_starts_with(outcome.out, start));
    }
}

static void test_update(void **state)
{
    static const struct fake_route routes[] = {
        PING,
        {"POST /v1.47/containers/a/update",
         JSON("200 OK", "1b\r\n{\"Warnings\":[\"one\\u001b\"]}\r\n")},
        {"POST /v1.47/containers/b/update", JSON("200 OK", "11\r\n{\"Warnings\":null}\r\n")},
        {NULL},
    };
    CLEANUP(outcome_release)
    struct outcome outcome =
        run(routes, "",
            WORDS("update", "-m", "64m", "--memory-swap", "-1", "--cpus", "1.5", "--cpuset-cpus",
                  "0", "--restart", "on-failure:3", "a", "b"));
    CLEANUP(outcome_release)
    struct outcome nothing = run(routes, "", WORDS("update", "a"));

    (void)state;
    assert_string_equal(outcome.err, "one\\x1b\n");
    assert_string_equal(outcome.out, "a\nb\n");
    assert_int_equal(outcome.status, 0);
    assert_non_null(strstr(outcome.requests,
                           "{\"NanoCpus\":1500000000,\"CpusetCpus\":\"0\",\"Memory\":67108864,"
                           "\"MemorySwap\":-1,\"RestartPolicy\":{\"Name\":\"on-failure\","
                           "\"MaximumRetryCount\":3}}"));
    assert_int_equal(nothing.status, 1);
    assert_string_equal(nothing.err,
                        "you must provide one or more flags when using this command\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_run_attached),
        cmocka_unit_test(test_exec_with_input),
        cmocka_unit_test(test_start_failure_codes),
        cmocka_unit_test(test_run_pulls_what_is_missing),
        cmocka_unit_test(test_older_engine),
        cmocka_unit_test(test_upgrade_refused),
        cmocka_unit_test(test_compute_ls),
        cmocka_unit_test(test_no_engine),
        cmocka_unit_test(test_usage_errors),
        cmocka_unit_test(test_help_of_every_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
