/* Hot plug into a pooled VM: a real User-Mode Linux guest (HULL_TEST_UML_KERNEL) whose pid 1 is
 * share-init; and the management console's client against consoles that misbehave. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/netlink.h"
#include "base/path.h"
#include "base/strings.h"
#include "vm/initramfs.h"
#include "vm/mconsole.h"
#include "vm/plug.h"

enum { ANSWER_MAX = 2048, DISK_SIZE = 4 * 1024 * 1024 };

struct outcome {
    int calls;
    struct error error;
};

static void record(struct outcome *outcome, const struct error *error)
{
    outcome->calls++;
    outcome->error = (struct error)ERROR_INIT;
    if (error)
        outcome->error = *error;
}

static void plugged(struct vm *vm, const struct error *error, void *data)
{
    (void)vm;
    record(data, error);
}

static void need_guest(void)
{
    const char *kernel = getenv("HULL_TEST_UML_KERNEL");

    fixture_need_root();
    if (!kernel || access(kernel, R_OK) < 0) {
        print_message("skipped: no file named by HULL_TEST_UML_KERNEL\n");
        skip();
    }
}

/* --- a real guest --- */

static void expect(struct fixture *fixture, const char *command, const char *expected)
{
    char answer[ANSWER_MAX];

    fixture_ask(fixture, command, answer, sizeof(answer));
    assert_string_equal(answer, expected);
}

static char *make_disk(const struct fixture *fixture, const char *name, const char *text)
{
    char *path = path_join(fixture->directory, name);

    assert_non_null(path);
    fixture_write(path, text);
    assert_int_equal(truncate(path, DISK_SIZE), 0);
    assert_int_equal(chmod(path, 0600), 0);
    return path;
}

static int wait_plugged(struct fixture *fixture, const struct vm_plug *plug,
                        struct outcome *outcome)
{
    int r = vm_plug(fixture->vm, plug, plugged, outcome, &fixture->error);

    if (r < 0)
        return r;
    assert_int_equal(outcome->calls, 0);
    while (outcome->calls == 0)
        assert_int_equal(loop_run_once(fixture->loop, FIXTURE_TIMEOUT_MS), 0);
    if (outcome->error.code < 0)
        print_message("%s\n", outcome->error.message);
    return 0;
}

static void test_disks_and_nic(void **state)
{
    need_guest();
    struct fixture *fixture = *state;
    CLEANUP_FREE char *first = make_disk(fixture, "first", "layer\n");
    CLEANUP_FREE char *second = make_disk(fixture, "second", "scratch\n");
    const struct vm_disk disks[] = {{.path = first, .read_only = true}, {.path = second}};
    const struct netlink_veth veth = {
        .name = "plug0", .peer_name = "plug1", .peer_netns_fd = -EBADF, .up = true};
    CLEANUP(netlink_cleanup) struct netlink *netlink = NULL;
    struct vm_plug plug = {.disks = disks, .n_disks = 2};
    struct outcome outcome = {0};

    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_int_equal(netlink_open(-EBADF, &netlink, NULL), 0);
    assert_int_equal(netlink_add_veth(netlink, &veth, NULL), 0);
    plug.nic = (struct vm_nic){.link = "plug1", .mac = "02:42:0a:00:00:07", .mtu = 1400};
    fixture_boot_pooled(fixture, getenv("HULL_TEST_SHARE_INIT"));
    expect(fixture, "list /sys/block", "");
    assert_int_equal(wait_plugged(fixture, &plug, &outcome), 0);
    assert_int_equal(outcome.error.code, 0);
    expect(fixture, "read /dev/ubda", "layer");
    expect(fixture, "read /dev/ubdb", "scratch");
    expect(fixture, "write /dev/ubdb written", "ok");
    expect(fixture, "read /sys/block/ubda/ro", "1");
    expect(fixture, "read /sys/block/ubdb/ro", "0");
    expect(fixture, "read /sys/class/net/vec0/address", "02:42:0a:00:00:07");
    expect(fixture, "read /sys/class/net/vec0/mtu", "1400");
    /* Once. */
    assert_int_equal(vm_plug(fixture->vm, &plug, plugged, &outcome, &fixture->error), -EALREADY);
    assert_int_equal(outcome.calls, 1);
}

/* A disk whose guest has made it begin as a file of User-Mode Linux's copy on write does. */
static void test_a_disk_that_names_another(void **state)
{
    enum { NAME_AT = 32 };
    static const unsigned char head[NAME_AT] = {'O', 'O', 'O', 'M', 0, 0, 0, 3};
    need_guest();
    struct fixture *fixture = *state;
    CLEANUP_FREE char *first = make_disk(fixture, "first", "secret\n");
    CLEANUP_FREE char *second = make_disk(fixture, "second", "");
    const struct vm_disk disks[] = {{.path = first}, {.path = second}};
    const struct vm_plug plug = {.disks = disks, .n_disks = 2};
    CLEANUP_CLOSE int fd = open(second, O_WRONLY | O_CLOEXEC);
    struct outcome outcome = {0};

    assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
    assert_int_equal(pwrite(fd, "/disks/0", 8, NAME_AT), 8);
    fixture_boot_pooled(fixture, getenv("HULL_TEST_SHARE_INIT"));
    assert_int_equal(wait_plugged(fixture, &plug, &outcome), 0);
    assert_int_equal(outcome.error.code, 0);
    expect(fixture, "read /dev/ubda", "secret");
    expect(fixture, "read /dev/ubdb", "OOOM");
    expect(fixture, "read /sys/block/ubdb/ro", "0");
}

