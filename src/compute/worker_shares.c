#include "compute/worker_shares.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "compute/worker_internal.h"
#include "sandbox/guest_shares.h"
#include "vm/share-below.h"
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum share_kind { SHARE_DIRECTORY, SHARE_FILE, SHARE_SOCKET };

/* One for each of the job's. Two of them may be the same mount. */
struct share {
    enum share_kind kind;
    unsigned index; /* among the mounts or among the sockets */
};

struct host_socket {
    int fd;
    const char *name;
    struct stat status;
};

struct worker_shares {
    struct share of[COMPUTE_SHARES_MAX];
    struct vm_share mounts[COMPUTE_SHARES_MAX];
    struct vm_below_list below[COMPUTE_SHARES_MAX]; /* of each of the mounts */
    size_t n_mounts;
    size_t n_below;
    struct host_socket sockets[COMPUTE_SHARES_MAX];
    size_t n_sockets;
};

/* --- the host's side --- */

int worker_connect_socket(int target, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", target);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int cannot_open(const struct compute_share *share, int code, struct error *err)
{
    if (code != -ENOENT && code != -ENOTDIR)
        return error_set_errno(err, code, "cannot open '%s', which is to be mounted on '%s'",
                               share->source, share->target);
    return error_set_class(err, ERROR_INVALID,
                           "'%s', which is to be mounted on '%s', does not exist: make it (again), "
                           "or create the container without that mount",
                           share->source, share->target);
}

/* A connection to a stream socket would be seen by its server; a datagram socket's name can be
 * tried in silence, and a stream socket's refuses it as being of another type. */
static int check_socket(const struct compute_share *share, int fd, struct error *err)
{
    CLEANUP_CLOSE int probe = worker_connect_socket(fd, SOCK_DGRAM);

    if (probe < 0)
        return 0;
    return error_set_class(err, ERROR_INVALID,
                           "'%s' is a datagram socket; only stream sockets reach into a utility "
                           "VM: use isolation 'process'",
                           share->source);
}

static int find_kind(const struct compute_share *share, int fd, const struct stat *status,
                     enum share_kind *ret, struct error *err)
{
    switch (status->st_mode & S_IFMT) {
    case S_IFDIR:
        *ret = SHARE_DIRECTORY;
        return 0;
    case S_IFREG:
        *ret = SHARE_FILE;
        return 0;
    case S_IFSOCK:
        *ret = SHARE_SOCKET;
        return check_socket(share, fd, err);
    case S_IFIFO:
        return error_set_class(err, ERROR_INVALID,
                               "'%s' is a FIFO, which connects programs of one kernel only and so "
                               "not those of a utility VM with the host's: use a unix socket, or "
                               "isolation 'process'",
                               share->source);
    default:
        return error_set_class(err, ERROR_INVALID,
                               "'%s' is a device of the host, which a utility VM cannot have: use "
                               "isolation 'process', or the VM's own device (--device)",
                               share->source);
    }
}

/* The same directory for a second target is the same mount: what is written by way of one is seen
 * by way of the other at once. */
static bool find_same(const struct worker *worker, size_t i, struct share *ret)
{
    const struct compute_share *share = &worker->job->shares[i];

    for (size_t k = 0; k < i; k++) {
        const struct compute_share *other = &worker->job->shares[k];

        if (other->read_only == share->read_only && other->recursive == share->recursive &&
            string_equal(other->source, share->source)) {
            *ret = worker->shares->of[k];
            return true;
        }
    }
    return false;
}

static int find_below(struct worker_shares *shares, unsigned index, struct error *err)
{
    const struct vm_share *share = &shares->mounts[index];
    int r = vm_share_find_below(share->fd, share->name, &shares->below[index], err);

    if (r >= 0)
        shares->n_below += shares->below[index].n;
    return r;
}

static int open_one(struct worker *worker, size_t i, struct error *err)
{
    const struct compute_share *share = &worker->job->shares[i];
    struct worker_shares *shares = worker->shares;
    struct share *of = &shares->of[i];
    struct stat status;
    int r;

    if (find_same(worker, i, of))
        return 0;
    /* Links are followed: it is the path of somebody who may name any. */
    CLEANUP_CLOSE int fd = open(share->source, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return cannot_open(share, -errno, err);
    r = find_kind(share, fd, &status, &of->kind, err);
    if (r < 0)
        return r;
    if (of->kind == SHARE_SOCKET) {
        of->index = (unsigned)shares->n_sockets++;
        shares->sockets[of->index] =
            (struct host_socket){.fd = TAKE_FD(fd), .name = share->source, .status = status};
    } else {
        of->index = (unsigned)shares->n_mounts++;
        shares->mounts[of->index] = (struct vm_share){
            .fd = TAKE_FD(fd), .name = share->source, .read_only = share->read_only};
        if (of->kind == SHARE_DIRECTORY && share->recursive)
            r = find_below(shares, of->index, err);
    }
    return r;
}

int worker_shares_open(struct worker *worker, struct error *err)
{
    const struct compute_job *job = worker->job;
    int r = 0;

    if (job->n_shares == 0 || worker->shares)
        return 0;
    worker->shares = calloc(1, sizeof(*worker->shares));
    if (!worker->shares)
        return error_oom(err);
    for (size_t i = 0; i < job->n_shares && r >= 0; i++)
        r = open_one(worker, i, err);
    if (r < 0)
        worker_shares_free(worker);
    return r;
}

void worker_shares_free(struct worker *worker)
{
    struct worker_shares *shares = worker->shares;

    worker->shares = NULL;
    if (!shares)
        return;
    for (size_t i = 0; i < shares->n_mounts; i++) {
        fd_close(shares->mounts[i].fd);
        vm_below_release(&shares->below[i]);
    }
    for (size_t i = 0; i < shares->n_sockets; i++)
        fd_close(shares->sockets[i].fd);
    free(shares);
}

const struct vm_share *worker_shares_mounts(const struct worker *worker, size_t *ret_n)
{
    *ret_n = worker->shares ? worker->shares->n_mounts : 0;
    return *ret_n > 0 ? worker->shares->mounts : NULL;
}

bool worker_shares_go_below(const struct worker *worker)
{
    return worker->shares && worker->shares->n_below > 0;
}

/* What is mounted in one that the guest does not have has no place to be. */
static bool is_in_covered(const struct vm_below_list *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *path = list->items[i].path;

        if (list->items[i].covered && string_starts_with(list->items[n].path, path) &&
            list->items[n].path[strlen(path)] == '/')
            return true;
    }
    return false;
}

/* Whatever is mounted somewhere below must not keep a directory from being shared. What is worth
 * knowing about it goes into State.Error, and all of it into the worker's messages. */
static int cover_below(struct worker *worker, unsigned index, struct vm_below *below,
                       const struct error *reason, struct error *err)
{
    struct error why = ERROR_INIT;
    int r = vm_cover_below(worker->vm, index, below->path, &why);

    if (r < 0)
        return error_wrap(err, error_copy(err, reason),
                          "'%s' (bind-recursive=disabled mounts it without what is below)",
                          worker->shares->mounts[index].name);
    below->covered = true;
    worker_note(worker, "%s: in its place is nothing", reason->message);
    if (string_is_empty(worker->notice))
        (void)snprintf(worker->notice, sizeof(worker->notice), "%.480s: in its place is nothing",
                       reason->message);
    return 0;
}

static bool is_want(int code)
{
    return code == -ENOMEM || code == -EMFILE || code == -ENFILE;
}

static int attach_one_below(struct worker *worker, unsigned index, struct vm_below *below,
                            struct error *err)
{
    const struct vm_share *top = &worker->shares->mounts[index];
    CLEANUP_FREE char *name = path_join(top->name, below->path);
    struct error reason = ERROR_INIT;

    if (!name)
        return error_oom(err);
    const struct vm_share share = {.fd = below->fd, .name = name, .read_only = top->read_only};
    int r = below->fd < 0 ? error_set_errno(&reason, below->fd, "cannot share %s", name)
                          : vm_attach_below(worker->vm, index, below->path, &share, &reason);
    if (r >= 0)
        return 0;
    return is_want(r) ? error_copy(err, &reason) : cover_below(worker, index, below, &reason, err);
}

int worker_shares_attach_below(struct worker *worker, struct error *err)
{
    struct worker_shares *shares = worker->shares;

    for (size_t i = 0; shares && i < shares->n_mounts; i++) {
        struct vm_below_list *list = &shares->below[i];

        for (size_t k = 0; k < list->n; k++) {
            int r = is_in_covered(list, k)
                        ? 0
                        : attach_one_below(worker, (unsigned)i, &list->items[k], err);

            if (r < 0)
                return r;
        }
        vm_below_release(list);
    }
    return 0;
}

int worker_shares_attach(struct worker *worker, struct error *err)
{
    size_t n;
    const struct vm_share *mounts = worker_shares_mounts(worker, &n);

    for (size_t i = 0; i < n; i++) {
        int r = vm_attach_share(worker->vm, (unsigned)i, &mounts[i], NULL, err);

        if (r < 0)
            return r;
    }
    return worker_shares_attach_below(worker, err);
}

int worker_shares_socket(const struct worker *worker, int index, const char **ret_name)
{
    const struct worker_shares *shares = worker->shares;

    if (!shares || index < 0 || (size_t)index >= shares->n_sockets)
        return -ENOENT;
    *ret_name = shares->sockets[index].name;
    return shares->sockets[index].fd;
}

/* --- the guest's side --- */

static int append(json_t *list, json_t *member, struct error *err)
{
    return !member || json_array_append_new(list, member) < 0 ? error_oom(err) : 0;
}

static int describe_mounts(const struct worker *worker, json_t *list, struct error *err)
{
    const struct worker_shares *shares = worker->shares;
    int r = 0;

    for (size_t i = 0; shares && i < shares->n_mounts && r == 0; i++) {
        char source[VM_SHARE_SOURCE_MAX];
        const char *type = vm_share_source(worker->job->engine, (unsigned)i, source);

        if (!type)
            return error_set(err, -EINVAL, "unknown VM engine");
        r = append(list,
                   json_pack("{s:s,s:s,s:b}", "type", type, "source", source, "read_only",
                             shares->mounts[i].read_only),
                   err);
    }
    return r;
}

static int describe_sockets(const struct worker *worker, json_t *list, struct error *err)
{
    const struct worker_shares *shares = worker->shares;
    int r = 0;

    for (size_t i = 0; shares && i < shares->n_sockets && r == 0; i++) {
        const struct stat *status = &shares->sockets[i].status;

        r = append(list,
                   json_pack("{s:i,s:I,s:I}", "mode", (int)(status->st_mode & 07777), "uid",
                             (json_int_t)status->st_uid, "gid", (json_int_t)status->st_gid),
                   err);
    }
    return r;
}

int worker_shares_describe(const struct worker *worker, json_t *request, struct error *err)
{
    json_t *mounts = json_array();
    json_t *sockets = json_array();
    int r = json_put(request, "shares", mounts);

    r = json_put(request, "sockets", sockets) ?: r;
    if (r < 0)
        return error_oom(err);
    r = describe_mounts(worker, mounts, err);
    return r < 0 ? r : describe_sockets(worker, sockets, err);
}

static const struct share *find_target(const struct worker *worker, const char *target)
{
    for (size_t i = 0; worker->shares && i < worker->job->n_shares; i++)
        if (string_equal(worker->job->shares[i].target, target))
            return &worker->shares->of[i];
    return NULL;
}

int worker_shares_rewrite(const struct worker *worker, json_t *mount, struct error *err)
{
    const char *target = json_string_value(json_object_get(mount, "destination"));
    const struct share *share = target ? find_target(worker, target) : NULL;

    if (!share)
        return 0;
    CLEANUP_FREE char *source =
        string_format("%s/%u%s", share->kind == SHARE_SOCKET ? GUEST_SOCKETS_DIR : GUEST_SHARES_DIR,
                      share->index, share->kind == SHARE_FILE ? "/file" : "");
    if (!source || json_put_string(mount, "source", source) < 0)
        return error_oom(err);
    return 1;
}
