/* Containers while they run: exec, terminals, init, limits, freezing, and their end. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"
#include "spec/defaults.h"

static struct outcome outcome;

static void exec_script(struct running *running, const char *script)
{
    struct spec_process *process = fixture_process(script);

    fixture_exec(running, process, &outcome);
    spec_process_free(process);
}

static void test_exec(void **state)
{
    struct running running;
    struct spec_process *process;

    fixture_ready(state);
    fixture_start(fixture_config("echo ready; exec sleep 100"), &running);
    fixture_wait_for(running.output, "ready");
    exec_script(&running, "grep CapEff /proc/self/status; cat /proc/1/comm; exit 3");
    assert_int_equal(outcome.code, 0);
    assert_int_equal(outcome.status, 3);
    assert_string_equal(outcome.output, "CapEff:\t00000000a80425fb\nsleep\n");
    /* Same groups and namespaces as pid 1, and nothing but the three descriptors. */
    exec_script(&running, "test \"$(cat /proc/1/cgroup)\" = \"$(cat /proc/self/cgroup)\" && "
                          "for n in mnt pid net ipc uts; do test \"$(readlink /proc/1/ns/$n)\" = "
                          "\"$(readlink /proc/self/ns/$n)\" || exit 9; done; "
                          "grep Seccomp: /proc/self/status; n=0; for i in /proc/$$/fd/*; do "
                          "readlink $i > /dev/null && n=$((n+1)); done; echo $n");
    assert_int_equal(outcome.status, 0);
    assert_string_equal(outcome.output, "Seccomp:\t2\n3\n");
    process = fixture_process("exec 2> /dev/null; id -u; id -G; echo $HOME; pwd");
    string_replace(&process->user.username, "alice");
    string_replace(&process->cwd, "/tmp");
    fixture_exec(&running, process, &outcome);
    spec_process_free(process);
    assert_string_equal(outcome.output, "1000\n1000 10 44\n/home/alice\n/tmp\n");
    fixture_stop(&running);
    fixture_assert_clean();
}

static void test_exec_errors(void **state)
{
    struct running running;
    struct spec_process *process;

    fixture_ready(state);
    fixture_start(fixture_config("exec sleep 100"), &running);
    process = fixture_process("");
    string_replace(&process->args[0], "nonesuch");
    fixture_exec(&running, process, &outcome);
    assert_int_equal(outcome.code, -ENOENT);
    assert_string_equal(outcome.error.message,
                        "exec: \"nonesuch\": executable file not found in $PATH");
    string_replace(&process->args[0], "/etc/group");
    fixture_exec(&running, process, &outcome);
    assert_int_equal(outcome.code, -EACCES);
    assert_string_equal(outcome.error.message, "exec: \"/etc/group\": permission denied");
    string_replace(&process->args[0], "sh");
    string_replace(&process->cwd, "/none");
    fixture_exec(&running, process, &outcome);
    assert_int_equal(outcome.code, -ENOENT);
    assert_string_equal(
        outcome.error.message,
        "chdir to cwd (\"/none\") set in config.json failed: no such file or directory");
    string_replace(&process->cwd, "/");
    string_replace(&process->user.username, "nobody");
    fixture_exec(&running, process, &outcome);
    assert_string_equal(outcome.error.message,
                        "unable to find user nobody: no matching entries in passwd file");
    spec_process_free(process);
    fixture_stop(&running);
    fixture_assert_clean();
}

/* Once pid 1 is gone there is nothing to exec in. */
static void test_exec_after_end(void **state)
{
    struct running running;

    fixture_ready(state);
    fixture_start(fixture_config("true"), &running);
    assert_int_equal(process_wait_timeout(&running.process, 10000, NULL), 0);
    exec_script(&running, "true");
    assert_int_equal(outcome.code, -EBUSY);
    assert_int_equal(outcome.error.class, ERROR_CONFLICT);
    fixture_stop(&running);
    fixture_assert_clean();
}

/* However far an exec has come when pid 1 ends, it says so in one of two ways. */
static void test_exec_while_it_ends(void **state)
{
    struct running running;
    struct spec_process *process;

    fixture_ready(state);
    for (int i = 0; i < 10; i++) {
        fixture_start(fixture_config("exec sleep 0.03"), &running);
        process = fixture_process("true");
        do
            fixture_exec(&running, process, &outcome);
        while (outcome.code >= 0);
        if (!strstr(outcome.error.message, "cannot exec in a stopped container") &&
            !strstr(outcome.error.message, "is not running"))
            fail_msg("%s", outcome.error.message);
        spec_process_free(process);
        fixture_stop(&running);
    }
    fixture_assert_clean();
}

