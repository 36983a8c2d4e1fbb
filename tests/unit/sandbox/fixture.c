#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"
#include "spec/defaults.h"

#define BUSYBOX "/bin/busybox"
enum { READ_TIMEOUT_MS = 20 * 1000 };

static char directory[] = "/tmp/hull-test-sandbox-XXXXXX";
char fixture_lower[64];
char fixture_target[64];
int fixture_stage_timeout_ms;
static char upper[64];
static char work[64];
static char *lower_list[2];
static char *layers[2];
static char name[32];
/* A container whose test failed before it could stop it: the next test does. */
static struct running left;

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    return walk->level > 0 ? remove(path) : 0;
}

static void empty(const char *path)
{
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

    assert_true(in >= 0 && out >= 0);
    assert_true(fd_copy_all(in, out) > 0);
    close(in);
    close(out);
}

void fixture_write(const char *path, const char *text)
{
    char full[256];
    int fd;

    snprintf(full, sizeof(full), "%s/%s", fixture_lower, path);
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
    close(fd);
}

static void make_directory(const char *path)
{
    char full[256];

    snprintf(full, sizeof(full), "%s/%s", fixture_lower, path);
    assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
}

void fixture_reset(void)
{
    static const char *const applets[] = {
        "sh",  "cat",      "id",   "ls",    "echo",  "sleep",    "true", "env",   "stat",  "mount",
        "dd",  "kill",     "grep", "test",  "touch", "head",     "tail", "mknod", "chmod", "stty",
        "pwd", "hostname", "ps",   "umask", "wc",    "readlink", "ln",   "mkdir"};
    char full[256];

    empty(fixture_lower);
    make_directory("bin");
    make_directory("etc");
    make_directory("tmp");
    make_directory("root");
    snprintf(full, sizeof(full), "%s/bin/busybox", fixture_lower);
    copy_file(BUSYBOX, full);
    for (size_t i = 0; i < sizeof(applets) / sizeof(applets[0]); i++) {
        snprintf(full, sizeof(full), "%s/bin/%s", fixture_lower, applets[i]);
        assert_int_equal(symlink("busybox", full), 0);
    }
    fixture_write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                                "broken line\nalice:x:1000:1000::/home/alice:/bin/sh\n"
                                "bob:x:1001:2000::/home/bob:/bin/sh\n");
    fixture_write("etc/group", "root:x:0:\nalice:x:1000:\nwheel:x:10:alice,bob\nvideo:x:44:alice\n"
                               "bob:x:2000:\n");
}

static bool is_static(void)
{
    char line[64];
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
                    (char *)(uintptr_t) "! ldd " BUSYBOX " >/dev/null 2>&1", NULL};

    (void)line;
    return process_run(argv, NULL, NULL, 10000, NULL) >= 0;
}

int fixture_setup(void **state)
{
    *state = NULL;
    if (geteuid() != 0 || access(BUSYBOX, X_OK) < 0 || !is_static()) {
        print_message("these tests need root and a static %s\n", BUSYBOX);
        return 0;
    }
    if (!mkdtemp(directory) || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) < 0 ||
        mount("tmpfs", directory, "tmpfs", 0, NULL) < 0) {
        print_message("no mount namespace here: %s\n", strerrorname_np(errno));
        rmdir(directory);
        return 0;
    }
    snprintf(fixture_lower, sizeof(fixture_lower), "%s/lower", directory);
    snprintf(upper, sizeof(upper), "%s/upper", directory);
    snprintf(work, sizeof(work), "%s/work", directory);
    snprintf(fixture_target, sizeof(fixture_target), "%s/target", directory);
    snprintf(name, sizeof(name), "test-%d", (int)getpid());
    lower_list[0] = fixture_lower;
    layers[0] = fixture_lower;
    assert_int_equal(mkdir(fixture_lower, 0755), 0);
    assert_int_equal(mkdir(upper, 0755), 0);
    assert_int_equal(mkdir(work, 0755), 0);
    assert_int_equal(mkdir(fixture_target, 0755), 0);
    fixture_reset();
    *state = directory;
    return 0;
}

int fixture_teardown(void **state)
{
    if (!*state)
        return 0;
    if (umount2(directory, MNT_DETACH) < 0)
        return -1;
    return rmdir(directory);
}

void fixture_ready(void **state)
{
    if (!*state)
        skip();
    if (left.sandbox)
        fixture_stop(&left);
}

struct spec_runtime *fixture_config(const char *script)
{
    struct spec_runtime *config = spec_runtime_new();

    assert_non_null(config);
    assert_int_equal(spec_defaults_apply(config, 0, false), 0);
    config->linux_.seccomp = spec_default_seccomp(spec_default_capabilities());
    assert_non_null(config->linux_.seccomp);
    strv_append(&config->process->args, "sh");
    strv_append(&config->process->args, "-c");
    strv_append(&config->process->args, script);
    strv_append(&config->process->env, "PATH=/bin");
    config->linux_.cgroups_path = string_format("/hull-test/%s", name);
    return config;
}

struct spec_process *fixture_process(const char *script)
{
    struct spec_process *process = spec_process_new();

    assert_non_null(process);
    strv_append(&process->args, "sh");
    strv_append(&process->args, "-c");
    strv_append(&process->args, script);
    strv_append(&process->env, "PATH=/bin");
    process->has_capabilities = true;
    process->capabilities.bounding = spec_default_capabilities();
    process->capabilities.effective = spec_default_capabilities();
    process->capabilities.permitted = spec_default_capabilities();
    return process;
}

