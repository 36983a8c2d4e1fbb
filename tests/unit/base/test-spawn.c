/* process_spawn(). The programs it starts are this one again, told by its first argument what to
 * look at, and answering on its stdout. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/process.h"
#include "unit.h"

enum { ANSWER_MAX = 4096 };

static char self[] = "/proc/self/exe";

/* --- the started program --- */

static int show_fds(void)
{
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("%d ", fd);
    return 0;
}

static int show_signals(void)
{
    sigset_t mask;
    int ignored = 0;
    int blocked = 0;

    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int signal = 1; signal < NSIG; signal++) {
        /* Not sigaction(3), which hides the C library's own. The handler is the first member. */
        unsigned long action[8] = {0};

        if (syscall(SYS_rt_sigaction, signal, NULL, action, (NSIG - 1) / 8) == 0)
            ignored += action[0] == (unsigned long)(uintptr_t)SIG_IGN;
        blocked += sigismember(&mask, signal) == 1;
    }
    printf("ignored %d blocked %d", ignored, blocked);
    return 0;
}

static int show_stdio(void)
{
    struct stat null;
    struct stat in;
    struct stat error;

    stat("/dev/null", &null);
    fstat(0, &in);
    fstat(2, &error);
    printf("%d %d", in.st_rdev == null.st_rdev, error.st_rdev == null.st_rdev);
    return 0;
}

/* Writes the number of each descriptor from 3 on into it. */
static int mark_fds(void)
{
    for (int fd = 3; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            dprintf(fd, "%d", fd);
    return 0;
}

static int show_place(void)
{
    char directory[PATH_MAX];
    int death_signal = -1;

    prctl(PR_GET_PDEATHSIG, &death_signal);
    printf("%s %d %d %s", getcwd(directory, sizeof(directory)), getsid(0) == getpid(), death_signal,
           getenv("HULL_TEST") ? getenv("HULL_TEST") : "-");
    return 0;
}

/* Starts a child that dies with us, tells its pid, and dies. */
static int orphan(void)
{
    char program[] = "/bin/sleep";
    char seconds[] = "60";
    char *argv[] = {program, seconds, NULL};
    struct process_fd fds[] = {{.fd = 1, .as = 1}};
    struct process_spec spec = {
        .argv = argv, .fds = fds, .n_fds = 1, .flags = PROCESS_DIE_WITH_PARENT};
    struct process process = PROCESS_INIT;

    if (process_spawn(&spec, &process, NULL) < 0)
        return 1;
    dprintf(1, "%d", process.pid);
    kill(getpid(), SIGKILL);
    return 1;
}

static int run_as_child(const char *what)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } modes[] = {
        {"fds", show_fds},  {"signals", show_signals}, {"stdio", show_stdio},
        {"mark", mark_fds}, {"place", show_place},     {"orphan", orphan},
    };

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(modes[i].name, what) == 0)
            return modes[i].run();
    return 99;
}

/* --- the tests --- */

/* Starts ourselves with stdout on a pipe; `spec` may bring further settings. */
static int ask(const char *what, struct process_spec *spec, char answer[ANSWER_MAX])
{
    struct process_fd fds[PROCESS_FDS_MAX];
    CLEANUP(process_release) struct process process = PROCESS_INIT;
    CLEANUP_FREE char *mode = strdup(what);
    char *argv[] = {self, mode, NULL};
    int ends[2];
    int status = -1;
    ssize_t n;

    assert_int_equal(fd_pipe(0, ends), 0);
    for (size_t i = 0; i < spec->n_fds; i++)
        fds[i] = spec->fds[i];
    fds[spec->n_fds++] = (struct process_fd){.fd = ends[1], .as = 1};
    spec->fds = fds;
    spec->argv = argv;
    assert_int_equal(process_spawn(spec, &process, NULL), 0);
    fd_close(ends[1]);
    n = fd_read_full(ends[0], answer, ANSWER_MAX - 1);
    assert_true(n >= 0);
    answer[n] = '\0';
    fd_close(ends[0]);
    assert_int_equal(process_wait(&process, &status), 0);
    return status;
}