static void test_nothing_at_all(void **state)
{
    need_guest();
    struct fixture *fixture = *state;
    const struct vm_plug plug = {.n_disks = 0};
    struct outcome outcome = {0};

    fixture_boot_pooled(fixture, getenv("HULL_TEST_SHARE_INIT"));
    assert_int_equal(wait_plugged(fixture, &plug, &outcome), 0);
    assert_int_equal(outcome.error.code, 0);
}

static void test_a_link_that_is_not_there(void **state)
{
    need_guest();
    struct fixture *fixture = *state;
    const struct vm_plug plug = {.nic = {.link = "nowhere0"}};
    struct outcome outcome = {0};

    fixture_boot_pooled(fixture, getenv("HULL_TEST_SHARE_INIT"));
    assert_int_equal(wait_plugged(fixture, &plug, &outcome), -ENODEV);
    assert_int_equal(outcome.calls, 0);
}

static void test_a_file_that_is_not_there(void **state)
{
    need_guest();
    struct fixture *fixture = *state;
    const struct vm_disk disk = {.path = "/nowhere/at/all"};
    const struct vm_plug plug = {.disks = &disk, .n_disks = 1};
    struct outcome outcome = {0};

    fixture_boot_pooled(fixture, getenv("HULL_TEST_SHARE_INIT"));
    assert_int_equal(wait_plugged(fixture, &plug, &outcome), -ENOENT);
}

static void test_the_vm_ends_meanwhile(void **state)
{
    need_guest();
    struct fixture *fixture = *state;
    CLEANUP_FREE char *first = make_disk(fixture, "first", "layer\n");
    const struct vm_disk disk = {.path = first};
    const struct vm_plug plug = {.disks = &disk, .n_disks = 1};
    struct outcome outcome = {0};

    fixture_boot_pooled(fixture, getenv("HULL_TEST_SHARE_INIT"));
    assert_int_equal(vm_plug(fixture->vm, &plug, plugged, &outcome, &fixture->error), 0);
    fixture->vm = vm_free(fixture->vm);
    assert_int_equal(loop_run_once(fixture->loop, 0), 0);
    assert_int_equal(outcome.calls, 0);
}

static void test_a_vm_that_is_not_pooled(void **state)
{
    struct fixture *fixture = *state;
    const struct vm_plug plug = {.n_disks = 0};
    struct outcome outcome = {0};

    fixture_need_root();
    fixture_start(fixture, "wait\n");
    assert_int_equal(wait_plugged(fixture, &plug, &outcome), -EINVAL);
}

static void test_a_pooled_vm_has_no_disks(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_write(fixture->initramfs, "wait\n");
    fixture->config.pooled = true;
    fixture->config.disks[0] = (struct vm_disk){.path = fixture->kernel, .read_only = true};
    fixture->config.n_disks = 1;
    assert_int_equal(
        vm_start(&fixture->config, fixture->loop, &fixture->events, &fixture->vm, &fixture->error),
        -EINVAL);
}

/* --- consoles that misbehave --- */

struct console {
    struct fixture *fixture;
    int fd; /* the console's end */
    struct mconsole *client;
    struct outcome outcome;
    struct sockaddr_un peer;
    socklen_t peer_length;
};

struct answer {
    int32_t error;
    int32_t more;
    int32_t length;
    char data[512];
};

static int console_set_up(void **state)
{
    struct console *console = calloc(1, sizeof(*console));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int path;
    int self;

    assert_non_null(console);
    *state = console;
    fixture_set_up((void **)&console->fixture);
    if (geteuid() != 0)
        return 0; /* the tests skip */
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/mconsole",
             console->fixture->directory);
    console->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(console->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    path = open(address.sun_path, O_PATH | O_CLOEXEC);
    self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    assert_int_equal(mconsole_new(path, self, console->fixture->loop, &console->client,
                                  &console->fixture->error),
                     0);
    close(path);
    close(self);
    return 0;
}

static int console_tear_down(void **state)
{
    struct console *console = *state;

    mconsole_free(console->client);
    fd_close(console->fd);
    fixture_tear_down((void **)&console->fixture);
    free(console);
    return 0;
}

static void console_answered(const struct error *error, void *data)
{
    struct console *console = data;

    record(&console->outcome, error);
}

