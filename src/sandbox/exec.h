/* The work of sandbox_exec(), whose rules it has; the state of the sandbox is the caller's matter.
 */
#ifndef HULL_SANDBOX_EXEC_H
#define HULL_SANDBOX_EXEC_H

struct error;
struct process;
struct sandbox;
struct sandbox_io;
struct spec_process;

int exec_run(struct sandbox *sandbox, const struct spec_process *process,
             const struct sandbox_io *io, struct process *ret_process, int *ret_terminal,
             struct error *err);

#endif
