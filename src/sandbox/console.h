/* Pseudo terminals in the container's own devpts. */
#ifndef HULL_SANDBOX_CONSOLE_H
#define HULL_SANDBOX_CONSOLE_H

#include <stdint.h>

struct error;
struct spec_process;

/* Opens a new pair from <root>/dev/pts/ptmx, whatever else the image may have put there being
 * refused, and sets its size. Both descriptors are the caller's. */
int console_open(int root_fd, const struct spec_process *process, int *ret_master, int *ret_slave,
                 struct error *err);

/* Makes the slave the controlling terminal of the calling session leader. */
int console_control(int slave, struct error *err);

#endif
