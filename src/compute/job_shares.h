/* The inside of job.c that is about shares. */
#ifndef HULL_COMPUTE_JOB_SHARES_H
#define HULL_COMPUTE_JOB_SHARES_H

#include <jansson.h>

struct compute_job;
struct error;

int job_shares_read(const json_t *json, struct compute_job *job, struct error *err);
/* NULL when out of memory. */
json_t *job_shares_to_json(const struct compute_job *job);
void job_shares_free(struct compute_job *job);

#endif
