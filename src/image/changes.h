/* The Dockerfile instructions that `docker import --change` and `docker commit --change` take. */
#ifndef HULL_IMAGE_CHANGES_H
#define HULL_IMAGE_CHANGES_H

struct error;
struct image_defaults;

enum { CHANGES_MAX = 1000, CHANGE_LINE_MAX = 64 * 1024 };

/* Applies one line to `defaults`: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL
 * USER VOLUME WORKDIR, in JSON or shell form. ERROR_INVALID: "X is not a valid change command" and
 * the like. */
int changes_apply(struct image_defaults *defaults, const char *line, struct error *err);

#endif
