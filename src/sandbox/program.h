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
    int channel;      /* where failures are told; its end is that of the caller */
    bool with_init;   /* pid 1 of ours in between */
    bool forks;       /* the program is to be a child of the process that is confined */
    bool late_filter; /* out: the profile forbids what comes before the exec */
};

/* Before the root changes: what is written to the host's /proc about the program to be (OOM score,
 * label of a security module). */
int program_prepare_process(const struct spec_process *process, struct error *err);

/* Finds the user in the container's root, and makes the working directory there unless `readonly`
 * says that nothing is to be written. root_fd: before pivot_root that of the new root, else "/". */
int program_resolve_root(struct program *program, int root_fd, bool readonly, struct error *err);

/* Takes everything from the process that the program is not to have: limits, directory, user,
 * capabilities, seccomp, and all descriptors but the standard ones and the channel, which are
 * moved. With `forks` the process can still clone the program with CLONE_PARENT; the limit of
 * processes is then set in program_become(), and the filter too where its profile would refuse a
 * call on the way (the process then keeps CAP_SYS_ADMIN unless no_new_privs makes it needless). */
int program_confine(struct program *program, struct error *err);

/* Does not return: the confined process, or its clone, becomes the program, or reports FAILED and
 * ends. */
_Noreturn void program_become(struct program *program);

/* Both, in a process that has its session; takes the terminal. */
_Noreturn void program_run(struct program *program);

#endif
