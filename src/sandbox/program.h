/* The last stretch before the user's program: the same for pid 1 and for exec. */
#ifndef HULL_SANDBOX_PROGRAM_H
#define HULL_SANDBOX_PROGRAM_H

#include "sandbox/user.h"
#include "spec/runtime.h"
#include <stdbool.h>

struct error;
struct sandbox;
struct sandbox_io;
struct seccomp_filter;

struct program {
    const struct spec_process *process;
    const struct seccomp_filter *filter;
    struct spec_capabilities capabilities; /* checked */
    uint64_t host_capabilities;
    struct user user;
    int stdio[3];
    int terminal;     /* slave of the pty, or -EBADF */
    int channel;      /* where failures are told */
    int parent_pidfd; /* the caller, to die with it */
    bool with_init;   /* pid 1 of ours in between */
};

/* Before the root changes: what is written to the host's /proc about the program to be (OOM score,
 * label of a security module). */
int program_prepare_process(const struct spec_process *process, struct error *err);

/* Finds the user in the container's root, and makes the working directory there unless `readonly`
 * says that nothing is to be written. root_fd: before pivot_root that of the new root, else "/". */
int program_resolve_root(struct program *program, int root_fd, bool readonly, struct error *err);

/* Does not return: the process becomes the program, or reports FAILED and ends. Only the standard
 * descriptors survive. */
_Noreturn void program_run(struct program *program);

#endif
