/* Theory of operation.
 *
 * vm_start() opens everything the VMM may have (console pipe, link and control socket pairs,
 * kernel, initramfs, disks, NIC), makes the cgroup and the jail, and spawns. From then on three
 * sources of the loop are the VM's: the console's pipe, the VMM's pidfd, and QEMU's control
 * connection.
 *
 * The end is seen on the pidfd and nowhere else: the link or the pipe may close early or, held open
 * by an orphan of the VMM, late. Before the end is told, the console is drained of what was written
 * by then, because a panic's line says more than the signal that followed it.
 *
 * User-Mode Linux has a process of the host for each address space of the guest. They die with the
 * VMM, but not necessarily before it is reaped; so ended() and vm_free() first kill and wait for
 * whatever is left in the cgroup or, without one, of the VM's user. */
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "vm/cgroup.h"
#include "vm/console.h"
#include "vm/engine.h"
#include "vm/file-server.h"
#include "vm/jail.h"
#include "vm/plug.h"
#include "vm/qmp.h"
#include "vm/template.h"
#include "vm/vm-internal.h"

#define CGROUP_MOUNT "/sys/fs/cgroup"

enum {
    FDS_MAX = VM_FD_SHARES + 3,
    BACKGROUND_NICE = 10,
    CONSOLE_CHUNK = 16 * 1024,
    CONSOLE_DRAIN_MAX = 1024 * 1024, /* a pipe's largest usual size */
    SUPERVISE_TIMEOUT_MS = 5000,
};

/* What the child gets; all closed in this process once it runs. */
struct handover {
    struct process_fd fds[FDS_MAX];
    size_t n;
};

/* --- start --- */

static void handover_release(struct handover *handover)
{
    for (size_t i = 0; i < handover->n; i++)
        handover->fds[i].fd = fd_close(handover->fds[i].fd);
}

/* Consumes fd. */
static void hand_over(struct handover *handover, int fd, int as)
{
    handover->fds[handover->n++] = (struct process_fd){.fd = fd, .as = as};
}

static int hand_over_file(struct handover *handover, const char *path, int flags, int as,
                          struct error *err)
{
    struct stat st;
    CLEANUP_CLOSE int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = -errno;

        return error_set_errno(err, r, "cannot open %s", path);
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(err, -EINVAL, "%s is neither a file nor a block device", path);
    hand_over(handover, TAKE_FD(fd), as);
    return 0;
}

/* It is held here, too: whoever closes a packet socket last waits for a grace period of RCU (8 to
 * 15 ms), and that shall not be the VMM, whose end others wait for. */
static int open_nic(struct vm *vm, int fd, struct handover *handover, struct error *err)
{
    if (fd < 0)
        return fd;
    hand_over(handover, fd, VM_FD_NIC);
    vm->nic = fd_dup(fd);
    return vm->nic < 0 ? error_set_errno(err, vm->nic, "cannot hold a NIC's descriptor") : 0;
}

static int open_files(struct vm *vm, const struct vm_config *config, struct handover *handover,
                      struct error *err)
{
    const struct vm_engine_ops *ops = vm->ops;
    int r =
        hand_over_file(handover, ops->initramfs(&config->files), O_RDONLY, VM_FD_INITRAMFS, err);

    if (r == 0 && ops->loads_kernel)
        r = hand_over_file(handover, ops->kernel(&config->files), O_RDONLY, VM_FD_KERNEL, err);
    for (size_t i = 0; i < config->n_disks && r == 0; i++)
        r = hand_over_file(handover, config->disks[i].path,
                           config->disks[i].read_only ? O_RDONLY : O_RDWR, VM_FD_DISKS + (int)i,
                           err);
    if (r == 0 && config->nic.link)
        r = open_nic(vm, ops->open_nic(config->nic.link, err), handover, err);
    return r;
}

