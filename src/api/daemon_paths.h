/* Where hulld finds the files that belong to it, unless it is told. */
#ifndef HULL_API_DAEMON_PATHS_H
#define HULL_API_DAEMON_PATHS_H

struct daemon_config;
struct error;

/* Fills in what was not given: hull-worker and hull-init beside the running program (a build tree)
 * or in `libexecdir`, and must exist (ERROR_INVALID); the kernels linux-um and vmlinux-x86_64, with
 * the latter the folder modules-x86_64, in the same places, qemu-system-x86_64 in /usr/bin, and
 * virtiofsd in /usr/libexec or /usr/lib/qemu, where they exist. */
int daemon_paths_find(struct daemon_config *config, const char *libexecdir, struct error *err);

/* malloc'd folder of the running program (/proc/self/exe). */
char *daemon_paths_self(struct error *err);

#endif
