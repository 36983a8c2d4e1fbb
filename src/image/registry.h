/* Requests to one repository of one registry (OCI distribution-spec) over libcurl.
 *
 * A request that is answered with 401 is authorized as the challenge says and sent again, once. The
 * token is kept for the repository. libcurl follows redirects and does not take credentials along
 * to another host or port. Any thread may send requests; each uses a connection of its own. */
#ifndef HULL_IMAGE_REGISTRY_H
#define HULL_IMAGE_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;
struct error;
struct image_auth;
struct image_monitor;
struct registry_endpoint;

enum {
    REGISTRY_ERROR_BODY_MAX = 64 * 1024,
    REGISTRY_TOKEN_MAX = 64 * 1024,
    REGISTRY_CONNECT_SECONDS = 15,
    REGISTRY_STALL_SECONDS = 60, /* not a byte for so long: the connection counts as broken */
    REGISTRY_REDIRECTS_MAX = 10,
};

struct registry {
    const struct registry_endpoint *endpoint;
    const char *repository;        /* "library/busybox"; NULL: the registry as a whole (login) */
    const struct image_auth *auth; /* or NULL */
    const struct image_monitor *monitor;
    pthread_mutex_t lock;
    char *authorization; /* value of the header, or NULL; under the lock */
    bool basic;          /* user and password are sent; under the lock */
    char *refresh_token; /* of a login, if the token server gave one; under the lock */
};

void registry_init(struct registry *registry, const struct registry_endpoint *endpoint,
                   const char *repository, const struct image_auth *auth,
                   const struct image_monitor *monitor);
void registry_release(struct registry *registry);

struct registry_request {
    const char *path;    /* after "/v2/<repository>/", or "/v2/" */
    const char *accept;  /* media types, or NULL */
    struct buffer *body; /* takes the answer, or: */
    /* `begin` is called once before the first byte; partial: bytes from `offset` on, else from 0.
     * Both return < 0 to stop, after filling what they can of an error of their own. */
    int (*begin)(void *data, bool partial);
    int (*sink)(void *data, const void *bytes, size_t length);
    void *data;
    int64_t offset; /* > 0: ask for the rest from here (Range) */
};

struct registry_response {
    long status; /* HTTP status; 0: no answer came */
    char content_type[256];
    bool more;    /* the answer is a page, with a Link to the next */
    bool refused; /* it was the registry that said no, and not its token server */
    /* From the error document of the registry; code "" when it had none. */
    char code[64]; /* "MANIFEST_UNKNOWN" */
    char message[512];
};

/* GET. Returns 0 for status 200 and 206. On failure *ret tells what came (status 0: nothing), and
 * err has docker's text: `Get "URL": ...` with ERROR_UNAVAILABLE, or "code: message" as the
 * registry said it. A sink's failure gives -ECANCELED. */
int registry_get(struct registry *registry, const struct registry_request *request,
                 struct registry_response *ret, struct error *err);

/* The transfer ended before its time (rather than that the registry refused): worth another
 * attempt. */
bool registry_may_retry(const struct registry_response *response, int result);

#endif