/* A stream socket pair: our end non-blocking, theirs as the VMM's descriptor `as`. */
static int open_pair(struct handover *handover, int as, int *ret, struct error *err)
{
    int ends[2];
    int r = fd_socketpair(SOCK_STREAM, ends);

    if (r < 0)
        return error_set_errno(err, r, "cannot make a socket pair");
    hand_over(handover, ends[1], as);
    *ret = ends[0];
    r = fd_set_nonblocking(ends[0], true);
    return r < 0 ? error_set_errno(err, r, "cannot make a socket non-blocking") : 0;
}

static int open_console(struct vm *vm, const char *path, struct handover *handover,
                        struct error *err)
{
    int ends[2];
    int copy;
    int r = vm_console_new(path, VM_CONSOLE_MAX, &vm->console, err);

    if (r < 0)
        return r;
    r = fd_pipe(0, ends);
    if (r < 0)
        return error_set_errno(err, r, "cannot make the console's pipe");
    vm->console_fd = ends[0];
    hand_over(handover, ends[1], STDOUT_FILENO);
    r = fd_set_nonblocking(vm->console_fd, true);
    copy = r < 0 ? r : fd_dup(ends[1]);
    if (copy < 0)
        return error_set_errno(err, copy, "cannot make the console's pipe");
    hand_over(handover, copy, STDERR_FILENO);
    return 0;
}

/* Both ends of a template's life: see vm_config.template. */
static int open_template(const struct vm_template *template, struct handover *handover,
                         struct error *err)
{
    int memory = fd_dup(template->memory);
    int state = -EBADF;

    if (memory < 0)
        return error_set_errno(err, memory, "cannot hold a template's memory");
    hand_over(handover, memory, VM_FD_MEMORY);
    if (template->state < 0)
        return 0;
    state = fd_dup(template->state);
    if (state < 0)
        return error_set_errno(err, state, "cannot hold a template's state");
    hand_over(handover, state, VM_FD_STATE);
    return vm_template_check_memory(template->memory, 0, err);
}

static int open_all(struct vm *vm, const struct vm_config *config, struct handover *handover,
                    struct error *err)
{
    int r = open_console(vm, config->console_path, handover, err);

    if (r == 0)
        r = open_pair(handover, VM_FD_LINK, &vm->link, err);
    if (r == 0 && vm->ops->control)
        r = open_pair(handover, VM_FD_CONTROL, &vm->control, err);
    if (r == 0)
        r = open_files(vm, config, handover, err);
    /* This process will say which link it is for. */
    if (r == 0 && config->pooled && vm->ops->open_pooled_nic)
        r = open_nic(vm, vm->ops->open_pooled_nic(err), handover, err);
    if (r == 0 && config->template)
        r = open_template(config->template, handover, err);
    return r;
}

static struct vm_cgroup_limits limits_of(const struct vm *vm, uint64_t memory, double cpus)
{
    return (struct vm_cgroup_limits){
        .memory = vm_engine_memory_mib(vm->ops, memory) * 1024 * 1024 + vm->overhead,
        .cpus = cpus,
        .processes = vm->ops->processes_max,
    };
}

static int make_cgroup(struct vm *vm, const struct vm_config *config, struct error *err)
{
    struct vm_cgroup_limits limits = limits_of(vm, config->memory, config->cpus);

    if (!config->cgroup)
        return 0;
    return vm_cgroup_create(CGROUP_MOUNT, config->cgroup, &limits, &vm->cgroup, err);
}

int vm_open_procs(const struct vm *vm, struct vm_procs *ret, struct error *err)
{
    int n = vm_cgroup_open_procs(&vm->cgroup, ret->fds, err);

    ret->n = n < 0 ? 0 : (size_t)n;
    return n < 0 ? n : 0;
}

void vm_close_procs(struct vm_procs *procs)
{
    while (procs->n > 0)
        fd_close(procs->fds[--procs->n]);
}

