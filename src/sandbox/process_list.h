/* What ps(1) wants to know about processes, read from /proc (proc(5)). */
#ifndef HULL_SANDBOX_PROCESS_LIST_H
#define HULL_SANDBOX_PROCESS_LIST_H

#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

struct error;

/* *ret is a new object:
 *
 *     {"now": ms since the epoch, "memory": KiB of this kernel, "processes": [{
 *        "pid", "ppid", "pgid", "sid", "uid", "gid": numbers of this kernel,
 *        "user": name in the container's /etc/passwd, or the uid's digits,
 *        "state": "S", "tty": "pts/0" or "?", "flags",
 *        "utime", "stime": ms of CPU time, "start": ms since the epoch, "elapsed": ms,
 *        "vsz", "rss": KiB, "nice", "pri": as ps's PRI, "nlwp", "cpu": the last one it ran on,
 *        "comm", "cmdline": words joined by spaces, "[comm]" where there is none}]}
 *
 * Text is made UTF-8. A process that ended meanwhile is left out. root_fd: the container's root,
 * -EBADF: no names. */
int process_list_read(const pid_t *pids, size_t n, int root_fd, json_t **ret, struct error *err);

#endif
