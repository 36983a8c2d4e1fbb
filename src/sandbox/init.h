/* docker's --init: a pid 1 that forwards signals to the program and reaps everything. */
#ifndef HULL_SANDBOX_INIT_H
#define HULL_SANDBOX_INIT_H

/* Forks. Returns 0 in the child, which goes on to exec the user's program in a process group of its
 * own (in the foreground of `terminal`, a descriptor or -EBADF), and -errno when the fork failed.
 * In pid 1 it does not return: that ends with the program's status, 128 + signal if a signal ended
 * it. The caller has the rights of the program already, and so has pid 1 then. */
int init_fork(int terminal);

#endif
