/* Which file a command name means, in docker's words where there is none. */
#ifndef HULL_SANDBOX_PROGRAM_FIND_H
#define HULL_SANDBOX_PROGRAM_FIND_H

struct error;

/* Looks `name` up as execvp(3) and Go's LookPath do, in PATH of `env`, with the rights that the
 * calling process has now. *ret: malloc'd path. ERROR_INVALID with code -ENOENT or -EACCES and the
 * text `exec: "x": executable file not found in $PATH`, `exec: "/x": stat /x: no such file or
 * directory`, `exec: "/x": permission denied`, `exec: "/x": is a directory`. */
int program_find(const char *name, char *const *env, char **ret, struct error *err);

/* The error of a failed execve() of the file found. */
int program_exec_error(const char *name, int code, struct error *err);

#endif
