/* Hooks of the runtime configuration (config.md#posix-platform-hooks). */
#ifndef HULL_SANDBOX_HOOKS_H
#define HULL_SANDBOX_HOOKS_H

#include "spec/runtime.h"
#include <sys/types.h>

struct error;
struct sandbox;

/* Runs the stage's hooks one after the other with the container's state as JSON on stdin; the first
 * that fails ends it with an error that names it. Nothing to do costs nothing. */
int hooks_run(const struct sandbox *sandbox, enum spec_hook_stage stage, const char *status,
              pid_t pid, struct error *err);

#endif
