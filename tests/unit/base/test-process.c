#include <poll.h>
#include <signal.h>

#include "base/fd.h"
#include "base/process.h"
#include "unit.h"

static struct process start_shell(const char *script)
{
    char shell[] = "/bin/sh";
    char option[] = "-c";
    CLEANUP_FREE char *text = strdup(script);
    char *argv[] = {shell, option, text, NULL};
    struct process_spec spec = {.argv = argv, .flags = PROCESS_DIE_WITH_PARENT};
    struct process process = PROCESS_INIT;

    assert_int_equal(process_spawn(&spec, &process, NULL), 0);
    assert_true(process.pid > 0 && process.pidfd >= 0);
    return process;
}

static void test_exit_status(void **state)
{
    CLEANUP(process_release) struct process process = start_shell("exit 42");
    int status = -1;

    (void)state;
    assert_int_equal(process_wait(&process, &status), 0);
    assert_int_equal(status, 42);
    assert_int_equal(process_wait(&process, &status), -ECHILD);
    assert_false(process_is_alive(&process));
    assert_int_equal(process_signal(&process, SIGTERM), -ESRCH);
}

static void test_death_by_signal(void **state)
{
    CLEANUP(process_release) struct process process = start_shell("exec sleep 60");
    int status = -1;

    (void)state;
    assert_true(process_is_alive(&process));
    assert_int_equal(process_signal(&process, 0), 0);
    assert_int_equal(process_signal(&process, SIGTERM), 0);
    assert_int_equal(process_wait(&process, &status), 0);
    assert_int_equal(status, 128 + SIGTERM);
}

static void test_zombie_counts_as_ended(void **state)
{
    CLEANUP(process_release) struct process process = start_shell("exit 0");
    struct pollfd ended = {.fd = process.pidfd, .events = POLLIN};

    (void)state;
    assert_int_equal(poll(&ended, 1, -1), 1);
    assert_false(process_is_alive(&process));
    assert_int_equal(process_wait(&process, NULL), 0);
}

static void test_wait_with_timeout(void **state)
{
    CLEANUP(process_release) struct process process = start_shell("exec sleep 60");
    int status = -1;

    (void)state;
    assert_int_equal(process_wait_timeout(&process, 20, &status), -ETIMEDOUT);
    assert_int_equal(process_wait_timeout(&process, 0, &status), -ETIMEDOUT);
    assert_int_equal(status, -1);
    assert_true(process_is_alive(&process));
    assert_int_equal(process_signal(&process, SIGKILL), 0);
    assert_int_equal(process_wait_timeout(&process, 60000, &status), 0);
    assert_int_equal(status, 128 + SIGKILL);
}

static void test_end(void **state)
{
    CLEANUP(process_release) struct process quick = start_shell("exit 0");
    CLEANUP(process_release) struct process slow = start_shell("trap '' TERM; exec sleep 60");
    CLEANUP(process_release) struct process slower = start_shell("exec sleep 60");
    const struct process nobody = PROCESS_INIT;
    int status = -1;

    (void)state;
    assert_int_equal(process_end(&quick, 60000, 0), 0);
    assert_int_equal(process_wait(&quick, &status), 0);
    assert_int_equal(status, 0); /* by itself */
    assert_int_equal(process_end(&slow, 20, 60000), 0);
    assert_int_equal(process_wait(&slow, &status), 0);
    assert_int_equal(status, 128 + SIGKILL);
    assert_int_equal(process_end(&slower, 0, 60000), 0);
    assert_int_equal(process_wait(&slower, NULL), 0);
    assert_int_equal(process_end(&slower, 0, 60000), 0); /* it has ended */
    assert_int_equal(process_end(&nobody, 0, 0), 0);
}

static void test_release_forgets(void **state)
{
    struct process process = PROCESS_INIT;

    (void)state;
    process_release(&process);
    assert_int_equal(process_open(getpid(), &process), 0);
    assert_true(process_is_alive(&process));
    process_release(&process);
    assert_int_equal(process.pid, 0);
    assert_int_equal(process.pidfd, -EBADF);
    assert_int_equal(process_signal(&process, SIGKILL), -ESRCH);
    assert_int_equal(process_wait(&process, NULL), -ECHILD);
}

static void test_open_of_nobody(void **state)
{
    struct process process = PROCESS_INIT;

    (void)state;
    assert_int_equal(process_open(0, &process), -ESRCH);
    assert_int_equal(process_open(-1, &process), -ESRCH);
    assert_int_equal(process_open(0x7ffffff0, &process), -ESRCH);
    assert_int_equal(process.pid, 0);
}

static void test_start_time(void **state)
{
    CLEANUP(process_release) struct process process = start_shell("exec sleep 60");
    uint64_t own = process_start_time(getpid());
    uint64_t child = process_start_time(process.pid);

    (void)state;
    assert_true(own > 0);
    assert_true(child >= own);
    assert_true(process_start_time(getpid()) == own);
    assert_int_equal(process_start_time(0x7ffffff0), 0);
    assert_int_equal(process_start_time(0), 0);
    assert_int_equal(process_signal(&process, SIGKILL), 0);
    assert_int_equal(process_wait(&process, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_death_by_signal),
        cmocka_unit_test(test_zombie_counts_as_ended),
        cmocka_unit_test(test_wait_with_timeout),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_release_forgets),
        cmocka_unit_test(test_open_of_nobody),
        cmocka_unit_test(test_start_time),
    };

    return UNIT_RUN(tests);
}