void vm_free_jail(struct vm_jail **jail)
{
    *jail = vm_jail_free(*jail);
}

int vm_add_shares(struct vm *vm, const struct vm_config *config, struct vm_jail *jail,
                  struct error *err)
{
    int user_namespace = vm_jail_user_namespace(jail);

    for (size_t i = 0; i < config->n_shares; i++) {
        enum vm_share_kind kind;
        int r = vm_share_mount(&config->shares[i], user_namespace, &kind, err);

        if (r >= 0)
            r = vm_jail_share(jail, (unsigned)i, kind == VM_SHARE_DIRECTORY, r, err);
        if (r < 0)
            return r;
    }
    vm->takes_shares = config->shares_later;
    if (!config->shares_later && !(config->pooled && vm->ops->shares))
        return 0;
    vm->user_namespace = fd_dup(user_namespace);
    return vm->user_namespace < 0
               ? error_set_errno(err, vm->user_namespace, "cannot hold a user namespace")
               : 0;
}

/* Not empty: User-Mode Linux does not survive that. */
static char home[] = "HOME=/run";
static char search[] = "PATH=/usr/sbin:/usr/bin";
char *const vm_environment[] = {home, search, NULL};

static int spawn(struct vm *vm, const struct vm_config *config, const struct handover *handover,
                 struct error *err)
{
    CLEANUP(vm_close_procs) struct vm_procs procs = {.n = 0};
    CLEANUP(vm_free_jail) struct vm_jail *jail = NULL;
    CLEANUP_STRV char **argv = NULL;
    bool files = vm->ops->shares && (config->n_shares > 0 || config->shares_later);
    int r = vm_open_procs(vm, &procs, err);
    struct vm_jail_spec jail_spec = {
        .uid = config->uid,
        .gid = config->gid,
        .program = vm->ops->program(&config->files),
        .root = config->runtime_dir,
        .device = vm->ops->device,
        .proc = vm->ops->proc,
        .files = files,
        .disks = config->pooled && vm->ops->shares,
        .filter = vm->ops->filter,
        .personality = vm->ops->personality,
        .processes_max = vm->ops->processes_max,
        .descriptors_max = vm->ops->descriptors_max,
        .cgroup_procs = procs.fds,
        .n_cgroup_procs = procs.n,
    };
    struct process_spec spec = {
        .env = vm_environment,
        .fds = handover->fds,
        .n_fds = handover->n,
        .flags = PROCESS_SETSID,
    };

    if (r == 0)
        r = vm->ops->command(config, &argv, err);
    if (r == 0)
        r = vm_jail_new(&jail_spec, &jail, err);
    if (r == 0 && !vm->server)
        r = vm_add_shares(vm, config, jail, err);
    if (r < 0)
        return r;
    spec.argv = argv;
    return vm_jail_spawn(jail, &spec, &vm->process, err);
}

/* Before the VMM, which speaks to it as soon as it runs. */
static int start_server(struct vm *vm, const struct vm_config *config, struct handover *handover,
                        struct error *err)
{
    int console = -EBADF;
    int socket = -EBADF;
    int r;

    for (size_t i = 0; i < handover->n; i++)
        if (handover->fds[i].as == STDERR_FILENO)
            console = handover->fds[i].fd;
    r = file_server_start(vm, config, console, &socket, err);
    if (r == 0)
        hand_over(handover, socket, VM_FD_SHARES);
    return r;
}

