/* Theory of operation.
 *
 * virtiofsd takes a socket that it is to listen on, and QEMU one that is connected. So the listener
 * is made here, in a directory that only root may enter, connected to, and unlinked before either
 * program runs: nobody else can have connected, and there is nothing to connect to later. Whichever
 * of the two ends, the other one sees it on that connection; QEMU, alas, goes on, and a guest that
 * waits for a file waits for ever. So the server's end is the VM's: at once, if it was killed or
 * crashed; if it ended in order, because QEMU closed the connection, QEMU has some time to end as
 * well, since that is what it does when the guest is off.
 *
 * It runs in a jail like the VMM's, with a user namespace of its own that has the same ids: it
 * shares no process, memory or capability with the VMM, only the connection and the guest's memory,
 * which QEMU hands it. */
#include "vm/file-server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "vm/console.h"
#include "vm/engine.h"
#include "vm/jail.h"
#include "vm/virtiofsd.h"
#include "vm/vm-internal.h"

enum {
    LISTENER = 3,        /* its descriptor in the server */
    PROCESSES_MAX = 256, /* the same user's as the VMM's */
    /* One for each file that the guest's kernel remembers. */
    DESCRIPTORS_MAX = 1000000,
    NR_OPEN_TEXT_MAX = 32,
    END_TIMEOUT_MS = 5000,
};

struct file_server {
    struct vm *vm;
    struct process process;
    struct loop_source source;
    struct loop_source timer;
    char reason[VM_REASON_MAX];
};

/* --- its end --- */

static void on_time(struct loop_source *source, uint32_t events)
{
    struct file_server *server = source->data;

    (void)events;
    vm_kill(server->vm, server->reason);
}

static void on_end(struct loop_source *source, uint32_t events)
{
    struct file_server *server = source->data;
    struct vm *vm = server->vm;
    const char *last = vm_console_last_line(vm->console);
    int status = 0;

    (void)events;
    loop_remove(source);
    (void)process_wait(&server->process, &status);
    if (status > 128)
        snprintf(server->reason, sizeof(server->reason),
                 "its file server (virtiofsd) was killed by signal %d%s", status - 128,
                 vm_cgroup_oom_kills(&vm->cgroup) > 0 ? " (out of memory)" : "");
    else
        snprintf(server->reason, sizeof(server->reason),
                 "its file server (virtiofsd) ended with exit code %d%s%s", status,
                 *last ? "; the end of the console: " : "", last);
    if (status > 128 || loop_timer_set(&server->timer, END_TIMEOUT_MS) < 0)
        vm_kill(vm, server->reason);
}

const struct process *file_server_process(const struct file_server *server)
{
    return &server->process;
}

struct file_server *file_server_free(struct file_server *server)
{
    if (!server)
        return NULL;
    loop_remove(&server->source);
    loop_remove(&server->timer);
    if (server->process.pid > 0) {
        (void)process_signal(&server->process, SIGKILL);
        (void)process_wait_timeout(&server->process, END_TIMEOUT_MS, NULL);
    }
    process_release(&server->process);
    free(server);
    return NULL;
}

/* --- start --- */

static int connect_pair(const struct vm_config *config, int *ret_listener, int *ret_socket,
                        struct error *err)
{
    CLEANUP_FREE char *path = path_join(config->runtime_dir, "shares.sock");
    CLEANUP_CLOSE int listener = -EBADF;
    CLEANUP_CLOSE int socket = -EBADF;

    if (!path)
        return error_oom(err);
    listener = fd_listen_unix(path, 0600, err);
    if (listener < 0)
        return listener;
    socket = fd_connect_unix(path, err);
    (void)unlink(path);
    if (socket < 0)
        return socket;
    *ret_listener = TAKE_FD(listener);
    *ret_socket = TAKE_FD(socket);
    return 0;
}

/* The kernel has a maximum for the limit. */
static unsigned descriptors_max(void)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(NR_OPEN_TEXT_MAX);
    unsigned long most = 0;

    if (file_read(AT_FDCWD, "/proc/sys/fs/nr_open", &text, NULL) == 0)
        most = strtoul(buffer_string(&text), NULL, 10);
    return most > 0 && most < DESCRIPTORS_MAX ? (unsigned)most : DESCRIPTORS_MAX;
}

static int spawn(struct file_server *server, const struct vm_config *config, int listener,
                 int console, struct error *err)
{
    CLEANUP(vm_close_procs) struct vm_procs procs = {.n = 0};
    CLEANUP(vm_free_jail) struct vm_jail *jail = NULL;
    CLEANUP_STRV char **argv = NULL;
    const struct process_fd fds[] = {
        {console, STDOUT_FILENO}, {console, STDERR_FILENO}, {listener, LISTENER}};
    int r = vm_open_procs(server->vm, &procs, err);
    const struct vm_jail_spec jail_spec = {
        .uid = config->uid,
        .gid = config->gid,
        .program = config->files.virtiofsd,
        .root = config->runtime_dir,
        .proc = true,
        .files = true,
        .server = true,
        .filter = VM_JAIL_FILTER_FILE_SERVER,
        .processes_max = PROCESSES_MAX,
        .descriptors_max = descriptors_max(),
        .cgroup_procs = procs.fds,
        .n_cgroup_procs = procs.n,
    };

    if (r == 0)
        r = virtiofsd_command(&config->files, VM_JAIL_SHARES, LISTENER, &argv, err);
    if (r == 0)
        r = vm_jail_new(&jail_spec, &jail, err);
    if (r == 0)
        r = vm_add_shares(server->vm, config, jail, err);
    if (r < 0)
        return r;
    const struct process_spec spec = {
        .argv = argv,
        .env = vm_environment,
        .fds = fds,
        .n_fds = sizeof(fds) / sizeof(fds[0]),
        .flags = PROCESS_SETSID,
    };
    return vm_jail_spawn(jail, &spec, &server->process, err);
}

int file_server_start(struct vm *vm, const struct vm_config *config, int console, int *ret_socket,
                      struct error *err)
{
    CLEANUP_CLOSE int listener = -EBADF;
    CLEANUP_CLOSE int socket = -EBADF;
    struct file_server *server;
    int r = virtiofsd_check(&config->files, err);

    if (r < 0)
        return r;
    server = calloc(1, sizeof(*server));
    if (!server)
        return error_oom(err);
    *server = (struct file_server){
        .vm = vm,
        .process = PROCESS_INIT,
        .source = LOOP_SOURCE_INIT,
        .timer = LOOP_SOURCE_INIT,
    };
    vm->server = server; /* whose end frees it */
    r = connect_pair(config, &listener, &socket, err);
    if (r == 0)
        r = spawn(server, config, listener, console, err);
    if (r < 0)
        return error_wrap(err, r, "its file server");
    r = loop_add(vm->loop, &server->source, server->process.pidfd, EPOLLIN, on_end, server);
    if (r == 0)
        r = loop_add_timer(vm->loop, &server->timer, on_time, server);
    if (r < 0)
        return error_set_errno(err, r, "cannot watch the file server");
    *ret_socket = TAKE_FD(socket);
    return 0;
}
