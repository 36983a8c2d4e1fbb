/* The command lines of engines kvm and tcg against a real QEMU: each option and
 * device is accepted, and the control protocol says that the machine is the one
 * asked for. For kvm the processor is put into software (-accel, -cpu), and
 * nothing else is changed; so it holds for hosts where this test has no
 * /dev/kvm. The guest is 60 bytes of machine code that speak on the serial line
 * and halt. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/netdevice.h"
#include "base/process.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "vm/engine.h"
#include "vm/plug.h"
#include "vm/qmp.h"
#include "vm/template.h"
#include "vm/vm-internal.h"

#define WORDS "the guest speaks"

enum { FDS_MAX = 16, KERNEL_SIZE = 8192, DISK_SIZE = 1024 * 1024, MEMORY_MIB = 304 };

struct machine {
    struct fixture *fixture;
    struct process process;
    struct process_fd fds[FDS_MAX];
    size_t n_fds;
    int console; /* what the serial line says */
    int link;
    struct qmp *qmp;
    json_t *answer; /* of the last command */
    char *refusal;
    bool plugged;
    char events[512]; /* "NAME:reason " each */
};

/* --- a guest --- */

/* A bzImage (Documentation/arch/x86/boot.rst, protocol 2.03) whose real mode
 * part writes WORDS to the first serial port and halts. */
static void write_kernel(const char *path)
{
    enum { SETUP_SECTORS = 4, CODE = 0x268 };
    unsigned char image[KERNEL_SIZE] = {0};
    size_t at = CODE;
    const unsigned char end[] = {0xfb, 0xf4, 0xeb, 0xfc}; /* sti; hlt; jmp to both */

    image[0x1f1] = SETUP_SECTORS;
    image[0x1fe] = 0x55;
    image[0x1ff] = 0xaa;
    image[0x200] = 0xeb; /* jmp CODE */
    image[0x201] = CODE - 0x202;
    memcpy(image + 0x202, "HdrS", 4);
    image[0x206] = 3;
    image[0x207] = 2;
    image[0x211] = 1; /* loaded high */
    image[0x22f] = 0x10;
    memcpy(image + at, "\xba\xf8\x03", 3); /* mov dx, 0x3f8 */
    at += 3;
    for (const char *letter = WORDS "\n"; *letter; letter++) {
        image[at++] = 0xb0; /* mov al, letter; out dx, al */
        image[at++] = (unsigned char)*letter;
        image[at++] = 0xee;
    }
    memcpy(image + at, end, sizeof(end));
    assert_int_equal(
        file_write_atomic(AT_FDCWD, path, (const char *)image, sizeof(image), 0644, NULL), 0);
}

/* --- what QEMU is handed --- */

/* Consumes fd. */
static void hand_over(struct machine *machine, int fd, int as)
{
    assert_true(fd >= 0 && machine->n_fds < FDS_MAX);
    machine->fds[machine->n_fds++] = (struct process_fd){.fd = fd, .as = as};
}

