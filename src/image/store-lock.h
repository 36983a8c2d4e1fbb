/* One opener of a store at a time.
 *
 * A record lock (fcntl(2) F_SETLK) and not flock(2): it belongs to the process and not to the open
 * file, so a helper program that this process has forked and that has not exec'd yet does not hold
 * it on when the process is killed. It knows nothing of two openers in one process and goes with
 * the first descriptor of the file that is closed; so these are told apart here. */
#ifndef HULL_IMAGE_STORE_LOCK_H
#define HULL_IMAGE_STORE_LOCK_H

#include <sys/types.h>

#include "base/list.h"

struct error;

enum { STORE_LOCK_PATIENCE_MS = 2000 }; /* for a holder that is on its way out */

struct store_lock {
    struct list node;
    int fd;
    dev_t device;
    ino_t inode;
};

#define STORE_LOCK_INIT \
    {                   \
        .fd = -EBADF    \
    }

/* Takes the lock of the directory `fd` (borrowed). When another process has it, waits a moment for
 * that process to end. -EBUSY: somebody has it. */
int store_lock_take(int fd, const char *path, struct store_lock *ret, struct error *err);
/* Fine on one that was not taken. */
void store_lock_release(struct store_lock *lock);

#endif