static int check_config(const struct vm_config *config, struct error *err)
{
    const struct vm_engine_ops *ops = vm_engine_ops(config->engine);

    if (!ops)
        return error_set(err, -EINVAL, "unknown VM engine");
    if (config->uid == 0 || config->gid == 0)
        return error_set(err, -EINVAL, "a utility VM never runs as root");
    if (config->n_disks > VM_DISKS_MAX)
        return error_set_class(err, ERROR_INVALID, "a utility VM has at most %d disks, not %zu",
                               VM_DISKS_MAX, config->n_disks);
    if (config->memory < VM_MEMORY_MIN)
        return error_set_class(err, ERROR_INVALID,
                               "a utility VM needs at least %d MiB of memory, not %" PRIu64,
                               VM_MEMORY_MIN / 1024 / 1024, config->memory / 1024 / 1024);
    if (config->pooled && (!ops->plug || config->n_disks || config->nic.link || config->n_shares ||
                           vm_engine_serves(config)))
        return error_set(err, -EINVAL, "a VM of engine '%s' cannot be started so ahead of time",
                         ops->name);
    if (config->template && (!config->pooled || !ops->templates))
        return error_set(err, -EINVAL, "a VM of engine '%s' cannot be made from a template",
                         ops->name);
    if (config->n_shares > VM_SHARES_MAX)
        return error_set_class(err, ERROR_INVALID, "a utility VM has at most %d shares, not %zu",
                               VM_SHARES_MAX, config->n_shares);
    if (!isfinite(config->cpus) || config->cpus < 0)
        return error_set_class(err, ERROR_INVALID, "invalid number of CPUs");
    return ops->check(&config->files, "", err);
}

static void on_console(struct loop_source *source, uint32_t events);
static void on_process(struct loop_source *source, uint32_t events);
static void on_qmp_event(struct qmp *qmp, const char *name, const json_t *payload, void *data);

static int supervise(struct vm *vm, const struct vm_config *config, struct error *err)
{
    struct qmp_events events = {.event = on_qmp_event, .data = vm};
    int r = loop_add(vm->loop, &vm->process_source, vm->process.pidfd, EPOLLIN, on_process, vm);

    if (r == 0)
        r = loop_add(vm->loop, &vm->console_source, vm->console_fd, EPOLLIN, on_console, vm);
    if (r < 0)
        return error_set_errno(err, r, "cannot watch the VMM");
    if (!vm->ops->control)
        return 0;
    r = qmp_new(vm->control, vm->loop, &events, &vm->qmp, err);
    if (r < 0)
        return r;
    vm->control = -EBADF;
    return config->template && config->template->state >= 0 ? vm_template_wake(vm, err) : 0;
}

static uint64_t host_memory(void)
{
    struct sysinfo info;

    return sysinfo(&info) < 0 ? 0 : (uint64_t)info.totalram * info.mem_unit;
}

DEFINE_CLEANUP(struct vm *, cleanup_vm, vm_free)

int vm_start(const struct vm_config *given, struct loop *loop, const struct vm_events *events,
             struct vm **ret, struct error *err)
{
    CLEANUP(handover_release) struct handover handover = {.n = 0};
    CLEANUP(cleanup_vm) struct vm *vm = NULL;
    struct vm_config completed = *given;
    const struct vm_config *config = &completed;
    int r = check_config(config, err);

    if (r < 0)
        return r;
    vm = calloc(1, sizeof(*vm));
    if (!vm)
        return error_oom(err);
    *vm = (struct vm){
        .ops = vm_engine_ops(config->engine),
        .loop = loop,
        .events = *events,
        .uid = config->uid,
        .process = PROCESS_INIT,
        .process_source = LOOP_SOURCE_INIT,
        .console_fd = -EBADF,
        .console_source = LOOP_SOURCE_INIT,
        .link = -EBADF,
        .control = -EBADF,
        .user_namespace = -EBADF,
        .pooled = config->pooled,
        .nic = -EBADF,
    };
    if (!config->memory_ceiling)
        completed.memory_ceiling = vm_engine_ceiling(vm->ops, config->memory, host_memory());
    vm->memory_ceiling = config->memory_ceiling;
    vm->overhead = vm->ops->overhead + (vm_engine_serves(config) ? FILE_SERVER_OVERHEAD : 0);
    r = open_all(vm, config, &handover, err);
    if (r == 0)
        r = make_cgroup(vm, config, err);
    if (r == 0 && vm_engine_serves(config))
        r = start_server(vm, config, &handover, err);
    if (r == 0)
        r = spawn(vm, config, &handover, err);
    if (r == 0)
        r = supervise(vm, config, err);
    if (r < 0)
        return error_wrap(err, r, "cannot start the utility VM");
    if (config->background)
        vm_set_background(vm, true);
    *ret = TAKE_PTR(vm);
    return 0;
}