static void test_only_listed_descriptors_are_open(void **state)
{
    int leaky = open("/dev/null", O_RDONLY); /* without CLOEXEC, as careless code has it */
    int high = fcntl(leaky, F_DUPFD, 900);
    struct process_fd fds[] = {{.fd = leaky, .as = 5}, {.fd = leaky, .as = 700}};
    struct process_spec plain = {0};
    struct process_spec listed = {.fds = fds, .n_fds = 2};
    char answer[ANSWER_MAX];

    (void)state;
    assert_true(leaky >= 0 && high >= 900);
    assert_int_equal(ask("fds", &plain, answer), 0);
    assert_string_equal(answer, "0 1 2 ");
    assert_int_equal(ask("fds", &listed, answer), 0);
    assert_string_equal(answer, "0 1 2 5 700 ");
    close(leaky);
    close(high);
}

static void test_stdio_defaults_to_null(void **state)
{
    struct process_spec spec = {0};
    char answer[ANSWER_MAX];

    (void)state;
    assert_int_equal(ask("stdio", &spec, answer), 0);
    assert_string_equal(answer, "1 1");
}

/* A cycle of three descriptors, each of which goes where the next one is. */
static void test_descriptor_collisions(void **state)
{
    int fds[3];
    struct process_fd map[3];
    struct process_spec spec = {.fds = map, .n_fds = 3};
    char answer[ANSWER_MAX];

    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[] = {'f', (char)('0' + i), '\0'};
        int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        fds[i] = dup3(fd, 30 + i, O_CLOEXEC);
        assert_int_equal(fds[i], 30 + i);
        close(fd);
    }
    for (int i = 0; i < 3; i++)
        map[i] = (struct process_fd){.fd = 30 + i, .as = 30 + (i + 1) % 3};
    assert_int_equal(ask("mark", &spec, answer), 0);
    for (int i = 0; i < 3; i++) {
        char text[8] = "";
        char expected[8];

        snprintf(expected, sizeof(expected), "%d", 30 + (i + 1) % 3);
        assert_int_equal(pread(fds[i], text, sizeof(text) - 1, 0), 2);
        assert_string_equal(text, expected);
        close(fds[i]);
    }
}

static void test_signals_are_reset(void **state)
{
    struct process_spec spec = {0};
    const unsigned long ignore_own[8] = {(unsigned long)(uintptr_t)SIG_IGN};
    const unsigned long none[8] = {0};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    sigset_t block;
    sigset_t old;
    char answer[ANSWER_MAX];

    (void)state;
    sigfillset(&block);
    sigaction(SIGPIPE, &ignore, &before);
    /* One that the C library keeps to itself, as whoever started us may have left it. */
    assert_int_equal(syscall(SYS_rt_sigaction, __SIGRTMIN, ignore_own, NULL, (NSIG - 1) / 8), 0);
    sigprocmask(SIG_SETMASK, &block, &old);
    assert_int_equal(ask("signals", &spec, answer), 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    sigaction(SIGPIPE, &before, NULL);
    (void)syscall(SYS_rt_sigaction, __SIGRTMIN, none, NULL, (NSIG - 1) / 8);
    assert_string_equal(answer, "ignored 0 blocked 0");
}

static void test_own_signal_mask_is_kept(void **state)
{
    struct process_spec spec = {0};
    sigset_t block;
    sigset_t after;
    char answer[ANSWER_MAX];

    (void)state;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR2);
    sigprocmask(SIG_SETMASK, &block, NULL);
    assert_int_equal(ask("signals", &spec, answer), 0);
    sigprocmask(SIG_SETMASK, NULL, &after);
    assert_true(sigismember(&after, SIGUSR2));
    assert_false(sigismember(&after, SIGUSR1));
    sigemptyset(&block);
    sigprocmask(SIG_SETMASK, &block, NULL);
}

