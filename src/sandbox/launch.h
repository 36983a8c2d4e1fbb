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
    int parent_pidfd;                   /* owned */
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
void launch_release(struct launch *launch);

/* Makes pid 1 up to READY. On failure no process is left. */
int launch_init(struct sandbox *sandbox, const struct sandbox_io *io, struct process *ret_process,
                int *ret_terminal, struct error *err);

/* In the new process, which it becomes for good. */
_Noreturn void launch_init_child(struct launch *launch);

#endif