static void test_terminal(void **state)
{
    struct running running;
    struct spec_runtime *config;
    struct winsize size = {.ws_row = 50, .ws_col = 132};
    int status = -1;

    fixture_ready(state);
    config = fixture_config("stty size; test -t 0 && test -t 1 && test -c /dev/console && "
                            "echo tty > /dev/tty; trap 'stty size; exit 4' WINCH; echo ready; "
                            "while :; do sleep 0.1; done");
    config->process->terminal = true;
    config->process->console_width = 100;
    config->process->console_height = 30;
    string_replace(&config->process->user.username, "alice");
    fixture_start(config, &running);
    assert_true(running.terminal >= 0);
    fixture_wait_for(running.terminal, "30 100\r\ntty\r\nready\r\n");
    assert_int_equal(ioctl(running.terminal, TIOCSWINSZ, &size), 0);
    fixture_wait_for(running.terminal, "50 132");
    assert_int_equal(process_wait_timeout(&running.process, 10000, &status), 0);
    assert_int_equal(status, 4);
    fixture_stop(&running);
    fixture_assert_clean();
}

static void test_exec_terminal(void **state)
{
    struct running running;
    struct spec_process *process;
    struct process program = PROCESS_INIT;
    struct error error = ERROR_INIT;
    int terminal = -EBADF;
    int status = -1;

    fixture_ready(state);
    fixture_start(fixture_config("exec sleep 100"), &running);
    process = fixture_process("stty size; read line; echo got $line; exit 5");
    process->terminal = true;
    process->console_width = 81;
    process->console_height = 25;
    assert_int_equal(sandbox_exec(running.sandbox, process, NULL, &program, &terminal, &error), 0);
    fixture_wait_for(terminal, "25 81");
    assert_int_equal(fd_write_full(terminal, "hello\n", 6), 0);
    fixture_wait_for(terminal, "got hello");
    assert_int_equal(process_wait_timeout(&program, 10000, &status), 0);
    assert_int_equal(status, 5);
    process_release(&program);
    spec_process_free(process);
    close(terminal);
    fixture_stop(&running);
    fixture_assert_clean();
}

static void test_init(void **state)
{
    struct running running;
    struct spec_runtime *config;
    int status = -1;

    fixture_ready(state);
    /* The orphan of a subshell is reaped, a signal is passed on, the status is the program's. */
    config = fixture_config("(sleep 0.1 & ); sleep 0.5; cat /proc/[0-9]*/status | grep -c zombie; "
                            "cat /proc/1/comm; trap 'exit 42' TERM; echo ready; "
                            "while :; do sleep 0.1; done");
    spec_runtime_set_annotation(config, SPEC_ANNOTATION_INIT, "true");
    string_replace(&config->process->user.username, "alice");
    fixture_start(config, &running);
    fixture_wait_for(running.output, "0\ninit\nready");
    assert_int_equal(sandbox_signal(running.sandbox, SIGTERM, false, NULL), 0);
    assert_int_equal(process_wait_timeout(&running.process, 10000, &status), 0);
    assert_int_equal(status, 42);
    fixture_stop(&running);
    config = fixture_config("kill -KILL $$");
    spec_runtime_set_annotation(config, SPEC_ANNOTATION_INIT, "true");
    fixture_run(config, &outcome);
    assert_int_equal(outcome.status, 128 + SIGKILL);
    fixture_assert_clean();
}

static void test_pids_limit(void **state)
{
    struct spec_runtime *config;

    fixture_ready(state);
    config = fixture_config("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo made");
    config->linux_.resources.pids_limit = 4;
    fixture_run(config, &outcome);
    assert_int_equal(outcome.code, 0);
    assert_non_null(strstr(outcome.output, "can't fork"));
    fixture_assert_clean();
}

static void test_memory_limit(void **state)
{
    struct running running;
    struct spec_runtime *config;
    uint64_t kills = 0;

    fixture_ready(state);
    config = fixture_config("dd if=/dev/zero of=/dev/null bs=64M count=1; echo status=$?; "
                            "exec sleep 100");
    config->linux_.resources.memory_limit = 16 << 20;
    config->linux_.resources.memory_swap = 16 << 20;
    fixture_start(config, &running);
    fixture_wait_for(running.output, "status=137");
    assert_int_equal(sandbox_oom_kills(running.sandbox, &kills), 0);
    assert_int_equal(kills, 1);
    fixture_stop(&running);
    fixture_assert_clean();
}

static void test_update(void **state)
{
    struct running running;
    struct spec_resources resources = {.memory_limit = 32 << 20, .pids_limit = 7};
    struct spec_resources lower = {.memory_limit = 24 << 20, .memory_swap = 48 << 20};

    fixture_ready(state);
    fixture_start(fixture_config("exec sleep 100"), &running);
    assert_int_equal(sandbox_update(running.sandbox, &resources, NULL), 0);
    exec_script(&running, "cat /sys/fs/cgroup/memory*/memory.limit_in_bytes "
                          "/sys/fs/cgroup/pids*/pids.max");
    if (outcome.status == 0)
        assert_string_equal(outcome.output, "33554432\n7\n");
    assert_int_equal(sandbox_update(running.sandbox, &lower, NULL), 0);
    fixture_stop(&running);
    fixture_assert_clean();
}