static void test_directory_session_and_environment(void **state)
{
    char value[] = "HULL_TEST=yes";
    char *env[] = {value, NULL};
    struct process_spec spec = {.directory = "/proc", .env = env, .flags = PROCESS_SETSID};
    struct process_spec plain = {.directory = "/"};
    char answer[ANSWER_MAX];

    (void)state;
    assert_int_equal(ask("place", &spec, answer), 0);
    assert_string_equal(answer, "/proc 1 0 yes");
    setenv("HULL_TEST", "inherited", 1);
    assert_int_equal(ask("place", &plain, answer), 0);
    assert_string_equal(answer, "/ 0 0 inherited");
    unsetenv("HULL_TEST");
}

static void test_death_signal_is_set(void **state)
{
    struct process_spec spec = {.directory = "/", .flags = PROCESS_DIE_WITH_PARENT};
    char answer[ANSWER_MAX];

    (void)state;
    assert_int_equal(ask("place", &spec, answer), 0);
    assert_string_equal(answer, "/ 0 9 -");
}

/* The grandchild holds the pipe: end of file, which ask() waits for, means that it has ended. */
static void test_child_dies_with_its_parent(void **state)
{
    struct process_spec spec = {0};
    char answer[ANSWER_MAX];

    (void)state;
    assert_int_equal(ask("orphan", &spec, answer), 128 + SIGKILL);
    assert_true(answer[0] >= '1' && answer[0] <= '9');
}

static int spawn_fails(struct process_spec *spec, struct error *err)
{
    struct process process = PROCESS_INIT;
    int before = unit_count_fds();
    int r = process_spawn(spec, &process, err);

    assert_true(r < 0);
    assert_int_equal(process.pid, 0);
    assert_int_equal(process.pidfd, -EBADF);
    assert_int_equal(unit_count_fds(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
    assert_int_equal(errno, ECHILD);
    return r;
}

static void test_exec_failures_are_reported(void **state)
{
    char missing[] = "/no/such/program";
    char *argv[] = {missing, NULL};
    struct process_spec spec = {.argv = argv};
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(spawn_fails(&spec, &err), -ENOENT);
    assert_string_equal(err.message, "cannot execute /no/such/program: No such file or directory");
    spec.path = "/dev/null";
    assert_int_equal(spawn_fails(&spec, &err), -EACCES);
    unit_write("garbage", "\x01\x02");
    assert_int_equal(chmod("garbage", 0755), 0);
    spec.path = "./garbage";
    assert_int_equal(spawn_fails(&spec, &err), -ENOEXEC);
}

static void test_path_is_searched(void **state)
{
    char name[] = "hull-no-such-program";
    char truth[] = "true";
    char *missing[] = {name, NULL};
    char *there[] = {truth, NULL};
    struct process_spec spec = {.argv = missing, .flags = PROCESS_SEARCH_PATH};
    struct error err = ERROR_INIT;
    struct process process = PROCESS_INIT;
    int status = -1;

    (void)state;
    assert_int_equal(spawn_fails(&spec, &err), -ENOENT);
    assert_string_equal(err.message,
                        "exec: \"hull-no-such-program\": executable file not found in $PATH");
    spec.argv = there;
    assert_int_equal(process_spawn(&spec, &process, NULL), 0);
    assert_int_equal(process_wait(&process, &status), 0);
    assert_int_equal(status, 0);
    process_release(&process);
    spec.flags = 0;
    assert_int_equal(spawn_fails(&spec, &err), -ENOENT);
}

static int prepare_exit(void *data)
{
    return *(int *)data;
}

static void test_other_failures_are_reported(void **state)
{
    int code = -EXDEV;
    char *argv[] = {self, NULL};
    struct process_fd twice[] = {{.fd = 0, .as = 4}, {.fd = 0, .as = 4}};
    struct process_fd negative[] = {{.fd = -EBADF, .as = 4}};
    struct process_fd closed[] = {{.fd = 1000, .as = 4}};
    struct process_spec prepare = {.argv = argv, .prepare = prepare_exit, .prepare_data = &code};
    struct process_spec directory = {.argv = argv, .directory = "/no/such"};
    struct process_spec list = {.argv = argv, .fds = twice, .n_fds = 2};
    struct process_spec nothing = {.argv = argv + 1};
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(spawn_fails(&prepare, &err), -EXDEV);
    assert_int_equal(spawn_fails(&directory, &err), -ENOENT);
    assert_string_equal(err.message, "cannot start /proc/self/exe in directory /no/such: "
                                     "No such file or directory");
    assert_int_equal(spawn_fails(&list, &err), -EINVAL);
    list.fds = negative;
    list.n_fds = 1;
    assert_int_equal(spawn_fails(&list, &err), -EINVAL);
    list.fds = closed;
    assert_int_equal(spawn_fails(&list, &err), -EBADF);
    list.n_fds = PROCESS_FDS_MAX + 1;
    assert_int_equal(spawn_fails(&list, &err), -E2BIG);
    assert_int_equal(spawn_fails(&nothing, &err), -EINVAL);
}

/* Threads that allocate all the time while others start programs: a child that needed a lock
 * would hang. */
static void *allocate(void *data)
{
    atomic_int *stop = data;

    while (!*stop)
        free(malloc(1 + (size_t)rand() % 4096));
    return NULL;
}

static void *spawn_many(void *data)
{
    int *failures = data;
    char program[] = "/bin/true";
    char *argv[] = {program, NULL};
    struct process_spec spec = {.argv = argv};

    for (int i = 0; i < 40; i++) {
        struct process process = PROCESS_INIT;
        int status = -1;

        if (process_spawn(&spec, &process, NULL) < 0 || process_wait(&process, &status) < 0 ||
            status != 0)
            ++*failures;
        process_release(&process);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    pthread_t allocators[2];
    pthread_t spawners[3];
    atomic_int stop = 0;
    int failures[3] = {0};
    int before = unit_count_fds();

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&allocators[i], NULL, allocate, &stop), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&spawners[i], NULL, spawn_many, &failures[i]), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(spawners[i], NULL);
        assert_int_equal(failures[i], 0);
    }
    stop = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(allocators[i], NULL);
    assert_int_equal(unit_count_fds(), before);
}