static void make_disk(struct machine *machine, const char *name)
{
    CLEANUP_FREE char *path = string_format("%s/%s", machine->fixture->directory, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
    close(fd);
}

static void hand_over_disk(struct machine *machine, const char *name, int flags, int as)
{
    CLEANUP_FREE char *path = string_format("%s/%s", machine->fixture->directory, name);

    hand_over(machine, open(path, flags | O_CLOEXEC), as);
}

static int pair(struct machine *machine, int as)
{
    int ends[2];

    assert_int_equal(fd_socketpair(SOCK_STREAM, ends), 0);
    assert_int_equal(fd_set_nonblocking(ends[0], true), 0);
    hand_over(machine, ends[1], as);
    return ends[0];
}

static void hand_over_pooled(struct machine *machine)
{
    const struct fixture *fixture = machine->fixture;
    int ends[2];

    /* The tap is made where nobody sees it. */
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_int_equal(netdevice_add_tap("hp0", 0, NULL), 0);
    assert_int_equal(fd_pipe(0, ends), 0);
    machine->console = ends[0];
    hand_over(machine, fd_dup(ends[1]), STDERR_FILENO);
    hand_over(machine, ends[1], STDOUT_FILENO);
    machine->link = pair(machine, VM_FD_LINK);
    write_kernel(fixture->kernel);
    fixture_write(fixture->initramfs, "no archive, but the guest never looks");
    hand_over(machine, open(fixture->kernel, O_RDONLY | O_CLOEXEC), VM_FD_KERNEL);
    hand_over(machine, open(fixture->initramfs, O_RDONLY | O_CLOEXEC), VM_FD_INITRAMFS);
    make_disk(machine, "layer");
    make_disk(machine, "scratch");
}

static void hand_over_all(struct machine *machine)
{
    hand_over_pooled(machine);
    hand_over(machine, netdevice_open_tap("hp0", NULL), VM_FD_NIC);
    hand_over_disk(machine, "layer", O_RDONLY, VM_FD_DISKS);
    hand_over_disk(machine, "scratch", O_RDWR, VM_FD_DISKS + 1);
}

/* --- dialogue --- */

static void on_event(struct qmp *qmp, const char *name, const json_t *payload, void *data)
{
    struct machine *machine = data;
    const char *reason = json_string_value(json_object_get(payload, "reason"));
    size_t length = strlen(machine->events);

    (void)qmp;
    snprintf(machine->events + length, sizeof(machine->events) - length, "%s:%s ", name,
             string_or(reason, "-"));
}

static void on_done(struct qmp *qmp, const json_t *result, const struct error *error, void *data)
{
    struct machine *machine = data;

    (void)qmp;
    if (result)
        machine->answer = json_deep_copy(result);
    else
        machine->refusal = strdup(error->message);
}

/* QEMU's words when it has not started, for whoever reads the failure. */
static void complain(struct machine *machine)
{
    char text[4096] = "";
    ssize_t n = read(machine->console, text, sizeof(text) - 1);

    (void)n;
    print_error("QEMU ended: %s\n%s\n", string_or(qmp_failure(machine->qmp), ""), text);
}

static void turn(struct machine *machine, int64_t deadline)
{
    assert_true(timestamp_monotonic() < deadline);
    assert_int_equal(loop_run_once(machine->fixture->loop, 1000), 0);
}

static int64_t soon(void)
{
    return timestamp_monotonic() + FIXTURE_TIMEOUT_MS * INT64_C(1000000);
}

/* Borrowed until the next. */
static const json_t *ask(struct machine *machine, const char *command, json_t *arguments)
{
    int64_t deadline = soon();

    json_decref(machine->answer);
    machine->answer = NULL;
    assert_int_equal(qmp_command(machine->qmp, command, arguments, on_done, machine, NULL), 0);
    while (!machine->answer && !machine->refusal)
        turn(machine, deadline);
    if (machine->refusal) {
        print_error("%s: %s\n", command, machine->refusal);
        complain(machine);
    }
    assert_null(machine->refusal);
    return machine->answer;
}

static void wait_event(struct machine *machine, const char *text)
{
    int64_t deadline = soon();

    while (!strstr(machine->events, text))
        turn(machine, deadline);
}

static void wait_words(struct machine *machine)
{
    int64_t deadline = soon();
    char text[4096] = "";
    size_t length = 0;

    while (!strstr(text, WORDS)) {
        struct pollfd poll_fd = {.fd = machine->console, .events = POLLIN};
        ssize_t n;

        assert_true(timestamp_monotonic() < deadline && length < sizeof(text) - 1);
        if (poll(&poll_fd, 1, 1000) == 0)
            continue;
        n = read(machine->console, text + length, sizeof(text) - 1 - length);
        if (n <= 0)
            print_error("the console ended: %s\n", text);
        assert_true(n > 0);
        length += (size_t)n;
        text[length] = '\0';
    }
}

/* --- the machine --- */

static const char *qemu_program(void)
{
    return string_or(getenv("HULL_TEST_QEMU"), "/usr/bin/qemu-system-x86_64");
}

static void need_qemu(void)
{
    if (access(qemu_program(), X_OK) < 0) {
        print_message("skipped: %s is not installed\n", qemu_program());
        skip();
    }
}

static void replace_value(char **argv, const char *option, const char *from, const char *to)
{
    for (size_t i = 0; argv[i]; i++)
        if (string_equal(argv[i], option)) {
            assert_string_equal(argv[i + 1], from);
            assert_int_equal(string_replace(&argv[i + 1], to), 0);
            return;
        }
    fail();
}

static void spawn(struct machine *machine, const struct vm_config *config)
{
    const struct qmp_events events = {.event = on_event, .data = machine};
    CLEANUP_STRV char **argv = NULL;
    struct process_spec spec = {.path = qemu_program(), .flags = PROCESS_DIE_WITH_PARENT};
    int control = pair(machine, VM_FD_CONTROL);

    assert_int_equal(vm_engine_ops(config->engine)->command(config, &argv, NULL), 0);
    if (config->engine == VM_ENGINE_KVM) {
        replace_value(argv, "-accel", "kvm", "tcg");
        replace_value(argv, "-cpu", "host", "max"); /* "host" needs KVM */
    }
    spec.argv = argv;
    spec.fds = machine->fds;
    spec.n_fds = machine->n_fds;
    assert_int_equal(process_spawn(&spec, &machine->process, NULL), 0);
    while (machine->n_fds > 0)
        close(machine->fds[--machine->n_fds].fd);
    assert_int_equal(qmp_new(control, machine->fixture->loop, &events, &machine->qmp, NULL), 0);
}

static void start(struct machine *machine, enum vm_engine engine)
{
    const struct vm_config config = {
        .id = "0123456789ab,x=y",
        .engine = engine,
        .files = {.qemu = qemu_program()},
        .memory = 256 * 1024 * 1024,
        .cpus = 1.5,
        .disks = {{.path = "/layer", .read_only = true}, {.path = "/scratch"}},
        .n_disks = 2,
        .nic = {.link = "hp0", .mac = "02:42:ac:11:00:02", .mtu = 1400},
    };

    hand_over_all(machine);
    spawn(machine, &config);
}

static void assert_devices(struct machine *machine)
{
    static const char *const expected[] = {"child<virtio-serial-pci>", "child<virtserialport>",
                                           "child<virtio-rng-pci>",    "child<virtio-balloon-pci>",
                                           "child<virtio-blk-pci>",    "child<virtio-blk-pci>",
                                           "child<virtio-net-pci>"};
    enum { N = sizeof(expected) / sizeof(expected[0]) };
    const json_t *list =
        ask(machine, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral-anon"));
    size_t i;
    const json_t *entry;
    size_t found = 0;

    json_array_foreach (list, i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name"));
        const char *type = json_string_value(json_object_get(entry, "type"));
        int index;

        /* device[0], device[1], ... in the order of the command line */
        if (!string_starts_with(name, "device["))
            continue;
        index = name[strlen("device[")] - '0';
        assert_in_range(index, 0, N - 1);
        assert_string_equal(type, expected[index]);
        found++;
    }
    assert_int_equal(found, N);
}

static void assert_disks(struct machine *machine)
{
    const json_t *list = ask(machine, "query-block", NULL);
    size_t i;
    const json_t *entry;

    assert_int_equal(json_array_size(list), 2);
    json_array_foreach (list, i, entry) {
        const json_t *disk = json_object_get(entry, "inserted");
        const json_t *image = json_object_get(disk, "image");
        CLEANUP_FREE char *node = string_format("disk%zu", i);

        assert_string_equal(json_string_value(json_object_get(disk, "node-name")), node);
        assert_int_equal(json_is_true(json_object_get(disk, "ro")), i == 0);
        assert_int_equal(json_integer_value(json_object_get(image, "virtual-size")), DISK_SIZE);
    }
}

static void assert_machine(struct machine *machine)
{
    const json_t *status = ask(machine, "query-status", NULL);

    assert_string_equal(json_string_value(json_object_get(status, "status")), "running");
    assert_devices(machine);
    assert_disks(machine);
    assert_int_equal(json_array_size(ask(machine, "query-cpus-fast", NULL)), 2);
    assert_int_equal(json_integer_value(json_object_get(
                         ask(machine, "query-memory-size-summary", NULL), "base-memory")),
                     MEMORY_MIB * INT64_C(1024) * 1024);
    assert_string_equal(
        json_string_value(json_object_get(ask(machine, "query-name", NULL), "name")),
        "0123456789ab,x=y");
}

static void assert_life(struct machine *machine)
{
    int status = -1;

    /* Firmware, kernel and serial line: what a boot needs. */
    wait_words(machine);
    assert_machine(machine);
    ask(machine, "system_powerdown", NULL);
    wait_event(machine, "POWERDOWN:- ");
    ask(machine, "stop", NULL);
    wait_event(machine, "STOP:- ");
    assert_string_equal(
        json_string_value(json_object_get(ask(machine, "query-status", NULL), "status")), "paused");
    assert_int_equal(qmp_command(machine->qmp, "quit", NULL, NULL, NULL, NULL), 0);
    wait_event(machine, "SHUTDOWN:host-qmp-quit ");
    assert_int_equal(process_wait_timeout(&machine->process, FIXTURE_TIMEOUT_MS, &status), 0);
    assert_int_equal(status, 0);
}

/* --- a machine whose container is not known yet --- */

static void note_plugged(struct vm *vm, const struct error *error, void *data)
{
    struct machine *machine = data;

    (void)vm;
    machine->plugged = true;
    if (error)
        machine->refusal = strdup(error->message);
}

static void wait_plugged(struct machine *machine)
{
    int64_t deadline = soon();

    while (!machine->plugged)
        turn(machine, deadline);
    if (machine->refusal)
        print_error("%s\n", machine->refusal);
    assert_null(machine->refusal);
}

static char *in_directory(struct machine *machine, const char *name)
{
    return string_format("%s/%s", machine->fixture->directory, name);
}

/* As vm.c does it, but for the jail. */
static void plug(struct machine *machine, enum vm_engine engine)
{
    CLEANUP_FREE char *layer = in_directory(machine, "layer");
    CLEANUP_FREE char *scratch = in_directory(machine, "scratch");
    const struct vm_disk disks[] = {{.path = layer, .read_only = true}, {.path = scratch}};
    const struct vm_plug what = {
        .disks = disks, .n_disks = 2, .nic = {.link = "hp0", .mac = "02:42:ac:11:00:02"}};
    struct vm vm = {.ops = vm_engine_ops(engine),
                    .loop = machine->fixture->loop,
                    .process = machine->process,
                    .qmp = machine->qmp,
                    .pooled = true};

    assert_int_equal(vm_plug(&vm, &what, note_plugged, machine, NULL), 0);
    wait_plugged(machine);
    vm_plug_free(&vm);
    assert_disks(machine);
}

static void assert_capability(struct machine *machine)
{
    ask(machine, "migrate-set-capabilities",
        json_pack("{s:[{s:s,s:b}]}", "capabilities", "capability", "x-ignore-shared", "state", 1));
}

/* The machine that a template is made of takes disks and NIC, and can be saved.
 */
static void assert_pooled(struct machine *machine, enum vm_engine engine)
{
    const struct vm_template template = {.memory = -EBADF, .state = -EBADF};
    const struct vm_config config = {
        .id = "pooled",
        .engine = engine,
        .files = {.qemu = qemu_program()},
        .memory = 256 * 1024 * 1024,
        .pooled = true,
        .template = &template,
    };
    int memory = vm_template_new_memory(&config, NULL);

    hand_over_pooled(machine);
    hand_over(machine, memory, VM_FD_MEMORY);
    spawn(machine, &config);
    wait_words(machine);
    assert_capability(machine);
    plug(machine, engine);
}

static int set_up(void **state)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    void *fixture = NULL;

    assert_non_null(machine);
    assert_int_equal(fixture_set_up(&fixture), 0);
    *machine = (struct machine){
        .fixture = fixture, .process = PROCESS_INIT, .console = -EBADF, .link = -EBADF};
    *state = machine;
    return 0;
}

static int tear_down(void **state)
{
    struct machine *machine = *state;
    void *fixture = machine->fixture;

    qmp_free(machine->qmp);
    if (machine->process.pid > 0) {
        (void)process_signal(&machine->process, SIGKILL);
        (void)process_wait(&machine->process, NULL);
    }
    process_release(&machine->process);
    while (machine->n_fds > 0)
        close(machine->fds[--machine->n_fds].fd);
    fd_close(machine->console);
    fd_close(machine->link);
    json_decref(machine->answer);
    free(machine->refusal);
    free(machine);
    return fixture_tear_down(&fixture);
}

static void test_kvm_in_software(void **state)
{
    need_qemu();
    fixture_need_root();
    start(*state, VM_ENGINE_KVM);
    assert_life(*state);
}

static void test_tcg(void **state)
{
    need_qemu();
    fixture_need_root();
    start(*state, VM_ENGINE_TCG);
    assert_life(*state);
}

static void test_kvm_in_software_pooled(void **state)
{
    need_qemu();
    fixture_need_root();
    assert_pooled(*state, VM_ENGINE_KVM);
}

static void test_tcg_pooled(void **state)
{
    need_qemu();
    fixture_need_root();
    assert_pooled(*state, VM_ENGINE_TCG);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_kvm_in_software),
        ROW(test_tcg),
        ROW(test_kvm_in_software_pooled),
        ROW(test_tcg_pooled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
