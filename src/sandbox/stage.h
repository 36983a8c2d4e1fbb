/* The little protocol between the caller and the processes it clones, on a SOCK_SEQPACKET pair.
 *
 *     caller                         pid 1 to be
 *       clone ->
 *       id maps, network  -- GO -->    (maps are needed before it is root in a user namespace)
 *                                      mounts, devices, pivot_root
 *                     <-- READY --     with the master of its terminal, if it has one
 *       ...                            waits
 *                       -- START ->    user, capabilities, seccomp, exec
 *                      <-- end --      CLOEXEC closed it: the program runs
 *
 * FAILED with the error comes in place of any answer. For exec a helper joins the namespaces, opens
 * the terminal if there is to be one (READY), and clones the program with CLONE_PARENT (PID).
 *
 * A process in the container may be able to trace the program and send what it likes on the
 * channel, so nothing that comes over it is trusted: texts and numbers are bounded on receipt, and
 * the pid is checked by who receives it. */
#ifndef HULL_SANDBOX_STAGE_H
#define HULL_SANDBOX_STAGE_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process;

enum stage_kind {
    STAGE_END = 0, /* the other side closed */
    STAGE_GO,
    STAGE_READY,
    STAGE_START,
    STAGE_PID,
    STAGE_FAILED,
};

struct stage_message {
    uint32_t kind; /* enum stage_kind */
    int32_t pid;
    struct error error;
};

/* fd: passed along, or -EBADF. Only write(2) and sendmsg(2) are used. */
int stage_send(int channel, enum stage_kind kind, pid_t pid, const struct error *error, int fd);
/* *ret_fd (may be NULL): received descriptor or -EBADF. -errno when the channel breaks. */
int stage_receive(int channel, struct stage_message *ret, int *ret_fd);
/* 0 as soon as there is something to receive, the end included; -ETIMEDOUT; -errno. Negative: no
 * limit. */
int stage_await(int channel, int timeout_ms);
/* Child: waits for one kind; anything else ends the process, as nobody is left to tell. */
void stage_expect(int channel, enum stage_kind kind);
/* Child: reports and ends. */
_Noreturn void stage_fail(int channel, const struct error *error);

/* clone3(2) with SIGCHLD; the child returns 0 with a copy of all memory. cgroup_fd: -EBADF or the
 * cgroup v2 directory to be born in. *ret_pidfd may be NULL. CLONE_PARENT is allowed in `flags`. */
pid_t stage_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd);

/* Whether a pid that came over the channel is that of a child of this process. */
bool stage_is_child(const struct process *process);

/* Child: is killed when the caller dies. The caller alone holds the other end of the channel, whose
 * end closes the race; a change of user forgets it, so this is called again after one. */
void stage_die_with_parent(int channel);

#endif