/* --- while it runs --- */

/* Takes what is there, at most `limit` bytes. False at end of file. */
static bool read_console(struct vm *vm, size_t limit)
{
    char chunk[CONSOLE_CHUNK];

    for (size_t taken = 0; taken < limit;) {
        ssize_t n = read(vm->console_fd, chunk, sizeof(chunk));

        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false;
        vm_console_feed(vm->console, chunk, (size_t)n);
        taken += (size_t)n;
    }
    return true;
}

static void on_console(struct loop_source *source, uint32_t events)
{
    struct vm *vm = source->data;

    (void)events;
    if (!read_console(vm, CONSOLE_CHUNK))
        loop_remove(source);
}

static void on_qmp_event(struct qmp *qmp, const char *name, const json_t *payload, void *data)
{
    struct vm *vm = data;
    const char *reason = json_string_value(json_object_get(payload, "reason"));

    (void)qmp;
    if (!string_equal(name, "SHUTDOWN")) {
        if (vm->control_event)
            vm->control_event(vm, name, payload, vm->control_data);
        return;
    }
    /* hull-init ends a guest under QEMU by a reset, which works without ACPI too; with -no-reboot
     * that is the end. A panic resets as well, but says so on the console. */
    vm->powered_off = string_equal(reason, "guest-shutdown") || string_equal(reason, "guest-reset");
}

const char *vm_disk_error(const struct vm *vm)
{
    return vm_console_disk_error(vm->console);
}

uint64_t vm_memory_ceiling(const struct vm *vm)
{
    return vm->memory_ceiling;
}

int vm_limit(struct vm *vm, uint64_t memory, double cpus, struct error *err)
{
    struct vm_cgroup_limits limits = limits_of(vm, memory, cpus);

    return vm_cgroup_change(&vm->cgroup, &limits, err);
}

int vm_rename(struct vm *vm, const char *cgroup, const char *console_path, uint64_t memory,
              double cpus, struct error *err)
{
    struct vm_cgroup_limits limits = limits_of(vm, memory, cpus);
    int r = 0;

    if (cgroup)
        r = vm_cgroup_rename(&vm->cgroup, CGROUP_MOUNT, cgroup, &limits, err);
    if (r == 0 && console_path)
        r = vm_console_move(vm->console, console_path, err);
    return r == 0 ? vm_cgroup_change(&vm->cgroup, &limits, err) : r;
}

/* The jail may have given it a session of its own, and so a group of the scheduler's
 * (sched(7), autogroup) in which alone its nice value counts. */
void vm_set_background(struct vm *vm, bool background)
{
    const int nice = background ? BACKGROUND_NICE : 0;
    char text[8];
    CLEANUP_FREE char *path = string_format("/proc/%d/autogroup", (int)vm->process.pid);

    vm_cgroup_set_background(&vm->cgroup, background);
    if (vm->process.pid <= 0 || !path)
        return;
    (void)setpriority(PRIO_PROCESS, (id_t)vm->process.pid, nice);
    (void)setpriority(PRIO_USER, vm->uid, nice);
    (void)snprintf(text, sizeof(text), "%d", nice);
    (void)file_write(AT_FDCWD, path, text, NULL);
}

/* --- end --- */

