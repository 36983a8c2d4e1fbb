/* The caller's and the child's half of making pid 1 (stage.h has the protocol between them). */
#ifndef HULL_SANDBOX_LAUNCH_H
#define HULL_SANDBOX_LAUNCH_H

#include "sandbox/stage.h"
#include "spec/runtime.h"
#include <stdbool.h>

struct process;
struct sandbox;
struct sandbox_io;

/* Everything the child needs to know; copied with the memory by clone. */
struct launch {
    struct sandbox *sandbox;
    const struct spec_process *process;
    struct spec_capabilities capabilities;
    int stdio[3];
    int null_fd;                        /* the host's /dev/null, not to be changed through; owned */
    int channel;                        /* the child's end, owned */
    int namespaces[SPEC_NAMESPACE_MAX]; /* to join, owned; -EBADF */
};

/* CLONE_NEW* of a namespace. */
unsigned launch_namespace_flag(enum spec_namespace_type type);

/* Fills `launch` but for namespaces and returns the caller's end of the channel (owned by the
 * caller) or -errno. */
int launch_prepare(struct launch *launch, struct sandbox *sandbox,
                   const struct spec_process *process, const struct sandbox_io *io,
                   struct error *err);
/* Child: the container's own /dev/null takes the place of null_fd in `stdio`. */
void launch_own_null(const struct launch *launch, int root_fd, int stdio[3]);
/* Child: closes all but what `launch` names and `extra` (a descriptor or -EBADF), before it shows
 * in a pid namespace with other processes: with CAP_SYS_PTRACE they reach descriptors through
 * /proc/PID/fd and pidfd_getfd(2) also of a process that is not dumpable. */
int launch_close_others(const struct launch *launch, int extra);
void launch_release(struct launch *launch);

/* The next message of pid 1, within the sandbox's stage timeout, or whenever it comes when it runs
 * some of `hooks` (may be NULL) first: they have time limits of their own. -ETIMEDOUT, or -errno
 * when the channel breaks; FAILED and the end are messages. */
int launch_receive(const struct sandbox *sandbox, int channel, const struct spec_hooks *hooks,
                   struct stage_message *ret, int *ret_fd, struct error *err);
/* Kills a process of ours and reaps it if it dies soon: one that hangs in the kernel does not, and
 * one that is frozen does when the container ends. */
void launch_end(const struct process *process);

/* Makes pid 1 up to READY. On failure no process is left. */
int launch_init(struct sandbox *sandbox, const struct sandbox_io *io, struct process *ret_process,
                int *ret_terminal, struct error *err);

/* In the new process, which it becomes for good. */
_Noreturn void launch_init_child(struct launch *launch);

#endif