static void test_freeze(void **state)
{
    struct running running;
    struct pollfd poll_fd;
    char text[4096];

    fixture_ready(state);
    fixture_start(fixture_config("while :; do echo tick; sleep 0.05; done"), &running);
    fixture_wait_for(running.output, "tick");
    assert_int_equal(sandbox_freeze(running.sandbox, true, NULL), 0);
    poll_fd = (struct pollfd){.fd = running.output, .events = POLLIN};
    while (poll(&poll_fd, 1, 0) > 0)
        assert_true(read(running.output, text, sizeof(text)) > 0);
    assert_int_equal(poll(&poll_fd, 1, 300), 0);
    exec_script(&running, "true");
    assert_int_equal(outcome.error.class, ERROR_CONFLICT);
    assert_int_equal(sandbox_freeze(running.sandbox, false, NULL), 0);
    fixture_wait_for(running.output, "tick");
    /* A frozen container can be removed, too. */
    assert_int_equal(sandbox_freeze(running.sandbox, true, NULL), 0);
    fixture_stop(&running);
    fixture_assert_clean();
}

static void test_pids(void **state)
{
    struct running running;
    pid_t *pids = NULL;
    size_t n = 0;

    fixture_ready(state);
    fixture_start(fixture_config("sleep 100 & sleep 100 & echo ready; wait"), &running);
    fixture_wait_for(running.output, "ready");
    assert_int_equal(sandbox_pids(running.sandbox, &pids, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_int_equal(pids[0], running.process.pid);
    free(pids);
    assert_int_equal(sandbox_signal(running.sandbox, SIGKILL, true, NULL), 0);
    assert_int_equal(process_wait_timeout(&running.process, 10000, NULL), 0);
    fixture_stop(&running);
    fixture_assert_clean();
}

/* destroy() ends pid 1, its children and what was exec'd, and takes the statuses of the last. */
static void test_destroy_running(void **state)
{
    struct running running;
    struct spec_process *process;
    struct process program = PROCESS_INIT;
    int terminal = -EBADF;

    fixture_ready(state);
    fixture_start(fixture_config("trap '' TERM; sleep 100 & sleep 100"), &running);
    process = fixture_process("sleep 100 & sleep 100");
    assert_int_equal(sandbox_exec(running.sandbox, process, NULL, &program, &terminal, NULL), 0);
    spec_process_free(process);
    fixture_stop(&running);
    assert_int_equal(process_wait(&program, NULL), -ECHILD);
    process_release(&program);
    fixture_assert_clean();
}

/* Without a pid namespace only the cgroup knows which processes are the container's. */
static void test_destroy_host_pids(void **state)
{
    struct running running;
    struct spec_runtime *config;

    fixture_ready(state);
    config = fixture_config("sleep 100 & sleep 100 & echo ready; exit 0");
    config->linux_.namespaces[SPEC_NAMESPACE_PID].wanted = false;
    fixture_start(config, &running);
    fixture_wait_for(running.output, "ready");
    fixture_stop(&running);
    fixture_assert_clean();
}

/* Who created the container takes it along when it dies. */
static void test_parent_death(void **state)
{
    struct pollfd poll_fd;
    int pipe_fds[2];
    pid_t pid;

    fixture_ready(state);
    assert_int_equal(fd_pipe(0, pipe_fds), 0);
    pid = fork();
    if (pid == 0) {
        struct running running;

        close(pipe_fds[0]);
        fixture_start(fixture_config("exec sleep 1000"), &running);
        if (write(pipe_fds[1], &running.process.pid, sizeof(pid_t)) < 0)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    close(pipe_fds[1]);
    pid_t container = 0;
    assert_int_equal(read(pipe_fds[0], &container, sizeof(container)), sizeof(container));
    struct process process = PROCESS_INIT;
    if (process_open(container, &process) == 0) {
        poll_fd = (struct pollfd){.fd = process.pidfd, .events = POLLIN};
        assert_int_equal(poll(&poll_fd, 1, 10000), 1);
        process_release(&process);
    }
    close(pipe_fds[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    fixture_clean();
    fixture_clean(); /* nothing there is success */
    fixture_assert_clean();
    fixture_run(fixture_config("true"), &outcome);
    assert_int_equal(outcome.code, 0);
}

static void test_init_and_phase_errors(void **state)
{
    struct running running;
    struct error error = ERROR_INIT;

    fixture_ready(state);
    fixture_start(fixture_config("exec sleep 100"), &running);
    assert_int_equal(sandbox_start(running.sandbox, &error), -EBUSY);
    assert_int_equal(sandbox_destroy(running.sandbox, NULL), 0);
    assert_int_equal(sandbox_destroy(running.sandbox, NULL), 0); /* safe to repeat */
    fixture_stop(&running);
    fixture_assert_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_exec_errors),
        cmocka_unit_test(test_exec_after_end),
        cmocka_unit_test(test_exec_while_it_ends),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_exec_terminal),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_pids_limit),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_pids),
        cmocka_unit_test(test_destroy_running),
        cmocka_unit_test(test_destroy_host_pids),
        cmocka_unit_test(test_parent_death),
        cmocka_unit_test(test_init_and_phase_errors),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