static void describe_exit(struct vm *vm, int status, char *reason, size_t size, bool *ret_clean)
{
    const char *last = vm_console_last_line(vm->console);

    if (status == 0 && (!vm->ops->control || vm->powered_off)) {
        *ret_clean = true;
        snprintf(reason, size, "powered off");
    } else if (status > 128) {
        uint64_t kills = status == 128 + SIGKILL ? vm_cgroup_oom_kills(&vm->cgroup) : 0;

        snprintf(reason, size, "killed by signal %d%s", status - 128,
                 kills > 0 ? " (out of memory)" : "");
    } else {
        snprintf(reason, size, "exit code %d%s%s", status, *last ? ": " : "", last);
    }
}

static void describe_end(struct vm *vm, int status, char *reason, size_t size, bool *ret_clean)
{
    const char *panic = vm_console_panic(vm->console);

    *ret_clean = false;
    if (vm->kill_reason)
        snprintf(reason, size, "%s", vm->kill_reason);
    else if (panic)
        snprintf(reason, size, "guest panic: %s", panic);
    else
        describe_exit(vm, status, reason, size, ret_clean);
}

/* Kills what the VMM left behind, and waits for that. */
static void sweep(struct vm *vm)
{
    vm->server = file_server_free(vm->server);
    if (vm->cgroup.n > 0)
        (void)vm_cgroup_destroy(&vm->cgroup);
    else if (vm->uid != 0)
        (void)vm_kill_user(vm->uid);
    vm->uid = 0; /* may be somebody else's from now on */
}

static void on_process(struct loop_source *source, uint32_t events)
{
    struct vm *vm = source->data;
    char reason[VM_REASON_MAX];
    int status = 0;
    bool clean;
    int r;

    (void)events;
    loop_remove(source);
    r = process_wait(&vm->process, &status);
    (void)read_console(vm, CONSOLE_DRAIN_MAX);
    loop_remove(&vm->console_source);
    if (r < 0) {
        clean = false;
        snprintf(reason, sizeof(reason), "its end could not be read: %s", strerror(-r));
    } else {
        /* QEMU's last words may still be in the socket; the loop is level-triggered and fair, but
         * which source comes first is chance. */
        qmp_drain(vm->qmp);
        describe_end(vm, status, reason, sizeof(reason), &clean);
    }
    sweep(vm);
    /* The last thing done here: the callee may free the VM. */
    if (vm->events.ended)
        vm->events.ended(vm, clean, reason, vm->events.data);
}

void vm_kill(struct vm *vm, const char *reason)
{
    if (vm->process.pid <= 0)
        return;
    if (!vm->kill_reason && reason)
        vm->kill_reason = strdup(reason); /* NULL when out of memory: the signal will tell */
    (void)process_signal(&vm->process, SIGKILL);
}

int vm_power_down(struct vm *vm, struct error *err)
{
    if (!vm->qmp)
        return error_set(err, -EOPNOTSUPP, "engine '%s' has no power button", vm->ops->name);
    return qmp_command(vm->qmp, "system_powerdown", NULL, NULL, NULL, err);
}

int vm_link(const struct vm *vm)
{
    return vm->link;
}

pid_t vm_pid(const struct vm *vm)
{
    return vm->process.pid;
}

