/* The moments before a program runs: what others in the container could see of it, and what happens
 * when they stop it. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "sandbox/seccomp-filter.h"
#include "sandbox/stage.h"
#include "spec/defaults.h"
#include "spec/seccomp.h"

enum { TRACE_OPTIONS = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL };

static struct outcome outcome;

/* A process at its birth inside the container's pid namespace. */
struct newborn {
    bool seen;
    uint64_t permitted;
    uint64_t bounding;
    int seccomp;
    int n_sockets; /* descriptors behind the standard ones */
    int n_others;
};

static uint64_t status_number(const char *status, const char *name, int base)
{
    const char *line = strstr(status, name);

    assert_non_null(line);
    return strtoull(line + strlen(name), NULL, base);
}

static void read_descriptors(pid_t pid, struct newborn *ret)
{
    CLEANUP_FREE char *path = string_format("/proc/%d/fd", (int)pid);
    CLEANUP_DIR DIR *dir = opendir(path);
    struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        char target[256];
        ssize_t n;
        int fd;

        if (string_to_int(entry->d_name, 3, INT32_MAX, &fd) < 0)
            continue;
        n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        assert_true(n > 0);
        target[n] = '\0';
        if (string_starts_with(target, "socket:"))
            ret->n_sockets++;
        else
            ret->n_others++;
    }
}

/* A new tracee has stopped before its first instruction. */
static void examine(pid_t pid, struct newborn *ret)
{
    CLEANUP_FREE char *path = string_format("/proc/%d/status", (int)pid);
    CLEANUP(buffer_release) struct buffer status = BUFFER_INIT(65536);
    const char *line;

    assert_int_equal(file_read(AT_FDCWD, path, &status, NULL), 0);
    line = strstr(status.data, "\nNSpid:\t");
    assert_non_null(line);
    line += strlen("\nNSpid:\t");
    if (!memchr(line, '\t', strcspn(line, "\n")) || ret->seen)
        return; /* the helper, out of the container's sight; or a child of the program */
    ret->seen = true;
    ret->permitted = status_number(status.data, "\nCapPrm:\t", 16);
    ret->bounding = status_number(status.data, "\nCapBnd:\t", 16);
    ret->seccomp = (int)status_number(status.data, "\nSeccomp:\t", 10);
    read_descriptors(pid, ret);
}

/* Traces `worker` and all that it makes to their ends; its exit status. */
static int watch(pid_t worker, int go_fd, struct newborn *ret)
{
    int result = -1;

    assert_int_equal(ptrace(PTRACE_SEIZE, worker, NULL, (void *)(uintptr_t)TRACE_OPTIONS), 0);
    assert_int_equal(write(go_fd, "", 1), 1);
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        int event = status >> 16;
        int signal = WSTOPSIG(status);

        if (pid < 0 && errno == ECHILD)
            return result;
        assert_true(pid > 0);
        if (pid == worker && WIFEXITED(status))
            result = WEXITSTATUS(status);
        if (!WIFSTOPPED(status))
            continue;
        if (event == PTRACE_EVENT_STOP && signal == SIGTRAP)
            examine(pid, ret);
        if (event != 0)
            signal = 0;
        (void)ptrace(PTRACE_CONT, pid, NULL, (void *)(uintptr_t)signal);
    }
}

/* In the process that owns the container, so that its children can be traced from outside. */
static _Noreturn void own(struct spec_runtime *config, struct spec_process *process, int ready_fd,
                          int go_fd)
{
    struct running running;
    char byte;

    fixture_start(config, &running);
    fixture_wait_for(running.output, "ready");
    if (write(ready_fd, "", 1) != 1 || read(go_fd, &byte, 1) != 1)
        _exit(100);
    fixture_exec(&running, process, &outcome);
    fixture_stop(&running);
    if (outcome.code < 0)
        print_message("exec: %s\n", outcome.error.message);
    _exit(outcome.code < 0 ? 101 : outcome.status);
}

static int exec_watched(struct spec_runtime *config, struct spec_process *process,
                        struct newborn *ret)
{
    int ready[2];
    int go[2];
    char byte;
    pid_t worker;
    int status;

    *ret = (struct newborn){.seen = false};
    assert_int_equal(fd_pipe(0, ready), 0);
    assert_int_equal(fd_pipe(0, go), 0);
    worker = fork();
    if (worker == 0)
        own(config, process, ready[1], go[0]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    status = watch(worker, go[1], ret);
    close(ready[0]);
    close(go[0]);
    close(go[1]);
    spec_runtime_free(config);
    spec_process_free(process);
    return status;
}

static struct spec_runtime *tracer_config(void)
{
    struct spec_runtime *config = fixture_config("echo ready; exec sleep 100");

