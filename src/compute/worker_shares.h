/* What of the host a container in a utility VM sees: the job's shares, from paths of the host to
 * mounts in the VM's jail and to what the guest is told.
 *
 *     worker_shares_open(worker)       before the VM: each path is looked up once, here
 *     worker_shares_mounts(worker)     for vm_config.shares, or, for a VM that runs already,
 *     worker_shares_attach(worker)
 *     worker_shares_describe(worker)   members of `create` and `files`
 *
 * A directory or a regular file becomes a share of the VM (vm/share.h); a unix socket cannot be
 * one, because a socket's name means something to one kernel only: the guest gets a socket of its
 * own, whose connections the worker takes to the host's (worker_proxy.h). Anything else is refused.
 */
#ifndef HULL_COMPUTE_WORKER_SHARES_H
#define HULL_COMPUTE_WORKER_SHARES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;
struct vm_share;
struct worker;

/* ERROR_INVALID for a path that does not exist any more, or that cannot be shared; the message says
 * what to do. Once; a job without shares is success. */
int worker_shares_open(struct worker *worker, struct error *err);
void worker_shares_free(struct worker *worker);

/* Those that become mounts in the jail, in the order of their index; NULL when there are none.
 * Borrowed until worker_shares_free(). */
const struct vm_share *worker_shares_mounts(const struct worker *worker, size_t *ret_n);
/* Is something mounted below them on the host? Then the VM is to be started with `shares_later`,
 * and after that */
bool worker_shares_go_below(const struct worker *worker);
int worker_shares_attach_below(struct worker *worker, struct error *err);
/* Puts all of them into the jail of worker->vm, which was started with `shares_later`. */
int worker_shares_attach(struct worker *worker, struct error *err);

/* Adds `shares` and `sockets` to a request. */
int worker_shares_describe(const struct worker *worker, json_t *request, struct error *err);
/* Rewrites the source of a bind mount of config.json to its name in the guest. 1: done; 0: the
 * mount is none of the shares. */
int worker_shares_rewrite(const struct worker *worker, json_t *mount, struct error *err);

/* Descriptor (O_PATH, borrowed) and name of the host's socket `index`; -ENOENT. */
int worker_shares_socket(const struct worker *worker, int index, const char **ret_name);
/* Connects to it: `target` names the socket itself, wherever it may have been moved to. A
 * non-blocking descriptor, or -errno: -EAGAIN (the server has too many waiting), -EPROTOTYPE (it is
 * of another type), -ECONNREFUSED. */
int worker_connect_socket(int target, int type);

#endif