int vm_open_management(const struct vm *vm, struct error *err)
{
    CLEANUP_FREE char *path = string_format("/proc/%d/root", (int)vm->process.pid);
    CLEANUP_CLOSE int root = -EBADF;
    CLEANUP_CLOSE int fd = -EBADF;
    struct stat st;
    int r;

    if (!path)
        return error_oom(err);
    if (vm->ops->control)
        return error_set(err, -EOPNOTSUPP, "engine '%s' has no management console", vm->ops->name);
    root = vm->process.pid > 0 ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (root < 0)
        return error_set(err, -ENOENT, "the VMM has gone");
    /* /run belongs to the VMM: it could put a symbolic link there that leads to a socket of ours.
     */
    r = path_openat2(root, "run/vm/mconsole", O_PATH | O_NOFOLLOW, 0,
                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    if (r < 0)
        return error_set_errno(err, r, "cannot open the VM's management console");
    fd = r;
    if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
        return error_set(err, -EINVAL, "the VM's management console is not a socket");
    return TAKE_FD(fd);
}

/* The process whose jail has the shares. */
static const struct process *sharer(const struct vm *vm)
{
    return vm->server ? file_server_process(vm->server) : &vm->process;
}

static int attach(struct vm *vm, unsigned index, const struct vm_share *share, bool disk,
                  enum vm_share_kind *ret_kind, struct error *err)
{
    CLEANUP_CLOSE int mount = -EBADF;
    enum vm_share_kind kind = VM_SHARE_FILE;
    int r;

    if (vm->user_namespace < 0 || (disk ? vm->server != NULL : !vm->takes_shares))
        return error_set(err, -EOPNOTSUPP, "this utility VM takes no more shares");
    if (index >= VM_SHARES_MAX || sharer(vm)->pid <= 0)
        return error_set(err, index >= VM_SHARES_MAX ? -E2BIG : -ESRCH,
                         "cannot share %s with a utility VM", share->name);
    mount = vm_share_mount(share, vm->user_namespace, &kind, err);
    if (mount < 0)
        return mount;
    if (disk && kind != VM_SHARE_FILE)
        return error_set(err, -EISDIR, "%s is a directory and no disk", share->name);
    r = vm_share_attach(sharer(vm)->pidfd, mount, disk ? VM_SHARE_DISK : kind, index, err);
    if (r == 0 && ret_kind)
        *ret_kind = kind;
    return r;
}

int vm_attach_share(struct vm *vm, unsigned index, const struct vm_share *share,
                    enum vm_share_kind *ret_kind, struct error *err)
{
    return attach(vm, index, share, false, ret_kind, err);
}

int vm_attach_disk(struct vm *vm, unsigned index, const struct vm_share *disk, struct error *err)
{
    return attach(vm, index, disk, true, NULL, err);
}

int vm_attach_below(struct vm *vm, unsigned index, const char *path, const struct vm_share *share,
                    struct error *err)
{
    enum vm_share_kind kind;

    if (vm->user_namespace < 0 || index >= VM_SHARES_MAX || sharer(vm)->pid <= 0)
        return error_set(err, -EOPNOTSUPP, "cannot share %s with a utility VM", share->name);
    CLEANUP_CLOSE int mount = vm_share_mount(share, vm->user_namespace, &kind, err);
    if (mount < 0)
        return mount;
    return vm_share_attach_below(sharer(vm)->pidfd, mount, index, path, err);
}

int vm_cover_below(struct vm *vm, unsigned index, const char *path, struct error *err)
{
    if (vm->user_namespace < 0 || index >= VM_SHARES_MAX || sharer(vm)->pid <= 0)
        return error_set(err, -EOPNOTSUPP, "cannot cover %s in a utility VM", path);
    return vm_share_cover_below(sharer(vm)->pidfd, index, path, vm->uid, err);
}

struct vm *vm_free(struct vm *vm)
{
    if (!vm)
        return NULL;
    loop_remove(&vm->process_source);
    loop_remove(&vm->console_source);
    vm->plugging = vm_plug_free(vm);
    vm->qmp = qmp_free(vm->qmp);
    if (vm->process.pid > 0) {
        (void)process_signal(&vm->process, SIGKILL);
        (void)process_wait_timeout(&vm->process, SUPERVISE_TIMEOUT_MS, NULL);
    } else if (vm->process.pidfd < 0) {
        vm->uid = 0; /* nothing was ever started as that user */
    }
    sweep(vm);
    process_release(&vm->process);
    vm->console = vm_console_free(vm->console);
    fd_close(vm->console_fd);
    fd_close(vm->link);
    fd_close(vm->control);
    fd_close(vm->user_namespace);
    fd_close(vm->nic);
    free(vm->kill_reason);
    free(vm);
    return NULL;
}
