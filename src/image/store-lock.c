#include "image/store-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/timestamp.h"

static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list held = LIST_INIT(held);

/* Enters `lock` unless this process has the directory already. */
static bool enter(struct store_lock *lock)
{
    bool taken = false;
    pthread_mutex_lock(&held_lock);
    LIST_FOR_EACH (other, &held, struct store_lock, node)
        taken = taken || (other->device == lock->device && other->inode == lock->inode);
    if (!taken)
        list_append(&held, &lock->node);
    pthread_mutex_unlock(&held_lock);
    return !taken;
}

static void leave(struct store_lock *lock)
{
    pthread_mutex_lock(&held_lock);
    list_remove(&lock->node);
    pthread_mutex_unlock(&held_lock);
}

static int try_lock(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &whole) == 0)
        return 0;
    return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
}

/* Waits for the process that has the lock to end. False: it does not, or cannot be seen. */
static bool await_holder(int fd, int64_t deadline)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CLEANUP(process_release) struct process holder = PROCESS_INIT;
    if (fcntl(fd, F_GETLK, &whole) < 0)
        return false;
    if (whole.l_type == F_UNLCK)
        return timestamp_monotonic() < deadline; /* released just now */
    int r = process_open(whole.l_pid, &holder);
    if (r < 0)
        return r == -ESRCH && whole.l_pid > 0 && timestamp_monotonic() < deadline;
    int64_t left = (deadline - timestamp_monotonic()) / 1000000;
    struct pollfd gone = {.fd = holder.pidfd, .events = POLLIN};
    r = left > 0 ? poll(&gone, 1, (int)left) : 0;
    return r > 0 || (r < 0 && errno == EINTR);
}

static int take(struct store_lock *lock, int dirfd, const char *path, struct error *err)
{
    int64_t deadline = timestamp_monotonic() + STORE_LOCK_PATIENCE_MS * INT64_C(1000000);
    int r;
    lock->fd = openat(dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock->fd < 0)
        return error_set_errno(err, -errno, "cannot open %s/lock", path);
    do {
        r = try_lock(lock->fd);
    } while (r == -EBUSY && await_holder(lock->fd, deadline));
    if (r == -EBUSY)
        return error_set(err, r, "image store %s is in use by another process", path);
    return r < 0 ? error_set_errno(err, r, "cannot lock %s/lock", path) : 0;
}

int store_lock_take(int fd, const char *path, struct store_lock *ret, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_set_errno(err, -errno, "cannot look at %s", path);
    ret->device = st.st_dev;
    ret->inode = st.st_ino;
    if (!enter(ret))
        return error_set(err, -EBUSY, "image store %s is in use by this process", path);
    int r = take(ret, fd, path, err);
    if (r < 0) {
        ret->fd = fd_close(ret->fd);
        leave(ret);
    }
    return r;
}

void store_lock_release(struct store_lock *lock)
{
    if (lock->fd < 0)
        return;
    lock->fd = fd_close(lock->fd);
    leave(lock);
}
