/* The job of a real container for the real hull-worker (HULL_TEST_WORKER): a root of busybox, on
 * this host or, with HULL_TEST_ISOLATION=hyperv, in a utility VM of User-Mode Linux
 * (HULL_TEST_UML_KERNEL, HULL_TEST_HULL_INIT). */
#ifndef HULL_TEST_REAL_JOB_H
#define HULL_TEST_REAL_JOB_H

#include <stdbool.h>

struct compute_job;
struct spec_runtime;

/* The program's path; NULL: no real container is to be run. */
const char *real_job_worker(void);
bool real_job_in_vm(void);
/* What this host lacks for it, as a reason to skip; NULL: nothing. */
const char *real_job_lacks(void);

void real_job_fill(const char *directory, struct compute_job *job, struct spec_runtime *config);
int real_job_remove_layer(void **state);

/* A shell command that must succeed. */
void real_job_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* fake-sandbox.c: what its sandbox_warnings() says; a vector. */
extern char **fake_warnings;

#endif
