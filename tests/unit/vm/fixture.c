#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "vm/initramfs.h"

enum { FILE_MAX = 4 * 1024 * 1024, TEST_UID_BASE = 0x60000000 };

static void on_ended(struct vm *vm, bool clean, const char *reason, void *data)
{
    struct fixture *fixture = data;

    assert_ptr_equal(vm, fixture->vm);
    fixture->ended++;
    fixture->clean = clean;
    assert_true(string_copy(fixture->reason, sizeof(fixture->reason), reason));
}

int fixture_set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    string_copy(fixture->directory, sizeof(fixture->directory), "/tmp/hull-test-vm-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->console = path_join(fixture->directory, "console.log");
    fixture->root = path_join(fixture->directory, "root");
    fixture->initramfs = path_join(fixture->directory, "initramfs");
    fixture->kernel = path_join(fixture->directory, "kernel");
    fixture->program = getenv("HULL_TEST_FAKE_VMM");
    assert_int_equal(mkdir(fixture->root, 0700), 0);
    fixture_write(fixture->kernel, "kernel");
    assert_int_equal(loop_new(&fixture->loop, NULL), 0);
    fixture->events = (struct vm_events){.ended = on_ended, .data = fixture};
    fixture->config = (struct vm_config){
        .id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        .engine = VM_ENGINE_UML,
        .files = {.uml_kernel = fixture->program,
                  .x86_kernel = fixture->kernel,
                  .initramfs = fixture->initramfs,
                  .qemu = fixture->program},
        .memory = 64 * 1024 * 1024,
        .console_path = fixture->console,
        .runtime_dir = fixture->root,
        .uid = TEST_UID_BASE + (uid_t)getpid(),
        .gid = TEST_UID_BASE + (gid_t)getpid(),
    };
    *state = fixture;
    return 0;
}

int fixture_tear_down(void **state)
{
    struct fixture *fixture = *state;

    vm_free(fixture->vm);
    loop_free(fixture->loop);
    path_remove_tree(AT_FDCWD, fixture->directory, NULL);
    free(fixture->console);
    free(fixture->root);
    free(fixture->initramfs);
    free(fixture->kernel);
    free(fixture);
    return 0;
}

void fixture_need_root(void)
{
    int status;
    pid_t pid;

    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        skip();
    }
    pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0) {
        print_message("skipped: this root may not make namespaces\n");
        skip();
    }
}

void fixture_need_file(const char *path, const char *variable)
{
    if (!path || access(path, R_OK) < 0) {
        print_message("skipped: no file named by %s\n", variable);
        skip();
    }
}

void fixture_use_qemu(struct fixture *fixture, enum vm_engine engine, const char *init)
{
    const char *kernel = getenv("HULL_TEST_X86_KERNEL");
    const char *qemu = string_or(getenv("HULL_TEST_QEMU"), "/usr/bin/qemu-system-x86_64");

    fixture_need_root();
    fixture_need_file(kernel, "HULL_TEST_X86_KERNEL");
    fixture_need_file(qemu, "HULL_TEST_QEMU");
    fixture->config.engine = engine;
    fixture->config.files.x86_kernel = kernel;
    fixture->config.files.qemu = qemu;
    /* The modules take 20 MiB of the guest's memory, unpacked. */
    fixture->config.memory = 256 * 1024 * 1024;
    assert_int_equal(vm_initramfs_write(fixture->initramfs, init, getenv("HULL_TEST_X86_MODULES"),
                                        &fixture->error),
                     0);
}

void fixture_write(const char *path, const char *text)
{
    assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, NULL), 0);
}

char *fixture_read(const char *path)
{
    struct buffer buffer = BUFFER_INIT(FILE_MAX);

    if (file_read(AT_FDCWD, path, &buffer, NULL) < 0) {
        buffer_release(&buffer);
        return strdup("");
    }
    return buffer_take(&buffer);
}

void fixture_start(struct fixture *fixture, const char *script)
{
    int r;

    if (script)
        fixture_write(fixture->initramfs, script);
    r = vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm, &fixture->error);
    if (r < 0)
        print_error("%s\n", fixture->error.message);
    assert_int_equal(r, 0);
}

