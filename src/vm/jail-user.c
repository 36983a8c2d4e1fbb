/* The VM's user namespace: made by a child that does nothing else and lives until the namespace has
 * its ids and is held by a descriptor.
 *
 * Not by the VMM's own process (unshare(2) there): only a process outside may write a map of more
 * than one id, and shares are mapped to the namespace before there is a VMM. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/process.h"
#include "vm/jail-internal.h"

enum { PATH_SIZE = 64, MAP_SIZE = 64 };

#define NAMESPACES_MAX "/proc/sys/user/max_user_namespaces"

static bool no_namespaces_allowed(void)
{
    CLEANUP_CLOSE int fd = open(NAMESPACES_MAX, O_RDONLY | O_CLOEXEC);
    char digit;

    return fd >= 0 && read(fd, &digit, 1) == 1 && digit == '0';
}

static int explain(int code, struct error *err)
{
    if (no_namespaces_allowed())
        return error_set_class(err, ERROR_UNAVAILABLE,
                               "this host allows no user namespaces, which the jail of a utility "
                               "VM needs: user.max_user_namespaces is 0 (to allow them: `sysctl -w "
                               "user.max_user_namespaces=15000`)");
    if (code == -ENOSPC)
        return error_set_class(err, ERROR_UNAVAILABLE,
                               "this host allows no more user namespaces, of which each utility VM "
                               "needs one: raise the sysctl user.max_user_namespaces");
    if (code == -EINVAL)
        return error_set_class(err, ERROR_UNAVAILABLE,
                               "this host's kernel has no user namespaces (CONFIG_USER_NS), which "
                               "the jail of a utility VM needs");
    return error_set_errno(err, code, "cannot make a user namespace");
}

static int write_map(pid_t pid, const char *name, uid_t first, struct error *err)
{
    char path[PATH_SIZE];
    char map[MAP_SIZE];
    int length = snprintf(map, sizeof(map), "0 %u %d\n", first, VM_JAIL_IDS);

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, map, (size_t)length) != length)
        return error_set_errno(err, -errno,
                               "cannot give the utility VM the ids %u to %u (%s): are they there "
                               "in this user namespace?",
                               first, first + VM_JAIL_IDS - 1, name);
    return 0;
}

static int map_and_open(pid_t pid, uid_t uid, gid_t gid, struct error *err)
{
    char path[PATH_SIZE];
    int r = write_map(pid, "uid_map", uid, err);
    int fd;

    if (r == 0)
        r = write_map(pid, "gid_map", gid, err);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_set_errno(err, -errno, "cannot open a user namespace") : fd;
}

int jail_make_user_namespace(uid_t uid, gid_t gid, pid_t *ret_maker, struct error *err)
{
    pid_t parent = getpid();
    pid_t pid;
    int r;
    int fd;

    process_hold_forks();
    /* Without the C library, whose fork() would run handlers: the child only waits to be killed. */
    pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        (void)syscall(SYS_close_range, 0, UINT_MAX, 0);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (getppid() == parent) /* it may have died before the line above */
            pause();
        _exit(0);
    }
    r = pid < 0 ? -errno : 0;
    process_allow_forks();
    if (r < 0)
        return explain(r, err);
    fd = map_and_open(pid, uid, gid, err);
    (void)kill(pid, SIGKILL); /* ours and not waited for: the number is still its own */
    *ret_maker = pid;
    return fd;
}

void jail_end_maker(pid_t maker)
{
    while (maker > 0 && waitpid(maker, NULL, 0) < 0 && errno == EINTR)
        ;
}
