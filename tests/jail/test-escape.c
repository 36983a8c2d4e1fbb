/* A guest that has taken over its VMM: `escape` in the place of the VMM of each kind, and of a file
 * server, in the jail that vm_start() makes, with a second VM beside it and a host around it that
 * would let anybody in. Every attempt must be refused in the jail; and the same attempt must work
 * outside, as the host's root, or it would show nothing. */
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"

enum { OUTPUT_MAX = 65536, CONTROL_TIMEOUT_MS = 60000, PROCESSES_MAX = 64, SHARE_USER = 1000 };
enum { LEAK = 600, OTHER_UID_STEP = 0x10000000 };

static long in_memory = 42; /* the victim's */

struct host {
    struct fixture *inner; /* the VM with escape in it */
    struct fixture *other;
    char *file;
    char *disk;
    char *socket;
    char *abstract;
    char *cgroup;
    char *share;
    char *set_user_id;
    int listeners[3];
    long port;
    pid_t victim;
    int memory;
};

/* --- the world outside --- */

static int listen_unix(const char *name, bool abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(strlen(name) < sizeof(address.sun_path) - 1);
    memcpy(address.sun_path + abstract, name, strlen(name));
    assert_int_equal(
        bind(fd, (struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + strlen(name))),
        0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int listen_inet(long *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void copy_set_user_id(const struct host *host, const char *program)
{
    CLEANUP_CLOSE int from = open(program, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int to = open(host->set_user_id, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

    assert_true(fd_copy_all(from, to) > 0);
    assert_int_equal(fchown(to, SHARE_USER, SHARE_USER), 0);
    assert_int_equal(fchmod(to, 04755), 0);
}

static void make_files(struct host *host)
{
    const char *directory = host->other->directory;

    host->file = path_join(directory, "secret");
    host->disk = path_join(directory, "disk");
    host->socket = path_join(directory, "socket");
    host->share = path_join(directory, "share");
    host->set_user_id = path_join(host->share, "setuid");
    host->abstract = string_format("hull-test-escape-%d", (int)getpid());
    host->cgroup = string_format("hull-test-escape-%d/vm", (int)getpid());
    fixture_write(host->file, "secret");
    fixture_write(host->disk, "");
    assert_int_equal(truncate(host->disk, 1024 * 1024), 0);
    assert_int_equal(mkdir(host->share, 0755), 0);
    copy_set_user_id(host, getenv("HULL_TEST_ESCAPE"));
    host->listeners[0] = listen_unix(host->socket, false);
    host->listeners[1] = listen_unix(host->abstract, true);
    host->listeners[2] = listen_inet(&host->port);
    host->memory = shmget(IPC_PRIVATE, 4096, 0666);
    assert_true(host->memory >= 0);
}

static void start_other(struct host *host)
{
    struct fixture *other = host->other;

    other->config.disks[0] = (struct vm_disk){.path = host->disk};
    other->config.n_disks = 1;
    other->config.uid += OTHER_UID_STEP;
    other->config.gid += OTHER_UID_STEP;
    fixture_start(other, "print ready\nwait\n");
    free(fixture_wait_console(other, "ready"));
}

static int set_up(void **state)
{
    struct host *host = calloc(1, sizeof(*host));

    fixture_need_root();
    assert_non_null(host);
    *state = host;
    fixture_set_up((void **)&host->inner);
    fixture_set_up((void **)&host->other);
    make_files(host);
    host->victim = fork();
    if (host->victim == 0)
        for (;;)
            pause();
    start_other(host);
    return 0;
}

static void remove_cgroups(const struct host *host)
{
    static const char *const trees[] = {"", "pids/", "memory/", "cpu/"};

    for (size_t i = 0; i < sizeof(trees) / sizeof(trees[0]); i++) {
        CLEANUP_FREE char *path =
            string_format("/sys/fs/cgroup/%s%.*s", trees[i],
                          (int)(strlen(host->cgroup) - strlen("/vm")), host->cgroup);
        (void)rmdir(path);
    }
}

static int tear_down(void **state)
{
    struct host *host = *state;

    (void)kill(host->victim, SIGKILL);
    (void)waitpid(host->victim, NULL, 0);
    for (size_t i = 0; i < 3; i++)
        close(host->listeners[i]);
    shmctl(host->memory, IPC_RMID, NULL);
    fixture_tear_down((void **)&host->inner);
    fixture_tear_down((void **)&host->other);
    remove_cgroups(host);
    free(host->file);
    free(host->disk);
    free(host->socket);
    free(host->abstract);
    free(host->cgroup);
    free(host->share);
    free(host->set_user_id);
    free(host);
    return 0;
}

/* --- what is said to the program --- */

static char *describe(const struct host *host, const char *directory, const char *set_user_id)
{
    return string_format("file %s\ndisk %s\nsocket %s\nabstract %s\ndirectory %s\nsetuid %s\n"
                         "port %ld\nworker %d\nvictim %d\nother %d\naddress %ld\nmemory %d\n",
                         host->file, host->disk, host->socket, host->abstract, directory,
                         set_user_id, host->port, (int)getpid(), (int)host->victim,
                         (int)vm_pid(host->other->vm), (long)(uintptr_t)&in_memory, host->memory);
}

static char *run_control(const struct host *host)
{
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(OUTPUT_MAX);
    CLEANUP_FREE char *directory = path_join(host->other->directory, "made");
    CLEANUP_FREE char *input = path_join(host->other->directory, "input");
    CLEANUP_FREE char *text = describe(host, directory, host->set_user_id);
    char *argv[] = {getenv("HULL_TEST_ESCAPE"), (char[]){"--control"}, input, NULL};
    struct error error = ERROR_INIT;

    assert_int_equal(mkdir(directory, 0700), 0);
    fixture_write(input, text);
    if (process_run(argv, NULL, &output, CONTROL_TIMEOUT_MS, &error) < 0)
        print_error("%s\n", error.message);
    assert_int_equal(error.code, 0);
    return buffer_take(&output);
}

static void limit_processes(const struct host *host)
{
    CLEANUP_FREE char *limit = string_format("%d", PROCESSES_MAX);
    CLEANUP_FREE char *first = string_format("/sys/fs/cgroup/pids/%s/pids.max", host->cgroup);
    CLEANUP_FREE char *second = string_format("/sys/fs/cgroup/%s/pids.max", host->cgroup);

    if (file_write(AT_FDCWD, access(first, W_OK) == 0 ? first : second, limit, NULL) < 0) {
        print_message("skipped: no writable cgroup for processes\n");
        skip();
    }
}

/* Starts the program as the VMM of `engine` and returns what it says. */
static char *run_in_jail(struct host *host, enum vm_engine engine, bool share)
{
    struct fixture *inner = host->inner;
    struct vm_share shares[] = {{.fd = -EBADF, .name = host->share}};
    CLEANUP_FREE char *text = describe(host, "/run", share ? "/shares/0/setuid" : "");

    inner->config.engine = engine;
    inner->config.files.uml_kernel = getenv("HULL_TEST_ESCAPE");
    inner->config.files.qemu = getenv("HULL_TEST_ESCAPE");
    inner->config.cgroup = host->cgroup;
    if (share) {
        shares[0].fd = open(host->share, O_PATH | O_CLOEXEC);
        inner->config.shares = shares;
        inner->config.n_shares = 1;
    }
    /* Of a careless program: an open file without CLOEXEC. */
    CLEANUP_CLOSE int secret = open(host->file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup2(secret, LEAK), LEAK);
    fixture_start(inner, text);
    close(LEAK);
    fd_close(shares[0].fd);
    limit_processes(host);
    assert_int_equal(write(vm_link(inner->vm), "g", 1), 1);
    return fixture_wait_console(inner, "\ndone\n");
}

/* The same as the file server of a VM of QEMU, whose VMM does nothing. */
static char *run_as_server(struct host *host)
{
    struct fixture *inner = host->inner;
    struct vm_share share = {.name = host->share};
    CLEANUP_FREE char *text = describe(host, "/run", "/shares/0/setuid");
    CLEANUP_FREE char *input = path_join(host->share, "input");
    CLEANUP_FREE char *go = path_join(host->share, "go");

    fixture_write(input, text);
    assert_int_equal(mkfifo(go, 0600), 0);
    inner->config.engine = VM_ENGINE_TCG;
    inner->config.files.qemu = inner->program;
    inner->config.files.x86_kernel = inner->kernel;
    inner->config.files.virtiofsd = getenv("HULL_TEST_ESCAPE");
    inner->config.cgroup = host->cgroup;
    share.fd = open(host->share, O_PATH | O_CLOEXEC);
    inner->config.shares = &share;
    inner->config.n_shares = 1;
    CLEANUP_CLOSE int secret = open(host->file, O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup2(secret, LEAK), LEAK);
    fixture_start(inner, "wait\n");
    close(LEAK);
    close(share.fd);
    limit_processes(host);
    CLEANUP_CLOSE int fifo = open(go, O_WRONLY | O_CLOEXEC);
    assert_true(fifo >= 0);
    return fixture_wait_console(inner, "\ndone\n");
}

/* --- judging --- */

/* The line that begins with `name` and ": ". malloc'd; "" if there is none. */
static char *find_line(const char *text, const char *name)
{
    CLEANUP_FREE char *key = string_format("\n%s: ", name);
    CLEANUP_FREE char *whole = string_format("\n%s", text);
    const char *found = strstr(whole, key);

    return found ? strndup(found + 1, strcspn(found + 1, "\n")) : strdup("");
}

/* `meant`: what the jailed may do, a vector. */
static size_t judge(const char *control, const char *jailed, char *const *meant)
{
    CLEANUP_STRV char **lines = NULL;
    size_t wrong = 0;
    size_t n = 0;

    assert_int_equal(strv_split(control, '\n', &lines), 0);
    for (size_t i = 0; i < strv_length(lines); i++) {
        const char *colon = strstr(lines[i], ": ");

        if (!colon)
            continue;
        CLEANUP_FREE char *name = strndup(lines[i], (size_t)(colon - lines[i]));
        CLEANUP_FREE char *line = find_line(jailed, name);
        CLEANUP_FREE char *refused = string_format("%s: refused: ", name);

        n++;
        if (strv_contains(meant, name) == string_starts_with(line, refused)) {
            print_error("in the jail: %s\n", *line ? line : lines[i]);
            wrong++;
        }
        if (strcmp(colon, ": worked") != 0 && !string_ends_with(lines[i], " (optional)")) {
            print_error("outside: %s\n", lines[i]);
            wrong++;
        }
    }
    print_message("%zu attempts\n", n);
    assert_true(n > 90);
    return wrong;
}

static void assert_no_escape(struct host *host, const char *jailed, char *const *meant)
{
    CLEANUP_FREE char *control = run_control(host);

    if (getenv("HULL_TEST_VERBOSE"))
        print_message("%s\n--- control\n%s\n", jailed, control);
    assert_int_equal(judge(control, jailed, meant), 0);
    /* And it did nothing unseen: the host's file is as it was, the others live. */
    CLEANUP_FREE char *secret = fixture_read(host->file);
    assert_string_equal(secret, "secret");
    assert_int_equal(kill(host->victim, 0), 0);
    assert_int_equal(host->other->ended, 0);
}

static char *const none[] = {NULL};

static void test_uml(void **state)
{
    CLEANUP_FREE char *jailed = run_in_jail(*state, VM_ENGINE_UML, false);

    assert_no_escape(*state, jailed, none);
}

static void test_uml_with_a_share(void **state)
{
    CLEANUP_FREE char *jailed = run_in_jail(*state, VM_ENGINE_UML, true);

    assert_no_escape(*state, jailed, none);
}

static void test_qemu(void **state)
{
    CLEANUP_FREE char *jailed = run_in_jail(*state, VM_ENGINE_TCG, false);

    assert_no_escape(*state, jailed, none);
}

/* Virtiofsd acts as the guest's users, which are of its own user namespace, and has given up the
 * other right when it serves (tests/unit/vm/test-share.c). */
static void test_file_server(void **state)
{
    static char users[] = "become another user";
    static char root[] = "chroot";
    static char *const meant[] = {users, root, NULL};
    CLEANUP_FREE char *jailed = run_as_server(*state);

    assert_no_escape(*state, jailed, meant);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_uml),
        ROW(test_uml_with_a_share),
        ROW(test_qemu),
        ROW(test_file_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