static void fill_spec(const struct spec_runtime *config, struct sandbox_spec *spec)
{
    *spec = (struct sandbox_spec){
        .id = name,
        .config = config,
        .stage_timeout_ms = fixture_stage_timeout_ms,
        .root = {.lower = layers, .upper = upper, .work = work, .target = fixture_target},
    };
}

static int begin(struct running *running, struct error *err)
{
    struct sandbox_spec spec;
    int pipe_fds[2];
    struct sandbox_io io;
    int r;

    running->output = -EBADF;
    running->terminal = -EBADF;
    running->process = (struct process)PROCESS_INIT;
    fill_spec(running->config, &spec);
    r = sandbox_new(&spec, &running->sandbox, err);
    if (r < 0)
        return r;
    assert_int_equal(fd_pipe(0, pipe_fds), 0);
    io = (struct sandbox_io){.in = -EBADF, .out = pipe_fds[1], .err = pipe_fds[1]};
    r = sandbox_create(running->sandbox, &io, &running->process, &running->terminal, err);
    close(pipe_fds[1]);
    running->output = pipe_fds[0];
    return r < 0 ? r : sandbox_start(running->sandbox, err);
}

static void read_all(int fd, char output[OUTPUT_MAX])
{
    ssize_t n = fd_read_full(fd, output, OUTPUT_MAX - 1);

    output[n > 0 ? n : 0] = '\0';
}

static void finish(struct running *running)
{
    struct error error = ERROR_INIT;

    if (running->sandbox && sandbox_destroy(running->sandbox, &error) < 0)
        fail_msg("destroy: %s", error.message);
    if (running->process.pid > 0)
        (void)process_wait(&running->process, NULL);
    process_release(&running->process);
    running->sandbox = sandbox_free(running->sandbox);
    running->output = fd_close(running->output);
    running->terminal = fd_close(running->terminal);
    running->config = spec_runtime_free(running->config);
    empty(upper);
    empty(work);
}

void fixture_run(struct spec_runtime *config, struct outcome *ret)
{
    struct running running = {.config = config};

    memset(ret, 0, sizeof(*ret));
    ret->code = begin(&running, &ret->error);
    if (ret->code >= 0) {
        assert_int_equal(process_wait_timeout(&running.process, READ_TIMEOUT_MS, &ret->status), 0);
        read_all(running.output, ret->output);
    }
    finish(&running);
}

void fixture_start(struct spec_runtime *config, struct running *ret)
{
    struct error error = ERROR_INIT;

    *ret = (struct running){.config = config};
    if (begin(ret, &error) < 0)
        fail_msg("start: %s", error.message);
    left = *ret;
}

void fixture_stop(struct running *running)
{
    struct running copy = *running; /* it may be `left` */

    memset(&left, 0, sizeof(left));
    finish(&copy);
}

void fixture_clean(void)
{
    CLEANUP_FREE char *path = string_format("/hull-test/%s", name);

    assert_int_equal(sandbox_clean(path, fixture_target, NULL), 0);
}

void fixture_wait_for(int fd, const char *text)
{
    char output[OUTPUT_MAX] = "";
    size_t used = 0;

    while (!strstr(output, text)) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        ssize_t n;

        assert_true(used < sizeof(output) - 1);
        assert_int_equal(poll(&poll_fd, 1, READ_TIMEOUT_MS), 1);
        n = read(fd, output + used, sizeof(output) - 1 - used);
        if (n <= 0)
            fail_msg("'%s' expected, got '%s'", text, output);
        used += (size_t)n;
        output[used] = '\0';
    }
}

void fixture_exec(struct running *running, const struct spec_process *process, struct outcome *ret)
{
    struct process program = PROCESS_INIT;
    int terminal = -EBADF;
    int pipe_fds[2];
    struct sandbox_io io;

    memset(ret, 0, sizeof(*ret));
    assert_int_equal(fd_pipe(0, pipe_fds), 0);
    io = (struct sandbox_io){.in = -EBADF, .out = pipe_fds[1], .err = pipe_fds[1]};
    ret->code = sandbox_exec(running->sandbox, process, &io, &program, &terminal, &ret->error);
    close(pipe_fds[1]);
    if (ret->code >= 0) {
        read_all(pipe_fds[0], ret->output);
        assert_int_equal(process_wait_timeout(&program, READ_TIMEOUT_MS, &ret->status), 0);
    }
    process_release(&program);
    fd_close(terminal);
    close(pipe_fds[0]);
}

void fixture_assert_clean(void)
{
    static const char *const hierarchies[] = {"",         "memory/",  "pids/",   "cpu/",
                                              "devices/", "freezer/", "cpuset/", "blkio/"};
    CLEANUP(buffer_release) struct buffer mounts = BUFFER_INIT(1 << 20);
    char path[128];

    for (size_t i = 0; i < sizeof(hierarchies) / sizeof(hierarchies[0]); i++) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup/%shull-test/%s", hierarchies[i], name);
        assert_int_not_equal(access(path, F_OK), 0);
    }
    assert_int_equal(file_read(AT_FDCWD, "/proc/self/mountinfo", &mounts, NULL), 0);
    assert_null(strstr(mounts.data, fixture_target));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}
