/* A root file system of busybox on a tmpfs of the test's own mount namespace, and containers in it.
 * Nothing of it is seen on the host but the cgroups, which each test removes. */
#ifndef HULL_TEST_FIXTURE_H
#define HULL_TEST_FIXTURE_H

#include "base/error.h"
#include "base/process.h"
#include "sandbox/sandbox.h"
#include "spec/runtime.h"

enum { OUTPUT_MAX = 65536 };

/* cmocka group setup and teardown. The setup gives *state NULL where this host cannot do it (not
 * root, no static busybox); each test then skips through fixture_ready(). */
int fixture_setup(void **state);
int fixture_teardown(void **state);
void fixture_ready(void **state);

/* Directory of the image's only layer, to put hostile things in; fixture_reset() restores it. */
extern char fixture_lower[];
extern char fixture_target[];
/* sandbox_spec.stage_timeout_ms of the containers to come; 0 is the default. */
extern int fixture_stage_timeout_ms;
void fixture_reset(void);
void fixture_write(const char *path, const char *text);

/* docker's defaults with `sh -c script`; further changes are the test's. */
struct spec_runtime *fixture_config(const char *script);

struct outcome {
    int code; /* of new, create or start; 0: it ran */
    int status;
    struct error error;
    char output[OUTPUT_MAX]; /* stdout and stderr */
};

/* Runs one container to its end and destroys it. Frees config. */
void fixture_run(struct spec_runtime *config, struct outcome *ret);

/* A started container with stdout and stderr on a pipe. */
struct running {
    struct spec_runtime *config;
    struct sandbox *sandbox;
    struct process process;
    int output;
    int terminal;
};
void fixture_start(struct spec_runtime *config, struct running *ret);
/* Kills what is left. Asserts that everything could be undone. */
void fixture_stop(struct running *running);
/* sandbox_clean() of the fixture's container. */
void fixture_clean(void);
/* Reads until the text appears; fails the test when the pipe ends before. */
void fixture_wait_for(int fd, const char *text);
/* Runs `args` in it by exec with a pipe as output. */
void fixture_exec(struct running *running, const struct spec_process *process, struct outcome *ret);
struct spec_process *fixture_process(const char *script);

/* Everything this process may leave on the host: mounts below its directory, cgroups, children. */
void fixture_assert_clean(void);

#endif