    spec_set_capabilities(config, spec_default_capabilities() | CAPABILITY_BIT(CAP_SYS_PTRACE));
    return config;
}

/* In a container with CAP_SYS_PTRACE a program can be traced from the moment it is in the pid
 * namespace: then it must have nothing that it will not have in the end. */
static void test_exec_has_nothing(void **state)
{
    struct spec_process *process;
    struct newborn newborn;

    fixture_ready(state);
    assert_int_equal(exec_watched(tracer_config(), fixture_process("exit 7"), &newborn), 7);
    assert_true(newborn.seen);
    assert_int_equal(newborn.permitted, spec_default_capabilities());
    assert_int_equal(newborn.bounding, spec_default_capabilities());
    assert_int_equal(newborn.seccomp, 2);
    assert_int_equal(newborn.n_sockets, 1); /* to the caller */
    assert_int_equal(newborn.n_others, 0);
    process = fixture_process("id -u; exit 8");
    process->no_new_privileges = true;
    string_replace(&process->user.username, "alice");
    assert_int_equal(exec_watched(tracer_config(), process, &newborn), 8);
    assert_true(newborn.seen);
    assert_int_equal(newborn.permitted & ~spec_default_capabilities(), 0);
    assert_int_equal(newborn.seccomp, 2);
    fixture_assert_clean();
}

static struct spec_seccomp *refuse(const char *call)
{
    struct spec_seccomp *seccomp = NULL;
    CLEANUP_FREE char *text = string_format("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
                                            "\"names\":[\"%s\"],\"action\":\"SCMP_ACT_ERRNO\"}]}",
                                            call);
    CLEANUP_JSON json_t *json = NULL;

    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    assert_int_equal(spec_seccomp_from_json(json, &seccomp, NULL), 0);
    return seccomp;
}

static void use_profile(struct spec_runtime *config, const char *refused)
{
    spec_seccomp_free(config->linux_.seccomp);
    config->linux_.seccomp = refuse(refused);
}

/* What only this library needs on the way to a program is not what a profile has to allow. */
static void test_start_under_narrow_profile(void **state)
{
    static const char *const calls[] = {"poll", "ppoll", "setsid", "setresuid", "prlimit64"};

    fixture_ready(state);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct spec_runtime *config = fixture_config("echo runs");

        use_profile(config, calls[i]);
        string_replace(&config->process->user.username, "alice");
        fixture_run(config, &outcome);
        if (outcome.code < 0 || !string_equal(outcome.output, "runs\n"))
            fail_msg("%s: %s%s", calls[i], outcome.error.message, outcome.output);
    }
    fixture_assert_clean();
}

/* A profile that refuses what is called between clone and execve is installed after the clone. */
static void test_exec_under_narrow_profile(void **state)
{
    static const char *const calls[] = {"clone", "setsid", "prlimit64"};
    struct running running;
    struct spec_process *process;
    struct spec_runtime *config;

    fixture_ready(state);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        config = fixture_config("exec sleep 100");
        use_profile(config, calls[i]);
        fixture_start(config, &running);
        process = fixture_process("while read k v; do "
                                  "case $k in CapPrm:|Seccomp:) echo $v;; esac; done "
                                  "< /proc/self/status");
        fixture_exec(&running, process, &outcome);
        if (outcome.code < 0)
            fail_msg("%s: %s", calls[i], outcome.error.message);
        assert_string_equal(outcome.output, "00000000a80425fb\n2\n");
        spec_process_free(process);
        fixture_stop(&running);
    }
    config = tracer_config();
    use_profile(config, "setsid");
    fixture_start(config, &running);
    process = fixture_process("true");
    fixture_exec(&running, process, &outcome);
    assert_int_equal(outcome.code, -EINVAL);
    assert_non_null(strstr(outcome.error.message, "CAP_SYS_PTRACE"));
    process->no_new_privileges = true; /* needs no right for the filter */
    fixture_exec(&running, process, &outcome);
    assert_int_equal(outcome.code, 0);
    spec_process_free(process);
    fixture_stop(&running);
    fixture_assert_clean();
}

/* The process that clones the program is not one of the user's two. */
static void test_exec_limit_of_processes(void **state)
{
    struct running running;
    struct spec_process *process;

    fixture_ready(state);
    fixture_start(fixture_config("exec sleep 100"), &running);
    process = fixture_process("exec cat /proc/self/limits");
    process->rlimits = calloc(1, sizeof(*process->rlimits));
    process->rlimits[0] = (struct spec_rlimit){.resource = RLIMIT_NPROC, .soft = 1, .hard = 1};
    process->n_rlimits = 1;
    string_replace(&process->user.username, "bob");
    fixture_exec(&running, process, &outcome);
    if (outcome.code < 0)
        fail_msg("%s", outcome.error.message);
    assert_non_null(strstr(outcome.output, "Max processes             1 "));
    spec_process_free(process);
    fixture_stop(&running);
    fixture_assert_clean();
}