/* A busy host needs ten times as long for QEMU in software as an idle one. */
static int64_t deadline_of(const struct fixture *fixture)
{
    int timeout =
        fixture->config.engine == VM_ENGINE_UML ? FIXTURE_TIMEOUT_MS : 4 * FIXTURE_TIMEOUT_MS;

    return timestamp_monotonic() + timeout * INT64_C(1000000);
}

void fixture_wait_end(struct fixture *fixture)
{
    int64_t deadline = deadline_of(fixture);

    while (fixture->ended == 0) {
        assert_true(timestamp_monotonic() < deadline);
        assert_int_equal(loop_run_once(fixture->loop, 1000), 0);
    }
}

char *fixture_wait_console(struct fixture *fixture, const char *text)
{
    int64_t deadline = deadline_of(fixture);

    for (;;) {
        char *content = fixture_read(fixture->console);

        if (strstr(content, text))
            return content;
        free(content);
        assert_true(timestamp_monotonic() < deadline);
        assert_int_equal(loop_run_once(fixture->loop, 20), 0);
    }
}

void fixture_read_link(struct fixture *fixture, void *data, size_t length)
{
    int64_t deadline = deadline_of(fixture);
    char *bytes = data;

    while (length > 0) {
        struct pollfd poll_fd = {.fd = vm_link(fixture->vm), .events = POLLIN};
        ssize_t n;

        assert_true(timestamp_monotonic() < deadline);
        assert_int_equal(loop_run_once(fixture->loop, 0), 0);
        if (poll(&poll_fd, 1, 1) == 0)
            continue;
        n = read(poll_fd.fd, bytes, length);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            fixture_wait_end(fixture);
            CLEANUP_FREE char *console = fixture_read(fixture->console);
            print_error("the link ended: %s\n%s\n", fixture->reason, console);
            fail();
        }
        if (n > 0) {
            bytes += n;
            length -= (size_t)n;
        }
    }
}

void fixture_boot_pooled(struct fixture *fixture, const char *init)
{
    char ready[6];

    fixture->config.files.uml_kernel = getenv("HULL_TEST_UML_KERNEL");
    fixture->config.pooled = true;
    assert_int_equal(vm_initramfs_write(fixture->initramfs, init, NULL, &fixture->error), 0);
    fixture_start(fixture, NULL);
    fixture_read_link(fixture, ready, sizeof(ready));
    assert_memory_equal(ready, "ready\n", sizeof(ready));
}

void fixture_ask(struct fixture *fixture, const char *command, char *answer, size_t size)
{
    CLEANUP_FREE char *line = string_format("%s\n", command);
    size_t n = 0;

    assert_int_equal(write(vm_link(fixture->vm), line, strlen(line)), strlen(line));
    do {
        assert_true(n < size);
        fixture_read_link(fixture, answer + n, 1);
    } while (answer[n++] != '\n');
    answer[n - 1] = '\0';
}

char *fixture_status(pid_t pid, const char *name)
{
    CLEANUP_FREE char *path = string_format("/proc/%d/status", (int)pid);
    CLEANUP_FREE char *text = fixture_read(path);
    CLEANUP_FREE char *key = string_format("\n%s:\t", name);
    char *found = strstr(text, key);

    if (!found)
        return strdup("");
    found += strlen(key);
    return strndup(found, strcspn(found, "\n"));
}

int fixture_count_processes(uid_t uid)
{
    CLEANUP_DIR DIR *proc = opendir("/proc");
    CLEANUP_FREE char *wanted = string_format("%u\t%u\t%u\t%u", uid, uid, uid, uid);
    struct dirent *entry;
    int n = 0;

    assert_non_null(proc);
    while ((entry = readdir(proc))) {
        int pid;

        if (string_to_int(entry->d_name, 1, INT32_MAX, &pid) < 0)
            continue;
        CLEANUP_FREE char *uids = fixture_status(pid, "Uid");
        CLEANUP_FREE char *process_state = fixture_status(pid, "State");
        if (string_equal(uids, wanted) && process_state[0] != 'Z' && process_state[0] != 'X')
            n++;
    }
    return n;
}