static void ask(struct console *console, const char *command, unsigned timeout_ms)
{
    char request[1024];
    ssize_t n;

    assert_int_equal(mconsole_ask(console->client, command, timeout_ms, console_answered, console,
                                  &console->fixture->error),
                     0);
    console->peer_length = sizeof(console->peer);
    n = recvfrom(console->fd, request, sizeof(request), 0, (struct sockaddr *)&console->peer,
                 &console->peer_length);
    assert_true(n > 12);
    assert_memory_equal(request + 12, command, strlen(command));
}

static void say(const struct console *console, const void *data, size_t length)
{
    assert_int_equal(sendto(console->fd, data, length, 0, (const struct sockaddr *)&console->peer,
                            console->peer_length),
                     (ssize_t)length);
}

static void wait_answer(struct console *console)
{
    while (console->outcome.calls == 0)
        assert_int_equal(loop_run_once(console->fixture->loop, FIXTURE_TIMEOUT_MS), 0);
    assert_int_equal(console->outcome.calls, 1);
}

static void test_console_agrees(void **state)
{
    struct console *console = *state;
    struct answer answer = {.length = 0};

    fixture_need_root();
    ask(console, "config ubd0=/disks/0", 5000);
    assert_int_equal(
        mconsole_ask(console->client, "version", 5000, console_answered, console, NULL), -EBUSY);
    answer.more = 1;
    say(console, &answer, sizeof(answer));
    answer.more = 0;
    say(console, &answer, offsetof(struct answer, data));
    wait_answer(console);
    assert_int_equal(console->outcome.error.code, 0);
}

static void test_console_refuses(void **state)
{
    struct console *console = *state;
    struct answer answer = {.error = 1, .length = 14, .data = "no such\033device"};

    fixture_need_root();
    ask(console, "config ubd0=/disks/0", 5000);
    say(console, &answer, sizeof(answer));
    wait_answer(console);
    assert_string_equal(console->outcome.error.message,
                        "the VM's management console refuses: no such device");
}

static void test_console_is_silent(void **state)
{
    struct console *console = *state;

    fixture_need_root();
    ask(console, "version", 20);
    wait_answer(console);
    assert_int_equal(console->outcome.error.code, -ETIMEDOUT);
}

static void test_console_lies_about_a_length(void **state)
{
    static const int32_t lengths[] = {-1, 513, INT32_MAX};
    struct console *console = *state;

    fixture_need_root();
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct answer answer = {.length = lengths[i]};

        console->outcome.calls = 0;
        ask(console, "version", 5000);
        say(console, &answer, sizeof(answer));
        wait_answer(console);
        assert_int_equal(console->outcome.error.code, -EPROTO);
    }
}

static void test_console_sends_too_little_or_too_much(void **state)
{
    struct console *console = *state;
    char large[4096] = {0};

    fixture_need_root();
    ask(console, "version", 5000);
    say(console, large, 3);
    wait_answer(console);
    assert_int_equal(console->outcome.error.code, -EPROTO);
    console->outcome.calls = 0;
    ask(console, "version", 5000);
    say(console, large, sizeof(large));
    wait_answer(console);
    assert_int_equal(console->outcome.error.code, -EPROTO);
}

static void test_console_never_ends(void **state)
{
    struct console *console = *state;
    struct answer answer = {.more = 1, .length = 1, .data = "x"};

    fixture_need_root();
    ask(console, "version", 5000);
    for (int i = 0; i <= MCONSOLE_PIECES_MAX; i++) {
        say(console, &answer, sizeof(answer));
        assert_int_equal(loop_run_once(console->fixture->loop, 1000), 0);
    }
    wait_answer(console);
    assert_int_equal(console->outcome.error.code, -EPROTO);
}

static void test_a_command_that_is_too_long(void **state)
{
    struct console *console = *state;
    char command[MCONSOLE_REQUEST_MAX + 2];

    fixture_need_root();
    memset(command, 'x', sizeof(command) - 1);
    command[sizeof(command) - 1] = '\0';
    assert_int_equal(mconsole_ask(console->client, command, 100, console_answered, console, NULL),
                     -E2BIG);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
#define CONSOLE(name) cmocka_unit_test_setup_teardown(name, console_set_up, console_tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_disks_and_nic),
        ROW(test_a_disk_that_names_another),
        ROW(test_nothing_at_all),
        ROW(test_a_link_that_is_not_there),
        ROW(test_a_file_that_is_not_there),
        ROW(test_the_vm_ends_meanwhile),
        ROW(test_a_vm_that_is_not_pooled),
        ROW(test_a_pooled_vm_has_no_disks),
        CONSOLE(test_console_agrees),
        CONSOLE(test_console_refuses),
        CONSOLE(test_console_is_silent),
        CONSOLE(test_console_lies_about_a_length),
        CONSOLE(test_console_sends_too_little_or_too_much),
        CONSOLE(test_console_never_ends),
        CONSOLE(test_a_command_that_is_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
