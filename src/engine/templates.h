/* Templates of utility VMs: who has one is started in the time that it takes to map its memory. See
 * templates.c. Private to engine/. */
#ifndef HULL_ENGINE_TEMPLATES_H
#define HULL_ENGINE_TEMPLATES_H

struct compute_job;
struct engine;
struct engine_templates;
struct error;

enum {
    ENGINE_TEMPLATES_MAX = 4,             /* kept, in memory and on disk */
    ENGINE_TEMPLATE_RETRY_S = 60 * 60,    /* after one could not be made, or did not work */
    ENGINE_TEMPLATE_FAILURES_MAX = 2,     /* times that one may be found not to work before that */
    ENGINE_TEMPLATE_KEY_SIZE = 2 * 32 + 1 /* hexadecimal */
};

int engine_templates_open(struct engine *engine, struct engine_templates **ret, struct error *err);

/* Ends what is being made. NULL is fine. Returns NULL. */
struct engine_templates *engine_templates_close(struct engine_templates *templates);

/* Names the template for the job's VM in the job, if there is one; else one is made for the next
 * time. What goes wrong is logged, and the VM is booted. */
void engine_templates_use(struct engine_templates *templates, struct compute_job *job);

#endif