/* Closed before children may be started, so no child has it, not even before its exec. */
static bool pipe_hangs_up(void)
{
    struct pollfd end = {.events = POLLIN};
    int ends[2];
    bool hung_up;

    process_hold_forks();
    assert_int_equal(fd_pipe(0, ends), 0);
    fd_close(ends[1]);
    process_allow_forks();
    end.fd = ends[0];
    hung_up = poll(&end, 1, 0) == 1 && (end.revents & POLLHUP);
    fd_close(ends[0]);
    return hung_up;
}

static void *spawn_many_and_tell(void *data)
{
    atomic_int *over = data;
    int failures = 0;

    spawn_many(&failures);
    *over = 1 + failures;
    return NULL;
}

static void test_descriptors_while_forks_are_held(void **state)
{
    pthread_t spawner;
    atomic_int over = 0;

    (void)state;
    assert_int_equal(pthread_create(&spawner, NULL, spawn_many_and_tell, &over), 0);
    do
        assert_true(pipe_hangs_up());
    while (sched_yield() == 0 && !over);
    pthread_join(spawner, NULL);
    assert_int_equal(over, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_listed_descriptors_are_open),
        cmocka_unit_test(test_stdio_defaults_to_null),
        scratch_test(test_descriptor_collisions),
        cmocka_unit_test(test_signals_are_reset),
        cmocka_unit_test(test_own_signal_mask_is_kept),
        cmocka_unit_test(test_directory_session_and_environment),
        cmocka_unit_test(test_death_signal_is_set),
        cmocka_unit_test(test_child_dies_with_its_parent),
        scratch_test(test_exec_failures_are_reported),
        cmocka_unit_test(test_path_is_searched),
        cmocka_unit_test(test_other_failures_are_reported),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_descriptors_while_forks_are_held),
    };

    if (argc == 2)
        return run_as_child(argv[1]);
    return UNIT_RUN(tests);
}
