/* Keeps the program's own file out of reach of the containers it makes.
 *
 * Between clone and exec a process in the container still is this program, and a container can have
 * it executed again (an entrypoint or interpreter "/proc/self/exe"): through /proc/PID/exe it could
 * open the host's file for writing (CVE-2019-5736). */
#ifndef HULL_SANDBOX_PROTECT_H
#define HULL_SANDBOX_PROTECT_H

struct error;

/* To be called first in main() of a program that makes containers on the host. Executes the program
 * again, same pid, from a read-only clone of its mount, which exists in no namespace, so that
 * /proc/PID/exe cannot be opened for writing by anybody; returns 0 at once where that was done
 * already. Failure returns -errno, and the caller decides (a utility VM needs none of it). */
int sandbox_protect_self(char *const *argv, struct error *err);

#endif
