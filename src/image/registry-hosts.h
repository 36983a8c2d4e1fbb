/* Where a registry's name leads: mirrors, https, and for insecure ones http. As dockerd's
 * --registry-mirror and
 * --insecure-registry have it. */
#ifndef HULL_IMAGE_REGISTRY_HOSTS_H
#define HULL_IMAGE_REGISTRY_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct image_store;

struct registry_endpoint {
    char *base;    /* "https://host:port", no slash at the end */
    bool insecure; /* certificates are not checked, redirects may leave https */
    bool mirror;   /* any failure leads on to the next one */
};

/* Are these mirrors http(s) URLs without a query, and these registries hosts or CIDRs?
 * ERROR_INVALID. */
int registry_hosts_check(char *const *mirrors, char *const *insecure, struct error *err);

/* Endpoints to try for a domain, in order; a malloc'd array for registry_endpoints_free(). */
int registry_endpoints(const struct image_store *store, const char *domain,
                       struct registry_endpoint **ret, size_t *ret_n, struct error *err);
void registry_endpoints_free(struct registry_endpoint *endpoints, size_t n);

/* May this domain be spoken to without a certificate? Looks its addresses up when CIDRs are listed.
 */
bool registry_is_insecure(const struct image_store *store, const char *domain);

#endif
