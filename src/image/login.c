/* docker login: are user and password good for a registry? (moby, registry.Service.Auth.) */
#include <errno.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "image/image.h"
#include "image/registry-hosts.h"
#include "image/registry.h"
#include "image/store.h"

#define HUB_DOMAIN "docker.io"

/* The host, with its port, of "https://index.docker.io/v1/", "reg:5000" or "http://reg/v2/". */
static int server_host(const char *server, char **ret, struct error *err)
{
    static const char *const hub[] = {"", HUB_DOMAIN, "index.docker.io", "registry-1.docker.io"};
    const char *rest = string_or(server, "");
    if (string_starts_with(rest, "https://"))
        rest += strlen("https://");
    else if (string_starts_with(rest, "http://"))
        rest += strlen("http://");
    CLEANUP_FREE char *host = strndup(rest, strcspn(rest, "/"));
    if (!host)
        return error_oom(err);
    for (size_t i = 0; i < sizeof(hub) / sizeof(hub[0]); i++)
        if (string_equal(host, hub[i]) && string_replace(&host, HUB_DOMAIN) < 0)
            return error_oom(err);
    for (const char *c = host; *c; c++)
        if (*c <= ' ' || *c == 0x7f || strchr("?#@\"\\", *c))
            /* Without the address: what is before an '@' is no name of a host. */
            return error_set_class(err, ERROR_INVALID, "unable to parse server address");
    *ret = TAKE_PTR(host);
    return 0;
}

static const char *status_text(long status)
{
    switch (status) {
    case 401:
        return " Unauthorized";
    case 403:
        return " Forbidden";
    case 404:
        return " Not Found";
    case 429:
        return " Too Many Requests";
    case 500:
        return " Internal Server Error";
    case 502:
        return " Bad Gateway";
    case 503:
        return " Service Unavailable";
    default:
        return "";
    }
}

/* What came of it, in dockerd's words: a refusal by the token server is that of the request for
 * /v2/, one by the registry itself is a failed attempt. */
static int explain(const struct registry_endpoint *endpoint,
                   const struct registry_response *response, bool refused_by_registry,
                   const struct error *failure, struct error *err)
{
    if (refused_by_registry)
        return error_set_class(err, failure->class,
                               "login attempt to %s/v2/ failed with status: %ld%s", endpoint->base,
                               response->status, status_text(response->status));
    int r = error_copy(err, failure);
    if (string_starts_with(failure->message, "Get \""))
        return r;
    return error_wrap(err, r, "Get \"%s/v2/\"", endpoint->base);
}

static int login_at(const struct registry_endpoint *endpoint, const struct image_auth *auth,
                    const struct image_monitor *monitor, char **ret_token, struct error *err)
{
    CLEANUP(buffer_release) struct buffer body = BUFFER_INIT(REGISTRY_ERROR_BODY_MAX);
    CLEANUP(registry_release) struct registry registry;
    struct registry_response response;
    struct error failure = ERROR_INIT;
    registry_init(&registry, endpoint, NULL, auth, monitor);
    const struct registry_request request = {.path = "", .body = &body};
    int r = registry_get(&registry, &request, &response, &failure);
    if (r == -ECANCELED || r == -ENOMEM)
        return error_copy(err, &failure);
    if (r < 0)
        return explain(endpoint, &response, response.refused, &failure, err);
    *ret_token = TAKE_PTR(registry.refresh_token);
    return 0;
}

int image_login(struct image_store *store, const char *server, const struct image_auth *auth,
                const struct image_monitor *monitor, char **ret_token, struct error *err)
{
    CLEANUP_FREE char *host = NULL;
    CLEANUP_FREE char *token = NULL;
    struct registry_endpoint *endpoints = NULL;
    struct error failure = ERROR_INIT;
    size_t n = 0;
    int r = server_host(server, &host, err);
    if (r < 0 || (r = registry_endpoints(store, host, &endpoints, &n, err)) < 0)
        return r;
    r = error_set_class(&failure, ERROR_UNAVAILABLE, "no endpoints found for %s", host);
    for (size_t i = 0; i < n; i++) {
        if (endpoints[i].mirror)
            continue; /* nobody logs in to a mirror */
        r = login_at(&endpoints[i], auth, monitor, &token, &failure);
        if (r == 0 || r == -ECANCELED || failure.class == ERROR_UNAUTHORIZED)
            break;
    }
    registry_endpoints_free(endpoints, n);
    if (r < 0)
        return error_copy(err, &failure);
    *ret_token = TAKE_PTR(token);
    return 0;
}
