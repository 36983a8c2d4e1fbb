/* A container on this kernel: the same code on the host (`process`) and in the utility VM
 * (`hyperv`).
 *
 * Calling sequence, all from one single-threaded process:
 *
 *     sandbox_new(&spec, &sandbox, err)       check everything that can be checked without doing it
 *     sandbox_create(sandbox, &io, err)       root, cgroup, namespaces; pid 1 exists and waits
 *     sandbox_start(sandbox, err)             pid 1 becomes the user's program, or says why not
 *     sandbox_exec(sandbox, process, ...)     further programs, while pid 1 lives
 *     ... process.pidfd becomes readable: the program ended ...
 *     sandbox_destroy(sandbox, err)           kills what is left, unmounts, removes the cgroup
 *     sandbox_free(sandbox)
 *
 * pid 1 and exec'd programs are children of the caller, which waits for them by pidfd. */
#ifndef HULL_SANDBOX_SANDBOX_H
#define HULL_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct process;
struct sandbox;
struct sandbox_interface;
struct spec_process;
struct spec_resources;
struct spec_runtime;

enum { SANDBOX_STAGE_TIMEOUT_MS = 60 * 1000 };

/* What the root file system is made of, on this kernel. With `lower` the sandbox mounts an overlay
 * on `target` in the caller's mount namespace, where it stays visible until sandbox_destroy();
 * without, `target` is used as it is (a root file system made by somebody else). */
struct sandbox_root {
    char **lower; /* strv, topmost first */
    char *upper;  /* writable layer; NULL: read-only overlay */
    char *work;   /* overlay's work directory, on the file system of upper */
    char *target; /* mount point, exists */
};

struct sandbox_spec {
    const char *id;                             /* container id */
    const struct spec_runtime *config;          /* OCI runtime configuration; borrowed until free */
    struct sandbox_root root;                   /* borrowed until free */
    const struct sandbox_interface *interfaces; /* borrowed until create returned */
    size_t n_interfaces;
    /* true in the utility VM: the network namespace is the kernel's only one and is shared. */
    bool is_guest;
    /* How long pid 1 may take for its mounts, and for its exec, before the start is given up. 0:
     * SANDBOX_STAGE_TIMEOUT_MS. Hooks that it runs count by their own timeouts. */
    int stage_timeout_ms;
};

/* The three ends that a program gets as 0, 1 and 2; -EBADF: /dev/null. With a terminal all three
 * are unused: the sandbox makes the pty in the container's own devpts and returns its master. */
struct sandbox_io {
    int in;
    int out;
    int err;
};

int sandbox_new(const struct sandbox_spec *spec, struct sandbox **ret, struct error *err);

/* Makes the container up to the point where only the exec of the user's program is missing. Takes
 * no ownership of `io`'s descriptors (the caller closes its copies). With a terminal *ret_terminal
 * is the pty master (caller owns), else -EBADF. *ret_process: pid 1 (caller releases). */
int sandbox_create(struct sandbox *sandbox, const struct sandbox_io *io,
                   struct process *ret_process, int *ret_terminal, struct error *err);

/* Lets pid 1 exec. Errors of the exec itself come back here with the wording of docker's users:
 * class ERROR_INVALID, code -ENOENT ("exec: \"x\": executable file not found in $PATH") where the
 * exit status is to be 127, -EACCES ("permission denied") where it is to be 126. */
int sandbox_start(struct sandbox *sandbox, struct error *err);

/* Starts a further program in the container's namespaces and cgroup. Same rules for io, terminal
 * and errors as create + start in one step; a container that has ended or is frozen is
 * ERROR_CONFLICT. */
int sandbox_exec(struct sandbox *sandbox, const struct spec_process *process,
                 const struct sandbox_io *io, struct process *ret_process, int *ret_terminal,
                 struct error *err);

/* Signals pid 1, or with `all` every process of the container. */
int sandbox_signal(struct sandbox *sandbox, int signal, bool all, struct error *err);

/* Process ids of the container as this kernel's initial namespace (the caller's) numbers them, from
 * the cgroup; newly allocated in *ret. */
int sandbox_pids(struct sandbox *sandbox, pid_t **ret, size_t *ret_n, struct error *err);

/* Applies OCI linux.resources to the running container's cgroup; absent members stay. */
int sandbox_update(struct sandbox *sandbox, const struct spec_resources *resources,
                   struct error *err);

/* Freezer: pause and unpause. */
int sandbox_freeze(struct sandbox *sandbox, bool frozen, struct error *err);

/* Number of times the kernel's out-of-memory killer ended a process of the container. */
int sandbox_oom_kills(struct sandbox *sandbox, uint64_t *ret);

/* Kills whatever is left (exec'd programs that the caller has not waited for are reaped here, and
 * process_wait() on them then gives -ECHILD), waits for it, unmounts and removes the cgroup. Safe
 * after any failure above and safe to repeat; with err it says what stayed behind. */
int sandbox_destroy(struct sandbox *sandbox, struct error *err);

/* Clears up after a caller that was killed, from another process: ends what is left in the cgroup
 * ("/hull/<id>"; pid 1 died with its caller), unmounts everything on `target` (NULL: nothing) and
 * removes the cgroup. Nothing there is success. Not while the caller may still live. */
int sandbox_clean(const char *cgroups_path, const char *target, struct error *err);

/* Frees memory and descriptors only. Returns NULL. */
struct sandbox *sandbox_free(struct sandbox *sandbox);

/* Things that were asked for and left out with a reason (CAP_SYS_RESOURCE of --privileged on a host
 * that lacks it): NULL-terminated, borrowed. Available after sandbox_new(). */
char *const *sandbox_warnings(const struct sandbox *sandbox);

#endif