/* The working directory is looked up where the program will be. */
static void test_exec_directory_of_itself(void **state)
{
    struct running running;
    struct spec_process *process;

    fixture_ready(state);
    fixture_start(fixture_config("exec sleep 100"), &running);
    process = fixture_process("pwd");
    string_replace(&process->cwd, "/proc/self/attr");
    fixture_exec(&running, process, &outcome);
    assert_int_equal(outcome.code, 0);
    assert_non_null(strstr(outcome.output, "/attr"));
    spec_process_free(process);
    fixture_stop(&running);
    fixture_assert_clean();
}

/* A first process that is stopped, as somebody in a shared pid namespace can, or that hangs in a
 * mount, is given up. The hook stops it before it is told to go on, or to exec. */
static void test_stopped_start(void **state)
{
    static char script[] = "read state; pid=${state##*pid?:}; kill -STOP ${pid%%,*}";
    static char sh[] = "/bin/sh";
    static char flag[] = "-c";
    struct spec_runtime *config;
    struct spec_hook *hook;

    fixture_ready(state);
    config = fixture_config("true");
    hook = calloc(1, sizeof(*hook));
    assert_non_null(hook);
    hook->path = strdup(sh);
    strv_append(&hook->args, sh);
    strv_append(&hook->args, flag);
    strv_append(&hook->args, script);
    hook->timeout = 10;
    config->hooks[SPEC_HOOK_CREATE_RUNTIME] = (struct spec_hooks){.hooks = hook, .n_hooks = 1};
    fixture_stage_timeout_ms = 200;
    fixture_run(config, &outcome);
    fixture_stage_timeout_ms = 0;
    assert_int_equal(outcome.code, -ETIMEDOUT);
    assert_non_null(strstr(outcome.error.message, "did not answer within 200 ms"));
    fixture_assert_clean();
}

/* What comes over the channel may come from a hostile process. */
static void test_hostile_messages(void **state)
{
    struct stage_message message = {.kind = STAGE_FAILED};
    struct stage_message got;
    int ends[2];

    (void)state;
    assert_int_equal(fd_socketpair(SOCK_SEQPACKET, ends), 0);
    message.error.code = 5;
    message.error.class = (enum error_class)77;
    memset(message.error.message, 'x', sizeof(message.error.message));
    assert_int_equal(write(ends[1], &message, sizeof(message)), sizeof(message));
    assert_int_equal(stage_receive(ends[0], &got, NULL), 0);
    assert_int_equal(got.error.code, -EIO);
    assert_int_equal(got.error.class, ERROR_SYSTEM);
    assert_int_equal(strlen(got.error.message), ERROR_MESSAGE_MAX - 1);
    message.error.code = INT32_MIN;
    assert_int_equal(write(ends[1], &message, sizeof(message)), sizeof(message));
    assert_int_equal(stage_receive(ends[0], &got, NULL), 0);
    assert_int_equal(got.error.code, -EIO);
    assert_int_equal(stage_await(ends[0], 0), -ETIMEDOUT);
    close(ends[1]);
    assert_int_equal(stage_await(ends[0], -1), 0);
    assert_int_equal(stage_receive(ends[0], &got, NULL), 0);
    assert_int_equal(got.kind, STAGE_END);
    close(ends[0]);
}

static void test_foreign_pid(void **state)
{
    struct process self = PROCESS_INIT;
    struct process child = PROCESS_INIT;
    pid_t pid;

    (void)state;
    assert_int_equal(process_open(getpid(), &self), 0);
    assert_false(stage_is_child(&self));
    pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(process_open(pid, &child), 0);
    assert_true(stage_is_child(&child));
    assert_int_equal(process_wait(&child, NULL), 0);
    assert_false(stage_is_child(&child));
    process_release(&self);
    process_release(&child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec_has_nothing),
        cmocka_unit_test(test_start_under_narrow_profile),
        cmocka_unit_test(test_exec_under_narrow_profile),
        cmocka_unit_test(test_exec_limit_of_processes),
        cmocka_unit_test(test_exec_directory_of_itself),
        cmocka_unit_test(test_stopped_start),
        cmocka_unit_test(test_hostile_messages),
        cmocka_unit_test(test_foreign_pid),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
