/* One HTTP exchange with libcurl: the part that registry.c and auth.c share. */
#ifndef HULL_IMAGE_HTTP_H
#define HULL_IMAGE_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "image/challenge.h"
#include "image/registry.h"

struct http_request {
    const char *url;
    const char *accept;
    const char *authorization; /* header's value or NULL */
    const char *username;      /* basic, or NULL */
    const char *password;
    const char *form; /* POST with this body, which follows no redirect; or NULL */
    bool insecure;
    const struct image_monitor *monitor;
    const struct registry_request *transfer; /* where the body of a 200 or 206 goes */
};

struct http_response {
    long status; /* 0: no answer */
    char content_type[256];
    bool more;
    int64_t range_start; /* of Content-Range; -1 when absent */
    struct challenges challenges;
};

void http_response_release(struct http_response *response);

/* `errors` takes the body of any other status. Returns 0 when an answer came whole, whatever its
 * status. */
int http_get(const struct http_request *request, struct http_response *ret, struct buffer *errors,
             struct error *err);

#endif
