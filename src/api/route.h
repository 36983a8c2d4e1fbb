/* The route table: which function answers which method and path, and for which API versions. */
#ifndef HULL_API_ROUTE_H
#define HULL_API_ROUTE_H

#include <stddef.h>

#include "api/request.h"

struct error;
struct reply;

/* Answers a request: 0 with *reply made, or negative with `err` filled. */
typedef int route_handler(void *context, struct request *request, struct reply *reply,
                          struct error *err);

/* For a route whose body is a stream: called before the body, with a blocking descriptor that gives
 * it and ends with it, owned by the callee. Starts request->operation, or not, then the body is
 * thrown away. An error is answered when the body is over. */
typedef int route_begin(void *context, struct request *request, int body_fd, struct error *err);

struct route {
    enum method method;
    /* "{}" stands for one component, "{*}" for one or more: names of images hold slashes. At most
     * one of them. */
    const char *pattern;
    route_handler *handler;
    route_begin *begin; /* or NULL */
    const char *what;   /* becomes request->what */
};

struct route_table {
    const struct route *routes;
    size_t n;
    int version_min; /* minors of API 1.x */
    int version_max;
};

enum {
    ROUTE_OK = 0,
    ROUTE_NO_PATH,   /* 404 "page not found" */
    ROUTE_NO_METHOD, /* 405 */
};

/* Takes "/v1.44" off the front: *ret_version is 44, or version_max without a prefix; *ret_path
 * points into `path`. ERROR_INVALID in docker's words for a version that is not served. */
int route_version(const struct route_table *table, const char *path, int *ret_version,
                  const char **ret_path, struct error *err);

/* Finds the first route for a path without version. ROUTE_OK with *ret and *ret_name (malloc'd;
 * NULL where the pattern has no {}), one of the above, or -ENOMEM. A HEAD finds a GET's route if it
 * has none of its own. */
int route_find(const struct route_table *table, enum method method, const char *path,
               const struct route **ret, char **ret_name);

#endif
